package database

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/shape"
	"github.com/alwaysup/coexist/value"
)

// How values are read from PostgreSQL, and passed to it.

// Value writes numbers so that their bits come back, whatever extra_float_digits is set to.
func (postgres) Value(alias string, c *shape.Column) string {
	return spelledIn(alias+"."+Quote(c.Name), c.Now().SQLType)
}

// spelledIn writes a value of a type so that its spelling depends on no setting of the session.
func spelledIn(v, t string) string {
	if element, array := strings.CutSuffix(t, "[]"); array {
		if one := spelledIn("x.v", element); one != "x.v" {
			return Fill(`CASE WHEN array_ndims({v}) = 1 THEN (SELECT json_agg({one} ORDER BY x.place)
				FROM unnest({v}) WITH ORDINALITY x(v, place)) WHEN array_ndims({v}) > 1 THEN {nested}
				ELSE to_json({v}) END`, "v", v, "one", one, "nested", nested(v, one))
		}
		return v
	}
	switch shape.TypeFamily(t) {
	case "real":
		return floating(v, shortReal(v))
	case "double precision":
		return floating(v, written(v, 17))
	case "timestamptz":
		return instant(v)
	case "bytea":
		return `E'\\x' || encode(` + v + `, 'hex')`
	case "text":
		if shape.IsPadded(t) {
			return Fill(`CAST({v} AS text)`, "v", v) // without the blanks that pad it
		}
	}
	return v
}

// nested writes an array of several dimensions. unnest returns all its elements in one sequence; a block of them begins
// or ends wherever the block's size divides an element's place.
func nested(v, one string) string {
	const dimensions = 6 // PostgreSQL's maximum
	blocks, begins, ends := make([]string, dimensions), make([]string, dimensions), make([]string, dimensions)
	for d := range dimensions {
		size := make([]string, 0, dimensions)
		for inner := d; inner < dimensions; inner++ {
			size = append(size, fmt.Sprintf("coalesce(array_length(%s, %d), 1)", v, inner+1))
		}
		blocks[d] = fmt.Sprintf("CASE WHEN array_ndims(%s) > %d THEN CAST(%s AS bigint) END AS b%d", v, d,
			strings.Join(size, " * "), d)
		begins[d] = fmt.Sprintf("CASE WHEN (x.place - 1) %% d.b%d = 0 THEN '[' ELSE '' END", d)
		ends[d] = fmt.Sprintf("CASE WHEN x.place %% d.b%d = 0 THEN ']' ELSE '' END", d)
	}
	return Fill(`(SELECT CAST(string_agg({begins} || coalesce(CAST(to_json({one}) AS text), 'null') || {ends}, ','
		ORDER BY x.place) AS json) FROM (SELECT {blocks} OFFSET 0) d, unnest({v}) WITH ORDINALITY x(v, place))`,
		"begins", strings.Join(begins, " || "), "one", one, "ends", strings.Join(ends, " || "),
		"blocks", strings.Join(blocks, ", "), "v", v)
}

// instant writes a time in the session's zone. It uses UTC where that zone may have another year, or an offset with
// seconds, which ISO 8601 does not know: New York's was -04:56:02 until 1883, and Monrovia's had seconds until 1972.
func instant(v string) string {
	return Fill(`CASE WHEN {v} >= '1973-01-01 00:00+00' AND {v} < '9999-12-30 00:00+00' THEN to_json({v})
		WHEN {v} >= '0001-01-01 00:00+00' AND {v} < 'infinity' THEN CAST(rtrim(CAST(to_json({v} AT TIME ZONE
		'UTC') AS text), '"') || '+00:00"' AS json) ELSE to_json({v}) END`, "v", v)
}

func floating(v, number string) string {
	return Fill(`CASE WHEN {v} IN ('NaN', 'Infinity', '-Infinity') THEN to_json(CAST({v} AS text))
		ELSE {number} END`, "v", v, "number", number)
}

// written writes a float with the given number of digits. ParseNumber finds the digits of a double that are not needed.
func written(v string, digits int) string {
	return Fill(`CAST(to_char({v}, '9.{repeat}EEEE') AS json)`, "v", v, "repeat", strings.Repeat("9", digits-1))
}

// shortReal writes a real with the fewest digits that give it back, except one so large that fewer digits could be out
// of range.
func shortReal(v string) string {
	s := Fill(`CASE WHEN abs({v}) > 1e38 THEN {written}`, "v", v, "written", written(v, 9))
	for digits := 6; digits < 9; digits++ {
		s += Fill(` WHEN CAST(CAST({written} AS text) AS real) = {v} THEN {written}`, "written", written(v, digits),
			"v", v)
	}
	return s + " ELSE " + written(v, 9) + " END"
}

func (postgres) Held(c *shape.Column, n value.Number) (value.Number, error) {
	switch t := strings.TrimSuffix(c.Now().SQLType, "[]"); shape.TypeFamily(t) {
	case "real":
		return n.Real()
	case "double precision":
		return n.Double()
	case "numeric":
		return n.Scaled(t)
	default:
		return n, nil
	}
}

func (postgres) Ordered(alias string, c *shape.Column) string { return alias + "." + Quote(c.Name) }

func (postgres) Object(members []Member) string {
	return splitObject(members, func(members []Member) string {
		return "json_build_object(" + joinMembers(members) + ")"
	}, func(a, b string) string {
		// As text: jsonb would change numbers, such as -0.
		return Fill(`CAST(left(CAST({a} AS text), -1) || ', ' || substr(CAST({b} AS text), 2) AS json)`, "a", a,
			"b", b)
	})
}

func joinMembers(members []Member) string {
	parts := make([]string, len(members))
	for i, m := range members {
		parts[i] = Literal(m[0]) + ", " + m[1]
	}
	return strings.Join(parts, ", ")
}

func (postgres) Truth(b bool) string { return strconv.FormatBool(b) }

func (postgres) List(element, from, order string) string {
	return Fill(`(SELECT coalesce(json_agg({element} ORDER BY {order}), '[]') FROM {from})`, "element", element,
		"order", order, "from", from)
}

func (postgres) Text(expression string) string {
	return Fill(`CAST({expression} AS text) COLLATE "C"`,
		"expression", expression)
}

func (p postgres) Contains(expression string) string {
	return Fill(`strpos({text}, CAST(? AS text)) > 0`, "text", p.Text(expression))
}

func (postgres) AsKey(c *shape.Column, expression string) string {
	return Fill(`CAST({expression} AS {comparedAs})`, "expression", expression, "comparedAs", ComparedAs(c))
}

func (postgres) Zero(c *shape.Column) string {
	switch family := shape.TypeFamily(c.Declared); {
	case c.Nullable:
		return "NULL"
	case family == "text":
		return "''"
	case family == "boolean":
		return "false"
	case family == "integer" || family == "real" || family == "double precision" || family == "numeric":
		return "0"
	default:
		return ""
	}
}

func (postgres) Compared(c *shape.Column) string { return ComparedAs(c) }

func (postgres) AddsForeignKeys() bool { return true }

// ComparedAs is the type of what is compared with a column: never varchar(n), since a cast to that truncates a longer
// string.
func ComparedAs(c *shape.Column) string {
	name, _, _ := strings.Cut(c.Now().SQLType, "(")
	switch {
	case c.IsInt:
		return "bigint"
	case shape.IsPadded(name):
		return "bpchar"
	case name == "character varying" || name == "varchar" || name == "":
		return "text"
	default:
		return c.Now().SQLType
	}
}

// KeyList names one key in a way that PostgreSQL plans for one: it expects a hundred elements of any list.
func (postgres) KeyList(c *shape.Column, n int) string {
	if n == 1 {
		return Fill(`SELECT CAST(CAST(? AS json) ->> 0 AS {comparedAs}) AS key, CAST(0 AS bigint) AS ord`,
			"comparedAs", ComparedAs(c))
	}
	return Fill(`SELECT CAST(j.value AS {comparedAs}) AS key, j.ord - 1 AS ord
		FROM json_array_elements_text(CAST(? AS json)) WITH ORDINALITY AS j(value, ord)`,
		"comparedAs", ComparedAs(c))
}

func (postgres) Scalar(c *shape.Column) string {
	return Fill(`CAST(CAST(? AS json) #>> '{}' AS {comparedAs})`, "comparedAs", ComparedAs(c))
}

func (p postgres) SortValue(alias string, c *shape.Column) string { return p.Value(alias, c) }

func (p postgres) SortedBy(c *shape.Column, value json.RawMessage) (string, any, bool) {
	return p.Scalar(c), string(value), true
}

// Records reads one row in a way that PostgreSQL plans for one: it expects a hundred rows of any list.
func (postgres) Records(columns []shape.Column, n int) (string, func(string) string) {
	rows := "json_to_recordset(CAST(? AS json))"
	if n == 1 {
		rows = "json_to_record(CAST(? AS json) -> 0)"
	}
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = Quote(c.Name) + " " + c.Now().SQLType
	}
	return Fill(`{rows} AS r({parts})`, "rows", rows, "parts", strings.Join(parts, ", ")),
		func(name string) string {
			for i := range columns {
				if c := &columns[i]; c.Name == name && c.HoldsJSONNull() {
					return "coalesce(r." + Quote(name) + ", 'null')" // the JSON null has become NULL
				}
			}
			return "r." + Quote(name)
		}
}

func (postgres) MarkID() string { return "uuid" }

func (postgres) Probe(table, alias, column string) string {
	return Fill(`LEFT JOIN LATERAL (SELECT * FROM {table} p WHERE p.{column} = k.key OFFSET 0) {alias} ON true`,
		"table", table, "alias", alias, "column", Quote(column))
}

func (postgres) Once() string { return " OFFSET 0" }

func (postgres) Lock() string { return " FOR UPDATE" }

func (postgres) KeyShare() string { return " FOR KEY SHARE" }

func (postgres) Analyze(tables []string) []string {
	statements := make([]string, len(tables))
	for i, t := range tables {
		statements[i] = Fill(`ANALYZE {t}`, "t", t)
	}
	return statements
}
