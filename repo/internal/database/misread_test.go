package database

import (
	"database/sql"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/alwaysup/coexist/repo/internal/shape"
	"github.com/alwaysup/coexist/value"
)

// C6. A Go type that cannot be read from what its column holds is refused at the start, in one line. The guard is
// misread, in checkTable.
func TestTypesThatCannotBeRead(t *testing.T) {
	type words struct {
		A []int `json:"a"`
	}
	for name, c := range map[string]struct {
		sqlType string
		goType  reflect.Type
		fits    bool
	}{
		"a time without a zone":    {"timestamp without time zone", reflect.TypeFor[time.Time](), false},
		"a time":                   {"timestamp(3) with time zone", reflect.TypeFor[time.Time](), true},
		"a date as a time":         {"date", reflect.TypeFor[time.Time](), false},
		"a date":                   {"date", reflect.TypeFor[string](), true},
		"bytes":                    {"bytea", reflect.TypeFor[[]byte](), false},
		"JSON as text":             {"jsonb", reflect.TypeFor[string](), false},
		"JSON as a struct":         {"jsonb", reflect.TypeFor[words](), true},
		"exact numbers as text":    {"numeric", reflect.TypeFor[string](), false},
		"exact numbers":            {"numeric(10,2)", reflect.TypeFor[decimal.Decimal](), true},
		"a Number":                 {"numeric", reflect.TypeFor[value.Number](), true},
		"exact numbers as int":     {"numeric(10,2)", reflect.TypeFor[int64](), false},
		"whole numbers as int":     {"numeric(10,0)", reflect.TypeFor[int64](), true},
		"a list as text":           {"text[]", reflect.TypeFor[string](), false},
		"a list":                   {"text[]", reflect.TypeFor[[]string](), true},
		"a list of numbers":        {"integer[]", reflect.TypeFor[[]int32](), true},
		"text":                     {"character varying(5)", reflect.TypeFor[string](), true},
		"text as a number":         {"text", reflect.TypeFor[int32](), false},
		"a uuid":                   {"uuid", reflect.TypeFor[string](), true},
		"a Boolean":                {"boolean", reflect.TypeFor[bool](), true},
		"a type that nobody knows": {"shop.mood", reflect.TypeFor[string](), true},
	} {
		c1 := &shape.Column{GoType: c.goType}
		if why := (postgres{}).Misread(c1, c.sqlType); (why == "") != c.fits || strings.Contains(why, "\n") {
			t.Errorf("%s: %q", name, why)
		}
	}
	blob := &shape.Column{GoType: reflect.TypeFor[[]byte]()}
	if (sqlite{}).Misread(blob, "BLOB") == "" || (sqlite{}).Misread(&shape.Column{GoType: reflect.TypeFor[string]()},
		"text") != "" {
		t.Error("on SQLite bytes cannot be read, and text can")
	}
	for _, goType := range []reflect.Type{
		reflect.TypeFor[sql.NullString](), reflect.TypeFor[sql.NullInt64](),
		reflect.TypeFor[sql.Null[string]](),
	} {
		if c := (&shape.Column{GoType: goType}); (sqlite{}).Misread(c, "text") == "" ||
			(postgres{}).Misread(c, "text") == "" {
			t.Errorf("%s is taken for a type that can be read", goType)
		}
	}
}
