package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/coreos/go-oidc/v3/oidc/oidctest"

	"github.com/alwaysup/coexist/repo/repotest"
	"github.com/alwaysup/coexist/resolvers"
)

const audience = "coexist"

// provider is an OpenID Connect provider, whose keys can be changed.
type provider struct {
	*httptest.Server
	serves atomic.Pointer[oidctest.Server] // nil while it is away
	asked  atomic.Int32                    // for keys
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			p.asked.Add(1)
		}
		if serving := p.serves.Load(); serving != nil {
			serving.ServeHTTP(w, r)
			return
		}
		http.Error(w, "away", http.StatusBadGateway)
	}))
	t.Cleanup(p.Close)
	return p
}

// publish makes the provider give these keys, by their ids.
func (p *provider) publish(keys map[string]*rsa.PrivateKey) {
	server := &oidctest.Server{}
	for id, key := range keys {
		server.PublicKeys = append(server.PublicKeys, oidctest.PublicKey{PublicKey: key.Public(), KeyID: id, Algorithm: oidc.RS256})
	}
	server.SetIssuer(p.URL)
	p.serves.Store(server)
}

func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// claims are those of a good token of an operator, with changes; a nil removes one.
func (p *provider) claims(t *testing.T, changes map[string]any) string {
	t.Helper()
	all := map[string]any{
		"iss": p.URL, "aud": []string{audience}, "sub": "4711", "exp": time.Now().Add(time.Hour).Unix(), "roles": []string{"staff", "operator"},
	}
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// handmade is a token with a header of its own, signed by sign.
func handmade(header, claims string, sign func(string) []byte) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	return text + "." + base64.RawURLEncoding.EncodeToString(sign(text))
}

func (p *provider) verifier(t *testing.T) *oidcVerifier {
	t.Helper()
	return newOIDCVerifier(t.Context(), p.URL, audience, "roles", slog.New(slog.DiscardHandler))
}

func TestTokensOfAProvider(t *testing.T) {
	t.Parallel()
	p, key, foreign := newProvider(t), newKey(t), newKey(t)
	p.publish(map[string]*rsa.PrivateKey{"k1": key})
	server := newGuardedServer(t, repotest.SQLite(t), &authenticator{verifiers: []verifier{everyRole(t).verifiers[0], p.verifier(t)}}, clientFlags{})
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(changes map[string]any) string {
		return oidctest.SignIDToken(key, "k1", oidc.RS256, p.claims(t, changes))
	}
	good := signed(nil)
	parts := strings.Split(good, ".")
	public := x509.MarshalPKCS1PublicKey(&key.PublicKey)
	for name, c := range map[string]struct{ token, code string }{
		"an operator":         {good, ""},
		"one audience":        {signed(map[string]any{"aud": audience}), ""},
		"a text of roles":     {signed(map[string]any{"roles": "reader operator"}), ""},
		"a file's token":      {"cleo-operator", ""},
		"a writer":            {signed(map[string]any{"roles": "writer"}), "FORBIDDEN"},
		"no role":             {signed(map[string]any{"roles": []string{"admin"}}), "FORBIDDEN"},
		"no claim":            {signed(map[string]any{"roles": nil}), "FORBIDDEN"},
		"roles of nonsense":   {signed(map[string]any{"roles": map[string]any{"operator": true}}), "FORBIDDEN"},
		"expired":             {signed(map[string]any{"exp": time.Now().Add(-time.Second).Unix()}), "UNAUTHENTICATED"},
		"without an end":      {signed(map[string]any{"exp": nil}), "UNAUTHENTICATED"},
		"not yet":             {signed(map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}), "UNAUTHENTICATED"},
		"another audience":    {signed(map[string]any{"aud": "shop"}), "UNAUTHENTICATED"},
		"no audience":         {signed(map[string]any{"aud": nil}), "UNAUTHENTICATED"},
		"another issuer":      {signed(map[string]any{"iss": "https://evil.example"}), "UNAUTHENTICATED"},
		"unsigned":            {handmade(`{"alg":"none"}`, p.claims(t, nil), func(string) []byte { return nil }), "UNAUTHENTICATED"},
		"no signature":        {parts[0] + "." + parts[1] + ".", "UNAUTHENTICATED"},
		"another's signature": {oidctest.SignIDToken(foreign, "k1", oidc.RS256, p.claims(t, nil)), "UNAUTHENTICATED"},
		"another's key":       {oidctest.SignIDToken(foreign, "k2", oidc.RS256, p.claims(t, nil)), "UNAUTHENTICATED"},
		"another's curve":     {oidctest.SignIDToken(curve, "k1", oidc.ES256, p.claims(t, nil)), "UNAUTHENTICATED"},
		"changed claims":      {parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(p.claims(t, map[string]any{"sub": "1"}))) + "." + parts[2], "UNAUTHENTICATED"},
		"the public key as a secret": {handmade(`{"alg":"HS256","kid":"k1"}`, p.claims(t, nil), func(text string) []byte {
			mac := hmac.New(sha256.New, public)
			mac.Write([]byte(text))
			return mac.Sum(nil)
		}), "UNAUTHENTICATED"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := askAs(t, server.URL, c.token, "{ migrations { phase } }"); got.code() != c.code {
				t.Errorf("got %+v, want %q", got, c.code)
			}
			want := map[string]string{"": "connection_ack", "FORBIDDEN": "connection_ack", "UNAUTHENTICATED": "4403"}[c.code]
			if name == "no role" || name == "no claim" || name == "roles of nonsense" {
				want = "4403"
			}
			if _, got := initiate(t, server.URL, map[string]string{"Authorization": "Bearer " + c.token}, nil); got != want {
				t.Errorf("a socket: %s, want %s", got, want)
			}
		})
	}
	if n := p.asked.Load(); n > 10 {
		t.Errorf("those tokens made us ask for keys %d times", n)
	}
}

func TestKeysOfAProviderChange(t *testing.T) {
	t.Parallel()
	p, first, second := newProvider(t), newKey(t), newKey(t)
	v := p.verifier(t) // while the provider is away
	v.retrying = 0
	server := newGuardedServer(t, repotest.SQLite(t), &authenticator{verifiers: []verifier{v}}, clientFlags{})
	token := func(key *rsa.PrivateKey, id string) string {
		return oidctest.SignIDToken(key, id, oidc.RS256, p.claims(t, nil))
	}
	code := func(key *rsa.PrivateKey, id string) string {
		return askAs(t, server.URL, token(key, id), "{ __typename }").code()
	}
	if got := code(first, "k1"); got != "UNAVAILABLE" {
		t.Errorf("the provider is away: %q", got)
	}
	p.publish(map[string]*rsa.PrivateKey{"k1": first})
	eventually(t, "the provider to be asked again", func() bool { return code(first, "k1") == "" })
	p.publish(map[string]*rsa.PrivateKey{"k1": first, "k2": second})
	eventually(t, "a new key to be good", func() bool { return code(second, "k2") == "" })
	// What is known stays good while the provider is away, and what it has withdrawn ends once it is asked again.
	p.serves.Store(nil)
	if got := code(first, "k1"); got != "" {
		t.Errorf("the provider is away again: %q", got)
	}
	p.publish(map[string]*rsa.PrivateKey{"k2": second})
	v.mu.Lock()
	v.maxAge = 0
	v.mu.Unlock()
	eventually(t, "the withdrawn key to end", func() bool { return code(first, "k1") == "UNAUTHENTICATED" })
	if got := code(second, "k2"); got != "" {
		t.Errorf("the key that is left: %q", got)
	}
}

func TestAStreamEndsWhenItsTokenExpires(t *testing.T) {
	t.Parallel()
	p, key := newProvider(t), newKey(t)
	p.publish(map[string]*rsa.PrivateKey{"k1": key})
	server := newGuardedServer(t, repotest.SQLite(t), &authenticator{verifiers: []verifier{p.verifier(t)}}, clientFlags{})
	token := oidctest.SignIDToken(key, "k1", oidc.RS256, p.claims(t, map[string]any{"exp": time.Now().Add(3 * time.Second).Unix()}))
	socket, got := initiate(t, server.URL, map[string]string{"Authorization": "Bearer " + token}, nil)
	for got == "connection_ack" {
		got = socket.answer(t)
	}
	if got != fmt.Sprint(closeForbidden) {
		t.Errorf("the socket: %s", got)
	}
	if got := askAs(t, server.URL, token, "{ __typename }"); got.code() != "UNAUTHENTICATED" || !strings.Contains(got.Errors[0].Message, "expired") {
		t.Errorf("got %+v", got)
	}
}

func TestRolesInClaims(t *testing.T) {
	for text, want := range map[string]resolvers.Role{
		`{"roles": ["reader", "writer"]}`: resolvers.Writer, `{"roles": "operator"}`: resolvers.Operator, `{"roles": ["Operator", 7, null]}`: 0, `{}`: 0,
		`{"roles": []}`: 0, `{"roles": 3}`: 0, `{"a": {"roles": "reader"}}`: 0,
	} {
		if got := roleIn(decoded(t, text), "roles"); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	for claim, want := range map[string]resolvers.Role{
		"realm.a.roles": resolvers.Reader, "https://example.org/roles": resolvers.Writer, "realm.b": 0, "realm": 0, "x.y.z": 0,
	} {
		if got := roleIn(decoded(t, `{"realm": {"a": {"roles": ["reader"]}}, "https://example.org/roles": ["writer"]}`), claim); got != want {
			t.Errorf("%s: got %s, want %s", claim, got, want)
		}
	}
	for text, want := range map[string]string{
		`{}`: "4711", `{"email": "ann@example.org", "preferred_username": "ann"}`: "ann@example.org (4711)", `{"preferred_username": "a\nb"}`: "ab (4711)", `{"preferred_username": "4711"}`: "4711",
	} {
		if got := actorOf("4711", decoded(t, text)); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func decoded(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}
