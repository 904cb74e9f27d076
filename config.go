package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"runtime/debug"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/server"
)

const description = `Serves an old table shape and a new one side by side through one GraphQL schema, while the data moves from the one to the other.

Every flag is also an environment variable, which --help names; a flag wins over it.

Examples:
  coexist                                          sample data in ./coexist.db, on http://127.0.0.1:8080
  coexist --database-url postgres://me@db/northwind
  coexist ddl --database-url postgres://me@db/northwind | less
  coexist seed --database-url sqlite:trial.db --sample 100000
  coexist rehearse CUSTOMER
  coexist phase CUSTOMER MIGRATE --reason "rehearsed"
  coexist sweep CUSTOMER
  coexist verify CUSTOMER
  coexist status --json`

// commandLine is all that the command line and the environment can say.
type commandLine struct {
	Version   kong.VersionFlag `help:"Print the version."`
	LogFormat string           `enum:"text,json" default:"text" help:"How to log to stderr: text or json. Default: ${default}."`
	LogLevel  slog.Level       `default:"info" placeholder:"LEVEL" help:"What to log: debug, info, warn or error. Default: ${default}."`
	databaseFlags

	Serve    serveCommand    `cmd:"" default:"withargs" help:"Serve GraphQL and the playground (the default)."`
	Seed     seedCommand     `cmd:"" help:"Fill a database with sample data; rows that are there stay as they are."`
	DDL      ddlCommand      `cmd:"" name:"ddl" help:"Print the SQL that creates V2's tables, the engine's own and the triggers on V1's, for a database administrator."`
	Sweep    sweepCommand    `cmd:"" help:"Migrate what use did not, and show how far it is. Needs no server, and may run beside some."`
	Rehearse rehearseCommand `cmd:"" help:"Convert every row and store none, and show what could not be converted."`
	Verify   verifyCommand   `cmd:"" help:"Compare both shapes row by row, and show what differs."`
	Restore  restoreCommand  `cmd:"" help:"Rebuild V1 from V2, for going back from CONTRACT."`
	Phase    phaseCommand    `cmd:"" help:"Show the phase of an entity and what blocks the next, or change it."`
	Token    tokenCommand    `cmd:"" help:"Make a token, and its line for serve --tokens-file."`
	Status   statusCommand   `cmd:"" help:"Show how far each migration is."`
}

// databaseFlags say which database, and how to use it.
type databaseFlags struct {
	DatabaseURL string        `name:"database-url" placeholder:"URL" help:"postgres://USER@HOST/DATABASE or sqlite:PATH; else that of the variable DATABASE_URL. Without any it is the file coexist.db here, which serve creates and fills with sample data when it is not there. A database that was given is never filled unasked."`
	AutoMigrate bool          `default:"true" negatable:"" help:"Create V2's tables and the engine's own where they are missing, and the triggers on V1's that capture writes of other programs; nothing else about V1 is touched. Default: ${default}."`
	V1Schema    string        `name:"v1-schema" default:"public" placeholder:"NAME" help:"On PostgreSQL the schema of the V1 tables, in which V2's and the engine's own are created too; no search_path changes that. Default: ${default}."`
	Pooler      bool          `help:"PostgreSQL is reached through a proxy that pools transactions, such as PgBouncer: keep no prepared statements."`
	Patience    time.Duration `name:"database-patience" default:"10s" placeholder:"TIME" help:"How long to try at the start while the database does not answer. Default: ${default}."`
	PhaseTime   time.Duration `name:"phase-patience" default:"30s" placeholder:"TIME" help:"How long a change of phase tries while transactions of others are in its way. Writers never wait behind it for longer than a moment. A change that the API asks for ends after a minute at the latest. Default: ${default}."`
	MaxConns    int           `default:"8" placeholder:"N" help:"Connections to PostgreSQL, or readers of SQLite. Default: ${default}."`
}

// given is the URL that was given, "" for none.
func (f *databaseFlags) given() string { return cmp.Or(f.DatabaseURL, os.Getenv("DATABASE_URL")) }

// Validate is called by kong.
func (f *databaseFlags) Validate() error {
	if f.MaxConns < 1 || f.MaxConns > 1000 {
		return fmt.Errorf("--max-conns is %d, possible is 1 to 1000", f.MaxConns)
	}
	if f.Patience < 0 {
		return fmt.Errorf("--database-patience is %v, and cannot be negative", f.Patience)
	}
	if f.PhaseTime <= 0 {
		return fmt.Errorf("--phase-patience is %v, and must be positive", f.PhaseTime)
	}
	return nil
}

// environment is what every command needs.
type environment struct {
	stdout, stderr io.Writer
	logger         *slog.Logger
	database       *databaseFlags
}

// command is what the command line asks for.
type command interface {
	Run(ctx context.Context, env *environment) error
}

// parse reads the command line and the environment. --help and --version end the process.
func parse(args []string, stdout, stderr io.Writer) (command, *environment, error) {
	var line commandLine
	parser, err := kong.New(&line, kong.Name("coexist"), kong.Description(description), kong.DefaultEnvars("COEXIST"),
		kong.Vars{"version": "coexist " + version()}, kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110, NoExpandSubcommands: true}))
	if err != nil {
		return nil, nil, err
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return nil, nil, err
	}
	options := &slog.HandlerOptions{Level: line.LogLevel}
	var handler slog.Handler = slog.NewTextHandler(stderr, options)
	if line.LogFormat == "json" {
		handler = slog.NewJSONHandler(stderr, options)
	}
	env := &environment{
		stdout: stdout, stderr: stderr, logger: slog.New(server.LogHandler(handler)),
		database: &line.databaseFlags,
	}
	slog.SetDefault(env.logger)
	return parsed.Selected().Target.Addr().Interface().(command), env, nil
}

// version is that of the module, or of the commit that it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "of unknown origin"
	}
	return info.Main.Version
}

// actor is who gives commands on the command line, for the history.
func actor() string {
	if u, err := user.Current(); err == nil {
		return "command line (" + u.Username + ")"
	}
	return "command line"
}

// entityName is an entity as people type it.
type entityName string

// of returns the entity's name. It fails where the database has no such entity.
func (n entityName) of(migrations []repo.Migration) (string, error) {
	var names []string
	for _, m := range migrations {
		if strings.EqualFold(m.Entity, string(n)) {
			return m.Entity, nil
		}
		names = append(names, m.Entity)
	}
	return "", fmt.Errorf("there is no entity %s: choose from %s", n, strings.Join(names, ", "))
}
