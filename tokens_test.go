package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo/repotest"
)

// tokenLine lets a token in, which is its name and role.
func tokenLine(name, role string) string {
	return fmt.Sprintf("%s %x %s\n", name, sha256.Sum256([]byte(name+"-"+role)), role)
}

// tokensAt writes a file of tokens, and returns its verifier.
func tokensAt(t *testing.T, path string, lines ...string) *authenticator {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := openTokenFile(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return &authenticator{verifiers: []verifier{tokens}}
}

func everyRole(t *testing.T) *authenticator {
	t.Helper()
	return tokensAt(t, filepath.Join(t.TempDir(), "tokens"), tokenLine("ann", "reader"), tokenLine("bob", "writer"), tokenLine("cleo", "operator"))
}

func TestTokenFiles(t *testing.T) {
	hash := strings.Fields(tokenLine("x", "reader"))[1]
	for content, want := range map[string]string{
		"": "no tokens", "# nobody\n\n": "no tokens", "ann reader": "line 1", "\nann " + hash + " admin": "line 2: there is no role",
		"ann " + hash[1:] + " reader": "SHA-256", "ann " + strings.Repeat("g", 64) + " reader": "SHA-256", "a/b " + hash + " reader": "no name",
		"ann " + hash + " reader\nbob " + hash + " writer": "line 2 has the token", "ann " + hash + " reader more": "line 1",
		"# all\n ann\t" + hash + "  reader \n": "", "ann " + strings.ToUpper(hash) + " operator": "",
	} {
		_, err := parseTokens([]byte(content))
		if got := fmt.Sprint(err); want == "" && err != nil || !strings.Contains(got, want) {
			t.Errorf("%q: got %s, want %s", content, got, want)
		}
	}
}

func TestStreamsEndWithTheirCredentials(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	server := newGuardedServer(t, repotest.SQLite(t), tokensAt(t, path, tokenLine("ann", "reader"), tokenLine("cleo", "operator")), clientFlags{})
	const watch = "subscription { migrationProgress(entity: CUSTOMER) { phase } }"
	socket, _ := initiate(t, server.URL, map[string]string{"Authorization": "Bearer cleo-operator"}, nil)
	socket.send(t, message{ID: "1", Type: "subscribe", Payload: map[string]string{"query": watch}})
	if got := socket.answer(t); got != "next" {
		t.Fatalf("got %s", got)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/graphql", strings.NewReader(`{"query": "`+watch+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"text/event-stream"}, "Authorization": {"Bearer cleo-operator"}}
	stream, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer closeBody(stream)
	firstEvent(t, stream.Body)

	// A file that makes no sense changes nothing.
	rewrite := func(content string) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rewrite("nonsense")
	if got := askAs(t, server.URL, "ann-reader", "{ __typename }"); got.Errors != nil {
		t.Errorf("got %+v", got)
	}
	rewrite(tokenLine("ann", "reader") + tokenLine("dan", "operator"))
	for got := "next"; got != "4403"; got = socket.answer(t) {
		if got != "next" {
			t.Fatalf("the socket's token has gone: %s", got)
		}
	}
	rest, err := io.ReadAll(stream.Body)
	if err != nil || strings.Contains(string(rest), "complete") {
		t.Errorf("the stream's token has gone: %s, %v", rest, err)
	}
	eventually(t, "the new token to be good", func() bool { return askAs(t, server.URL, "dan-operator", "{ migrations { phase } }").Errors == nil })
	if got := askAs(t, server.URL, "cleo-operator", "{ __typename }"); got.code() != "UNAUTHENTICATED" {
		t.Errorf("got %+v", got)
	}
}
