// Package server serves a GraphQL schema with a repo.DB behind it over HTTP: queries and mutations, subscriptions by
// WebSocket and server-sent events, the schema, health, metrics and the playground. It decides who may ask for what,
// and how much. It counts who asks for the V1 shape, turns the engine's errors into codes, and works on runs. It knows
// no entity.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/alwaysup/coexist/auth"
	"github.com/alwaysup/coexist/repo"
)

// Options say who may use a server, from where, and how much. The zero Options are for a loopback address: everybody
// who reaches it is an operator, without limits.
type Options struct {
	// Logger logs what operators change and what fails. A handler from LogHandler adds the id of the request. Nil means
	// slog.Default().
	Logger *slog.Logger
	// Auth says who asks. Nil means that everybody is an operator. The server then answers only to loopback names.
	Auth *auth.Authenticator
	// Origins are the origins, besides the server's own, whose pages may use the server. CheckOrigin says what is
	// valid.
	Origins []string
	// Limits say what one client may do.
	Limits Limits
}

// Validate returns an error if an origin is not valid or a limit is negative. Its message names them by the flags of
// `coexist serve`.
func (o Options) Validate() error {
	for _, origin := range o.Origins {
		if err := CheckOrigin(origin); err != nil {
			return fmt.Errorf("--cors-origin has %w", err)
		}
	}
	if min(o.Limits.Rate, o.Limits.Operations, o.Limits.Subscriptions) < 0 {
		return errors.New(
			"--client-rate, --client-operations and --client-subscriptions cannot be negative: 0 is for any number")
	}
	return nil
}

// open reports whether everybody is an operator.
func (o Options) open() bool { return o.Auth == nil || o.Auth.Open() }

// checkOpen returns an error if everybody is an operator and every page in a browser could ask.
func (o Options) checkOpen() error {
	if o.open() && slices.Contains(o.Origins, "*") {
		return errors.New(
			"refusing --cors-origin=* without credentials, since every page in a browser here would be an operator: name the origins, or give --tokens-file or --oidc-issuer")
	}
	return nil
}

// checkAddress returns an error if others can reach the address while everybody is an operator. The check of the Host
// header in the routes does not keep others out, since that header can be forged.
func (o Options) checkAddress(address net.Addr) error {
	if tcp, ok := address.(*net.TCPAddr); ok && o.open() && !tcp.IP.IsLoopback() {
		return fmt.Errorf(
			"refusing to listen on %s without credentials, since everyone who reaches it would be an operator: give --tokens-file or --oidc-issuer, or a loopback address such as 127.0.0.1:8080", address)
	}
	return nil
}

// Listen listens on HOST:PORT for a server with these options. It fails if New or Serve would refuse them.
func Listen(addr string, options Options) (net.Listener, error) {
	if err := errors.Join(options.Validate(), options.checkOpen()); err != nil {
		return nil, err
	}
	address, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", addr, err)
	}
	if err := options.checkAddress(address); err != nil {
		return nil, err
	}
	listener, err := net.ListenTCP("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", addr, errors.Unwrap(err))
	}
	return listener, nil
}

// Server is an HTTP server that also does the background work of an engine. Make one with New.
type Server struct {
	// Handler answers all paths. A program can mount it in a server of its own. Serve does more: it works on runs, and
	// it ends cleanly.
	http.Handler
	db       *repo.DB
	control  *repo.Control
	options  Options
	streams  *streams
	clients  *clients
	troubles *troubles
}

const (
	// drainTime is how long requests in flight may take once the server has to stop.
	drainTime = 10 * time.Second
	// maxHeader limits the headers of a request, in bytes. It is more than any query over GET needs.
	maxHeader = 64 << 10
)

// New returns a server for a schema whose resolvers use db and control. LoadSchema makes the schema as clients should
// see it. New fails if the options are not valid, and for the origin * without Auth, since every page in a browser
// would be an operator then. It does not touch the database.
func New(schema graphql.ExecutableSchema, db *repo.DB, control *repo.Control, options Options) (*Server, error) {
	if err := errors.Join(options.Validate(), options.checkOpen()); err != nil {
		return nil, err
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	if options.Auth == nil {
		options.Auth = auth.New()
	}
	s := &Server{
		db: db, control: control, options: options,
		streams: newStreams(), clients: newClients(options.Limits), troubles: newTroubles(options.Logger),
	}
	s.Handler = s.routes(schema)
	return s, nil
}

// Serve answers requests and works on runs until ctx ends. Then it ends subscriptions, waits for requests in flight,
// for ten seconds at most, and stops the work at the end of its transaction. Work that is not committed is done again
// after the next start, and nothing is counted twice. Serve fails if others can reach the listener while everybody is
// an operator, and if the listener fails.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	if err := s.options.checkAddress(listener.Addr()); err != nil {
		return err
	}
	// No ReadTimeout and no WriteTimeout: they would cut streams. Each answer sets its own deadlines.
	web := &http.Server{
		Handler: s.Handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelDebug),
	}
	// The work outlives ctx: it goes on until the last request has been answered.
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	var working sync.WaitGroup
	working.Go(func() {
		if err := s.control.Work(work); err != nil {
			s.options.Logger.Error("the work on runs has ended", "error", err)
		}
	})
	defer working.Wait()
	defer stopWork()
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("cannot serve: %w", err)
	case <-ctx.Done():
	}
	s.options.Logger.Info("stopping")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	s.streams.stop()
	if err := errors.Join(web.Shutdown(drain), s.streams.wait(drain)); err != nil {
		s.options.Logger.Warn("requests in flight are cut off", "error", err)
		return web.Close()
	}
	return nil
}
