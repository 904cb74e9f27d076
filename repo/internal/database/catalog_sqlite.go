package database

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/shape"
)

func (sqlite) CountTables(ctx context.Context, s Session, _ string) (int64, error) {
	return s.Number(ctx,
		"SELECT count(*) FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite%'")
}

// OfPrimary changes nothing: there is no standby.
func (sqlite) OfPrimary(query string) string { return query }

func (sqlite) ReadOnly(context.Context, Session) (bool, error) { return false, nil }

// Elsewhere names none: there are no schemas.
func (sqlite) Elsewhere(context.Context, Session, string, string) ([]string, error) {
	return nil, nil
}

func (sqlite) Columns(ctx context.Context, s Session, t *shape.Table) (map[string]shape.CatalogColumn, error) {
	found := map[string]shape.CatalogColumn{}
	err := s.Query(ctx, func(rows *sql.Rows) error {
		var name string
		var c shape.CatalogColumn
		defer func() { found[name] = c }()
		err := rows.Scan(&name, &c.SQLType, &c.NotNull, &c.Primary, &c.Unique, &c.Collation, &c.Defaults)
		c.Limits = shape.LimitsOf(c.SQLType)
		c.Wide = c.Limits.Ranged
		return err
	}, `SELECT c.name, lower(c.type), c."notnull" OR c.pk = 1 AND (lower(c.type) = 'integer' OR (SELECT l.wr FROM pragma_table_list(?) l WHERE l.schema = 'main')),
	c.pk = 1 AND (SELECT count(*) FROM pragma_table_info(?) p WHERE p.pk > 0) = 1,
	(c.pk = 1 AND (SELECT count(*) FROM pragma_table_info(?) p WHERE p.pk > 0) = 1) OR EXISTS (SELECT 1 FROM pragma_index_list(?) l
		WHERE l."unique" AND NOT l.partial AND (SELECT group_concat(i.name) FROM pragma_index_info(l.name) i) = c.name),
	coalesce((SELECT x.coll FROM pragma_index_list(?) l JOIN pragma_index_xinfo(l.name) x WHERE l."unique" AND x.key AND x.name = c.name AND x.coll <> 'BINARY' LIMIT 1), ''), c.dflt_value IS NOT NULL
FROM pragma_table_info(?) c`, t.Name, t.Name, t.Name, t.Name, t.Name, t.Name)
	if err != nil {
		return nil, err
	}
	made, err := s.Texts(ctx, "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE", t.Name)
	for _, statement := range made {
		for name, collation := range declaredCollations(statement) {
			for column, c := range found {
				if strings.EqualFold(column, name) && c.Collation == "" {
					c.Collation = collation
					found[column] = c
				}
			}
		}
	}
	return found, err
}

var (
	sqliteToken = regexp.MustCompile(`'(?:[^']|'')*'|"(?:[^"]|"")*"|` + "`[^`]*`" +
		`|\[[^\]]*\]|--[^\n]*|/\*(?s:.*?)\*/|\w+|[(),]`)
	sqliteUnquote = strings.NewReplacer(`"`, "", "`", "", "[", "", "]", "")
)

// declaredCollations returns the collations other than BINARY that a CREATE TABLE statement gives to columns. No pragma
// shows them.
func declaredCollations(statement string) map[string]string {
	collations := map[string]string{}
	depth, name, begins, collate := 0, "", false, false
	for _, token := range sqliteToken.FindAllString(statement, -1) {
		switch {
		case strings.HasPrefix(token, "--"), strings.HasPrefix(token, "/*"):
			continue
		case token == "(":
			depth++
			begins = depth == 1
			continue
		case token == ")":
			depth--
		case token == ",":
			begins = depth == 1
			continue
		case depth == 1 && begins:
			name, begins = sqliteUnquote.Replace(token), false
		case depth == 1 && collate && !strings.EqualFold(sqliteUnquote.Replace(token), "BINARY"):
			collations[name] = strings.ToUpper(sqliteUnquote.Replace(token))
		}
		collate = depth == 1 && strings.EqualFold(token, "COLLATE")
	}
	return collations
}

// Uniques knows no terms of a partial index or of one on an expression: no catalog says what a partial index asks for,
// or what an expression is.
func (sqlite) Uniques(ctx context.Context, s Session, t *shape.Table) (found []UniqueIndex, err error) {
	err = s.Query(ctx, func(rows *sql.Rows) error {
		var u UniqueIndex
		var columns, collations []byte
		var names []string
		var partial bool
		if err := rows.Scan(&u.Name, &columns, &collations, &partial); err != nil {
			return err
		}
		if err := errors.Join(json.Unmarshal(columns, &u.Columns), json.Unmarshal(collations, &names)); err != nil {
			return err
		}
		if plain := u.Plain(); len(plain) == 0 {
			u.Name = "index " + Literal(u.Name)
		} else {
			u.Name = t.Name + "." + strings.Join(plain, ", "+t.Name+".")
			for i, name := range plain {
				if !partial {
					u.Needs, u.Terms, u.Operators = append(u.Needs, name),
						append(u.Terms, Fill(`{name} COLLATE {names}`,
							"name", Quote(name), "names", Quote(names[i]))), append(u.Operators, "=")
				}
			}
		}
		found = append(found, u)
		return nil
	},
		`SELECT l.name, json_group_array(x.name), json_group_array(x.coll), l.partial FROM pragma_index_list(?) l JOIN pragma_index_xinfo(l.name) x WHERE l."unique" AND x.key GROUP BY l.name`, t.Name)
	return found, err
}

func (sqlite) ForeignKeys(ctx context.Context, s Session, t *shape.Table) ([]ForeignKey, error) {
	var found []ForeignKey
	err := s.Query(ctx, func(rows *sql.Rows) error {
		var key ForeignKey
		var columns, targets []byte
		key.Readable, key.Lockable = true, true
		if err := rows.Scan(&key.Name, &key.Target, &columns, &targets, (*bool)(&key.Acts)); err != nil {
			return err
		}
		key.Target = Quote(key.Target)
		found = append(found, key)
		last := &found[len(found)-1]
		return errors.Join(json.Unmarshal(columns, &last.Columns), json.Unmarshal(targets, &last.TargetColumns))
	}, `SELECT CAST(f.id AS text), coalesce((SELECT m.name FROM sqlite_schema m WHERE m.type = 'table' AND m.name = f."table" COLLATE NOCASE), f."table"), json_group_array(f."from"), json_group_array(coalesce(f."to",
	(SELECT p.name FROM pragma_table_info(f."table") p WHERE p.pk = f.seq + 1))), max(f.on_delete NOT IN ('NO ACTION', 'RESTRICT') OR f.on_update NOT IN ('NO ACTION', 'RESTRICT')) FROM pragma_foreign_key_list(?) f GROUP BY f.id, f."table"`, t.Name)
	return found, err
}

// BrokenForeignKey asks the catalog: SQLite refuses a key that it cannot check only when a row is written.
func (sqlite) BrokenForeignKey(ctx context.Context, s Session, t *shape.Table) (string, error) {
	broken, err := s.Texts(ctx, `SELECT f."table" || coalesce('(' || f."to" || ')', '') FROM pragma_foreign_key_list(?) f WHERE NOT EXISTS (SELECT 1 FROM sqlite_schema m WHERE m.type = 'table' AND m.name = f."table" COLLATE NOCASE)
	OR f.seq = 0 AND f."to" IS NOT NULL AND (SELECT count(*) FROM pragma_foreign_key_list(?) g WHERE g.id = f.id) = 1
		AND NOT ((SELECT json_group_array(lower(p.name)) FROM pragma_table_info(f."table") p WHERE p.pk > 0) = json_array(lower(f."to")))
		AND NOT EXISTS (SELECT 1 FROM pragma_index_list(f."table") l WHERE l."unique" AND NOT l.partial AND (SELECT json_group_array(lower(i.name)) FROM pragma_index_info(l.name) i) = json_array(lower(f."to")))`, t.Name, t.Name)
	if err != nil || len(broken) == 0 {
		return "", err
	}
	return broken[0], nil
}

// ViolatesKey reads the message, which alone says what was violated.
func (sqlite) ViolatesKey(_ context.Context, _ Session, t *shape.Table, refused *ConstraintError) (bool, error) {
	return refused.Constraint == t.Name+"."+t.Key.Name, nil
}

func (sqlite) Hidden(context.Context, Session, []string) ([]string, error) { return nil, nil }

// ChildKey is always there: a table is created with it.
func (sqlite) ChildKey(context.Context, Session, *shape.Child, *shape.Table) (ChildKey, error) {
	return ChildKey{Validated: true}, nil
}

func (sqlite) Referrers(ctx context.Context, s Session, tables,
	others []string,
) (secret, readable []string, err error) {
	const listed = "(SELECT t.value FROM json_each(?) t)"
	readable, err = s.Texts(ctx, Fill(`SELECT DISTINCT '"' || replace(m.name, '"', '""') || '"'
		FROM sqlite_schema m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table'
		AND ('"' || replace(f."table", '"', '""') || '"') COLLATE NOCASE IN {listed}
		AND ('"' || replace(m.name, '"', '""') || '"') COLLATE NOCASE NOT IN {listed} ORDER BY 1`,
		"listed", listed), JSONList(tables), JSONList(others))
	return nil, readable, err
}

func (sqlite) Relation(ctx context.Context, s Session, t *shape.Table) (Relation, error) {
	var found Relation
	err := s.Query(ctx, func(rows *sql.Rows) error { return rows.Scan(&found.Kind) },
		"SELECT CASE type WHEN 'table' THEN '' ELSE 'a ' || type END || CASE type WHEN 'virtual' THEN ' table' ELSE '' END FROM pragma_table_list(?) WHERE schema = 'main'", t.Name)
	return found, err
}

// Holds reports whether the column's affinity changes no value of the declared type. No date is a text that could be
// taken for a number.
func (sqlite) Holds(sqlType, declared string) bool {
	kept := affinity(sqlType)
	switch shape.TypeFamily(declared) {
	case "text":
		return kept == "TEXT" || kept == "BLOB"
	case "integer", "boolean":
		return kept != "TEXT" && kept != "REAL"
	case "real", "double precision", "numeric":
		return kept != "TEXT"
	default:
		return true
	}
}

func (sqlite) HoldsNumber(sqlType string) bool { return affinity(sqlType) != "TEXT" }

// affinity returns the affinity of a column's declared type (https://sqlite.org/datatype3.html, section 3.1).
func affinity(sqlType string) string {
	name := strings.ToUpper(sqlType)
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(name, p) })
	}
	switch {
	case has("INT"):
		return "INTEGER"
	case has("CHAR", "CLOB", "TEXT"):
		return "TEXT"
	case name == "", has("BLOB"):
		return "BLOB"
	case has("REAL", "FLOA", "DOUB"): //nolint:misspell // as SQLite has it
		return "REAL"
	default:
		return "NUMERIC"
	}
}

func (sqlite) Estimate(ctx context.Context, s Session, table string) (int64, bool, error) {
	rows, err := s.Number(ctx, Fill(`SELECT count(*) FROM {table}`, "table", table))
	return rows, true, err
}

// RoughCounts is not needed: Estimate is exact.
func (sqlite) RoughCounts(string) string { return "SELECT '', 0 WHERE ? IS NULL" }

// Outgrown is not needed: no plan changes with the size of a table.
func (sqlite) Outgrown(context.Context, Session, []string) ([]string, error) { return nil, nil }
