package repo

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// A storer brings copies up to date: a lazy read, a page, the sweep, and every write. It writes a copy only if the copy
// is still what the storer has seen: it inserts where there was none, and updates where seq is the one it read. The
// storer that wins the root row owns the child rows; the loser writes nothing. Writing a copy deletes exactly the marks
// that were read with V1: a mark that came later keeps the copy stale.

// pending is a copy to be stored.
type pending struct {
	key            string
	value          reflect.Value // of the V2 aggregate
	before         reflect.Value // the copy that state is of, invalid where it is not known
	state          state         // as it was read together with the V1 row from which value was made
	version        int64
	mappingVersion int
	refined        bool
	quarantined    bool
}

// keeps reports whether the copy has the child rows already. Whoever writes child rows gives the copy another seq, so
// the copy that is updated has the rows that were read with it.
func (p *pending) keeps(child *shape.Child) bool {
	return p.before.IsValid() && shape.Identical(p.before.FieldByIndex(child.Index), p.value.FieldByIndex(child.Index))
}

// lazyPatience is how long a lazy store may take in all.
const lazyPatience = 250 * time.Millisecond

// engineColumns are the columns that a V2 root table has besides the model's.
var engineColumns = []shape.Column{
	{Name: seqColumn, Declared: "bigint"},
	{Name: versionColumn, Declared: "bigint"},
	{Name: mappingVersionColumn, Declared: "integer"},
	{Name: refinedColumn, Declared: "boolean", IsBool: true},
	{Name: originColumn, Declared: "varchar(10)"},
	{Name: migratedAtColumn, Declared: "timestamptz"},
	{Name: goneSeenColumn, Declared: "bigint"},
	{Name: staleSeenColumn, Declared: "bigint"},
}

// readSeq is the column, in the rows of an update, that holds the seq that was read.
var readSeq = shape.Column{Name: "read_seq", Declared: "bigint"}

// storeLazily stores what a read made under f has converted, and quarantines its failures. Where it would fail or wait,
// it does nothing. It returns the keys that were stored, and when.
func (e copies) storeLazily(ctx context.Context, f fence, items []pending, failures []failure,
	origin Origin,
) (stored map[string]bool, at string) {
	if !f.migrates() || f.MappingVersion > e.mappingVersion || len(items)+len(failures) == 0 {
		return nil, ""
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lazyPatience)
	defer cancel()
	err := e.transact(ctx, opening{derived: true, lazy: true}, func(ctx context.Context, t *tx) error {
		if t.fence.Phase != f.Phase || t.fence.Epoch != f.Epoch || t.fence.MappingVersion > e.mappingVersion {
			return ErrPhaseChanged
		}
		if t.fence.AllMarks != f.AllMarks {
			return errOvertaken // V1 was truncated since then, or there was a gap in the capture
		}
		at = t.fence.Now
		var err error
		if stored, err = e.store(ctx, t, items, origin); err != nil {
			return err
		}
		return e.quarantine(ctx, t, failures)
	})
	if err != nil {
		// The next read, or the sweep, will store it.
		e.db.logger.DebugContext(ctx, "lazy store failed", "entity", e.name, "rows", len(items), "error", err)
		return nil, ""
	}
	return stored, at
}

// store writes copies, and returns the keys of those that it wrote. The others have changed since they were read.
func (e copies) store(ctx context.Context, t *tx, items []pending, origin Origin) (map[string]bool, error) {
	return e.storeWithin(ctx, t, items, origin, nil)
}

// storeWithin is store for items whose keys are all within a range, unless that is nil.
func (e copies) storeWithin(ctx context.Context, t *tx, items []pending, origin Origin,
	within *keyRange,
) (_ map[string]bool, err error) {
	if len(items) > 0 {
		defer func() { e.storeEnded(ctx, err) }()
	}
	var absent, stale []*pending
	for i := range items {
		if items[i].state.hasCopy {
			stale = append(stale, &items[i])
		} else {
			absent = append(absent, &items[i])
		}
	}
	stored := make(map[string]bool, len(items))
	if err := e.insert(ctx, t, absent, origin, stored); err != nil {
		return nil, err
	}
	if err := e.update(ctx, t, stale, origin, stored); err != nil {
		return nil, err
	}
	return stored, e.finishStore(ctx, t, items, stored, origin, within)
}

func (e copies) row(t *tx, p *pending, origin Origin) shape.Row {
	r := e.v2.Row(p.value)
	r[seqColumn] = t.seq
	r[versionColumn] = p.version
	r[mappingVersionColumn] = p.mappingVersion
	r[refinedColumn] = p.refined
	r[originColumn] = origin
	r[migratedAtColumn] = t.fence.Now
	r[goneSeenColumn], r[staleSeenColumn] = p.state.all.Gone, p.state.all.Stale
	r[readSeq.Name] = p.state.seq
	return r
}

func (e copies) insert(ctx context.Context, t *tx, items []*pending, origin Origin, stored map[string]bool) error {
	if len(items) == 0 {
		return nil
	}
	if done, err := e.db.dialect.insertCopies(ctx, t, e, items, origin, stored); done || err != nil {
		return err
	}
	return e.insertNew(ctx, t, e.v2, append(append([]shape.Column{}, e.v2.Columns...), engineColumns...),
		e.rows(t, items, origin), stored)
}

// insertNew inserts root rows whose key is not there, and adds the keys that were inserted to inserted.
func (e statements) insertNew(ctx context.Context, t *tx, into *shape.Table, columns []shape.Column, rows []shape.Row,
	inserted map[string]bool,
) error {
	if done, err := e.db.dialect.insertNew(ctx, t, e, into, columns, rows, inserted); done || err != nil {
		return err
	}
	key := quote(into.Key.Name)
	_, value := e.db.dialect.Records(columns, len(rows))
	// In the order of the keys, so that two storers never wait for each other in a circle.
	return e.returnKeys(ctx, t, inserted, e.insertStatement(into.SQL, columns, len(rows),
		fill(` ORDER BY {value.key} ON CONFLICT ({key}) DO NOTHING RETURNING CAST({key} AS text)`,
			"value.key", value(into.Key.Name), "key", key)), rows)
}

func (e copies) rows(t *tx, items []*pending, origin Origin) []shape.Row {
	rows := make([]shape.Row, len(items))
	for i, p := range items {
		rows[i] = e.row(t, p, origin)
	}
	return rows
}

func (e copies) update(ctx context.Context, t *tx, items []*pending, origin Origin, stored map[string]bool) error {
	if len(items) == 0 {
		return nil
	}
	rows := e.rows(t, items, origin)
	columns := append(append([]shape.Column{}, e.v2.Columns...), engineColumns...)
	from, value := e.db.dialect.Records(append(columns, readSeq), len(rows))
	// Lock the rows in the order of their keys, so that two storers never wait for each other in a circle.
	if lock := e.db.dialect.Lock(); lock != "" && len(rows) > 1 {
		document, err := shape.Marshal(rows)
		if err != nil {
			return err
		}
		_, err = t.Exec(ctx, e.sql(`SELECT 1 FROM {v2} c JOIN {from} ON c.{v2.key} = {value.key}
			ORDER BY c.{v2.key}{lock} OF c`, "from", from, "value.key", value(e.v2.Key.Name), "lock", lock), document)
		if err != nil {
			return err
		}
	}
	sets := make([]string, len(columns)) // with the key, which V1 may spell differently by now
	for i, c := range columns {
		sets[i] = quote(c.Name) + " = " + value(c.Name)
	}
	updated := map[string]bool{}
	// The table goes by its own name: in RETURNING, SQLite knows no alias of a table that is updated FROM another.
	table := e.v2.SQL
	key := table + "." + quote(e.v2.Key.Name)
	err := e.returnKeys(ctx, t, updated, fill(`UPDATE {table} SET {sets} FROM {from} WHERE {key} = {value.key}
		AND {table}.coexist_seq = {value.readSeq} RETURNING CAST({key} AS text)`, "table", table,
		"sets", strings.Join(sets, ", "), "from", from, "key", key, "value.key", value(e.v2.Key.Name),
		"value.readSeq", value(readSeq.Name)), rows)
	if err != nil || len(updated) == 0 {
		return err
	}
	for key := range updated {
		stored[key] = true
	}
	return nil
}

// finishStore writes what belongs to the copies that were stored: it replaces their child rows, deletes the marks that
// were read, and releases the rows from quarantine. A write or a repair knows that V1 has the row. If marks that it
// read are gone, a sweep has made a tombstone of them, and the write is busy. Any other storer holds no lock on V1: it
// has then read an older state, and its copy lies under the tombstone.
func (e copies) finishStore(ctx context.Context, t *tx, items []pending, stored map[string]bool, origin Origin,
	within *keyRange,
) error {
	var marks []mark
	var released []string
	var won []*pending
	for i := range items {
		p := &items[i]
		if !stored[p.key] {
			continue
		}
		marks = append(marks, p.state.marks...)
		if p.quarantined {
			released = append(released, p.key)
		}
		won = append(won, p)
	}
	if err := e.replaceChildren(ctx, t, won, within); err != nil {
		return err
	}
	deleted, err := e.marks.remove(ctx, t, marks)
	if err != nil {
		return err
	}
	if deleted < int64(len(marks)) && (origin == OriginWrite || origin == OriginRepair) {
		return database.Busy(errOvertaken)
	}
	return e.release(ctx, t, released)
}

// remove deletes exactly these marks, and returns how many of them were still there. The marks of bypass writes are
// also logged, because the operator will want to know about them later.
func (e marks) remove(ctx context.Context, t *tx, marks []mark) (deleted int64, err error) {
	if len(marks) == 0 {
		return 0, nil
	}
	document, err := json.Marshal(marks)
	if err != nil {
		return 0, err
	}
	if slices.ContainsFunc(marks, func(m mark) bool { return m.Bypass }) {
		return e.db.dialect.deleteBypassMarks(ctx, t, e.statements, len(marks), string(document))
	}
	return t.Exec(ctx, e.db.dialect.deleteMarks(e.statements, len(marks)), string(document))
}

// add appends a mark for one key.
func (e marks) add(ctx context.Context, t *tx, key string, kind markKind, floor int64) error {
	_, err := t.Exec(ctx, e.sql(`INSERT INTO {mark} (key, kind, floor) VALUES ({?}, ?, ?)`), key, string(kind), floor)
	return err
}

// returnKeys runs a statement over rows that returns keys, and adds them to keys.
func (e statements) returnKeys(ctx context.Context, t *tx, keys map[string]bool, statement string,
	rows []shape.Row,
) error {
	document, err := shape.Marshal(rows)
	if err != nil {
		return err
	}
	return t.Query(ctx, func(answer *sql.Rows) error {
		var key string
		err := answer.Scan(&key)
		keys[key] = true
		return err
	}, statement, document)
}

// insertRows inserts rows into a table.
func (e statements) insertRows(ctx context.Context, t *tx, table string, columns []shape.Column,
	rows []shape.Row,
) error {
	if done, err := e.db.dialect.insertMany(ctx, t, table, columns, rows); done || err != nil {
		return err
	}
	return e.execRows(ctx, t, e.insertStatement(table, columns, len(rows), ""), rows)
}

// execRows runs a statement over rows, unless there are none.
func (e statements) execRows(ctx context.Context, t *tx, statement string, rows []shape.Row) error {
	_, err := e.writeRows(ctx, t, statement, rows)
	return err
}

// writeRows is execRows, and returns how many rows were written.
func (e statements) writeRows(ctx context.Context, t *tx, statement string, rows []shape.Row) (int64, error) {
	if len(rows) == 0 {
		return 0, nil
	}
	document, err := shape.Marshal(rows)
	if err != nil {
		return 0, err
	}
	return t.Exec(ctx, statement, document)
}

// execKeys runs a statement in which {key list} stands for a query of keys.
func (e statements) execKeys(ctx context.Context, t *tx, statement string, keys []string) error {
	document, err := e.keyDocument(keys)
	if err != nil {
		return err
	}
	list := e.db.dialect.KeyList(e.v1.Key, len(keys))
	_, err = t.Exec(ctx, strings.Replace(statement, keyListGoesHere, list, 1), document)
	return err
}

// errOvertaken means that a copy has changed since it was read: read again.
var errOvertaken = errors.New("the copy has changed since")

// errRowHasCome means that a row was inserted after the locks were taken: take them again.
var errRowHasCome = errors.New("a row has come since")

// parseTime reads a time that the database wrote.
func parseTime(s string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, s) // the zero time where the database has none
	return t.UTC()
}

// returnKeysOf runs a query that returns keys, and adds them to found. If keys is not nil, {key list} in the query
// stands for a query of keys.
func (e statements) returnKeysOf(ctx context.Context, t *tx, found map[string]bool, query string, keys []string) error {
	var args []any
	if keys != nil {
		document, err := e.keyDocument(keys)
		if err != nil {
			return err
		}
		query = strings.Replace(query, keyListGoesHere, e.db.dialect.KeyList(e.v1.Key, len(keys)), 1)
		args = append(args, document)
	}
	return t.Query(ctx, func(rows *sql.Rows) error {
		var key string
		err := rows.Scan(&key)
		found[key] = true
		return err
	}, query, args...)
}
