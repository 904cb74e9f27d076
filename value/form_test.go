package value

import (
	"regexp"
	"testing"

	"pgregory.net/rapid"
)

// The form of a number is that of this regular expression, which would take most of the time of reading one.
func TestTheFormOfANumber(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$`)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.SampledFrom([]rune("-+.eE0012345x"))).Draw(t, "text")
		if got, want := hasNumberForm(text), form.MatchString(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	})
}
