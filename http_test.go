package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/alwaysup/coexist/auth"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
	"github.com/alwaysup/coexist/server"
)

// newTestServer serves a small sample in MIGRATE from within the test.
func newTestServer(t *testing.T, address string) *httptest.Server {
	t.Helper()
	return newGuardedServer(t, address, auth.New(), server.Limits{})
}

// newGuardedServer is newTestServer for those who show credentials, within limits.
func newGuardedServer(t *testing.T, address string, callers *auth.Authenticator,
	limits server.Limits,
) *httptest.Server {
	t.Helper()
	env := &environment{
		stdout: io.Discard, stderr: io.Discard, logger: slog.New(slog.DiscardHandler),
		database: &databaseFlags{AutoMigrate: true, MaxConns: 4},
	}
	db, err := env.openAt(t.Context(), address, repo.Migrate, connecting)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := (&sampleFlags{Sample: 60, Seed: 1}).fill(t.Context(), db, env); err != nil {
		t.Fatal(err)
	}
	worked := make(chan error)
	go func() { worked <- db.control().Work(t.Context()) }()
	t.Cleanup(func() {
		if err := <-worked; err != nil {
			t.Error(err)
		}
	})
	return testServer(t, db, server.Options{Auth: callers, Limits: limits, Logger: env.logger})
}

// testServer serves a database from within the test.
func testServer(t *testing.T, db *database, options server.Options) *httptest.Server {
	t.Helper()
	s, err := newServer(db, options)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	return web
}

// exchange is a request with what it should get.
type exchange struct {
	method, path, body string
	header             string // "Name: value", lines of it
	status             int
	says               string // part of the answer, or of "!" what must not be in it
}

func (e exchange) check(t *testing.T, base string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), e.method, base+e.path, strings.NewReader(e.body))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(e.header) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		request.Header.Set(name, value)
		if name == "Host" {
			request.Host = value
		}
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer closeBody(response)
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(response.Header) + string(body)
	if response.StatusCode != e.status || !strings.Contains(text, e.says) {
		t.Errorf("%s %s: got %d %s\nwant %d with %s", e.method, e.path, response.StatusCode, text, e.status, e.says)
	}
	if response.StatusCode >= 400 && strings.HasPrefix(e.path, "/graphql") {
		var a answerOf[any]
		if err := json.Unmarshal(body, &a); err != nil || a.code() == "" || strings.Contains(string(body), `"data"`) {
			t.Errorf("%s %s: not an error with a code and without data: %s", e.method, e.path, body)
		}
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	web := newTestServer(t, repotest.SQLite(t))
	const jsonType = "Content-Type: application/json"
	q := func(query string) string {
		body, _ := json.Marshal(map[string]string{"query": query}) // a string always can
		return string(body)
	}
	get := func(query string) string { return "/graphql?query=" + url.QueryEscape(query) }
	for name, e := range map[string]exchange{
		"root":             {"GET", "/", "", "", 302, "/playground"},
		"playground":       {"GET", "/playground", "", "", 200, "text/html"},
		"playground slash": {"GET", "/playground/", "", "", 308, "playground"},
		"schema":           {"GET", "/schema.graphqls", "", "", 200, "type CustomerV2 implements Node"},
		"health":           {"GET", "/healthz", "", "", 200, "ok"},
		"readiness":        {"GET", "/readyz", "", "", 200, "ok"},
		"metrics":          {"GET", "/metrics", "", "", 200, "go_goroutines"},
		"unknown path":     {"GET", "/nothing", "", "", 404, ""},
		"query": {
			"POST", "/graphql", q("{ __typename }"), jsonType, 200,
			`{"data":{"__typename":"Query"},"extensions":{"cost":{"complexity":1,"limit":50000}}}`,
		},
		"query by GET": {
			"GET", get("{ __typename }"), "", "", 200,
			`{"data":{"__typename":"Query"},"extensions":{"cost":{"complexity":1,"limit":50000}}}`,
		},
		"urql's Accept": {"POST", "/graphql", q("{ __typename }"), jsonType +
			"\nAccept: application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed", 200, "application/graphql-response+json"},
		"query as a stream": {
			"POST", "/graphql", q("{ __typename }"), jsonType + "\nAccept: text/event-stream",
			200, "event: complete",
		},
		"mutation by GET": {
			"GET", get(`mutation { pauseRun(id: "x") { run { id } } }`), "", "",
			405, "Allow:[POST]",
		},
		"subscription by POST": {
			"POST", "/graphql",
			q(`subscription { migrationProgress(entity: CUSTOMER) { phase } }`), jsonType, 400, "graphql-transport-ws",
		},
		"subscription by GET": {
			"GET", get(`subscription { migrationProgress(entity: CUSTOMER) { phase } }`), "", "",
			400, "text/event-stream",
		},
		"PUT":      {"PUT", "/graphql", "", "", 405, "Allow:[GET, POST]"},
		"no query": {"POST", "/graphql", `{}`, jsonType, 400, "no query"},
		"not JSON": {"POST", "/graphql", `{geheim`, jsonType, 400, "JSON object"},
		"a batch": {
			"POST", "/graphql", `[{"query": "{ __typename }"}]`, jsonType, 400,
			"one JSON object",
		},
		"variables not a map": {
			"POST", "/graphql", `{"query": "{ __typename }", "variables": 7}`, jsonType,
			400, "variables",
		},
		"too large": {
			"POST", "/graphql", q(strings.Repeat(" ", server.MaxBody)), jsonType,
			413, "too large",
		},
		"a form": {
			"POST", "/graphql", "query=%7B__typename%7D",
			"Content-Type: application/x-www-form-urlencoded", 415, "application/json",
		},
		"multipart": {
			"POST", "/graphql", "", "Content-Type: multipart/form-data; boundary=x", 415,
			"application/json",
		},
		"other charset": {"POST", "/graphql", q("{ __typename }"), jsonType + "; charset=latin1", 415, "UTF-8"},
		"nothing acceptable": {
			"POST", "/graphql", q("{ __typename }"), jsonType + "\nAccept: image/png", 406,
			"accept",
		},
		"syntax error": {"POST", "/graphql", q("{"), jsonType, 200, "BAD_USER_INPUT"},
		"syntax error, new": {
			"POST", "/graphql", q("{"), jsonType + "\nAccept: application/graphql-response+json",
			400, "BAD_USER_INPUT",
		},
		"unknown field": {"POST", "/graphql", q("{ nothing }"), jsonType, 200, "BAD_USER_INPUT"},
		"bad variable": {
			"POST", "/graphql",
			`{"query": "query($id: ID!) { node(id: $id) { id } }", "variables": {}}`, jsonType, 200, "BAD_USER_INPUT",
		},
		"unknown persisted": {
			"POST", "/graphql",
			`{"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "abc"}}}`, jsonType, 200,
			"PersistedQueryNotFound",
		},
		"@defer": {
			"POST", "/graphql", q("{ ... @defer { __typename } }"), jsonType, 200,
			"Unknown directive",
		},
		"another origin": {"POST", "/graphql", q("{ __typename }"), jsonType +
			"\nOrigin: http://evil.example\nSec-Fetch-Site: cross-site", 403, "FORBIDDEN"},
		"another host": {
			"POST", "/graphql", q("{ __typename }"), jsonType + "\nHost: evil.example",
			403, "FORBIDDEN",
		},
		"too many fields": {
			"POST", "/graphql", q("{" + strings.Repeat("__typename ", server.MaxFields+1) + "}"),
			jsonType, 200, "fields",
		},
		"nested pages": {
			"POST", "/graphql",
			q(
				"{ customersV2(first: 100) { nodes { orders(first: 100) { nodes { customer { orders(first: 100) { nodes { orderId } } } } } } } }"), jsonType, 200, "complexity",
		},
		"old socket protocol": {
			"GET", "/graphql", "",
			"Upgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Protocol: graphql-ws", 400, "graphql-transport-ws",
		},
		"an internal directive": {
			"GET", get("{ __schema { directives { name } } }"), "", "", 200,
			`{"data":{"__schema":{"directives":[{"name":"deprecated"},{"name":"include"},{"name":"oneOf"},{"name":"operator"},{"name":"skip"},{"name":"specifiedBy"},{"name":"writer"}]}}`,
		},
	} {
		t.Run(name, func(t *testing.T) { e.check(t, web.URL) })
	}
}

// A document that takes long to validate must be refused before that.
func TestDocumentsThatTakeLongAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	web := newTestServer(t, repotest.SQLite(t))
	nested := strings.Repeat("node(id:\"x\"){", 60) + "id" + strings.Repeat("}", 60)
	var fragments strings.Builder
	for i := range 60 {
		fmt.Fprintf(&fragments, "fragment f%d on Query { ...f%d ...f%d } ", i, i+1, i+1)
	}
	for name, query := range map[string]string{
		"aliases":   "{" + strings.Repeat("customerV2(customerId:\"A\"){name} ", 350) + "}",
		"one field": "{" + strings.Repeat("__typename ", 2900) + "}",
		"fragments": "{ ...f0 } " + fragments.String() + "fragment f60 on Query { __typename }",
		"nested":    "{" + strings.Repeat("...{"+nested+"}", 8) + "}",
		"tokens":    "{" + strings.Repeat("a ", 100_000) + "}",
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			a := ask[any](t, web.URL, query)
			if took := time.Since(began); a.code() == "" || took > 2*time.Second {
				t.Errorf("took %v: %v", took, a.Errors)
			}
		})
	}
}

func TestSubscriptionsDeliverAndComplete(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, address string) {
		server := newTestServer(t, address)
		run := must[started](t, server.URL,
			`mutation { startSweep(input: {entity: CUSTOMER, maxRowsPerSecond: 60}) { run { id } } }`).StartSweep.Run.ID
		socket, stream := openSocket(t, server.URL, run), openStream(t, server.URL, run)
		var last runState
		for e := stream.next(t); e.Event != "complete"; e = stream.next(t) {
			last = e.State
		}
		if want := (runState{"SUCCEEDED", 60, 60, 60, 0}); last != want {
			t.Errorf("the stream ends with %+v, want %+v", last, want)
		}
		text := ""
		for m := socket.next(t); m.Type != "complete"; m = socket.next(t) {
			text = fmt.Sprint(m)
		}
		if !strings.Contains(text, "SUCCEEDED") {
			t.Errorf("the socket ends with %s", text)
		}
	})
}

func TestErrorsOnASocket(t *testing.T) {
	t.Parallel()
	web := newTestServer(t, repotest.SQLite(t))
	socket := openSocket(t, web.URL, "bm8=")
	for _, want := range []string{"BAD_USER_INPUT", ""} { // the subscription's own error comes before its end
		if m := socket.next(t); want != "" && !strings.Contains(fmt.Sprint(m), want) {
			t.Errorf("got %+v, want %s", m, want)
		}
	}
	socket.send(t, message{ID: "2", Type: "subscribe", Payload: map[string]string{"query": "{ nothing }"}})
	if m := socket.next(t); m.Type != "error" || !strings.Contains(fmt.Sprint(m.Payload), "BAD_USER_INPUT") {
		t.Errorf("got %+v", m)
	}
	if conn, err := dial(t, web.URL, &websocket.DialOptions{
		Subprotocols: []string{"graphql-transport-ws"}, HTTPHeader: http.Header{"Origin": {"http://evil.example"}},
	}); err == nil {
		_ = conn.CloseNow()
		t.Error("a page of another origin got a socket")
	}
}

func TestSchemaForDownloadIsWhole(t *testing.T) {
	printed, err := gqlparser.LoadSchema(&ast.Source{Input: server.PrintSchema(loadSchema())})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range loadSchema().Types {
		got := printed.Types[name]
		if got == nil || len(got.Fields) != len(want.Fields) || got.Description != want.Description {
			t.Errorf("type %s: got %+v", name, got)
		}
	}
}
