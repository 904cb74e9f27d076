package main

import (
	"context"
	_ "embed" // the schema
	"errors"
	"log/slog"
	"net"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/alwaysup/coexist/auth"
	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/resolvers"
	"github.com/alwaysup/coexist/server"
)

//go:embed schema.graphqls
var schemaSource string

// serveCommand is `coexist serve`.
type serveCommand struct {
	Addr string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"The address to listen on. Without credentials it must be a loopback address. Port 0 picks a free port. Default: ${default}."`
	authFlags
	accessFlags
	sampleFlags
}

// Validate checks the flags. kong calls it.
func (c *serveCommand) Validate() error {
	return errors.Join(c.authFlags.Validate(), c.accessFlags.Validate(), c.sampleFlags.Validate())
}

// Run serves until ctx ends. Then it lets requests in flight finish, and returns nil.
func (c *serveCommand) Run(ctx context.Context, env *environment) error {
	authenticator, err := c.authenticator(ctx, env.logger)
	if err != nil {
		return err
	}
	options := c.options()
	options.Auth, options.Logger = authenticator, env.logger
	listener, err := server.Listen(c.Addr, options) // first, so that a bad address touches no database
	if err != nil {
		return err
	}
	defer listener.Close() //nolint:errcheck // Serve has closed it, unless something failed earlier
	db, err := c.openDatabase(ctx, env)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // what the database has not confirmed by now is lost in any case
	if err := logStart(ctx, env.logger, listener.Addr(), db, authenticator); err != nil {
		return err
	}
	s, err := newServer(db, options)
	if err != nil {
		return err
	}
	return s.Serve(ctx, listener)
}

// newServer returns the server of Coexist's schema.
func newServer(db *database, options server.Options) (*server.Server, error) {
	return server.New(executable(db.resolver), db.DB, db.control(), options)
}

// executable returns the schema with its resolvers.
func executable(root *resolvers.Resolver) graphql.ExecutableSchema {
	return graph.NewExecutableSchema(graph.Config{
		Schema: loadSchema(), Resolvers: root,
		Directives: resolvers.Directives(), Complexity: resolvers.Costs(),
	})
}

func loadSchema() *ast.Schema {
	return server.LoadSchema(&ast.Source{Name: "schema.graphqls", Input: schemaSource})
}

// openDatabase opens the database that was given. Without one it opens coexist.db, which it creates with the sample if
// it does not exist.
func (c *serveCommand) openDatabase(ctx context.Context, env *environment) (*database, error) {
	if env.database.given() == "" {
		if err := c.fillEmbedded(ctx, env); err != nil {
			return nil, err
		}
	}
	return env.open(ctx, installing)
}

func logStart(ctx context.Context, logger *slog.Logger, address net.Addr, db *database,
	authenticator *auth.Authenticator,
) error {
	migrations, err := db.control().Migrations(ctx)
	if err != nil {
		return err
	}
	var phases []string
	for _, m := range migrations {
		phases = append(phases, m.Entity+" "+string(m.Phase))
	}
	logger.Info("serving", "url", "http://"+address.String(), "database", db.name, "phases", strings.Join(phases, ", "))
	if authenticator.Open() {
		logger.Warn("no credentials are configured: everyone who reaches this loopback address is an operator")
	}
	return nil
}
