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
		SELECT e.phase, e.capture INTO found_phase, capturing FROM {schema}.coexist_entity e WHERE e.name = {entity};
	ELSE
		SELECT e.phase, e.capture INTO found_phase, capturing FROM {schema}.coexist_entity e WHERE e.name = {entity} FOR SHARE;
	END IF;
	IF capturing IS NOT TRUE THEN
		RETURN NULL;
	END IF;
	IF found_phase IN ('CUTOVER', 'CONTRACT') THEN
		RAISE EXCEPTION 'entity % is in phase %: table % is no longer the truth', {entity}, found_phase, TG_TABLE_NAME
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Write through Coexist, or ask its operator to go back to MIGRATE.';
	END IF;
	IF TG_OP = 'TRUNCATE' THEN
		INSERT INTO {schema}.coexist_mark (entity, key, kind, bypass) VALUES ({entity}, NULL, '{all}', true);
		RETURN NULL;
	END IF;
	IF TG_OP = 'INSERT' THEN
		INSERT INTO {schema}.coexist_mark (entity, key, kind, bypass) VALUES ({entity}, CAST(NEW.{key} AS text), 'CHANGE', true);
	ELSIF TG_OP = 'DELETE' THEN
		INSERT INTO {schema}.coexist_mark (entity, key, kind, bypass) VALUES ({entity}, CAST(OLD.{key} AS text), '{gone}', true);
	ELSE
		IF OLD.{key} IS DISTINCT FROM NEW.{key} THEN
			INSERT INTO {schema}.coexist_mark (entity, key, kind, bypass) VALUES ({entity}, CAST(OLD.{key} AS text), '{gone}', true);
		END IF;
		INSERT INTO {schema}.coexist_mark (entity, key, kind, bypass) VALUES ({entity}, CAST(NEW.{key} AS text), 'CHANGE', true);
	END IF;
	RETURN NULL;
END
`

func (postgres) capture(ctx context.Context, s session, e *entity, all bool) ([]string, error) {
	var schema string
	if err := s.query(ctx, func(rows *sql.Rows) error { return rows.Scan(&schema) }, "SELECT quote_ident(current_schema())"); err != nil {
		return nil, err
	}
	var statements []string
	for _, t := range e.captured() {
		name := schema + "." + quote("coexist_capture_"+t.table)
		body := t.fill(captureBody, "{schema}", schema)
		current, err := number(ctx, s, "SELECT count(*) FROM pg_proc WHERE oid = to_regproc(?) AND prosrc = ?", name, body)
		if err != nil {
			return nil, err
		}
		if current == 0 || all {
			statements = append(statements, fmt.Sprintf(captureFunction, name, body))
		}
		for _, trigger := range []struct{ name, events string }{
			{"coexist_capture", "AFTER INSERT OR UPDATE OR DELETE ON " + quote(t.table) + " FOR EACH ROW WHEN (current_setting('coexist.writer', true) IS DISTINCT FROM " +
				literal(e.name) + " OR pg_trigger_depth() > 0)"},
			{"coexist_capture_truncate", "AFTER TRUNCATE ON " + quote(t.table) + " FOR EACH STATEMENT"},
		} {
			there, err := number(ctx, s, "SELECT count(*) FROM pg_trigger WHERE tgrelid = to_regclass(?) AND tgname = ?", quote(t.table), trigger.name)
			if err != nil {
				return nil, err
			}
			if there > 0 && !all {
				continue
			}
			if all {
				statements = append(statements, "DROP TRIGGER IF EXISTS "+trigger.name+" ON "+quote(t.table))
			}
			statements = append(statements, "CREATE TRIGGER "+trigger.name+" "+trigger.events+" EXECUTE FUNCTION "+name+"()",
				// Writes of replication fire it too, where the table is ours to alter.
				"DO $coexist$ BEGIN IF pg_has_role((SELECT relowner FROM pg_class WHERE oid = "+literal(quote(t.table))+"::regclass), 'USAGE') THEN ALTER TABLE "+
					quote(t.table)+" ENABLE ALWAYS TRIGGER "+trigger.name+"; END IF; END $coexist$")
		}
	}
	if len(statements) > 0 && !all {
		// Whoever writes to V1 meanwhile waits behind CREATE TRIGGER, which waits for who has written already.
		statements = append([]string{"SELECT set_config('lock_timeout', '" + milliseconds(phaseLockTimeout) + "', true)"}, statements...)
	}
	return statements, nil
}

func (postgres) captured(ctx context.Context, s session, e *entity) (bool, error) {
	var names []string
	for _, t := range e.v1.all() {
		names = append(names, "to_regclass("+literal(quote(t.name))+")")
	}
	n, err := number(ctx, s, "SELECT count(*) FROM pg_trigger WHERE tgrelid IN ("+strings.Join(names, ", ")+") AND tgname IN ('coexist_capture', 'coexist_capture_truncate') AND tgenabled <> 'D'")
	return n == int64(2*len(names)), err
}
