package repo

import (
	"context"
	"fmt"
	"slices"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// V2's keys, references and orders follow V1's columns: V2 must call equal, and sort first, what V1 does, or lists and
// cursors would change with the phase. So these columns of V2 have V1's type and collation. V2's keys have no limit,
// since V1's may be widened.

// followed returns the column of V1 that a column of V2's root table follows in equality and order, nil for none.
func (e fitting) followed(c *shape.Column) *shape.Column {
	for _, r := range e.references {
		if e.columnInV2(r.Column) == c.Name {
			return bothText(e.v1.Column(r.Column), c)
		}
	}
	for _, sort := range e.sorts {
		if v1 := e.v1.Column(sort.V1); sort.V2 == c.Name && v1 != nil && (v1.Now().Collation != "" || foldsCase(v1)) {
			return bothText(v1, c)
		}
	}
	return nil
}

// bothText returns the V1 column if both columns hold text and no blanks pad V1's.
func bothText(v1, v2 *shape.Column) *shape.Column {
	if v1 == nil || v1.Now().Padded || shape.TypeFamily(v1.Now().SQLType) != "text" ||
		shape.TypeFamily(v2.Declared) != "text" {
		return nil
	}
	return v1
}

// foldsCase reports whether a column's type treats upper and lower case as equal.
func foldsCase(c *shape.Column) bool {
	return shape.TypeFamily(c.Now().SQLType) == "text" && database.ComparedAs(c) == "citext"
}

// typeOfV2 returns the type of a column of V2's root table.
func (e fitting) typeOfV2(c *shape.Column) string {
	if v1 := e.followed(c); v1 != nil && (v1.Now().Collation != "" || foldsCase(v1)) {
		return e.db.dialect.KeyType(v1)
	}
	return e.db.dialect.ColumnType(c)
}

// refit returns the statements that make V2's existing tables follow V1's columns, as the catalog has them now, and the
// V2 model's.
func (e fitting) refit(ctx context.Context, s database.Session) ([]string, error) {
	if _, err := e.renew(ctx, s); err != nil {
		return nil, err
	}
	var statements []string
	for _, t := range e.v2.All() {
		catalog, err := e.db.dialect.Columns(ctx, s, t)
		if err != nil {
			return nil, err
		}
		name := e.v2.Key.Name
		if i := slices.IndexFunc(e.v2.Children, func(c shape.Child) bool { return c.Name == t.Name }); i >= 0 {
			name = e.v2.Children[i].ParentKey
		}
		if key, there := catalog[name]; there && !key.Wide && key.Limits.Narrower(e.v1.Key.Now().Limits) {
			statements = append(statements, e.db.dialect.AlterType(t, name, e.db.dialect.KeyType(e.v1.Key))...)
		}
		for i := range t.Columns {
			c := &t.Columns[i]
			if _, there := catalog[c.Name]; len(catalog) > 0 && !there {
				statements = append(statements, e.addColumn(t, c))
			}
			if t != e.v2 {
				continue
			}
			if found, there := catalog[c.Name]; there && e.strays(c, found) {
				statements = append(statements, e.db.dialect.AlterType(t, c.Name, e.typeOfV2(c))...)
			}
		}
	}
	return statements, nil
}

// addColumn adds a column that the V2 model has gained. A column that may not be NULL gets a default, because existing
// rows have no value and servers of the earlier version write none. Raise the mapping's version to have the copies made
// anew.
func (e fitting) addColumn(t *shape.Table, c *shape.Column) string {
	declared := e.db.dialect.ColumnType(c)
	if t == e.v2 {
		declared = e.typeOfV2(c)
	}
	statement := fill(`ALTER TABLE {table} ADD COLUMN {column} {declared}`, "table", t.SQL, "column", quote(c.Name),
		"declared", declared)
	if !c.Nullable {
		statement += fill(` NOT NULL DEFAULT {zero}`, "zero", e.db.dialect.Zero(c))
	}
	return statement
}

// strays reports whether a column of V2's root table, as the catalog has it, fails to follow V1's.
func (e fitting) strays(c *shape.Column, found shape.CatalogColumn) bool {
	v1 := e.followed(c)
	if c.IsKey || v1 == nil {
		return false
	}
	is := &shape.Column{Declared: found.SQLType}
	return found.Collation != v1.Now().Collation || foldsCase(is) != foldsCase(v1)
}

// alignColumns makes V2's tables follow V1's columns while the server runs. It reports whether it had to change them.
// It waits for locks of others only for moments at a time.
func (e fitting) alignColumns(ctx context.Context) (altered bool, err error) {
	statements, err := e.refit(ctx, e.db.pools.Reading())
	if err != nil || len(statements) == 0 {
		return false, err
	}
	if err := e.db.installPatiently(ctx, func(s database.Session) ([]string, error) {
		statements, err := e.refit(ctx, s)
		return append(e.db.dialect.waitFor(phaseLockWait), statements...), err
	}); err != nil {
		return false, fmt.Errorf("V2's tables cannot follow V1's columns: let a DBA run what `coexist ddl` prints: %w",
			err)
	}
	for _, t := range e.v2.All() {
		if err := e.checks.checkTable(ctx, t, adviceToInstall, anotherModel); err != nil {
			return false, err
		}
	}
	return true, nil
}

// checkAligned fails where a column of V2's root table does not follow V1's. SQLite cannot alter such a column.
func (e checks) checkAligned() error {
	for i := range e.v2.Columns {
		if c := &e.v2.Columns[i]; e.fitting.strays(c, c.Now()) {
			v1 := e.fitting.followed(c)
			return fmt.Errorf(
				"entity %s: column %s of V2's table %s compares text in another way than %s of V1's table: run what `coexist ddl` prints, or drop V2's tables while the entity is in EXPAND, and let them be created again",
				e.name, c.Name, e.v2.Name, v1.Name)
		}
	}
	return nil
}
