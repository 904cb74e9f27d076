package repo

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Config are settings of a DB. The zero value is right for production.
type Config struct {
	// Logger gets what nobody is told otherwise: lazy stores that failed, runs that wait for the database. Defaults to
	// slog.Default().
	Logger *slog.Logger
	// MaxConns limits the connections to PostgreSQL, and the readers of SQLite. Defaults to 8.
	MaxConns int
	// Pooler says that PostgreSQL is reached through a proxy that pools transactions, such as PgBouncer: no prepared
	// statement outlives its transaction. Statements are described all the same, so that arguments have the database's
	// types.
	Pooler bool
	// Schema is that of the V1 tables on PostgreSQL, in which V2's and the engine's own are created too. Defaults to
	// "public". No search_path changes that.
	Schema string
	// Patience is how long Open tries while the database does not answer: it may be starting too. Defaults to 10 s,
	// less than 0 is one try.
	Patience time.Duration
	// PhasePatience is how long a change of phase, or of capture, tries while transactions are in its way. Defaults to
	// 30 s. It waits for a moment at a time, so that writers never wait behind it for longer.
	PhasePatience time.Duration
	// OnStatement is called with each SQL statement before it is sent, from many goroutines, to count or trace them.
	// Defaults to nothing.
	OnStatement func(sql string)
}

// DB is a database and the entities in it. It is safe for concurrent use once its entities are described and Check has
// passed.
type DB struct {
	dialect     dialect
	schema      string
	own         ownTables
	reader      *gorm.DB
	writer      *gorm.DB // PostgreSQL: the reader; SQLite: the one connection that writes
	readerDB    *sql.DB
	writerDB    *sql.DB
	logger      *slog.Logger
	onStatement func(string)
	entities    []*entity
	wake        chan struct{} // for Control.Work: a run was started or resumed here
	usage       *usageCounter
	// phasePatience is Config.PhasePatience.
	phasePatience time.Duration
	leases        leases
	maxConns      int                    // to PostgreSQL, for all entities
	secret        atomic.Pointer[string] // by which PostgreSQL's triggers tell our transactions, once it was read
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
		phasePatience: config.PhasePatience, logger: config.Logger, onStatement: config.OnStatement,
		wake: make(chan struct{}, 1), usage: newUsageCounter(), maxConns: config.MaxConns,
		leases: leases{length: leaseTime}, schema: cmp.Or(config.Schema, "public"),
	}
	if strings.ContainsAny(db.schema, "?$\x00") {
		return nil, fmt.Errorf("the schema %q: a name with ?, $ or NUL is not supported", db.schema)
	}
	var err error
	switch {
	case strings.HasPrefix(url, "postgres://"), strings.HasPrefix(url, "postgresql://"):
		err = openPostgres(db, url, config)
	case strings.HasPrefix(url, "sqlite:") && len(url) > len("sqlite:"):
		err = openSQLite(db, strings.TrimPrefix(url, "sqlite:"), config)
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

// reach tries until the database answers.
func (db *DB) reach(ctx context.Context, long time.Duration) error {
	const oneTry = 15 * time.Second
	return retry(ctx, patience{until: time.Now().Add(long)}, db.dialect.mayAnswerLater, func() error {
		ping, cancel := context.WithTimeout(ctx, oneTry)
		defer cancel()
		return db.Ping(ping)
	})
}

// strangeScheme says what a URL starts with, where that is surely no part of a password.
func strangeScheme(url string) string {
	scheme, _, found := strings.Cut(url, "://")
	if !found || !urlScheme.MatchString(scheme) {
		return "is none that we know"
	}
	return fmt.Sprintf("starts with %s://", scheme)
}

var urlScheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]{1,15}$`)

func openGORM(d gorm.Dialector) (*gorm.DB, error) {
	return gorm.Open(d, &gorm.Config{SkipDefaultTransaction: true, DisableAutomaticPing: true, Logger: logger.Discard})
}

// Close closes all connections. Transactions in flight are rolled back.
func (db *DB) Close() error {
	err := db.readerDB.Close()
	if db.writerDB != db.readerDB {
		err = errors.Join(err, db.writerDB.Close())
	}
	return err
}

// Ping returns nil when the database answers, else an ErrUnavailable.
func (db *DB) Ping(ctx context.Context) error {
	return db.classify(db.writerDB.PingContext(ctx))
}

// ReadOnly reports whether the database, or the role, lets this program write nothing. On SQLite it is false: a write
// tells.
func (db *DB) ReadOnly(ctx context.Context) (bool, error) {
	return db.dialect.readOnly(ctx, db.reading())
}

// Empty reports whether there is no table at all where V1's are to be: in the database, or in PostgreSQL in the schema.
func (db *DB) Empty(ctx context.Context) (bool, error) {
	n, err := db.dialect.countTables(ctx, db)
	return n == 0, err
}

// qualify is a table's name in a statement.
func (db *DB) qualify(table string) string { return db.dialect.qualify(db.schema, table) }

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

// session sends statements, each on its own or all within a transaction. A "?" is an argument.
type session struct {
	db     *DB
	gorm   *gorm.DB
	within bool // a transaction
	// decides says that decisions hang on what its queries answer: a standby's answer, to which a proxy may have led
	// them, is an error.
	decides bool
}

// reading is a session on the readers' connections, for what decisions hang on.
func (db *DB) reading() session { return session{db: db, gorm: db.reader, decides: true} }

// answering is a session on the readers' connections for statements that say themselves whether a standby answers.
func (db *DB) answering() session { return session{db: db, gorm: db.reader} }

// onConnection is a session on one connection of the writers'.
func (db *DB) onConnection(conn *sql.Conn) session {
	g := db.writer.WithContext(context.Background()) // a statement of its own, which may have a connection of its own
	g.Statement.ConnPool = conn
	return session{db: db, gorm: g, within: true}
}

// exec returns the number of rows that the statement wrote.
func (s session) exec(ctx context.Context, query string, args ...any) (int64, error) {
	s.db.observe(query)
	result := s.gorm.WithContext(ctx).Exec(query, args...)
	return result.RowsAffected, s.db.classify(result.Error)
}

// query calls scan for each row of the answer. A statement on its own is tried again while other transactions are in
// its way, as long as scan has not been called.
func (s session) query(ctx context.Context, scan func(*sql.Rows) error, query string, args ...any) error {
	scanned := false
	again := func(err error) bool { return isBusy(err) && !scanned && !s.within }
	return retry(ctx, patience{tries: busyTries}, again, func() error {
		return s.queryOnce(ctx, func(rows *sql.Rows) error {
			scanned = true
			return scan(rows)
		}, query, args...)
	})
}

func (s session) queryOnce(ctx context.Context, scan func(*sql.Rows) error, query string, args ...any) (err error) {
	s.db.observe(query)
	if s.decides {
		query = s.db.dialect.ofPrimary(query)
	}
	rows, err := s.gorm.WithContext(ctx).Raw(query, args...).Rows()
	if err != nil {
		return s.db.classify(err)
	}
	defer func() { err = s.db.classify(errors.Join(err, rows.Close())) }()
	for rows.Next() && err == nil {
		err = scan(rows)
	}
	return errors.Join(err, rows.Err())
}

// runBuilt runs a transaction on the writers' connection: its opening, then the statements that build returns from
// within it.
func runBuilt(ctx context.Context, db *DB, opening []string, build func(session) ([]string, error)) error {
	conn, err := db.writerDB.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // a connection that cannot be given back is closed: nothing is lost with it
	s := db.onConnection(conn)
	s.decides = true
	run := func(statements []string) error {
		for _, statement := range statements {
			db.observe(statement)
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	}
	err = run(opening)
	if err == nil {
		var statements []string
		if statements, err = build(s); err == nil {
			err = run(append(statements, "COMMIT"))
		}
	}
	if err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_, rollbackErr := conn.ExecContext(undo, "ROLLBACK")
		return errors.Join(err, rollbackErr)
	}
	return nil
}

// number returns the one number that a query selects, 0 for NULL or no row.
func number(ctx context.Context, s session, query string, args ...any) (int64, error) {
	var n sql.NullInt64
	err := s.query(ctx, func(rows *sql.Rows) error { return rows.Scan(&n) }, query, args...)
	return n.Int64, err
}

func (db *DB) observe(query string) {
	if db.onStatement != nil {
		db.onStatement(query)
	}
}

// classify turns an error of the driver into one that says what the caller should do; what it does not know it returns
// as it is.
func (db *DB) classify(err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) {
		return err
	}
	if classified := db.dialect.classify(err); classified != nil {
		return classified
	}
	switch {
	case errors.Is(err, sql.ErrConnDone):
		return unavailable(CauseConnection, err)
	case errors.Is(err, context.DeadlineExceeded):
		return unavailable(CauseTimeout, err)
	default:
		return err
	}
}

// errDenied means that our role lacks a right. The database says which. It is an ErrUnavailable, since nothing is wrong
// with what was asked.
var errDenied error = deniedError{}

type deniedError struct{}

func (deniedError) Error() string        { return "our role may not do that" }
func (deniedError) Is(target error) bool { return target == ErrUnavailable }

// busyError means that another transaction was in the way: roll back and try again. It is an ErrUnavailable when tries
// run out.
type busyError struct{ err error }

func (e *busyError) Error() string   { return "busy: " + e.err.Error() }
func (e *busyError) Unwrap() []error { return []error{ErrUnavailable, e.err} }

// constraintError means that the database refused a row.
type constraintError struct {
	kind                      constraintKind
	table, constraint, column string        // as far as the database says
	refused                   *RefusedError // of a refusal
	err                       error
}

type constraintKind int

const (
	uniqueViolation constraintKind = iota
	foreignKeyViolation
	notNullViolation
	checkViolation
	badValue // out of range, too long, not of the column's type
	refusal  // V1's owner has raised an error of its own
)

func (e *constraintError) Error() string { return e.err.Error() }
func (e *constraintError) Unwrap() error { return e.err }
