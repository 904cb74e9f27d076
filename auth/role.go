package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Role is what a caller may do. Each role also includes the roles before it. The zero Role may do nothing.
type Role int

// The roles.
const (
	Reader   Role = iota + 1 // reads rows, in both shapes
	Writer                   // writes rows too
	Operator                 // sees and changes migrations too
)

var roleNames = [...]string{Reader: "reader", Writer: "writer", Operator: "operator"}

// String returns the role's name, or "none".
func (r Role) String() string {
	if r < Reader || r > Operator {
		return "none"
	}
	return roleNames[r]
}

// ParseRole returns the role with this name, such as "reader". It fails if there is no such role.
func ParseRole(name string) (Role, error) {
	for r := Reader; r <= Operator; r++ {
		if r.String() == name {
			return r, nil
		}
	}
	return 0, fmt.Errorf("there is no role %.50q: choose from %s", name, strings.Join(roleNames[Reader:], ", "))
}

// ErrForbidden means that the caller's role is too low.
var ErrForbidden = errors.New("not allowed")

// Require returns an error that wraps ErrForbidden unless the caller of ctx has the role, or a higher one.
func Require(ctx context.Context, role Role) error {
	if got := IdentityOf(ctx).Role; got < role {
		return fmt.Errorf("%w: it needs the role %s, and yours is %s", ErrForbidden, role, got)
	}
	return nil
}
