package repo

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// A range read is how a sweep and a verification read: the next keys of a chunk, in one snapshot and without documents.
// What is unusual it leaves to the read by key: keys with marks, and rows with a value that must be read from
// JSON. So a few unusual rows do not make a whole run slow.

// rangeRead is what a range read has found.
type rangeRead struct {
	e        sweeping
	after    *string // the range begins behind this key, or with the first
	fence    fence
	rows     int    // how many keys are in the range
	last     string // the last of them
	unusual  map[string]bool
	v1, v2   []aggregateRow
	children []*childRows
}

// aggregateRow is a row of a root table, with its child rows.
type aggregateRow struct {
	key    string // of V1's row
	value  reflect.Value
	copied storedCopy // of V2's: the engine's columns
}

// readRange reads which range a query of keys, as v1Keys and bothKeys make it, goes over behind a key, and then what
// queries ask for in that range.
func (e sweeping) readRange(ctx context.Context, keys sqlText, after *string,
	queries func(*rangeRead) []database.SnapshotQuery,
) (*rangeRead, error) {
	r := &rangeRead{e: e, after: after, unusual: map[string]bool{}}
	err := e.db.pools.InSnapshot(ctx, func(s database.Snapshot) error {
		if err := s.Run(ctx, r.end(keys)...); err != nil || r.rows == 0 {
			return err
		}
		return s.Run(ctx, queries(r)...)
	})
	if err == nil {
		err = r.fence.check()
	}
	for _, children := range r.children {
		children.give()
	}
	return r, err
}

// end reads the fence, how many keys are in the range, and the last of them.
func (r *rangeRead) end(keys sqlText) []database.SnapshotQuery {
	return []database.SnapshotQuery{
		{
			SQL: fill(`SELECT CAST({fence} AS text)`, "fence", r.e.fenceQuery()),
			Row: func(values [][]byte, _ []uint32) error { return r.e.decodeFence(values[0], &r.fence) },
		},
		{
			SQL: fill(`SELECT CAST(k.key AS text), CAST(k.ord AS text) FROM ({keys}) k ORDER BY k.ord DESC LIMIT 1`,
				"keys", keys.text.String()),
			Args: keys.args,
			Row: func(values [][]byte, _ []uint32) (err error) {
				r.last = string(values[0])
				r.rows, err = strconv.Atoi(string(values[1]))
				return err
			},
		},
	}
}

// within is the condition that a key lies in the range, and its arguments.
func (r *rangeRead) within(key string) (condition string, args []any) {
	if r.after == nil {
		return r.e.sql(`{key} <= {?}`, "key", key), []any{r.last}
	}
	return r.e.sql(`{key} > {?} AND {key} <= {?}`, "key", key), []any{*r.after, r.last}
}

// withinBoth is within for rows t of V1 and rows c of V2. Both sides have the range, so that no plan goes over a whole
// table.
func (r *rangeRead) withinBoth() (v1, v2 string, args []any) {
	v1, args = r.within("t." + quote(r.e.v1.Key.Name))
	v2, _ = r.within("c." + quote(r.e.v2.Key.Name))
	return v1, v2, args
}

// notCopied asks for V1's rows that have no copy, and for the keys that are unusual to a sweep: those with marks, a
// stale copy, or a line in quarantine.
func (r *rangeRead) notCopied() []database.SnapshotQuery {
	e := r.e
	withinV1, withinV2, args := r.withinBoth()
	from := e.sql(`{v1} t LEFT JOIN {v2} c ON c.{v2.key} = t.{v1.key} AND {withinV2}`, "withinV2", withinV2)
	where := e.sql(`c.{v2.key} IS NULL AND {withinV1}`, "withinV1", withinV1)
	queries := append([]database.SnapshotQuery{r.marked(`{quarantine}`)}, r.aggregates(e.v1, "t", from, where,
		append(slices.Clone(args), args...), &r.v1)...)
	if r.fence.AllMarks != (allMarks{}) {
		queries = append(queries, r.keys(e.sql(`SELECT CAST(t.{v1.key} AS text) FROM {v1} t JOIN {v2} c
			ON c.{v2.key} = t.{v1.key} AND {withinV2} WHERE {withinV1} AND NOT ({sawAll})`, "withinV1", withinV1,
			"withinV2", withinV2, "sawAll", e.sawAll()), append(slices.Clone(args), args...)))
	}
	return queries
}

// pairs asks for V1's rows, for the copies of these, and for the keys that are unusual to a verification: those with
// marks, and those of copies without a V1 row.
func (r *rangeRead) pairs() []database.SnapshotQuery {
	e := r.e
	withinV1, withinV2, args := r.withinBoth()
	both := append(slices.Clone(args), args...)
	queries := []database.SnapshotQuery{r.marked(), r.keys(e.sql(`SELECT CAST(c.{v2.key} AS text) FROM {v2} c LEFT JOIN
		{v1} t ON t.{v1.key} = c.{v2.key} AND {withinV1} WHERE t.{v1.key} IS NULL AND {withinV2}`,
		"withinV1", withinV1, "withinV2", withinV2), both)}
	queries = append(queries, r.aggregates(e.v1, "t", e.sql(`{v1} t`), withinV1, args, &r.v1)...)
	return append(queries, r.aggregates(e.v2, "c", e.sql(`{v2} c JOIN {v1} t ON t.{v1.key} = c.{v2.key} AND {withinV1}`,
		"withinV1", withinV1), withinV2, both, &r.v2)...)
}

// keys asks for keys that are unusual.
func (r *rangeRead) keys(query string, args []any) database.SnapshotQuery {
	return database.SnapshotQuery{SQL: query, Args: args, Row: func(values [][]byte, _ []uint32) error {
		r.unusual[string(values[0])] = true
		return nil
	}}
}

// marked asks for the keys of V1's rows with a line in the log of marks, or in one of the tables besides.
func (r *rangeRead) marked(besides ...string) database.SnapshotQuery {
	var selects []string
	var args []any
	for _, table := range append([]string{`{mark}`}, besides...) {
		within, more := r.within("m.key")
		selects = append(selects, r.e.sql(`SELECT m.key FROM `+table+` m WHERE {within}`, "within", within))
		args = append(args, more...)
	}
	return r.keys(r.e.sql(`SELECT CAST(t.{v1.key} AS text) FROM ({selects}) u JOIN {v1} t ON t.{v1.key} = u.key`,
		"selects", strings.Join(selects, " UNION ")), args)
}

// aggregates asks for the rows of a root table, and of its child tables. from and where may name the root's alias, and
// t, which is V1's root.
func (r *rangeRead) aggregates(of *shape.Table, alias, from, where string, args []any,
	to *[]aggregateRow,
) []database.SnapshotQuery {
	e := r.e
	fields := database.FieldsOf(e.db.dialect, alias, of.Columns)
	columns := expressions(fields)
	isV2 := of == e.v2
	if isV2 {
		columns = append([]string{
			"c.coexist_mapping_version", "c.coexist_refined", "c.coexist_gone_seen",
			"c.coexist_stale_seen",
		}, columns...)
	}
	queries := []database.SnapshotQuery{{
		SQL: e.sql(`SELECT CAST(t.{v1.key} AS text), {columns} FROM {from} WHERE {where} ORDER BY t.{v1.key}`,
			"columns", strings.Join(columns, ", "), "from", from, "where", where),
		Args: args,
		Row: func(values [][]byte, oids []uint32) error {
			row := aggregateRow{key: string(values[0]), value: reflect.New(of.GoType)}
			values, oids = values[1:], oids[1:]
			if isV2 {
				row.copied = storedCopy{
					MappingVersion: int(database.Integer(values[0])), Refined: values[1][0] != 0,
					GoneSeen: database.Integer(values[2]), StaleSeen: database.Integer(values[3]),
				}
				values, oids = values[4:], oids[4:]
			}
			if !readFields(fields, values, oids, row.value.Elem()) {
				r.unusual[row.key] = true
			}
			*to = append(*to, row)
			return nil
		},
	}}
	for i := range of.Children {
		children := &childRows{Child: &of.Children[i], parents: to}
		r.children = append(r.children, children)
		queries = append(queries, r.childQuery(children, of, alias, from, where, args))
	}
	return queries
}

func (r *rangeRead) childQuery(children *childRows, of *shape.Table, alias, from, where string,
	args []any,
) database.SnapshotQuery {
	rows := reflect.New(reflect.SliceOf(children.GoType)).Elem()
	rows.Set(reflect.MakeSlice(rows.Type(), 0, 64)) // not nil: a parent without rows has an empty list
	children.rows = rows
	fields := database.FieldsOf(r.e.db.dialect, "d", children.Columns)
	order := []string{"t." + quote(r.e.v1.Key.Name)}
	if len(children.Own) == 0 {
		order = append(order, "d."+quote(shape.PositionColumn))
	}
	for _, own := range children.Own {
		order = append(order, "d."+quote(children.Columns[own].Name))
	}
	return database.SnapshotQuery{
		SQL: r.e.sql(`SELECT CAST(t.{v1.key} AS text), {columns} FROM {from} JOIN {child} d
			ON d.{parentKey} = {alias}.{key} WHERE {where} ORDER BY {order}`,
			"columns", strings.Join(expressions(fields), ", "), "from", from, "child", children.SQL,
			"parentKey", quote(children.ParentKey), "alias", alias, "key", quote(of.Key.Name), "where", where,
			"order", strings.Join(order, ", ")),
		Args: args,
		Row: func(values [][]byte, oids []uint32) error {
			n := rows.Len()
			if last := len(children.begin) - 1; last < 0 || children.begin[last].key != string(values[0]) {
				children.begin = append(children.begin, parentRows{string(values[0]), n})
			}
			if n == rows.Cap() {
				rows.Grow(n)
			}
			rows.SetLen(n + 1)
			if !readFields(fields, values[1:], oids[1:], rows.Index(n)) {
				r.unusual[string(values[0])] = true
			}
			return nil
		},
	}
}

// unusualKeys are the keys that are left to the read by key.
func (r *rangeRead) unusualKeys() []string { return slices.Sorted(maps.Keys(r.unusual)) }

func expressions(fields []database.Field) []string {
	columns := make([]string, len(fields))
	for i := range fields {
		columns[i] = fields[i].Expression
	}
	return columns
}

// readFields reads the values of a row. It returns false where one of them is unusual.
func readFields(fields []database.Field, values [][]byte, oids []uint32, row reflect.Value) bool {
	for i := range fields {
		if fields[i].Read(values[i], oids[i], row) != nil {
			return false
		}
	}
	return true
}

// childRows are the rows of a child table in a range, in the order of their parents and of their own.
type childRows struct {
	*shape.Child
	rows    reflect.Value // a slice
	begin   []parentRows
	parents *[]aggregateRow
}

// parentRows says where the rows of a parent begin.
type parentRows struct {
	key  string
	from int
}

// give gives each parent its rows. The parents, and the rows, are in one order.
func (r *childRows) give() {
	if !r.rows.IsValid() {
		return
	}
	next := 0
	for _, p := range *r.parents {
		from, to := r.rows.Len(), r.rows.Len()
		if next < len(r.begin) && r.begin[next].key == p.key {
			from = r.begin[next].from
			if next++; next < len(r.begin) {
				to = r.begin[next].from
			}
		}
		p.value.Elem().FieldByIndex(r.Index).Set(r.rows.Slice3(from, to, to))
	}
}
