package repo

import (
	"context"
	"reflect"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// Many rows at once go to SQLite as VALUES, by statements that are prepared once.

// valuesRows is how many rows a statement inserts: more of them gain little.
const valuesRows = 20

// insertCopies sends the engine's columns, which are the same in all rows but for the version, once for each statement.
func (sqlite) insertCopies(ctx context.Context, t *tx, e copies, items []*pending, origin Origin,
	stored map[string]bool,
) (bool, error) {
	bind, ok := database.BindersOf(e.v2.Columns)
	if len(items) < bulkRows || !ok || !alike(items) {
		return false, nil
	}
	first := items[0]
	same := []any{
		t.seq, first.mappingVersion, first.refined, string(origin), t.fence.Now, first.state.all.Gone,
		first.state.all.Stale,
	}
	n, err := database.InsertValues(ctx, t.Session, t.conn, database.Insert{
		Before: e.sql(`INSERT INTO {v2} ({columns}, coexist_version, coexist_seq, coexist_mapping_version, coexist_refined,
			coexist_origin, coexist_migrated_at, coexist_gone_seen, coexist_stale_seen) VALUES `,
			"columns", database.ColumnNames(e.v2.Columns)),
		After: e.sql(` ON CONFLICT ({v2.key}) DO NOTHING`), Own: len(bind) + 1, Same: same, Rows: len(items), AtOnce: valuesRows,
	}, func(row int, args []any) []any {
		for i, b := range bind {
			args = append(args, b(items[row].value.FieldByIndex(e.v2.Columns[i].Index)))
		}
		return append(args, items[row].version)
	})
	if err != nil {
		return true, err
	}
	return true, e.inserted(ctx, t, items, n, stored)
}

// insertLists sends each row with its parent's key and its position.
func (sqlite) insertLists(ctx context.Context, t *tx, child *shape.Child, key *shape.Column,
	aggregates []reflect.Value,
) (bool, error) {
	bind, ok := database.BindersOf(child.Columns)
	keyOf, okKey := database.BindersOf([]shape.Column{*key})
	if !ok || !okKey || len(child.Own) > 0 {
		return false, nil
	}
	type place struct{ parent, at int }
	var places []place
	for i, v := range aggregates {
		for at := range v.FieldByIndex(child.Index).Len() {
			places = append(places, place{i, at})
		}
	}
	if len(places) < bulkRows {
		return len(places) == 0, nil
	}
	names := []string{quote(child.ParentKey), quote(shape.PositionColumn)}
	for i := range child.Columns {
		names = append(names, quote(child.Columns[i].Name))
	}
	_, err := database.InsertValues(ctx, t.Session, t.conn, database.Insert{
		Before: fill(`INSERT INTO {child} ({names}) VALUES `, "child", child.SQL, "names", strings.Join(names, ", ")),
		Own:    len(names), Rows: len(places), AtOnce: valuesRows,
	}, func(row int, args []any) []any {
		parent := aggregates[places[row].parent]
		args = append(args, keyOf[0](parent.FieldByIndex(key.Index)), places[row].at)
		element := parent.FieldByIndex(child.Index).Index(places[row].at)
		for i, b := range bind {
			args = append(args, b(element.FieldByIndex(child.Columns[i].Index)))
		}
		return args
	})
	return true, err
}
