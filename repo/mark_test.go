package repo

import "testing"

func TestState(t *testing.T) {
	change := mark{Kind: markChange}
	gone := mark{Kind: markGone, Floor: 7}
	for name, c := range map[string]struct {
		state       state
		fresh, gone bool
		version     int64
	}{
		"nothing": {state{}, false, false, 1},
		"a copy":  {state{hasCopy: true, seq: 1, version: 4}, true, false, 4},
		"a stale copy": {
			state{hasCopy: true, version: 4, marks: []mark{change, change}},
			false,
			false, 6,
		},
		"changes without a copy":        {state{marks: []mark{change, change}}, false, false, 3},
		"a tombstone":                   {state{marks: []mark{gone}}, false, true, 8},
		"created again, in EXPAND":      {state{marks: []mark{gone, change}}, false, true, 9},
		"a copy under a tombstone":      {state{hasCopy: true, version: 4, marks: []mark{gone}}, false, true, 8},
		"a copy that outgrew its floor": {state{hasCopy: true, version: 9, marks: []mark{gone}}, false, true, 10},
		"a gap that the copy has seen": {state{
			hasCopy: true, version: 4, seen: allMarks{Stale: 1},
			all: allMarks{Stale: 1},
		}, true, false, 4},
		"a gap that the copy has not seen": {state{
			hasCopy: true, version: 4, seen: allMarks{Gone: 1},
			all: allMarks{Gone: 1, Stale: 1},
		}, false, false, 5},
		"TRUNCATE after the copy": {state{hasCopy: true, version: 4, all: allMarks{Gone: 1}}, false, true, 5},
		"TRUNCATE without a copy": {state{all: allMarks{Gone: 1}}, false, true, 2},
		"a gap, without a copy": {
			state{marks: []mark{gone, change}, all: allMarks{Stale: 1}},
			false, true,
			10,
		},
		"a gap, a copy under a tombstone": {state{
			hasCopy: true, version: 4, seen: allMarks{Stale: 1},
			marks: []mark{gone, change}, all: allMarks{Stale: 1},
		}, false, true, 10},
		"TRUNCATE before the copy": {state{
			hasCopy: true, version: 4, seen: allMarks{Gone: 1},
			all: allMarks{Gone: 1},
		}, true, false, 4},
	} {
		if c.state.fresh() != c.fresh || c.state.gone() != c.gone || c.state.currentVersion() != c.version {
			t.Errorf("%s: fresh %v, gone %v, version %d, want %v, %v, %d", name,
				c.state.fresh(), c.state.gone(), c.state.currentVersion(), c.fresh, c.gone, c.version)
		}
	}
}

// TestFoldedFloor: a fold changes no version, whatever marks of all keys there are.
func TestFoldedFloor(t *testing.T) {
	change := mark{Kind: markChange}
	for _, s := range []state{
		{marks: []mark{change, change}},
		{hasCopy: true, version: 4, marks: []mark{change, {Kind: markGone}}},
		{
			hasCopy: true, version: 4, seen: allMarks{Stale: 1}, marks: []mark{change, {Kind: markGone}},
			all: allMarks{Stale: 1},
		},
		{hasCopy: true, version: 40, seen: allMarks{Stale: 1}, all: allMarks{Gone: 1, Stale: 1}},
		{marks: []mark{{Kind: markGone, Floor: 7}, change}, all: allMarks{Gone: 1, Stale: 1}},
	} {
		folded := state{marks: []mark{{Kind: markGone, Floor: s.foldedFloor()}}, all: s.all}
		if folded.currentVersion() != s.currentVersion() {
			t.Errorf("%+v: version %d becomes %d", s, s.currentVersion(), folded.currentVersion())
		}
	}
}

// TestALateStoreLeavesTheVersion: who read a key before its last changes, and stores what it made of that after them,
// changes no version. Without seen in currentVersion, marks of all keys count twice.
func TestALateStoreLeavesTheVersion(t *testing.T) {
	change := mark{Kind: markChange, Bypass: true}
	gone := mark{Kind: markGone, Bypass: true}
	gaps := []allMarks{{}, {Stale: 1}, {Gone: 1, Stale: 1}, {Gone: 1, Stale: 2}}
	for name, c := range map[string]struct {
		read  state // what the storer saw
		later []mark
	}{
		"replaced twice":         {state{marks: []mark{gone, change}}, []mark{gone, change}},
		"changed, then replaced": {state{marks: []mark{change}}, []mark{gone, change}},
		"nothing, then replaced": {state{}, []mark{gone, change}},
		"a stale copy, then replaced": {state{
			hasCopy: true, version: 40, seen: allMarks{Stale: 1},
			marks: []mark{change},
		}, []mark{gone, change}},
		"changed twice": {state{marks: []mark{change}}, []mark{change}},
	} {
		for _, all := range gaps {
			read := c.read
			read.all = all
			before := read
			before.marks = append(append([]mark{}, read.marks...), c.later...)
			after := state{hasCopy: true, version: read.currentVersion(), seen: all, marks: c.later, all: all}
			if was, is := before.currentVersion(), after.currentVersion(); was != is {
				t.Errorf("%s, %+v: version %d becomes %d", name, all, was, is)
			}
		}
	}
}
