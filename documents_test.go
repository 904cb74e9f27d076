package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The table of folders in CONTRIBUTING.md names every package, and what each imports.
func TestFoldersOfContributing(t *testing.T) {
	t.Parallel()
	const module = "github.com/alwaysup/coexist"
	document, err := os.ReadFile("CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...")
	said, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := json.NewDecoder(strings.NewReader(string(said)))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := packages.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		folder := strings.TrimPrefix(p.ImportPath, module+"/") + "/"
		if p.ImportPath == module {
			folder = "."
		}
		imports := []string{}
		for _, path := range p.Imports {
			if ours, ok := strings.CutPrefix(path, module+"/"); ok {
				imports = append(imports, "`"+ours+"`")
			}
		}
		slices.Sort(imports)
		want := strings.Join(imports, ", ")
		if want == "" {
			want = "nothing"
		}
		at := strings.Index(string(document), "\n| `"+folder+"` |")
		if at < 0 {
			t.Errorf("CONTRIBUTING.md does not name %s", folder)
			continue
		}
		line, _, _ := strings.Cut(string(document[at+1:]), "\n")
		if !strings.HasSuffix(line, "| "+want+" |") {
			t.Errorf("%s imports %s, but CONTRIBUTING.md says: %s", folder, want, line)
		}
	}
}
