// Package authtest helps to test programs that accept the tokens of an OpenID Connect provider.
package authtest

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/coreos/go-oidc/v3/oidc/oidctest"
)

// Audience is the audience of the tokens.
const Audience = "coexist"

// Provider is an OpenID Connect provider whose keys can be changed. It answers 502 until Publish is called.
type Provider struct {
	*httptest.Server
	serves atomic.Pointer[oidctest.Server] // nil while the provider is away
	asked  atomic.Int32                    // how often it was asked for its keys
}

// NewProvider starts a provider, which ends with the test.
func NewProvider(t *testing.T) *Provider {
	t.Helper()
	p := &Provider{}
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

// Publish makes the provider return these keys, which are named by their ids.
func (p *Provider) Publish(keys map[string]*rsa.PrivateKey) {
	server := &oidctest.Server{}
	for id, key := range keys {
		server.PublicKeys = append(server.PublicKeys, oidctest.PublicKey{
			PublicKey: key.Public(), KeyID: id,
			Algorithm: oidc.RS256,
		})
	}
	server.SetIssuer(p.URL)
	p.serves.Store(server)
}

// NewKey returns a key to sign tokens with.
func NewKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Claims returns the claims of an operator's valid token, as JSON, with these changes. A nil value removes a claim.
func (p *Provider) Claims(t *testing.T, changes map[string]any) string {
	t.Helper()
	all := map[string]any{
		"iss": p.URL, "aud": []string{Audience}, "sub": "4711", "exp": time.Now().Add(time.Hour).Unix(),
		"roles": []string{"staff", "operator"},
	}
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Handmade returns a token with this header and these claims, signed by sign.
func Handmade(header, claims string, sign func(string) []byte) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(claims))
	return text + "." + base64.RawURLEncoding.EncodeToString(sign(text))
}

// Leave makes the provider answer 502 until Publish is called again.
func (p *Provider) Leave() { p.serves.Store(nil) }

// Asked returns how often the provider was asked for its keys.
func (p *Provider) Asked() int { return int(p.asked.Load()) }
