package repo

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"time"
)

// What a create leaves to V1: defaults, and keys of child rows that the database draws.

// omits reports whether a new row leaves a column to V1's default: a zero where the model's tag names a default, as
// GORM has it, or a time that nobody means.
func (c *column) omits(v reflect.Value) bool {
	return v.IsZero() && c.now().defaults && !c.isKey && (c.defaults || c.goType == reflect.TypeFor[time.Time]())
}

// omitted are the columns that a new row leaves to V1's defaults.
func (t *table) omitted(v reflect.Value) map[string]bool {
	var names map[string]bool
	for i := range t.columns {
		if c := &t.columns[i]; c.omits(v.FieldByIndex(c.index)) {
			if names == nil {
				names = map[string]bool{}
			}
			names[c.name] = true
		}
	}
	return names
}

// insertV1 inserts whole aggregates.
func (e *entity) insertV1(ctx context.Context, t *tx, v1 ...reflect.Value) error {
	key := *e.v1.key
	roots := make([]row, len(v1))
	for i, v := range v1 {
		roots[i] = e.v1.row(v)
	}
	roots, left := e.withoutLate(e.v1, []column{key}, roots)
	late := []latecomer{left}
	if err := e.execRows(ctx, t, e.insertStatement(e.v1.sql, e.v1.columns, ""), roots); err != nil {
		return err
	}
	for _, c := range e.childrenInOrder() {
		var rows []row
		for _, v := range v1 {
			rows = append(rows, c.rows(v, v.FieldByIndex(e.v1.key.index).Interface())...)
		}
		rows, left := e.withoutLate(&c.table, c.keyColumns(key), rows)
		late = append(late, left)
		if err := e.execRows(ctx, t, e.insertStatement(c.sql, c.allColumns(key), ""), rows); err != nil {
			return err
		}
	}
	return e.writeLate(ctx, t, late)
}

// insertNewV1 inserts a new aggregate, and leaves to V1's defaults what it does not say.
func (e *entity) insertNewV1(ctx context.Context, t *tx, v1 reflect.Value) error {
	key := *e.v1.key
	insert := func(into string, columns []column, omit map[string]bool, r row) error {
		said := make([]column, 0, len(columns))
		for _, c := range columns {
			if !omit[c.name] {
				said = append(said, c)
			}
		}
		return e.execRows(ctx, t, e.insertStatement(into, said, ""), []row{r})
	}
	root, left := e.withoutLate(e.v1, []column{key}, []row{e.v1.row(v1)})
	if err := insert(e.v1.sql, e.v1.columns, e.v1.omitted(v1), root[0]); err != nil {
		return err
	}
	late := []latecomer{left}
	for _, c := range e.childrenInOrder() {
		list := v1.FieldByIndex(c.index)
		rows, left := e.withoutLate(&c.table, c.keyColumns(key),
			c.rows(v1, v1.FieldByIndex(e.v1.key.index).Interface()))
		late = append(late, left)
		var whole []row
		for j := range rows {
			omit := c.omitted(list.Index(j))
			if omit == nil {
				whole = append(whole, rows[j])
				continue
			}
			if err := insert(c.sql, c.allColumns(key), omit, rows[j]); err != nil {
				return err
			}
		}
		if err := e.execRows(ctx, t, e.insertStatement(c.sql, c.allColumns(key), ""), whole); err != nil {
			return err
		}
	}
	return e.writeLate(ctx, t, late)
}

// drawn is the column of a V1 child table that tells its rows apart and whose values the database draws, nil where
// there is none.
func (e *entity) drawn(c *child) *column {
	if len(c.own) != 1 {
		return nil
	}
	own := &c.columns[c.own[0]]
	known := own.now()
	if !own.isInt || known.generator == "" && !known.primary {
		return nil
	}
	return own
}

// draws reports whether the database draws keys of child rows of V1.
func (e *entity) draws() bool {
	return slices.ContainsFunc(e.v1.children, func(c child) bool { return e.drawn(&c) != nil })
}

// draw gives new child rows of V1, whose key is 0, the keys that the database would give them, and reports whether
// there were any. before is the aggregate as it was, nil for a new one: a row that had the key 0 keeps it. In CONTRACT,
// too, keys come from where V1's come from, so that they are no others' when V1 is restored.
func (r *Repository[V1, V2]) draw(ctx context.Context, t *tx, before, v1 *V1) (found bool, err error) {
	e := r.entity
	for i := range e.v1.children {
		c := &e.v1.children[i]
		own := e.drawn(c)
		list := reflect.ValueOf(v1).Elem().FieldByIndex(c.index)
		if own != nil && before != nil {
			was := reflect.ValueOf(before).Elem().FieldByIndex(c.index)
			for j := 0; own != nil && j < was.Len(); j++ {
				if was.Index(j).FieldByIndex(own.index).IsZero() {
					own = nil
				}
			}
		}
		for j := 0; own != nil && j < list.Len(); j++ {
			field := list.Index(j).FieldByIndex(own.index)
			if !field.IsZero() {
				continue
			}
			key, err := e.drawKey(ctx, t, c, own)
			if err != nil {
				return found, err
			}
			reflect.Indirect(field).SetInt(key)
			found = true
		}
	}
	return found, nil
}

// drawInV2 is draw for a V2 aggregate that a client has written, before which it was before, nil for a new one. The
// keys come into it by Merge, which by law 4 changes nothing else. What V1 has no place for gets none.
func (r *Repository[V1, V2]) drawInV2(ctx context.Context, t *tx, before *V2, v2 V2) (V2, error) {
	if !r.draws() {
		return v2, nil
	}
	v1, err := r.downgrade(v2)
	if err != nil {
		return v2, nil //nolint:nilerr // who represents it in V1 says so
	}
	var was *V1
	if before != nil {
		if old, err := r.downgrade(*before); err == nil {
			was = &old
		}
	}
	found, err := r.draw(ctx, t, was, &v1)
	if err != nil || !found {
		return v2, err
	}
	if err := r.sortChildRows(ctx, t, &v1); err != nil { // as V1 returns them
		return v2, err
	}
	merged, err := r.merged(v1, v2)
	if err != nil {
		return v2, notRepresentable(err)
	}
	return merged, nil
}

// drawKey draws one: by V1's generator, or, on SQLite, past the highest that there was.
func (e *entity) drawKey(ctx context.Context, t *tx, c *child, own *column) (int64, error) {
	if generator := own.now().generator; generator != "" {
		return number(ctx, t.session, fill(`SELECT CAST({generator} AS bigint)`, "generator", generator))
	}
	beyond := fill(`(SELECT coalesce(max(v.{own}), 0) + 1 FROM {child} v)`, "own", quote(own.name), "child", c.sql)
	return number(ctx, t.session, e.db.sql(`INSERT INTO {coexist_key} AS k (entity, value)
		VALUES ({column}, {beyond}) ON CONFLICT (entity) DO UPDATE SET value = max(k.value + 1, {beyond})
		RETURNING value`, "column", literal(strings.ToLower(e.name)+"/"+c.name), "beyond", beyond))
}
