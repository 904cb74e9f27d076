package repo

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// The triggers of SQLite. They look at the phase and append marks, nothing else. REPLACE fires no delete trigger, so inserts
// append marks too. UPDATE OR REPLACE can remove another row without a trigger, which verification finds. Our own transactions say in
// coexist_writer that they are ours, and in coexist_inflight which keys they write; no other connection ever sees either. What they do to the
// rows of those keys leaves no mark. Whatever else they cause leaves marks with their token, and is never rejected.

var sqliteTriggers = []struct{ event, body string }{
	{"INSERT", `INSERT INTO {marks} (key, kind, bypass, tx, floor) SELECT NEW.{key}, 'CHANGE', {by} WHERE {new};`},
	{"DELETE", `INSERT INTO {marks} (key, kind, bypass, tx, floor) SELECT OLD.{key}, '{gone}', {by} WHERE {old};`},
	{"UPDATE", `INSERT INTO {marks} (key, kind, bypass, tx, floor) SELECT OLD.{key}, '{gone}', {by} WHERE OLD.{key} IS NOT NEW.{key} AND {old};
	INSERT INTO {marks} (key, kind, bypass, tx, floor) SELECT NEW.{key}, 'CHANGE', {by} WHERE {new};`},
}

const sqliteTrigger = `CREATE TRIGGER {name} AFTER {event} ON {table}
WHEN (SELECT w.entity FROM coexist_writer w) IS NOT {entity}
	AND ((SELECT w.token FROM coexist_writer w) IS NOT NULL OR (SELECT e.capture FROM coexist_entity e WHERE e.name = {entity}))
BEGIN
	SELECT RAISE(ABORT, {refusal}) WHERE (SELECT w.token FROM coexist_writer w) IS NULL
		AND (SELECT e.phase FROM coexist_entity e WHERE e.name = {entity}) IN ('CUTOVER', 'CONTRACT');
	{body}
END`

// sqliteEvery is everyKey here: no key is a blob.
const sqliteEvery = "x'2a'"

func (sqlite) capture(ctx context.Context, s session, e *entity, which captureParts) ([]string, error) {
	var statements []string
	strange := func(key string) string {
		return key + " IS NOT NULL AND NOT EXISTS (SELECT 1 FROM coexist_inflight i WHERE i.entity = {entity} AND i.key IN (" + key + ", " + sqliteEvery + "))"
	}
	for _, t := range e.captured() {
		for _, trigger := range sqliteTriggers {
			name := t.trigger + "_" + strings.ToLower(trigger.event)
			body := strings.NewReplacer("{by}", "(SELECT w.token FROM coexist_writer w) IS NULL, (SELECT w.token FROM coexist_writer w), -1",
				"{new}", strange("NEW.{key}"), "{old}", strange("OLD.{key}")).Replace(trigger.body)
			statement := strings.NewReplacer("{name}", quote(name), "{event}", trigger.event, "{table}", quote(t.table), "{body}", body, "{refusal}",
				literal("entity "+e.name+" is past MIGRATE: table "+t.table+" is no longer the truth; write through Coexist, or ask its operator to go back to MIGRATE")).Replace(sqliteTrigger)
			statement = t.fill(statement, "{marks}", e.markTable)
			var current sql.NullString
			if err := s.query(ctx, func(rows *sql.Rows) error { return rows.Scan(&current) },
				"SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ?", name); err != nil {
				return nil, err
			}
			if which != captureAll && (current.String == statement || which == captureOutdated && !current.Valid) {
				continue
			}
			statements = append(statements, "DROP TRIGGER IF EXISTS "+quote(name), statement)
		}
	}
	return statements, nil
}

func (sqlite) captured(e *entity) string {
	return sqliteWhole(e, func(t capturedTable) string { return t.trigger })
}

// sqliteWhole is captured for triggers whose names begin with a table's prefix.
func sqliteWhole(e *entity, prefix func(capturedTable) string) string {
	tables, triggers := sqliteCaptured(e, prefix)
	// A table that was renamed takes its triggers along.
	return fmt.Sprintf("(SELECT count(*) = %d FROM sqlite_schema WHERE type = 'trigger' AND name IN (%s) AND tbl_name COLLATE NOCASE IN (%s))",
		len(e.captured())*len(sqliteTriggers), triggers, tables)
}

// fingerprint: a table that was made anew has another root page, and its triggers are other rows of the schema. VACUUM moves both, and
// counts as a gap.
func (sqlite) fingerprint(e *entity) string {
	return sqliteFingerprint(e, func(t capturedTable) string { return t.trigger })
}

// sqliteFingerprint is fingerprint for triggers whose names begin with a table's prefix.
func sqliteFingerprint(e *entity, prefix func(capturedTable) string) string {
	tables, triggers := sqliteCaptured(e, prefix)
	return "(SELECT coalesce(group_concat(f.part, char(10)), '') FROM (SELECT rowid || ':' || rootpage || ':' || tbl_name || ':' || sql AS part FROM sqlite_schema" +
		" WHERE type = 'trigger' AND name IN (" + triggers + ") OR type = 'table' AND name COLLATE NOCASE IN (" + tables + ") ORDER BY rowid) f)"
}

func (sqlite) kept(recorded, now string) bool { return recorded == now }

// sqliteCaptured lists the names of V1's tables and of their triggers.
func sqliteCaptured(e *entity, prefix func(capturedTable) string) (tables, triggers string) {
	var list, names []string
	for _, t := range e.captured() {
		list = append(list, literal(t.table))
		for _, trigger := range sqliteTriggers {
			names = append(names, literal(prefix(t)+"_"+strings.ToLower(trigger.event)))
		}
	}
	return strings.Join(list, ", "), strings.Join(names, ", ")
}
