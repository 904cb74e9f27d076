package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/alwaysup/coexist/repo/repotest"
	"github.com/alwaysup/coexist/server"
)

// E3. A socket on which a client does not keep to graphql-transport-ws is closed with the protocol's own code: for an
// id that is in use, and for what is no message. An id whose operation has ended, or that its client has ended, is
// free.
func TestSocketsKeepToTheProtocol(t *testing.T) {
	t.Parallel()
	web := newTestServer(t, repotest.SQLite(t))
	const endless = `{"query":"subscription { migrationProgress(entity: CUSTOMER) { phase } }"}`
	for name, c := range map[string]struct {
		sent []string
		want websocket.StatusCode
	}{
		"the same id thrice": {[]string{
			`{"id":"a","type":"subscribe","payload":` + endless + `}`,
			`{"id":"a","type":"subscribe","payload":` + endless + `}`, `{"id":"a","type":"subscribe","payload":` +
				endless + `}`,
		}, 4409},
		"no JSON":            {[]string{`{"id":`}, 4400},
		"no object":          {[]string{`[]`}, 4400},
		"no type":            {[]string{`{"id":"a"}`}, 4400},
		"an unknown type":    {[]string{`{"id":"a","type":"start"}`}, 4400},
		"a type of a number": {[]string{`{"type":5}`}, 4400},
		"no id":              {[]string{`{"type":"subscribe","payload":{"query":"{ __typename }"}}`}, 4400},
		"a very long id": {
			[]string{`{"id":"` + strings.Repeat("x", 300) + `","type":"subscribe","payload":` +
				endless + `}`, `{"id":"` + strings.Repeat("x", 300) + `","type":"subscribe","payload":` + endless + `}`},
			4409,
		},
	} {
		t.Run(name, func(t *testing.T) {
			socket := openSocket(t, web.URL, "bm8=")
			for _, text := range c.sent {
				if err := socket.conn.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for {
				if _, _, err := socket.conn.Read(ctx); err != nil {
					if got := websocket.CloseStatus(err); got != c.want {
						t.Errorf("closed with %d (%v), want %d", got, err, c.want)
					}
					return
				}
			}
		})
	}
	socket := openSocket(t, web.URL, "bm8=")
	for range 30 { // ended by the client, and taken again at once
		socket.send(t, message{ID: "a", Type: "subscribe", Payload: json.RawMessage(endless)})
		for m := socket.next(t); m.ID != "a" || m.Type != "next"; m = socket.next(t) {
		}
		socket.send(t, message{ID: "a", Type: "complete"})
	}
	socket.send(t, message{ID: "b", Type: "subscribe", Payload: json.RawMessage(`{"query":"{ __typename }"}`)})
	for m := socket.next(t); m.ID != "b"; m = socket.next(t) {
	}
}

// E4. Half of a character is refused wherever it comes from, and a whole one of two escapes is not.
func TestHalfACharacterIsRefused(t *testing.T) {
	t.Parallel()
	web := newTestServer(t, repotest.SQLite(t))
	post := func(body string) string {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL+"/graphql", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close() //nolint:errcheck // it was read
		var a answerOf[any]
		if err := json.NewDecoder(response.Body).Decode(&a); err != nil {
			t.Fatal(err)
		}
		return a.code()
	}
	const mutation = `mutation($n: String!) { createCustomerV2(input: {name: $n}) { customer { name } } }`
	for text, want := range map[string]string{
		`x\ud83dx`: "BAD_USER_INPUT", `\ude00`: "BAD_USER_INPUT", `\ud83d\ud83d\ude00`: "BAD_USER_INPUT",
		`\uD83D`: "BAD_USER_INPUT", `\ud83d\n`: "BAD_USER_INPUT",
		`\ud83d\ude00`: "", `\\ud83d`: "", `\u00e4`: "", `\"\\`: "", "#": "",
	} {
		if got := post(`{"query":` + quoted(mutation) + `,"variables":{"n":"` + text + `"}}`); got != want {
			t.Errorf("%s as a variable: %q, want %q", text, got, want)
		}
		if got := post(`{"query":` + quoted(`mutation { createCustomerV2(input: {name: "`+text+
			`"}) { customer { name } } }`) + `}`); got != want {
			t.Errorf("%s in a document: %q, want %q", text, got, want)
		}
	}
	block := `# \ud83d` + "\n" +
		`mutation { createCustomerV2(input: {name: """\ud83d \""" \ude00"""}) { customer { name } } }`
	if got := post(`{"query":` + quoted(block) + `}`); got != "" {
		t.Errorf("a block string has no escapes: %q", got)
	}
	socket := openSocket(t, web.URL, "bm8=")
	if err := socket.conn.Write(t.Context(), websocket.MessageText,
		[]byte(`{"id":"x","type":"subscribe","payload":{"query":`+quoted(mutation)+
			`,"variables":{"n":"\ud83d"}}}`)); err != nil {
		t.Fatal(err)
	}
	m := socket.next(t)
	for m.ID != "x" {
		m = socket.next(t)
	}
	if m.Type != "error" || !strings.Contains(fmt.Sprint(m.Payload), "BAD_USER_INPUT") {
		t.Errorf("on a socket: %+v", m)
	}
}

func quoted(text string) string {
	document, _ := json.Marshal(text) // a string
	return string(document)
}

// E1 and E2. What happened before a mutation that fails is told all the same; and what cannot be read is the client's
// fault.
func TestFaultsOfClients(t *testing.T) {
	t.Parallel()
	web := newTestServer(t, repotest.SQLite(t))
	type named struct{ Customer struct{ Name string } }
	a := ask[struct{ A, B *named }](t, web.URL, `mutation { a: createCustomerV2(input: {customerId: "NEW", name: "New"}) { customer { name } }
		b: updateCustomerV2(input: {customerId: "NEW", name: "x", expectedVersion: 99}) { customer { name } } }`)
	if a.Data.A == nil || a.Data.A.Customer.Name != "New" || a.Data.B != nil || a.code() != "STALE_VERSION" {
		t.Errorf("%+v", a)
	}
	long := make([]any, server.MaxInputList+1)
	for i := range long {
		long[i] = map[string]any{"name": "x"}
	}
	for name, body := range map[string]string{
		"an enum in another case": `{"query":"query($e: Entity!) { migration(entity: $e) { phase } }","variables":{"e":"customer"}}`,
		"an enum within an input": `{"query":"query($o: CustomerOrderBy) { customersV2(orderBy: $o) { totalCount } }","variables":{"o":{"field":"name"}}}`,
		"a very long list":        `{"query":"mutation($c: [ContactInput!]) { updateCustomerV2(input: {customerId: \"NEW\", contacts: $c}) { customer { name } } }","variables":{"c":` + marshalled(long) + `}}`,
	} {
		t.Run(name, func(t *testing.T) {
			response, err := http.Post(web.URL+"/graphql", "application/json",
				strings.NewReader(body)) //nolint:noctx // a test
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close() //nolint:errcheck // it was read
			var a answerOf[any]
			if err := json.NewDecoder(response.Body).Decode(&a); err != nil || a.code() != "BAD_USER_INPUT" {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
	for name, query := range map[string]string{
		"two streams":  `subscription { a: runProgress(id: "UnVuOjE=") { status } b: runProgress(id: "UnVuOjE=") { status } }`,
		"none of them": `subscription { runProgress(id: "UnVuOjE=") @skip(if: true) { status } }`,
		"a fragment":   `subscription { ... @include(if: false) { runProgress(id: "UnVuOjE=") { status } } }`,
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL+"/graphql",
				strings.NewReader(`{"query":`+quoted(query)+`}`))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Accept", "text/event-stream")
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close() //nolint:errcheck // it was read
			text := make([]byte, 4096)
			n, _ := response.Body.Read(text)
			for n < len(text) && !strings.Contains(string(text[:n]), "complete") {
				more, err := response.Body.Read(text[n:])
				if n += more; err != nil {
					break
				}
			}
			if !strings.Contains(string(text[:n]), "BAD_USER_INPUT") {
				t.Errorf("%s", text[:n])
			}
		})
	}
}

func marshalled(v any) string {
	document, _ := json.Marshal(v) // of plain values
	return string(document)
}
