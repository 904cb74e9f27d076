package database

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/alwaysup/coexist/repo/internal/shape"
)

// samples are values of types as PostgreSQL writes them in JSON.
var samples = map[string]string{
	"text": `"a"`, "integer": `1`, "real": `1.5`, "double precision": `1.5`, "numeric": `1.5`, "boolean": `true`,
	"date":      `"2026-01-31"`,
	"timestamp": `"2026-01-31T12:00:00.000001"`, "timestamptz": `"2026-01-31T12:00:00.000001+00:00"`,
	"time without time zone": `"12:00:00"`, "time with time zone": `"12:00:00+00"`,
	"bytea": `"\\x00ff"`, "json": `{"a": [1]}`, "jsonb": `{"a": [1]}`, "uuid": `"6f0e7a3e-7b1c-4b6e-9d3b-0a3c1e5f7a9b"`,
	"interval": `"1 day"`, "inet": `"10.0.0.1"`, "cidr": `"10.0.0.0/8"`,
}

// spelledBy are the settings that say how PostgreSQL spells values of a type as text.
var spelledBy = map[string]string{
	"date": "DateStyle", "timestamp": "DateStyle", "timestamptz": "TimeZone", "interval": "IntervalStyle",
	"bytea": "bytea_output",
	"real":  "extra_float_digits", "double precision": "extra_float_digits", "money": "lc_monetary",
}

func (postgres) Misread(c *shape.Column, sqlType string) string {
	family := shape.TypeFamily(sqlType)
	if strings.HasPrefix(family, "reg") {
		return "which names what is in the database, by a spelling that follows search_path: keep the name as a text"
	}
	sample, known := samples[family]
	if setting, follows := spelledBy[family]; follows && c.IsKey {
		return "whose spelling follows " + setting +
			" of each session, other programs' too, so that no key can be told by it: take another column that is unique"
	}
	if element, array := strings.CutSuffix(family, "[]"); array {
		if element = shape.TypeFamily(element); element == "json" || element == "jsonb" {
			return "whose documents cannot be told from further dimensions: keep them in one document"
		}
		if sample, known = samples[element]; known {
			depth := max(1, shape.DimensionsOf(c.GoType))
			sample = strings.Repeat("[", depth) + sample + strings.Repeat("]", depth)
		}
	}
	if family == "numeric" && (strings.HasSuffix(sqlType, ",0)") || strings.Contains(sqlType, "(") &&
		!strings.Contains(sqlType, ",")) {
		sample = `1`
	}
	return misreads(c, sample, known)
}

// Misread refuses only bytes, and what cannot be read from a plain value: a column of SQLite holds anything, but no
// document holds bytes, and a document or a list in a column is a text.
func (sqlite) Misread(c *shape.Column, sqlType string) string {
	if kind := c.GoType.Kind(); c.GoType == reflect.TypeFor[json.RawMessage]() || (kind == reflect.Map ||
		kind == reflect.Slice && c.GoType.Elem().Kind() != reflect.Uint8 || kind == reflect.Array) &&
		!shape.ReadsItself(c.GoType) {
		return fmt.Sprintf("which holds documents and lists as text on SQLite, from which the model's %s cannot be read: take a type with an UnmarshalJSON that can",
			c.GoType)
	}
	if c.GoType.PkgPath() == "database/sql" { // sql.NullString and its kind: documents hold plain values instead
		return misreads(c, `"a"`, true)
	}
	return misreads(c, `{}`, strings.EqualFold(sqlType, "blob") && c.GoType == reflect.TypeFor[[]byte]())
}

// misreads tries to read a sample. It does not try a type that defines how it is read, which may know spellings other
// than the sample's.
func misreads(c *shape.Column, sample string, known bool) string {
	own := c.GoType != reflect.TypeFor[time.Time]() && shape.ReadsItself(c.GoType)
	if !known || own || c.IsBool {
		return ""
	}
	if err := json.Unmarshal([]byte(sample), reflect.New(c.GoType).Interface()); err != nil {
		return fmt.Sprintf(
			"whose values, such as %s, the model's %s cannot be read from: take a type with an UnmarshalJSON that can, or another type of column", sample, c.GoType)
	}
	return ""
}
