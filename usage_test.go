package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"github.com/alwaysup/coexist/repo/repotest"
)

type seen struct {
	Migration struct{ V1Usage []v1Line }
}

type v1Line struct {
	ClientName, ClientVersion, OperationName, Field string
	Count                                           int
}

// usedV1 is who has asked for V1, a line each, sorted.
func usedV1(t *testing.T, url, entity string) []string {
	t.Helper()
	var lines []string
	for _, l := range must[seen](t, url, `{ migration(entity: `+entity+
		`) { v1Usage { clientName clientVersion operationName field count } } }`).Migration.V1Usage {
		lines = append(lines, fmt.Sprintf("%s %s %s %s %d", l.ClientName, l.ClientVersion, l.OperationName,
			l.Field, l.Count))
	}
	slices.Sort(lines)
	return lines
}

// send sends a request with headers, "Name: value" each, and returns the answer's body. A body makes it a POST.
func send(t *testing.T, address, body string, headers ...string) string {
	t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer closeBody(response)
	answer, err := io.ReadAll(response.Body)
	if err != nil || bytes.Contains(answer, []byte(`"errors"`)) {
		t.Fatalf("%s: %v", answer, err)
	}
	return string(answer)
}

func queryBody(t *testing.T, query string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// However a client asks, it is seen at once under its name.
func TestV1UsageByEveryTransport(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, address string) {
		server := newTestServer(t, address)
		endpoint := server.URL + "/graphql"
		const query = `query Q { customerV1(customerId: "ALFKI") { ...f x: city } } fragment f on CustomerV1 { city orders(first: 1) { __typename } }`
		hash := sha256.Sum256([]byte(query))
		extensions, err := json.Marshal(map[string]any{"persistedQuery": map[string]any{
			"version":    1,
			"sha256Hash": hex.EncodeToString(hash[:]),
		}})
		if err != nil {
			t.Fatal(err)
		}
		send(t, endpoint, queryBody(t, query), "apollographql-client-name: post", "apollographql-client-version: 1.0",
			"x-client-name: not this")
		send(t, endpoint, queryBody(t, query), "Accept: text/event-stream", "X-Client-Name: sse",
			"X-Client-Version: 2.0")
		get := endpoint + "?" + url.Values{"query": {query}, "extensions": {string(extensions)}}.Encode()
		send(t, get, "", "x-client-name: get")
		persisted := endpoint + "?" + url.Values{"extensions": {string(extensions)}}.Encode()
		send(t, persisted, "", "x-client-name: apq")
		send(t, persisted, "", "x-client-name: apq")
		send(t, endpoint,
			queryBody(t, `{ customerV2(customerId: "ALFKI") { name } nodes(ids: []) { ... on CustomerV2 { name } } }`),
			"x-client-name: v2 only")
		send(t, endpoint, queryBody(t, `{ customersV1(first: 1) { nodes { orders { totalCount } } } }`),
			"x-client-name: anonymous")
		for range 2 {
			conn, err := dial(t, server.URL, &websocket.DialOptions{
				Subprotocols: []string{"graphql-transport-ws"},
				HTTPHeader:   http.Header{"X-Client-Version": {"3.0"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			socket := &testSocket{conn}
			socket.send(t, message{
				Type:    "connection_init",
				Payload: map[string]any{"apollographql-client-name": "socket", "x-client-name": "not this"},
			})
			socket.next(t)
			socket.send(t, message{ID: "1", Type: "subscribe", Payload: map[string]string{"query": query}})
			for m := socket.next(t); m.Type != "complete"; m = socket.next(t) {
				if m.Type != "next" {
					t.Fatalf("got %+v", m)
				}
			}
			_ = conn.CloseNow()
		}
		var want []string
		for _, client := range []string{"post 1.0", "sse 2.0", "get unknown", "apq unknown", "socket 3.0"} {
			n := 1
			if strings.HasPrefix(client, "apq") || strings.HasPrefix(client, "socket") {
				n = 2
			}
			for _, field := range []string{"CustomerV1.city", "CustomerV1.orders", "Query.customerV1"} {
				want = append(want, fmt.Sprintf("%s Q %s %d", client, field, n))
			}
		}
		for _, field := range []string{"CustomerV1.orders", "CustomerV1Connection.nodes", "Query.customersV1"} {
			want = append(want, "anonymous unknown  "+field+" 1")
		}
		slices.Sort(want)
		if got := usedV1(t, server.URL, "CUSTOMER"); !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if got := usedV1(t, server.URL, "ORDER"); !slices.Equal(got,
			[]string{"anonymous unknown  OrderV1Connection.totalCount 1"}) {
			t.Errorf("of orders: %v", got)
		}
		metrics := send(t, server.URL+"/metrics", "")
		for _, line := range []string{
			`coexist_v1_operations_total{client="socket"} 2`,
			`coexist_v1_operations_total{client="post"} 1`,
		} {
			if !strings.Contains(metrics, line+"\n") {
				t.Errorf("the metrics lack %s", line)
			}
		}
	})
}

// A use is there at once, after a restart, and in every instance; a flood of names does not make it grow.
func TestV1UsageOverRestarts(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, address string) {
		dir := t.TempDir()
		flag := "--database-url=" + address
		execute(t, dir, "seed", flag, "--sample=5")
		first := serve(t, dir, flag)
		query := queryBody(t, `query Old { customerV1(customerId: "ALFKI") { city } }`)
		use := func(p *program, name string) {
			send(t, p.url+"/graphql", query, "apollographql-client-name: "+name, "apollographql-client-version: 1")
		}
		use(first, "shop")
		want := []string{"shop 1 Old CustomerV1.city 1", "shop 1 Old Query.customerV1 1"}
		if got := usedV1(t, first.url, "CUSTOMER"); !slices.Equal(got, want) {
			t.Errorf("after one query: %v", got)
		}
		use(first, "shop") // not looked at, only kept when the server stops
		if got := first.stop(syscall.SIGTERM); got != 0 {
			t.Errorf("exits %d", got)
		}
		execute(t, dir, "phase", "CUSTOMER", "MIGRATE", "--force", "--reason=a test", flag)
		shown := execute(t, dir, "phase", "CUSTOMER", "CUTOVER", "--force", "--reason=a test", flag)
		if !regexp.MustCompile(`V1 was asked for in the last 30 days by\n.*\n  shop +1 +Old +2 +2 +20`).MatchString(
			shown) {
			t.Errorf("beside the gate to CONTRACT stands %s", shown)
		}
		servers := []*program{serve(t, dir, flag), serve(t, dir, flag)}
		want = []string{"shop 1 Old CustomerV1.city 2", "shop 1 Old Query.customerV1 2"}
		if got := usedV1(t, servers[0].url, "CUSTOMER"); !slices.Equal(got, want) {
			t.Errorf("after a restart: %v", got)
		}
		var asking sync.WaitGroup
		for _, p := range servers {
			for range 4 {
				asking.Go(func() {
					for range 25 {
						use(p, "shop")
					}
				})
			}
		}
		asking.Wait()
		for i := range 200 {
			use(servers[0], fmt.Sprint("flood ", i))
		}
		usedV1(t, servers[1].url, "CUSTOMER") // has it keep its counts
		lines := usedV1(t, servers[0].url, "CUSTOMER")
		for _, want := range []string{
			"shop 1 Old CustomerV1.city 202", "shop 1 Old Query.customerV1 202",
			"other other other CustomerV1.city 101", "other other other Query.customerV1 101",
		} {
			if !slices.Contains(lines, want) {
				t.Errorf("%s is missing in %d lines: %v", want, len(lines), lines)
			}
		}
		if len(lines) != 2*101 {
			t.Errorf("there are %d lines", len(lines))
		}
	})
}
