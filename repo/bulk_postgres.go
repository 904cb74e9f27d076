package repo

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// Many rows at once go to PostgreSQL by COPY, which costs it much less than a document that it has to take apart. Only
// parents can conflict, so they go through a temporary table of the transaction. Child rows go straight into their own
// table.

// insertNew inserts root rows whose key is not there, and adds the keys that were inserted to inserted.
func (postgres) insertNew(ctx context.Context, t *tx, e statements, into *shape.Table, columns []shape.Column,
	rows []shape.Row,
	inserted map[string]bool,
) (bool, error) {
	if len(rows) < bulkRows || !database.Copied(columns) {
		return false, nil
	}
	stage := "pg_temp." + quote("coexist_stage") // in no other schema, whatever search_path says
	names := database.ColumnNames(columns)
	if _, err := t.Exec(ctx, fill(`CREATE TEMPORARY TABLE {stage} ON COMMIT DROP AS SELECT {names}
		FROM {into} WITH NO DATA`, "stage", stage, "names", names, "into", into.SQL)); err != nil {
		return true, err
	}
	if err := database.CopyRows(ctx, t.Pools, t.conn, stage, columns, rows); err != nil {
		return true, err
	}
	key := quote(into.Key.Name)
	// In the order of the keys, so that two storers never wait for each other in a circle.
	return true, e.returnKeysOf(ctx, t, inserted, fill(`INSERT INTO {into} ({names}) {overriding}SELECT {names}
		FROM {stage} s ORDER BY s.{key} ON CONFLICT ({key}) DO NOTHING RETURNING CAST({key} AS text)`,
		"into", into.SQL, "names", names, "overriding", database.Overriding(columns), "stage", stage, "key", key), nil)
}

// insertMany inserts rows.
func (postgres) insertMany(ctx context.Context, t *tx, table string, columns []shape.Column,
	rows []shape.Row,
) (bool, error) {
	if len(rows) < bulkRows || !database.Copied(columns) {
		return false, nil
	}
	return true, database.CopyRows(ctx, t.Pools, t.conn, table, columns, rows)
}

// insertCopies sends an array for each column.
func (postgres) insertCopies(ctx context.Context, t *tx, e copies, items []*pending, origin Origin,
	stored map[string]bool,
) (bool, error) {
	if len(items) < bulkRows || !database.Copied(e.v2.Columns) || !alike(items) {
		return false, nil
	}
	versions := database.NewArray(&shape.Column{
		Name: versionColumn, Declared: "bigint",
		GoType: reflect.TypeFor[int64](),
	}, len(items))
	arrays := make([]*database.Array, len(e.v2.Columns), len(e.v2.Columns)+1)
	values, names := make([]string, len(arrays)), make([]string, len(arrays)+1)
	types := make([]string, len(arrays)+1)
	for i := range e.v2.Columns {
		c := &e.v2.Columns[i]
		arrays[i] = database.NewArray(c, len(items))
		names[i] = quote(c.Name)
		values[i] = fill(`CAST(u.{name} AS {type})`, "name", names[i], "type", c.Now().SQLType)
		types[i] = fmt.Sprintf("$%d::%s", i+1, arrays[i].Type)
		for _, p := range items {
			if err := arrays[i].Append(p.value.FieldByIndex(c.Index)); err != nil {
				return true, err
			}
		}
	}
	for _, p := range items {
		if err := versions.Append(reflect.ValueOf(p.version)); err != nil {
			return true, err
		}
	}
	names[len(arrays)], types[len(arrays)] = versionColumn, fmt.Sprintf("$%d::bigint[]", len(arrays)+1)
	first := items[0]
	// In the order of the keys, so that two storers never wait for each other in a circle.
	statement := e.sql(`INSERT INTO {v2} ({columns}, coexist_version, coexist_seq, coexist_mapping_version,
		coexist_refined, coexist_origin, coexist_migrated_at, coexist_gone_seen, coexist_stale_seen) {overriding}SELECT
		{values}, u.coexist_version, {engine's} FROM unnest({types}) AS u({names}) ORDER BY u.{v2.key}
		ON CONFLICT ({v2.key}) DO NOTHING`, "columns", database.ColumnNames(e.v2.Columns),
		"overriding", database.Overriding(e.v2.Columns), "values", strings.Join(values, ", "),
		"engine's", constants(len(arrays)+2, "bigint", "integer", "boolean", "varchar", "timestamptz", "bigint",
			"bigint"),
		"types", strings.Join(types, ", "), "names", strings.Join(names, ", "))
	n, err := database.ExecArrays(ctx, t.Pools, t.conn, statement, append(arrays, versions),
		strconv.FormatInt(t.seq, 10), strconv.Itoa(first.mappingVersion), strconv.FormatBool(first.refined),
		string(origin), t.fence.Now, strconv.FormatInt(first.state.all.Gone, 10),
		strconv.FormatInt(first.state.all.Stale, 10))
	if err != nil {
		return true, err
	}
	return true, e.inserted(ctx, t, items, n, stored)
}

// constants are the arguments from $n on, of these types.
func constants(n int, types ...string) string {
	list := make([]string, len(types))
	for i, name := range types {
		list[i] = fmt.Sprintf("$%d::%s", n+i, name)
	}
	return strings.Join(list, ", ")
}

// insertLists copies them.
func (postgres) insertLists(ctx context.Context, t *tx, child *shape.Child, key *shape.Column,
	aggregates []reflect.Value,
) (bool, error) {
	rows := 0
	for _, v := range aggregates {
		rows += v.FieldByIndex(child.Index).Len()
	}
	if rows < bulkRows || len(child.Own) > 0 || !database.Copied(child.AllColumns(*key)) {
		return rows == 0, nil
	}
	return true, database.CopyLists(ctx, t.Pools, t.conn, child, key, aggregates)
}
