package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/alwaysup/coexist/auth"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
	"github.com/alwaysup/coexist/server"
)

// exchanged sends a query with these headers, and returns the answer with its body as it came.
func exchanged(t *testing.T, method, url, query string, headers map[string]string) (*http.Response, []byte) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	response, err := (&http.Transport{DisableCompression: true}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer closeBody(response)
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, answer
}

func TestLongAnswersAreCompressed(t *testing.T) {
	t.Parallel()
	web := newTestServer(t, repotest.SQLite(t))
	long := "{ customersV1(first: 60) { nodes { companyName address city } } }"
	for name, c := range map[string]struct {
		accept, query string
		want          string
	}{
		"long": {"gzip, br", long, "gzip"}, "short": {"gzip", "{ __typename }", ""}, "not accepted": {"br", long, ""},
		"refused": {"gzip;q=0", long, ""},
	} {
		t.Run(name, func(t *testing.T) {
			response, body := exchanged(t, "POST", web.URL+"/graphql", c.query,
				map[string]string{"Accept-Encoding": c.accept})
			if got := response.Header.Get("Content-Encoding"); got != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
			if vary := strings.Join(response.Header.Values("Vary"), ", "); !strings.Contains(vary, "Accept-Encoding") ||
				!strings.Contains(vary, "Accept,") && !strings.HasSuffix(vary, "Accept") {
				t.Errorf("Vary: %s", vary)
			}
			if c.want == "gzip" {
				unpacked, err := gzip.NewReader(bytes.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				if body, err = io.ReadAll(unpacked); err != nil {
					t.Fatal(err)
				}
			}
			var a answerOf[map[string]any]
			if err := json.Unmarshal(body, &a); err != nil || a.Errors != nil || len(a.Data) != 1 {
				t.Errorf("got %s, %v", body, err)
			}
		})
	}
	// A stream comes event by event, also to those who would take it compressed.
	response, body := exchanged(t, "POST", web.URL+"/graphql", long, map[string]string{
		"Accept":          "text/event-stream",
		"Accept-Encoding": "gzip",
	})
	if response.Header.Get("Content-Encoding") != "" || !bytes.Contains(body, []byte("event: complete")) {
		t.Errorf("a stream: %v", response.Header)
	}
}

// logged is a web whose log is kept, from a level on.
func logged(t *testing.T, level slog.Level, options server.Options) (*httptest.Server, *bytes.Buffer) {
	t.Helper()
	log := &bytes.Buffer{} // read when the requests are answered
	env := &environment{
		stdout: io.Discard, stderr: io.Discard, database: &databaseFlags{AutoMigrate: true, MaxConns: 4},
		logger: slog.New(server.LogHandler(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: level}))),
	}
	db, err := env.openAt(t.Context(), repotest.SQLite(t), repo.Migrate, connecting)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := (&sampleFlags{Sample: 3, Seed: 1}).fill(t.Context(), db, env); err != nil {
		t.Fatal(err)
	}
	options.Logger = env.logger
	web := testServer(t, db, options)
	log.Reset()
	return web, log
}

func TestRequestsHaveIDs(t *testing.T) {
	web, log := logged(t, slog.LevelDebug, server.Options{Auth: auth.New()})
	for given, kept := range map[string]bool{
		"6f1c-42": true, "Root=1-5759e988-bd86;Self": false, "": false, "a b": false, strings.Repeat("x", 128): true,
		strings.Repeat("x", 129): false, "\"quoted\"": false,
	} {
		log.Reset()
		response, _ := exchanged(t, "POST", web.URL+"/graphql",
			"query Look { customerV1(customerId: \"geheim\") { city } }",
			map[string]string{"X-Request-Id": given, "x-client-name": "shop", "x-client-version": "7"})
		id := response.Header.Get("X-Request-Id")
		if id == "" || (id == given) != kept {
			t.Errorf("%q: the answer has %q", given, id)
		}
		var line struct {
			Msg, Kind, Name, Actor, Client string
			RequestID                      string `json:"request_id"`
			Fields, Errors                 []string
		}
		if err := json.Unmarshal(log.Bytes(), &line); err != nil || line.Msg != "operation" || line.RequestID != id ||
			line.Kind != "query" ||
			line.Name != "Look" || line.Actor != "operator" || line.Client != "shop" ||
			!slices.Equal(line.Fields, []string{"customerV1"}) {
			t.Errorf("%q: the log has %s, %v", given, log, err)
		}
		if strings.Contains(log.String(), "geheim") {
			t.Errorf("the log has an argument: %s", log)
		}
	}
	if response, _ := exchanged(t, "GET", web.URL+"/healthz", "", nil); response.Header.Get("X-Request-Id") == "" {
		t.Error("another path has no id")
	}
}

func TestWhatOperatorsChangeIsLogged(t *testing.T) {
	web, log := logged(t, slog.LevelInfo, server.Options{Auth: everyRole(t)})
	askAs(t, web.URL, "cleo-operator", "{ migrations { phase } }")
	askAs(t, web.URL, "bob-writer", `mutation { deleteCustomerV2(customerId: "nobody") { deletedKey } }`)
	if log.Len() > 0 {
		t.Errorf("logged: %s", log)
	}
	askAs(t, web.URL, "bob-writer",
		`mutation { setCapture(input: {entity: CUSTOMER, enabled: false}) { migration { phase } } }`)
	if got := log.String(); !strings.Contains(got, `"actor":"bob"`) ||
		!strings.Contains(got, `"errors":["FORBIDDEN"]`) {
		t.Errorf("logged: %s", got)
	}
	log.Reset()
	askAs(t, web.URL, "cleo-operator",
		`mutation { ...f } fragment f on Mutation { setCapture(input: {entity: CUSTOMER, enabled: false}) { migration { phase } } }`)
	if got := log.String(); !strings.Contains(got, `"actor":"cleo"`) || !strings.Contains(got, `"errors":[]`) {
		t.Errorf("logged: %s", got)
	}
}

func TestPagesOfOtherOrigins(t *testing.T) {
	const shop, evil = "https://shop.example", "https://evil.example"
	one, _ := logged(t, slog.LevelError, server.Options{Auth: auth.New(), Origins: []string{shop}})
	all, _ := logged(t, slog.LevelError, server.Options{Auth: everyRole(t), Origins: []string{"*"}})
	none, _ := logged(t, slog.LevelError, server.Options{Auth: auth.New()})
	preflight := map[string]string{
		"Access-Control-Request-Method":  "POST",
		"Access-Control-Request-Headers": "authorization,content-type,x-client-name",
	}
	for name, c := range map[string]struct {
		server  *httptest.Server
		origin  string
		allowed bool
	}{
		"one that is named": {one, shop, true}, "another": {one, evil, false},
		"a part of it":   {one, shop + ".evil.example", false},
		"another scheme": {one, "http://shop.example", false}, "nobody's": {one, "null", false},
		"any": {all, evil, true}, "nobody where all may": {all, "null", true}, "none is named": {none, shop, false},
		"its own": {none, none.URL, true},
	} {
		t.Run(name, func(t *testing.T) {
			headers := map[string]string{
				"Origin": c.origin, "Sec-Fetch-Site": "cross-site",
				"Authorization": "Bearer ann-reader",
			}
			if c.origin == c.server.URL {
				headers["Sec-Fetch-Site"] = "same-origin"
			}
			response, body := exchanged(t, "POST", c.server.URL+"/graphql", "{ __typename }", headers)
			if want := map[bool]int{true: 200, false: 403}[c.allowed]; response.StatusCode != want {
				t.Errorf("got %d %s, want %d", response.StatusCode, body, want)
			}
			told := response.Header.Get("Access-Control-Allow-Origin")
			if foreign := c.origin != c.server.URL; (told != "") != (c.allowed && foreign) {
				t.Errorf("the browser is told %q", told)
			}
			preflight["Origin"] = c.origin
			response, _ = exchanged(t, "OPTIONS", c.server.URL+"/graphql", "", preflight)
			if told := response.Header.Get("Access-Control-Allow-Headers"); c.origin != c.server.URL &&
				(told != "") != c.allowed {
				t.Errorf("a preflight is told %q", told)
			}
			conn, err := dial(t, c.server.URL, &websocket.DialOptions{
				Subprotocols: []string{"graphql-transport-ws"},
				HTTPHeader:   http.Header{"Origin": {c.origin}},
			})
			if err == nil {
				_ = conn.CloseNow()
			}
			if (err == nil) != c.allowed {
				t.Errorf("a socket: %v", err)
			}
		})
	}
	for origin, good := range map[string]bool{
		"*": true, "https://a.example": true, "http://localhost:3000": true,
		"a.example": false, "https://a.example/": false, "ftp://a": false, "https://*.example": false, "": false,
	} {
		if err := (&accessFlags{CORSOrigin: []string{origin}}).Validate(); (err == nil) != good {
			t.Errorf("%q: %v", origin, err)
		}
	}
}
