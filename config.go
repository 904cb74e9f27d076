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

// commandLine holds everything that the command line and the environment can set.
type commandLine struct {
	Version   kong.VersionFlag `help:"Print the version."`
	LogFormat string           `enum:"text,json" default:"text" help:"The format of the log on stderr: text or json. Default: ${default}."`
	LogLevel  slog.Level       `default:"info" placeholder:"LEVEL" help:"The lowest level to log: debug, info, warn or error. Default: ${default}."`
	databaseFlags

	Serve    serveCommand    `cmd:"" default:"withargs" help:"Serve GraphQL and the playground (the default)."`
	Seed     seedCommand     `cmd:"" help:"Fill a database with sample data. Existing rows stay as they are."`
	DDL      ddlCommand      `cmd:"" name:"ddl" help:"Print the SQL that creates V2's tables, the engine's own tables and the triggers on V1's tables, for a database administrator."`
	Sweep    sweepCommand    `cmd:"" help:"Migrate the rows that have not moved with use, and show the progress. Needs no server, and may run beside running servers."`
	Rehearse rehearseCommand `cmd:"" help:"Convert every row without storing any, and show what could not be converted."`
	Verify   verifyCommand   `cmd:"" help:"Compare both shapes row by row, and show what differs."`
	Restore  restoreCommand  `cmd:"" help:"Rebuild V1 from V2, to go back from CONTRACT."`
	Phase    phaseCommand    `cmd:"" help:"Show the phase of an entity and what blocks the next phase, or change the phase."`
	Token    tokenCommand    `cmd:"" help:"Make a token and its line for serve --tokens-file."`
	Status   statusCommand   `cmd:"" help:"Show the progress of each migration."`
}

// databaseFlags say which database to use, and how.
type databaseFlags struct {
	DatabaseURL string        `name:"database-url" placeholder:"URL" help:"postgres://USER@HOST/DATABASE or sqlite:PATH. Default: the variable DATABASE_URL, else the file coexist.db in the working directory. If coexist.db does not exist, serve creates it and fills it with sample data. A database named here is never filled unasked."`
	AutoMigrate bool          `default:"true" negatable:"" help:"Create what is missing of V2's tables, the engine's own tables and the triggers on V1's tables, which capture the writes of other programs. Nothing else about V1 is touched. Default: ${default}."`
	V1Schema    string        `name:"v1-schema" default:"public" placeholder:"NAME" help:"The schema of the V1 tables on PostgreSQL. V2's tables and the engine's own are created in it too. A search_path does not change that. Default: ${default}."`
	Pooler      bool          `help:"Keep no prepared statements, because PostgreSQL is reached through a proxy that pools transactions, such as PgBouncer."`
	Patience    time.Duration `name:"database-patience" default:"10s" placeholder:"TIME" help:"How long to keep trying at the start if the database does not answer. Default: ${default}."`
	PhaseTime   time.Duration `name:"phase-patience" default:"30s" placeholder:"TIME" help:"How long a change of phase keeps trying while other transactions are in its way. Writers never wait behind it for longer than a moment. A change through the API ends after a minute at the latest. Default: ${default}."`
	MaxConns    int           `default:"8" placeholder:"N" help:"The maximum number of connections to PostgreSQL, or of readers of SQLite. Default: ${default}."`
}

// given returns the URL from the flag or from DATABASE_URL, or "" if neither is set.
func (f *databaseFlags) given() string { return cmp.Or(f.DatabaseURL, os.Getenv("DATABASE_URL")) }

// Validate checks the flags. kong calls it.
func (f *databaseFlags) Validate() error {
	if f.MaxConns < 1 || f.MaxConns > 1000 {
		return fmt.Errorf("--max-conns is %d, but must be from 1 to 1000", f.MaxConns)
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

// command is a command of the command line.
type command interface {
	Run(ctx context.Context, env *environment) error
}

// parse reads the command line and the environment, and makes the logger the default one. --help and --version end the
// process.
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
	server.TuneMemory(env.logger)
	return parsed.Selected().Target.Addr().Interface().(command), env, nil
}

// version returns the version of the module, or the commit from which it was built.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "of unknown origin"
}

// actor returns the name under which the history keeps what the command line does.
func actor() string {
	if u, err := user.Current(); err == nil {
		return "command line (" + u.Username + ")"
	}
	return "command line"
}

// entityName is the name of an entity as people type it, in any case.
type entityName string

// of returns the entity's name as the database has it. It fails if the database has no such entity.
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
