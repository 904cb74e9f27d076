package repo

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// The triggers of PostgreSQL. They look at the phase and append marks, nothing else: they touch no copy and take no lock
// that anybody waits for. They run with the rights of who installed them, since the other programs have none on the
// engine's tables; so nobody else may call their functions, which do nothing on any table but the one they were made for. In a transaction that is not READ COMMITTED, whose snapshot may be older than the phase in force, they read
// the phase FOR SHARE, which fails then with a serialization failure.
//
// Triggers per statement mark all its rows at once, under one id, which costs an old program's mass update much less than a trigger and a
// random number per row. Two things they do not see: which old key became which new one, and what logical replication applies. The first has
// a row trigger that fires for nothing else; for the second the row trigger of all events is there, which fires for replicas only. Where V1's
// table is not ours to alter, so that we may not say so, that one does all the work.

const captureFunction = `CREATE OR REPLACE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $coexist$%s$coexist$`

// ownFunction says that the function p runs as we have made it, and that not everybody may call it.
const ownFunction = "p.prosecdef AND p.proconfig = '{\"search_path=pg_catalog, pg_temp\"}' AND NOT has_function_privilege('public', p.oid, 'EXECUTE')"

const captureBody = `
<<coexist>>
DECLARE
	found_phase text;
	capturing boolean;
	touched boolean := true;
	mark_id uuid := gen_random_uuid();
BEGIN
	IF TG_TABLE_SCHEMA <> {schema} OR TG_TABLE_NAME <> {name} THEN
		RETURN NULL; -- somebody else's trigger
	END IF;
	IF TG_LEVEL = 'STATEMENT' AND TG_OP = 'DELETE' THEN
		touched := EXISTS (SELECT 1 FROM coexist_old);
	ELSIF TG_LEVEL = 'STATEMENT' AND TG_OP <> 'TRUNCATE' THEN
		touched := EXISTS (SELECT 1 FROM coexist_new);
	END IF;
	IF NOT touched THEN
		RETURN NULL;
	END IF;
	IF current_setting('transaction_isolation') = 'read committed' THEN
		SELECT e.phase, e.capture INTO found_phase, capturing FROM {entities} e WHERE e.name = {entity};
	ELSE
		SELECT e.phase, e.capture INTO found_phase, capturing FROM {entities} e WHERE e.name = {entity} FOR SHARE;
	END IF;
	IF capturing IS NOT TRUE THEN
		RETURN NULL;
	END IF;
	IF found_phase IN ('CUTOVER', 'CONTRACT') THEN
		RAISE EXCEPTION 'entity % is in phase %: table % is no longer the truth', {entity}, found_phase, TG_TABLE_NAME
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Write through Coexist, or ask its operator to go back to MIGRATE.';
	END IF;
	IF TG_OP = 'TRUNCATE' THEN
		INSERT INTO {marks} (id, key, kind, bypass) VALUES (mark_id, NULL, '{all}', true);
	ELSIF TG_LEVEL = 'STATEMENT' THEN
		IF TG_OP = 'INSERT' THEN
			INSERT INTO {marks} (id, key, kind, bypass) SELECT {distinct}coexist.mark_id, r.{key}, 'CHANGE', true FROM coexist_new r;
		ELSIF TG_OP = 'DELETE' THEN
			INSERT INTO {marks} (id, key, kind, bypass) SELECT {distinct}coexist.mark_id, r.{key}, '{gone}', true FROM coexist_old r;
		ELSE
			INSERT INTO {marks} (id, key, kind, bypass) SELECT coexist.mark_id, r.{key}, 'CHANGE', true FROM ({updated}) r;
		END IF;
	ELSE
		IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND OLD.{key} IS DISTINCT FROM NEW.{key} THEN
			INSERT INTO {marks} (id, key, kind, bypass) VALUES (mark_id, OLD.{key}, '{gone}', true);
		END IF;
		IF TG_OP = 'INSERT' OR TG_OP = 'UPDATE' AND TG_NAME <> 'coexist_capture_key' THEN
			INSERT INTO {marks} (id, key, kind, bypass) VALUES (mark_id, NEW.{key}, 'CHANGE', true);
		END IF;
	END IF;
	RETURN NULL;
END
`

// notOurs is the condition of a trigger that our own writes do not start; cascades of them do.
const notOurs = "current_setting('coexist.writer', true) IS DISTINCT FROM {entity} OR pg_trigger_depth() > 0"

// postgresTrigger is a trigger on a V1 table.
type postgresTrigger struct {
	name, event string
	mode        string // of ALTER TABLE … ENABLE, "" for the one that CREATE TRIGGER gives
	enabled     string // pg_trigger's letters that will do
}

// rowTrigger does all the work where the others may not be, and serves logical replication where they are.
const rowTrigger, truncateTrigger = "coexist_capture", "coexist_capture_truncate"

func (t capturedTable) triggers(ours bool) []postgresTrigger {
	rows := postgresTrigger{rowTrigger, "AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW WHEN (" + notOurs + ")", "", "OAR"}
	truncate := postgresTrigger{truncateTrigger, "AFTER TRUNCATE ON {table} FOR EACH STATEMENT", "", "OA"}
	if !ours {
		return []postgresTrigger{rows, truncate}
	}
	rows.mode, rows.enabled, truncate.mode, truncate.enabled = "REPLICA", "R", "ALWAYS", "A"
	before := "OLD TABLE AS coexist_old "
	if t.root {
		before = "" // it costs, and the trigger of changed keys knows the old one
	}
	each := " FOR EACH STATEMENT WHEN (" + notOurs + ")"
	all := []postgresTrigger{
		rows, truncate,
		{"coexist_capture_insert", "AFTER INSERT ON {table} REFERENCING NEW TABLE AS coexist_new" + each, "", "OA"},
		{"coexist_capture_update", "AFTER UPDATE ON {table} REFERENCING " + before + "NEW TABLE AS coexist_new" + each, "", "OA"},
		{"coexist_capture_delete", "AFTER DELETE ON {table} REFERENCING OLD TABLE AS coexist_old" + each, "", "OA"},
	}
	if t.root {
		all = append(all, postgresTrigger{"coexist_capture_key", "AFTER UPDATE ON {table} FOR EACH ROW WHEN (OLD.{key} IS DISTINCT FROM NEW.{key} AND (" + notOurs + "))", "", "OA"})
	}
	return all
}

func (t capturedTable) body(e *entity) string {
	distinct, updated := "", "SELECT n.{key} FROM coexist_new n"
	if !t.root {
		distinct, updated = "DISTINCT ", "SELECT o.{key} FROM coexist_old o UNION SELECT n.{key} FROM coexist_new n"
	}
	return t.fill(strings.NewReplacer("{distinct}", distinct, "{updated}", updated).Replace(captureBody), "{entities}", e.db.own.entity, "{marks}", e.markTable,
		"{schema}", literal(e.db.schema), "{name}", literal(t.table))
}

func (postgres) capture(ctx context.Context, s session, e *entity, which captureParts) ([]string, error) {
	var statements []string
	for _, t := range e.captured() {
		name, on := e.db.qualify("coexist_capture_"+t.table), e.db.qualify(t.table)
		body := t.body(e)
		there, err := number(ctx, s, "SELECT count(*) FROM pg_proc WHERE oid = to_regproc(?)", name)
		if err != nil {
			return nil, err
		}
		current, err := number(ctx, s, "SELECT count(*) FROM pg_proc p WHERE p.oid = to_regproc(?) AND p.prosrc = ? AND "+ownFunction, name, body)
		if err != nil {
			return nil, err
		}
		if which == captureAll || current == 0 && (there > 0 || which == captureMissing) {
			statements = append(statements, fmt.Sprintf(captureFunction, name, body), "REVOKE ALL ON FUNCTION "+name+"() FROM PUBLIC")
		}
		if which == captureOutdated {
			continue
		}
		ours, err := number(ctx, s, "SELECT count(*) FROM pg_class c WHERE c.oid = to_regclass(?) AND pg_has_role(c.relowner, 'USAGE')", on)
		if err != nil {
			return nil, err
		}
		for _, trigger := range t.triggers(ours > 0 || which == captureAll) {
			var enabled string // "" where it is missing
			if err := s.query(ctx, func(rows *sql.Rows) error { return rows.Scan(&enabled) },
				"SELECT CAST(tgenabled AS text) FROM pg_trigger WHERE tgrelid = to_regclass(?) AND tgname = ?", on, trigger.name); err != nil {
				return nil, err
			}
			if which == captureAll {
				statements = append(statements, "DROP TRIGGER IF EXISTS "+trigger.name+" ON "+on)
			}
			if which == captureAll || enabled == "" {
				statements = append(statements, "CREATE TRIGGER "+trigger.name+" "+t.fill(trigger.event, "{table}", on)+" EXECUTE FUNCTION "+name+"()")
			}
			if made := which == captureAll || enabled == ""; made && trigger.mode == "" || !made && strings.Contains(trigger.enabled, enabled) {
				continue
			}
			// A role that may create triggers need not be one that may alter the table.
			statements = append(statements, "DO $coexist$ BEGIN IF pg_has_role((SELECT relowner FROM pg_class WHERE oid = "+literal(on)+"::regclass), 'USAGE') THEN ALTER TABLE "+
				on+" ENABLE "+trigger.mode+" TRIGGER "+trigger.name+"; END IF; END $coexist$")
		}
	}
	return statements, nil
}

// captured: the row trigger is enough, or all the others are. A table with heirs or partitions does not see each write to it.
func (postgres) captured(e *entity) string {
	var whole []string
	for _, t := range e.captured() {
		var names []string
		for _, trigger := range t.triggers(true)[1:] {
			names = append(names, literal(trigger.name))
		}
		whole = append(whole, fmt.Sprintf("EXISTS (SELECT 1 FROM pg_class c JOIN pg_trigger t ON t.tgrelid = c.oid WHERE c.oid = to_regclass(%s) AND c.relkind = 'r'"+
			" AND NOT EXISTS (SELECT 1 FROM pg_inherits i WHERE c.oid IN (i.inhparent, i.inhrelid))"+
			" HAVING count(*) FILTER (WHERE t.tgname IN ('%s', '%s') AND t.tgenabled IN ('O', 'A')) = 2"+
			" OR count(*) FILTER (WHERE t.tgname IN (%s) AND t.tgenabled IN ('O', 'A') OR t.tgname = '%s' AND t.tgenabled = 'R') = %d)",
			literal(e.db.qualify(t.table)), rowTrigger, truncateTrigger, strings.Join(names, ", "), rowTrigger, len(names)+1))
	}
	return "(" + strings.Join(whole, " AND ") + ")"
}

// fingerprint: xmin is the transaction that has changed a trigger or its function last, if only to switch it off and on again. ALTER TABLE may
// change values without any trigger: a column that was dropped and added is another attribute; ALTER TYPE … USING leaves a new version of the
// attribute and a new file, of which the first alone is a wider column, and the second alone VACUUM FULL.
func (postgres) fingerprint(e *entity) string {
	var tables []string
	for _, t := range e.captured() {
		literals := make([]string, len(t.columns))
		for i, name := range t.columns {
			literals[i] = literal(name)
		}
		tables = append(tables, "(to_regclass("+literal(e.db.qualify(t.table))+"), "+"CAST(ARRAY["+strings.Join(literals, ", ")+"] AS name[]))")
	}
	part := func(of, from string) string {
		return "(SELECT coalesce(string_agg(f.part, ' ' ORDER BY f.part), '') FROM (SELECT concat_ws(':', " + of + ") AS part FROM v1 JOIN pg_class c ON c.oid = v1.oid" + from + ") f)"
	}
	const attributes = " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = ANY (v1.columns)"
	return "(WITH v1(oid, columns) AS (VALUES " + strings.Join(tables, ", ") + ") SELECT " +
		part("c.oid, c.relkind, (SELECT count(*) FROM pg_inherits i WHERE c.oid IN (i.inhparent, i.inhrelid)), t.oid, t.tgenabled, t.xmin, p.xmin, md5(p.prosrc)",
			" LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname LIKE '"+rowTrigger+"%' LEFT JOIN pg_proc p ON p.oid = t.tgfoid") + " || ' ' || " +
		part("c.oid, a.attname, a.attnum, a.atttypid", attributes) + " || '|' || " + part("a.attname, a.xmin", attributes) + " || '|' || " + part("c.relfilenode", "") + ")"
}

// kept: of the two parts that tell of ALTER TABLE one may be another.
func (postgres) kept(recorded, now string) bool {
	was, is := strings.Split(recorded, "|"), strings.Split(now, "|")
	return len(was) == 3 && len(is) == 3 && was[0] == is[0] && (was[1] == is[1] || was[2] == is[2])
}
