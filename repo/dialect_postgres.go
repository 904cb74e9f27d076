package repo

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	gormpostgres "gorm.io/driver/postgres"
)

// postgres is the dialect of PostgreSQL 13 and later. It uses transaction-level locks and settings only, so that it works
// behind a proxy that pools transactions.
type postgres struct{}

const (
	writeLockTimeout = 2 * time.Second        // of a user's write that waits for its first row, before it backs off and tries again
	heldLockTimeout  = 100 * time.Millisecond // of all that waits while it holds rows: less than PostgreSQL's deadlock_timeout, so that no old program is a dead-lock's victim
	lazyLockTimeout  = 10 * time.Millisecond  // of a lazy store, before it gives up
	phaseLockTimeout = 300 * time.Millisecond // of a phase change, during which writers queue behind it
	idleTimeout      = 30 * time.Second       // of a transaction whose client has gone
)

func openPostgres(db *DB, url string, o Options) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("the database URL is wrong: %s", firstLine(err))
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	db.dialect = postgres{}
	db.readerDB = stdlib.OpenDB(*config)
	db.readerDB.SetMaxOpenConns(o.MaxConns)
	db.readerDB.SetMaxIdleConns(o.MaxConns)
	db.writerDB = db.readerDB
	db.reader, err = openGORM(gormpostgres.New(gormpostgres.Config{Conn: db.readerDB}))
	db.writer = db.reader
	return err
}

// begin sends everything in one round trip, as separate statements: a statement's snapshot is older than the lock it waits for.
func (postgres) begin(ctx context.Context, t *tx, e *entity, o opening) error {
	b := pipeline{db: t.db}
	timeout, lock := writeLockTimeout, "SELECT true FROM pg_advisory_xact_lock_shared(hashtextextended($1, 0))"
	if o.lazy {
		timeout, lock = lazyLockTimeout, "SELECT pg_try_advisory_xact_lock_shared(hashtextextended($1, 0))"
	}
	b.add(nil, "BEGIN ISOLATION LEVEL READ COMMITTED")
	b.add(nil, settings, e.name, milliseconds(timeout), milliseconds(idleTimeout), o.derived)
	free := true
	b.add(func(r pgx.Row) error { return r.Scan(&free) }, lock, fenceLock(e))
	var fenceJSON []byte
	b.add(func(r pgx.Row) error { return r.Scan(&fenceJSON, &t.seq) }, "SELECT CAST("+e.fenceQuery()+" AS text), nextval('coexist_seq')")
	guess := e.guess()
	if o.key != "" {
		locks := e.locks(guess, o.deleting)
		b.add(func(r pgx.Row) error {
			err := r.Scan(&t.locked)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			return err
		}, strings.Replace(locks[0], "?", "$1", 1), o.key)
		if !o.lazy {
			b.add(nil, heldTimeout, milliseconds(heldLockTimeout))
		}
		for _, lock := range locks[1:] {
			b.add(nil, strings.Replace(lock, "?", "$1", 1), o.key)
		}
	} else if !o.lazy {
		b.add(nil, heldTimeout, milliseconds(heldLockTimeout))
	}
	if err := b.send(ctx, t.conn); err != nil {
		return err
	}
	if !free {
		return &busyError{errors.New("the phase is changing")}
	}
	if err := e.decodeFence(fenceJSON, &t.fence); err != nil || o.key == "" {
		return err
	}
	return e.locked(guess, t.fence)
}

// settings are the transaction's. Only what can be derived again is committed without waiting for the disk.
const settings = "SELECT set_config('coexist.writer', $1, true), set_config('lock_timeout', $2, true), " +
	"set_config('idle_in_transaction_session_timeout', $3, true), CASE WHEN $4 THEN set_config('synchronous_commit', 'off', true) END"

const heldTimeout = "SELECT set_config('lock_timeout', $1, true)"

func fenceLock(e *entity) string { return "coexist/" + e.name }

func milliseconds(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }

func (postgres) changePhase(ctx context.Context, t *tx, e *entity) error {
	b := pipeline{db: t.db}
	b.add(nil, "BEGIN ISOLATION LEVEL READ COMMITTED")
	b.add(nil, settings, e.name, milliseconds(phaseLockTimeout), milliseconds(idleTimeout), false)
	// All entities' phases change one after another, since they depend on each other.
	b.add(nil, "SELECT true FROM pg_advisory_xact_lock(hashtextextended('coexist/phases', 0))")
	b.add(nil, "SELECT true FROM pg_advisory_xact_lock(hashtextextended($1, 0))", fenceLock(e))
	// An old program's transaction in flight would otherwise commit to V1 after V2 has become the truth.
	b.add(nil, "LOCK TABLE "+strings.Join(e.v1Tables(), ", ")+" IN SHARE ROW EXCLUSIVE MODE")
	var fenceJSON []byte
	b.add(func(r pgx.Row) error { return r.Scan(&fenceJSON) }, "SELECT CAST("+e.fenceQuery()+" AS text)")
	if err := b.send(ctx, t.conn); err != nil {
		return err
	}
	return e.decodeFence(fenceJSON, &t.fence)
}

func (postgres) blockers(ctx context.Context, s session, e *entity) ([]Transaction, error) {
	var blockers []Transaction
	err := s.query(ctx, func(rows *sql.Rows) error { return scanJSON(rows, &blockers) },
		`SELECT coalesce(json_agg(json_build_object('pid', a.pid, 'application', coalesce(a.application_name, ''), 'state', coalesce(a.state, ''), 'since', a.xact_start)
	ORDER BY a.xact_start), '[]')::text
FROM pg_stat_activity a WHERE a.pid <> pg_backend_pid() AND a.datname = current_database() AND a.xact_start IS NOT NULL AND a.pid IN (
	SELECT l.pid FROM pg_locks l WHERE l.granted AND (l.locktype = 'relation' AND l.relation IN (SELECT to_regclass(t.name) FROM json_array_elements_text(CAST(? AS json)) t(name))
			AND l.mode IN ('RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
		OR l.locktype = 'advisory' AND l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended(?, 0)))`,
		jsonList(e.v1Tables()), fenceLock(e))
	return blockers, err
}

func (p postgres) deleteMarks(e *entity) string {
	from, match := e.markRecords()
	return "DELETE FROM coexist_mark AS m USING " + from + " WHERE " + match
}

// deleteBypassMarks is one statement, so that a mark is logged by who deletes it.
func (p postgres) deleteBypassMarks(e *entity) []string {
	return []string{"WITH gone AS (" + p.deleteMarks(e) + " RETURNING m.entity, m.bypass, m.at)" +
		" INSERT INTO coexist_bypass (entity, count, at) SELECT entity, count(*), max(at) FROM gone WHERE bypass GROUP BY entity"}
}

func (postgres) foldBypass(entity string) []string {
	return []string{"WITH gone AS (DELETE FROM coexist_bypass WHERE entity = " + entity + " RETURNING count, at)" +
		" INSERT INTO coexist_bypass (entity, count, at) SELECT " + entity + ", sum(count), max(at) FROM gone HAVING count(*) > 0"}
}

func (postgres) shareFence(ctx context.Context, t *tx, e *entity) error {
	_, err := t.exec(ctx, "SELECT true FROM pg_advisory_xact_lock_shared(hashtextextended(?, 0))", fenceLock(e))
	return err
}

func (postgres) stopWriters(e *entity, condition string) []string {
	return []string{"SELECT pg_advisory_xact_lock(hashtextextended(" + literal(fenceLock(e)) + ", 0)) WHERE " + condition}
}

func (postgres) shortWait() []string {
	return []string{"SET LOCAL lock_timeout = '" + milliseconds(phaseLockTimeout) + "'"}
}

func (postgres) commit(ctx context.Context, t *tx) error {
	return t.conn.Raw(func(c any) error {
		tag, err := c.(*stdlib.Conn).Conn().Exec(ctx, "COMMIT")
		if err == nil && tag.String() != "COMMIT" {
			return fmt.Errorf("the database answered COMMIT with %s", tag)
		}
		return err
	})
}

// pipeline is a batch of statements that are sent in one round trip. Arguments are $1, $2 …
type pipeline struct {
	db    *DB
	batch pgx.Batch
}

// add queues a statement. scan, unless it is nil, reads its first row.
func (p *pipeline) add(scan func(pgx.Row) error, statement string, args ...any) {
	p.db.observe(statement)
	q := p.batch.Queue(statement, args...)
	if scan != nil {
		q.QueryRow(scan)
	}
}

func (p *pipeline) send(ctx context.Context, conn *sql.Conn) error {
	return conn.Raw(func(c any) error {
		return c.(*stdlib.Conn).Conn().SendBatch(ctx, &p.batch).Close()
	})
}

func (postgres) classify(err error) error {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		constraint := &constraintError{table: pg.TableName, constraint: pg.ConstraintName, column: pg.ColumnName, err: err}
		switch pg.Code {
		case "40001", "40P01", "55P03": // serialization failure, dead-lock, lock timeout
			return &busyError{err}
		case "23505", "23P01":
			constraint.kind = uniqueViolation
			return constraint
		case "23503", "23001":
			constraint.kind = foreignKeyViolation
			return constraint
		case "23502":
			constraint.kind = notNullViolation
			return constraint
		case "23514", "44000":
			constraint.kind = checkViolation
			return constraint
		case "42501":
			return fmt.Errorf("%w: %w", errDenied, err)
		case "57014", "25P03", "25006": // cancelled, idle for too long, a standby
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		switch pg.Code[:2] {
		case "22":
			constraint.kind = badValue
			return constraint
		case "08", "53", "57", "58": // connection, resources, shut-down, system
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return nil
	}
	_, isNet := errors.AsType[net.Error](err)
	_, isConnect := errors.AsType[*pgconn.ConnectError](err)
	if isNet || isConnect || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed") {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

func (postgres) mayAnswerLater(err error) bool { return errors.Is(err, ErrUnavailable) }

func (postgres) checkSettings(ctx context.Context, s session) error {
	digits, err := number(ctx, s, "SELECT CAST(current_setting('extra_float_digits') AS bigint)")
	if err == nil && digits < 1 {
		return fmt.Errorf("extra_float_digits is %d, which cuts real numbers short: ALTER ROLE … SET extra_float_digits = 1", digits)
	}
	return err
}

// creates matches the statements that create something unless it is there. Whoever may not create it may do without, where it
// is; and CREATE INDEX, unlike CREATE TABLE, keeps writers out also where there is nothing to create.
var creates = regexp.MustCompile(`^CREATE (?:TABLE|SEQUENCE|INDEX|UNIQUE INDEX) IF NOT EXISTS (\S+)`)

func (postgres) install(ctx context.Context, db *DB, all []string) error {
	var statements []string
	for _, s := range all {
		if name := creates.FindStringSubmatch(s); name != nil {
			if there, err := number(ctx, db.reading(), "SELECT count(*) FROM pg_class WHERE oid = to_regclass(?)", name[1]); err != nil || there > 0 {
				if err != nil {
					return err
				}
				continue
			}
		}
		statements = append(statements, s)
	}
	conn, err := db.writerDB.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // a connection that cannot be given back is closed: nothing is lost with it
	opening := []string{"BEGIN ISOLATION LEVEL READ COMMITTED", "SET LOCAL lock_timeout = '10s'", "SELECT pg_advisory_xact_lock(hashtextextended('coexist', 0))"}
	return runAll(ctx, db, conn, slices.Concat(opening, statements, []string{"COMMIT"}))
}

// runAll runs the statements of a whole transaction, and rolls it back when one fails.
func runAll(ctx context.Context, db *DB, conn *sql.Conn, statements []string) error {
	for _, s := range statements {
		db.observe(s)
		if _, err := conn.ExecContext(ctx, s); err != nil {
			undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_, rollbackErr := conn.ExecContext(undo, "ROLLBACK")
			return errors.Join(err, rollbackErr)
		}
	}
	return nil
}

func (postgres) ownTables() []string {
	return []string{
		`CREATE SEQUENCE IF NOT EXISTS coexist_seq`,
		`CREATE TABLE IF NOT EXISTS coexist_entity (name text PRIMARY KEY, phase text NOT NULL, epoch bigint NOT NULL DEFAULT 1,
	mapping_version integer NOT NULL, incomplete boolean NOT NULL DEFAULT false, restoring boolean NOT NULL DEFAULT false,
	phase_changed_at timestamptz NOT NULL DEFAULT now(), capture boolean NOT NULL DEFAULT true, capture_generation bigint NOT NULL DEFAULT 1)`,
		`CREATE TABLE IF NOT EXISTS coexist_phase_change (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, entity text NOT NULL, from_phase text NOT NULL,
	to_phase text NOT NULL, at timestamptz NOT NULL DEFAULT now(), actor text NOT NULL, reason text, forced boolean NOT NULL DEFAULT false)`,
		`CREATE TABLE IF NOT EXISTS coexist_mark (id uuid NOT NULL DEFAULT gen_random_uuid(), entity text NOT NULL, key text COLLATE "C",
	kind text NOT NULL, floor bigint NOT NULL DEFAULT 0, bypass boolean NOT NULL DEFAULT false, at timestamptz NOT NULL DEFAULT clock_timestamp())`,
		`CREATE INDEX IF NOT EXISTS coexist_mark_key ON coexist_mark (entity, key)`,
		`CREATE INDEX IF NOT EXISTS coexist_mark_open ON coexist_mark (entity, at) WHERE kind IN ('CHANGE', 'ALL_STALE')`,
		`CREATE TABLE IF NOT EXISTS coexist_bypass (entity text NOT NULL, count bigint NOT NULL, at timestamptz NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS coexist_quarantine (entity text NOT NULL, key text COLLATE "C" NOT NULL, code text NOT NULL, field text, message text NOT NULL,
	mapping_version integer NOT NULL, attempts integer NOT NULL DEFAULT 1, first_seen_at timestamptz NOT NULL DEFAULT now(),
	last_seen_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (entity, key))`,
		`CREATE TABLE IF NOT EXISTS coexist_run (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, entity text NOT NULL, kind text NOT NULL, status text NOT NULL,
	actor text NOT NULL, started_at timestamptz NOT NULL DEFAULT now(), finished_at timestamptz, workers integer NOT NULL, max_rows_per_second integer,
	older_than_mapping_version integer, repair boolean NOT NULL DEFAULT false, capture_generation bigint NOT NULL DEFAULT 0,
	bypass_before bigint NOT NULL DEFAULT 0, epoch bigint NOT NULL DEFAULT 0, total bigint NOT NULL, throttled_by text, error text)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS coexist_run_active ON coexist_run (entity, kind) WHERE status IN ('RUNNING', 'PAUSED')`,
		`CREATE TABLE IF NOT EXISTS coexist_chunk (run_id bigint NOT NULL REFERENCES coexist_run (id), number integer NOT NULL, upper text, position text,
	stage text NOT NULL, finished boolean NOT NULL DEFAULT false, token bigint NOT NULL DEFAULT 0, leased_until timestamptz NOT NULL DEFAULT now(), done bigint NOT NULL DEFAULT 0,
	migrated bigint NOT NULL DEFAULT 0, quarantined bigint NOT NULL DEFAULT 0, behind bigint NOT NULL DEFAULT 0, faults bigint NOT NULL DEFAULT 0,
	busy_ms bigint NOT NULL DEFAULT 0, PRIMARY KEY (run_id, number))`,
		`CREATE TABLE IF NOT EXISTS coexist_cut (run_id bigint PRIMARY KEY REFERENCES coexist_run (id), upper text, position text,
	whole boolean NOT NULL DEFAULT false, next_number integer NOT NULL DEFAULT 0)`,
		`CREATE TABLE IF NOT EXISTS coexist_finding (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, run_id bigint NOT NULL REFERENCES coexist_run (id),
	key text COLLATE "C" NOT NULL, kind text NOT NULL, fields text NOT NULL DEFAULT '[]', repaired boolean NOT NULL DEFAULT false, UNIQUE (run_id, key))`,
		`CREATE TABLE IF NOT EXISTS coexist_key (entity text PRIMARY KEY, value bigint NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS coexist_v1_usage (entity text COLLATE "C" NOT NULL, client_name text COLLATE "C" NOT NULL, client_version text COLLATE "C" NOT NULL,
	operation_name text COLLATE "C" NOT NULL, field text COLLATE "C" NOT NULL, count bigint NOT NULL, first_seen_at timestamptz NOT NULL,
	last_seen_at timestamptz NOT NULL, PRIMARY KEY (entity, client_name, client_version, operation_name, field))`,
	}
}

func (postgres) value(alias string, c *column) string {
	v := alias + "." + quote(c.name)
	if c.isKey && strings.HasPrefix(c.sqlType, "character(") || c.sqlType == "bpchar" {
		return "CAST(" + v + " AS text)" // without the blanks that pad it
	}
	return v
}

func (postgres) object(members []member) string {
	return splitObject(members, func(members []member) string {
		return "json_build_object(" + joinMembers(members) + ")"
	}, func(a, b string) string {
		// As text: jsonb would change numbers, such as -0.
		return "CAST(left(CAST(" + a + " AS text), -1) || ', ' || substr(CAST(" + b + " AS text), 2) AS json)"
	})
}

func joinMembers(members []member) string {
	parts := make([]string, len(members))
	for i, m := range members {
		parts[i] = literal(m.name) + ", " + m.expression
	}
	return strings.Join(parts, ", ")
}

func (postgres) list(element, from, order string) string {
	return "(SELECT coalesce(json_agg(" + element + " ORDER BY " + order + "), '[]') FROM " + from + ")"
}

func (postgres) text(expression string) string { return "CAST(" + expression + ` AS text) COLLATE "C"` }

func (p postgres) contains(expression string) string {
	return "strpos(" + p.text(expression) + ", CAST(? AS text)) > 0"
}

func (postgres) asKey(c *column, expression string) string {
	return "CAST(" + expression + " AS " + comparedAs(c) + ")"
}

// comparedAs is the type of what is compared with a column: never varchar(n), since a cast to that cuts a longer string off.
func comparedAs(c *column) string {
	name, _, _ := strings.Cut(c.sqlType, "(")
	switch {
	case c.isInt:
		return "bigint"
	case name == "character" || name == "bpchar":
		return "bpchar"
	case name == "character varying" || name == "varchar" || name == "":
		return "text"
	default:
		return c.sqlType
	}
}

func (postgres) keyList(c *column) string {
	return "SELECT CAST(j.value AS " + comparedAs(c) + ") AS key, j.ord - 1 AS ord FROM json_array_elements_text(CAST(? AS json)) WITH ORDINALITY AS j(value, ord)"
}

func (postgres) scalar(c *column) string {
	return "CAST(CAST(? AS json) #>> '{}' AS " + comparedAs(c) + ")"
}

func (postgres) records(columns []column) (string, func(string) string) {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = quote(c.name) + " " + c.sqlType
	}
	return "json_to_recordset(CAST(? AS json)) AS r(" + strings.Join(parts, ", ") + ")", func(name string) string { return "r." + quote(name) }
}

func (postgres) markID() string { return "uuid" }

func (postgres) once() string { return " OFFSET 0" }

func (postgres) lock() string { return " FOR UPDATE" }

func (postgres) keyShare() string { return " FOR KEY SHARE" }

func (postgres) analyze(tables []string) []string {
	statements := make([]string, len(tables))
	for i, t := range tables {
		statements[i] = "ANALYZE " + quote(t)
	}
	return statements
}

func (postgres) breather() time.Duration { return 0 }

func (postgres) skipLocked() string { return " FOR NO KEY UPDATE SKIP LOCKED" }

func (postgres) now() string { return "clock_timestamp()" }

func (postgres) later(ms string) string {
	return "clock_timestamp() + make_interval(secs => CAST(" + ms + " AS double precision) / 1000)"
}

func (postgres) keyType(c *column) string {
	if c.collation != "" {
		return c.sqlType + " COLLATE " + c.collation
	}
	return c.sqlType
}

func (postgres) columnType(c *column) string { return c.sqlType }

func scanJSON(rows *sql.Rows, to any) error {
	var document []byte
	if err := rows.Scan(&document); err != nil {
		return err
	}
	return json.Unmarshal(document, to)
}
