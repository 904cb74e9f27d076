package repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// Check reads the catalog of the database. It fails, saying what to do, when a table or a column of an entity is
// missing or of a kind that cannot be migrated, when the database does not hold every text, when one of the engine's
// tables belongs to a stranger, when our role may not write a table or does not see all of it, and when the engine's
// own tables are not of the version that this program knows. No Repository may be used before it has succeeded once.
func (db *DB) Check(ctx context.Context) error {
	if err := db.dialect.checkDatabase(ctx, db); err != nil {
		return db.pools.Classify(err)
	}
	if err := db.dialect.checkRole(ctx, db); err != nil {
		return db.pools.Classify(err)
	}
	if installed, err := db.ownVersion(ctx, db.pools.Reading()); err != nil {
		return err
	} else if err := checkOwnVersion(installed); err != nil {
		return err
	}
	for _, e := range db.entities {
		if err := e.checks.check(ctx); err != nil {
			return err
		}
	}
	return nil
}

// adviceToInstall is what to do where something of ours is missing.
const adviceToInstall = "start the server with --auto-migrate, or run what `coexist ddl` prints"

// anotherModel is what to do where a V2 table does not match its model.
const anotherModel = "it is of another version of the model: an installation adds a column that may be NULL, or that is a text, a number or a Boolean, so " + adviceToInstall + "; make any other a pointer"

// check reads the catalog: it fills in what the database knows better than the models, and finds what is missing.
func (e checks) check(ctx context.Context) error {
	// Coexistence begins.
	if err := e.checkV1(ctx); err != nil {
		return err
	}
	// Coexistence ends.
	for _, t := range e.v2.All() {
		if err := e.checkTable(ctx, t, adviceToInstall, anotherModel); err != nil {
			return err
		}
	}
	for _, t := range e.v2.All() {
		if i := slices.IndexFunc(t.Columns, func(c shape.Column) bool { return c.Now().Composite }); i >= 0 {
			return fmt.Errorf(
				"entity %s: column %s of V2's table %s is %s, a composite type, which holds the members of a document that it knows alone: declare it as json", e.name, t.Columns[i].Name, t.Name, t.Columns[i].Now().SQLType)
		}
	}
	if err := e.checkKeeps(func(c *shape.Column) string { return c.Now().SQLType }); err != nil {
		return fmt.Errorf("entity %s: %w", e.name, err)
	}
	if err := errors.Join(e.checkReads(e.v2), e.checkSorts()); err != nil {
		return err
	}
	// Coexistence begins.
	if err := e.checkAgainstV1(ctx); err != nil {
		return err
	}
	// Coexistence ends.
	for _, t := range e.v2.All() {
		if err := e.checkRights(ctx, t); err != nil {
			return err
		}
	}
	if hidden, err := e.survey.hiddenTables(ctx, e.db.pools.Reading()); err != nil || len(hidden) > 0 {
		return cmp.Or(err,
			fmt.Errorf(
				"entity %s: row-level security may hide rows of table %s from our role (HIDDEN_ROWS): switch it off there", e.name, strings.Join(hidden, ", ")))
	}
	phase, err := e.db.pools.Reading().Number(ctx, e.db.sql(`SELECT count(*) FROM {coexist_entity} WHERE name = ?`), e.name)
	if err == nil && phase == 0 {
		return fmt.Errorf("entity %s is not installed: %s", e.name, adviceToInstall)
	}
	return err
}

// checkAgainstV1 fails where V2 does not compare as V1 does, or where our role may not use V1's tables.
func (e checks) checkAgainstV1(ctx context.Context) error {
	if err := e.checkAligned(); err != nil {
		return err
	}
	if v1, v2 := e.db.dialect.AsKey(e.v1.Key, "key"), e.db.dialect.AsKey(e.v2.Key, "key"); v1 != v2 {
		return fmt.Errorf(
			"entity %s: the key of table %s is %s, and that of V2's table %s is %s: drop V2's tables while the entity is in EXPAND, and let them be created again",
			e.name, e.v1.Name, e.v1.Key.Now().SQLType, e.v2.Name, e.v2.Key.Now().SQLType)
	}
	if v1, v2 := e.v1.Key.Now().Collation, e.v2.Key.Now().Collation; v1 != v2 {
		return fmt.Errorf(
			"entity %s: the key of table %s is compared as %q, and that of table %s as %q: drop V2's tables while the entity is in EXPAND, and let them be created again",
			e.name, e.v2.Name, v2, e.v1.Name, v1)
	}
	return e.checkRightsOnV1(ctx)
}

// checkV1 is the part of check that needs no table of ours, and no right to write.
func (e checks) checkV1(ctx context.Context) error {
	for _, t := range e.v1.All() {
		if err := e.checkTable(ctx, t, "is this the right database?", "is this the right database?"); err != nil {
			return err
		}
		for i := range t.Columns {
			c := &t.Columns[i]
			found := c.Now().SQLType
			if held := e.db.dialect.Holds(found, c.Declared) || c.IsNumber && e.db.dialect.HoldsNumber(found); !held {
				return fmt.Errorf(
					"entity %s: column %s of table %s is %s, and values of it could not come back from %s, as which this version reads it: "+
						"%s", e.name, c.Name, t.Name, found, c.Declared, adviceOfType(e.db.dialect, found, c.Declared))
			}
		}
	}
	if err := e.checkReads(e.v1); err != nil {
		return err
	}
	if err := e.foreignKeys.load(ctx); err != nil {
		return err
	}
	if err := e.checkParents(); err != nil {
		return err
	}
	for _, t := range e.v1.All() {
		if broken, err := e.db.dialect.BrokenForeignKey(ctx, e.db.pools.Reading(), t); err != nil || broken != "" {
			return cmp.Or(err,
				fmt.Errorf(
					"entity %s: a foreign key of table %s refers to %s, which is no table, or no unique column of one, so that SQLite refuses each row: "+
						"declare it UNIQUE, or make the table anew without that foreign key", e.name, t.Name, broken))
		}
	}
	if !e.v1.Key.Now().Unique {
		return fmt.Errorf(
			"column %s of table %s is the key of entity %s, but the database does not keep it unique, or has a deferrable constraint on it, which must be NOT DEFERRABLE", e.v1.Key.Name, e.v1.Name, e.name)
	}
	return e.checkKeyless(ctx)
}

// adviceOfType says what to do about a column whose values cannot come back.
func adviceOfType(d database.ColumnTypes, found, declared string) string {
	if schema, name, qualified := strings.Cut(found, "."); qualified && d.Holds(name, declared) {
		return "put schema " + schema +
			" into the search_path of the server's role, without which the operators of its types are not found"
	}
	return "change the column's type, or the model's"
}

// checkKeyless fails where rows of V1 may have no key. SQLite lets the primary key of most tables be NULL, and any
// column hold a value of another type than it declares: there, checkKeyless fails where a row has such a key.
func (e checks) checkKeyless(ctx context.Context) error {
	known := e.v1.Key.Now()
	if _, kind := e.db.dialect.NoKey(e.v1.Key); known.NotNull && kind == database.OnlyNull {
		return nil
	}
	if !known.NotNull && !known.Primary {
		return fmt.Errorf(
			"column %s of table %s is the key of entity %s, but may be NULL: declare it NOT NULL, or make it the primary key", e.v1.Key.Name, e.v1.Name, e.name)
	}
	without, err := e.keyless(ctx, e.db.pools.Reading())
	if err == nil && without != "" {
		err = fmt.Errorf("entity %s: %s", e.name, without)
	}
	return err
}

// keyless says what is wrong where V1 has rows without a key, or with one that no model can hold, "" where it has none.
func (e checks) keyless(ctx context.Context, s database.Session) (string, error) {
	condition, kind := e.db.dialect.NoKey(e.v1.Key)
	n, err := s.Number(ctx, e.sql(`SELECT count(*) FROM (SELECT 1 FROM {v1} t WHERE {condition} LIMIT 1) k`,
		"condition", condition))
	if err != nil || n == 0 {
		return "", err
	}
	return fmt.Sprintf(
		"table %s has rows without a key, which nobody can migrate (column %s is %s there): give them one, and declare it NOT NULL", e.v1.Name, e.v1.Key.Name, kind), nil
}

// checkReads fails where a model's field cannot be read from what its column holds.
func (e checks) checkReads(root *shape.Table) error {
	for _, t := range root.All() {
		for i := range t.Columns {
			c := &t.Columns[i]
			if why := e.db.dialect.Misread(c, c.Now().SQLType); why != "" {
				return fmt.Errorf("entity %s: column %s of table %s is %s, %s", e.name, c.Name, t.Name,
					c.Now().SQLType, why)
			}
		}
	}
	return nil
}

// checkParents fails where the parent key of a V1 child table refers to a column of the root other than its key.
func (e checks) checkParents() error {
	for i := range e.v1.Children {
		c := &e.v1.Children[i]
		leads, elsewhere := false, ""
		for _, key := range e.constraints.Foreign(c.Name) {
			if key.Target == e.v1.SQL && slices.Equal(key.Columns, []string{c.ParentKey}) {
				if leads = leads || key.TargetColumns[0] == e.v1.Key.Name; !leads {
					elsewhere = key.TargetColumns[0]
				}
			}
		}
		if elsewhere != "" && !leads {
			return fmt.Errorf(
				"entity %s: column %s of table %s refers to %s of %s, which is not its key %s: name the column that holds the key, by `repo:\"…;key:COLUMN\"`, or make these rows an entity",
				e.name, c.ParentKey, c.Name, elsewhere, e.v1.Name, e.v1.Key.Name)
		}
	}
	return nil
}

// checkSorts fails where a list is sorted by a column without an order that both shapes keep, such as an array or a
// document.
func (e checks) checkSorts() error {
	for _, name := range slices.Sorted(maps.Keys(e.sorts)) {
		for _, c := range []*shape.Column{e.v1.Column(e.sorts[name].V1), e.v2.Column(e.sorts[name].V2)} {
			if c == nil {
				continue
			}
			if family := shape.TypeFamily(c.Now().SQLType); c.IsJSON() || strings.HasSuffix(family, "]") ||
				c.Now().Opaque {
				return fmt.Errorf(
					"entity %s: sort %s goes by column %s, which is %s, by which no list can be sorted: take another column", e.name, name, c.Name, c.Now().SQLType)
			}
		}
	}
	return nil
}

// load reads the foreign and unique keys of V1's tables from the catalog again.
func (e foreignKeys) load(ctx context.Context) error {
	found := map[string]database.FoundKeys{}
	for _, t := range e.v1.All() {
		foreign, err := e.db.dialect.ForeignKeys(ctx, e.db.pools.Reading(), t)
		if err != nil {
			return err
		}
		unique, err := e.db.dialect.Uniques(ctx, e.db.pools.Reading(), t)
		if err != nil {
			return err
		}
		found[t.Name] = database.FoundKeys{Foreign: foreign, Unique: unique}
	}
	e.constraints.Found.Store(&found)
	return nil
}

// know stores what the catalog says of a column. Statements that were built before are then built again.
func (e fitting) know(c *shape.Column, found *shape.CatalogColumn) {
	c.Catalog.Store(found)
	e.catalogs.Add(1)
}

// renew reads the catalog of V1 again, and reports whether what it says of a column has changed. It leaves tables and
// columns that are gone as they were known: the next statement will report them.
func (e fitting) renew(ctx context.Context, s database.Session) (changed bool, err error) {
	for _, t := range e.v1.All() {
		catalog, err := e.db.dialect.Columns(ctx, s, t)
		if err != nil {
			return false, err
		}
		for i := range t.Columns {
			c := &t.Columns[i]
			found, ok := catalog[c.Name]
			if found.Wide {
				found.Limits = shape.LimitsOf(c.Declared)
			}
			if ok && found != c.Now() {
				changed = true
				e.know(c, &found)
			}
		}
	}
	return changed, nil
}
