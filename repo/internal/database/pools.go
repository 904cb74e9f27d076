package database

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// Pools are the connections to a database, in the dialect that it speaks: the readers', and the writers'.
type Pools struct {
	Dialect     Dialect
	Schema      string // of V1's tables on PostgreSQL
	MaxConns    int    // to PostgreSQL, for all entities
	reader      *gorm.DB
	writer      *gorm.DB // PostgreSQL: the reader; SQLite: the one connection that writes
	ReaderDB    *sql.DB
	WriterDB    *sql.DB
	onStatement func(string)
	// numbered writes the arguments of a statement, each a "?", as the driver has them.
	numbered func(string) string
}

// Settings are what pools are opened with.
type Settings struct {
	Schema      string
	MaxConns    int          // to PostgreSQL, or the readers of SQLite
	Pooler      bool         // a proxy pools transactions
	OnStatement func(string) // gets each statement before it is sent; nil for nobody
}

func poolsOf(d Dialect, settings Settings) *Pools {
	return &Pools{
		Dialect: d, Schema: settings.Schema, MaxConns: settings.MaxConns, onStatement: settings.OnStatement,
	}
}

func openGORM(d gorm.Dialector) (*gorm.DB, error) {
	return gorm.Open(d, &gorm.Config{SkipDefaultTransaction: true, DisableAutomaticPing: true, Logger: logger.Discard})
}

// Close closes all connections. Transactions in flight are rolled back.
func (p *Pools) Close() error {
	err := p.ReaderDB.Close()
	if p.WriterDB != p.ReaderDB {
		err = errors.Join(err, p.WriterDB.Close())
	}
	return err
}

// Ping returns nil when the database answers, else an ErrUnavailable.
func (p *Pools) Ping(ctx context.Context) error { return p.Classify(p.WriterDB.PingContext(ctx)) }

// Qualify is a table's name in a statement.
func (p *Pools) Qualify(table string) string { return p.Dialect.Qualify(p.Schema, table) }

// Session sends statements, each on its own or all within a transaction. A "?" is an argument.
type Session struct {
	Pools  *Pools
	pool   gorm.ConnPool
	Within bool // a transaction
	// decides says that decisions depend on the answers to its queries. A proxy may have led a query to a standby,
	// whose answer is then an error.
	decides bool
}

// Reading returns a session on the readers' connections, for queries on which decisions depend.
func (p *Pools) Reading() Session { return Session{Pools: p, pool: p.reader.ConnPool, decides: true} }

// Answering returns a session on the readers' connections, for statements that themselves report whether a standby
// answers.
func (p *Pools) Answering() Session { return Session{Pools: p, pool: p.reader.ConnPool} }

// Writing returns a session on the writers' connections.
func (p *Pools) Writing() Session { return Session{Pools: p, pool: p.writer.ConnPool} }

// Once returns a session on the writers' connections whose queries are tried once.
func (p *Pools) Once() Session { return Session{Pools: p, pool: p.writer.ConnPool, Within: true} }

// OnConnection returns a session on one of the writers' connections.
func (p *Pools) OnConnection(conn *sql.Conn) Session {
	return Session{Pools: p, pool: conn, Within: true}
}

// Exec returns the number of rows that the statement wrote.
func (s Session) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	s.Pools.Observe(query)
	result, err := s.pool.ExecContext(ctx, s.Pools.numbered(query), args...)
	if err != nil {
		return 0, s.Pools.Classify(err)
	}
	n, err := result.RowsAffected()
	return n, s.Pools.Classify(err)
}

// Query calls scan for each row of the answer. A statement on its own is tried again while other transactions are in
// its way, as long as scan has not been called.
func (s Session) Query(ctx context.Context, scan func(*sql.Rows) error, query string, args ...any) error {
	scanned := false
	again := func(err error) bool { return IsBusy(err) && !scanned && !s.Within }
	return Retry(ctx, Patience{Tries: BusyTries}, again, func() error {
		return s.queryOnce(ctx, func(rows *sql.Rows) error {
			scanned = true
			return scan(rows)
		}, query, args...)
	})
}

func (s Session) queryOnce(ctx context.Context, scan func(*sql.Rows) error, query string, args ...any) (err error) {
	s.Pools.Observe(query)
	if s.decides {
		query = s.Pools.Dialect.OfPrimary(query)
	}
	rows, err := s.pool.QueryContext(ctx, s.Pools.numbered(query), args...)
	if err != nil {
		return s.Pools.Classify(err)
	}
	defer func() { err = s.Pools.Classify(errors.Join(err, rows.Close())) }()
	for rows.Next() && err == nil {
		err = scan(rows)
	}
	return errors.Join(err, rows.Err())
}

// RunBuilt runs a transaction on one of the writers' connections: first opening, then the statements that build
// returns. It calls build within the transaction.
func RunBuilt(ctx context.Context, p *Pools, opening []string, build func(Session) ([]string, error)) error {
	conn, err := p.WriterDB.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // a connection that cannot be given back is closed: nothing is lost with it
	s := p.OnConnection(conn)
	s.decides = true
	run := func(statements []string) error {
		for _, statement := range statements {
			p.Observe(statement)
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
		// Roll back even when ctx has ended.
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_, rollbackErr := conn.ExecContext(undo, "ROLLBACK")
		return errors.Join(err, rollbackErr)
	}
	return nil
}

// Number returns the one number that a query selects, 0 for NULL or no row.
func (s Session) Number(ctx context.Context, query string, args ...any) (int64, error) {
	var n sql.NullInt64
	err := s.Query(ctx, func(rows *sql.Rows) error { return rows.Scan(&n) }, query, args...)
	return n.Int64, err
}

// Observe passes a statement to Settings.OnStatement.
func (p *Pools) Observe(query string) {
	if p.onStatement != nil {
		p.onStatement(query)
	}
}

// Classify turns an error of the driver into one that says what the caller should do. It returns an error that it does
// not know as it is.
func (p *Pools) Classify(err error) error {
	if err == nil || errors.Is(err, ErrUnavailable) {
		return err
	}
	if classified := p.Dialect.Classify(err); classified != nil {
		return classified
	}
	switch {
	case errors.Is(err, sql.ErrConnDone):
		return Unavailable(CauseConnection, err)
	case errors.Is(err, context.DeadlineExceeded):
		return Unavailable(CauseTimeout, err)
	default:
		return err
	}
}
