package repo

import (
	"context"
	"database/sql"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// logic finds the constraints and unique indexes of V1's tables, except those of keys, and the triggers and rules,
// except ours.
func (postgres) logic(ctx context.Context, s database.Session, e *entity) ([]logic, error) {
	var all []logic
	for _, t := range e.v1.All() {
		var found []logic
		err := s.Query(ctx, func(rows *sql.Rows) error { return database.ScanJSON(rows, &found) }, `SELECT coalesce(json_agg(json_build_object('kind', l.kind, 'name', l.name, 'table', l.tab) ORDER BY l.kind, l.name), '[]')::text FROM (
	SELECT 'trigger' AS kind, CAST(t.tgname AS text) AS name, c.relname AS tab FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
		WHERE c.oid = to_regclass(?) AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND NOT starts_with(CAST(t.tgname AS text), 'coexist_')
	UNION ALL SELECT 'rule', CAST(r.rulename AS text), c.relname FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE c.oid = to_regclass(?) AND r.ev_type <> '1' AND r.ev_enabled IN ('O', 'A')
	UNION ALL SELECT CASE k.contype WHEN 'c' THEN 'CHECK' ELSE 'EXCLUDE' END, CAST(k.conname AS text), c.relname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
		WHERE c.oid = to_regclass(?) AND k.contype IN ('c', 'x')
	UNION ALL SELECT 'UNIQUE', CAST(x.relname AS text), c.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
		WHERE c.oid = to_regclass(?) AND i.indisunique AND NOT (i.indpred IS NULL AND i.indexprs IS NULL AND
			(SELECT array_agg(n.name ORDER BY n.name COLLATE "C") FROM json_array_elements_text(CAST(? AS json)) n(name)) = (SELECT array_agg(CAST(a.attname AS text) ORDER BY CAST(a.attname AS text) COLLATE "C")
			FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((CAST(i.indkey AS int2[]))[0:i.indnkeyatts - 1])))) l`,
			t.SQL, t.SQL, t.SQL, t.SQL, database.JSONList(e.foreignKeys.rowKey(t)))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// logicElsewhere goes by what rules depend on, and by what the functions of triggers mention, because the catalog does
// not say what they write.
func (postgres) logicElsewhere(ctx context.Context, s database.Session, e *entity, led []string) ([]logic, error) {
	var found []logic
	tables, others := database.JSONList(e.v1Tables()), database.JSONList(led)
	const listed = "(SELECT to_regclass(n.name) FROM json_array_elements_text(CAST(? AS json)) n(name))"
	err := s.Query(ctx, func(rows *sql.Rows) error { return database.ScanJSON(rows, &found) }, fill(`SELECT coalesce(json_agg(json_build_object('kind', l.kind, 'name', l.name, 'table', l.tab) ORDER BY l.kind, l.name), '[]')::text FROM (
	SELECT DISTINCT 'rule' AS kind, CAST(r.rulename AS text) AS name, c.relname AS tab FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
		JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
		WHERE r.ev_type <> '1' AND r.ev_enabled IN ('O', 'A') AND d.refobjid IN {listed} AND c.oid NOT IN {listed}
	UNION ALL SELECT 'trigger', CAST(t.tgname AS text), c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
		WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND NOT starts_with(CAST(t.tgname AS text), 'coexist_') AND c.oid NOT IN {listed}
			AND EXISTS (SELECT 1 FROM pg_class v WHERE v.oid IN {listed} AND p.prosrc ~* (E'\\m' || regexp_replace(v.relname, E'(\\W)', E'\\\\\\1', 'g') || E'\\M'))) l`, "listed", listed),
		tables, others, others, tables)
	return found, err
}

// logic searches the SQL text of a table for CHECK constraints, because SQLite lists them nowhere else.
func (sqlite) logic(ctx context.Context, s database.Session, e *entity) ([]logic, error) {
	var all []logic
	for _, t := range e.v1.All() {
		err := s.Query(ctx, func(rows *sql.Rows) error {
			var l logic
			err := rows.Scan(&l.Kind, &l.Name, &l.Table)
			all = append(all, l)
			return err
		}, `SELECT 'trigger', name, tbl_name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE AND name NOT LIKE 'coexist\_%' ESCAPE '\'
	UNION ALL SELECT 'CHECK', '', name FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE AND sql LIKE '%CHECK%(%'
	UNION ALL SELECT 'UNIQUE', l.name, ? FROM pragma_index_list(?) l WHERE l."unique" AND NOT (NOT l.partial
		AND (SELECT json_group_array(i.name) FROM (SELECT x.name FROM pragma_index_info(l.name) x ORDER BY x.name) i) = ?)`,
			t.Name, t.Name, t.Name, t.Name, database.SortedJSONList(e.foreignKeys.rowKey(t)))
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// logicElsewhere goes by what the text of triggers mentions.
func (sqlite) logicElsewhere(ctx context.Context, s database.Session, e *entity, led []string) ([]logic, error) {
	var found []logic
	err := s.Query(ctx, func(rows *sql.Rows) error {
		var l logic
		err := rows.Scan(&l.Kind, &l.Name, &l.Table)
		found = append(found, l)
		return err
	}, `SELECT 'trigger', m.name, m.tbl_name FROM sqlite_schema m WHERE m.type = 'trigger' AND m.name NOT LIKE 'coexist\_%' ESCAPE '\'
	AND ('"' || m.tbl_name || '"') COLLATE NOCASE NOT IN (SELECT value FROM json_each(?)) AND EXISTS (SELECT 1 FROM json_each(?) v WHERE instr(lower(m.sql), lower(trim(v.value, '"'))) > 0) ORDER BY 2`,
		database.JSONList(led), database.JSONList(e.v1Tables()))
	return found, err
}

func (postgres) guards(e *entity, reference Reference, deleting bool) string {
	also := ""
	if deleting {
		also = " AND k.convalidated AND k.confdeltype IN ('a', 'r')"
	}
	return fill(`EXISTS (SELECT 1 FROM pg_constraint k JOIN pg_attribute a ON a.attrelid = k.conrelid
		AND a.attnum = k.conkey[1] WHERE k.contype = 'f' AND k.conrelid = to_regclass({v1 name})
		AND k.confrelid = to_regclass({qualify}) AND cardinality(k.conkey) = 1 AND a.attname = {column}{also}
		AND NOT EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgconstraint = k.oid
		AND t.tgenabled NOT IN ('O', 'A')))`, "v1 name", literal(e.v1.SQL),
		"qualify", literal(e.db.qualify(reference.Table)), "column", literal(reference.Column), "also", also)
}

func (sqlite) guards(e *entity, reference Reference, deleting bool) string {
	also := ""
	if deleting {
		also = " AND f.on_delete IN ('NO ACTION', 'RESTRICT')"
	}
	keys := "pragma_foreign_key_list(" + literal(e.v1.Name) + ")"
	return fill(`EXISTS (SELECT 1 FROM {keys} f WHERE f."table" = {table} COLLATE NOCASE
		AND f."from" = {column} COLLATE NOCASE{also} AND (SELECT count(*) FROM {keys} g WHERE g.id = f.id) = 1)`,
		"keys", keys, "table", literal(reference.Table), "column", literal(reference.Column), "also", also)
}
