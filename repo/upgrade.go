package repo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// The engine's own tables carry a version, in one row. A newer program upgrades them step by step, in the transaction
// in which it creates what is missing. An older program reports the newer version and does nothing.

// ownVersion is the version of the engine's own tables that this program knows. A change of these tables raises it, and
// adds to upgrades.
const ownVersion = 7

// upgrades are the statements that bring the engine's own tables from one version to the next, by the version from
// which they start. They run once the tables that a new database gets are there.
var upgrades = map[int64]func(ctx context.Context, db *DB, s database.Session) ([]string, error){
	2: upgradeFrom2,
	3: upgradeFrom3, 4: upgradeFrom4, 5: upgradeFrom5, 6: upgradeFrom6,
}

// ownVersion returns the version of the engine's own tables in the database, 0 where there are none. The first version
// of the tables carried no number; it counts as 1.
func (db *DB) ownVersion(ctx context.Context, s database.Session) (int64, error) {
	// The order matters, since another instance may be creating all these tables at once.
	made, err := db.dialect.Columns(ctx, s, db.ownTable("coexist_entity"))
	if err != nil || len(made) == 0 {
		return 0, db.pools.Classify(err)
	}
	versioned, err := db.dialect.Columns(ctx, s, db.ownTable("coexist_schema"))
	if err != nil || len(versioned) == 0 {
		return 1, db.pools.Classify(err)
	}
	version, err := s.Number(ctx, db.sql(`SELECT coalesce(max(version), 0) FROM {coexist_schema}`))
	return version, db.pools.Classify(err)
}

func (db *DB) ownTable(name string) *shape.Table {
	return &shape.Table{Name: name, SQL: db.qualify(name)}
}

// checkOwnVersion fails where the engine's own tables do not have the version that this program knows. The error says
// what to do.
func checkOwnVersion(installed int64) error {
	const tables = "Coexist's own tables are" // a name, which begins with a capital letter
	switch {
	case installed > ownVersion:
		return fmt.Errorf("%s of version %d, and this program knows version %d: "+
			"a newer one has been here; run that, or a newer one still", tables, installed, ownVersion)
	case installed == 0:
		return fmt.Errorf("%s missing: %s", tables, adviceToInstall)
	case installed < ownVersion && upgrades[installed] != nil:
		return fmt.Errorf("%s of version %d, and this program knows version %d: to upgrade them %s",
			tables, installed, ownVersion, adviceToInstall)
	case installed < ownVersion:
		return fmt.Errorf("%s of version %d, which was never released, and this program upgrades from version 2 on: "+
			"go on with the one that made them", tables, installed)
	default:
		return nil
	}
}

// upgrade returns the statements that bring the engine's own tables to the version that this program knows.
func (db *DB) upgrade(ctx context.Context, s database.Session, from int64) ([]string, error) {
	var all []string
	for version := from; version != ownVersion; version++ {
		step := upgrades[version]
		if step == nil {
			return nil, checkOwnVersion(from)
		}
		statements, err := step(ctx, db, s)
		if err != nil {
			return nil, err
		}
		all = append(all, statements...)
	}
	return append(all, db.sql(`UPDATE {coexist_schema} SET version = {version}`,
		"version", strconv.Itoa(ownVersion))), nil
}

// upgradeFrom2 gives each entity its own log of marks and its own quarantine, whose keys have the type of V1's. It
// keeps all writers away from V1 meanwhile, because a trigger would write to the old log, which is dropped.
func upgradeFrom2(ctx context.Context, db *DB, s database.Session) ([]string, error) {
	var unknown []string
	err := s.Query(ctx, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		if !slices.ContainsFunc(db.entities, func(e *entity) bool { return e.name == name }) {
			unknown = append(unknown, name)
		}
		return err
	}, db.sql(`SELECT name FROM {coexist_entity} ORDER BY name`))
	if err != nil {
		return nil, err
	}
	if unknown != nil {
		return nil, fmt.Errorf(
			"the database knows the entities %s, which this program does not describe: upgrade Coexist's own tables with one that does", strings.Join(unknown, ", "))
	}
	marks, quarantine := db.qualify("coexist_mark"), db.qualify("coexist_quarantine")
	var statements []string
	for _, e := range db.entities {
		statements = append(statements, db.dialect.stopWriters(e.tables, "true")...)
		statements = append(statements, db.dialect.lockV1(e.tables)...)
	}
	for _, e := range db.entities {
		const markColumns, quarantineColumns = "kind, floor, bypass, at",
			"code, field, message, mapping_version, attempts, first_seen_at, last_seen_at"
		statements = append(statements,
			e.sql(`INSERT INTO {mark} (id, key, {markColumns}) SELECT id, {asKey}, {markColumns} FROM {marks}
				WHERE entity = {name}`, "markColumns", markColumns, "asKey", e.asKey("key"), "marks", marks),
			e.sql(`INSERT INTO {quarantine} (key, {quarantineColumns}) SELECT {asKey}, {quarantineColumns}
				FROM {shared} WHERE entity = {name}`, "quarantineColumns", quarantineColumns,
				"asKey", e.asKey("key"), "shared", quarantine))
		triggers, err := db.dialect.capture(ctx, s, e.capture, captureOutdated)
		if err != nil {
			return nil, err
		}
		statements = append(statements, triggers...)
	}
	return append(statements, fill(`DROP TABLE {marks}`, "marks", marks), fill(`DROP TABLE {quarantine}`,
		"quarantine", quarantine)), nil
}

// upgradeFrom3 gives each entity a place for its capture's fingerprint. It records the fingerprint of the capture as it
// is then, on the assumption that the capture has been so all along.
func upgradeFrom3(_ context.Context, db *DB, _ database.Session) ([]string, error) {
	statements := []string{db.sql(`ALTER TABLE {coexist_entity} ADD COLUMN capture_fingerprint text`)}
	for _, e := range db.entities {
		_, fingerprint := db.dialect.capture6(e.capture)
		statements = append(statements, e.capture.record(fingerprint)...)
	}
	return statements, nil
}

// upgradeFrom4 drops an index that two others have replaced.
func upgradeFrom4(_ context.Context, db *DB, _ database.Session) ([]string, error) {
	var statements []string
	for _, e := range db.entities {
		statements = append(statements, fill(`DROP INDEX IF EXISTS {qualify}`,
			"qualify", db.qualify(ownTable(e.name, "mark_open"))))
	}
	return statements, nil
}

// upgradeFrom5 does nothing. Before version 6 anybody could put a capture function on a table of their own, and so
// leave marks for our rows; upgradeFrom6 replaces these functions.
func upgradeFrom5(context.Context, *DB, database.Session) ([]string, error) { return nil, nil }

// upgradeFrom6 makes the capture tell own writes by key. The new triggers have other names, and leave marks, with a
// token, for whatever else our writes cause.
func upgradeFrom6(ctx context.Context, db *DB, s database.Session) ([]string, error) {
	var statements []string
	add := func(name, column, declared string) error {
		columns, err := db.dialect.Columns(ctx, s,
			&shape.Table{Name: strings.Trim(name[strings.LastIndex(name, ".")+1:], `"`), SQL: name})
		if _, there := columns[column]; err == nil && len(columns) > 0 && !there {
			statements = append(statements, fill(`ALTER TABLE {name} ADD COLUMN {column} {declared}`, "name", name,
				"column", column, "declared", declared))
		}
		return err
	}
	if err := errors.Join(add(db.own.entity, "seeds", "bigint NOT NULL DEFAULT 0"), add(db.own.finding, "reason",
		"text"), add(db.own.writer, "token", "text")); err != nil {
		return nil, err
	}
	for _, e := range db.entities {
		if err := add(e.markTable, "tx", db.dialect.MarkID()); err != nil {
			return nil, err
		}
		statements = append(statements, db.dialect.looseKeys(e.statements)...)
	}
	for _, e := range db.entities {
		dropped, err := db.dialect.dropCapture6(ctx, s, e.capture)
		if err != nil {
			return nil, err
		}
		if len(dropped) == 0 {
			continue // nothing is captured: a role that may install the capture does so later
		}
		created, err := db.dialect.capture(ctx, s, e.capture, captureAll)
		if err != nil {
			return nil, err
		}
		whole, fingerprint := db.dialect.capture6(e.capture)
		broken := e.sql(`EXISTS (SELECT 1 FROM {coexist_entity} x WHERE x.name = {name}
			AND NOT (coalesce(x.capture_fingerprint, '') = {fingerprint} AND {whole}))`,
			"fingerprint", fingerprint, "whole", whole)
		statements = slices.Concat(statements, db.dialect.lockV1(e.tables), e.capture.gap(broken), dropped, created,
			e.capture.record(db.dialect.fingerprint(e.capture)))
	}
	return statements, nil
}
