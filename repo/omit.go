package repo

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/shape"
)

// What a create leaves to V1: defaults, and the keys of child rows that the database draws.

// insert inserts whole aggregates.
func (e v1Rows) insert(ctx context.Context, t *tx, v1 ...reflect.Value) error {
	key := *e.v1.Key
	roots := make([]shape.Row, len(v1))
	for i, v := range v1 {
		roots[i] = e.v1.Row(v)
	}
	roots, left := e.withoutLate(e.v1, []shape.Column{key}, roots)
	late := []latecomer{left}
	if err := e.execRows(ctx, t, e.insertStatement(e.v1.SQL, e.v1.Columns, len(roots), ""), roots); err != nil {
		return err
	}
	for _, c := range e.childrenInOrder() {
		var rows []shape.Row
		for _, v := range v1 {
			rows = append(rows, c.Rows(v, v.FieldByIndex(e.v1.Key.Index).Interface())...)
		}
		rows, left := e.withoutLate(&c.Table, c.KeyColumns(key), rows)
		late = append(late, left)
		if err := e.execRows(ctx, t, e.insertStatement(c.SQL, c.AllColumns(key), len(rows), ""), rows); err != nil {
			return err
		}
	}
	return e.writeLate(ctx, t, late)
}

// insertNew inserts a new aggregate, and leaves to V1's defaults what the aggregate does not say.
func (e v1Rows) insertNew(ctx context.Context, t *tx, v1 reflect.Value) error {
	key := *e.v1.Key
	insert := func(into string, columns []shape.Column, omit map[string]bool, r shape.Row) error {
		said := make([]shape.Column, 0, len(columns))
		for _, c := range columns {
			if !omit[c.Name] {
				said = append(said, c)
			}
		}
		return e.execRows(ctx, t, e.insertStatement(into, said, 1, ""), []shape.Row{r})
	}
	root, left := e.withoutLate(e.v1, []shape.Column{key}, []shape.Row{e.v1.Row(v1)})
	if err := insert(e.v1.SQL, e.v1.Columns, e.v1.Omitted(v1), root[0]); err != nil {
		return err
	}
	late := []latecomer{left}
	for _, c := range e.childrenInOrder() {
		list := v1.FieldByIndex(c.Index)
		rows, left := e.withoutLate(&c.Table, c.KeyColumns(key),
			c.Rows(v1, v1.FieldByIndex(e.v1.Key.Index).Interface()))
		late = append(late, left)
		var whole []shape.Row
		for j := range rows {
			omit := c.Omitted(list.Index(j))
			if omit == nil {
				whole = append(whole, rows[j])
				continue
			}
			if err := insert(c.SQL, c.AllColumns(key), omit, rows[j]); err != nil {
				return err
			}
		}
		if err := e.execRows(ctx, t, e.insertStatement(c.SQL, c.AllColumns(key), len(whole), ""), whole); err != nil {
			return err
		}
	}
	return e.writeLate(ctx, t, late)
}

// drawn returns the column of a V1 child table that identifies its rows and whose values the database draws, nil where
// there is none.
func (e v1Rows) drawn(c *shape.Child) *shape.Column {
	if len(c.Own) != 1 {
		return nil
	}
	own := &c.Columns[c.Own[0]]
	known := own.Now()
	if !own.IsInt || known.Generator == "" && !known.Primary {
		return nil
	}
	return own
}

// draws reports whether the database draws keys of V1's child rows.
func (e v1Rows) draws() bool {
	return slices.ContainsFunc(e.v1.Children, func(c shape.Child) bool { return e.drawn(&c) != nil })
}

// draw gives new child rows of V1, whose key is 0, the keys that the database would give them, and reports whether
// there were any. before is the old aggregate, nil for a new one: a child row that already had the key 0 keeps it. In
// CONTRACT, too, keys come from V1's source of keys, so that they collide with no others when V1 is restored.
func (r *Repository[V1, V2]) draw(ctx context.Context, t *tx, before, v1 *V1) (found bool, err error) {
	e := r.entity
	for i := range e.v1.Children {
		c := &e.v1.Children[i]
		own := e.v1Rows.drawn(c)
		list := reflect.ValueOf(v1).Elem().FieldByIndex(c.Index)
		if own != nil && before != nil {
			was := reflect.ValueOf(before).Elem().FieldByIndex(c.Index)
			for j := 0; own != nil && j < was.Len(); j++ {
				if was.Index(j).FieldByIndex(own.Index).IsZero() {
					own = nil
				}
			}
		}
		for j := 0; own != nil && j < list.Len(); j++ {
			field := list.Index(j).FieldByIndex(own.Index)
			if !field.IsZero() {
				continue
			}
			key, err := e.v1Rows.drawKey(ctx, t, c, own)
			if err != nil {
				return found, err
			}
			reflect.Indirect(field).SetInt(key)
			found = true
		}
	}
	return found, nil
}

// drawInV2 is draw for a V2 aggregate that a client has written. before is the old aggregate, nil for a new one. Merge
// puts the keys into the V2 aggregate; by law 4 it changes nothing else. An aggregate that V1 has no place for gets no
// keys.
func (r *Repository[V1, V2]) drawInV2(ctx context.Context, t *tx, before *V2, v2 V2) (V2, error) {
	if !r.v1Rows.draws() {
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
	if err := r.sortChildRows(ctx, t, &v1); err != nil { // in the order in which V1 returns them
		return v2, err
	}
	merged, err := r.merged(v1, v2)
	if err != nil {
		return v2, notRepresentable(err)
	}
	return merged, nil
}

// drawKey draws one key from V1's generator or, on SQLite, takes one above the highest that there ever was.
func (e v1Rows) drawKey(ctx context.Context, t *tx, c *shape.Child, own *shape.Column) (int64, error) {
	if generator := own.Now().Generator; generator != "" {
		return t.Number(ctx, fill(`SELECT CAST({generator} AS bigint)`, "generator", generator))
	}
	beyond := fill(`(SELECT coalesce(max(v.{own}), 0) + 1 FROM {child} v)`, "own", quote(own.Name), "child", c.SQL)
	return t.Number(ctx, e.db.sql(`INSERT INTO {coexist_key} AS k (entity, value)
		VALUES ({column}, {beyond}) ON CONFLICT (entity) DO UPDATE SET value = max(k.value + 1, {beyond})
		RETURNING value`, "column", literal(strings.ToLower(e.name)+"/"+c.Name), "beyond", beyond))
}
