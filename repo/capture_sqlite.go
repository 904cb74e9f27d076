package repo

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// The triggers of SQLite. They look at the phase and append marks, nothing else. REPLACE fires no delete trigger, so
// inserts append marks too. Where REPLACE may remove a row of another key through a unique index, BEFORE triggers mark
// that row. A row that it removes through an index on an expression, or through a partial index, is found only by
// verification. Our own transactions say in coexist_writer that they are ours, and in coexist_inflight which keys they
// write; no other connection ever sees either. Their changes to the rows of those keys leave no mark. Any other change
// that they cause leaves marks with their token, and is never rejected.

// sqliteTriggers are the triggers of each table. Those for updates and deletes fire BEFORE: an AFTER trigger of the
// owner's may end all later triggers by RAISE(IGNORE), and leave the row changed. The key of an insert is known only
// AFTER it. Each trigger is one short statement, since an old program's statement compiles it each time. Only a
// statement that sets the key's column, or the rowid that this column may be, can change a key.
var sqliteTriggers = []struct{ name, event, body string }{
	{"insert", "AFTER INSERT", fmt.Sprintf(sqliteMark, "NEW.{key}", "CHANGE", "")},
	{"delete", "BEFORE DELETE", fmt.Sprintf(sqliteMark, "OLD.{key}", "{gone}", "")},
	{"update", "BEFORE UPDATE", fmt.Sprintf(sqliteMark, "NEW.{key}", "CHANGE", "")},
	{"rekey", "BEFORE UPDATE OF {key}, rowid, oid, _rowid_", fmt.Sprintf(sqliteMark, "OLD.{key}", "{gone}",
		"OLD.{key} IS NOT NEW.{key} AND ")},
}

const (
	sqliteTrigger = "CREATE TRIGGER {name} {event} ON {table} BEGIN{body}\nEND"
	// sqliteMark appends a mark of a key, or refuses the statement of an old program. A row without a key has no mark.
	sqliteMark = "\n\t" + `INSERT INTO {marks} (key, kind, bypass, tx, floor)
	SELECT %[1]s, CASE WHEN w.token IS NULL AND e.phase IN ('CUTOVER', 'CONTRACT') THEN RAISE(ABORT, {refusal}) ELSE '%[2]s' END, ` + sqliteBy + ` WHERE %[3]sCASE
		WHEN w.token IS NULL THEN w.entity IS NOT {entity} AND e.capture AND (%[1]s IS NOT NULL OR e.phase IN ('CUTOVER', 'CONTRACT'))
		ELSE ` + sqliteStrange + ` END;`
	// sqliteReplaced appends marks of the rows of its own table that a statement is about to remove by REPLACE. A
	// conflict that does not end in a removal leaves a mark too many, which is harmless.
	sqliteReplaced = "\n\t" + `INSERT INTO {marks} (key, kind, bypass, tx, floor)
	SELECT t.{key}, 'CHANGE', ` + sqliteBy + ` JOIN {table} t WHERE {conflict} AND t.{key} IS NOT NEW.{key}{other} AND CASE
		WHEN w.token IS NULL THEN w.entity IS NOT {entity} AND e.capture AND t.{key} IS NOT NULL
		ELSE ` + sqliteStrange + ` END;`
	// sqliteBy says whose write a mark is for.
	sqliteBy = "w.token IS NULL, w.token, -1 FROM coexist_writer w JOIN coexist_entity e ON e.name = {entity}"
	// sqliteStrange is the condition that a key is not one that our transaction writes.
	sqliteStrange = `%[1]s IS NOT NULL AND NOT EXISTS (SELECT 1 FROM coexist_inflight i WHERE i.entity = {entity} AND i.key IN (%[1]s, ` + sqliteEvery + `))`
	// sqliteEvery is everyKey on SQLite: a blob, which no key is.
	sqliteEvery = "x'2a'"
)

func (sqlite) capture(ctx context.Context, s database.Session, e capture, which captureParts) ([]string, error) {
	var statements []string
	for _, t := range e.captured() {
		for _, trigger := range sqliteTriggers {
			name := t.trigger + "_" + trigger.name
			body := t.fill(trigger.body, "{marks}", e.markTable, "{refusal}", literal("entity "+e.name+
				" is past MIGRATE: table "+t.table+
				" is no longer the truth; write through Coexist, or ask its operator to go back to MIGRATE"))
			statement := strings.NewReplacer("{name}", quote(name), "{event}", t.fill(trigger.event),
				"{table}", quote(t.table), "{body}", body).Replace(sqliteTrigger)
			var current sql.NullString
			if err := s.Query(ctx, func(rows *sql.Rows) error { return rows.Scan(&current) },
				"SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ?", name); err != nil {
				return nil, err
			}
			if which != captureAll && (current.String == statement || which == captureOutdated && !current.Valid) {
				continue
			}
			statements = append(statements, fill(`DROP TRIGGER IF EXISTS {name}`, "name", quote(name)), statement)
		}
		more, err := captureReplaced(ctx, s, e, t, which)
		if err != nil {
			return nil, err
		}
		statements = append(statements, more...)
	}
	return statements, nil
}

// captureReplaced returns the statements that capture the rows that REPLACE removes from a table besides the row of the
// key.
func captureReplaced(ctx context.Context, s database.Session, e capture, t capturedTable,
	which captureParts,
) ([]string, error) {
	// A statement that sets no column of an index cannot conflict in it. But setting other columns changes a generated
	// one.
	var conflicts, columns []string
	generated := false
	err := s.Query(ctx, func(rows *sql.Rows) error {
		var conflict, names string
		var computed bool
		err := rows.Scan(&conflict, &names, &computed)
		conflicts, columns, generated = append(conflicts, conflict), append(columns, names), generated || computed
		return err
	}, `SELECT group_concat('t.' || c.name || ' = NEW.' || c.name || ' COLLATE "' || replace(c.coll, '"', '""') || '"', ' AND '), group_concat(c.name, ', '),
		max(NOT EXISTS (SELECT 1 FROM pragma_table_info(?) p WHERE p.name = c.column COLLATE NOCASE)) FROM (SELECT '"' || replace(i.column, '"', '""') || '"' AS name, i.* FROM (
	SELECT l.seq AS of, x.name AS column, x.coll FROM pragma_index_list(?) l JOIN pragma_index_xinfo(l.name) x WHERE l."unique" AND NOT l.partial AND x.key
		AND NOT EXISTS (SELECT 1 FROM pragma_index_info(l.name) i WHERE i.name IS NULL OR i.name = ? COLLATE NOCASE)
	UNION ALL SELECT -1, p.name, 'BINARY' FROM pragma_table_info(?) p WHERE p.pk = 1 AND lower(p.type) = 'integer' AND p.name <> ? COLLATE NOCASE
		AND (SELECT count(*) FROM pragma_table_info(?) q WHERE q.pk > 0) = 1) i) c GROUP BY c.of ORDER BY c.of`, t.table, t.table, t.key, t.table, t.key, t.table)
	if err != nil {
		return nil, err
	}
	var statements []string
	for _, event := range []string{"INSERT", "UPDATE"} {
		name := t.trigger + "_replaced_" + strings.ToLower(event)
		when, other := "BEFORE "+event, ""
		if event == "UPDATE" {
			other = t.fill(" AND t.{key} IS NOT OLD.{key}")
			if !generated {
				when += " OF " + strings.Join(columns, ", ") + ", rowid, oid, _rowid_"
			}
		}
		var body strings.Builder
		for _, conflict := range conflicts {
			body.WriteString(t.fill(fmt.Sprintf(sqliteReplaced, "t.{key}"), "{table}", quote(t.table),
				"{conflict}", conflict, "{other}", other, "{marks}", e.markTable))
		}
		statement := strings.NewReplacer("{name}", quote(name), "{event}", when, "{table}", quote(t.table), "{body}",
			body.String()).Replace(sqliteTrigger)
		current, err := s.Texts(ctx, "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ?", name)
		switch {
		case err != nil:
			return nil, err
		case which == captureOutdated && len(current) == 0, which != captureAll && len(current) > 0 &&
			len(conflicts) > 0 && current[0] == statement, len(current) == 0 && len(conflicts) == 0:
			continue
		}
		statements = append(statements, fill(`DROP TRIGGER IF EXISTS {name}`, "name", quote(name)))
		if len(conflicts) > 0 {
			statements = append(statements, statement)
		}
	}
	return statements, nil
}

// captureBehind reports whether a unique index has come or gone.
func (sqlite) captureBehind(ctx context.Context, s database.Session, e capture) (bool, error) {
	for _, t := range e.captured() {
		if statements, err := captureReplaced(ctx, s, e, t, captureMissing); err != nil || len(statements) > 0 {
			return err == nil, err
		}
	}
	return false, nil
}

func (sqlite) captured(e capture) string { return sqliteWhole(e, sqliteNames) }

// sqliteNames are the names of a table's triggers.
func sqliteNames(t capturedTable) []string {
	names := make([]string, len(sqliteTriggers))
	for i, trigger := range sqliteTriggers {
		names[i] = t.trigger + "_" + trigger.name
	}
	return names
}

// sqliteWhole is captured for triggers of other names.
func sqliteWhole(e capture, names func(capturedTable) []string) string {
	tables, triggers := sqliteCaptured(e, names)
	// A table that was renamed takes its triggers along.
	return fill(`(SELECT count(*) = {count} FROM sqlite_schema WHERE type = 'trigger' AND name IN ({triggers})
		AND tbl_name COLLATE NOCASE IN ({tables}))`, "count", strconv.Itoa(len(triggers)),
		"triggers", strings.Join(triggers, ", "), "tables", strings.Join(tables, ", "))
}

// fingerprint changes when a table is made anew: it then has another root page, and its triggers are other rows of the
// schema. VACUUM moves both, so it counts as a gap.
func (sqlite) fingerprint(e capture) string { return sqliteFingerprint(e, sqliteNames) }

// sqliteFingerprint is fingerprint for triggers of other names.
func sqliteFingerprint(e capture, names func(capturedTable) []string) string {
	tables, triggers := sqliteCaptured(e, names)
	return fill(`(SELECT coalesce(group_concat(f.part, char(10)), '')
		FROM (SELECT rowid || ':' || rootpage || ':' || tbl_name || ':' || sql AS part FROM sqlite_schema
		WHERE type = 'trigger' AND name IN ({triggers}) OR type = 'table' AND name COLLATE NOCASE IN ({tables})
		ORDER BY rowid) f)`, "triggers", strings.Join(triggers, ", "), "tables", strings.Join(tables, ", "))
}

func (sqlite) kept(recorded, now string) bool { return recorded == now }

// sqliteCaptured lists V1's tables and their triggers.
func sqliteCaptured(e capture, names func(capturedTable) []string) (tables, triggers []string) {
	for _, t := range e.captured() {
		tables = append(tables, literal(t.table))
		for _, name := range names(t) {
			triggers = append(triggers, literal(name))
		}
	}
	return tables, triggers
}
