// Package auth says who asks, and what they may do. It knows identities with roles, from the tokens of a file or of an
// OpenID Connect provider. It knows neither GraphQL nor the engine.
package auth

import (
	"context"
	"errors"
	"strings"
)

var (
	// ErrNoCredentials means that a request has no credentials where some are needed.
	ErrNoCredentials = errors.New(
		"there are no credentials: send the header Authorization: Bearer TOKEN; on a WebSocket the same in the payload of connection_init will do")
	// ErrUnknownToken means that a token is not valid, or no longer.
	ErrUnknownToken = errors.New("the token is not valid")
	// ErrNoRole means that a token is valid but names no role.
	ErrNoRole = errors.New("the token has no role")
	// ErrProvider means that the identity provider cannot be asked about a token.
	ErrProvider = errors.New("the identity provider does not answer: try again later")
)

// Verifier knows the tokens of one kind. It must be safe for concurrent use.
type Verifier interface {
	// Verify returns the caller to whom the token belongs. It fails with ErrUnknownToken if the token is of another
	// kind or not valid, with ErrNoRole if it names no role, and with ErrProvider if the identity provider cannot be
	// asked.
	Verify(ctx context.Context, token string) (Caller, error)
}

// Authenticator says who asks. It is safe for concurrent use.
type Authenticator struct{ verifiers []Verifier }

// New returns an authenticator that asks the verifiers in this order. Without any, everybody is an operator.
func New(verifiers ...Verifier) *Authenticator { return &Authenticator{verifiers} }

// Open reports whether everybody is an operator.
func (a *Authenticator) Open() bool { return len(a.verifiers) == 0 }

// Authenticate returns the caller whose credentials an Authorization header holds. If everybody is an operator, it
// ignores the header and leaves the caller's Client empty. It fails with ErrNoCredentials, ErrUnknownToken, ErrNoRole
// or ErrProvider.
func (a *Authenticator) Authenticate(ctx context.Context, header string) (Caller, error) {
	if a.Open() {
		return Caller{Identity: Identity{Name: "operator", Role: Operator}}, nil
	}
	scheme, token, _ := strings.Cut(header, " ")
	err := ErrNoCredentials
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return Caller{}, err
	}
	for _, v := range a.verifiers {
		var c Caller
		if c, err = v.Verify(ctx, strings.TrimSpace(token)); !errors.Is(err, ErrUnknownToken) {
			return c, err
		}
	}
	return Caller{}, err
}
