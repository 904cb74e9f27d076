package auth

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
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/coreos/go-oidc/v3/oidc/oidctest"

	"github.com/alwaysup/coexist/auth/authtest"
)

// asking is a verifier of the tokens of p.
func asking(t *testing.T, p *authtest.Provider) *Provider {
	t.Helper()
	return NewProvider(t.Context(), OIDC{Issuer: p.URL, Audience: authtest.Audience, RoleClaim: "roles"},
		slog.New(slog.DiscardHandler))
}

// roleOf is the role that a token has, or the error that it gets.
func roleOf(t *testing.T, a *Authenticator, token string) (Role, error) {
	t.Helper()
	c, err := a.Authenticate(t.Context(), "Bearer "+token)
	return c.Role, err
}

// soon waits until a token gets an error, or with nil none.
func soon(t *testing.T, what string, a *Authenticator, token string, want error) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		_, err := roleOf(t, a, token)
		if errors.Is(err, want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s: %v", what, err)
		}
	}
}

func TestTokensOfAProvider(t *testing.T) {
	t.Parallel()
	p, key, foreign := authtest.NewProvider(t), authtest.NewKey(t), authtest.NewKey(t)
	p.Publish(map[string]*rsa.PrivateKey{"k1": key})
	a := New(everyRole(t), asking(t, p))
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(changes map[string]any) string {
		return oidctest.SignIDToken(key, "k1", oidc.RS256, p.Claims(t, changes))
	}
	good := signed(nil)
	parts := strings.Split(good, ".")
	public := x509.MarshalPKCS1PublicKey(&key.PublicKey)
	for name, c := range map[string]struct {
		token string
		role  Role
		err   error
	}{
		"an operator":       {good, Operator, nil},
		"one audience":      {signed(map[string]any{"aud": authtest.Audience}), Operator, nil},
		"a text of roles":   {signed(map[string]any{"roles": "reader operator"}), Operator, nil},
		"a file's token":    {"cleo-operator", Operator, nil},
		"a writer":          {signed(map[string]any{"roles": "writer"}), Writer, nil},
		"no role":           {signed(map[string]any{"roles": []string{"admin"}}), 0, ErrNoRole},
		"no claim":          {signed(map[string]any{"roles": nil}), 0, ErrNoRole},
		"roles of nonsense": {signed(map[string]any{"roles": map[string]any{"operator": true}}), 0, ErrNoRole},
		"expired":           {signed(map[string]any{"exp": time.Now().Add(-time.Second).Unix()}), 0, errExpired},
		"without an end":    {signed(map[string]any{"exp": nil}), 0, ErrUnknownToken},
		"not yet":           {signed(map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}), 0, ErrUnknownToken},
		"another audience":  {signed(map[string]any{"aud": "shop"}), 0, ErrUnknownToken},
		"no audience":       {signed(map[string]any{"aud": nil}), 0, ErrUnknownToken},
		"another issuer":    {signed(map[string]any{"iss": "https://evil.example"}), 0, ErrUnknownToken},
		"unsigned": {authtest.Handmade(`{"alg":"none"}`, p.Claims(t, nil),
			func(string) []byte { return nil }), 0, ErrUnknownToken},
		"no signature":        {parts[0] + "." + parts[1] + ".", 0, ErrUnknownToken},
		"another's signature": {oidctest.SignIDToken(foreign, "k1", oidc.RS256, p.Claims(t, nil)), 0, ErrUnknownToken},
		"another's key":       {oidctest.SignIDToken(foreign, "k2", oidc.RS256, p.Claims(t, nil)), 0, ErrUnknownToken},
		"another's curve":     {oidctest.SignIDToken(curve, "k1", oidc.ES256, p.Claims(t, nil)), 0, ErrUnknownToken},
		"changed claims": {
			parts[0] + "." +
				base64.RawURLEncoding.EncodeToString([]byte(p.Claims(t, map[string]any{"sub": "1"}))) + "." + parts[2],
			0, ErrUnknownToken,
		},
		"the public key as a secret": {authtest.Handmade(`{"alg":"HS256","kid":"k1"}`, p.Claims(t, nil),
			func(text string) []byte {
				mac := hmac.New(sha256.New, public)
				mac.Write([]byte(text))
				return mac.Sum(nil)
			}), 0, ErrUnknownToken},
	} {
		t.Run(name, func(t *testing.T) {
			if role, err := roleOf(t, a, c.token); role != c.role || !errors.Is(err, c.err) {
				t.Errorf("got %s, %v", role, err)
			}
		})
	}
	if n := p.Asked(); n > 10 {
		t.Errorf("those tokens made us ask for keys %d times", n)
	}
}

func TestKeysOfAProviderChange(t *testing.T) {
	t.Parallel()
	p, first, second := authtest.NewProvider(t), authtest.NewKey(t), authtest.NewKey(t)
	v := asking(t, p) // while the provider is away
	v.retrying = 0
	a := New(v)
	token := func(key *rsa.PrivateKey, id string) string {
		return oidctest.SignIDToken(key, id, oidc.RS256, p.Claims(t, nil))
	}
	if _, err := roleOf(t, a, token(first, "k1")); !errors.Is(err, ErrProvider) {
		t.Errorf("the provider is away: %v", err)
	}
	p.Publish(map[string]*rsa.PrivateKey{"k1": first})
	soon(t, "the provider to be asked again", a, token(first, "k1"), nil)
	p.Publish(map[string]*rsa.PrivateKey{"k1": first, "k2": second})
	soon(t, "a new key to be good", a, token(second, "k2"), nil)
	// What is known stays good while the provider is away, and what it has withdrawn ends once it is asked again.
	p.Leave()
	if _, err := roleOf(t, a, token(first, "k1")); err != nil {
		t.Errorf("the provider is away again: %v", err)
	}
	p.Publish(map[string]*rsa.PrivateKey{"k2": second})
	v.mu.Lock()
	v.maxAge = 0
	v.mu.Unlock()
	soon(t, "the withdrawn key to end", a, token(first, "k1"), ErrUnknownToken)
	if _, err := roleOf(t, a, token(second, "k2")); err != nil {
		t.Errorf("the key that is left: %v", err)
	}
}

func TestRolesInClaims(t *testing.T) {
	for text, want := range map[string]Role{
		`{"roles": ["reader", "writer"]}`: Writer, `{"roles": "operator"}`: Operator,
		`{"roles": ["Operator", 7, null]}`: 0, `{}`: 0,
		`{"roles": []}`: 0, `{"roles": 3}`: 0, `{"a": {"roles": "reader"}}`: 0,
	} {
		if got := roleIn(decoded(t, text), "roles"); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	for claim, want := range map[string]Role{
		"realm.a.roles": Reader, "https://example.org/roles": Writer, "realm.b": 0, "realm": 0, "x.y.z": 0,
	} {
		if got := roleIn(decoded(t, `{"realm": {"a": {"roles": ["reader"]}}, "https://example.org/roles": ["writer"]}`),
			claim); got != want {
			t.Errorf("%s: got %s, want %s", claim, got, want)
		}
	}
	for text, want := range map[string]string{
		`{}`: "4711", `{"email": "ann@example.org", "preferred_username": "ann"}`: "ann@example.org (4711)",
		`{"preferred_username": "a\nb"}`: "ab (4711)", `{"preferred_username": "4711"}`: "4711",
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

// E6. One key that cannot be read among a provider's leaves the others good.
func TestAKeyThatCannotBeRead(t *testing.T) {
	t.Parallel()
	key := authtest.NewKey(t)
	inner := &oidctest.Server{PublicKeys: []oidctest.PublicKey{{
		PublicKey: key.Public(), KeyID: "k1",
		Algorithm: oidc.RS256,
	}}}
	p := &authtest.Provider{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/keys" {
			inner.ServeHTTP(w, r)
			return
		}
		recorded := httptest.NewRecorder()
		inner.ServeHTTP(recorded, r)
		_, _ = w.Write([]byte(strings.Replace(recorded.Body.String(), `"keys":[`,
			`"keys":[{"kty":"RSA","kid":"bad","n":"AQAB","e":"AQAB","x5c":[""]},5,`, 1)))
	}))
	t.Cleanup(p.Close)
	inner.SetIssuer(p.URL)
	a := New(asking(t, p))
	if _, err := roleOf(t, a, oidctest.SignIDToken(key, "k1", oidc.RS256, p.Claims(t, nil))); err != nil {
		t.Error(err)
	}
	if _, err := roleOf(t, a, oidctest.SignIDToken(authtest.NewKey(t), "k1", oidc.RS256,
		p.Claims(t, nil))); err == nil {
		t.Error("a token that another key signed is good")
	}
}
