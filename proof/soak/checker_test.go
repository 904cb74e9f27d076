package soak

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/alwaysup/coexist/repo"
)

// TestChecker plants each kind of anomaly in a history, beside one that is as it should be.
func TestChecker(t *testing.T) {
	first := value{Title: 1, Prio: 2, Tags: 3}
	pinned := first.with(set{kept, kept, kept, 4})
	start := state{exists: true, value: pinned, refined: true, version: 7, exact: true, phase: repo.Migrate}
	v1 := func(v value) output { return output{value: v.lineV1("NOTE", "A")} }
	v2 := func(v value, version int64) output {
		return output{value: v.lineV2("NOTE", "A"), version: version, refined: true}
	}
	title := set{5, kept, kept, kept}
	changed := pinned.with(title)
	torn := value{Title: 1, Prio: 2, Tags: 9}
	type step struct {
		verb verb
		set  set
		out  output
		// concurrent steps overlap the one before.
		concurrent bool
		to         repo.Phase
		expected   int64
	}
	gone := output{code: notFound}
	for name, c := range map[string]struct {
		steps []step
		want  porcupine.CheckResult
	}{
		"a write and reads of both shapes": {[]step{
			{verb: updateV1, set: title, out: v1(changed)},
			{verb: getV2, out: v2(changed, 8)},
			{verb: getV1, out: v1(changed)},
		}, porcupine.Ok},
		"lost update": {
			[]step{{verb: updateV2, set: title, out: v2(changed, 8)}, {verb: getV2, out: v2(pinned, 8)}},
			porcupine.Illegal,
		},
		"a read that overlaps the write": {[]step{
			{verb: updateV2, set: title, out: v2(changed, 8)}, {verb: getV2, out: v2(pinned, 7), concurrent: true},
		}, porcupine.Ok},
		"resurrection": {[]step{
			{verb: remove, set: keepAll},
			{verb: getV2, out: gone},
			{verb: getV2, out: v2(pinned, 7)},
		}, porcupine.Illegal},
		"lost pin": {[]step{
			{verb: updateV1, set: title, out: v1(changed)},
			{verb: getV2, out: v2(changed.with(set{kept, kept, kept, 0}), 8)},
		}, porcupine.Illegal},
		"torn aggregate": {[]step{{verb: getV1, out: v1(torn)}}, porcupine.Illegal},
		"half a write": {[]step{
			{verb: updateV2, set: title, out: v2(changed, 8)},
			{verb: getV1, out: v1(pinned)},
		}, porcupine.Illegal},
		"version falls": {[]step{{verb: getV2, out: v2(pinned, 6)}}, porcupine.Illegal},
		"version stays": {[]step{
			{verb: updateV1, set: title, out: v1(changed)},
			{verb: getV2, out: v2(changed, 7)},
		}, porcupine.Illegal},
		"version expected": {
			[]step{{verb: updateV2, set: title, expected: 6, out: v2(changed, 8)}},
			porcupine.Illegal,
		},
		"version refused": {
			[]step{{verb: updateV2, set: title, expected: 6, out: output{code: staleVersion}}},
			porcupine.Ok,
		},
		"a phase is taken back": {
			[]step{{verb: setPhase, to: repo.Cutover}, {verb: lookAtPhase, to: repo.Migrate}},
			porcupine.Illegal,
		},
		"a phase is kept": {
			[]step{{verb: setPhase, to: repo.Cutover}, {verb: lookAtPhase, to: repo.Cutover}},
			porcupine.Ok,
		},
		"V2 is open in EXPAND": {[]step{
			{verb: setPhase, to: repo.Expand}, {verb: updateV2, set: title, out: v2(changed, 8)},
		}, porcupine.Illegal},
		"V2 is not open in MIGRATE": {
			[]step{{verb: updateV2, set: title, out: output{code: notOpen}}},
			porcupine.Illegal,
		},
		"an old program writes past MIGRATE": {[]step{
			{verb: setPhase, to: repo.Cutover}, {verb: bypassUpdate, set: title, out: output{rows: 1}},
		}, porcupine.Illegal},
		"an old program is rejected in MIGRATE": {
			[]step{{verb: bypassUpdate, set: title, out: output{code: rejected}}},
			porcupine.Illegal,
		},
		"an old program's write is not seen": {[]step{
			{verb: bypassUpdate, set: title, out: output{rows: 1}},
			{verb: getV2, out: v2(pinned, 7)},
		}, porcupine.Illegal},
		"an old program's write is seen": {[]step{
			{verb: bypassUpdate, set: title, out: output{rows: 1}},
			{verb: getV2, out: v2(changed, 9)},
		}, porcupine.Ok},
		"an unknown write may have happened": {[]step{
			{verb: updateV1, set: title, out: output{code: unknown}},
			{verb: getV2, out: v2(changed, 8)},
		}, porcupine.Ok},
		"an unknown write may happen later": {[]step{
			{verb: updateV1, set: title, out: output{code: unknown}},
			{verb: getV2, out: v2(pinned, 7)},
			{verb: getV2, out: v2(changed, 8)},
		}, porcupine.Ok},
		"an unknown write happens once": {[]step{
			{verb: updateV1, set: title, out: output{code: unknown}},
			{verb: getV2, out: v2(changed, 8)},
			{verb: getV2, out: v2(pinned, 9)},
		}, porcupine.Illegal},
		"created again below its version": {[]step{
			{verb: remove, set: keepAll}, {verb: createV2, set: set{1, 2, 3, 4}, out: v2(pinned, 7)},
		}, porcupine.Illegal},
	} {
		var events []event
		for i, s := range c.steps {
			e := event{
				in:  input{entity: "NOTE", key: "A", verb: s.verb, set: s.set, to: s.to, expected: s.expected},
				out: s.out, call: int64(10 * i), ret: int64(10*i + 5),
			}
			if s.concurrent {
				e.call -= 9
			}
			if s.out.code == unknown {
				e.ret = never
			}
			events = append(events, e)
		}
		if got := check(start, events, time.Minute); got != c.want {
			t.Errorf("%s: %s, want %s:\n%s", name, got, c.want, lines(events))
		}
	}
}

// TestShorten leaves of a long history what makes it impossible.
func TestShorten(t *testing.T) {
	var events []event
	at := int64(0)
	add := func(verb verb, s set, out output) {
		e := event{in: input{entity: "NOTE", key: "A", verb: verb, set: s}, out: out, call: at, ret: at + 5}
		if out.code == unknown {
			e.ret = never
		}
		events = append(events, e)
		at += 10
	}
	reads := func(title int) {
		for range 100 {
			add(getV1, keepAll, output{value: value{Title: title}.lineV1("NOTE", "A")})
		}
	}
	write := func(title int) {
		add(updateV1, set{title, kept, kept, kept}, output{value: value{Title: title}.lineV1("NOTE", "A")})
	}
	add(createV1, set{1, 0, 0, 0}, output{value: value{Title: 1}.lineV1("NOTE", "A")})
	reads(1)
	for title := range 50 {
		write(title + 2)
	}
	reads(51)
	add(updateV2, set{99, kept, kept, kept}, output{code: unknown})
	write(52)
	reads(52)
	add(getV1, keepAll, output{value: value{Title: 51}.lineV1("NOTE", "A")})
	reads(52)
	short := shorten(state{phase: repo.Migrate}, events, time.Minute)
	if got := lines(short.events); len(short.events) != 3 || !strings.Contains(got, "UNKNOWN") ||
		!strings.Contains(got, "T51") {
		t.Errorf("%d operations are left:\n%s", len(short.events), got)
	}
	if short.state.value.Title != 51 || len(short.before) != 251 {
		t.Errorf("%d operations lead to %+v", len(short.before), short.state)
	}
}

// TestParse finds every value in its line.
func TestParse(t *testing.T) {
	for i := range 50 {
		v := value{Title: i + 1, Prio: i % 10, Tags: i % 3, Extra: i % 4}
		if got, ok := parse("NOTE", "A", v.lineV2("NOTE", "A")); !ok || got != v {
			t.Errorf("%+v becomes %+v", v, got)
		}
		v = value{Title: i + 1, Prio: i % (len(noteKeys) + 1), Extra: i % 4}
		if got, ok := parse("COMMENT", strconv.Itoa(i), v.lineV2("COMMENT", "")); !ok || got != v {
			t.Errorf("%+v becomes %+v", v, got)
		}
	}
	if _, ok := parse("NOTE", "A", "T1/h2 b1 0 [] NULL"); ok {
		t.Error("a torn line is taken for whole")
	}
}
