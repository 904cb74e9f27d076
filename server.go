// Coexist serves an old table shape, V1, and a new one, V2, side by side through one GraphQL schema, while the data moves
// from the one to the other. This package is the wiring: command line, database, HTTP. `coexist --help` says how to use it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

//go:generate go tool gqlgen generate

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the program. It returns the exit status: 0, 1 for what failed, 2 for a command line that makes no sense. An error is
// one line on stderr.
func run(args []string, stdout, stderr io.Writer) int {
	command, env, err := parse(args, stdout, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "coexist: %s (coexist --help explains)\n", oneLine(err))
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := command.Run(ctx, env); err != nil {
		fmt.Fprintln(stderr, "coexist:", oneLine(err))
		return 1
	}
	return 0
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// serveCommand is `coexist serve`.
type serveCommand struct {
	Addr string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where to listen; without credentials a loopback address. Port 0 takes a free one. Default: ${default}."`
	authFlags
	originFlags
	clientFlags
	sampleFlags
}

// Validate is called by kong.
func (c *serveCommand) Validate() error {
	return errors.Join(c.authFlags.Validate(), c.originFlags.Validate(), c.clientFlags.Validate(), c.sampleFlags.Validate())
}

// Run serves until ctx ends, then lets requests in flight end, and returns nil.
func (c *serveCommand) Run(ctx context.Context, env *environment) error {
	auth, err := c.authenticator(ctx, env.logger)
	if err != nil {
		return err
	}
	origins, err := c.origins(auth)
	if err != nil {
		return err
	}
	address, err := c.address(auth)
	if err != nil {
		return err
	}
	listener, err := net.ListenTCP("tcp", address)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", c.Addr, errors.Unwrap(err))
	}
	defer listener.Close() //nolint:errcheck // it is closed by then, unless something else has failed
	db, err := c.openDatabase(ctx, env)
	if err != nil {
		return err
	}
	// What the database has not confirmed by now is lost in any case.
	defer db.Close() //nolint:errcheck // see above
	if err := logStart(ctx, env.logger, listener.Addr(), db, auth); err != nil {
		return err
	}
	return newServer(db, env.logger, access{auth, origins, newClients(c.clientFlags)}).serve(ctx, listener)
}

// openDatabase opens the database that was given, or coexist.db, which it fills with the sample when it is new.
func (c *serveCommand) openDatabase(ctx context.Context, env *environment) (*database, error) {
	if env.database.given() == "" {
		if err := c.fillEmbedded(ctx, env); err != nil {
			return nil, err
		}
	}
	return env.open(ctx, installing)
}

// address resolves where to listen. It fails on an address that others can reach while everyone who reaches it is an operator.
func (c *serveCommand) address(auth *authenticator) (*net.TCPAddr, error) {
	address, err := net.ResolveTCPAddr("tcp", c.Addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", c.Addr, err)
	}
	if auth.open() && !address.IP.IsLoopback() {
		return nil, fmt.Errorf("refusing to listen on %s without credentials, since everyone who reaches it would be an operator: give --tokens-file or --oidc-issuer, or a loopback address such as 127.0.0.1:8080", c.Addr)
	}
	return address, nil
}

func logStart(ctx context.Context, logger *slog.Logger, address net.Addr, db *database, auth *authenticator) error {
	migrations, err := db.control().Migrations(ctx)
	if err != nil {
		return err
	}
	var phases []string
	for _, m := range migrations {
		phases = append(phases, m.Entity+" "+string(m.Phase))
	}
	logger.Info("serving", "url", "http://"+address.String(), "database", db.name, "phases", strings.Join(phases, ", "))
	if auth.open() {
		logger.Warn("no credentials are configured: everyone who reaches this loopback address is an operator")
	}
	return nil
}

// server is the HTTP server with the background work.
type server struct {
	db      *database
	logger  *slog.Logger
	streams *streams
	handler http.Handler
}

const (
	// drainTime is how long requests in flight may take once the server is told to stop.
	drainTime = 10 * time.Second
	// maxHeader is more than any query over GET needs.
	maxHeader = 64 << 10
)

func newServer(db *database, logger *slog.Logger, access access) *server {
	s := &server{db: db, logger: logger, streams: newStreams()}
	s.handler = newRoutes(db, logger, s.streams, access)
	return s
}

// serve answers requests and does the work of runs until ctx ends. Then it ends subscriptions, waits for requests in flight,
// for drainTime at most, and stops the work at the end of its transaction: what is not committed is done again after the
// next start, and nothing is counted twice.
func (s *server) serve(ctx context.Context, listener net.Listener) error {
	// No ReadTimeout or WriteTimeout: they would cut streams. Each answer sets its own.
	web := &http.Server{
		Handler: s.handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
	}
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	var working sync.WaitGroup
	working.Go(func() {
		if err := s.db.control().Work(work); err != nil {
			s.logger.Error("the work on runs has ended", "error", err)
		}
	})
	working.Go(func() { s.db.control().KeepV1Usage(work) })
	defer working.Wait()
	defer stopWork()
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("cannot serve: %w", err)
	case <-ctx.Done():
	}
	s.logger.Info("stopping")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	s.streams.stop()
	if err := errors.Join(web.Shutdown(drain), s.streams.wait(drain)); err != nil {
		s.logger.Warn("requests in flight are cut off", "error", err)
		return web.Close()
	}
	return nil
}
