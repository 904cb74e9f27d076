package soak

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// impossible is the part of a history that no order explains, and what led to it.
type impossible struct {
	before []event // what was done until then, which is possible, in the order of the questions
	state  state   // of the key after that
	events []event
}

// String shows what is impossible, after the last of what led to it.
func (i impossible) String() string {
	const most = 15
	var b strings.Builder
	if n := len(i.before); n > 0 {
		fmt.Fprintf(&b, "What led to it, the last %d of %d operations, which is possible:\n%s", min(n, most), n,
			lines(i.before[max(0, n-most):]))
	}
	fmt.Fprintf(&b, "Then the key is %+v, and this is impossible:\n%s", i.state, lines(i.events))
	return b.String()
}

// answer describes the last answer: without it, nothing would be impossible yet.
func (i impossible) answer() string {
	var last event
	for _, e := range i.events {
		if e.ret != never && e.ret > last.ret {
			last = e
		}
	}
	return describe(last.in, last.out)
}

// shorten returns a short part of a history that is impossible by itself: its shortest start that is, from the last
// moment on at which the key was in one state for sure, without the reads and refusals that do not matter. (Leaving out
// a read, or what did nothing, never makes a history impossible.)
func shorten(initial state, events []event, patience time.Duration) impossible {
	sorted := slices.Clone(events)
	slices.SortStableFunc(sorted, func(a, b event) int { return cmp.Compare(a.call, b.call) })
	var ends []int64
	for _, e := range sorted {
		if e.ret != never {
			ends = append(ends, e.ret)
		}
	}
	slices.Sort(ends)
	illegal := func(initial state, events []event) bool { return check(initial, events, patience) == porcupine.Illegal }
	shortest := sort.Search(len(ends), func(i int) bool { return illegal(initial, until(sorted, ends[i])) })
	if shortest == len(ends) {
		return impossible{state: initial, events: sorted}
	}
	short := later(initial, until(sorted, ends[shortest]), patience)
	for i := 0; i < len(short.events); {
		e := short.events[i]
		if e.in.verb.reads() || e.out.code != "" && e.out.code != unknown || strings.HasPrefix(string(e.in.verb),
			"bypass") && e.out.code == "" && e.out.rows == 0 {
			if without := slices.Delete(slices.Clone(short.events), i, i+1); illegal(short.state, without) {
				short.events = without
				continue
			}
		}
		i++
	}
	return short
}

// later lets an impossible history begin as late as it can: at a moment at which every answer was given and the key was
// in one state, whatever the order of what had been done. What was never answered may still happen after it.
func later(initial state, events []event, patience time.Duration) impossible {
	deadline := time.Now().Add(5 * patience)
	for i := len(events) - 1; i > 0 && time.Now().Before(deadline); i-- {
		now := events[i].call
		var before, after []event
		underway := false
		for _, e := range events {
			switch {
			case e.call >= now:
				after = append(after, e)
			case e.ret < now:
				before = append(before, e)
			case e.ret == never:
				before, after = append(before, e), append(after, e)
			default:
				underway = true
			}
		}
		if underway {
			continue
		}
		if s, ok := onlyState(initial, before, now, patience); ok && check(s, after, patience) == porcupine.Illegal {
			return impossible{before: before, state: s, events: after}
		}
	}
	return impossible{state: initial, events: events}
}

// onlyState is the state of a key at a moment at which all that was answered is done. It is false where there may be
// several.
func onlyState(initial state, before []event, now int64, patience time.Duration) (state, bool) {
	const look verb = "look at the state"
	var found any // the state that does not count any more
	m := model(initial)
	step := m.Step
	m.Step = func(s, in, out any) (bool, any) {
		if in.(input).verb == look {
			return s != found, s
		}
		return step(s, in, out)
	}
	history := operations(append(slices.Clone(before), event{in: input{verb: look}, call: now, ret: now}))
	result, order := porcupine.CheckOperationsVerbose(m, history, patience)
	if result != porcupine.Ok {
		return state{}, false
	}
	var s any = initial
	for _, o := range order.PartialLinearizationsOperations()[0][0] {
		if o.Input.(input).verb == look {
			break
		}
		_, s = step(s, o.Input, o.Output)
	}
	found = s
	return s.(state), porcupine.CheckOperationsTimeout(m, history, patience) == porcupine.Illegal
}

// until is a history as it was known at a time.
func until(events []event, end int64) []event {
	var known []event
	for _, e := range events {
		switch {
		case e.call > end:
			continue
		case e.ret > end && e.in.verb.reads():
			continue
		case e.ret > end:
			e.ret, e.out = never, output{code: unknown}
		}
		known = append(known, e)
	}
	return known
}
