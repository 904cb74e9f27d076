package database

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/shape"
)

func (postgres) CountTables(ctx context.Context, s Session, schema string) (int64, error) {
	return s.Number(ctx,
		"SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname = ?", schema)
}

// OfPrimary gives the query a negative limit on a standby, which is an error even where there are no rows.
func (postgres) OfPrimary(query string) string {
	// The line break is needed: a comment may end the query.
	return FillBy("SELECT * FROM ({query}\n) decided LIMIT CASE WHEN pg_is_in_recovery() THEN -1 END",
		Named([]string{"query", query}))
}

func (postgres) ReadOnly(ctx context.Context, s Session) (bool, error) {
	n, err := s.Number(ctx, "SELECT CASE current_setting('transaction_read_only') WHEN 'on' THEN 1 ELSE 0 END")
	return n == 1, err
}

func (postgres) Elsewhere(ctx context.Context, s Session, schema, table string) (schemas []string, err error) {
	err = s.Query(ctx, func(rows *sql.Rows) error { return ScanJSON(rows, &schemas) },
		`SELECT coalesce(json_agg(n.nspname ORDER BY 1), '[]')::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = ? AND n.nspname <> ? AND c.relkind IN ('r', 'p', 'v', 'm', 'f')`, table, schema)
	return schemas, err
}

func (postgres) Columns(ctx context.Context, s Session, t *shape.Table) (map[string]shape.CatalogColumn, error) {
	found := map[string]shape.CatalogColumn{}
	// quote_all_identifiers quotes the names of the system's types, too. Only "char" means another type without its
	// quotes.
	err := s.Query(ctx, func(rows *sql.Rows) error {
		var name string
		var c shape.CatalogColumn
		defer func() { found[name] = c }()
		err := rows.Scan(&name, &c.SQLType, &c.Collation, &c.NotNull, &c.Unique, &c.Generated, &c.Always, &c.Generator,
			&c.Opaque, &c.Composite)
		c.Defaults = c.Generator != "" && !c.Generated
		c.Padded = shape.IsPadded(c.SQLType)
		c.Limits = shape.LimitsOf(c.SQLType)
		if !strings.Contains(c.Generator, "(") {
			c.Generator = "" // the same each time
		}
		return err
	}, `SELECT a.attname, translate(format_type(b.oid, y.typmod),
		CASE WHEN b.typnamespace = 'pg_catalog'::regnamespace AND b.typname <> 'char' OR b.typname = 'citext' THEN '"' ELSE '' END, ''),
	coalesce((SELECT quote_ident(n.nspname) || '.' || quote_ident(c.collname) FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
		WHERE c.oid = a.attcollation AND a.attcollation <> b.typcollation), ''),
	a.attnotnull,
	coalesce((SELECT bool_and(i.indimmediate) FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
		AND i.indpred IS NULL AND i.indisvalid), false),
	a.attgenerated <> '', a.attidentity = 'a',
	coalesce(CASE WHEN a.attidentity <> '' THEN 'nextval(' || quote_literal(pg_get_serial_sequence(CAST(a.attrelid AS regclass)::text, a.attname)) || '::regclass)'
		ELSE (SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum) END, ''),
	b.oid <> a.atttypid AND (b.typtype <> 'b' OR b.typcategory = 'A'), b.typtype = 'c'
FROM pg_attribute a CROSS JOIN LATERAL (WITH RECURSIVE domain(oid, typmod, base, depth) AS (
		SELECT y.oid, a.atttypmod, y.typtype <> 'd', 0 FROM pg_type y WHERE y.oid = a.atttypid
		UNION ALL SELECT n.oid, y.typtypmod, n.typtype <> 'd', d.depth + 1 FROM domain d JOIN pg_type y ON y.oid = d.oid JOIN pg_type n ON n.oid = y.typbasetype WHERE NOT d.base)
	SELECT d.oid, d.typmod FROM domain d WHERE d.base) y JOIN pg_type b ON b.oid = y.oid WHERE a.attrelid = to_regclass(?) AND a.attnum > 0 AND NOT a.attisdropped`, t.SQL)
	return found, err
}

// Uniques reads the operators of an index from its operator classes, or from its exclusion constraint. An index may
// have a collation of its own.
func (postgres) Uniques(ctx context.Context, s Session, t *shape.Table) (found []UniqueIndex, err error) {
	err = s.Query(ctx, func(rows *sql.Rows) error { return ScanJSON(rows, &found) },
		`SELECT CAST(coalesce(json_agg(json_build_object('name', c.relname, 'columns', k.columns, 'terms', k.terms, 'operators', k.operators,
	'needs', (SELECT json_agg(a.attname) FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum > 0 AND (a.attnum = ANY (k.numbers)
		OR (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL) AND EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid = a.attnum))),
	'condition', coalesce(pg_get_expr(i.indpred, i.indrelid), ''),
	'nullsAlike', coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false))), '[]') AS text)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid LEFT JOIN pg_constraint x ON x.conindid = i.indexrelid AND x.contype = 'x' CROSS JOIN LATERAL (
	SELECT json_agg(a.attname ORDER BY n.place) AS columns, array_agg(n.number) AS numbers, json_agg(o.name ORDER BY n.place) AS operators,
		json_agg(CASE WHEN l.oid IS NULL OR n.coll = coalesce(a.attcollation, 'pg_catalog.default'::regcollation) THEN pg_get_indexdef(i.indexrelid, n.place::int, false)
			ELSE format('(%s) COLLATE %I.%I',
				pg_get_indexdef(i.indexrelid, n.place::int, false), l.schema, l.collname) END
				ORDER BY n.place) AS terms
	FROM (SELECT u.place, u.number, u.class, u.coll FROM ROWS FROM (unnest(CAST(i.indkey AS int2[])), unnest(CAST(i.indclass AS oid[])), unnest(CAST(i.indcollation AS oid[]))) WITH ORDINALITY u(number, class, coll, place) WHERE u.place <= i.indnkeyatts) n
	LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = n.number
	LEFT JOIN (SELECT l.oid, l.collname, s.nspname AS schema FROM pg_collation l JOIN pg_namespace s ON s.oid = l.collnamespace) l ON l.oid = n.coll
	LEFT JOIN LATERAL (SELECT format('OPERATOR(%I.%s)', s.nspname, o.oprname) AS name FROM pg_operator o JOIN pg_namespace s ON s.oid = o.oprnamespace
		WHERE o.oid = coalesce(x.conexclop[n.place], (SELECT m.amopopr FROM pg_opclass p JOIN pg_am y ON y.oid = p.opcmethod JOIN pg_amop m ON m.amopfamily = p.opcfamily AND m.amoplefttype = p.opcintype
			AND m.amoprighttype = p.opcintype AND m.amopstrategy = 3 WHERE p.oid = n.class AND y.amname = 'btree'))) o ON true) k
WHERE i.indrelid = to_regclass(?) AND (i.indisunique OR i.indisexclusion) AND i.indisready`, t.SQL)
	for i := range found {
		// A whole row is written by the name of its table, so such terms count as not known.
		if u := &found[i]; strings.Contains(strings.Join(u.Terms, " ")+u.Condition, ".*") {
			u.Terms = nil
		}
	}
	return found, err
}

func (postgres) ForeignKeys(ctx context.Context, s Session, t *shape.Table) ([]ForeignKey, error) {
	var found []ForeignKey
	err := s.Query(ctx, func(rows *sql.Rows) error { return ScanJSON(rows, &found) },
		`SELECT coalesce(json_agg(json_build_object('name', k.conname, 'target', (SELECT '"' || replace(n.nspname, '"', '""') || '"."' || replace(c.relname, '"', '""') || '"' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = k.confrelid),
	'columns', (SELECT json_agg(a.attname ORDER BY u.i) FROM unnest(k.conkey) WITH ORDINALITY u(n, i) JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n),
	'targetColumns', (SELECT json_agg(a.attname ORDER BY u.i) FROM unnest(k.confkey) WITH ORDINALITY u(n, i) JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n),
	'acts', k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'),
	'readable', has_table_privilege(k.confrelid, 'SELECT') AND has_schema_privilege((SELECT c.relnamespace FROM pg_class c WHERE c.oid = k.confrelid), 'USAGE'),
	'lockable', has_table_privilege(k.confrelid, 'UPDATE') OR has_any_column_privilege(k.confrelid, 'UPDATE')
)), '[]')::text FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid = to_regclass(?)`, t.SQL)
	return found, err
}

// ChildKey knows that from version 18 on a key may be there and not be enforced.
func (postgres) ChildKey(ctx context.Context, s Session, child *shape.Child, root *shape.Table) (ChildKey, error) {
	var found ChildKey
	err := s.Query(ctx, func(rows *sql.Rows) error { return ScanJSON(rows, &found) },
		`SELECT json_build_object('name', coalesce(k.conname, ''), 'validated', coalesce(k.convalidated
		AND to_jsonb(k) ->> 'conenforced' IS DISTINCT FROM 'false', false), 'ours', pg_has_role(c.relowner, 'USAGE')
		AND has_table_privilege(to_regclass(?), 'REFERENCES'))::text FROM pg_class c JOIN pg_attribute a
		ON a.attrelid = c.oid AND a.attname = ? LEFT JOIN pg_constraint k ON k.contype = 'f' AND k.conrelid = c.oid
		AND k.confrelid = to_regclass(?) AND k.conkey = ARRAY[a.attnum] WHERE c.oid = to_regclass(?)
		ORDER BY k.convalidated DESC NULLS LAST LIMIT 1`, root.SQL, child.ParentKey, root.SQL, child.SQL)
	return found, err
}

func (postgres) ViolatesKey(ctx context.Context, s Session, t *shape.Table, refused *ConstraintError) (bool, error) {
	n, err := s.Number(ctx, `SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = to_regclass(?) AND c.relname = ? AND i.indnkeyatts = 1 AND a.attname = ?`, t.SQL, refused.Constraint, t.Key.Name)
	return n > 0, err
}

func (postgres) Hidden(ctx context.Context, s Session, tables []string) ([]string, error) {
	return s.Texts(ctx, `SELECT translate(CAST(c.oid::regclass AS text), '"', '') FROM pg_class c
		WHERE c.oid IN (SELECT to_regclass(t.name) FROM json_array_elements_text(CAST(? AS json)) t(name))
		AND row_security_active(c.oid) ORDER BY 1`, JSONList(tables))
}

func (postgres) Referrers(ctx context.Context, s Session, tables,
	others []string,
) (secret, readable []string, err error) {
	const listed = "(SELECT to_regclass(t.name) FROM json_array_elements_text(CAST(? AS json)) t(name) WHERE to_regclass(t.name) IS NOT NULL)"
	err = s.Query(ctx, func(rows *sql.Rows) error {
		var name string
		var mayRead bool
		err := rows.Scan(&name, &mayRead)
		if mayRead {
			readable = append(readable, name)
		} else {
			secret = append(secret, name)
		}
		return err
	}, Fill(`SELECT DISTINCT format('%I.%I', n.nspname, c.relname), has_schema_privilege(n.oid, 'USAGE')
		AND has_table_privilege(c.oid, 'SELECT') FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
		JOIN pg_namespace n ON n.oid = c.relnamespace WHERE k.contype = 'f' AND k.confrelid IN {listed}
		AND k.conrelid NOT IN {listed} ORDER BY 1`, "listed", listed), JSONList(tables), JSONList(others))
	return secret, readable, err
}

func (postgres) Relation(ctx context.Context, s Session, t *shape.Table) (Relation, error) {
	var found Relation
	err := s.Query(ctx, func(rows *sql.Rows) error { return ScanJSON(rows, &found) }, `SELECT json_build_object('role', current_user, 'hidden', row_security_active(c.oid),
	'kind', CASE WHEN c.relkind = 'v' THEN 'a view' WHEN c.relkind = 'm' THEN 'a materialized view' WHEN c.relkind = 'f' THEN 'a foreign table'
		WHEN c.relkind = 'p' THEN 'a partitioned table' WHEN c.relispartition THEN 'a partition of a table'
		WHEN EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhparent = c.oid) THEN 'a table from which others inherit'
		WHEN EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhrelid = c.oid) THEN 'a table that inherits from another' ELSE '' END,
	'missing', (SELECT json_agg(p.name) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p(name)
		WHERE NOT has_table_privilege(c.oid, p.name) AND NOT (p.name <> 'DELETE' AND has_any_column_privilege(c.oid, p.name))),
	'sequences', (SELECT json_agg(CAST(d.objid AS regclass)::text ORDER BY d.objid) FROM pg_depend d JOIN pg_class s ON s.oid = d.objid
		WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.deptype IN ('a', 'i')
			AND CASE WHEN s.relkind = 'S' THEN NOT has_sequence_privilege(d.objid, 'USAGE') ELSE false END))::text
FROM pg_class c WHERE c.oid = to_regclass(?)`, t.SQL)
	return found, err
}

// Holds accepts any length of text and any width of integer, since the catalog has the limits. It also accepts a real
// column for a model's double, which holds every real.
func (postgres) Holds(sqlType, declared string) bool {
	found, wanted := shape.TypeFamily(sqlType), shape.TypeFamily(declared)
	return found == wanted || found == "real" && wanted == "double precision"
}

func (postgres) HoldsNumber(sqlType string) bool {
	return slices.Contains([]string{"real", "double precision", "numeric"}, shape.TypeFamily(sqlType))
}

// Estimate trusts the statistics of a large table: those of its last ANALYZE, and the counters that follow each
// transaction.
func (postgres) Estimate(ctx context.Context, s Session, table string) (int64, bool, error) {
	const large = 100_000
	rows, err := s.Number(ctx,
		"SELECT CAST(greatest(c.reltuples, pg_stat_get_live_tuples(c.oid), 0) AS bigint) FROM pg_class c WHERE c.oid = to_regclass(?)", table)
	if err != nil || rows > large {
		return rows, false, err
	}
	// Statistics are missing or say that the table is small: count, but only up to twice the size that is large.
	rows, err = s.Number(ctx, fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s LIMIT %d) t", table, 2*large))
	return rows, err == nil && rows < 2*large, err
}

func (postgres) RoughCounts(column string) string {
	return Fill(`SELECT o.value, CAST(o.share * greatest(c.reltuples, pg_stat_get_live_tuples(c.oid), 0) AS bigint) FROM pg_class c JOIN pg_stats s ON s.schemaname = (SELECT n.nspname FROM pg_namespace n WHERE n.oid = c.relnamespace)
	CROSS JOIN unnest(CAST(CAST(s.most_common_vals AS text) AS text[]), s.most_common_freqs) AS o(value, share)
	WHERE c.oid = to_regclass(?) AND s.tablename = c.relname AND s.attname = '{column}' ORDER BY 1`, "column", column)
}

func (postgres) Outgrown(ctx context.Context, s Session, tables []string) ([]string, error) {
	var outgrown []string
	for _, table := range tables {
		// Compare pages, which exist before the statement that fills them commits, and rows, which do not. Look only at
		// tables for which we have the owner's rights.
		grown, err := s.Number(ctx, `SELECT count(*) FROM pg_class c WHERE c.oid = to_regclass(?) AND pg_has_role(c.relowner, 'USAGE')
			AND (pg_relation_size(c.oid) > 2 * greatest(c.relpages, 50) * CAST(current_setting('block_size') AS bigint)
				OR pg_stat_get_live_tuples(c.oid) > 10 * greatest(c.reltuples, 1000))`, table)
		if err != nil {
			return nil, err
		}
		if grown > 0 {
			outgrown = append(outgrown, table)
		}
	}
	return outgrown, nil
}
