package repo

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// docs/architecture.md has a table of what may block each step. It is what the gate says where all is wrong.
func TestGateTableOfTheArchitecture(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| ([A-Z]+)(, incomplete)? → ([A-Z]+) \| ([A-Z0-9_, ]+) \|$`).
		FindAllSubmatch(document, -1)
	if len(rows) != 5 {
		t.Fatalf("%d steps", len(rows))
	}
	for _, row := range rows {
		from, incomplete, to := Phase(row[1]), len(row[2]) > 0, Phase(row[3])
		told := strings.Split(string(row[4]), ", ")
		slices.Sort(told)
		if said := everyBlocker(from, to, incomplete); !slices.Equal(said, told) {
			t.Errorf("from %s to %s the gate may say %v, the table has %v", from, to, said, told)
		}
	}
}

// everyBlocker returns the codes of all blockers that a gate can have, sorted.
func everyBlocker(from, to Phase, incomplete bool) []string {
	wrong := facts{
		from: from, to: to, incomplete: incomplete, remaining: 1, stale: 1, quarantined: 1, logic: []string{"a"},
		lackingKeys:  []string{"t"},
		firstForward: []string{"A"}, firstBack: []string{"B"},
	}
	unfit, drifted, bypassed, hidden := wrong, wrong, wrong, wrong
	unfit.rehearsed, unfit.rehearsedRows, unfit.unfit = true, 1, 1
	drifted.drift = 1
	bypassed.verified, bypassed.bypass = true, 1
	hidden.hidden = []string{"t"}
	var codes []string
	for _, f := range []facts{wrong, unfit, drifted, bypassed, hidden} {
		for _, b := range f.blockers() {
			codes = append(codes, string(b.Code))
		}
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}
