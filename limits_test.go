package main

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/alwaysup/coexist/repo/repotest"
	"github.com/alwaysup/coexist/server"
)

// standardIntrospection is what tools ask, with as many levels as any of them: getIntrospectionQuery of graphql-js.
func standardIntrospection() string {
	ofType := "kind name"
	for range 9 {
		ofType = "kind name ofType { " + ofType + " }"
	}
	value := "{ name description type { " + ofType + " } defaultValue isDeprecated deprecationReason }"
	return `{ __schema { description queryType { name kind } mutationType { name kind } subscriptionType { name kind }
		types { kind name description specifiedByURL isOneOf
			fields(includeDeprecated: true) { name description args(includeDeprecated: true) ` + value + ` type { ` + ofType + ` } isDeprecated deprecationReason }
			inputFields(includeDeprecated: true) ` + value + ` interfaces { ` + ofType + ` }
			enumValues(includeDeprecated: true) { name description isDeprecated deprecationReason } possibleTypes { ` + ofType + ` } }
		directives { name description isRepeatable locations args(includeDeprecated: true) ` + value + ` } } }`
}

func TestDocumentsAtTheirLimits(t *testing.T) {
	t.Parallel()
	web := newTestServer(t, repotest.SQLite(t))
	aliases := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "a%d: name ", i)
		}
		return `{ customersV2(first: 1) { nodes { ` + b.String() + `} } }`
	}
	repeated := func(text string, n int) string { return strings.Repeat(text+" ", n) }
	deep := func(levels int) string { // of an even number
		return "{ customersV2(first: 0) { nodes { " + strings.Repeat("orders(first: 0) { nodes { customer { ",
			(levels-2)/3) + "id" + strings.Repeat(" } } }", (levels-2)/3) + " } } }"
	}
	for name, c := range map[string]struct{ at, beyond, says string }{
		"root fields": {"{" + repeated("__typename", server.MaxRootFields) + "}", "{" +
			repeated("__typename", server.MaxRootFields+1) + "}", "fields at the top"},
		"in a fragment": {
			"{ ...f } fragment f on Query {" + repeated("__typename", server.MaxRootFields) + "}",
			"{ ...f ...f } fragment f on Query {" + repeated("__typename", server.MaxRootFields) + "}",
			"fields at the top",
		},
		"fields": {
			"{ customersV2(first: 1) { nodes {" + repeated("name", server.MaxFields-2) + "} } }",
			"{ customersV2(first: 1) { nodes {" + repeated("name", server.MaxFields-1) + "} } }", "fields, with",
		},
		"aliases": {aliases(server.MaxAliases), aliases(server.MaxAliases + 1), "aliases"},
		"directives": {"{ __typename " + repeated("@skip(if: false)", 1) + "}", "{ __typename " +
			repeated("@skip(if: false)", server.MaxDirectives+1) + "}", "directives"},
		"depth": {deep(server.MaxDepth - 3), deep(server.MaxDepth + 3), "levels"},
		"a long text": {"{ __typename #" + strings.Repeat("x", server.MaxDocument-20) + "\n}", "{ __typename #" +
			strings.Repeat("x", server.MaxDocument) + "\n}", "bytes"},
		"introspection": {
			standardIntrospection(),
			"{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }",
			"schema",
		},
		"pages": {
			"{ customersV2(first: 100) { nodes { orders(first: 100) { nodes { orderId } } } } }",
			"{ customersV2(first: 100) { nodes { orders(first: 100) { nodes { orderId note customerId status lines { quantity } } } } } }", "complexity",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ask[any](t, web.URL, c.at); got.Errors != nil {
				t.Errorf("at the limit: %+v", got.Errors)
			}
			got := ask[any](t, web.URL, c.beyond)
			if got.code() != "BAD_USER_INPUT" || got.Data != nil || !strings.Contains(got.Errors[0].Message, c.says) {
				t.Errorf("beyond the limit: %+v", got)
			}
		})
	}
}

// holdBody sends a request but for the end of its body, so that it takes its place until finish is called or the test
// ends.
func holdBody(t *testing.T, server, token string) (finish func() string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(server, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	const body = `{"query": "{ __typename }"}`
	fmt.Fprintf(conn,
		"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", token, len(body), body[:1])
	return func() string {
		_, _ = conn.Write([]byte(body[1:])) // one that was refused is closed
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		answer := make([]byte, 4096)
		n, _ := conn.Read(answer)
		return string(answer[:n])
	}
}

func TestAClientHasItsPlaces(t *testing.T) {
	t.Parallel()
	web := newGuardedServer(t, repotest.SQLite(t), everyRole(t), server.Limits{Operations: 2, Subscriptions: 2})
	const watch = "subscription { migrationProgress(entity: CUSTOMER) { phase } }"
	post := func(token, accept, query string) *http.Response {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL+"/graphql",
			strings.NewReader(`{"query": "`+query+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header = http.Header{
			"Content-Type": {"application/json"}, "Accept": {accept},
			"Authorization": {"Bearer " + token},
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeBody(response) })
		return response
	}
	status := func(token string) int { return post(token, "application/json", "{ __typename }").StatusCode }

	var held []func() string
	// a question of ours takes one too, so that a body may find none
	eventually(t, "both places to be taken", func() bool {
		held = append(held, holdBody(t, web.URL, "cleo-operator"))
		return status("cleo-operator") == http.StatusTooManyRequests
	})
	if got := status("ann-reader"); got != http.StatusOK {
		t.Errorf("another client gets %d", got)
	}
	answered := 0 // two, or more where one came late
	for _, finish := range held {
		if strings.Contains(finish(), `"Query"`) {
			answered++
		}
	}
	if answered == 0 {
		t.Error("none that held a place was answered")
	}
	eventually(t, "a place to be free", func() bool { return status("cleo-operator") == http.StatusOK })

	// Subscriptions and sockets have places of their own, whichever way they come.
	stream := post("cleo-operator", "text/event-stream", watch)
	firstEvent(t, stream.Body)
	subscribe := message{ID: "1", Type: "subscribe", Payload: map[string]string{"query": watch}}
	var sockets []*testSocket
	for _, want := range []string{"MIGRATE", "too many subscriptions"} {
		socket, opened := initiate(t, web.URL, map[string]string{"Authorization": "Bearer cleo-operator"}, nil)
		if opened != "connection_ack" {
			t.Fatalf("a socket: %s", opened)
		}
		sockets = append(sockets, socket)
		socket.send(t, subscribe)
		if got := fmt.Sprint(socket.next(t).Payload); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if _, got := initiate(t, web.URL, map[string]string{"Authorization": "Bearer cleo-operator"},
		nil); got != fmt.Sprint(4429) {
		t.Errorf("a third socket: %s", got)
	}
	if got := post("cleo-operator", "text/event-stream", watch); got.StatusCode != http.StatusTooManyRequests ||
		got.Header.Get("Retry-After") == "" {
		t.Errorf("a third subscription: %d", got.StatusCode)
	}
	_ = sockets[0].conn.Close(websocket.StatusNormalClosure, "")
	closeBody(stream)
	eventually(t, "the places to be free again", func() bool {
		return post("cleo-operator", "text/event-stream", watch).StatusCode == http.StatusOK
	})

	// Those who show no credentials have few sockets, too.
	for range 2 {
		conn, err := dial(t, web.URL, &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.CloseNow() })
	}
	if conn, err := dial(t, web.URL,
		&websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}}); err == nil ||
		!strings.Contains(err.Error(), "429") {
		t.Errorf("a socket too many: %v, %v", conn, err)
	}
}

func TestAClientHasItsRate(t *testing.T) {
	t.Parallel()
	web := newGuardedServer(t, repotest.SQLite(t), everyRole(t), server.Limits{Rate: 1})
	socket, opened := initiate(t, web.URL, map[string]string{"Authorization": "Bearer ann-reader"}, nil)
	if opened != "connection_ack" {
		t.Fatal(opened)
	}
	// Both ways draw on the one rate, and each is refused in its turn.
	query := message{ID: "1", Type: "subscribe", Payload: map[string]string{"query": "{ __typename }"}}
	eventually(t, "the socket to be refused", func() bool {
		socket.send(t, query)
		got := fmt.Sprint(socket.next(t).Payload)
		if m := socket.next(t); m.Type != "complete" {
			t.Fatalf("got %+v", m)
		}
		return strings.Contains(got, "UNAVAILABLE")
	})
	eventually(t, "a request to be refused", func() bool {
		return askAs(t, web.URL, "ann-reader",
			"{ __typename }").code() == "UNAVAILABLE"
	})
	if got := askAs(t, web.URL, "bob-writer", "{ __typename }"); got.Errors != nil {
		t.Errorf("another client gets %+v", got)
	}
}
