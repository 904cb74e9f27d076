package main

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Without any of its guards the engine compiles, so that it is the guard's test which fails.
func TestTheEngineCompilesWithoutEachGuard(t *testing.T) {
	t.Parallel()
	const engine = "../../repo"
	set := token.NewFileSet()
	names, exports := compiled(t, engine)
	files := map[string]*ast.File{}
	for _, name := range names {
		parsed, err := parser.ParseFile(set, filepath.Join(engine, name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Join(engine, name)] = parsed
	}
	check := types.Config{Importer: importer.ForCompiler(set, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})}
	for _, g := range guardList {
		changed, err := edited(engine, edits[g.guard])
		if err != nil {
			t.Fatal(err)
		}
		without := maps.Clone(files)
		for name, text := range changed {
			if without[name], err = parser.ParseFile(set, name, text, 0); err != nil {
				t.Errorf("%s: %v", g.name, err)
			}
		}
		if _, err := check.Check("repo", set, slices.Collect(maps.Values(without)), nil); err != nil && len(changed) > 0 {
			t.Errorf("%s: %v", g.name, err)
		}
	}
}

// compiled names the files of a package that are compiled here, and the export data of what it imports.
func compiled(t *testing.T, folder string) (files []string, exports map[string]string) {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-trimpath", "-export", "-deps", "-f",
		`{{.ImportPath}} {{.Export}}{{if not .DepOnly}}{{range .GoFiles}} {{.}}{{end}}{{end}}`, ".")
	list.Dir = folder
	said, err := list.Output()
	if err != nil {
		t.Fatal(fmt.Errorf("go list: %w", err))
	}
	exports = map[string]string{}
	for line := range strings.Lines(string(said)) {
		if words := strings.Fields(line); len(words) > 1 {
			exports[words[0]] = words[1]
			files = words[2:]
		}
	}
	return files, exports
}

// What guardList says of where a guard is, is there.
func TestGuardsAreWhereTheListSays(t *testing.T) {
	t.Parallel()
	for _, g := range guardList {
		if _, ok := notTakenOut[g.guard]; ok {
			continue
		}
		var source []byte
		for word := range strings.FieldsSeq(strings.ReplaceAll(g.where, ",", " ")) {
			if strings.HasSuffix(word, ".go") {
				var err error
				if source, err = os.ReadFile(filepath.Join("../../repo", word)); err != nil {
					t.Errorf("%s: %v", g.name, err)
				}
				continue
			}
			receiver, name, method := strings.Cut(word, ".")
			declared := `(?m)^func (\([^)]*\) )?` + receiver + `[\[(]|^(const|var)?\s*` + receiver + ` +=`
			if method {
				declared = `(?m)^func \(\w+ \*?` + receiver + `(\[[^\]]*\])?\) ` + name + `[\[(]`
			}
			if !regexp.MustCompile(declared).Match(source) {
				t.Errorf("%s: %s is not in %s", g.name, word, g.where)
			}
		}
		for _, e := range edits[g.guard] {
			if !strings.Contains(g.where, e.file) {
				t.Errorf("%s: an edit is in %s, which %s does not name", g.name, e.file, g.where)
			}
		}
	}
}
