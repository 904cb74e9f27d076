package repo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// sqlite is the dialect of SQLite in WAL mode: one connection that writes, in immediate transactions, and a pool of
// readers.
type sqlite struct{}

func (d sqlite) begin(ctx context.Context, t *tx, e *entity, o opening) error {
	if o.lazy {
		if err := d.patience(ctx, t, lazyLockTimeout); err != nil {
			return err
		}
	}
	_, err := t.Exec(ctx, "BEGIN IMMEDIATE")
	if o.lazy {
		err = errors.Join(err, d.patience(ctx, t, database.SQLitePatience))
	}
	if err != nil {
		return err
	}
	t.locked = true // nobody else writes
	var fenceJSON []byte
	if err := t.Query(ctx, func(rows *sql.Rows) error { return rows.Scan(&fenceJSON, &t.seq) },
		fill(`UPDATE coexist_writer SET token = ?, seq = seq + 1 RETURNING {fenceQuery}, seq`,
			"fenceQuery", e.fenceQuery()), t.token); err != nil {
		return err
	}
	if err := d.announce(ctx, t, e, o); err != nil {
		return err
	}
	return e.decodeFence(fenceJSON, &t.fence)
}

func (d sqlite) alsoWrites(ctx context.Context, t *tx, e *entity, keys []string) error {
	return d.announce(ctx, t, e, opening{writes: keys})
}

// announce tells the triggers which keys the transaction writes.
func (d sqlite) announce(ctx context.Context, t *tx, e *entity, o opening) error {
	if o.all {
		_, err := t.Exec(ctx, fill(`INSERT INTO coexist_inflight (entity, key) VALUES (?, {sqliteEvery})`,
			"sqliteEvery", sqliteEvery), e.name)
		return err
	}
	var keys []string
	for _, key := range o.keys() {
		if e.validKey(key) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	return e.execKeys(ctx, t, e.sql(`INSERT OR IGNORE INTO coexist_inflight (entity, key)
		SELECT DISTINCT {name}, k.key FROM ({key list}) k`), keys)
}

// patience sets how long the connection waits for writers of other processes.
func (sqlite) patience(ctx context.Context, t *tx, d time.Duration) error {
	_, err := t.Exec(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", d.Milliseconds()))
	return err
}

// afterDeferred is a plain query: only foreign keys can be deferred.
func (sqlite) afterDeferred(ctx context.Context, t *tx, scan func(database.Scanner) error, query string,
	args ...any,
) error {
	return t.Query(ctx, func(rows *sql.Rows) error { return scan(rows) }, query, args...)
}

// changePhase is begin: no other transaction overlaps one that writes.
func (d sqlite) changePhase(ctx context.Context, t *tx, e *entity, _ time.Duration) error {
	return d.begin(ctx, t, e, opening{})
}

// blockers returns none: SQLite does not tell who writes.
func (sqlite) blockers(context.Context, database.Session, *tables, []string) ([]Transaction, error) {
	return nil, nil
}

func (d sqlite) deleteMarks(e statements, _ int) string {
	return e.sql(`DELETE FROM {mark} WHERE rowid IN ({rowsOfMarks})`, "rowsOfMarks", d.rowsOfMarks(e))
}

func (sqlite) execTogether(ctx context.Context, t *tx, changes []command) (n int64, err error) {
	for _, c := range changes {
		if n, err = t.Exec(ctx, c.sql, c.args...); err != nil {
			return 0, err
		}
	}
	return n, nil
}

func (d sqlite) deleteBypassMarks(ctx context.Context, t *tx, e statements, n int,
	marks string,
) (int64, error) {
	_, err := t.Exec(ctx, e.sql(`INSERT INTO {coexist_bypass} (entity, count, at) SELECT {name}, count(*), max(at)
		FROM {mark} WHERE rowid IN ({rowsOfMarks}) AND bypass HAVING count(*) > 0`,
		"rowsOfMarks", d.rowsOfMarks(e)), marks)
	if err != nil {
		return 0, err
	}
	return t.Exec(ctx, d.deleteMarks(e, n), marks)
}

func (sqlite) rowsOfMarks(e statements) string {
	from, match := e.markRecords(0)
	// CROSS JOIN fixes the order, so that the marks are looked up by key
	return e.sql(`SELECT m.rowid FROM {from} CROSS JOIN {mark} m WHERE {match}`, "from", from, "match", match)
}

func (sqlite) foldBypass(e statements) []string {
	table, entity := e.db.own.bypass, literal(e.name)
	first := fill(`(SELECT min(rowid) FROM {table} WHERE entity = {entity})`, "table", table, "entity", entity)
	return []string{
		fill(`UPDATE {table} SET (count, at) = (SELECT sum(b.count), max(b.at) FROM {table} b
			WHERE b.entity = {entity}) WHERE rowid = {first}`, "table", table, "entity", entity, "first", first),
		fill(`DELETE FROM {table} WHERE entity = {entity} AND rowid <> {first}`, "table", table, "entity", entity,
			"first", first),
	}
}

// shareFence is not needed: nobody else writes.
func (sqlite) shareFence(context.Context, *tx, *entity) error { return nil }

// stopWriters is not needed either.
func (sqlite) stopWriters(*tables, string) []string { return nil }

func (sqlite) waitFor(time.Duration) []string { return nil }

func (sqlite) commit(ctx context.Context, t *tx) error {
	if _, err := t.Exec(ctx, "UPDATE coexist_writer SET token = NULL; DELETE FROM coexist_inflight"); err != nil {
		return database.Busy(err) // nothing is committed: the outcome is known
	}
	_, err := t.conn.ExecContext(ctx, "COMMIT")
	return err
}

func (sqlite) install(ctx context.Context, db *DB, build func(database.Session) ([]string, error)) error {
	return database.RunBuilt(ctx, db.pools, []string{"BEGIN IMMEDIATE"}, build)
}

// lockV1 is not needed: nobody else writes.
func (sqlite) lockV1(*tables) []string { return nil }

func (sqlite) checkDatabase(context.Context, *DB) error { return nil }

func (sqlite) checkRole(context.Context, *DB) error { return nil }

// insertNew and insertMany leave the work to the caller: JSON is as fast here.
func (sqlite) insertNew(context.Context, *tx, statements, *shape.Table, []shape.Column, []shape.Row,
	map[string]bool,
) (bool, error) {
	return false, nil
}

func (sqlite) insertMany(context.Context, *tx, string, []shape.Column, []shape.Row) (bool, error) {
	return false, nil
}
