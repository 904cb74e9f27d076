package repo

import (
	"context"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// Many rows at once go to PostgreSQL by COPY, which costs it much less than a document that it has to take apart. Only
// parents can conflict, so they go through a temporary table of the transaction. Child rows go straight into their own
// table.

// bulkRows is the number of rows from which COPY is worth its additional statements.
const bulkRows = 200

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
