package repo

import (
	"context"
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
		for _, trigger := range []struct{ name, events string }{
			{"coexist_capture", "AFTER INSERT OR UPDATE OR DELETE ON " + on + " FOR EACH ROW WHEN (current_setting('coexist.writer', true) IS DISTINCT FROM " +
				literal(e.name) + " OR pg_trigger_depth() > 0)"},
			{"coexist_capture_truncate", "AFTER TRUNCATE ON " + on + " FOR EACH STATEMENT"},
		} {
			there, err := number(ctx, s, "SELECT count(*) FROM pg_trigger WHERE tgrelid = to_regclass(?) AND tgname = ?", on, trigger.name)
			if err != nil {
				return nil, err
			}
			if there > 0 && which != captureAll {
				continue
			}
			if which == captureAll {
				statements = append(statements, "DROP TRIGGER IF EXISTS "+trigger.name+" ON "+on)
			}
			statements = append(statements, "CREATE TRIGGER "+trigger.name+" "+trigger.events+" EXECUTE FUNCTION "+name+"()",
				// Writes of replication fire it too, where the table is ours to alter.
				"DO $coexist$ BEGIN IF pg_has_role((SELECT relowner FROM pg_class WHERE oid = "+literal(on)+"::regclass), 'USAGE') THEN ALTER TABLE "+
					on+" ENABLE ALWAYS TRIGGER "+trigger.name+"; END IF; END $coexist$")
		}
	}
	if len(statements) > 0 && which == captureMissing {
		// Whoever writes to V1 meanwhile waits behind CREATE TRIGGER, which waits for who has written already.
		statements = append([]string{"SELECT set_config('lock_timeout', '" + milliseconds(phaseLockTimeout) + "', true)"}, statements...)
	}
	return statements, nil
}

func (postgres) captured(ctx context.Context, s session, e *entity) (bool, error) {
	var names []string
	for _, t := range e.v1.all() {
		names = append(names, "to_regclass("+literal(t.sql)+")")
	}
	n, err := number(ctx, s, "SELECT count(*) FROM pg_trigger WHERE tgrelid IN ("+strings.Join(names, ", ")+") AND tgname IN ('coexist_capture', 'coexist_capture_truncate') AND tgenabled <> 'D'")
	return n == int64(2*len(names)), err
}
