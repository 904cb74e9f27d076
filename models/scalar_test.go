package models

import (
	"encoding/json"
	"testing"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

// Decimals in their shortest form, and simple strings, are taken as they are: that must be what parsing them gives.
func TestWhatIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.SampledFrom([]rune("-+.0012345e"))).Draw(t, "text")
		if isShortest(text) {
			if d, err := decimal.NewFromString(text); err != nil || d.String() != text || !decimalForm.MatchString(text) {
				t.Errorf("%q is taken for a decimal in its shortest form, and is %v, %v", text, d, err)
			}
		}
		document := rapid.StringOf(rapid.SampledFrom([]rune(`"\u00-ä`+"\x00\x7f 1"))).Draw(t, "document")
		if got, simple := simpleString([]byte(document)); simple {
			var want string
			if err := json.Unmarshal([]byte(document), &want); err != nil || got != want {
				t.Errorf("%q is taken for %q, and is %q, %v", document, got, want, err)
			}
		}
	})
}
