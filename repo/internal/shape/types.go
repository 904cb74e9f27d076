package shape

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm/schema"
)

// TypeFamily is the same for types that hold the same values, apart from limits.
func TypeFamily(sqlType string) string {
	// A type that is named with its schema is not one of ours: its operators are not found without that schema.
	name := strings.ToLower(sqlType)
	if open, end := strings.Index(name, "("), strings.Index(name, ")"); open >= 0 && end > open {
		name = strings.TrimSpace(name[:open]) + name[end+1:]
	}
	if element, array := strings.CutSuffix(name, "[]"); array {
		return TypeFamily(element) + "[]"
	}
	switch name {
	case "text", "character varying", "varchar", "character", "char", "bpchar", "citext", "name":
		return "text"
	case "smallint", "int2", "integer", "int", "int4", "bigint", "int8":
		return "integer"
	case "real", "float4":
		return "real"
	case "double precision", "float8":
		return "double precision"
	case "numeric", "decimal":
		return "numeric"
	case "boolean", "bool":
		return "boolean"
	case "timestamp with time zone", "timestamptz":
		return "timestamptz"
	case "timestamp without time zone", "timestamp":
		return "timestamp"
	default:
		return name
	}
}

// DimensionsOf counts the dimensions of an array in a Go type.
func DimensionsOf(t reflect.Type) (n int) {
	for ; isList(t) && t.Kind() != reflect.Map && t != reflect.TypeFor[[]byte](); t = t.Elem() {
		n++
	}
	return n
}

// ReadsItself reports whether a type defines how it is read.
func ReadsItself(t reflect.Type) bool {
	pointer := reflect.PointerTo(t)
	return pointer.Implements(reflect.TypeFor[json.Unmarshaler]()) ||
		pointer.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// IsPadded reports whether a type loses blanks at the end of a text.
func IsPadded(sqlType string) bool {
	name, _, _ := strings.Cut(strings.ToLower(sqlType), "(")
	return slices.Contains([]string{"char", "character", "bpchar", "nchar"}, strings.TrimSpace(name))
}

// declaredType is the SQL type of a field: that of its tag, or the usual one of both databases for its Go type.
func declaredType(f *schema.Field) string {
	if t := f.TagSettings["TYPE"]; t != "" {
		return t
	}
	switch f.GORMDataType {
	case schema.Bool:
		return "boolean"
	case schema.Int, schema.Uint:
		switch {
		case f.Size <= 16:
			return "smallint"
		case f.Size <= 32:
			return "integer"
		default:
			return "bigint"
		}
	case schema.Float:
		if f.Size <= 32 {
			return "real"
		}
		return "double precision"
	case schema.Time:
		return "timestamptz"
	default:
		if f.Size > 0 {
			return fmt.Sprintf("varchar(%d)", f.Size)
		}
		return "text"
	}
}

// LimitsOf reads the limits from a type's name, as a model or a catalog spells it.
func LimitsOf(sqlType string) Limits {
	name, rest, _ := strings.Cut(strings.ToLower(sqlType), "(")
	switch strings.TrimSpace(name) {
	case "smallint", "int2", "smallserial":
		return Limits{Min: -1 << 15, Max: 1<<15 - 1, Ranged: true}
	case "integer", "int", "int4", "serial":
		return Limits{Min: -1 << 31, Max: 1<<31 - 1, Ranged: true}
	case "bigint", "int8", "bigserial":
		return Limits{Min: -1 << 63, Max: 1<<63 - 1, Ranged: true}
	case "varchar", "character varying", "char", "character", "bpchar", "nvarchar", "nchar":
		var n int
		if _, err := fmt.Sscanf(rest, "%d", &n); err == nil {
			return Limits{Runes: n}
		}
	}
	return Limits{}
}

// Narrower reports whether l holds less than other.
func (l Limits) Narrower(other Limits) bool {
	return l.Ranged && (!other.Ranged || l.Max < other.Max) || l.Runes > 0 &&
		(other.Runes == 0 || l.Runes < other.Runes)
}
