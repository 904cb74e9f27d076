package repo

import (
	"context"
	"fmt"
	"slices"
)

// V2's keys, references and orders follow V1's columns: what V1 calls equal, or puts first, V2 must too, or lists and
// cursors would change with the phase. So these columns of V2 have V1's type and collation; keys have no limit, since
// V1's may be widened.

// followed is the column of V1 that a column of V2's root table follows in what is equal and what comes first, nil for
// none.
func (e *entity) followed(c *column) *column {
	for _, r := range e.references {
		if e.columnInV2(r.Column) == c.name {
			return bothText(e.v1.column(r.Column), c)
		}
	}
	for _, sort := range e.sorts {
		if v1 := e.v1.column(sort.V1); sort.V2 == c.name && v1 != nil && (v1.now().collation != "" || foldsCase(v1)) {
			return bothText(v1, c)
		}
	}
	return nil
}

// bothText returns a column of V1 if it and one of V2 hold text that no blanks pad.
func bothText(v1, v2 *column) *column {
	if v1 == nil || v1.now().padded || typeFamily(v1.now().sqlType) != "text" || typeFamily(v2.declared) != "text" {
		return nil
	}
	return v1
}

// foldsCase reports whether a column's type takes upper and lower case for the same.
func foldsCase(c *column) bool {
	return typeFamily(c.now().sqlType) == "text" && comparedAs(c) == "citext"
}

// typeOfV2 is the type of a column of V2's root table.
func (e *entity) typeOfV2(c *column) string {
	if v1 := e.followed(c); v1 != nil && (v1.now().collation != "" || foldsCase(v1)) {
		return e.db.dialect.keyType(v1)
	}
	return e.db.dialect.columnType(c)
}

// refit are the statements that let V2's tables, where they are there, follow V1's columns as the catalog has them now,
// and the model's.
func (e *entity) refit(ctx context.Context, s session) ([]string, error) {
	if _, err := e.renew(ctx, s); err != nil {
		return nil, err
	}
	var statements []string
	for _, t := range e.v2.all() {
		catalog, err := e.db.dialect.columns(ctx, s, t)
		if err != nil {
			return nil, err
		}
		name := e.v2.key.name
		if i := slices.IndexFunc(e.v2.children, func(c child) bool { return c.name == t.name }); i >= 0 {
			name = e.v2.children[i].parentKey
		}
		if key, there := catalog[name]; there && !key.wide && key.limits.narrower(e.v1.key.now().limits) {
			statements = append(statements, e.db.dialect.alterType(t, name, e.db.dialect.keyType(e.v1.key))...)
		}
		for i := range t.columns {
			c := &t.columns[i]
			if _, there := catalog[c.name]; len(catalog) > 0 && !there {
				statements = append(statements, e.addColumn(t, c))
			}
			if t != e.v2 {
				continue
			}
			if found, there := catalog[c.name]; there && e.strays(c, found) {
				statements = append(statements, e.db.dialect.alterType(t, c.name, e.typeOfV2(c))...)
			}
		}
	}
	return statements, nil
}

// addColumn adds a column by which V2 has grown. One that may not be NULL has a default, since the rows that are there
// have no value, and servers of before give none: raise the mapping's version for the copies to be made anew.
func (e *entity) addColumn(t *table, c *column) string {
	declared := e.db.dialect.columnType(c)
	if t == e.v2 {
		declared = e.typeOfV2(c)
	}
	statement := fill(`ALTER TABLE {table} ADD COLUMN {column} {declared}`, "table", t.sql, "column", quote(c.name),
		"declared", declared)
	if !c.nullable {
		statement += fill(` NOT NULL DEFAULT {zero}`, "zero", e.db.dialect.zero(c))
	}
	return statement
}

// strays reports whether a column of V2's root table, as the catalog has it, does not follow V1's.
func (e *entity) strays(c *column, found catalogColumn) bool {
	v1 := e.followed(c)
	if c.isKey || v1 == nil {
		return false
	}
	is := &column{declared: found.sqlType}
	return found.collation != v1.now().collation || foldsCase(is) != foldsCase(v1)
}

// narrower reports whether l holds less than other.
func (l limits) narrower(other limits) bool {
	return l.ranged && (!other.ranged || l.max < other.max) || l.runes > 0 &&
		(other.runes == 0 || l.runes < other.runes)
}

// alignColumns lets V2's tables follow V1's columns while the server runs, and reports whether they did not. It waits
// for others only for moments.
func (e *entity) alignColumns(ctx context.Context) (altered bool, err error) {
	statements, err := e.refit(ctx, e.db.reading())
	if err != nil || len(statements) == 0 {
		return false, err
	}
	if err := e.db.installPatiently(ctx, func(s session) ([]string, error) {
		statements, err := e.refit(ctx, s)
		return append(e.db.dialect.waitFor(phaseLockWait), statements...), err
	}); err != nil {
		return false, fmt.Errorf("V2's tables cannot follow V1's columns: let a DBA run what `coexist ddl` prints: %w",
			err)
	}
	for _, t := range e.v2.all() {
		if err := e.checkTable(ctx, t, adviceToInstall, anotherModel); err != nil {
			return false, err
		}
	}
	return true, nil
}

// checkAligned fails where a column of V2's root table does not follow V1's, which SQLite cannot alter.
func (e *entity) checkAligned() error {
	for i := range e.v2.columns {
		if c := &e.v2.columns[i]; e.strays(c, c.now()) {
			v1 := e.followed(c)
			return fmt.Errorf(
				"entity %s: column %s of V2's table %s compares text in another way than %s of V1's table: run what `coexist ddl` prints, or drop V2's tables while the entity is in EXPAND, and let them be created again",
				e.name, c.name, e.v2.name, v1.name)
		}
	}
	return nil
}
