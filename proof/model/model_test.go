package main

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestModel explores a part of what `make model` does.
func TestModel(t *testing.T) {
	var list []scenario
	for i, s := range scenarios() {
		if len(s.queues) == 2 && s.family != familyWalks && i%8 == 0 {
			list = append(list, s)
		}
	}
	r := exploreAll(list, noGuard)
	if r.violations > 0 {
		var b bytes.Buffer
		r.print(&b)
		t.Error(b.String())
	}
	t.Logf("%d scenarios, %d worlds", r.scenarios, r.worlds)
}

// TestGuardsAreMissed takes out the guards whose lack shows in small families of scenarios.
func TestGuardsAreMissed(t *testing.T) {
	for _, g := range guardList {
		if !slices.Contains([]string{familyRefused, familyMapping, familyUnknown}, g.families[0]) {
			continue
		}
		if r := withoutGuard(g); r.violations == 0 {
			t.Errorf("nothing misses %s (%s): %s", g.name, g.where, g.rule)
		}
	}
}

// TestEveryGuardIsListed keeps guards.go and guardlist.go in step.
func TestEveryGuardIsListed(t *testing.T) {
	listed := map[guard]bool{}
	for _, g := range guardList {
		if listed[g.guard] {
			t.Errorf("%s is listed twice", g.name)
		}
		listed[g.guard] = true
	}
	if len(listed) != int(guards)-1 {
		t.Errorf("%d of %d guards are listed", len(listed), guards-1)
	}
}

// TestEveryGuardCanBeTakenOut keeps edits.go in step with the engine and its tests.
func TestEveryGuardCanBeTakenOut(t *testing.T) {
	of := map[string]string{} // the text of all tests, by the folder that goes before their names
	for folder, files := range map[string]string{
		"":           "../../repo/*_test.go",
		"resolvers/": "../../resolvers/*_test.go",
	} {
		found, err := filepath.Glob(files)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			of[folder] += string(content)
		}
	}
	for _, g := range guardList {
		_, not := notTakenOut[g.guard]
		if folder, name := path.Split(tests[g.guard]); !not && !strings.Contains(of[folder], "func "+name+"(") {
			t.Errorf("%s: there is no %s", g.name, tests[g.guard])
		}
		if not == (len(edits[g.guard]) > 0) {
			t.Errorf("%s: is it taken out or not?", g.name)
		}
		if _, err := edited("../../repo", edits[g.guard]); err != nil {
			t.Errorf("%s: %v", g.name, err)
		}
	}
}
