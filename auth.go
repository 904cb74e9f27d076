package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/alwaysup/coexist/resolvers"
)

// caller is who asks, with how long that holds.
type caller struct {
	resolvers.Identity
	client  string      // as whom the limits count the caller: a name, or where everybody is an operator an address
	expires time.Time   // the zero time for never
	revoked func() bool // nil for never
}

// holds reports whether the caller's credentials are still good.
func (c caller) holds() bool {
	return (c.expires.IsZero() || time.Now().Before(c.expires)) && (c.revoked == nil || !c.revoked())
}

// credentialCheck is how often the credentials behind a stream are looked at again.
const credentialCheck = 5 * time.Second

// watch calls end once the caller's credentials are no longer good, and returns then, or when ctx ends, or at once where that can never be.
func (c caller) watch(ctx context.Context, end func()) {
	if c.expires.IsZero() && c.revoked == nil {
		return
	}
	ticker := time.NewTicker(credentialCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if !c.holds() {
				end()
				return
			}
		}
	}
}

type callerKey struct{}

// withCaller returns a context in which the caller asks, to resolvers too.
func withCaller(ctx context.Context, c caller) context.Context {
	return resolvers.WithIdentity(context.WithValue(ctx, callerKey{}, c), c.Identity)
}

// callerOf returns false where nobody has shown credentials.
func callerOf(ctx context.Context) (caller, bool) {
	c, known := ctx.Value(callerKey{}).(caller)
	return c, known
}

var (
	errNoCredentials = errors.New("there are no credentials: send the header Authorization: Bearer TOKEN; on a WebSocket the same in the payload of connection_init will do")
	errUnknownToken  = errors.New("the token is not valid")
)

// verifier knows the tokens of one kind. It fails with errUnknownToken for one that is not of its kind or not good.
type verifier interface {
	verify(ctx context.Context, token string) (caller, error)
}

// authenticator says who asks.
type authenticator struct {
	verifiers []verifier // none: everybody is an operator
}

// open reports whether everybody is an operator.
func (a *authenticator) open() bool { return len(a.verifiers) == 0 }

// authenticate returns whose credentials an Authorization header holds. It fails with errNoCredentials or errUnknownToken.
func (a *authenticator) authenticate(ctx context.Context, header string) (caller, error) {
	if a.open() {
		return caller{Identity: resolvers.Identity{Name: "operator", Role: resolvers.Operator}}, nil
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return caller{}, errNoCredentials
	}
	for _, v := range a.verifiers {
		c, err := v.verify(ctx, strings.TrimSpace(token))
		if !errors.Is(err, errUnknownToken) {
			return c, err
		}
	}
	return caller{}, errUnknownToken
}

// handler lets callers in who show credentials. A socket may show them later, in its connection_init.
func (a *authenticator) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := r.Header.Get("Authorization")
		if header == "" && isSocket(r) && !a.open() {
			next.ServeHTTP(w, r)
			return
		}
		c, err := a.authenticate(r.Context(), header)
		if err != nil {
			refuseCaller(w, err)
			return
		}
		if a.open() {
			c.client = addressOf(r.RemoteAddr)
		}
		next.ServeHTTP(w, r.WithContext(withCaller(r.Context(), c)))
	})
}

// refuseCaller answers a request whose credentials are missing or not good.
func refuseCaller(w http.ResponseWriter, err error) {
	challenge := `Bearer realm="coexist"`
	if !errors.Is(err, errNoCredentials) {
		challenge += `, error="invalid_token"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	refuse(w, http.StatusUnauthorized, codeUnauthenticated, err.Error())
}
