package shape

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alwaysup/coexist/value"
)

func TestLimitsOf(t *testing.T) {
	for sqlType, want := range map[string]Limits{
		"smallint":               {Min: -1 << 15, Max: 1<<15 - 1, Ranged: true},
		"INTEGER":                {Min: -1 << 31, Max: 1<<31 - 1, Ranged: true},
		"bigint":                 {Min: math.MinInt64, Max: math.MaxInt64, Ranged: true},
		"varchar(40)":            {Runes: 40},
		"character varying(40)":  {Runes: 40},
		"character(5)":           {Runes: 5},
		"bpchar":                 {},
		"varchar":                {},
		"text":                   {},
		"numeric(10,2)":          {},
		"timestamp(3) with zone": {},
	} {
		if got := LimitsOf(sqlType); got != want {
			t.Errorf("%s: %+v, want %+v", sqlType, got, want)
		}
	}
}

// A V2 column that would not give back what is written is refused.
func TestColumnsThatChangeWhatIsWritten(t *testing.T) {
	type mood string
	for name, c := range map[string]struct {
		goType       reflect.Type
		sqlType, why string
	}{
		"cents":                   {reflect.TypeFor[json.RawMessage](), "numeric(10,2)", "rounds"},
		"whole":                   {reflect.TypeFor[json.RawMessage](), "DECIMAL (10)", "rounds"},
		"exact":                   {reflect.TypeFor[json.RawMessage](), "numeric", ""},
		"exact, as a plain text":  {reflect.TypeFor[string](), "numeric", "spelling"},
		"exact, as an integer":    {reflect.TypeFor[int64](), "numeric", "decimals"},
		"Number":                  {reflect.TypeFor[value.Number](), "text", ""},
		"Number, exact":           {reflect.TypeFor[value.Number](), "numeric", "digits"},
		"Number, short":           {reflect.TypeFor[value.Number](), "real", "digits"},
		"a double":                {reflect.TypeFor[float64](), "double precision", ""},
		"a double that is short":  {reflect.TypeFor[float64](), "float4", "rounds"},
		"a short float":           {reflect.TypeFor[float32](), "real", ""},
		"padded":                  {reflect.TypeFor[string](), "char(5)", "blanks"},
		"padded, in the catalog":  {reflect.TypeFor[string](), "character(5)", "blanks"},
		"limited":                 {reflect.TypeFor[string](), "character varying(5)", ""},
		"a date":                  {reflect.TypeFor[string](), "date", "spelling"},
		"a date with a type":      {reflect.TypeFor[json.RawMessage](), "date", ""},
		"a moment":                {reflect.TypeFor[time.Time](), "timestamptz", ""},
		"a moment, as plain text": {reflect.TypeFor[mood](), "timestamp with time zone", "spelling"},
		"a UUID":                  {reflect.TypeFor[string](), "uuid", "spelling"},
		"an integer":              {reflect.TypeFor[uint64](), "bigint", ""},
		"yes or no":               {reflect.TypeFor[bool](), "boolean", ""},
	} {
		column := Column{GoType: c.goType, Declared: c.sqlType, IsNumber: c.goType == reflect.TypeFor[value.Number]()}
		if why := column.Changes(c.sqlType); (why == "") != (c.why == "") || !strings.Contains(why, c.why) {
			t.Errorf("%s: %q, want %q", name, why, c.why)
		}
		column.IsKey = true
		if why := column.Changes(c.sqlType); why != "" {
			t.Errorf("%s: a key has V1's type, but %q", name, why)
		}
	}
}

func TestIdentical(t *testing.T) {
	type value struct {
		P  *string
		F  float64
		S  []int
		At time.Time
		M  map[string]any
	}
	empty, noon := "", time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		a, b value
		want bool
	}{
		"NULL and empty":          {value{}, value{P: &empty}, false},
		"two pointers":            {value{P: new("")}, value{P: &empty}, true},
		"0 and -0":                {value{}, value{F: math.Copysign(0, -1)}, false},
		"NaN":                     {value{F: math.NaN()}, value{F: math.NaN()}, true},
		"nil and empty slice":     {value{}, value{S: []int{}}, true},
		"slices of unequal order": {value{S: []int{1, 2}}, value{S: []int{2, 1}}, false},
		"the instant elsewhere":   {value{At: noon}, value{At: noon.In(time.FixedZone("", 3600))}, true},
		"another instant":         {value{At: noon}, value{At: noon.Add(1)}, false},
		"two maps":                {value{M: map[string]any{"a": []any{1.5, nil}}}, value{M: map[string]any{"a": []any{1.5, nil}}}, true},
		"nil and empty map":       {value{}, value{M: map[string]any{}}, false},
		"another member":          {value{M: map[string]any{"a": "1"}}, value{M: map[string]any{"b": "1"}}, false},
		"another type":            {value{M: map[string]any{"a": "1"}}, value{M: map[string]any{"a": 1.0}}, false},
		"one member more":         {value{M: map[string]any{"a": "1"}}, value{M: map[string]any{"a": "1", "b": "2"}}, false},
	} {
		if Identical(reflect.ValueOf(c.a), reflect.ValueOf(c.b)) != c.want {
			t.Errorf("%s: want %v", name, c.want)
		}
	}
}

// A time and a document differ as wholes: their inner fields are nobody's.
func TestFirstDifferenceInLeaves(t *testing.T) {
	type model struct {
		At  time.Time       `json:"at"`
		Doc json.RawMessage `json:"doc"`
	}
	a := model{Doc: json.RawMessage(`{"a":1}`)}
	if at := FirstDifference(&a, &model{Doc: json.RawMessage(`{"a":2}`)}); at != "doc" {
		t.Errorf("a document differs in %q", at)
	}
	if at := FirstDifference(&a, &model{At: time.Unix(1, 0), Doc: a.Doc}); at != "at" {
		t.Errorf("a time differs in %q", at)
	}
}
