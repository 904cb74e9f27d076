package server_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
	"github.com/alwaysup/coexist/server"
)

// Without credentials everybody is an operator: nobody but this machine may reach such a server, and no page of any
// origin may use it.
func TestAnOpenServerIsForThisMachine(t *testing.T) {
	t.Parallel()
	db, err := repo.Open(t.Context(), repotest.SQLite(t), repo.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	schema := &graphql.ExecutableSchemaMock{SchemaFunc: func() *ast.Schema {
		return gqlparser.MustLoadSchema(&ast.Source{Input: "type Query { ok: Boolean }"})
	}}
	for _, address := range []string{"0.0.0.0:0", "[::]:0", ":0"} {
		if listener, err := server.Listen(address, server.Options{}); err == nil || !strings.Contains(err.Error(),
			"without credentials") {
			t.Errorf("%s: %v, %v", address, listener, err)
		}
		listener, err := net.Listen("tcp", address) //nolint:noctx // it ends with the test
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close() //nolint:errcheck // see above
		s, err := server.New(schema, db, repo.NewControl(db), server.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // a server that takes the listener ends at once
		if err := s.Serve(ctx, listener); err == nil || !strings.Contains(err.Error(), "without credentials") {
			t.Errorf("served on %s: %v", listener.Addr(), err)
		}
	}
	every := server.Options{Origins: []string{"*"}}
	if _, err := server.Listen("127.0.0.1:0", every); err == nil {
		t.Error("every page would be an operator's")
	}
	if _, err := server.New(schema, db, repo.NewControl(db), every); err == nil {
		t.Error("every page would be an operator's")
	}
	listener, err := server.Listen("localhost:0", server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
}
