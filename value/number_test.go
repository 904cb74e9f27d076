package value_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/value"
)

func TestParseNumber(t *testing.T) {
	for text, want := range map[string]value.Number{
		"9.80000E+00": "9.8", "-0.00000e+00": "-0", "0": "0", "14.0": "14", "1e21": "1000000000000000000000",
		"12345678901234567.890": "12345678901234567.89",
		"0.30000000000000004":   "0.30000000000000004", "-0.00000000000000000000": "-0", "1.5e-3": "0.0015",
		"5.8381490816827864e-05": "0.000058381490816827863",
	} {
		if n, err := value.ParseNumber(text); err != nil || n != want {
			t.Errorf("%s is %s, %v, want %s", text, n, err, want)
		}
	}
	for _, text := range []string{"", "NaN", "+1", ".5", "1.", "01", "1e1000", "1,5", " 1", "0x1", "-"} {
		if n, err := value.ParseNumber(text); err == nil {
			t.Errorf("%q is %s", text, n)
		}
	}
}

// What a client may write is checked before anything is computed from it: an exponent can make a short text a long
// number.
func TestNumberFromGraphQL(t *testing.T) {
	for _, v := range []any{
		json.Number("1e999"), json.Number("1e-999"), json.Number("1e999999999"),
		json.Number("-1e-400"), math.NaN(), math.Inf(1), "1", true, nil, json.Number(strings.Repeat("9", 41)),
	} {
		n := value.Number("as it was")
		if err := n.UnmarshalGQLContext(t.Context(), v); err == nil || n != "as it was" {
			t.Errorf("%v is %s, %v", v, n, err)
		}
	}
	for v, want := range map[any]value.Number{
		json.Number("1.50"): "1.5", 7: "7", int64(-7): "-7", 0.1: "0.1",
		json.Number("0"): "0", json.Number("1e2"): "100", json.Number("12345678901234567.89"): "12345678901234567.89",
	} {
		var n value.Number
		if err := n.UnmarshalGQLContext(t.Context(), v); err != nil || n != want {
			t.Errorf("%v is %s, %v", v, n, err)
		}
	}
}
