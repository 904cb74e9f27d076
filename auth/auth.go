// Package auth says who asks, and what they may do: identities with roles, from the tokens of a file or of an OpenID
// Connect provider. It knows neither GraphQL nor the engine.
package auth

import (
	"context"
	"errors"
	"strings"
)

var (
	// ErrNoCredentials is that a request has no credentials where some are needed.
	ErrNoCredentials = errors.New(
		"there are no credentials: send the header Authorization: Bearer TOKEN; on a WebSocket the same in the payload of connection_init will do")
	// ErrUnknownToken is that a token is not good, or no longer.
	ErrUnknownToken = errors.New("the token is not valid")
	// ErrNoRole is that a token is good and names no role.
	ErrNoRole = errors.New("the token has no role")
	// ErrProvider is that the identity provider cannot be asked about a token.
	ErrProvider = errors.New("the identity provider does not answer: try again later")
)

// Verifier knows the tokens of one kind. It must be safe for concurrent use.
type Verifier interface {
	// Verify returns whose token it is. It fails with ErrUnknownToken for one that is not of its kind or not good, with
	// ErrNoRole, or with ErrProvider.
	Verify(ctx context.Context, token string) (Caller, error)
}

// Authenticator says who asks. It is safe for concurrent use.
type Authenticator struct{ verifiers []Verifier }

// New returns an authenticator that asks the verifiers in their order. Without any, everybody is an operator.
func New(verifiers ...Verifier) *Authenticator { return &Authenticator{verifiers} }

// Open reports whether everybody is an operator.
func (a *Authenticator) Open() bool { return len(a.verifiers) == 0 }

// Authenticate returns whose credentials an Authorization header holds. It fails with ErrNoCredentials,
// ErrUnknownToken, ErrNoRole or ErrProvider.
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
