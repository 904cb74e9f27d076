package repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Install creates the tables of V2 and the engine's own, where they are missing, makes the entities known, and puts triggers on
// the V1 tables, which must be there, to capture bypass writes. Several instances may do so at once. It changes nothing else
// about V1, and no V2 table that is there already. Where the database does not let it create triggers, it logs that, and
// Capture says so. It fails, and changes nothing, where the engine's own tables are of another version than this program's.
func (db *DB) Install(ctx context.Context) error {
	if installed, err := db.ownVersion(ctx); err != nil || installed != 0 && installed != ownVersion {
		return cmp.Or(err, checkOwnVersion(installed))
	}
	statements, err := db.installation(ctx)
	if err != nil {
		return err
	}
	for _, e := range db.entities {
		for _, t := range e.v1.all() {
			if err := e.checkRights(ctx, t.name); err != nil {
				return err
			}
		}
	}
	switch err := db.classify(db.dialect.install(ctx, db, statements)); {
	case errors.Is(err, errDenied):
		return fmt.Errorf("%w: let a DBA run what `coexist ddl` prints", err)
	case err != nil:
		return err
	}
	for _, e := range db.entities {
		if err := e.installMapping(ctx); err != nil {
			return db.classify(err)
		}
		if err := e.installCapture(ctx); err != nil {
			return db.classify(err)
		}
	}
	return nil
}

// older says that the entity's mapping is older than this instance's.
func (e *entity) older() string {
	return fmt.Sprintf("coexist_entity WHERE name = %s AND mapping_version < %d", literal(e.name), e.mappingVersion)
}

// raiseMapping are the statements that make this instance's mapping the entity's, if that is newer, while no writer is at work:
// who has begun under an older mapping would store what that makes, unseen by whoever migrates such copies again.
func (e *entity) raiseMapping() []string {
	table, condition, _ := strings.Cut(e.older(), " ")
	return append(e.db.dialect.stopWriters(e, "EXISTS (SELECT 1 FROM "+e.older()+")"), fmt.Sprintf("UPDATE %s SET mapping_version = %d %s", table, e.mappingVersion, condition))
}

// installMapping raises the mapping's version. It waits for writers in flight only for moments, in which others wait behind it.
func (e *entity) installMapping(ctx context.Context) error {
	deadline := time.Now().Add(20 * time.Second)
	for try := 1; ; try++ {
		older, err := number(ctx, e.db.reading(), "SELECT count(*) FROM "+e.older())
		if err != nil || older == 0 {
			return err
		}
		err = e.db.classify(e.db.dialect.install(ctx, e.db, append(e.db.dialect.shortWait(), e.raiseMapping()...)))
		if _, busy := errors.AsType[*busyError](err); !busy || time.Now().After(deadline) || pause(ctx, backOff(try)) != nil {
			return err
		}
	}
}

// DDL returns the statements of Install as one SQL script, for a database administrator to run. It reads V1's catalog, since
// V2's keys have the types of V1's.
func (db *DB) DDL(ctx context.Context) (string, error) {
	statements, err := db.installation(ctx)
	if err != nil {
		return "", err
	}
	for _, e := range db.entities {
		statements = append(statements, e.raiseMapping()...)
		triggers, err := db.dialect.capture(ctx, db.reading(), e, true)
		if err != nil {
			return "", db.classify(err)
		}
		statements = append(statements, triggers...)
	}
	return "BEGIN;\n" + strings.Join(statements, ";\n") + ";\nCOMMIT;\n", nil
}

// ownVersion is the version of the engine's own tables that this program knows. What changes them raises it.
const ownVersion = 2

// ownVersionTable holds the version of the engine's own tables, in one row.
var ownVersionTable = []string{
	"CREATE TABLE IF NOT EXISTS coexist_schema (id integer PRIMARY KEY CHECK (id = 1), version integer NOT NULL)",
	fmt.Sprintf("INSERT INTO coexist_schema (id, version) VALUES (1, %d) ON CONFLICT (id) DO NOTHING", ownVersion),
}

// ownVersion returns the version of the engine's own tables in the database, 0 where there are none. The first carried none.
func (db *DB) ownVersion(ctx context.Context) (int64, error) {
	// In this order, since another instance may be creating them, all at once.
	made, err := db.dialect.columns(ctx, db.reading(), "coexist_entity")
	if err != nil || len(made) == 0 {
		return 0, db.classify(err)
	}
	versioned, err := db.dialect.columns(ctx, db.reading(), "coexist_schema")
	if err != nil || len(versioned) == 0 {
		return 1, db.classify(err)
	}
	version, err := number(ctx, db.reading(), "SELECT coalesce(max(version), 0) FROM coexist_schema")
	return version, db.classify(err)
}

// checkOwnVersion says what to do where the engine's own tables are not of the version that this program knows.
func checkOwnVersion(installed int64) error {
	switch {
	case installed > ownVersion:
		return fmt.Errorf("Coexist's own tables are of version %d, and this program knows version %d: a newer one has been here; run that, or a newer one still", installed, ownVersion) //nolint:staticcheck // a name
	case installed == 0:
		return errors.New("Coexist's own tables are missing: start the server with --auto-migrate, or run what `coexist ddl` prints") //nolint:staticcheck // a name
	case installed < ownVersion:
		return fmt.Errorf("Coexist's own tables are of version %d, and this program knows version %d and upgrades none: go on with the one that made them", installed, ownVersion) //nolint:staticcheck // a name
	default:
		return nil
	}
}

func (db *DB) installation(ctx context.Context) ([]string, error) {
	statements := slices.Concat(ownVersionTable, db.dialect.ownTables())
	for _, e := range db.entities {
		if err := e.checkV1(ctx); err != nil {
			return nil, err
		}
		statements = append(statements, e.createV2()...)
		statements = append(statements, fmt.Sprintf("INSERT INTO coexist_entity (name, phase, mapping_version) VALUES (%s, %s, %d)"+
			" ON CONFLICT (name) DO NOTHING",
			literal(e.name), literal(string(e.initialPhase)), e.mappingVersion))
	}
	return statements, nil
}

// createV2 are the statements that create V2's tables. They have no foreign keys but those from child to parent: an
// aggregate may migrate before those to which it refers.
func (e *entity) createV2() []string {
	d := e.db.dialect
	key := quote(e.v2.key.name) + " " + d.keyType(e.v1.key) + " NOT NULL"
	engine := &table{columns: []column{
		{name: seqColumn, sqlType: "bigint"},
		{name: versionColumn, sqlType: "bigint"},
		{name: mappingVersionColumn, sqlType: "integer"},
		{name: refinedColumn, sqlType: "boolean"},
		{name: originColumn, sqlType: "varchar(10)"},
		{name: migratedAtColumn, sqlType: "timestamptz"},
		{name: goneSeenColumn, sqlType: "bigint"},
		{name: staleSeenColumn, sqlType: "bigint"},
	}}
	statements := []string{"CREATE TABLE IF NOT EXISTS " + quote(e.v2.name) + " (" + key + " PRIMARY KEY" +
		e.declare(e.v2) + e.declare(engine) + ")"}
	for i := range e.v2.children {
		c := &e.v2.children[i]
		statements = append(statements, "CREATE TABLE IF NOT EXISTS "+quote(c.name)+" ("+
			quote(c.parentKey)+" "+d.keyType(e.v1.key)+" NOT NULL REFERENCES "+quote(e.v2.name)+" ON DELETE CASCADE, "+
			quote(positionColumn)+" integer NOT NULL"+e.declare(&c.table)+", PRIMARY KEY ("+quote(c.parentKey)+", "+quote(positionColumn)+"))")
	}
	for _, r := range e.references {
		column := e.columnInV2(r.Column)
		statements = append(statements, "CREATE INDEX IF NOT EXISTS "+quote(e.v2.name+"_"+column)+" ON "+quote(e.v2.name)+" ("+quote(column)+")")
	}
	return statements
}

// declare are a table's columns but the key, each after a comma.
func (e *entity) declare(t *table) string {
	var b strings.Builder
	for i := range t.columns {
		c := &t.columns[i]
		if c.isKey {
			continue
		}
		b.WriteString(", " + quote(c.name) + " " + e.db.dialect.columnType(c))
		if !c.nullable {
			b.WriteString(" NOT NULL")
		}
	}
	return b.String()
}

// CreateV1Tables creates the V1 tables of all entities as their models say, with the foreign keys of Config.References. It
// is for an empty sample database, and fails where one of the tables is there.
func (db *DB) CreateV1Tables(ctx context.Context) error {
	var statements []string
	created := map[string]bool{}
	for len(created) < len(db.entities) {
		before := len(created)
		for _, e := range db.entities {
			if !created[e.name] && e.targetsCreated(created) {
				created[e.name] = true
				statements = append(statements, e.createV1()...)
			}
		}
		if len(created) == before {
			return errors.New("the references of the entities form a circle")
		}
	}
	return db.classify(db.dialect.install(ctx, db, statements))
}

func (e *entity) targetsCreated(created map[string]bool) bool {
	for _, r := range e.references {
		for _, other := range e.db.entities {
			if other.v1.name == r.Table && other != e && !created[other.name] {
				return false
			}
		}
	}
	return true
}

func (e *entity) createV1() []string {
	d := e.db.dialect
	key := e.v1.key
	root := "CREATE TABLE " + quote(e.v1.name) + " (" + quote(key.name) + " " + d.columnType(key) + " NOT NULL PRIMARY KEY" + e.declare(e.v1)
	for _, r := range e.references {
		root += ", FOREIGN KEY (" + quote(r.Column) + ") REFERENCES " + quote(r.Table) + " (" + quote(r.Key) + ")"
	}
	statements := []string{root + ")"}
	for i := range e.v1.children {
		c := &e.v1.children[i]
		own := []string{quote(c.parentKey)}
		for _, i := range c.own {
			own = append(own, quote(c.columns[i].name))
		}
		statements = append(statements, "CREATE TABLE "+quote(c.name)+" ("+quote(c.parentKey)+" "+d.columnType(key)+" NOT NULL REFERENCES "+
			quote(e.v1.name)+" ("+quote(key.name)+")"+e.declare(&c.table)+", PRIMARY KEY ("+strings.Join(own, ", ")+"))")
	}
	for _, r := range e.references {
		statements = append(statements, "CREATE INDEX "+quote(e.v1.name+"_"+r.Column)+" ON "+quote(e.v1.name)+" ("+quote(r.Column)+")")
	}
	return statements
}
