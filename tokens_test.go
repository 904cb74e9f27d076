package main

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/coreos/go-oidc/v3/oidc/oidctest"

	"github.com/alwaysup/coexist/auth"
	"github.com/alwaysup/coexist/auth/authtest"
	"github.com/alwaysup/coexist/repo/repotest"
	"github.com/alwaysup/coexist/server"
)

// tokenLine lets a token in, which is its name and role.
func tokenLine(name, role string) string {
	return fmt.Sprintf("%s %x %s\n", name, sha256.Sum256([]byte(name+"-"+role)), role)
}

// tokensAt writes a file of tokens, and returns who knows them.
func tokensAt(t *testing.T, path string, lines ...string) *auth.Authenticator {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.OpenTokenFile(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return auth.New(tokens)
}

func everyRole(t *testing.T) *auth.Authenticator {
	t.Helper()
	return tokensAt(t, filepath.Join(t.TempDir(), "tokens"), tokenLine("ann", "reader"), tokenLine("bob", "writer"),
		tokenLine("cleo", "operator"))
}

func TestStreamsEndWithTheirCredentials(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens")
	web := newGuardedServer(t, repotest.SQLite(t), tokensAt(t, path, tokenLine("ann", "reader"),
		tokenLine("cleo", "operator")), server.Limits{})
	const watch = "subscription { migrationProgress(entity: CUSTOMER) { phase } }"
	socket, _ := initiate(t, web.URL, map[string]string{"Authorization": "Bearer cleo-operator"}, nil)
	socket.send(t, message{ID: "1", Type: "subscribe", Payload: map[string]string{"query": watch}})
	if got := socket.answer(t); got != "next" {
		t.Fatalf("got %s", got)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, web.URL+"/graphql",
		strings.NewReader(`{"query": "`+watch+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{
		"Content-Type": {"application/json"}, "Accept": {"text/event-stream"},
		"Authorization": {"Bearer cleo-operator"},
	}
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
	if got := askAs(t, web.URL, "ann-reader", "{ __typename }"); got.Errors != nil {
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
	eventually(t, "the new token to be good",
		func() bool { return askAs(t, web.URL, "dan-operator", "{ migrations { phase } }").Errors == nil })
	if got := askAs(t, web.URL, "cleo-operator", "{ __typename }"); got.code() != "UNAUTHENTICATED" {
		t.Errorf("got %+v", got)
	}
}

// saying is a verifier that answers for each token what it is told to.
type saying map[string]error

// Verify is part of auth.Verifier.
func (s saying) Verify(_ context.Context, token string) (auth.Caller, error) {
	err, known := s[token]
	if !known {
		return auth.Caller{}, auth.ErrUnknownToken
	}
	return auth.Caller{Identity: auth.Identity{Name: token, Role: auth.Writer}, Client: token}, err
}

// What a verifier says of a token is what a client gets.
func TestWhatIsSaidOfATokenIsAnswered(t *testing.T) {
	t.Parallel()
	web := newGuardedServer(t, repotest.SQLite(t),
		auth.New(saying{"good": nil, "away": auth.ErrProvider, "bare": auth.ErrNoRole}), server.Limits{})
	for token, want := range map[string]struct{ reads, operates, socket string }{
		"good": {"", "FORBIDDEN", "connection_ack"}, "away": {"UNAVAILABLE", "UNAVAILABLE", "4403"},
		"bare":  {"FORBIDDEN", "FORBIDDEN", "4403"},
		"other": {"UNAUTHENTICATED", "UNAUTHENTICATED", "4403"},
	} {
		if got := askAs(t, web.URL, token, "{ __typename }").code(); got != want.reads {
			t.Errorf("%s: %q, want %q", token, got, want.reads)
		}
		if got := askAs(t, web.URL, token, "{ migrations { phase } }").code(); got != want.operates {
			t.Errorf("%s: %q, want %q", token, got, want.operates)
		}
		if _, got := initiate(t, web.URL, map[string]string{"Authorization": "Bearer " + token},
			nil); got != want.socket {
			t.Errorf("a socket of %s: %s, want %s", token, got, want.socket)
		}
	}
}

// A provider that the flags name is asked, and a socket ends with its token.
func TestAStreamEndsWhenItsTokenExpires(t *testing.T) {
	t.Parallel()
	p, key := authtest.NewProvider(t), authtest.NewKey(t)
	p.Publish(map[string]*rsa.PrivateKey{"k1": key})
	flags := authFlags{OIDCIssuer: p.URL, OIDCAudience: authtest.Audience, OIDCRoleClaim: "roles"}
	if err := flags.Validate(); err != nil {
		t.Fatal(err)
	}
	callers, err := flags.authenticator(t.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	web := newGuardedServer(t, repotest.SQLite(t), callers, server.Limits{})
	token := oidctest.SignIDToken(key, "k1", oidc.RS256,
		p.Claims(t, map[string]any{"exp": time.Now().Add(3 * time.Second).Unix()}))
	socket, got := initiate(t, web.URL, map[string]string{"Authorization": "Bearer " + token}, nil)
	for got == "connection_ack" {
		got = socket.answer(t)
	}
	if got != "4403" {
		t.Errorf("the socket: %s", got)
	}
	if got := askAs(t, web.URL, token, "{ __typename }"); got.code() != "UNAUTHENTICATED" ||
		!strings.Contains(got.Errors[0].Message, "expired") {
		t.Errorf("got %+v", got)
	}
}
