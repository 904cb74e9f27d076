package main

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/coder/websocket"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// socketProtocol is the only one spoken: https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md.
const socketProtocol = "graphql-transport-ws"

// maxPerSocket limits the operations that run at once on a socket.
const maxPerSocket = 100

// socketTransport is gqlgen's WebSocket transport, and ends its sockets with the server.
type socketTransport struct {
	transport.Websocket
	streams *streams
}

func newSocketTransport(streams *streams) socketTransport {
	limit := int64(maxBody)
	return socketTransport{transport.Websocket{
		Implementation: acceptor{streams: streams}, InitFunc: countOperations, InitTimeout: 10 * time.Second, PingPongInterval: 15 * time.Second,
		PayloadReadLimit: &limit,
	}, streams}
}

// Supports is part of gqlgen's interface.
func (t socketTransport) Supports(r *http.Request) bool {
	offered := strings.Split(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), ",")
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") &&
		slices.ContainsFunc(offered, func(p string) bool { return strings.TrimSpace(p) == socketProtocol })
}

// Do is part of gqlgen's interface.
func (t socketTransport) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	// A browser lets any page open a socket, so it is up to us.
	if origin, err := url.Parse(r.Header.Get("Origin")); err != nil || origin.Host != "" && !strings.EqualFold(origin.Host, r.Host) {
		refuse(w, http.StatusForbidden, codeForbidden, "a page of another origin may not use this server")
		return
	}
	ctx, leave, ok := t.streams.join(r.Context())
	if !ok {
		refuse(w, http.StatusServiceUnavailable, codeUnavailable, "the server is stopping")
		return
	}
	defer leave()
	t.Websocket.Do(w, r.WithContext(ctx), exec)
}

// acceptor accepts sockets.
type acceptor struct{ streams *streams }

// Accept is part of gqlgen's interface. It would refuse a foreign origin too.
func (a acceptor) Accept(w http.ResponseWriter, r *http.Request, o transport.WebsocketAcceptOptions) (transport.WebsocketConn, error) {
	o.Subprotocols = []string{socketProtocol}
	conn, err := transport.CoderWebsocketImplementation{}.Accept(w, r, o)
	if err != nil {
		return nil, err
	}
	return socket{newEndOnce(conn.(fullConn)), a.streams.ctx}, nil
}

type fullConn interface {
	transport.WebsocketConn
	transport.WebsocketReadLimiter
	transport.WebsocketReadDeadliner
}

// socket is a connection that tells clients to come back when it is the server that goes away: after a normal closure, which
// is what gqlgen has for it, they take their subscriptions for complete.
type socket struct {
	fullConn
	server context.Context
}

// WriteClose is part of gqlgen's interface.
func (s socket) WriteClose(code int, message string) error {
	if code == transport.WebsocketCloseNormalClosure && s.server.Err() != nil {
		code, message = int(websocket.StatusGoingAway), "the server is stopping"
	}
	return s.fullConn.WriteClose(code, message)
}

// operationCount is the key, in a socket's context, of the number of its operations.
type operationCount struct{}

func countOperations(ctx context.Context, _ transport.InitPayload) (context.Context, *transport.InitPayload, error) {
	return context.WithValue(ctx, operationCount{}, new(atomic.Int32)), nil, nil
}

// socketLimit is an extension that limits the operations that run at once on a socket.
type socketLimit struct{}

// ExtensionName is part of gqlgen's interface.
func (socketLimit) ExtensionName() string { return "SocketLimit" }

// Validate is part of gqlgen's interface.
func (socketLimit) Validate(graphql.ExecutableSchema) error { return nil }

// InterceptOperation counts an operation until its context ends, which on a socket is its own.
func (socketLimit) InterceptOperation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	running, onSocket := ctx.Value(operationCount{}).(*atomic.Int32)
	if !onSocket {
		return next(ctx)
	}
	if running.Add(1) > maxPerSocket {
		running.Add(-1)
		return graphql.OneShot(&graphql.Response{Errors: gqlerror.List{{
			Message:    "too many operations at once on this socket: end some, or open another",
			Extensions: map[string]any{"code": codeInput},
		}}})
	}
	context.AfterFunc(ctx, func() { running.Add(-1) })
	if graphql.GetOperationContext(ctx).Operation.Operation != ast.Subscription {
		timed, cancel := context.WithTimeout(ctx, operationTime)
		context.AfterFunc(timed, cancel)
		ctx = timed
	}
	return next(ctx)
}
