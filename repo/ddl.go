package repo

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// Install creates the missing tables of V2 and of the engine, registers the entities, and puts triggers on the V1
// tables to capture bypass writes. The V1 tables must exist. Several instances may install at once. It changes nothing
// else about V1. V2 tables that are there already follow V1's columns and the model: Install adds missing columns and
// changes types. It upgrades the engine's own tables from an older version. Where the database does not let it create
// triggers, it logs that, and Capture says so.
//
// It fails, and changes nothing, where V1's tables, or those of V2 that are there, are not as Check wants them, and
// where the engine's own tables are of a version that it does not know.
func (db *DB) Install(ctx context.Context) error {
	if err := db.checkBefore(ctx); err != nil {
		return err
	}
	// Coexistence begins.
	for _, e := range db.entities {
		if err := e.checks.checkRightsOnV1(ctx); err != nil {
			return err
		}
	}
	// Coexistence ends.
	if err := db.installTables(ctx); errors.Is(err, database.ErrDenied) {
		return fmt.Errorf("%w: let a DBA run what `coexist ddl` prints", err)
	} else if err != nil {
		return err
	}
	for _, e := range db.entities {
		if err := e.ddl.installMapping(ctx); err != nil {
			return db.pools.Classify(err)
		}
		// Coexistence begins.
		if err := e.capture.install(ctx); err != nil {
			return db.pools.Classify(err)
		}
		// Coexistence ends.
	}
	return nil
}

// installTables creates and upgrades tables. While it waits for transactions in flight, others wait behind it, so each
// try waits only briefly.
func (db *DB) installTables(ctx context.Context) error {
	return db.installPatiently(ctx, func(s database.Session) ([]string, error) {
		statements, upgrades, err := db.installation(ctx, s)
		if upgrades {
			statements = append(db.dialect.waitFor(phaseLockWait), statements...)
		}
		return statements, err
	})
}

// installPatiently repeats dialect.install while others are in the way, for up to 20 s.
func (db *DB) installPatiently(ctx context.Context, build func(database.Session) ([]string, error)) error {
	patience := database.Patience{Until: time.Now().Add(20 * time.Second)}
	return database.Retry(ctx, patience, database.IsBusy, func() error {
		return db.pools.Classify(db.dialect.install(ctx, db, build))
	})
}

// fixedStatements are statements that are the same whatever the database holds.
func fixedStatements(statements ...string) func(database.Session) ([]string, error) {
	return func(database.Session) ([]string, error) { return statements, nil }
}

// older is the condition on coexist_entity that the entity's mapping is older than this instance's.
func (e statements) older() string {
	return e.sql(`name = {name} AND mapping_version < {version}`, "version", strconv.Itoa(e.mappingVersion))
}

// raiseMapping returns the statements that raise the entity's mapping to this instance's version, if that is newer,
// while no writer is at work. A writer that has begun under an older mapping would store an old conversion, unseen by a
// sweep that migrates such copies again.
func (e ddl) raiseMapping() []string {
	anyOlder := e.sql(`EXISTS (SELECT 1 FROM {coexist_entity} WHERE {older})`, "older", e.older())
	stop := e.db.dialect.stopWriters(e.tables, anyOlder)
	return append(stop, e.sql(`UPDATE {coexist_entity} SET mapping_version = {version} WHERE {older}`,
		"version", strconv.Itoa(e.mappingVersion), "older", e.older()))
}

// installMapping raises the mapping's version. While it waits for writers in flight, others wait behind it, so each try
// waits only briefly.
func (e ddl) installMapping(ctx context.Context) error {
	return e.db.installPatiently(ctx, func(s database.Session) ([]string, error) {
		older, err := s.Number(ctx, e.sql(`SELECT count(*) FROM {coexist_entity} WHERE {older}`,
			"older", e.older()))
		if err != nil || older == 0 {
			return nil, err
		}
		return append(e.db.dialect.waitFor(phaseLockWait), e.raiseMapping()...), nil
	})
}

// DDL returns the statements of Install as one SQL script, for a database administrator to run: those that create all
// tables, and those that upgrade what is there. It reads V1's catalog, since V2's keys have the types of V1's. It fails
// as Install does.
func (db *DB) DDL(ctx context.Context) (string, error) {
	if err := db.checkBefore(ctx); err != nil {
		return "", err
	}
	statements, _, err := db.installation(ctx, db.pools.Reading())
	if err != nil {
		return "", err
	}
	for _, e := range db.entities {
		statements = append(statements, e.ddl.raiseMapping()...)
		// Coexistence begins.
		triggers, err := db.dialect.capture(ctx, db.pools.Reading(), e.capture, captureAll)
		if err != nil {
			return "", db.pools.Classify(err)
		}
		statements = append(statements, e.capture.renew(triggers)...)
		// Coexistence ends.
	}
	script := "BEGIN;\n" + strings.Join(statements, ";\n") + ";\nCOMMIT;\n"
	if later := db.laterChildKeys(); later != "" {
		script += "\n-- The second step, after the sweep. The server takes it by itself at the step to CUTOVER where its role owns\n" +
			"-- these tables. `coexist ddl --child-keys` prints what is still missing of it.\n" + later
	}
	return script, nil
}

// checkBefore is the part of Check that must hold before Install.
func (db *DB) checkBefore(ctx context.Context) error {
	if err := db.dialect.checkDatabase(ctx, db); err != nil {
		return db.pools.Classify(err)
	}
	for _, e := range db.entities {
		// Coexistence begins.
		if err := e.checks.checkV1(ctx); err != nil {
			return err
		}
		// Coexistence ends.
		for _, t := range e.v2.All() {
			if err := e.checks.checkTable(ctx, t, "", anotherModel); err != nil {
				return err
			}
		}
	}
	return nil
}

// installation returns the statements that create missing tables and upgrade existing ones, and whether they upgrade
// any.
func (db *DB) installation(ctx context.Context, s database.Session) (statements []string, upgrades bool, err error) {
	installed, err := db.ownVersion(ctx, s)
	if err != nil {
		return nil, false, err
	}
	statements = append([]string{
		db.sql(`CREATE TABLE IF NOT EXISTS {coexist_schema} (id integer PRIMARY KEY CHECK (id = 1), version
			integer NOT NULL)`),
		db.sql(`INSERT INTO {coexist_schema} (id, version) VALUES (1, {version}) ON CONFLICT (id) DO NOTHING`,
			"version", strconv.Itoa(ownVersion)),
	}, db.dialect.sharedTables(db)...)
	for _, e := range db.entities {
		statements = append(statements, db.dialect.entityTables(e.statements)...)
		statements = append(statements, e.ddl.createV2()...)
		statements = append(statements, e.sql(`INSERT INTO {coexist_entity} (name, phase, mapping_version)
			VALUES ({name}, {phase}, {version}) ON CONFLICT (name) DO NOTHING`,
			"phase", literal(string(e.initialPhase)), "version", strconv.Itoa(e.mappingVersion)))
	}
	upgrades = installed != 0 && installed != ownVersion
	if upgrades {
		more, err := db.upgrade(ctx, s, installed)
		if err != nil {
			return nil, true, err
		}
		statements = append(statements, more...)
	}
	for _, e := range db.entities {
		more, err := e.fitting.refit(ctx, s)
		if err != nil {
			return nil, upgrades, err
		}
		statements, upgrades = append(statements, more...), upgrades || len(more) > 0
	}
	for _, e := range db.entities { // on a column that an upgrade may have added
		statements = append(statements, e.sql(`CREATE INDEX IF NOT EXISTS {ownTable} ON {mark} (tx)
			WHERE tx IS NOT NULL`, "ownTable", quote(ownTable(e.name, "mark_tx"))))
	}
	return statements, upgrades, nil
}

// createV2 returns the statements that create V2's tables. Their only foreign keys, some of which come later
// (child_keys.go), lead from child to parent, since an aggregate may migrate before those that it refers to.
func (e ddl) createV2() []string {
	d := e.db.dialect
	key := e.sql(`{v2.key} {keyType} NOT NULL`, "keyType", d.KeyType(e.v1.Key))
	engine := &shape.Table{Columns: []shape.Column{
		{Name: seqColumn, Declared: "bigint"},
		{Name: versionColumn, Declared: "bigint"},
		{Name: mappingVersionColumn, Declared: "integer"},
		{Name: refinedColumn, Declared: "boolean"},
		{Name: originColumn, Declared: "varchar(10)"},
		{Name: migratedAtColumn, Declared: "timestamptz"},
		{Name: goneSeenColumn, Declared: "bigint"},
		{Name: staleSeenColumn, Declared: "bigint"},
	}}
	statements := []string{e.sql(`CREATE TABLE IF NOT EXISTS {v2} ({key} PRIMARY KEY{columns}{engineColumns})`,
		"key", key, "columns", e.declare(e.v2), "engineColumns", e.declare(engine))}
	for i := range e.v2.Children {
		c := &e.v2.Children[i]
		references := ""
		if e.createsChildKeys() {
			references = e.sql(` REFERENCES {v2} ON DELETE CASCADE`)
		}
		statements = append(statements, e.sql(`CREATE TABLE IF NOT EXISTS {child} ({parentKey} {keyType} NOT NULL{references},
			{position} integer NOT NULL{columns}, PRIMARY KEY ({parentKey}, {position}))`, "references", references,
			"child", c.SQL, "parentKey", quote(c.ParentKey), "keyType", d.KeyType(e.v1.Key),
			"position", quote(shape.PositionColumn), "columns", e.declare(&c.Table)))
	}
	for _, r := range e.references {
		column := e.columnInV2(r.Column)
		statements = append(statements, e.sql(`CREATE INDEX IF NOT EXISTS {index} ON {v2} ({column})`,
			"index", quote(e.v2.Name+"_"+column), "column", quote(column)))
	}
	return statements
}

// declare returns the declarations of a table's columns except the key, each after a comma.
func (e ddl) declare(t *shape.Table) string {
	columnType := e.db.dialect.ColumnType
	if t == e.v2 {
		columnType = e.fitting.typeOfV2
	}
	var b strings.Builder
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.IsKey {
			continue
		}
		b.WriteString(", " + quote(c.Name) + " " + columnType(c))
		if !c.Nullable {
			b.WriteString(" NOT NULL")
		}
	}
	return b.String()
}

// CreateV1Tables creates the V1 tables of all entities as their models say, with the foreign keys of
// Definition.References. It is for an empty sample database, and fails where one of the tables is there, or where the
// database does not hold every text.
func (db *DB) CreateV1Tables(ctx context.Context) error {
	if err := db.dialect.checkDatabase(ctx, db); err != nil {
		return db.pools.Classify(err)
	}
	var statements []string
	created := map[string]bool{}
	for len(created) < len(db.entities) {
		before := len(created)
		for _, e := range db.entities {
			if !created[e.name] && e.ddl.targetsCreated(created) {
				created[e.name] = true
				statements = append(statements, e.ddl.createV1()...)
			}
		}
		if len(created) == before {
			return errors.New("the references of the entities form a circle")
		}
	}
	return db.pools.Classify(db.dialect.install(ctx, db, fixedStatements(statements...)))
}

func (e ddl) targetsCreated(created map[string]bool) bool {
	for _, r := range e.references {
		for _, other := range e.db.entities {
			if other.v1.Name == r.Table && other != e.entity && !created[other.name] {
				return false
			}
		}
	}
	return true
}

func (e ddl) createV1() []string {
	d := e.db.dialect
	key := e.v1.Key
	root := e.sql(`CREATE TABLE {v1} ({key} {keyType} NOT NULL PRIMARY KEY{columns}`, "key", quote(key.Name),
		"keyType", d.ColumnType(key), "columns", e.declare(e.v1))
	for _, r := range e.references {
		root += fill(`, FOREIGN KEY ({column}) REFERENCES {table} ({key})`, "column", quote(r.Column),
			"table", e.db.qualify(r.Table), "key", quote(r.Key))
	}
	statements := []string{root + ")"}
	for i := range e.v1.Children {
		c := &e.v1.Children[i]
		own := []string{quote(c.ParentKey)}
		for _, i := range c.Own {
			own = append(own, quote(c.Columns[i].Name))
		}
		statements = append(statements, e.sql(`CREATE TABLE {child} ({parentKey} {keyType} NOT NULL REFERENCES
			{v1} ({key}){columns}, PRIMARY KEY ({own}))`, "child", c.SQL, "parentKey", quote(c.ParentKey),
			"keyType", d.ColumnType(key), "key", quote(key.Name), "columns", e.declare(&c.Table),
			"own", strings.Join(own, ", ")))
	}
	for _, r := range e.references {
		statements = append(statements, e.sql(`CREATE INDEX {index} ON {v1} ({column})`,
			"index", quote(e.v1.Name+"_"+r.Column), "column", quote(r.Column)))
	}
	return statements
}
