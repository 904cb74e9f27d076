package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/alwaysup/coexist/resolvers"
)

// authFlags say whose credentials are good. Without any everybody is an operator.
type authFlags struct {
	TokensFile    string `placeholder:"PATH" help:"A file of lines NAME SHA-256 ROLE: who may send which token, as Authorization: Bearer TOKEN, and what for. The command token makes such lines. A change is seen within seconds. Default: none."`
	OIDCIssuer    string `name:"oidc-issuer" placeholder:"URL" help:"The OpenID Connect provider whose signed tokens are good. Its keys are fetched, and again when they change. Default: none."`
	OIDCAudience  string `name:"oidc-audience" placeholder:"NAME" help:"The audience that such a token must be for: what the provider calls this server."`
	OIDCRoleClaim string `name:"oidc-role-claim" default:"roles" placeholder:"CLAIM" help:"The claim that names reader, writer or operator, in a list or a text; a path such as realm_access.roles leads into objects. Default: ${default}."`
}

// Validate is called by kong.
func (f *authFlags) Validate() error {
	switch {
	case f.OIDCIssuer == "" && f.OIDCAudience == "":
		return nil
	case f.OIDCIssuer == "" || f.OIDCAudience == "":
		return errors.New("--oidc-issuer and --oidc-audience need each other: a token for another audience must not be good here")
	case f.OIDCRoleClaim == "":
		return errors.New("--oidc-role-claim is empty: name the claim that says reader, writer or operator")
	default:
		return checkIssuer(f.OIDCIssuer)
	}
}

// authenticator knows the credentials that were configured.
func (f *authFlags) authenticator(ctx context.Context, logger *slog.Logger) (*authenticator, error) {
	auth := &authenticator{}
	if f.TokensFile != "" {
		tokens, err := openTokenFile(f.TokensFile, logger)
		if err != nil {
			return nil, err
		}
		auth.verifiers = append(auth.verifiers, tokens)
	}
	if f.OIDCIssuer != "" {
		auth.verifiers = append(auth.verifiers, newOIDCVerifier(ctx, f.OIDCIssuer, f.OIDCAudience, f.OIDCRoleClaim, logger))
	}
	return auth, nil
}

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

// authenticate returns whose credentials an Authorization header holds. It fails with errNoCredentials, errUnknownToken, errNoRole
// or errProvider.
func (a *authenticator) authenticate(ctx context.Context, header string) (caller, error) {
	if a.open() {
		return caller{Identity: resolvers.Identity{Name: "operator", Role: resolvers.Operator}}, nil
	}
	scheme, token, _ := strings.Cut(header, " ")
	err := errNoCredentials
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return caller{}, err
	}
	for _, v := range a.verifiers {
		var c caller
		if c, err = v.verify(ctx, strings.TrimSpace(token)); !errors.Is(err, errUnknownToken) {
			return c, err
		}
	}
	return caller{}, err
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

// refuseCaller answers a request whose credentials are missing, not good, or cannot be looked at.
func refuseCaller(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errProvider):
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, codeUnavailable, err.Error())
		return
	case errors.Is(err, errNoRole):
		refuse(w, http.StatusForbidden, codeForbidden, err.Error())
		return
	}
	challenge := `Bearer realm="coexist"`
	if !errors.Is(err, errNoCredentials) {
		challenge += `, error="invalid_token"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	refuse(w, http.StatusUnauthorized, codeUnauthenticated, err.Error())
}
