package repo

import (
	"context"
	"errors"
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
	e sweeping
	keyRange
	fence    fence
	rows     int // how many keys are in the range
	bytes    int // of what was read
	unusual  map[string]bool
	v1, v2   []aggregateRow
	children []*childRows
}

// errTooLarge means that the rows of a range need more memory than a batch may take.
var errTooLarge = errors.New("the rows are large: fewer of them make a batch")

// aggregateRow is a row of a root table, with its child rows.
type aggregateRow struct {
	key    string
	value  reflect.Value // a pointer
	copied storedCopy    // of V2's: the engine's columns
}

// readRange reads which range a query of keys, as v1Keys and bothKeys make it, goes over behind a key, and then what
// queries ask for in that range.
func (e sweeping) readRange(ctx context.Context, keys sqlText, after *string,
	queries func(*rangeRead) []database.SnapshotQuery,
) (*rangeRead, error) {
	r := &rangeRead{e: e, keyRange: keyRange{after: after}, unusual: map[string]bool{}}
	err := e.db.pools.InSnapshot(ctx, func(s database.Snapshot) error {
		if err := s.Run(ctx, r.end(keys)...); err != nil || r.rows == 0 {
			return err
		}
		all := queries(r)
		for i := range all {
			row := all[i].Row
			all[i].Row = func(values [][]byte, oids []uint32) error {
				for _, v := range values {
					r.bytes += len(v)
				}
				if r.bytes > 2*e.db.maxBytes && r.rows > 1 {
					return errTooLarge
				}
				return row(values, oids)
			}
		}
		return s.Run(ctx, all...)
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
	return r.contains(r.e.statements, key)
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

// pairs asks for the rows of both shapes, and for the keys that are unusual to a verification: those with marks. Each
// table is read by its own range, without a join. Who pairs the rows finds what has no partner (pair).
func (r *rangeRead) pairs() []database.SnapshotQuery {
	e := r.e
	withinV1, withinV2, args := r.withinBoth()
	return slices.Concat([]database.SnapshotQuery{r.marked()},
		r.aggregates(e.v1, "t", e.sql(`{v1} t`), withinV1, args, &r.v1),
		r.aggregates(e.v2, "c", e.sql(`{v2} c`), withinV2, args, &r.v2))
}

// pair returns, for each row of V1, the index of its copy in v2, or -1. A copy without a V1 row is unusual. Then so is
// each V1 row without a copy, since the two may spell one key differently.
func (r *rangeRead) pair() []int {
	partner, at := make([]int, len(r.v1)), 0
	for i := range r.v1 {
		partner[i] = -1
		if at < len(r.v2) && r.v2[at].key == r.v1[i].key {
			partner[i] = at
			at++
		}
	}
	if at == len(r.v2) {
		return partner
	}
	place := make(map[string]int, len(r.v1))
	for i := range r.v1 {
		place[r.v1[i].key], partner[i] = i, -1
	}
	alone := false
	for n, row := range r.v2 {
		i, found := place[row.key]
		if found {
			partner[i] = n
			continue
		}
		r.unusual[row.key], alone = true, true
	}
	for i := range r.v1 {
		if alone && partner[i] < 0 {
			r.unusual[r.v1[i].key] = true
		}
	}
	return partner
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

// aggregates asks for the rows of a root table, and of its child tables. from and where may name the root's alias.
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
	values := slab{of: of.GoType}
	queries := []database.SnapshotQuery{{
		SQL: fill(`SELECT CAST({key} AS text), {columns} FROM {from} WHERE {where} ORDER BY {key}`,
			"key", alias+"."+quote(of.Key.Name), "columns", strings.Join(columns, ", "), "from", from, "where", where),
		Args: args,
		Row: func(columns [][]byte, oids []uint32) error {
			row := aggregateRow{key: string(columns[0]), value: values.next()}
			columns, oids = columns[1:], oids[1:]
			if isV2 {
				row.copied = storedCopy{
					MappingVersion: int(database.Integer(columns[0])), Refined: columns[1][0] != 0,
					GoneSeen: database.Integer(columns[2]), StaleSeen: database.Integer(columns[3]),
				}
				columns, oids = columns[4:], oids[4:]
			}
			if database.ReadRow(fields, columns, oids, row.value.Elem()) != nil {
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
	key := alias + "." + quote(of.Key.Name)
	from += fill(` JOIN {child} d ON d.{parentKey} = {key}`, "child", children.SQL,
		"parentKey", quote(children.ParentKey), "key", key)
	if of == r.e.v2 { // whose parent keys compare as its keys do
		key, from = "d."+quote(children.ParentKey), children.SQL+" d"
		where, args = r.within(key)
	}
	order := []string{key}
	if len(children.Own) == 0 {
		order = append(order, "d."+quote(shape.PositionColumn))
	}
	for _, own := range children.Own {
		order = append(order, "d."+quote(children.Columns[own].Name))
	}
	return database.SnapshotQuery{
		SQL: fill(`SELECT CAST({key} AS text), {columns} FROM {from} WHERE {where} ORDER BY {order}`, "key", key,
			"columns", strings.Join(expressions(fields), ", "), "from", from, "where", where,
			"order", strings.Join(order, ", ")),
		Args: args,
		Row: func(values [][]byte, oids []uint32) error {
			if !children.belongs(values[0]) {
				return nil
			}
			n := rows.Len()
			if n == rows.Cap() {
				rows.Grow(n)
			}
			rows.SetLen(n + 1)
			if database.ReadRow(fields, values[1:], oids[1:], rows.Index(n)) != nil {
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

// slab gives memory to many values of a type at once.
type slab struct {
	of   reflect.Type
	rows reflect.Value // a slice
}

// next is a pointer to a new value.
func (s *slab) next() reflect.Value {
	const most = 256
	if !s.rows.IsValid() {
		s.rows = reflect.New(reflect.SliceOf(s.of)).Elem()
	}
	n := s.rows.Len()
	if n == s.rows.Cap() {
		n = 0
		s.rows.Set(reflect.MakeSlice(s.rows.Type(), 0, most))
	}
	s.rows.SetLen(n + 1)
	return s.rows.Index(n).Addr()
}

// childRows are the rows of a child table in a range, in the order of their parents and of their own.
type childRows struct {
	*shape.Child
	rows    reflect.Value // a slice
	ends    []int         // where the rows of each parent end, as far as they are read
	alone   string        // the last parent key that is no parent's
	parents *[]aggregateRow
}

// belongs makes the next row one of the parent with a key. The parents, and the rows, are in one order. It returns
// false for a row without a parent, which somebody has left who has deleted a copy by hand.
func (r *childRows) belongs(parent []byte) bool {
	before := r.rows.Len()
	at := max(len(r.ends)-1, 0)
	if len(r.ends) == 0 || (*r.parents)[at].key != string(parent) {
		if r.alone != "" && r.alone == string(parent) {
			return false
		}
		for at < len(*r.parents) && (*r.parents)[at].key != string(parent) {
			at++
		}
		if at == len(*r.parents) {
			r.alone = string(parent)
			return false
		}
		for len(r.ends) <= at {
			r.ends = append(r.ends, before)
		}
	}
	r.ends[at] = before + 1
	return true
}

// give gives each parent its rows.
func (r *childRows) give() {
	if !r.rows.IsValid() {
		return
	}
	from := 0
	for i, p := range *r.parents {
		to := from
		if i < len(r.ends) {
			to = r.ends[i]
		}
		p.value.Elem().FieldByIndex(r.Index).Set(r.rows.Slice3(from, to, to))
		from = to
	}
}
