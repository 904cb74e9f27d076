package repo_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// docs/architecture.md points to files of this package, and to functions in them, that are there.
func TestPointersOfTheArchitecture(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	pointers := regexp.MustCompile("`((?:[a-z]+/)*[a-z_0-9]+\\.go)(?::(?:(\\w+)\\.)?(\\w+))?`").FindAllSubmatch(document, -1)
	if len(pointers) < 20 {
		t.Fatalf("%d pointers", len(pointers))
	}
	for _, pointer := range pointers {
		file, receiver, name := string(pointer[1]), string(pointer[2]), string(pointer[3])
		source, err := os.ReadFile(filepath.FromSlash(file))
		if err != nil {
			source, err = os.ReadFile(filepath.Join("..", filepath.FromSlash(file)))
		}
		if err != nil {
			t.Errorf("%s is not there", file)
			continue
		}
		on := `(\([^)]*\) )?`
		if receiver != "" {
			on = `\(\w+ \*?` + receiver + `\) `
		}
		declared := regexp.MustCompile(`(?m)^func ` + on + name + `[\[(]|^(type|const|var)?\s*` + name + ` `)
		if name != "" && !declared.Match(source) {
			t.Errorf("%s has no %s %s", file, receiver, name)
		}
	}
}
