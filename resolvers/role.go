package resolvers

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/99designs/gqlgen/graphql"

	"github.com/alwaysup/coexist/graph"
)

// Role is what a caller may do. Each role may do what those before it may. The zero Role may do nothing.
type Role int

// The roles.
const (
	Reader   Role = iota + 1 // reads rows, in both shapes
	Writer                   // writes rows too
	Operator                 // sees and changes migrations too
)

var roleNames = [...]string{Reader: "reader", Writer: "writer", Operator: "operator"}

// String returns the role's name.
func (r Role) String() string {
	if r < Reader || r > Operator {
		return "none"
	}
	return roleNames[r]
}

// ParseRole returns the role of a name, such as "reader". It fails on any other name.
func ParseRole(name string) (Role, error) {
	for r := Reader; r <= Operator; r++ {
		if r.String() == name {
			return r, nil
		}
	}
	return 0, fmt.Errorf("there is no role %.50q: choose from %s", name, strings.Join(roleNames[Reader:], ", "))
}

// Identity is who asks.
type Identity struct {
	// Name is kept as the actor of what the caller starts: phase changes and runs.
	Name string
	Role Role
}

type identityKey struct{}

// WithIdentity returns a context in which the identity asks. In a context without one nobody may do anything that has a role.
func WithIdentity(ctx context.Context, identity Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, identity)
}

// IdentityOf returns who asks, the zero Identity where nobody does.
func IdentityOf(ctx context.Context) Identity {
	identity, _ := ctx.Value(identityKey{}).(Identity)
	return identity
}

// Directives returns what the schema's directives do: @writer and @operator refuse a field to callers without the role.
func Directives() graph.DirectiveRoot {
	needs := func(role Role) func(context.Context, any, graphql.Resolver) (any, error) {
		return func(ctx context.Context, _ any, next graphql.Resolver) (any, error) {
			if err := require(ctx, role); err != nil {
				return nil, err
			}
			return next(ctx)
		}
	}
	return graph.DirectiveRoot{Operator: needs(Operator), Writer: needs(Writer)}
}

// errForbidden is that the caller's role is not enough.
var errForbidden = errors.New("not allowed")

// require returns errForbidden for a caller without the role.
func require(ctx context.Context, role Role) error {
	if got := IdentityOf(ctx).Role; got < role {
		return fmt.Errorf("%w: it needs the role %s, and yours is %s", errForbidden, role, got)
	}
	return nil
}
