package repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// Config are settings of a DB. The zero value is right for production.
type Config struct {
	// Logger receives what no caller is told: lazy stores that failed, runs that wait for the database. Defaults to
	// slog.Default().
	Logger *slog.Logger
	// MaxConns limits the connections to PostgreSQL, and the readers of SQLite. Defaults to 8.
	MaxConns int
	// Pooler says that PostgreSQL is reached through a proxy that pools transactions, such as PgBouncer: no prepared
	// statement outlives its transaction. Statements are still described, so that arguments have the database's types.
	Pooler bool
	// Schema is the schema of the V1 tables on PostgreSQL. V2's tables and the engine's own are created in it too.
	// Defaults to "public". A search_path does not change that.
	Schema string
	// Patience is how long Open keeps trying while the database does not answer, since it may still be starting.
	// Defaults to 10 s; a negative value means one try.
	Patience time.Duration
	// PhasePatience is how long a change of phase, or of capture, tries while transactions are in its way. Defaults to
	// 30 s. Each try waits only briefly, so writers never wait behind it for longer than that.
	PhasePatience time.Duration
	// OnStatement is called with each SQL statement before it is sent, from many goroutines, to count or trace them.
	// Defaults to nothing.
	OnStatement func(sql string)
}

// DB is a database and the entities in it. It is safe for concurrent use once its entities are described and Check has
// passed.
type DB struct {
	dialect  dialect
	pools    *database.Pools
	own      ownTables
	logger   *slog.Logger
	entities []*entity
	wake     chan struct{} // for Control.Work: a run was started or resumed here
	usage    *usageCounter
	// phasePatience is Config.PhasePatience.
	phasePatience time.Duration
	leases        leases
	chunkRows     int                    // how many rows a chunk has when it is cut
	maxBytes      int                    // how much the rows of a batch may have
	addingKeys    singleflight.Group     // by entity, while its child keys are added
	secret        atomic.Pointer[string] // identifies our transactions to PostgreSQL's triggers; nil until it is read
}

// Open connects to the database at url, which is "postgres://…", "postgresql://…" or "sqlite:PATH". A SQLite file is
// created if it does not exist. A database that does not answer is tried again for a while (Config.Patience); one that
// refuses us is not. An error names what is wrong in one line, without the password.
func Open(ctx context.Context, url string, config Config) (*DB, error) {
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.MaxConns <= 0 {
		config.MaxConns = 8
	}
	if config.Patience == 0 {
		config.Patience = 10 * time.Second
	}
	if config.PhasePatience <= 0 {
		config.PhasePatience = 30 * time.Second
	}
	db := &DB{
		phasePatience: config.PhasePatience, chunkRows: chunkRows, maxBytes: maxBytes,
		logger: config.Logger, wake: make(chan struct{}, 1),
		usage: newUsageCounter(), leases: leases{length: leaseTime},
	}
	settings := database.Settings{
		Schema: cmp.Or(config.Schema, "public"), MaxConns: config.MaxConns, Pooler: config.Pooler,
		OnStatement: config.OnStatement,
	}
	if strings.ContainsAny(settings.Schema, "?$\x00") {
		return nil, fmt.Errorf("the schema %q: a name with ?, $ or NUL is not supported", settings.Schema)
	}
	var err error
	switch {
	case strings.HasPrefix(url, "postgres://"), strings.HasPrefix(url, "postgresql://"):
		if db.pools, err = database.OpenPostgres(url, settings); err == nil {
			db.dialect = dialectOf(db.pools.Dialect, postgres{})
		}
	case strings.HasPrefix(url, "sqlite:") && len(url) > len("sqlite:"):
		if db.pools, err = database.OpenSQLite(strings.TrimPrefix(url, "sqlite:"), settings); err == nil {
			db.dialect = dialectOf(db.pools.Dialect, sqlite{})
		}
	default:
		return nil, fmt.Errorf("the database URL %s: give postgres://USER@HOST/DATABASE or sqlite:PATH",
			strangeScheme(url))
	}
	if err != nil {
		return nil, err
	}
	db.own = ownTablesOf(db)
	if err := db.reach(ctx, config.Patience); err != nil {
		// The driver says where it tried on one line, and what went wrong on those that follow.
		return nil, errors.Join(fmt.Errorf("cannot open the database: %s", strings.Join(strings.Fields(err.Error()),
			" ")), db.Close())
	}
	return db, nil
}

// reach pings the database until it answers or long has passed.
func (db *DB) reach(ctx context.Context, long time.Duration) error {
	const oneTry = 15 * time.Second
	return database.Retry(ctx, database.Patience{Until: time.Now().Add(long)}, db.dialect.MayAnswerLater, func() error {
		ping, cancel := context.WithTimeout(ctx, oneTry)
		defer cancel()
		return db.Ping(ping)
	})
}

// strangeScheme says what a URL starts with, but only where that cannot be part of a password.
func strangeScheme(url string) string {
	scheme, _, found := strings.Cut(url, "://")
	if !found || !urlScheme.MatchString(scheme) {
		return "is none that we know"
	}
	return fmt.Sprintf("starts with %s://", scheme)
}

var urlScheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]{1,15}$`)

// Close closes all connections. Transactions in flight are rolled back.
func (db *DB) Close() error { return db.pools.Close() }

// Ping returns nil when the database answers, else an ErrUnavailable.
func (db *DB) Ping(ctx context.Context) error {
	return db.pools.Ping(ctx)
}

// ReadOnly reports whether the database or the role forbids this program all writes. On SQLite it is always false: only
// a write shows it.
func (db *DB) ReadOnly(ctx context.Context) (bool, error) {
	return db.dialect.ReadOnly(ctx, db.pools.Reading())
}

// Entities returns the names of the entities that New has described so far, in that order.
func (db *DB) Entities() []string {
	names := make([]string, len(db.entities))
	for i, e := range db.entities {
		names[i] = e.name
	}
	return names
}

// Empty reports whether there is no table at all where V1's are expected: in the database or, on PostgreSQL, in the
// schema.
func (db *DB) Empty(ctx context.Context) (bool, error) {
	n, err := db.dialect.CountTables(ctx, db.pools.Reading(), db.pools.Schema)
	return n == 0, err
}

// qualify is a table's name in a statement.
func (db *DB) qualify(table string) string { return db.pools.Qualify(table) }

// ownTables are the engine's own tables that all entities share, as statements name them. Each entity has two more.
type ownTables struct {
	version, secret, writer, inflight, entity, barrier, phaseChange, bypass, run, chunk, cut, finding, key, usage string
}

func ownTablesOf(db *DB) ownTables {
	return ownTables{
		version: db.qualify("coexist_schema"), secret: db.qualify("coexist_secret"),
		writer: db.qualify("coexist_writer"), inflight: db.qualify("coexist_inflight"),
		entity: db.qualify("coexist_entity"), barrier: db.qualify("coexist_barrier"),
		phaseChange: db.qualify("coexist_phase_change"), bypass: db.qualify("coexist_bypass"),
		run:   db.qualify("coexist_run"),
		chunk: db.qualify("coexist_chunk"), cut: db.qualify("coexist_cut"), finding: db.qualify("coexist_finding"),
		key: db.qualify("coexist_key"), usage: db.qualify("coexist_v1_usage"),
	}
}
