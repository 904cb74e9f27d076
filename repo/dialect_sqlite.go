package repo

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"
	gormsqlite "gorm.io/driver/sqlite"

	"github.com/alwaysup/coexist/repo/internal/shape"
	"github.com/alwaysup/coexist/value"
)

// sqlite is the dialect of SQLite in WAL mode: one connection that writes, in immediate transactions, and a pool of
// readers.
type sqlite struct{}

// sqlitePatience is how long a statement waits for writers of other processes.
const sqlitePatience = 5 * time.Second

func openSQLite(db *DB, path string, config Config) error {
	open := func(settings string, connections int) (*sql.DB, error) {
		pool, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: path}).EscapedPath()+
			fmt.Sprintf("?_journal_mode=WAL&_synchronous=FULL&_foreign_keys=on&_busy_timeout=%d%s",
				sqlitePatience.Milliseconds(), settings))
		if err == nil {
			pool.SetMaxOpenConns(connections)
			pool.SetMaxIdleConns(connections)
		}
		return pool, err
	}
	db.dialect = dialectOf(sqlite{})
	var err error
	if db.writerDB, err = open("", 1); err != nil {
		return err
	}
	if db.readerDB, err = open("&_query_only=true", config.MaxConns); err != nil {
		return err
	}
	if db.writer, err = openGORM(gormsqlite.New(gormsqlite.Config{Conn: db.writerDB})); err != nil {
		return fmt.Errorf("cannot open the SQLite file %s: %s", path, shape.FirstLine(err))
	}
	if db.reader, err = openGORM(gormsqlite.New(gormsqlite.Config{Conn: db.readerDB})); err != nil {
		return fmt.Errorf("cannot open the SQLite file %s: %s", path, shape.FirstLine(err))
	}
	return nil
}

func (d sqlite) begin(ctx context.Context, t *tx, e *entity, o opening) error {
	if o.lazy {
		if err := d.patience(ctx, t, lazyLockTimeout); err != nil {
			return err
		}
	}
	_, err := t.exec(ctx, "BEGIN IMMEDIATE")
	if o.lazy {
		err = errors.Join(err, d.patience(ctx, t, sqlitePatience))
	}
	if err != nil {
		return err
	}
	t.locked = true // nobody else writes
	var fenceJSON []byte
	if err := t.query(ctx, func(rows *sql.Rows) error { return rows.Scan(&fenceJSON, &t.seq) },
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
		_, err := t.exec(ctx, fill(`INSERT INTO coexist_inflight (entity, key) VALUES (?, {sqliteEvery})`,
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
		SELECT DISTINCT {name}, k.key FROM (%s) k`), keys)
}

// patience sets how long the connection waits for writers of other processes.
func (sqlite) patience(ctx context.Context, t *tx, d time.Duration) error {
	_, err := t.exec(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", d.Milliseconds()))
	return err
}

// afterDeferred: nothing is put off but foreign keys.
func (sqlite) afterDeferred(ctx context.Context, t *tx, scan func(scanner) error, query string, args ...any) error {
	return t.query(ctx, func(rows *sql.Rows) error { return scan(rows) }, query, args...)
}

// changePhase is begin: no other transaction overlaps one that writes.
func (d sqlite) changePhase(ctx context.Context, t *tx, e *entity, _ time.Duration) error {
	return d.begin(ctx, t, e, opening{})
}

// blockers: SQLite does not tell who writes.
func (sqlite) blockers(context.Context, session, *entity) ([]Transaction, error) { return nil, nil }

func (d sqlite) deleteMarks(e *entity) string {
	return e.sql(`DELETE FROM {mark} WHERE rowid IN ({rowsOfMarks})`, "rowsOfMarks", d.rowsOfMarks(e))
}

func (d sqlite) deleteBypassMarks(ctx context.Context, t *tx, e *entity, marks string) (int64, error) {
	_, err := t.exec(ctx, e.sql(`INSERT INTO {coexist_bypass} (entity, count, at) SELECT {name}, count(*), max(at)
		FROM {mark} WHERE rowid IN ({rowsOfMarks}) AND bypass HAVING count(*) > 0`,
		"rowsOfMarks", d.rowsOfMarks(e)), marks)
	if err != nil {
		return 0, err
	}
	return t.exec(ctx, d.deleteMarks(e), marks)
}

func (sqlite) rowsOfMarks(e *entity) string {
	from, match := e.markRecords()
	// CROSS: the marks are looked up by key
	return e.sql(`SELECT m.rowid FROM {from} CROSS JOIN {mark} m WHERE {match}`, "from", from, "match", match)
}

func (sqlite) foldBypass(e *entity) []string {
	table, entity := e.db.own.bypass, literal(e.name)
	first := fill(`(SELECT min(rowid) FROM {table} WHERE entity = {entity})`, "table", table, "entity", entity)
	return []string{
		fill(`UPDATE {table} SET (count, at) = (SELECT sum(b.count), max(b.at) FROM {table} b
			WHERE b.entity = {entity}) WHERE rowid = {first}`, "table", table, "entity", entity, "first", first),
		fill(`DELETE FROM {table} WHERE entity = {entity} AND rowid <> {first}`, "table", table, "entity", entity,
			"first", first),
	}
}

func (sqlite) qualify(_, table string) string { return quote(table) }

// shareFence is not needed: nobody else writes.
func (sqlite) shareFence(context.Context, *tx, *entity) error { return nil }

// stopWriters is not needed either.
func (sqlite) stopWriters(*entity, string) []string { return nil }

func (sqlite) waitFor(time.Duration) []string { return nil }

func (sqlite) commit(ctx context.Context, t *tx) error {
	if _, err := t.exec(ctx, "UPDATE coexist_writer SET token = NULL; DELETE FROM coexist_inflight"); err != nil {
		return &busyError{err} // nothing is committed: the outcome is known
	}
	_, err := t.conn.ExecContext(ctx, "COMMIT")
	return err
}

func (sqlite) classify(err error) error {
	if failed, ok := errors.AsType[sqlite3.Error](err); ok {
		return classifySQLite(failed)
	}
	return nil
}

// mayAnswerLater: another process may be changing the file to WAL mode.
func (sqlite) mayAnswerLater(err error) bool {
	_, busy := errors.AsType[*busyError](err)
	return busy
}

func (sqlite) install(ctx context.Context, db *DB, build func(session) ([]string, error)) error {
	return runBuilt(ctx, db, []string{"BEGIN IMMEDIATE"}, build)
}

// lockV1 is not needed: nobody else writes.
func (sqlite) lockV1(*entity) []string { return nil }

// value keeps what a column holds, whatever its type says: a Boolean as such, a real with all its digits, and a blob,
// which no document can hold, as what no model takes.
func (sqlite) value(alias string, c *shape.Column) string {
	v := alias + "." + quote(c.Name)
	if c.IsBool {
		return fill(`CASE {v} WHEN 1 THEN json('true') WHEN 0 THEN json('false') ELSE {v} END`, "v", v)
	}
	return fill(`CASE typeof({v}) WHEN 'real' THEN CASE WHEN abs({v}) <= 1.7976931348623157e308 THEN
		json(printf('%!.16e', {v})) WHEN {v} > 0 THEN 'Infinity' ELSE '-Infinity' END WHEN 'blob' THEN json('{}')
		ELSE {v} END`, "v", v)
}

// ordered: a column of dates may hold anything. What is no date counts as NULL, and a time of midnight does not count.
func (sqlite) ordered(alias string, c *shape.Column) string {
	v := alias + "." + quote(c.Name)
	// days as numbers are in order
	if kind := c.GoType.Kind(); shape.TypeFamily(c.Now().SQLType) != "date" || kind >= reflect.Int &&
		kind <= reflect.Float64 {
		return v
	}
	day := "substr(" + v + ", 1, 10)"
	return fill(`CASE WHEN typeof({v}) = 'text' AND date({day}) = {day} AND {day} > '0001' AND (length({v}) = 10
		OR substr({v}, 11) IN (' 00:00', 'T00:00')
		OR rtrim(substr({v}, 11), '0') IN (' 00:00:', 'T00:00:', ' 00:00:00.',
		'T00:00:00.')) THEN {day} END`, "v", v, "day", day)
}

func (sqlite) object(members []member) string {
	return splitObject(members, func(members []member) string {
		return "json_object(" + joinMembers(members) + ")"
	}, func(a, b string) string { return "json_patch(" + a + ", " + b + ")" })
}

func (sqlite) truth(b bool) string { return "json('" + strconv.FormatBool(b) + "')" }

func (sqlite) list(element, from, order string) string {
	return fill(`json((SELECT json_group_array(json({element}) ORDER BY {order}) FROM {from}))`, "element", element,
		"order", order, "from", from)
}

func (sqlite) text(expression string) string {
	return fill(`CAST({expression} AS text) COLLATE BINARY`, "expression", expression)
}

func (d sqlite) contains(expression string) string { return "instr(" + d.text(expression) + ", ?) > 0" }

func (sqlite) asKey(c *shape.Column, expression string) string {
	if c.IsInt {
		return fill(`CAST({expression} AS integer)`, "expression", expression)
	}
	return fill(`CAST({expression} AS text)`, "expression", expression)
}

func (sqlite) keyList(c *shape.Column) string {
	if c.IsInt {
		return "SELECT CAST(j.value AS integer) AS key, j.key AS ord FROM json_each(?) j"
	}
	return "SELECT j.value AS key, j.key AS ord FROM json_each(?) j"
}

func (sqlite) scalar(*shape.Column) string { return "(? ->> '$')" }

// sortValue: a column holds anything, and compares what is of another type by the type. So a cursor has the type, and
// the bytes of a text.
func (d sqlite) sortValue(alias string, c *shape.Column) string {
	v := d.ordered(alias, c)
	return fill(`CASE typeof({v}) WHEN 'text' THEN '~t' || hex({v}) WHEN 'blob' THEN '~b' || hex({v})
		WHEN 'integer' THEN '~i' || {v} WHEN 'real' THEN '~r' || CASE
		WHEN abs({v}) <= 1.7976931348623157e308 THEN printf('%!.16e', {v}) WHEN {v} > 0 THEN 'Inf'
		ELSE '-Inf' END END`, "v", v)
}

func (d sqlite) sortedBy(c *shape.Column, value json.RawMessage) (string, any, bool) {
	var text string
	if json.Unmarshal(value, &text) != nil || !strings.HasPrefix(text, "~") || len(text) < len("~t") {
		return d.scalar(c), string(value), true
	}
	var arg any
	var err error
	switch of := text[2:]; text[1] {
	case 't', 'b':
		var decoded []byte
		if decoded, err = hex.DecodeString(of); text[1] == 't' {
			arg = string(decoded)
		} else {
			arg = decoded
		}
	case 'i':
		arg, err = strconv.ParseInt(of, 10, 64)
	case 'r':
		arg, err = strconv.ParseFloat(of, 64)
	default:
		return "", nil, false
	}
	return "?", arg, err == nil
}

func (sqlite) records([]shape.Column) (string, func(string) string) {
	return "json_each(?) r", func(name string) string { return "r.value ->> " + literal(`$."`+name+`"`) }
}

func (sqlite) markID() string { return "text" }

func (sqlite) once() string { return " LIMIT -1 OFFSET 0" }

func (sqlite) lock() string { return "" }

func (sqlite) checkDatabase(context.Context, *DB) error { return nil }

func (sqlite) checkRole(context.Context, *DB) error { return nil }

func (sqlite) keyShare() string { return "" }

// insertNew and insertMany are for others: JSON is as fast here.
func (sqlite) insertNew(context.Context, *tx, *entity, *shape.Table, []shape.Column, []shape.Row,
	map[string]bool,
) (bool, error) {
	return false, nil
}

func (sqlite) insertMany(context.Context, *tx, string, []shape.Column, []shape.Row) (bool, error) {
	return false, nil
}

// analyze is nothing: the plans of SQLite do not depend on it here.
func (sqlite) analyze([]string) []string { return nil }

// minPause lets other processes write: SQLite does not queue them.
func (sqlite) minPause() time.Duration { return 5 * time.Millisecond }

func (sqlite) skipLocked() string { return "" }

func (d sqlite) standby() string { return d.truth(false) }

func (d sqlite) hides([]string) string { return d.truth(false) }

func (sqlite) now() string { return "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')" }

func (sqlite) later(ms string) string {
	return "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', (" + ms + " / 1000.0) || ' seconds')"
}

func (sqlite) keyType(c *shape.Column) string {
	known := c.Now()
	declared, _, _ := strings.Cut(known.SQLType, "(")
	if known.Collation != "" {
		return fill(`{declared} COLLATE {collation}`, "declared", declared, "collation", quote(known.Collation))
	}
	return declared
}

// noKey: numbers stand before texts in SQLite's order, and bytes behind them.
func (sqlite) noKey(c *shape.Column) (condition, kind string) {
	key := "t." + quote(c.Name)
	if c.IsInt {
		return fill(`{key} IS NULL OR {key} >= ''`, "key", key), "NULL, or no number"
	}
	return fill(`{key} IS NULL OR {key} < '' OR {key} >= x''`, "key", key), "NULL, or no text"
}

func (sqlite) zero(c *shape.Column) string {
	zero := postgres{}.zero(c)
	if c.IsExact() { // which is kept as text
		return "'0'"
	}
	return zero
}

func (sqlite) compared(c *shape.Column) string { return c.Now().SQLType }

// alterType: SQLite cannot. Its types limit nothing.
func (sqlite) alterType(*shape.Table, string, string) []string { return nil }

// held: SQLite has doubles, and integers where the column's affinity lets them be.
func (sqlite) held(c *shape.Column, n value.Number) (value.Number, error) {
	if _, err := strconv.ParseInt(string(n), 10, 64); err == nil && n != "-0" && affinity(c.Now().SQLType) != "REAL" {
		return n, nil
	}
	return n.Double()
}

// columnType keeps a numeric as text, since SQLite would make a double of it.
func (sqlite) columnType(c *shape.Column) string {
	if c.IsExact() {
		return "text"
	}
	return strings.TrimSpace(c.Declared)
}
