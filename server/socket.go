package server

import (
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/coder/websocket"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"golang.org/x/sync/semaphore"

	"github.com/alwaysup/coexist/auth"
)

// socketProtocol is the only protocol that sockets speak:
// https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md.
const socketProtocol = "graphql-transport-ws"

// socketTransport is gqlgen's WebSocket transport, which also limits sockets and ends them with the server.
type socketTransport struct {
	transport.Websocket
	server *Server
}

func (s *Server) newSocketTransport() socketTransport {
	limit := int64(MaxBody)
	return socketTransport{transport.Websocket{
		Implementation: acceptor{streams: s.streams}, InitFunc: admission(s.options.Auth, s.clients),
		InitTimeout: 10 * time.Second, PingPongInterval: 15 * time.Second,
		PayloadReadLimit: &limit,
	}, s}
}

// Supports is part of gqlgen's interface.
func (t socketTransport) Supports(r *http.Request) bool { return isSocket(r) }

// isSocket reports whether a request asks for a socket and offers our protocol.
func isSocket(r *http.Request) bool {
	offered := strings.Split(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), ",")
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") &&
		slices.ContainsFunc(offered, func(p string) bool { return strings.TrimSpace(p) == socketProtocol })
}

// canUpgrade reports whether a handshake has everything that RFC 6455, section 4.2.1, asks for. gqlgen would answer a
// handshake that lacks something twice.
func canUpgrade(r *http.Request) bool {
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-WebSocket-Key"))
	connection := strings.ToLower(strings.Join(r.Header.Values("Connection"), ","))
	return r.Method == http.MethodGet && r.ProtoAtLeast(1, 1) && err == nil && len(key) == 16 &&
		len(r.Header.Values("Sec-WebSocket-Key")) == 1 &&
		r.Header.Get("Sec-WebSocket-Version") == "13" && slices.ContainsFunc(strings.Split(connection, ","),
		func(option string) bool { return strings.TrimSpace(option) == "upgrade" })
}

// Do is part of gqlgen's interface.
func (t socketTransport) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	if !canUpgrade(r) {
		refuse(w, http.StatusBadRequest, CodeInput, "the WebSocket handshake does not follow RFC 6455")
		return
	}
	// A browser lets any page open a socket, so the server has to check the origin.
	if !origins(t.server.options.Origins).allow(r.Header.Get("Origin"), r.Host) {
		refuseOrigin(w)
		return
	}
	ctx, leave, ok := t.server.streams.join(r.Context())
	if !ok {
		refuse(w, http.StatusServiceUnavailable, CodeUnavailable, "the server is stopping")
		return
	}
	defer leave()
	// The socket counts on its address until it has shown credentials. Then admission counts it on their owner.
	place := t.server.clients.of("sockets of " + addressOf(r.RemoteAddr)).sockets
	if !place.TryAcquire(1) {
		refuseClient(w, errSockets)
		return
	}
	session := &socketSession{place: place}
	defer session.close()
	t.Websocket.Do(w, r.WithContext(context.WithValue(ctx, sessionKey{}, session)), exec)
}

// socketSession is what the server knows of an open socket.
type socketSession struct {
	conn    fullConn
	place   *semaphore.Weighted // where the socket counts
	refused atomic.Bool         // whether the credentials have ended
}

// close releases the socket's place. It closes a connection that gqlgen has left open, as gqlgen does after a payload
// that is not an object.
func (s *socketSession) close() {
	s.place.Release(1)
	if s.conn != nil {
		_ = s.conn.Close()
	}
}

type sessionKey struct{}

// sessionOf returns the session of the socket on which an operation runs, or nil if it is not on a socket.
func sessionOf(ctx context.Context) *socketSession {
	session, _ := ctx.Value(sessionKey{}).(*socketSession)
	return session
}

// closeForbidden is the protocol's code for a socket whose credentials are not valid, or no longer. Clients get new
// credentials and come back after a while.
const closeForbidden = 4403

// closeTooMany is the protocol's code for a client with too many sockets.
const closeTooMany = 4429

// admission admits a socket if its connection_init has valid credentials or, without any there, if the request that
// opened it had them. It closes the socket when the credentials end.
func admission(a *auth.Authenticator, clients *clients) transport.WebsocketInitFunc {
	return func(ctx context.Context, payload transport.InitPayload) (context.Context, *transport.InitPayload, error) {
		who, known := auth.CallerOf(ctx)
		if header := payload.Authorization(); !a.Open() && (header != "" || !known) {
			var err error
			if who, err = a.Authenticate(ctx, header); err != nil {
				return transport.WithWebsocketCloseCode(transport.AppendCloseReason(ctx, "Forbidden"), closeForbidden),
					nil, err
			}
		}
		session, places := sessionOf(ctx), clients.of(who.Client).sockets
		if !places.TryAcquire(1) {
			return transport.WithWebsocketCloseCode(transport.AppendCloseReason(ctx, errSockets.Error()), closeTooMany),
				nil, errSockets
		}
		// The socket now counts on its owner, and no longer on its address.
		session.place.Release(1)
		session.place = places
		ctx, cancel := context.WithCancel(auth.WithCaller(ctx, who))
		go who.Watch(ctx, func() {
			session.refused.Store(true)
			cancel()
		})
		return ctx, nil, nil
	}
}

// acceptor accepts sockets.
type acceptor struct{ streams *streams }

// Accept is part of gqlgen's interface. Do has already checked the origin.
func (a acceptor) Accept(w http.ResponseWriter, r *http.Request,
	o transport.WebsocketAcceptOptions,
) (transport.WebsocketConn, error) {
	o.Subprotocols = []string{socketProtocol}
	options := websocket.AcceptOptions{InsecureSkipVerify: true}
	conn, err := transport.CoderWebsocketImplementation{AcceptOptions: options}.Accept(w, r, o)
	if err != nil {
		return nil, err
	}
	session := sessionOf(r.Context())
	session.conn = conn.(fullConn)
	return socket{newStrictConn(session.conn), session, a.streams.ctx}, nil
}

type fullConn interface {
	transport.WebsocketConn
	transport.WebsocketReadLimiter
	transport.WebsocketReadDeadliner
}

// socket is a connection that gives clients the right reason when the server goes away or their credentials end. gqlgen
// has only a normal closure for both, after which clients take their subscriptions for complete.
type socket struct {
	fullConn
	session *socketSession
	server  context.Context
}

// WriteClose is part of gqlgen's interface.
func (s socket) WriteClose(code int, message string) error {
	switch {
	case code != transport.WebsocketCloseNormalClosure:
	case s.server.Err() != nil:
		code, message = int(websocket.StatusGoingAway), "the server is stopping"
	case s.session.refused.Load():
		code, message = closeForbidden, "Forbidden"
	}
	return s.fullConn.WriteClose(code, message)
}

// socketLimit is an extension that limits the operations of a client on its sockets. httpTransport limits those over
// HTTP itself.
type socketLimit struct{ clients *clients }

// ExtensionName is part of gqlgen's interface.
func (socketLimit) ExtensionName() string { return "SocketLimit" }

// Validate is part of gqlgen's interface.
func (socketLimit) Validate(graphql.ExecutableSchema) error { return nil }

// InterceptOperation counts an operation until its context ends. On a socket each operation has a context of its own.
func (l socketLimit) InterceptOperation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	if sessionOf(ctx) == nil {
		return next(ctx)
	}
	who, _ := auth.CallerOf(ctx)
	client, kind := l.clients.of(who.Client), graphql.GetOperationContext(ctx).Operation.Operation
	if !client.rate.Allow() {
		return tooMuch(errTooFast)
	}
	place, err := client.begin(kind)
	if err != nil {
		return tooMuch(err)
	}
	context.AfterFunc(ctx, func() { place.Release(1) })
	if kind != ast.Subscription {
		timed, cancel := context.WithTimeout(ctx, operationTime)
		context.AfterFunc(timed, cancel)
		ctx = timed
	}
	return next(ctx)
}

// tooMuch returns the answer to an operation of a client that does too much.
func tooMuch(err error) graphql.ResponseHandler {
	return graphql.OneShot(&graphql.Response{Errors: gqlerror.List{{
		Message:    err.Error(),
		Extensions: map[string]any{"code": CodeUnavailable},
	}}})
}
