package repo

import "testing"

func TestState(t *testing.T) {
	change := func(id int64) mark { return mark{ID: id, Kind: markChange} }
	gone := func(id, floor int64) mark { return mark{ID: id, Kind: markGone, Floor: floor} }
	for name, c := range map[string]struct {
		state       state
		fresh, gone bool
		version     int64
	}{
		"nothing":                          {state{}, false, false, 1},
		"a copy":                           {state{hasCopy: true, seq: 1, version: 4}, true, false, 4},
		"a stale copy":                     {state{hasCopy: true, version: 4, marks: []mark{change(1), change(2)}}, false, false, 6},
		"changes without a copy":           {state{marks: []mark{change(1), change(2)}}, false, false, 3},
		"a tombstone":                      {state{marks: []mark{gone(1, 7)}}, false, true, 8},
		"created again, in EXPAND":         {state{marks: []mark{gone(1, 7), change(2)}}, false, true, 9},
		"a copy under a tombstone":         {state{hasCopy: true, version: 4, marks: []mark{gone(1, 7)}}, false, true, 8},
		"a copy that outgrew its floor":    {state{hasCopy: true, version: 9, marks: []mark{gone(1, 7)}}, false, true, 10},
		"a gap that the copy has seen":     {state{hasCopy: true, version: 4, nullMark: 5, allMarks: []mark{{ID: 5, Kind: markAllStale}}}, true, false, 4},
		"a gap that the copy has not seen": {state{hasCopy: true, version: 4, nullMark: 4, allMarks: []mark{{ID: 5, Kind: markAllStale}}}, false, false, 5},
		"TRUNCATE after the copy":          {state{hasCopy: true, version: 4, allMarks: []mark{{ID: 5, Kind: markAllGone}}}, false, true, 5},
		"TRUNCATE without a copy":          {state{allMarks: []mark{{ID: 5, Kind: markAllGone}}}, false, true, 2},
		"a gap, without a copy":            {state{marks: []mark{gone(6, 7), change(7)}, allMarks: []mark{{ID: 5, Kind: markAllStale}}}, false, true, 10},
		"a gap, a copy under a tombstone":  {state{hasCopy: true, version: 4, nullMark: 5, marks: []mark{gone(6, 7), change(7)}, allMarks: []mark{{ID: 5, Kind: markAllStale}}}, false, true, 10},
		"TRUNCATE before the copy":         {state{hasCopy: true, version: 4, nullMark: 5, allMarks: []mark{{ID: 5, Kind: markAllGone}}}, true, false, 4},
	} {
		if c.state.fresh() != c.fresh || c.state.gone() != c.gone || c.state.currentVersion() != c.version {
			t.Errorf("%s: fresh %v, gone %v, version %d, want %v, %v, %d", name,
				c.state.fresh(), c.state.gone(), c.state.currentVersion(), c.fresh, c.gone, c.version)
		}
	}
}

// TestFoldedFloor: a fold changes no version, whatever marks of all keys there are.
func TestFoldedFloor(t *testing.T) {
	change := func(id int64) mark { return mark{ID: id, Kind: markChange} }
	gap, truncated := mark{ID: 5, Kind: markAllStale}, mark{ID: 9, Kind: markAllGone}
	for _, s := range []state{
		{marks: []mark{change(1), change(2)}},
		{hasCopy: true, version: 4, marks: []mark{change(1), {ID: 2, Kind: markGone}}},
		{hasCopy: true, version: 4, nullMark: 5, marks: []mark{change(6), {ID: 7, Kind: markGone}}, allMarks: []mark{gap}},
		{hasCopy: true, version: 40, nullMark: 5, allMarks: []mark{gap, truncated}},
		{marks: []mark{{ID: 3, Kind: markGone, Floor: 7}, change(7)}, allMarks: []mark{gap, truncated}},
	} {
		folded := state{marks: []mark{{ID: 10, Kind: markGone, Floor: s.foldedFloor()}}, allMarks: s.allMarks}
		if folded.currentVersion() != s.currentVersion() {
			t.Errorf("%+v: version %d becomes %d", s, s.currentVersion(), folded.currentVersion())
		}
	}
}

// TestALateStoreLeavesTheVersion: who read a key before its last changes, and stores what it made of that after them, changes
// no version. Without counted in currentVersion, marks of all keys count twice.
func TestALateStoreLeavesTheVersion(t *testing.T) {
	change := func(id int64) mark { return mark{ID: id, Kind: markChange, Bypass: true} }
	gone := func(id int64) mark { return mark{ID: id, Kind: markGone, Bypass: true} }
	gaps := []mark{{ID: 1, Kind: markAllStale}, {ID: 2, Kind: markAllGone}, {ID: 3, Kind: markAllStale}}
	for name, c := range map[string]struct {
		read  state // what the storer saw
		later []mark
	}{
		"replaced twice":              {state{marks: []mark{gone(10), change(11)}}, []mark{gone(12), change(13)}},
		"changed, then replaced":      {state{marks: []mark{change(10)}}, []mark{gone(12), change(13)}},
		"nothing, then replaced":      {state{}, []mark{gone(12), change(13)}},
		"a stale copy, then replaced": {state{hasCopy: true, version: 40, nullMark: 1, marks: []mark{change(10)}}, []mark{gone(12), change(13)}},
		"changed twice":               {state{marks: []mark{change(10)}}, []mark{change(12)}},
	} {
		for n := range len(gaps) + 1 {
			read := c.read
			read.allMarks = gaps[:n]
			before := read
			before.marks = append(append([]mark{}, read.marks...), c.later...)
			after := state{hasCopy: true, version: read.currentVersion(), nullMark: max(read.nullMark, read.highestAllMark()), marks: c.later, allMarks: gaps[:n]}
			if was, is := before.currentVersion(), after.currentVersion(); was != is {
				t.Errorf("%s, %d marks of all keys: version %d becomes %d", name, n, was, is)
			}
		}
	}
}
