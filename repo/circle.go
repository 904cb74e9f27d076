package repo

import (
	"context"
	"maps"
	"reflect"
	"slices"

	"github.com/alwaysup/coexist/repo/internal/shape"
)

// V1's tables of one aggregate may refer to each other in a circle: a customer to its first address, each address to
// its customer. Where V1 checks such foreign keys immediately, a reference to a row that is inserted later is left out
// at first, and written when that row exists. Before a delete, it is taken out.

// latecomer are rows of one of V1's tables with the references that were left out of them.
type latecomer struct {
	table   *shape.Table
	match   []shape.Column
	columns []shape.Column
	rows    []shape.Row
}

// late returns the columns of one of V1's tables that may be NULL and that refer to rows inserted after its own rows.
func (e v1Rows) late(t *shape.Table) []shape.Column {
	order := map[string]int{e.v1.SQL: 0}
	for i, c := range e.childrenInOrder() {
		order[c.SQL] = i + 1
	}
	var late []shape.Column
	for _, key := range e.constraints.Foreign(t.Name) {
		if place, there := order[key.Target]; !there || place <= order[t.SQL] {
			continue
		}
		for _, name := range key.Columns {
			if c := t.Column(name); c != nil && !c.Now().NotNull && !e.checks.tellsApart(t, c) &&
				!slices.ContainsFunc(late, func(l shape.Column) bool { return l.Name == name }) {
				late = append(late, *c)
			}
		}
	}
	return late
}

// withoutLate returns the rows of one of V1's tables without their late columns, and what it has left out. The columns
// of match identify a row.
func (e v1Rows) withoutLate(t *shape.Table, match []shape.Column, rows []shape.Row) ([]shape.Row, latecomer) {
	without, left := rows, latecomer{table: t, match: match, columns: e.late(t)}
	for i, r := range rows {
		if !slices.ContainsFunc(left.columns,
			func(c shape.Column) bool { return reflect.Indirect(reflect.ValueOf(r[c.Name])).IsValid() }) {
			continue
		}
		if left.rows == nil {
			without = slices.Clone(rows)
		}
		without[i] = maps.Clone(r)
		for _, c := range left.columns {
			without[i][c.Name] = nil
		}
		left.rows = append(left.rows, r)
	}
	return without, left
}

// writeLate writes the references that withoutLate has left out.
func (e v1Rows) writeLate(ctx context.Context, t *tx, late []latecomer) error {
	for _, l := range late {
		if len(l.rows) == 0 {
			continue
		}
		statement := e.updateStatement(l.table.SQL, l.match, l.columns, len(l.rows))
		if err := e.execRows(ctx, t, statement, l.rows); err != nil {
			return err
		}
	}
	return nil
}

// takeOut takes late references out of rows that are about to be deleted.
func (e v1Rows) takeOut(ctx context.Context, t *tx, on *shape.Table, match []shape.Column, rows []shape.Row) error {
	without, left := e.withoutLate(on, match, rows)
	if len(left.rows) == 0 {
		return nil
	}
	return e.execRows(ctx, t, e.updateStatement(on.SQL, match, left.columns, len(without)), without)
}
