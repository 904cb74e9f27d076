package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A test is trimmed to what it needs, on the lines where it was.
func TestTrimmed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for name, text := range map[string]string{
		"a_test.go": "//go:build linux\n\npackage p_test\n\nimport (\n\t\"os\"\n\t\"strings\"\n\tv5 \"example.com/pgx/v5\"\n)\n\n" +
			"// A needs b.\nfunc TestA(t *T) { b(os.Args) }\n\nfunc TestB(t *T) { strings.Clone(v5.X) }\n",
		"b_test.go": "package p_test\n\nimport \"example.com/go-sqlite3\"\n\ntype c struct{}\n\nfunc (c) d() { sqlite3.E() }\n\nfunc b(x []string) { c{}.f() }\n\n" +
			"func init() { g() }\n\nfunc g() {}\n\nvar _ = c{}\n\ntype h struct{}\n\nfunc (h) f() {}\n",
		"c_test.go": "package p\n\nfunc (r *Real) F() {}\n\nfunc (r *Real) G() {}\n",
		"d_test.go": "package p_test\n\nfunc TestMain(m *M) { r.F() }\n",
		"e_test.go": "package p_test\n\nfunc TestE(t *T) {}\n",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := trimmed(folder, "TestA")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"a_test.go": "//go:build linux\n\npackage p_test\nimport \"os\"\n\n//line a_test.go:11\n// A needs b.\nfunc TestA(t *T) { b(os.Args) }\n",
		"b_test.go": "package p_test\nimport \"example.com/go-sqlite3\"\n\n//line b_test.go:5\ntype c struct{}\n\n//line b_test.go:7\nfunc (c) d() { sqlite3.E() }\n\n" +
			"//line b_test.go:9\nfunc b(x []string) { c{}.f() }\n\n//line b_test.go:11\nfunc init() { g() }\n\n//line b_test.go:13\nfunc g() {}\n",
		"c_test.go": "package p\n\n//line c_test.go:3\nfunc (r *Real) F() {}\n",
		"d_test.go": "package p_test\n\n//line d_test.go:3\nfunc TestMain(m *M) { r.F() }\n",
		"e_test.go": "",
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if name := filepath.Base(path); files[path] != want[name] {
			t.Errorf("%s is\n%s\nand should be\n%s", name, files[path], want[name])
		}
	}
	if len(files) != len(want) || strings.Contains(files[filepath.Join(folder, "b_test.go")], "h) f") {
		t.Error("a type that nothing names is kept")
	}
}
