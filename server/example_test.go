package server_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/alwaysup/coexist/auth"
	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/resolvers"
	"github.com/alwaysup/coexist/server"
)

// A program of its own serves its schema. Here it is the sample's, on a database that has just been made, for those who
// have a token.
func Example() {
	if err := example(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 401 {"errors":[{"message":"the token is not valid","extensions":{"code":"UNAUTHENTICATED"}}]}
	// 200 {"data":{"customersV2":{"totalCount":0}},"extensions":{"cost":{"complexity":21,"limit":50000}}}
}

func example(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "coexist-example-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what stays is only untidy

	// The engine, with the entities that the resolvers describe to it.
	db, err := repo.Open(ctx, "sqlite:"+filepath.Join(dir, "shop.db"), repo.Config{})
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // nothing is lost with it
	root, err := resolvers.New(db, repo.Migrate)
	if err != nil {
		return err
	}
	for _, prepare := range []func(context.Context) error{db.CreateV1Tables, db.Install, db.Check} {
		if err := prepare(ctx); err != nil {
			return err
		}
	}

	// The schema, as gqlgen has made it executable.
	source, err := os.ReadFile("../schema.graphqls")
	if err != nil {
		return err
	}
	schema := graph.NewExecutableSchema(graph.Config{
		Schema: server.LoadSchema(&ast.Source{Name: "schema.graphqls", Input: string(source)}), Resolvers: root,
		Directives: resolvers.Directives(), Complexity: resolvers.Costs(),
	})

	// Who may ask.
	token, line, err := auth.NewToken("shop", auth.Reader)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "tokens")
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		return err
	}
	tokens, err := auth.OpenTokenFile(file, nil)
	if err != nil {
		return err
	}

	s, err := server.New(schema, db, root.Control, server.Options{
		Auth:   auth.New(tokens),
		Limits: server.Limits{Rate: 100},
	})
	if err != nil {
		return err
	}
	web := httptest.NewServer(s) // a program would call s.Serve, which does the work on runs too
	defer web.Close()
	for _, token := range []string{"guessed", token} {
		if err := ask(ctx, web.URL, token, `{"query": "{ customersV2 { totalCount } }"}`); err != nil {
			return err
		}
	}
	return nil
}

// ask sends a request and prints the answer.
func ask(ctx context.Context, url, token, body string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/graphql", bytes.NewBufferString(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	fmt.Println(response.StatusCode, string(answer))
	return nil
}
