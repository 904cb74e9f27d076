package repo

import (
	"context"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// The capture up to version 6 of the engine's own tables: triggers named after the table.

func (postgres) capture6(e capture) (captured, fingerprint string) {
	var whole []string
	for _, t := range e.captured() {
		names := "'coexist_capture_truncate', 'coexist_capture_insert', 'coexist_capture_update', 'coexist_capture_delete'"
		n := "5"
		if t.root {
			names, n = names+", 'coexist_capture_key'", "6"
		}
		whole = append(whole, fill(`EXISTS (SELECT 1 FROM pg_class c JOIN pg_trigger t ON t.tgrelid = c.oid
			WHERE c.oid = to_regclass({qualify}) AND c.relkind = 'r' AND NOT EXISTS (SELECT 1 FROM pg_inherits i
			WHERE c.oid IN (i.inhparent, i.inhrelid)) HAVING count(*) FILTER (WHERE t.tgname IN
			('coexist_capture', 'coexist_capture_truncate') AND t.tgenabled IN ('O', 'A')) = 2
			OR count(*) FILTER (WHERE t.tgname IN ({names}) AND t.tgenabled IN ('O', 'A')
			OR t.tgname = 'coexist_capture' AND t.tgenabled = 'R') = {n})`,
			"qualify", literal(e.db.qualify(t.table)), "names", names, "n", n))
	}
	return "(" + strings.Join(whole, " AND ") + ")",
		postgresFingerprint(e, func(capturedTable) string { return "coexist_capture" })
}

func (postgres) dropCapture6(ctx context.Context, s database.Session, e capture) ([]string, error) {
	var statements []string
	for _, t := range e.captured() {
		on := e.db.qualify(t.table)
		names, err := s.Texts(ctx,
			"SELECT quote_ident(t.tgname) FROM pg_trigger t WHERE t.tgrelid = to_regclass(?) AND NOT t.tgisinternal AND starts_with(CAST(t.tgname AS text), 'coexist_capture') ORDER BY 1", on)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			statements = append(statements, fill(`DROP TRIGGER IF EXISTS {name} ON {on}`, "name", name, "on", on))
		}
		// A stranger may have put the function on a table of their own, and may lock that table. So the function is
		// replaced by one that does nothing, and dropped only where nothing uses it any more.
		function := e.db.qualify("coexist_capture_" + t.table)
		used, err := s.Texts(ctx, `SELECT CASE WHEN EXISTS (SELECT 1 FROM pg_trigger t JOIN pg_class c
			ON c.oid = t.tgrelid WHERE t.tgfoid = p.oid AND NOT c.oid = ANY (SELECT to_regclass(n.name)
			FROM json_array_elements_text(CAST(? AS json)) n(name))) THEN 'used' ELSE 'free' END FROM pg_proc p
			WHERE p.oid = to_regproc(?)`, database.JSONList(e.db.v1Tables()), function)
		switch {
		case err != nil:
			return nil, err
		case len(used) == 0:
		case used[0] == "used":
			statements = append(statements, fill(`CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE
				plpgsql SET search_path = pg_catalog, pg_temp AS $coexist$BEGIN RETURN NULL; END$coexist$`,
				"function", function),
				fill(`REVOKE ALL ON FUNCTION {function}() FROM PUBLIC`, "function", function))
		default:
			statements = append(statements, fill(`DO $coexist$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_trigger t
				WHERE t.tgfoid = to_regproc({name})) THEN DROP FUNCTION IF EXISTS {function}(); END IF; END
				$coexist$`, "name", literal(function), "function", function))
		}
	}
	return statements, nil
}

func (d postgres) looseKeys(e statements) []string {
	declared := e.db.dialect.KeyType(e.v1.Key)
	return []string{
		e.sql(`ALTER TABLE {mark} ALTER COLUMN key TYPE {declared}`, "declared", declared),
		e.sql(`ALTER TABLE {quarantine} ALTER COLUMN key TYPE {declared}`, "declared", declared),
	}
}

func (sqlite) capture6(e capture) (captured, fingerprint string) {
	names := func(t capturedTable) []string {
		return []string{
			"coexist_capture_" + t.table + "_insert", "coexist_capture_" + t.table + "_delete",
			"coexist_capture_" + t.table + "_update",
		}
	}
	return sqliteWhole(e, names), sqliteFingerprint(e, names)
}

func (sqlite) dropCapture6(ctx context.Context, s database.Session, e capture) ([]string, error) {
	var statements []string
	for _, t := range e.captured() {
		names, err := s.Texts(ctx, "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND name IN (?, ?, ?)",
			"coexist_capture_"+t.table+"_insert", "coexist_capture_"+t.table+"_delete", "coexist_capture_"+
				t.table+"_update")
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			statements = append(statements, fill(`DROP TRIGGER IF EXISTS {name}`, "name", quote(name)))
		}
	}
	return statements, nil
}

// looseKeys does nothing, because on SQLite a type does not limit the length.
func (sqlite) looseKeys(statements) []string { return nil }
