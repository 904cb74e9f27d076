package repo

import "testing"

func TestFill(t *testing.T) {
	t.Parallel()
	for template, want := range map[string]string{
		"SELECT 1":                  "SELECT 1",
		"{a}{b}, {a}":               "1{a}, 1", // what was put there is not looked at again
		"'{}' {\"x\": 1} {a":        "'{}' {\"x\": 1} {a",
		"SELECT\n\t\t{a}\n\tFROM x": "SELECT 1 FROM x",
	} {
		if got := fill(template, "a", "1", "b", "{a}"); got != want {
			t.Errorf("%q is filled as %q, want %q", template, got, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a name that is not known is filled")
		}
	}()
	fill("{c}", "a", "1")
}
