package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A package's tests take the compiler most of a minute, and a guard needs one of them. So a guard's test is compiled
// with the declarations that it needs, and without the others.

// testFile is a file of tests.
type testFile struct {
	path, text string
	parsed     *ast.File
	kept       []ast.Decl
}

// trimmed returns the test files of a folder with only what a test needs, by path. Whatever shares a name with
// something that is needed is kept too. An empty text means that the file can go.
func trimmed(folder, test string) (map[string]string, error) {
	set := token.NewFileSet()
	paths, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		return nil, err
	}
	var files []*testFile
	for _, path := range paths {
		text, err := os.ReadFile(path) //nolint:gosec // of the repository
		if err != nil {
			return nil, err
		}
		parsed, err := parser.ParseFile(set, path, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, &testFile{path: path, text: string(text), parsed: parsed})
	}
	keepNeeded(files, test)
	texts := map[string]string{}
	for _, f := range files {
		texts[f.path] = f.trimmed(set)
	}
	return texts, nil
}

// keepNeeded keeps the declarations that a test needs, and those that these need.
func keepNeeded(files []*testFile, test string) {
	declared := map[string]bool{} // types of the tests
	for _, f := range files {
		for _, d := range f.parsed.Decls {
			if general, ok := d.(*ast.GenDecl); ok && general.Tok == token.TYPE {
				for _, name := range namesOf(d) {
					declared[name] = true
				}
			}
		}
	}
	needed, kept := map[string]bool{test: true, "TestMain": true, "init": true}, map[ast.Decl]bool{}
	for again := true; again; {
		again = false
		for _, f := range files {
			for _, d := range f.parsed.Decls {
				if kept[d] || !isNeeded(d, needed, declared) {
					continue
				}
				kept[d], again = true, true
				ast.Inspect(d, func(n ast.Node) bool {
					if name, ok := n.(*ast.Ident); ok {
						needed[name.Name] = true
					}
					return true
				})
			}
		}
	}
	for _, f := range files {
		f.kept = slices.DeleteFunc(slices.Clone(f.parsed.Decls), func(d ast.Decl) bool { return !kept[d] })
	}
}

// isNeeded reports whether a declaration has a name that is needed. A method of a type of the tests is needed if its
// type is, and another method if it is named itself.
func isNeeded(d ast.Decl, needed, declared map[string]bool) bool {
	if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil {
		if of := receiverOf(f); declared[of] {
			return needed[of]
		}
	}
	return slices.ContainsFunc(namesOf(d), func(name string) bool { return needed[name] })
}

// receiverOf names the type of a method's receiver.
func receiverOf(f *ast.FuncDecl) (name string) {
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && name == "" {
			name = id.Name
		}
		return name == ""
	})
	return name
}

// namesOf are the names that a declaration declares. Imports declare none, and are not kept as they are.
func namesOf(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		return []string{d.Name.Name}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				names = append(names, spec.Name.Name)
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					names = append(names, name.Name)
				}
			}
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "_" })
}

// trimmed is the file's text with what is kept. Each declaration says on which line it was.
func (f *testFile) trimmed(set *token.FileSet) string {
	if len(f.kept) == 0 {
		return ""
	}
	at := func(p token.Pos) int { return set.Position(p).Offset }
	var text strings.Builder
	text.WriteString(f.text[:at(f.parsed.Name.End())] + "\n") // with the constraints of the build
	mentioned := map[string]bool{}
	for _, d := range f.kept {
		ast.Inspect(d, func(n ast.Node) bool {
			if selector, ok := n.(*ast.SelectorExpr); ok {
				if of, ok := selector.X.(*ast.Ident); ok {
					mentioned[of.Name] = true
				}
			}
			return true
		})
	}
	for _, spec := range f.parsed.Imports {
		if imported(spec, mentioned) {
			fmt.Fprintf(&text, "import %s\n", f.text[at(spec.Pos()):at(spec.End())])
		}
	}
	for _, d := range f.kept {
		begin := d.Pos()
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Doc != nil {
				begin = d.Doc.Pos()
			}
		case *ast.GenDecl:
			if d.Doc != nil {
				begin = d.Doc.Pos()
			}
		}
		fmt.Fprintf(&text, "\n//line %s:%d\n%s\n", filepath.Base(f.path), set.Position(begin).Line,
			f.text[at(begin):at(d.End())])
	}
	return text.String()
}

var versions = regexp.MustCompile(`^v\d+$`)

// imported reports whether an import is mentioned, by its own name or by one that its path suggests.
func imported(spec *ast.ImportSpec, mentioned map[string]bool) bool {
	if spec.Name != nil {
		return spec.Name.Name == "_" || mentioned[spec.Name.Name]
	}
	parts := strings.Split(strings.Trim(spec.Path.Value, `"`), "/")
	last := parts[len(parts)-1]
	if versions.MatchString(last) && len(parts) > 1 {
		last = parts[len(parts)-2]
	}
	return mentioned[last] || mentioned[strings.TrimPrefix(last, "go-")]
}
