package repo

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// The triggers of SQLite. They look at the phase and append a mark, nothing else. REPLACE fires no delete trigger, so inserts
// append marks too. UPDATE OR REPLACE can remove another row without a trigger, which verification finds. Own writes are told by the
// flag in coexist_writer, which no other connection ever sees set.

var sqliteTriggers = []struct{ event, body string }{
	{"INSERT", `INSERT INTO {marks} (key, kind, bypass) VALUES (NEW.{key}, 'CHANGE', 1);`},
	{"DELETE", `INSERT INTO {marks} (key, kind, bypass) VALUES (OLD.{key}, '{gone}', 1);`},
	{"UPDATE", `INSERT INTO {marks} (key, kind, bypass) SELECT OLD.{key}, '{gone}', 1 WHERE OLD.{key} IS NOT NEW.{key};
	INSERT INTO {marks} (key, kind, bypass) VALUES (NEW.{key}, 'CHANGE', 1);`},
}

const sqliteTrigger = `CREATE TRIGGER {name} AFTER {event} ON {table}
WHEN (SELECT w.entity FROM coexist_writer w) IS NOT {entity} AND (SELECT e.capture FROM coexist_entity e WHERE e.name = {entity})
BEGIN
	SELECT RAISE(ABORT, {refusal}) WHERE (SELECT e.phase FROM coexist_entity e WHERE e.name = {entity}) IN ('CUTOVER', 'CONTRACT');
	{body}
END`

func (sqlite) capture(ctx context.Context, s session, e *entity, which captureParts) ([]string, error) {
	var statements []string
	for _, t := range e.captured() {
		for _, trigger := range sqliteTriggers {
			name := quote("coexist_capture_" + t.table + "_" + strings.ToLower(trigger.event))
			statement := strings.NewReplacer("{name}", name, "{event}", trigger.event, "{table}", quote(t.table), "{body}", trigger.body, "{refusal}",
				literal("entity "+e.name+" is past MIGRATE: table "+t.table+" is no longer the truth; write through Coexist, or ask its operator to go back to MIGRATE")).Replace(sqliteTrigger)
			statement = t.fill(statement, "{marks}", e.markTable)
			var current sql.NullString
			if err := s.query(ctx, func(rows *sql.Rows) error { return rows.Scan(&current) },
				"SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ?", "coexist_capture_"+t.table+"_"+strings.ToLower(trigger.event)); err != nil {
				return nil, err
			}
			if which != captureAll && (current.String == statement || which == captureOutdated && !current.Valid) {
				continue
			}
			statements = append(statements, "DROP TRIGGER IF EXISTS "+name, statement)
		}
	}
	return statements, nil
}

func (sqlite) captured(e *entity) string {
	tables, triggers := sqliteCaptured(e)
	// A table that was renamed takes its triggers along.
	return fmt.Sprintf("(SELECT count(*) = %d FROM sqlite_schema WHERE type = 'trigger' AND name IN (%s) AND tbl_name COLLATE NOCASE IN (%s))",
		len(e.captured())*len(sqliteTriggers), triggers, tables)
}

// fingerprint: a table that was made anew has another root page, and its triggers are other rows of the schema. VACUUM moves both, and
// counts as a gap.
func (sqlite) fingerprint(e *entity) string {
	tables, triggers := sqliteCaptured(e)
	return "(SELECT coalesce(group_concat(f.part, char(10)), '') FROM (SELECT rowid || ':' || rootpage || ':' || tbl_name || ':' || sql AS part FROM sqlite_schema" +
		" WHERE type = 'trigger' AND name IN (" + triggers + ") OR type = 'table' AND name COLLATE NOCASE IN (" + tables + ") ORDER BY rowid) f)"
}

func (sqlite) kept(recorded, now string) bool { return recorded == now }

// sqliteCaptured lists the names of V1's tables and of their triggers.
func sqliteCaptured(e *entity) (tables, triggers string) {
	var list, names []string
	for _, t := range e.captured() {
		list = append(list, literal(t.table))
		for _, trigger := range sqliteTriggers {
			names = append(names, literal("coexist_capture_"+t.table+"_"+strings.ToLower(trigger.event)))
		}
	}
	return strings.Join(list, ", "), strings.Join(names, ", ")
}
