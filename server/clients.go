package server

import (
	"errors"
	"math"
	"net/http"
	"net/netip"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// Limits say what one client may do. A client is the name in its credentials. Without credentials it is an address; for
// IPv6, that is its /64 prefix, which is what one network gets. Zero means no limit.
type Limits struct {
	// Rate is how many operations per second a client may send, over HTTP and sockets together. After a pause a client
	// may send a burst of as many.
	Rate int
	// Operations is how many queries and mutations of one client may run at once.
	Operations int
	// Subscriptions is how many subscriptions one client may have at once, and how many sockets.
	Subscriptions int
}

// maxClients is how many clients are remembered. The counts of a forgotten client start anew.
const maxClients = 10_000

// clients counts what each client does. It is safe for concurrent use.
type clients struct {
	limits Limits
	known  *lru.Cache[string, *client]
}

func newClients(limits Limits) *clients {
	known, err := lru.New[string, *client](maxClients)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &clients{limits, known}
}

// client counts what one client is doing.
type client struct {
	operations, subscriptions, sockets *semaphore.Weighted
	rate                               *rate.Limiter
}

func (c *clients) of(name string) *client {
	if found, known := c.known.Get(name); known {
		return found
	}
	perSecond, burst := rate.Limit(c.limits.Rate), c.limits.Rate
	if burst == 0 {
		perSecond = rate.Inf
	}
	fresh := &client{
		operations: places(c.limits.Operations), subscriptions: places(c.limits.Subscriptions),
		sockets: places(c.limits.Subscriptions), rate: rate.NewLimiter(perSecond, burst),
	}
	// Two requests may come first at the same time: both must count on the same client.
	if earlier, found, _ := c.known.PeekOrAdd(name, fresh); found {
		return earlier
	}
	return fresh
}

// places returns a semaphore for this many things at once. 0 means no limit.
func places(most int) *semaphore.Weighted {
	if most == 0 {
		return semaphore.NewWeighted(math.MaxInt64)
	}
	return semaphore.NewWeighted(int64(most))
}

// addressOf returns the client behind the address of a connection: its IP address without the port or, for IPv6, its
// /64 prefix, which is what one network gets.
func addressOf(remoteAddr string) string {
	address, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return remoteAddr
	}
	ip := address.Addr().Unmap()
	if ip.Is6() {
		if prefix, err := ip.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return ip.String()
}

// The errors for a client that does too much.
var (
	errTooFast       = errors.New("too many requests in a short time: wait a moment")
	errTooMany       = errors.New("too many operations at once: let some end first")
	errSubscriptions = errors.New("too many subscriptions at once: end some first")
	errSockets       = errors.New("too many sockets at once: use one for several subscriptions, or close some first")
)

// begin takes a place for an operation of this kind. The caller has to release it. It fails with errTooMany or
// errSubscriptions if no place is free.
func (c *client) begin(kind ast.Operation) (*semaphore.Weighted, error) {
	places, err := c.operations, errTooMany
	if kind == ast.Subscription {
		places, err = c.subscriptions, errSubscriptions
	}
	if !places.TryAcquire(1) {
		return nil, err
	}
	return places, nil
}

// refuseClient answers a request of a client that does too much.
func refuseClient(w http.ResponseWriter, err error) {
	w.Header().Set("Retry-After", "1")
	refuse(w, http.StatusTooManyRequests, CodeUnavailable, err.Error())
}
