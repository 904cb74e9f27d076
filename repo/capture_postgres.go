package repo

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// The triggers of PostgreSQL. They look at the phase and append a mark, nothing else: they touch no copy and take no lock
// that anybody waits for. They run with the rights of who installed them, since the other programs have none on the
// engine's tables. In a transaction that is not READ COMMITTED, whose snapshot may be older than the phase in force, they read
// the phase FOR SHARE, which fails then with a serialization failure.

const captureFunction = `CREATE OR REPLACE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $coexist$%s$coexist$`

const captureBody = `
DECLARE
	found_phase text;
	capturing boolean;
BEGIN
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
		INSERT INTO {marks} (key, kind, bypass) VALUES (NULL, '{all}', true);
		RETURN NULL;
	END IF;
	IF TG_OP = 'INSERT' THEN
		INSERT INTO {marks} (key, kind, bypass) VALUES (NEW.{key}, 'CHANGE', true);
	ELSIF TG_OP = 'DELETE' THEN
		INSERT INTO {marks} (key, kind, bypass) VALUES (OLD.{key}, '{gone}', true);
	ELSE
		IF OLD.{key} IS DISTINCT FROM NEW.{key} THEN
			INSERT INTO {marks} (key, kind, bypass) VALUES (OLD.{key}, '{gone}', true);
		END IF;
		INSERT INTO {marks} (key, kind, bypass) VALUES (NEW.{key}, 'CHANGE', true);
	END IF;
	RETURN NULL;
END
`

var postgresTriggers = []struct{ name, events string }{
	{"coexist_capture", "AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW WHEN (current_setting('coexist.writer', true) IS DISTINCT FROM {entity} OR pg_trigger_depth() > 0)"},
	{"coexist_capture_truncate", "AFTER TRUNCATE ON {table} FOR EACH STATEMENT"},
}

const triggerNames = "'coexist_capture', 'coexist_capture_truncate'"

func (postgres) capture(ctx context.Context, s session, e *entity, which captureParts) ([]string, error) {
	var statements []string
	for _, t := range e.captured() {
		name, on := e.db.qualify("coexist_capture_"+t.table), e.db.qualify(t.table)
		body := t.fill(captureBody, "{entities}", e.db.own.entity, "{marks}", e.markTable)
		there, err := number(ctx, s, "SELECT count(*) FROM pg_proc WHERE oid = to_regproc(?)", name)
		if err != nil {
			return nil, err
		}
		current, err := number(ctx, s, "SELECT count(*) FROM pg_proc WHERE oid = to_regproc(?) AND prosrc = ?", name, body)
		if err != nil {
			return nil, err
		}
		if which == captureAll || current == 0 && (there > 0 || which == captureMissing) {
			statements = append(statements, fmt.Sprintf(captureFunction, name, body))
		}
		if which == captureOutdated {
			continue
		}
		for _, trigger := range postgresTriggers {
			var found struct{ there, enabled, always, ours bool }
			if err := s.query(ctx, func(rows *sql.Rows) error { return rows.Scan(&found.there, &found.enabled, &found.always, &found.ours) },
				"SELECT t.oid IS NOT NULL, coalesce(t.tgenabled IN ('O', 'A'), false), coalesce(t.tgenabled = 'A', false), pg_has_role(c.relowner, 'USAGE')"+
					" FROM pg_class c LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname = ? WHERE c.oid = to_regclass(?)", trigger.name, on); err != nil {
				return nil, err
			}
			if which == captureAll {
				statements = append(statements, "DROP TRIGGER IF EXISTS "+trigger.name+" ON "+on)
			}
			if which == captureAll || !found.there {
				statements = append(statements, "CREATE TRIGGER "+trigger.name+" "+strings.NewReplacer("{table}", on, "{entity}", literal(e.name)).Replace(trigger.events)+
					" EXECUTE FUNCTION "+name+"()")
			}
			if which == captureAll || !found.enabled || !found.always && found.ours {
				// Writes of replication fire it too, where the table is ours to alter.
				statements = append(statements, "DO $coexist$ BEGIN IF pg_has_role((SELECT relowner FROM pg_class WHERE oid = "+literal(on)+"::regclass), 'USAGE') THEN ALTER TABLE "+
					on+" ENABLE ALWAYS TRIGGER "+trigger.name+"; END IF; END $coexist$")
			}
		}
	}
	return statements, nil
}

// captured: a table with heirs or partitions does not see each write to it.
func (postgres) captured(e *entity) string {
	return fmt.Sprintf("(SELECT count(*) = %d FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE c.oid IN (%s) AND t.tgname IN (%s) AND t.tgenabled IN ('O', 'A')"+
		" AND c.relkind = 'r' AND NOT EXISTS (SELECT 1 FROM pg_inherits i WHERE c.oid IN (i.inhparent, i.inhrelid)))",
		len(e.v1.all())*len(postgresTriggers), e.v1OIDs(), triggerNames)
}

// fingerprint: xmin is the transaction that has changed a trigger or its function last, if only to switch it off and on again.
func (postgres) fingerprint(e *entity) string {
	return "(SELECT coalesce(string_agg(f.part, ' ' ORDER BY f.part), '') FROM (SELECT concat_ws(':', c.oid, c.relkind, (SELECT count(*) FROM pg_inherits i WHERE c.oid IN (i.inhparent, i.inhrelid))," +
		" t.oid, t.tgenabled, t.xmin, p.xmin, md5(p.prosrc)) AS part FROM pg_class c LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND t.tgname IN (" + triggerNames +
		") LEFT JOIN pg_proc p ON p.oid = t.tgfoid WHERE c.oid IN (" + e.v1OIDs() + ")) f)"
}

// v1OIDs lists V1's tables as the catalog knows them.
func (e *entity) v1OIDs() string {
	var list []string
	for _, t := range e.v1.all() {
		list = append(list, "to_regclass("+literal(t.sql)+")")
	}
	return strings.Join(list, ", ")
}
