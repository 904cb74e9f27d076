package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/alwaysup/coexist/auth"
	"github.com/alwaysup/coexist/repo/repotest"
	"github.com/alwaysup/coexist/server"
)

// askAs posts a query with a token, and returns the answer, or the first event of a stream of it.
func askAs(t *testing.T, url, token, query string) answerOf[any] {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/graphql", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	if strings.HasPrefix(query, "subscription") {
		request.Header.Set("Accept", "text/event-stream")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer closeBody(response)
	var answer answerOf[any]
	if request.Header.Get("Accept") == "" {
		err = json.NewDecoder(response.Body).Decode(&answer)
	} else {
		err = json.Unmarshal([]byte(firstEvent(t, response.Body)), &answer)
	}
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}

// firstEvent is the data of the first event in a stream.
func firstEvent(t *testing.T, body io.Reader) string {
	t.Helper()
	stream := &events{lines: bufio.NewScanner(body)}
	for stream.lines.Scan() {
		if data, found := strings.CutPrefix(stream.lines.Text(), "data: "); found {
			return data
		}
	}
	t.Fatal("the stream has no event")
	return ""
}

// rootFields calls back for each root field, with an operation that asks for it and is valid.
func rootFields(schema *ast.Schema, each func(field *ast.FieldDefinition, operation string)) {
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation, schema.Subscription} {
		for _, f := range root.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue
			}
			call := f.Name
			if arguments := requiredArguments(schema, f); arguments != "" {
				call += "(" + arguments + ")"
			}
			if schema.Types[f.Type.Name()].Kind != ast.Scalar {
				call += " { __typename }"
			}
			each(f, strings.ToLower(root.Name)+" { "+call+" }")
		}
	}
}

func requiredArguments(schema *ast.Schema, f *ast.FieldDefinition) string {
	var arguments []string
	for _, a := range f.Arguments {
		if a.Type.NonNull {
			arguments = append(arguments, a.Name+": "+anyValue(schema, a.Type))
		}
	}
	return strings.Join(arguments, ", ")
}

// anyValue is a valid value of an input type.
func anyValue(schema *ast.Schema, of *ast.Type) string {
	if of.Elem != nil {
		return "[" + anyValue(schema, of.Elem) + "]"
	}
	definition := schema.Types[of.NamedType]
	switch definition.Kind {
	case ast.Enum:
		return definition.EnumValues[0].Name
	case ast.InputObject:
		var fields []string
		for _, f := range definition.Fields {
			if f.Type.NonNull && f.DefaultValue == nil {
				fields = append(fields, f.Name+": "+anyValue(schema, f.Type))
			}
		}
		return "{" + strings.Join(fields, ", ") + "}"
	}
	switch of.NamedType {
	case "ID":
		return `"Q3VzdG9tZXJWMjp4"` // the id of a customer, or a key
	case "Boolean":
		return "true"
	case "Int", "Int64", "Float":
		return "1"
	case "Date":
		return `"2000-01-01"`
	case "Decimal":
		return `"1.00"`
	default:
		return `"x"`
	}
}

// needed is the role that a field's directive asks for.
func needed(f *ast.FieldDefinition) auth.Role {
	switch {
	case f.Directives.ForName("operator") != nil:
		return auth.Operator
	case f.Directives.ForName("writer") != nil:
		return auth.Writer
	default:
		return auth.Reader
	}
}

func TestEveryFieldNeedsItsRole(t *testing.T) {
	t.Parallel()
	schema := loadSchema()
	for _, f := range schema.Mutation.Fields {
		if needed(f) == auth.Reader {
			t.Errorf("the mutation %s has neither @writer nor @operator", f.Name)
		}
	}
	// What readers reach without an operator's field, but for nodes, which the resolver guards.
	reached := map[string]bool{}
	var reach func(name string)
	reach = func(name string) {
		if reached[name] {
			return
		}
		reached[name] = true
		for _, f := range schema.Types[name].Fields {
			if needed(f) != auth.Operator && !strings.HasPrefix(f.Name, "__") {
				reach(f.Type.Name())
			}
		}
	}
	for _, root := range []string{"Query", "Mutation", "Subscription"} {
		reach(root)
	}
	for _, name := range []string{"Migration", "Run", "SetPhasePayload", "V1Usage", "QuarantineEntry"} {
		if schema.Types[name] == nil || reached[name] {
			t.Errorf("%s is reached without the role operator", name)
		}
	}

	web := newGuardedServer(t, repotest.SQLite(t), everyRole(t), server.Limits{})
	tokens := []string{auth.Reader: "ann-reader", auth.Writer: "bob-writer", auth.Operator: "cleo-operator"}
	tried := 0
	for _, role := range []auth.Role{auth.Reader, auth.Writer, auth.Operator} {
		rootFields(schema, func(f *ast.FieldDefinition, operation string) {
			tried++
			got := askAs(t, web.URL, tokens[role], operation)
			want := ""
			if role < needed(f) {
				want = "FORBIDDEN"
			}
			if (got.code() == "FORBIDDEN") != (want == "FORBIDDEN") {
				t.Errorf("a %s asks %s: %+v, want code %q", role, operation, got, want)
			}
			if want != "" && (len(got.Errors) != 1 || fmt.Sprint(got.Errors[0].Path) != "["+f.Name+"]") {
				t.Errorf("a %s asks %s: %+v, want one error at the field", role, operation, got)
			}
		})
	}
	if want := 3 * (len(schema.Query.Fields) + len(schema.Mutation.Fields) +
		len(schema.Subscription.Fields) - 2); tried != want {
		t.Errorf("%d operations tried, want %d", tried, want)
	}

	// A node may be an operator's.
	query := `{ node(id: "TWlncmF0aW9uOkNVU1RPTUVS") { id } }` // Migration:CUSTOMER
	for _, role := range []auth.Role{auth.Reader, auth.Writer} {
		if got := askAs(t, web.URL, tokens[role], query); got.code() != "FORBIDDEN" {
			t.Errorf("a %s asks for a migration: %+v", role, got)
		}
	}
	if got := askAs(t, web.URL, tokens[auth.Operator], query); got.Errors != nil {
		t.Errorf("an operator asks for a migration: %+v", got)
	}
}

func TestNobodyIsServedWithoutCredentials(t *testing.T) {
	t.Parallel()
	web := newGuardedServer(t, repotest.SQLite(t), everyRole(t), server.Limits{})
	const q, jsonType = `{"query": "{ __typename }"}`, "Content-Type: application/json\n"
	for name, e := range map[string]exchange{
		"none":         {"POST", "/graphql", q, jsonType, 401, `Www-Authenticate:[Bearer realm="coexist"]`},
		"by GET":       {"GET", "/graphql?query={__typename}", "", "", 401, "UNAUTHENTICATED"},
		"for a stream": {"POST", "/graphql", q, jsonType + "Accept: text/event-stream", 401, "UNAUTHENTICATED"},
		"in the URL": {
			"POST", "/graphql?access_token=ann-reader&token=ann-reader", q, jsonType, 401,
			"UNAUTHENTICATED",
		},
		"another scheme": {
			"POST", "/graphql", q, jsonType + "Authorization: Basic ann-reader", 401,
			"UNAUTHENTICATED",
		},
		"no token": {"POST", "/graphql", q, jsonType + "Authorization: Bearer", 401, "UNAUTHENTICATED"},
		"an unknown token": {
			"POST", "/graphql", q, jsonType + "Authorization: Bearer geheim", 401,
			`error="invalid_token"`,
		},
		"a hash": {"POST", "/graphql", q, jsonType + "Authorization: Bearer " +
			strings.Fields(tokenLine("ann", "reader"))[1], 401, "UNAUTHENTICATED"},
		"a token": {"POST", "/graphql", q, jsonType + "Authorization: bearer ann-reader", 200, `"Query"`},
		"another host": {
			"POST", "/graphql", q, jsonType + "Authorization: Bearer ann-reader\nHost: api.example",
			200, `"Query"`,
		},
		"half a socket": {"POST", "/graphql", q, jsonType +
			"Upgrade: websocket\nSec-WebSocket-Protocol: graphql-transport-ws", 400, "handshake"},
		"another socket": {"POST", "/graphql", q, jsonType +
			"Upgrade: websocket\nSec-WebSocket-Protocol: graphql-ws", 401, "UNAUTHENTICATED"},
		"metrics":            {"GET", "/metrics", "", "", 401, "UNAUTHENTICATED"},
		"metrics of a token": {"GET", "/metrics", "", "Authorization: Bearer ann-reader", 200, "go_goroutines"},
		"health":             {"GET", "/healthz", "", "", 200, "ok"},
		"readiness":          {"GET", "/readyz", "", "", 200, "ok"},
		"playground":         {"GET", "/playground", "", "", 200, "text/html"},
	} {
		t.Run(name, func(t *testing.T) { e.check(t, web.URL) })
	}
}

// initiate opens a socket and sends connection_init. It returns the answer, or the code with which the socket was
// closed.
func initiate(t *testing.T, url string, payload any, headers http.Header) (*testSocket, string) {
	t.Helper()
	conn, err := dial(t, url, &websocket.DialOptions{
		Subprotocols: []string{"graphql-transport-ws"},
		HTTPHeader:   headers,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	s := &testSocket{conn}
	s.send(t, message{Type: "connection_init", Payload: payload})
	return s, s.answer(t)
}

// answer is the type of the next message that is no ping, or the code with which the socket was closed.
func (s *testSocket) answer(t *testing.T) string {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		_, data, err := s.conn.Read(ctx)
		cancel()
		if err != nil {
			return fmt.Sprint(int(websocket.CloseStatus(err)))
		}
		var m message
		if err := json.Unmarshal(data, &m); err != nil {
			t.Fatal(err)
		}
		switch m.Type {
		case "ping":
			s.send(t, message{Type: "pong"})
		case "connection_error": // not of the protocol, and ignored by clients
		default:
			return m.Type
		}
	}
}

func TestSocketsShowCredentials(t *testing.T) {
	t.Parallel()
	web := newGuardedServer(t, repotest.SQLite(t), everyRole(t), server.Limits{})
	for name, c := range map[string]struct {
		payload any
		headers http.Header
		want    string
	}{
		"none":                  {nil, nil, "4403"},
		"an unknown token":      {map[string]string{"Authorization": "Bearer geheim"}, nil, "4403"},
		"no text":               {map[string]any{"Authorization": 7}, nil, "4403"},
		"a payload of nonsense": {7, nil, "-1"},
		"a token":               {map[string]string{"Authorization": "Bearer ann-reader"}, nil, "connection_ack"},
		"in small letters":      {map[string]string{"authorization": "Bearer ann-reader"}, nil, "connection_ack"},
		"in the request":        {nil, http.Header{"Authorization": {"Bearer ann-reader"}}, "connection_ack"},
		"the payload says other": {
			map[string]string{"Authorization": "Bearer geheim"},
			http.Header{"Authorization": {"Bearer ann-reader"}},
			"4403",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, got := initiate(t, web.URL, c.payload, c.headers); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
	// Where everybody is an operator a token says nothing, and the client is the address all the same.
	open := newGuardedServer(t, repotest.SQLite(t), auth.New(), server.Limits{Subscriptions: 1})
	first, got := initiate(t, open.URL, map[string]string{"Authorization": "Bearer geheim"}, nil)
	if got != "connection_ack" {
		t.Errorf("got %s", got)
	}
	if _, got := initiate(t, open.URL, nil, nil); got != "4429" {
		t.Errorf("a second socket of the address: %s", got)
	}
	_ = first.conn.CloseNow()
	// A role holds on a socket too.
	for token, want := range map[string]string{"ann-reader": "FORBIDDEN", "cleo-operator": "MIGRATE"} {
		socket, _ := initiate(t, web.URL, map[string]string{"Authorization": "Bearer " + token}, nil)
		socket.send(t, message{
			ID: "1", Type: "subscribe",
			Payload: map[string]string{"query": "subscription { migrationProgress(entity: CUSTOMER) { phase } }"},
		})
		if got := fmt.Sprint(socket.next(t).Payload); !strings.Contains(got, want) {
			t.Errorf("%s subscribes: %s, want %s", token, got, want)
		}
	}
}

func TestServerForOthersKnowsWhoActs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	maker := launch(t, dir, "token", "night.shift@example.org", "operator")
	if maker.wait() != 0 {
		t.Fatal(maker.text())
	}
	words := strings.Fields(maker.text())
	token := words[len(words)-1]
	if err := os.WriteFile(filepath.Join(dir, "tokens"), maker.stdout.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, dir, "serve", "--addr=0.0.0.0:0", "--tokens-file=tokens", "--sample=3")
	if p.url == "" || strings.Contains(p.text(), "no credentials") {
		t.Fatal(p.text())
	}
	const history = `{ migration(entity: CUSTOMER) { history { actor } runs { actor } } }`
	for _, mutation := range []string{
		`mutation { startSweep(input: {entity: CUSTOMER}) { run { id } } }`,
		`mutation { setPhase(input: {entity: CUSTOMER, to: EXPAND}) { migration { phase } } }`,
	} {
		if got := askAs(t, p.url, token, mutation); got.Errors != nil {
			t.Fatalf("%s: %+v", mutation, got)
		}
	}
	answer, err := json.Marshal(askAs(t, p.url, token, history).Data)
	want := `{"migration":{"history":[{"actor":"night.shift@example.org"}],"runs":[{"actor":"night.shift@example.org"}]}}`
	if string(answer) != want || err != nil {
		t.Errorf("got %s, %v", answer, err)
	}
	if strings.Contains(p.text(), token) {
		t.Error("the log shows the token")
	}
	if got := p.stop(syscall.SIGTERM); got != 0 {
		t.Errorf("exits %d", got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == "coexist.db" }) {
		t.Error(entries, err)
	}
}
