package auth

import (
	"context"
	"time"
)

// Identity says who asks.
type Identity struct {
	// Name is who the history of phase changes and runs says has acted.
	Name string
	Role Role
}

// Caller is an identity, and says how long it holds.
type Caller struct {
	Identity
	// Client is the name under which limits count the caller. It comes from the credentials. Where there are none, it
	// is an address.
	Client string
	// Expires is when the credentials end. The zero time means never.
	Expires time.Time
	// Revoked reports whether the credentials have been taken back. It must be safe for concurrent use. It is nil if
	// the credentials cannot be taken back.
	Revoked func() bool
}

// Holds reports whether the caller's credentials are still valid.
func (c Caller) Holds() bool {
	return (c.Expires.IsZero() || time.Now().Before(c.Expires)) && (c.Revoked == nil || !c.Revoked())
}

// credentialCheck is how often the credentials behind a stream are checked again.
const credentialCheck = 5 * time.Second

// Watch waits until the caller's credentials are no longer valid, which it notices within five seconds. Then it calls
// end and returns. It returns without a call when ctx ends, and at once if the credentials never end.
func (c Caller) Watch(ctx context.Context, end func()) {
	if c.Expires.IsZero() && c.Revoked == nil {
		return
	}
	ticker := time.NewTicker(credentialCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if !c.Holds() {
				end()
				return
			}
		}
	}
}

type callerKey struct{}

// WithCaller returns a context that carries the caller.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns the caller that the context carries, and false if it carries none.
func CallerOf(ctx context.Context) (Caller, bool) {
	c, known := ctx.Value(callerKey{}).(Caller)
	return c, known
}

// IdentityOf returns the identity of the caller that the context carries. If it carries none, IdentityOf returns the
// zero Identity, which may do nothing.
func IdentityOf(ctx context.Context) Identity {
	c, _ := CallerOf(ctx)
	return c.Identity
}
