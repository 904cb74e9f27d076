package repo

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestNextBatchSize(t *testing.T) {
	for _, c := range []struct {
		size int
		took time.Duration
		want int
	}{
		{100, 0, 200},
		{100, batchTarget/2 - 1, 200},
		{100, batchTarget / 2, 100},
		{100, batchTarget, 100},
		{100, batchTarget + 1, 50},
		{1, time.Minute, 1},
		{maxBatch, 0, maxBatch},
		{maxBatch - 1, 0, maxBatch},
	} {
		if got := nextBatchSize(c.size, c.took); got != c.want {
			t.Errorf("a batch of %d that took %v is followed by one of %d, want %d", c.size, c.took, got, c.want)
		}
	}
}

func TestBackOff(t *testing.T) {
	waits := newBackOff()
	for try := 1; try < 100; try++ {
		if d := waits.NextBackOff(); d < 2*time.Millisecond || d > 500*time.Millisecond {
			t.Errorf("after %d tries: %v", try, d)
		}
	}
}

func TestLimitsOf(t *testing.T) {
	for sqlType, want := range map[string]limits{
		"smallint":               {min: -1 << 15, max: 1<<15 - 1, ranged: true},
		"INTEGER":                {min: -1 << 31, max: 1<<31 - 1, ranged: true},
		"bigint":                 {min: math.MinInt64, max: math.MaxInt64, ranged: true},
		"varchar(40)":            {runes: 40},
		"character varying(40)":  {runes: 40},
		"character(5)":           {runes: 5},
		"bpchar":                 {},
		"varchar":                {},
		"text":                   {},
		"numeric(10,2)":          {},
		"timestamp(3) with zone": {},
	} {
		if got := limitsOf(sqlType); got != want {
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
		"Number":                  {reflect.TypeFor[Number](), "text", ""},
		"Number, exact":           {reflect.TypeFor[Number](), "numeric", "digits"},
		"Number, short":           {reflect.TypeFor[Number](), "real", "digits"},
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
		column := column{goType: c.goType, declared: c.sqlType, isNumber: c.goType == reflect.TypeFor[Number]()}
		if why := column.changes(c.sqlType); (why == "") != (c.why == "") || !strings.Contains(why, c.why) {
			t.Errorf("%s: %q, want %q", name, why, c.why)
		}
		column.isKey = true
		if why := column.changes(c.sqlType); why != "" {
			t.Errorf("%s: a key has V1's type, but %q", name, why)
		}
	}
}

func TestClassifyKeepsWhatItDoesNotKnow(t *testing.T) {
	mine := errors.New("mine")
	for _, d := range []database{sqlite{}, postgres{}} {
		if err := d.classify(mine); err != nil {
			t.Errorf("%T: %v", d, err)
		}
	}
}

func TestIdentical(t *testing.T) {
	type value struct {
		P  *string
		F  float64
		S  []int
		At time.Time
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
	} {
		if Identical(c.a, c.b) != c.want {
			t.Errorf("%s: want %v", name, c.want)
		}
	}
}
