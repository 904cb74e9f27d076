package repo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// codes are the codes of blockers, in their order.
func codes(blockers []Blocker) string {
	list := make([]string, len(blockers))
	for i, b := range blockers {
		list[i] = string(b.Code)
	}
	return strings.Join(list, " ")
}

// fitFor are facts about which nothing is wrong on the way from a phase to another.
func fitFor(from, to Phase) facts {
	return facts{
		entity: "NOTE", from: from, to: to, rehearsed: true, verified: true, capture: true,
		captureKept: true, restored: true,
	}
}

func TestBlockers(t *testing.T) {
	for name, c := range map[string]struct {
		from, to Phase
		change   func(*facts)
		want     string
	}{
		"rehearsed": {Expand, Migrate, func(*facts) {}, ""},
		"not rehearsed": {
			Expand, Migrate, func(f *facts) { f.rehearsed = false },
			"NOT_REHEARSED",
		},
		"EXPAND asks for no more": {
			Expand, Migrate,
			func(f *facts) { *f = facts{from: Expand, to: Migrate, rehearsed: true, remaining: 9} }, "",
		},
		"all is well": {Migrate, Cutover, func(*facts) {}, ""},
		"every row": {Migrate, Cutover, func(f *facts) {
			f.remaining, f.stale, f.quarantined = 1, 2, 3
		}, "UNMIGRATED STALE QUARANTINED"},
		"a copy under a tombstone": {Migrate, Cutover, func(f *facts) { f.tombstoned = 1 }, "STALE"},
		"not verified": {
			Migrate, Cutover, func(f *facts) { f.verified = false },
			"NOT_VERIFIED",
		},
		"not verified, nor captured": {Migrate, Cutover, func(f *facts) {
			f.verified, f.captureKept, f.bypass = false, false, 7
		}, "NOT_VERIFIED"},
		"verified but for some": {Migrate, Cutover, func(f *facts) { f.behind = 4 }, "NOT_VERIFIED"},
		"red": {
			Migrate, Cutover, func(f *facts) { f.drift, f.verified = 2, false },
			"DRIFT",
		},
		"bypass writes": {Migrate, Cutover, func(f *facts) { f.bypass = 2 }, "BYPASS_WRITES"},
		"capture is off": {Migrate, Cutover, func(f *facts) {
			f.capture, f.captureKept = false,
				false
		}, "CAPTURE_OFF"},
		"capture was off": {
			Migrate, Cutover, func(f *facts) { f.captureKept = false },
			"CAPTURE_OFF",
		},
		"MIGRATE asks for no order": {
			Migrate, Cutover,
			func(f *facts) { f.firstForward = []string{"COMMENT"} }, "",
		},
		"incomplete": {Cutover, Cutover, func(f *facts) {
			f.incomplete, f.stale, f.verified = true, 1, false
		}, "STALE NOT_VERIFIED"},
		"complete already": {Cutover, Cutover, func(f *facts) { f.verified = false }, ""},
		"to CONTRACT":      {Cutover, Contract, func(*facts) {}, ""},
		"to CONTRACT, incomplete": {Cutover, Contract, func(f *facts) {
			f.incomplete, f.remaining = true,
				1
		}, "UNMIGRATED"},
		"to CONTRACT, not verified": {
			Cutover, Contract, func(f *facts) { f.verified = false },
			"NOT_VERIFIED",
		},
		"to CONTRACT, red": {Cutover, Contract, func(f *facts) { f.drift = 1 }, "DRIFT"},
		"to CONTRACT, others first": {
			Cutover, Contract,
			func(f *facts) { f.firstForward = []string{"A", "B"} }, "REFERENCE",
		},
		"to CONTRACT, capture is off": {
			Cutover, Contract, func(f *facts) { f.capture, f.bypass = false, 3 },
			"CAPTURE_OFF",
		},
		"back from CONTRACT": {Contract, Cutover, func(*facts) {}, ""},
		"back from CONTRACT, not restored": {
			Contract, Cutover, func(f *facts) { f.restored = false },
			"V1_NOT_RESTORED",
		},
		"back from CONTRACT, badly restored": {
			Contract, Cutover, func(f *facts) { f.restoreFindings = 2 },
			"V1_NOT_RESTORED",
		},
		"back from CONTRACT, others first": {
			Contract, Cutover, func(f *facts) { f.firstBack = []string{"A"} },
			"REFERENCE",
		},
		"back to MIGRATE, whatever is wrong": {
			Cutover, Migrate,
			func(f *facts) { *f = facts{from: Cutover, to: Migrate, stale: 1, drift: 1, incomplete: true} }, "",
		},
		"back to EXPAND, whatever is wrong": {
			Migrate, Expand,
			func(f *facts) { *f = facts{from: Migrate, to: Expand, stale: 1, drift: 1} }, "",
		},
		"back from CONTRACT, drift is no word": {
			Contract, Cutover, func(f *facts) { f.drift, f.verified = 1, false },
			"",
		},
	} {
		f := fitFor(c.from, c.to)
		c.change(&f)
		found := f.blockers()
		if got := codes(found); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		for _, b := range found {
			if b.Count <= 0 || len(b.Message) < 20 {
				t.Errorf("%s: %+v", name, b)
			}
		}
	}
}

// What force does to each blocker.
func TestForceable(t *testing.T) {
	steps := [][2]Phase{
		{Expand, Migrate},
		{Migrate, Cutover},
		{Cutover, Cutover},
		{Cutover, Contract},
		{Contract, Cutover},
	}
	for code, want := range map[BlockerCode]string{
		NotRehearsed: "11111", NotVerified: "11111", Drift: "11111", BypassWrites: "11111", CaptureOff: "11111",
		Unmigrated: "01000", Stale: "01000", Quarantined: "01000",
		ReferenceOrder: "00000", V1NotRestored: "00000", "NEW": "00000",
	} {
		got := ""
		for _, s := range steps {
			got += map[bool]string{true: "1", false: "0"}[forceable(code, s[0], s[1])]
		}
		if got != want {
			t.Errorf("%s is forced at %s, want %s", code, got, want)
		}
	}
}

func TestMayPass(t *testing.T) {
	warned, lacking := fitFor(Migrate, Cutover), fitFor(Migrate, Cutover)
	warned.bypass = 1
	lacking.quarantined = 1
	both := fitFor(Cutover, Contract)
	both.verified, both.firstForward = false, []string{"COMMENT"}
	for name, c := range map[string]struct {
		f      facts
		force  bool
		reason *string
		want   string
	}{
		"open":                           {fitFor(Migrate, Cutover), false, nil, "<nil>"},
		"open, forced all the same":      {fitFor(Migrate, Cutover), true, nil, "<nil>"},
		"closed":                         {warned, false, new("why"), "*repo.GateClosedError"},
		"forced without a reason":        {warned, true, nil, "*repo.InputError"},
		"forced with a blank reason":     {warned, true, new(" \n"), "*repo.InputError"},
		"forced":                         {warned, true, new("why"), "<nil>"},
		"forced without rows":            {lacking, true, new("why"), "<nil>"},
		"one that force does not pass":   {both, true, new("why"), "*repo.GateClosedError"},
		"that one, and no reason either": {both, true, nil, "*repo.GateClosedError"},
	} {
		err := mayPass(c.f, c.force, c.reason)
		if got := fmt.Sprintf("%T", err); got != c.want {
			t.Errorf("%s: %s (%v), want %s", name, got, err, c.want)
		}
		if closed, ok := errors.AsType[*GateClosedError](err); ok && !slices.EqualFunc(closed.Blockers, c.f.blockers(),
			func(a, b Blocker) bool { return a.Code == b.Code }) {
			t.Errorf("%s: the error names %v", name, closed.Blockers)
		}
	}
}
