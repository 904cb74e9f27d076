package repo

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// The triggers of PostgreSQL. They look at the phase and append marks, nothing else: they touch no copy and take no
// lock that anybody waits for. They run with the rights of the role that installed them, since other programs have no
// rights on the engine's tables. So nobody else may call their functions, and a function does nothing on any table but
// the one it was made for. In a transaction that is not READ COMMITTED, the snapshot may be older than the phase in
// force. There the triggers lock the entity's barrier FOR SHARE. That fails with a serialization failure where V1 led
// when the snapshot was taken and leads no more, or where there was no barrier yet.
//
// Our own transactions announce the keys that they write, with a secret that only we know (writerSetting). Their
// changes to the rows of those keys leave no mark. Any other change that they cause through a trigger, a rule or a
// foreign key of V1's owner leaves marks with their token, and is never rejected.
//
// A trigger per statement marks all rows of the statement at once, under one id. That costs an old program's mass
// update much less than a trigger and a random number per row. Statement triggers do not see what logical replication
// applies. The row trigger for all events does, and fires for replicas only. Where V1's table is not ours to alter, we
// cannot restrict the row trigger to replicas, and it does all the work.
//
// No trigger names a column or has a condition: V1's owner could not change the type of a column that a trigger's
// definition uses.

const captureFunction = `CREATE OR REPLACE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $coexist$%s$coexist$`

// ownFunction is the condition that the function p runs as we have made it, and that PUBLIC may not call it. With
// quote_all_identifiers, the database stores the function's setting in quotes.
const ownFunction = "p.prosecdef AND cardinality(p.proconfig) = 1 AND replace(p.proconfig[1], '\"', '') = 'search_path=pg_catalog, pg_temp' AND NOT has_function_privilege('public', p.oid, 'EXECUTE')"

const captureBody = `
<<coexist>>
DECLARE
	writer text := current_setting('coexist.writer', true);
	ours boolean := false;
	own text; -- the keys that are ours to write
	separator text := E'\x1f'; -- of the keys
	strange boolean; -- rows of others were written
	token uuid;
	found_phase text;
	capturing boolean;
	fits boolean;
	ahead boolean := false; -- V2 leads
	mark_id uuid;
BEGIN
	IF TG_TABLE_SCHEMA <> {schema} OR TG_TABLE_NAME <> {name} THEN
		RETURN NULL; -- somebody else's trigger
	END IF;
	IF TG_LEVEL = 'ROW' OR TG_OP = 'TRUNCATE' THEN
		NULL;
	ELSIF TG_OP = 'DELETE' THEN
		IF NOT EXISTS (SELECT 1 FROM coexist_old) THEN
			RETURN NULL;
		END IF;
	ELSIF NOT EXISTS (SELECT 1 FROM coexist_new) THEN
		RETURN NULL;
	END IF;
	IF writer <> '' THEN
		IF left(writer, 32) = (SELECT s.secret FROM {secret} s) THEN
			ours := true;
			token := substr(writer, 33, 36);
			IF substr(writer, 70, {length}) = {entity} || ' ' THEN
				own := substr(writer, 70 + {length});
			END IF;
			IF own = {everything} THEN
				RETURN NULL;
			END IF;
			IF left(own, 1) = E'\x1e' THEN -- a key has the usual one in it
				separator := substr(own, 2, 1);
				own := substr(own, 3);
			END IF;
			IF own IS NOT NULL AND TG_OP <> 'TRUNCATE' THEN
				IF TG_LEVEL = 'ROW' THEN
					strange := NOT (TG_OP = 'INSERT' OR OLD.{key}::text = ANY (string_to_array(own, separator)))
						OR NOT (TG_OP = 'DELETE' OR NEW.{key}::text = ANY (string_to_array(own, separator)));
				ELSIF TG_OP = 'INSERT' THEN
					strange := {strange_new};
				ELSIF TG_OP = 'DELETE' THEN
					strange := {strange_old};
				ELSE
					strange := {strange_new} OR {strange_old};
				END IF;
				IF strange IS NOT TRUE THEN
					RETURN NULL;
				END IF;
			END IF;
		ELSIF writer = {entity} AND pg_trigger_depth() = 1 THEN
			RETURN NULL; -- an instance of an earlier version
		END IF;
	END IF;
	IF NOT ours THEN
		SELECT e.phase, e.capture, (SELECT CASE y.typtype WHEN 'd' THEN y.typbasetype ELSE y.oid END IN ({types}) FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid
				WHERE a.attrelid = TG_RELID AND a.attname = {column})
			INTO found_phase, capturing, fits FROM {entities} e WHERE e.name = {entity};
		IF current_setting('transaction_isolation') <> 'read committed' THEN
			SELECT b.leads = 'V2' INTO ahead FROM {barriers} b WHERE b.name = {entity} FOR SHARE;
			IF NOT FOUND THEN -- the snapshot is older than the barrier
				RAISE EXCEPTION 'could not serialize access: Coexist has been installed on table % since this transaction began', TG_TABLE_NAME
					USING ERRCODE = 'serialization_failure', HINT = 'Begin the transaction again.';
			END IF;
		ELSIF capturing IS NOT TRUE THEN
			RETURN NULL; -- what an older snapshot says of it may not be so any more: a mark too many harms nobody
		END IF;
		IF capturing AND (found_phase IN ('CUTOVER', 'CONTRACT') OR ahead) THEN
			RAISE EXCEPTION 'entity % is in phase %: table % is no longer the truth', {entity}, found_phase, TG_TABLE_NAME
				USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Write through Coexist, or ask its operator to go back to MIGRATE.';
		END IF;
		IF fits IS NOT TRUE THEN -- the key's type is another one now
			INSERT INTO {marks} (key, kind, bypass, floor) VALUES (NULL, 'ALL_STALE', true, -1);
			RETURN NULL;
		END IF;
	END IF;
	mark_id := gen_random_uuid();
	IF TG_OP = 'TRUNCATE' THEN
		INSERT INTO {marks} (id, key, kind, floor, bypass, tx) VALUES (mark_id, NULL, '{all}', -1, NOT ours, token);
	ELSIF TG_LEVEL = 'ROW' THEN
		IF TG_OP <> 'INSERT' AND OLD.{key} IS NOT NULL AND (TG_OP = 'DELETE' OR OLD.{key} IS DISTINCT FROM NEW.{key}) THEN
			INSERT INTO {marks} (id, key, kind, floor, bypass, tx) VALUES (mark_id, OLD.{key}, '{gone}', -1, NOT ours, token);
		END IF;
		IF TG_OP <> 'DELETE' AND NEW.{key} IS NOT NULL THEN
			INSERT INTO {marks} (id, key, kind, floor, bypass, tx) VALUES (mark_id, NEW.{key}, 'CHANGE', -1, NOT ours, token);
		END IF;
	ELSIF TG_OP = 'DELETE' THEN
		INSERT INTO {marks} (id, key, kind, floor, bypass, tx) SELECT {distinct}coexist.mark_id, r.{key}, '{gone}', -1, NOT coexist.ours, coexist.token FROM coexist_old r WHERE r.{key} IS NOT NULL;
	ELSE
		INSERT INTO {marks} (id, key, kind, floor, bypass, tx) SELECT {distinct}coexist.mark_id, r.{key}, 'CHANGE', -1, NOT coexist.ours, coexist.token FROM coexist_new r WHERE r.{key} IS NOT NULL;
		IF TG_OP = 'UPDATE' THEN
			{moved}
		END IF;
	END IF;
	RETURN NULL;
END
`

// strange is the condition that a transition table has a row whose key is not ours to write.
const strange = `CASE WHEN position(coexist.separator IN coexist.own) = 0 THEN EXISTS (SELECT 1 FROM {rows} r WHERE r.{key}::text <> coexist.own)
					ELSE EXISTS (SELECT r.{key}::text FROM {rows} r EXCEPT SELECT unnest(string_to_array(coexist.own, coexist.separator))) END`

// movedRoots marks the old keys of rows that have another key now. That is rare, so it first looks whether an old key
// is missing among the new ones. Where keys have changed, one always is, since a unique key that is not deferrable lets
// no two rows swap keys. The two transition tables have their rows in the same order. EXECUTE plans for their actual
// sizes: a cached plan for a row or two would take hours for many.
const movedRoots = `IF EXISTS (SELECT r.{key} FROM coexist_old r EXCEPT SELECT r.{key} FROM coexist_new r) THEN
				EXECUTE 'INSERT INTO {quoted marks} (id, key, kind, floor, bypass, tx) SELECT $1, o.key, ''{gone}'', -1, $2, $3
					FROM (SELECT r.{quoted key} AS key, row_number() OVER () AS at FROM coexist_old r) o JOIN (SELECT r.{quoted key} AS key, row_number() OVER () AS at FROM coexist_new r) n USING (at)
					WHERE o.key IS DISTINCT FROM n.key AND o.key IS NOT NULL' USING mark_id, NOT ours, token;
			END IF;`

// movedChildren marks the parents that child rows had before.
const movedChildren = `INSERT INTO {marks} (id, key, kind, floor, bypass, tx) SELECT coexist.mark_id, r.key, 'CHANGE', -1, NOT coexist.ours, coexist.token
				FROM (SELECT o.{key} AS key FROM coexist_old o EXCEPT SELECT n.{key} FROM coexist_new n) r WHERE r.key IS NOT NULL;`

// postgresTrigger is a trigger on a V1 table.
type postgresTrigger struct {
	name, event string
	mode        string // of ALTER TABLE … ENABLE, "" for the default of CREATE TRIGGER
	enabled     string // the letters of pg_trigger.tgenabled that will do
}

// triggers returns the triggers of a table. The first does all the work where the statement triggers cannot be used,
// and serves only logical replication where they are.
func (t capturedTable) triggers(ours bool) []postgresTrigger {
	rows := postgresTrigger{t.trigger, "AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW", "", "OAR"}
	truncate := postgresTrigger{t.trigger + "_truncate", "AFTER TRUNCATE ON {table} FOR EACH STATEMENT", "", "OA"}
	if !ours {
		return []postgresTrigger{rows, truncate}
	}
	rows.mode, rows.enabled, truncate.mode, truncate.enabled = "REPLICA", "R", "ALWAYS", "A"
	return []postgresTrigger{
		rows, truncate,
		{
			t.trigger + "_insert", "AFTER INSERT ON {table} REFERENCING NEW TABLE AS coexist_new FOR EACH STATEMENT", "",
			"OA",
		},
		{
			t.trigger + "_update",
			"AFTER UPDATE ON {table} REFERENCING OLD TABLE AS coexist_old NEW TABLE AS coexist_new FOR EACH STATEMENT",
			"", "OA",
		},
		{
			t.trigger + "_delete", "AFTER DELETE ON {table} REFERENCING OLD TABLE AS coexist_old FOR EACH STATEMENT", "",
			"OA",
		},
	}
}

func (t capturedTable) body(e capture) string {
	distinct, moved := "", movedRoots
	if !t.root {
		distinct, moved = "DISTINCT ", movedChildren
	}
	body := strings.NewReplacer("{distinct}", distinct, "{moved}", moved, "{strange_old}",
		strings.ReplaceAll(strange, "{rows}", "coexist_old"),
		"{strange_new}", strings.ReplaceAll(strange, "{rows}", "coexist_new")).Replace(captureBody)
	return t.fill(body, "{entities}", e.db.own.entity, "{barriers}", e.db.own.barrier, "{marks}", e.markTable,
		"{quoted marks}", strings.ReplaceAll(e.markTable, "'", "''"),
		"{quoted key}", strings.ReplaceAll(quote(t.key), "'", "''"), "{schema}", literal(e.db.pools.Schema),
		"{name}", literal(t.table),
		"{column}", literal(t.key), "{length}", strconv.Itoa(len(e.name)+1), "{everything}", `E'\x1e*\x1e'`, "{types}",
		keyTypes(e.v1.Key), "{secret}", e.db.own.secret)
}

// keyTypes lists the types that a key may be changed to while the server runs: the log of marks can hold them all.
func keyTypes(c *shape.Column) string {
	const integers, texts, padded = "20, 21, 23", "25, 1043", "1042" // OIDs, the same in each database
	switch as := database.ComparedAs(c); as {
	case "bigint":
		return integers
	case "text":
		return texts
	case "bpchar":
		return padded
	default:
		name := as[strings.LastIndex(as, ".")+1:]
		return fill(`SELECT t.oid FROM pg_type t WHERE t.typname = {trim}`,
			"trim", literal(strings.Trim(name, `"`)))
	}
}

func (postgres) capture(ctx context.Context, s database.Session, e capture, which captureParts) ([]string, error) {
	var statements []string
	for _, t := range e.captured() {
		name, on := e.db.qualify(t.trigger), e.db.qualify(t.table)
		body := t.body(e)
		there, err := s.Number(ctx, "SELECT count(*) FROM pg_proc WHERE oid = to_regproc(?)", name)
		if err != nil {
			return nil, err
		}
		current, err := s.Number(ctx, fill(`SELECT count(*) FROM pg_proc p WHERE p.oid = to_regproc(?)
			AND p.prosrc = ? AND {ownFunction}`, "ownFunction", ownFunction), name, body)
		if err != nil {
			return nil, err
		}
		if which == captureAll || current == 0 && (there > 0 || which == captureMissing) {
			statements = append(statements, fmt.Sprintf(captureFunction, name, body), fill(`REVOKE ALL ON FUNCTION {name}()
				FROM PUBLIC`, "name", name))
		}
		if which == captureOutdated {
			continue
		}
		ours, err := s.Number(ctx,
			"SELECT count(*) FROM pg_class c WHERE c.oid = to_regclass(?) AND pg_has_role(c.relowner, 'USAGE')", on)
		if err != nil {
			return nil, err
		}
		for _, trigger := range t.triggers(ours > 0 || which == captureAll) {
			var enabled string // "" where it is missing
			if err := s.Query(ctx, func(rows *sql.Rows) error { return rows.Scan(&enabled) },
				"SELECT CAST(tgenabled AS text) FROM pg_trigger WHERE tgrelid = to_regclass(?) AND tgname = ?", on,
				trigger.name); err != nil {
				return nil, err
			}
			if which == captureAll {
				statements = append(statements, fill(`DROP TRIGGER IF EXISTS {trigger} ON {on}`,
					"trigger", trigger.name, "on", on))
			}
			if which == captureAll || enabled == "" {
				statements = append(statements, fill(`CREATE TRIGGER {trigger} {fill} EXECUTE FUNCTION {name}()`,
					"trigger", trigger.name, "fill", t.fill(trigger.event, "{table}", on), "name", name))
			}
			if made := which == captureAll || enabled == ""; made && trigger.mode == "" || !made &&
				strings.Contains(trigger.enabled, enabled) {
				continue
			}
			// A role that may create triggers may lack the right to alter the table.
			statements = append(statements, fill(`DO $coexist$ BEGIN IF pg_has_role((SELECT relowner FROM pg_class
				WHERE oid = {name}::regclass), 'USAGE') THEN ALTER TABLE {table} ENABLE {mode} TRIGGER {trigger}; END
				IF; END $coexist$`, "name", literal(on), "table", on, "mode", trigger.mode,
				"trigger", trigger.name))
		}
	}
	return statements, nil
}

// captureBehind is always false: these triggers see every write.
func (postgres) captureBehind(context.Context, database.Session, capture) (bool, error) {
	return false, nil
}

// captured accepts the row trigger for all writes, or the statement triggers with the row trigger for replicas. It
// refuses a table with heirs or partitions, whose triggers do not see each write to it.
func (postgres) captured(e capture) string {
	var whole []string
	for _, t := range e.captured() {
		var names []string
		for _, trigger := range t.triggers(true)[1:] {
			names = append(names, literal(trigger.name))
		}
		whole = append(whole, fmt.Sprintf(`EXISTS (SELECT 1 FROM pg_class c JOIN pg_trigger t
			ON t.tgrelid = c.oid WHERE c.oid = to_regclass(%s) AND c.relkind = 'r' AND NOT EXISTS (SELECT 1
			FROM pg_inherits i WHERE c.oid IN (i.inhparent, i.inhrelid)) HAVING count(*) FILTER (WHERE t.tgname IN
			('%s', '%s') AND t.tgenabled IN ('O', 'A')) = 2 OR count(*) FILTER (WHERE t.tgname IN (%s)
			AND t.tgenabled IN ('O', 'A') OR t.tgname = '%s' AND t.tgenabled = 'R') = %d)`,
			literal(e.db.qualify(t.table)), t.trigger, t.trigger+"_truncate", strings.Join(names, ", "),
			t.trigger, len(names)+1))
	}
	return "(" + strings.Join(whole, " AND ") + ")"
}

// fingerprint contains the xmin of each trigger and its function: the transaction that changed it last, if only to
// switch it off and on again. ALTER TABLE may change values without firing a trigger. A column that was dropped and
// added is another attribute. ALTER TYPE … USING leaves a new version of the attribute and a new file; a new version
// alone means a wider column, a new file alone means VACUUM FULL. The last two parts distinguish ALTER TYPE from both
// of these together. They hold what else may change of an attribute, and which transactions have changed the table and
// what goes with its file.
func (postgres) fingerprint(e capture) string {
	return postgresFingerprint(e, func(t capturedTable) string { return t.trigger })
}

// postgresFingerprint is fingerprint for triggers whose names begin with the prefix of their table.
func postgresFingerprint(e capture, prefix func(capturedTable) string) string {
	var tables []string
	for _, t := range e.captured() {
		literals := make([]string, len(t.columns))
		for i, name := range t.columns {
			literals[i] = literal(name)
		}
		tables = append(tables, fill(`(to_regclass({qualify}), CAST(ARRAY[{literals}] AS name[]), {prefix})`,
			"qualify", literal(e.db.qualify(t.table)), "literals", strings.Join(literals, ", "),
			"prefix", literal(prefix(t))))
	}
	part := func(of, from string) string {
		return fill(`(SELECT coalesce(string_agg(f.part, ' ' ORDER BY f.part), '')
			FROM (SELECT concat_ws(':', {of}) AS part FROM v1 JOIN pg_class c ON c.oid = v1.oid{from}) f)`,
			"of", of, "from", from)
	}
	const attributes = " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = ANY (v1.columns)"
	return fill(`(WITH v1(oid, columns, prefix) AS (VALUES {tables})
		SELECT {triggers} || ' ' || {columns} || '|' || {alterations} || '|' || {files} || '|' || {options} || '|' || {besides})`,
		"tables", strings.Join(tables, ", "),
		"triggers",
		part(
			"c.oid, c.relkind, (SELECT count(*) FROM pg_inherits i WHERE c.oid IN (i.inhparent, i.inhrelid)), t.oid, t.tgenabled, t.xmin, p.xmin, md5(p.prosrc)",
			" LEFT JOIN pg_trigger t ON t.tgrelid = c.oid AND starts_with(CAST(t.tgname AS text), v1.prefix) LEFT JOIN pg_proc p ON p.oid = t.tgfoid"),
		"columns", part("c.oid, a.attname, a.attnum, a.atttypid", attributes),
		"alterations", part("a.attname, a.xmin", attributes), "files", part("c.relfilenode", ""),
		"options",
		part(
			"c.oid, a.attnum, a.xmin, md5(concat_ws(' ', coalesce(a.attstattarget, -1), a.attoptions, a.attfdwoptions, a.attacl, a.attstorage, a.attnotnull, a.atthasdef))", attributes),
		"besides",
		part("r.oid, r.xmin",
			" JOIN pg_class r ON r.oid IN (c.oid, c.reltoastrelid) OR r.oid IN (SELECT i.indexrelid FROM pg_index i WHERE i.indrelid = c.oid)"))
}

// kept allows one of the two parts that show an ALTER TABLE to differ, or both where each changed attribute has changed
// harmlessly. Earlier versions recorded three parts.
func (postgres) kept(recorded, now string) bool {
	was, is := strings.Split(recorded, "|"), strings.Split(now, "|")
	const few, all = 3, 5
	if len(was) != few && len(was) != all || len(is) != all || was[0] != is[0] {
		return false
	}
	return was[1] == is[1] || was[2] == is[2] || len(was) == all && harmless(was[3], is[3], is[4])
}

// harmless reports whether each attribute with a new xmin also has a new harmless property, and was changed by a
// transaction that changed neither the table nor what goes with its file. files lists these two, as "oid:xmin …".
func harmless(was, is, files string) bool {
	type version struct{ xmin, properties string }
	read := func(part string) map[string]version {
		attributes := map[string]version{}
		for _, item := range strings.Fields(part) {
			if fields := strings.Split(item, ":"); len(fields) == 4 {
				attributes[fields[0]+":"+fields[1]] = version{fields[2], fields[3]}
			}
		}
		return attributes
	}
	before, writers := read(was), map[string]bool{}
	for _, item := range strings.Fields(files) {
		_, xmin, _ := strings.Cut(item, ":")
		writers[xmin] = true
	}
	for name, after := range read(is) {
		if old := before[name]; old.xmin != after.xmin && (old.properties == after.properties || writers[after.xmin]) {
			return false
		}
	}
	return len(before) > 0
}
