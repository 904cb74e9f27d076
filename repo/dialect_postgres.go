package repo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// postgres is the dialect of PostgreSQL 13 and later. It uses transaction-level locks and settings only, so that it
// works behind a proxy that pools transactions.
type postgres struct{}

const (
	// of a user's write that waits for its first row, before it backs off and tries again
	writeLockTimeout = 2 * time.Second
	// of each wait while we hold rows: less than PostgreSQL's deadlock_timeout, so that no old program becomes the
	// victim of a dead-lock
	heldLockTimeout = 100 * time.Millisecond
	lazyLockTimeout = 10 * time.Millisecond // of a lazy store, before it gives up
	idleTimeout     = 30 * time.Second      // of a transaction whose client has gone
)

// begin sends everything in one round trip, as separate statements: a statement's snapshot is older than the lock that
// it waits for, so what must be read under the lock is a statement of its own.
func (postgres) begin(ctx context.Context, t *tx, e *entity, o opening) error {
	writer, err := writerSetting(ctx, t, e, o)
	if err != nil {
		return err
	}
	b := database.Pipeline{Pools: t.Pools}
	timeout, lock := writeLockTimeout, "SELECT true FROM pg_advisory_xact_lock_shared(hashtextextended($1, 0))"
	if o.lazy {
		timeout, lock = lazyLockTimeout, "SELECT pg_try_advisory_xact_lock_shared(hashtextextended($1, 0))"
	}
	b.Add(nil, "BEGIN ISOLATION LEVEL READ COMMITTED")
	b.Add(nil, settings, writer, milliseconds(timeout), milliseconds(idleTimeout), o.derived)
	free := true
	b.Add(func(r pgx.Row) error { return r.Scan(&free) }, lock, fenceLock(e.tables))
	var fenceJSON []byte
	b.Add(func(r pgx.Row) error { return r.Scan(&fenceJSON) }, fill(`SELECT CAST({fenceQuery} AS text)`,
		"fenceQuery", e.fenceQuery()))
	// A random number, since a crash can take back values of a database sequence that were not yet on disk, although
	// somebody may have read them.
	t.seq = 1 + rand.Int64N(1<<53)
	guess := e.guess()
	if o.key != nil {
		locks := e.locks(guess, o.deleting)
		b.Add(func(r pgx.Row) error {
			err := r.Scan(&t.locked)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			return err
		}, database.Numbered(locks[0]), *o.key)
		if !o.lazy {
			b.Add(nil, heldTimeout, milliseconds(heldLockTimeout))
		}
		for _, lock := range locks[1:] {
			b.Add(nil, database.Numbered(lock), *o.key)
		}
		if e.readsBinary() {
			t.looked = &look{}
			statement := e.keyStatement(keyRead{wantBoth, sideV1, formBinary, true})
			b.AddRows(e.inBinary(&statement, &t.looked.fence, &t.looked.answers), statement.text, *o.key)
		}
	} else if !o.lazy {
		b.Add(nil, heldTimeout, milliseconds(heldLockTimeout))
	}
	if err := b.Send(ctx, t.conn); err != nil {
		return err
	}
	if !free {
		return database.Busy(errors.New("the phase is changing"))
	}
	if err := e.decodeFence(fenceJSON, &t.fence); err != nil || o.key == nil {
		return err
	}
	return e.locked(guess, t.fence)
}

// settings sets the transaction's settings. A transaction that writes only what can be derived again does not wait for
// the disk. It fires no trigger of V1's owner either, so it may have plans of its own: the plan of a foreign key's
// check is made while V2 is nearly empty, and would go over the whole table for each row later on.
const settings = `SELECT set_config('coexist.writer', $1, true), set_config('lock_timeout', $2, true),
	set_config('idle_in_transaction_session_timeout', $3, true), CASE WHEN $4 THEN
	set_config('synchronous_commit', 'off', true) || set_config('enable_seqscan', 'off', true) ||
	set_config('jit', 'off', true) END`

// writerSetting tells the triggers that a transaction is ours, which token its marks get, and which keys it writes.
func writerSetting(ctx context.Context, t *tx, e *entity, o opening) (string, error) {
	secret := e.db.secret.Load()
	if secret == nil {
		found, err := t.Texts(ctx, e.db.sql(`SELECT secret FROM {coexist_secret}`))
		if err != nil {
			return "", err
		}
		if len(found) != 1 {
			return "", fmt.Errorf("%w: %s has %d rows in place of one", ErrUnavailable, e.db.own.secret, len(found))
		}
		secret = &found[0]
		e.db.secret.Store(secret)
	}
	writer := *secret + t.token + " " + e.name
	switch keys := o.keys(); {
	case o.all:
		return writer + " " + everyKey, nil
	case len(keys) > 0:
		return writer + " " + joinKeys(keys), nil
	default:
		return writer, nil
	}
}

func (postgres) alsoWrites(ctx context.Context, t *tx, e *entity, keys []string) error {
	o := &t.opening
	if t.entity != e {
		if t.others == nil {
			t.others = map[*entity]*opening{}
		}
		if t.others[e] == nil {
			t.others[e] = &opening{}
		}
		o = t.others[e]
	}
	o.writes = append(slices.Clone(o.writes), keys...)
	writer, err := writerSetting(ctx, t, e, *o)
	if err != nil {
		return err
	}
	_, err = t.Exec(ctx, "SELECT set_config('coexist.writer', ?, true)", writer)
	return err
}

// joinKeys writes keys one after another, separated by U+001F. Where a key contains U+001F or U+001E, the list begins
// with U+001E and the separator that it uses instead.
func joinKeys(keys []string) string {
	const usual, announces = "\x1f", "\x1e"
	if !slices.ContainsFunc(keys, func(key string) bool { return strings.ContainsAny(key, usual+announces) }) {
		return strings.Join(keys, usual)
	}
	separator := rune(1)
	for separator == 0x1e || slices.ContainsFunc(keys,
		func(key string) bool { return strings.ContainsRune(key, separator) }) {
		separator++
	}
	return announces + string(separator) + strings.Join(keys, string(separator))
}

const heldTimeout = "SELECT set_config('lock_timeout', $1, true)"

func fenceLock(e *tables) string { return "coexist/" + e.name }

func milliseconds(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }

func (p postgres) changePhase(ctx context.Context, t *tx, e *entity, wait time.Duration) error {
	writer, err := writerSetting(ctx, t, e, opening{})
	if err != nil {
		return err
	}
	b := database.Pipeline{Pools: t.Pools}
	b.Add(nil, "BEGIN ISOLATION LEVEL READ COMMITTED")
	b.Add(nil, settings, writer, milliseconds(wait), milliseconds(idleTimeout), false)
	// All entities' phases change one after another, since they depend on each other.
	b.Add(nil, "SELECT true FROM pg_advisory_xact_lock(hashtextextended('coexist/phases', 0))")
	b.Add(nil, "SELECT true FROM pg_advisory_xact_lock(hashtextextended($1, 0))", fenceLock(e.tables))
	// An old program's transaction in flight would otherwise commit to V1 after V2 has become the truth.
	b.Add(nil, p.lockV1(e.tables)[0])
	var fenceJSON []byte
	b.Add(func(r pgx.Row) error { return r.Scan(&fenceJSON) }, fill(`SELECT CAST({fenceQuery} AS text)`,
		"fenceQuery", e.fenceQuery()))
	if err := b.Send(ctx, t.conn); err != nil {
		return err
	}
	return e.decodeFence(fenceJSON, &t.fence)
}

func (postgres) blockers(
	ctx context.Context, s database.Session, e *tables, names []string,
) ([]Transaction, error) {
	var blockers []Transaction
	err := s.Query(ctx, func(rows *sql.Rows) error { return database.ScanJSON(rows, &blockers) },
		// Some roles see only the process and the role of other roles' sessions, and an autovacuum has no role. A
		// prepared transaction has locks but no process.
		`WITH held AS (SELECT l.pid, l.virtualtransaction FROM pg_locks l WHERE l.granted AND (l.locktype = 'relation' AND l.relation IN (SELECT to_regclass(t.name) FROM json_array_elements_text(CAST(? AS json)) t(name))
			AND l.mode IN ('RowExclusiveLock', 'ShareUpdateExclusiveLock', 'ShareLock',
				'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
		OR l.locktype = 'advisory' AND l.objsubid = 1
			AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended(?, 0)))
SELECT coalesce(json_agg(b.document ORDER BY b.since), '[]')::text FROM (SELECT a.xact_start AS since, json_build_object('pid', a.pid, 'application', coalesce(a.application_name, ''), 'state', coalesce(a.state, ''), 'since', a.xact_start,
	'maintains', coalesce((SELECT 'VACUUM of ' || relid::regclass FROM pg_stat_progress_vacuum p WHERE p.pid = a.pid),
		(SELECT 'ANALYZE of ' || relid::regclass FROM pg_stat_progress_analyze p WHERE p.pid = a.pid),
		(SELECT p.command || ' on ' || relid::regclass FROM pg_stat_progress_create_index p WHERE p.pid = a.pid), CASE WHEN a.usesysid IS NULL THEN 'autovacuum' END, ''),
	'autovacuum', a.usesysid IS NULL, 'wraparound', a.usesysid IS NULL AND coalesce(a.query LIKE '%(to prevent wraparound)', false)) AS document
FROM pg_stat_activity a WHERE a.pid <> pg_backend_pid() AND a.datname = current_database() AND a.pid IN (SELECT h.pid FROM held h)
UNION ALL SELECT x.prepared, json_build_object('prepared', x.gid, 'since', x.prepared)
FROM pg_prepared_xacts x WHERE x.database = current_database() AND EXISTS (SELECT 1 FROM held h JOIN pg_locks t ON t.virtualtransaction = h.virtualtransaction AND t.pid IS NULL
	WHERE h.pid IS NULL AND t.locktype = 'transactionid' AND t.transactionid = x.transaction)) b`,
		database.JSONList(names), fenceLock(e))
	return blockers, err
}

// execTogether sends the changes as one statement, all of them but the last in its WITH
// (https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING).
func (postgres) execTogether(ctx context.Context, t *tx, changes []command) (int64, error) {
	if len(changes) == 0 {
		return 0, nil
	}
	var s sqlText
	for i, c := range changes {
		switch last := i == len(changes)-1; {
		case i == 0 && last:
			s.add(c.sql, c.args...)
		case i == 0:
			s.add("WITH c0 AS ("+c.sql+")", c.args...)
		case last:
			s.add(" "+c.sql, c.args...)
		default:
			s.add(", c"+strconv.Itoa(i)+" AS ("+c.sql+")", c.args...)
		}
	}
	return t.Exec(ctx, s.text.String(), s.args...)
}

func (p postgres) deleteMarks(e statements, n int) string {
	from, match := e.markRecords(n)
	return e.sql(`DELETE FROM {mark} AS m USING {from} WHERE {match}`, "from", from, "match", match)
}

// deleteBypassMarks is one statement, so that only the transaction that deletes a mark logs it.
func (p postgres) deleteBypassMarks(ctx context.Context, t *tx, e statements, n int,
	marks string,
) (int64, error) {
	return t.Number(ctx, e.sql(`WITH gone AS ({deleteMarks} RETURNING m.bypass, m.at), logged
		AS (INSERT INTO {coexist_bypass} (entity, count, at) SELECT {name}, count(*), max(at) FROM gone
		WHERE bypass HAVING count(*) > 0) SELECT count(*) FROM gone`, "deleteMarks", p.deleteMarks(e, n)), marks)
}

func (postgres) foldBypass(e statements) []string {
	table, entity := e.db.own.bypass, literal(e.name)
	return []string{fill(`WITH gone AS (DELETE FROM {table} WHERE entity = {entity}
		RETURNING count, at) INSERT INTO {table} (entity, count, at) SELECT {entity}, sum(count), max(at)
		FROM gone HAVING count(*) > 0`, "table", table, "entity", entity)}
}

func (postgres) shareFence(ctx context.Context, t *tx, e *entity) error {
	_, err := t.Exec(ctx, "SELECT true FROM pg_advisory_xact_lock_shared(hashtextextended(?, 0))", fenceLock(e.tables))
	return err
}

func (postgres) stopWriters(e *tables, condition string) []string {
	return []string{fill(`SELECT pg_advisory_xact_lock(hashtextextended({fenceLock}, 0)) WHERE {condition}`,
		"fenceLock", literal(fenceLock(e)), "condition", condition)}
}

func (postgres) waitFor(wait time.Duration) []string {
	return []string{fill(`SET LOCAL lock_timeout = '{milliseconds}'`, "milliseconds", milliseconds(wait))}
}

func (postgres) commit(ctx context.Context, t *tx) error {
	return t.conn.Raw(func(c any) error {
		tag, err := c.(*stdlib.Conn).Conn().Exec(ctx, "COMMIT")
		// PostgreSQL answers the COMMIT of a transaction that has failed with ROLLBACK, and without an error.
		if err == nil && tag.String() != "COMMIT" {
			return fmt.Errorf("the database answered COMMIT with %s", tag)
		}
		return err
	})
}

// afterDeferred sends both statements in one round trip.
func (postgres) afterDeferred(ctx context.Context, t *tx, scan func(database.Scanner) error, query string,
	args ...any,
) error {
	b := database.Pipeline{Pools: t.Pools}
	b.Add(nil, "SET CONSTRAINTS ALL IMMEDIATE")
	t.Pools.Observe(query)
	b.Batch.Queue(database.Numbered(query), args...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	return t.Pools.Classify(b.Send(ctx, t.conn))
}
