package auth

import (
	"context"
	"time"
)

// Identity is who asks.
type Identity struct {
	// Name is kept as the actor of what the caller starts: phase changes and runs.
	Name string
	Role Role
}

// Caller is an identity, with how long it holds.
type Caller struct {
	Identity
	// Client is the name under which limits count the caller: that of the credentials, or where there are none an
	// address.
	Client string
	// Expires is when the credentials end, the zero time for never.
	Expires time.Time
	// Revoked reports whether the credentials were taken back. It is nil where they cannot be, and is safe for
	// concurrent use.
	Revoked func() bool
}

// Holds reports whether the caller's credentials are still good.
func (c Caller) Holds() bool {
	return (c.Expires.IsZero() || time.Now().Before(c.Expires)) && (c.Revoked == nil || !c.Revoked())
}

// credentialCheck is how often the credentials behind a stream are looked at again.
const credentialCheck = 5 * time.Second

// Watch calls end once the caller's credentials are no longer good, within five seconds, and returns then. It returns
// when ctx ends, or at once where they stay good for ever.
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

// WithCaller returns a context in which the caller asks.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf returns who asks. It returns false where nobody has shown credentials.
func CallerOf(ctx context.Context) (Caller, bool) {
	c, known := ctx.Value(callerKey{}).(Caller)
	return c, known
}

// IdentityOf returns who asks, the zero Identity, which may do nothing, where nobody does.
func IdentityOf(ctx context.Context) Identity {
	c, _ := CallerOf(ctx)
	return c.Identity
}
