// Package authtest is for tests of programs that take the tokens of an OpenID Connect provider.
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

// Audience is the one of the tokens.
const Audience = "coexist"

// Provider is an OpenID Connect provider, whose keys can be changed. It is away until it has published some.
type Provider struct {
	*httptest.Server
	serves atomic.Pointer[oidctest.Server] // nil while it is away
	asked  atomic.Int32                    // for keys
}

// NewProvider starts one, which ends with the test.
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

// Publish makes the provider give these keys, by their ids.
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

// NewKey returns a key to sign with.
func NewKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Claims are those of a good token of an operator, with changes; a nil removes one.
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

// Handmade is a token with a header of its own, signed by sign.
func Handmade(header, claims string, sign func(string) []byte) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(claims))
	return text + "." + base64.RawURLEncoding.EncodeToString(sign(text))
}

// Leave makes the provider answer 502 until it publishes again.
func (p *Provider) Leave() { p.serves.Store(nil) }

// Asked is how often it was asked for its keys.
func (p *Provider) Asked() int { return int(p.asked.Load()) }
