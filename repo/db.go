package repo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Options are settings of a DB. The zero value is right for production.
type Options struct {
	// Logger gets what nobody is told otherwise: lazy stores that failed, runs that wait for the database. Defaults to slog.Default().
	Logger *slog.Logger
	// MaxConns limits the connections to PostgreSQL, and the readers of SQLite. Defaults to 8.
	MaxConns int
	// Patience is how long Open tries while the database does not answer: it may be starting too. Defaults to 10 s, less than 0
	// is one try.
	Patience time.Duration
	// OnStatement is called with each SQL statement before it is sent, from many goroutines, to count or trace them.
	// Defaults to nothing.
	OnStatement func(sql string)
}

// DB is a database and the entities in it. It is safe for concurrent use once its entities are described and Check has passed.
type DB struct {
	dialect     dialect
	reader      *gorm.DB
	writer      *gorm.DB // PostgreSQL: the reader; SQLite: the one connection that writes
	readerDB    *sql.DB
	writerDB    *sql.DB
	logger      *slog.Logger
	onStatement func(string)
	entities    []*entity
	wake        chan struct{} // for Control.Work: a run was started or resumed here
	usage       *usageCounter
}

// Open connects to the database at url, which is "postgres://…", "postgresql://…" or "sqlite:PATH". A SQLite file is created
// if it does not exist. A database that does not answer is tried again for a while (Options.Patience); one that refuses us is
// not. An error names what is wrong in one line, without the password.
func Open(ctx context.Context, url string, o Options) (*DB, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MaxConns <= 0 {
		o.MaxConns = 8
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	db := &DB{logger: o.Logger, onStatement: o.OnStatement, wake: make(chan struct{}, 1), usage: newUsageCounter()}
	var err error
	switch {
	case strings.HasPrefix(url, "postgres://"), strings.HasPrefix(url, "postgresql://"):
		err = openPostgres(db, url, o)
	case strings.HasPrefix(url, "sqlite:") && len(url) > len("sqlite:"):
		err = openSQLite(db, strings.TrimPrefix(url, "sqlite:"), o)
	default:
		scheme, _, _ := strings.Cut(url, ":")
		return nil, fmt.Errorf("the database URL starts with %q: give postgres://USER@HOST/DATABASE or sqlite:PATH", scheme)
	}
	if err != nil {
		return nil, err
	}
	if err := db.reach(ctx, o.Patience); err != nil {
		// The driver says where it tried on one line, and what went wrong on those that follow.
		return nil, errors.Join(fmt.Errorf("cannot open the database: %s", strings.Join(strings.Fields(err.Error()), " ")), db.Close())
	}
	return db, nil
}

// reach tries until the database answers.
func (db *DB) reach(ctx context.Context, patience time.Duration) error {
	const oneTry = 15 * time.Second
	deadline := time.Now().Add(patience)
	for try := 1; ; try++ {
		ping, cancel := context.WithTimeout(ctx, oneTry)
		err := db.Ping(ping)
		cancel()
		if err == nil || !db.dialect.mayAnswerLater(err) || time.Now().After(deadline) || pause(ctx, backOff(try)) != nil {
			return err
		}
	}
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	return line
}

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

// Empty reports whether the database has no table at all.
func (db *DB) Empty(ctx context.Context) (bool, error) {
	n, err := number(ctx, db.reading(), db.dialect.countTables())
	return n == 0, err
}

// session sends statements, each on its own or all within a transaction. A "?" is an argument.
type session struct {
	db   *DB
	gorm *gorm.DB
}

// reading is a session on the readers' connections.
func (db *DB) reading() session { return session{db, db.reader} }

// onConnection is a session on one connection of the writers'.
func (db *DB) onConnection(conn *sql.Conn) session {
	g := db.writer.WithContext(context.Background()) // a statement of its own, which may have a connection of its own
	g.Statement.ConnPool = conn
	return session{db, g}
}

// exec returns the number of rows that the statement wrote.
func (s session) exec(ctx context.Context, query string, args ...any) (int64, error) {
	s.db.observe(query)
	result := s.gorm.WithContext(ctx).Exec(query, args...)
	return result.RowsAffected, s.db.classify(result.Error)
}

// query calls scan for each row of the answer.
func (s session) query(ctx context.Context, scan func(*sql.Rows) error, query string, args ...any) (err error) {
	s.db.observe(query)
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

// classify turns an error of the driver into one that says what the caller should do; what it does not know it returns as it is.
func (db *DB) classify(err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) {
		return err
	}
	if classified := db.dialect.classify(err); classified != nil {
		return classified
	}
	switch {
	case errors.Is(err, sql.ErrConnDone), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	default:
		return err
	}
}

// errDenied means that our role lacks a right. The database says which.
var errDenied = errors.New("our role may not do that")

// busyError means that another transaction was in the way: roll back and try again. It is an ErrUnavailable when tries run out.
type busyError struct{ err error }

func (e *busyError) Error() string   { return "busy: " + e.err.Error() }
func (e *busyError) Unwrap() []error { return []error{ErrUnavailable, e.err} }

// constraintError means that the database refused a row.
type constraintError struct {
	kind                      constraintKind
	table, constraint, column string // as far as the database says
	err                       error
}

type constraintKind int

const (
	uniqueViolation constraintKind = iota
	foreignKeyViolation
	notNullViolation
	checkViolation
	badValue // out of range, too long, not of the column's type
)

func (e *constraintError) Error() string { return e.err.Error() }
func (e *constraintError) Unwrap() error { return e.err }
