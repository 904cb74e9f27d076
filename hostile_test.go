package main

import (
	"bytes"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/coreos/go-oidc/v3/oidc/oidctest"

	"github.com/alwaysup/coexist/auth/authtest"
	"github.com/alwaysup/coexist/server"
)

// victim is a server as strangers reach it.
type victim struct {
	t                        *testing.T
	url                      string
	reader, writer, operator string // tokens
	origin                   string // of another site
}

// outcome is what a hostile request gets: the status, or a socket's close code, and the code of the error.
type outcome struct {
	status int
	code   string
}

func (o outcome) String() string { return fmt.Sprint(o.status, " ", o.code) }

// post sends a body, and reads the code in the answer.
func (v *victim) post(token, body string, headers ...string) outcome {
	v.t.Helper()
	return v.request(http.MethodPost, "/graphql", token, body,
		append([]string{"Content-Type: application/json"}, headers...)...)
}

func (v *victim) request(method, path, token, body string, headers ...string) outcome {
	v.t.Helper()
	request, err := http.NewRequestWithContext(v.t.Context(), method, v.url+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		v.t.Errorf("no answer: %v", err)
		return outcome{}
	}
	defer closeBody(response)
	return v.read(response)
}

// read looks at an answer: an error has a code, is short, and says nothing of what is inside.
func (v *victim) read(response *http.Response) outcome {
	v.t.Helper()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		v.t.Errorf("the answer breaks off: %v", err)
	}
	if len(body) > 2000 {
		v.t.Errorf("an answer of %d bytes", len(body))
	}
	for _, inside := range []string{".go:", "goroutine", "sqlite", "SQL", "panic", "/work", "coexist_"} {
		if bytes.Contains(body, []byte(inside)) {
			v.t.Errorf("the answer shows %q: %s", inside, body)
		}
	}
	var a answerOf[any]
	if json.Unmarshal(body, &a) != nil {
		return outcome{response.StatusCode, ""}
	}
	return outcome{response.StatusCode, a.code()}
}

func (v *victim) query(token, query string) outcome {
	v.t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		v.t.Fatal(err)
	}
	return v.post(token, string(body))
}

func TestHostileRequestsAreRefused(t *testing.T) {
	t.Parallel()
	p, key, foreign := authtest.NewProvider(t), authtest.NewKey(t), authtest.NewKey(t)
	p.Publish(map[string]*rsa.PrivateKey{"k1": key})
	dir := t.TempDir()
	lines := tokenLine("ann", "reader") + tokenLine("bob", "writer") + tokenLine("cleo", "operator") +
		tokenLine("flo", "reader")
	if err := os.WriteFile(filepath.Join(dir, "tokens"), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	open := serve(t, dir, "--sample=3", "--tokens-file=tokens", "--oidc-issuer="+p.URL, "--oidc-audience="+
		authtest.Audience)
	v := &victim{t, open.url, "ann-reader", "bob-writer", "cleo-operator", "https://evil.example"}
	limited := serve(t, dir, "--database-url=sqlite:coexist.db", "--tokens-file=tokens", "--client-rate=5")
	slow := &victim{t: t, url: limited.url}
	sign := func(key *rsa.PrivateKey, changes map[string]any) string {
		return oidctest.SignIDToken(key, "k1", oidc.RS256, p.Claims(t, changes))
	}
	const name = "{ __typename }"
	long := func(n int) string { return strings.Repeat("x", n) }
	laughs := "{ ...f0 } " + repeatf(60, "fragment f%[1]d on Query { ...g%[1]d ...g%[1]d } ") +
		repeatf(60, "fragment g%[1]d on Query { a%[1]d: __typename } ")
	for i := range 60 {
		laughs = strings.Replace(laughs, fmt.Sprintf("...g%d ...g%d", i, i), fmt.Sprintf("...f%d ...f%d", i+1, i+1), 1)
	}
	head := "POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAuthorization: Bearer " +
		v.reader + "\r\n"

	type attack struct {
		name string
		try  func() outcome
		want outcome // the status 0 is that of a connection that was closed, or of an operation on a socket
	}
	refused := outcome{200, server.CodeInput} // as a GraphQL error
	attacks := []attack{
		{
			"10,000 aliases", func() outcome { return v.query(v.reader, "{"+repeatf(10_000, "a%d: __typename ")+"}") },
			refused,
		},
		{"300 aliases", func() outcome {
			return v.query(v.reader, "{ customersV2(first: 1) { nodes {"+repeatf(300, "a%d: name ")+"} } }")
		}, refused},
		{"100 aliases at the top", func() outcome {
			return v.query(v.reader, "{"+repeatf(100, `a%d: customerV2(customerId: "A") { name } `)+"}")
		}, refused},
		{
			"2,900 fields", func() outcome { return v.query(v.reader, "{"+strings.Repeat("__typename ", 2900)+"}") },
			refused,
		},
		{"100,000 tokens", func() outcome { return v.query(v.reader, "{"+strings.Repeat("a ", 100_000)+"}") }, refused},
		{"500 directives", func() outcome {
			return v.query(v.reader, "{ __typename "+strings.Repeat("@skip(if: false) ", 500)+"}")
		}, refused},
		{"2^60 fields by fragments", func() outcome { return v.query(v.reader, laughs) }, refused},
		{"a fragment in itself", func() outcome {
			return v.query(v.reader, "{ ...f } fragment f on Query { ...g } fragment g on Query { ...f }")
		}, refused},
		{"500 levels", func() outcome {
			return v.query(v.reader, "{"+strings.Repeat(`node(id: "x") {`, 500)+"id"+strings.Repeat("}", 501))
		}, refused},
		{"the schema of the schema", func() outcome {
			return v.query(v.reader, "{ __schema { types {"+strings.Repeat("fields { type {", 6)+"name"+
				strings.Repeat("}", 14)+" }")
		}, refused},
		{"a page of a million", func() outcome {
			return v.query(v.reader,
				"{ customersV2(first: 1000000) { nodes { name } } }")
		}, refused},
		{"pages in pages", func() outcome {
			return v.query(v.reader,
				"{ customersV2(first: 100) { nodes { orders(first: 100) { nodes { customer { orders(first: 100) { nodes { orderId } } } } } } } }")
		}, refused},
		{"1,200 ids", func() outcome {
			return v.query(v.reader, `{ nodes(ids: [`+strings.Repeat(`"x",`, 1200)+`]) { id } }`)
		}, refused},
		{
			"a document of 900 kB", func() outcome { return v.query(v.reader, "{ __typename #"+long(900_000)+"\n}") },
			refused,
		},
		{"a cursor of another make", func() outcome {
			return v.query(v.reader, `{ customersV2(first: 1, after: "' OR 1=1 --") { nodes { name } } }`)
		}, refused},
		{"a batch of 1,000", func() outcome {
			return v.post(v.reader, "["+strings.Repeat(`{"query": "{ __typename }"},`, 999)+
				`{"query": "{ __typename }"}]`)
		}, outcome{400, server.CodeInput}},
		{"no JSON", func() outcome { return v.post(v.reader, "{{{{") }, outcome{400, server.CodeInput}},
		{
			"no UTF-8", func() outcome { return v.post(v.reader, "{\"query\": \"\xff\xfe\"}") },
			outcome{400, server.CodeInput},
		},
		{"100,000 levels of JSON", func() outcome {
			return v.post(v.reader, `{"query": "{ __typename }", "variables": {"a":`+strings.Repeat("[", 100_000)+
				strings.Repeat("]", 100_000)+`}}`)
		}, outcome{400, server.CodeInput}},
		{
			"a body of 5 MB", func() outcome { return v.post(v.reader, `{"query": "`+long(5<<20)+`"}`) },
			outcome{413, server.CodeInput},
		},
		{"a body of 5 MB in chunks", func() outcome {
			return v.raw(head + "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n", 2<<20, long(2<<20)))
		}, outcome{413, server.CodeInput}},
		{
			"a body that never ends", func() outcome { return v.raw(head + "Content-Length: 100\r\n\r\n{") },
			outcome{400, server.CodeInput},
		},
		{"the same without a token", func() outcome {
			return v.raw("POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
		}, outcome{401, server.CodeUnauthenticated}},
		{
			"a header that never ends", func() outcome { return v.raw("POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nX-") },
			outcome{400, ""},
		},
		{"a header of 1 MB", func() outcome {
			return v.raw("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + long(1<<20) +
				"\r\n\r\n")
		}, outcome{431, ""}},
		{"a form of another page", func() outcome {
			return v.request("POST", "/graphql", "", "query="+url.QueryEscape(name),
				"Content-Type: application/x-www-form-urlencoded", "Origin: "+v.origin, "Sec-Fetch-Site: cross-site")
		}, outcome{403, server.CodeForbidden}},
		{"a forged origin", func() outcome {
			return v.post(v.operator, `{"query": "`+name+`"}`, "Origin: "+v.origin)
		}, outcome{403, server.CodeForbidden}},
		{
			"the origin null", func() outcome { return v.post(v.operator, `{"query": "`+name+`"}`, "Origin: null") },
			outcome{403, server.CodeForbidden},
		},
		{"a mutation by GET", func() outcome {
			return v.request("GET", "/graphql?query="+url.QueryEscape(`mutation { pauseRun(id: "x") { run { id } } }`),
				v.operator, "")
		}, outcome{405, server.CodeInput}},
		{"no token", func() outcome { return v.query("", name) }, outcome{401, server.CodeUnauthenticated}},
		{
			"a guessed token", func() outcome { return v.query("coexist_AAAA", name) },
			outcome{401, server.CodeUnauthenticated},
		},
		{"an expired token", func() outcome {
			return v.query(sign(key, map[string]any{"exp": time.Now().Unix() - 1}),
				name)
		}, outcome{401, server.CodeUnauthenticated}},
		{"an unsigned token", func() outcome {
			return v.query(authtest.Handmade(`{"alg":"none"}`, p.Claims(t, nil), func(string) []byte { return nil }),
				name)
		}, outcome{401, server.CodeUnauthenticated}},
		{"a token for another audience", func() outcome {
			return v.query(sign(key, map[string]any{"aud": "shop"}),
				name)
		}, outcome{401, server.CodeUnauthenticated}},
		{
			"a token of another issuer",
			func() outcome { return v.query(sign(key, map[string]any{"iss": "https://evil.example"}), name) },
			outcome{401, server.CodeUnauthenticated},
		},
		{
			"a token with another's signature", func() outcome { return v.query(sign(foreign, nil), name) },
			outcome{401, server.CodeUnauthenticated},
		},
		{
			"a token without a role", func() outcome { return v.query(sign(key, map[string]any{"roles": "admin"}), name) },
			outcome{403, server.CodeForbidden},
		},
		{"a reader deletes", func() outcome {
			return v.query(v.reader, `mutation { deleteCustomerV1(customerId: "ALFKI") { deletedKey } }`)
		}, outcome{200, server.CodeForbidden}},
		{"a writer changes the phase", func() outcome {
			return v.query(v.writer,
				`mutation { setPhase(input: {entity: CUSTOMER, to: EXPAND}) { migration { phase } } }`)
		}, outcome{200, server.CodeForbidden}},
		{
			"a socket with a forged origin", func() outcome { return v.socket(v.origin, initialise(v.operator)) },
			outcome{403, server.CodeForbidden},
		},
		{
			"a socket without a token", func() outcome { return v.socket("", message{Type: "connection_init"}) },
			outcome{4403, ""},
		},
		{"a socket with an expired token", func() outcome {
			return v.socket("", initialise(sign(key, map[string]any{"exp": time.Now().Unix() - 1})))
		}, outcome{4403, ""}},
		{"a socket that says nothing", func() outcome { return v.socket("") }, outcome{1002, ""}},
		{
			"a socket that begins with a query", func() outcome { return v.socket("", subscribe(1, name)) },
			outcome{1002, ""},
		},
		{
			"a message of 5 MB", func() outcome { return v.socket("", initialise(v.reader), subscribe(1, long(5<<20))) },
			outcome{1009, ""},
		},
		{"1,000 subscriptions on a socket", func() outcome {
			return v.socket("", append([]message{initialise(v.operator)}, subscriptions(1000)...)...)
		}, outcome{0, server.CodeUnavailable}},
		{"1,000 sockets", func() outcome { return v.holdSockets(1000) }, outcome{429, server.CodeUnavailable}},
		{"20,000 requests, 5 a second allowed", func() outcome {
			return slow.flood(20_000, func() outcome { return slow.query("flo-reader", name) })
		}, outcome{429, server.CodeUnavailable}},
	}

	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "hostile request\tstatus\tcode\tms")
	for _, a := range attacks {
		began := time.Now()
		got := a.try()
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\n", a.name, got.status, got.code, time.Since(began).Milliseconds())
		closed := a.want.status == 1009 && got == outcome{} // by a reset, on which the reason may be lost
		if got != a.want && !closed {
			t.Errorf("%s: got %s, want %s", a.name, got, a.want)
		}
		if after := v.query(sign(key, nil), name); after != (outcome{200, ""}) {
			t.Errorf("after %s another client gets %s", a.name, after)
		}
	}
	_ = w.Flush()
	t.Logf("on a server with its default limits, but for the last:\n%s", &table)
	if strings.Contains(open.text(), "panic") {
		t.Error("the server has panicked")
	}
	if got := open.stop(syscall.SIGTERM); got != 0 {
		t.Errorf("the server exits %d", got)
	}
}
