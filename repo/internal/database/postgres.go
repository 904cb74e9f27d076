package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	gormpostgres "gorm.io/driver/postgres"

	"github.com/alwaysup/coexist/repo/internal/shape"
)

// postgres is the dialect apart from the protocol.
type postgres struct{}

// OpenPostgres returns the pools of a PostgreSQL. It makes no connection yet.
func OpenPostgres(url string, settings Settings) (*Pools, error) {
	conn, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("the database URL is wrong: %s", shape.FirstLine(err))
	}
	if conn.ConnectTimeout == 0 {
		conn.ConnectTimeout = 5 * time.Second
	}
	if conn.ValidateConnect == nil {
		// While a replica becomes the primary, it may answer with an old state.
		conn.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	}
	if settings.Pooler {
		conn.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	conn.RuntimeParams["client_encoding"] = "UTF8" // else it is the database's, or what a role's settings say
	p := poolsOf(DialectOf(postgres{}), settings)
	p.numbered = Numbered
	p.ReaderDB = stdlib.OpenDB(*conn)
	p.ReaderDB.SetMaxOpenConns(settings.MaxConns)
	p.ReaderDB.SetMaxIdleConns(settings.MaxConns)
	p.WriterDB = p.ReaderDB
	p.reader, err = openGORM(gormpostgres.New(gormpostgres.Config{Conn: p.ReaderDB}))
	p.writer = p.reader
	return p, err
}

// BrokenForeignKey finds none: PostgreSQL creates no such key.
func (postgres) BrokenForeignKey(context.Context, Session, *shape.Table) (string, error) {
	return "", nil
}

func (postgres) Qualify(schema, table string) string { return Quote(schema) + "." + Quote(table) }

func (postgres) Classify(err error) error {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return classifyPostgres(err, pg)
	}
	netErr, isNet := errors.AsType[net.Error](err)
	_, isConnect := errors.AsType[*pgconn.ConnectError](err)
	switch {
	case errors.Is(err, pgconn.ErrStandbyConnection):
		return Unavailable(CauseStandby, err)
	case isNet && netErr.Timeout() && !isConnect:
		return Unavailable(CauseTimeout, err)
	case isNet, isConnect, errors.Is(err, driver.ErrBadConn), errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		pgconn.SafeToRetry(err), strings.Contains(err.Error(), "conn closed"):
		return Unavailable(CauseConnection, err)
	default:
		return nil
	}
}

func (postgres) MayAnswerLater(err error) bool {
	cause := CauseOf(err)
	return cause != "" && cause != CauseRights && cause != CauseSetting
}

func (postgres) MinPause() time.Duration { return 0 }

// BatchTarget is long, since nobody waits for more than single rows of a batch.
func (postgres) BatchTarget() time.Duration { return time.Second }

func (postgres) SkipLocked() string { return " FOR NO KEY UPDATE SKIP LOCKED" }

func (postgres) Now() string { return "clock_timestamp()" }

func (postgres) NowText() string {
	return `to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
}

func (postgres) Standby() string { return "pg_is_in_recovery()" }

func (postgres) Hides(tables []string) string {
	active := make([]string, len(tables))
	for i, t := range tables {
		active[i] = "coalesce(row_security_active(to_regclass(" + Literal(t) + ")), false)"
	}
	return strings.Join(active, " OR ")
}

func (postgres) Later(ms string) string {
	return Fill(`clock_timestamp() + make_interval(secs => CAST({ms} AS double precision) / 1000)`, "ms", ms)
}

func (postgres) NoKey(c *shape.Column) (condition, kind string) {
	return Fill(`t.{column} IS NULL`, "column", Quote(c.Name)), OnlyNull
}

func (postgres) KeyType(c *shape.Column) string {
	known, declared := c.Now(), ComparedAs(c)
	if declared == "text" {
		declared = "character varying"
	}
	if known.Collation != "" {
		declared += Fill(` COLLATE {collation}`, "collation", known.Collation)
	}
	return declared
}

func (postgres) AlterType(t *shape.Table, column, to string) []string {
	return []string{Fill(`ALTER TABLE {table} ALTER COLUMN {column} TYPE {to}`, "table", t.SQL,
		"column", Quote(column), "to", to)}
}

func (postgres) ColumnType(c *shape.Column) string { return c.Declared }

// Unnameable is false: any name can be quoted.
func (postgres) Unnameable(string) bool { return false }

// Strict is true: a column takes no value of another type.
func (postgres) Strict() bool { return true }
