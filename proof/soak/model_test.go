package soak

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/alwaysup/coexist/repo"
)

// event is one operation on one key, with when it was asked for and when it was answered, by the parent's clock.
type event struct {
	who       string // which client, in which process
	in        input
	out       output
	call, ret int64
}

// never is the answer time of an operation that was not answered: it may take effect at any later time, or not at all.
const never = math.MaxInt64

type input struct {
	entity, key string
	verb        verb
	set         set
	expected    int64 // version, 0 for any
	to          repo.Phase
}

type output struct {
	code    code
	value   string
	version int64
	refined bool
	rows    int64 // of an old program's write
}

// state is what one key is, over both shapes: all that a client can find out about it, and no more.
type state struct {
	exists    bool
	value     value // of which Extra is what V2 alone knows: V1-shaped writes keep it, delete and create lose it
	refined   bool  // by a V2-shaped write since it was created
	version   int64 // of which the key is, or was when it was deleted
	exact     bool  // else the version is that or higher
	phase     repo.Phase
	restoring bool
	gap       bool // capture was off while V2 led: the versions of copies that are stale by that grow on the way back
}

// model is the specification of one key, for the checker. A step says whether an operation may have had its outcome in
// a state, and what the state is then.
func model(initial state) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return initial },
		Step: func(s, in, out any) (bool, any) {
			return s.(state).step(in.(input), out.(output))
		},
		Equal: func(a, b any) bool { return a.(state) == b.(state) },
		DescribeOperation: func(in, out any) string {
			return describe(in.(input), out.(output))
		},
	}
}

func (s state) step(in input, out output) (bool, state) {
	if out.code == unknown {
		// Whether it could have happened in this state is what counts; if it could not, it did nothing, perhaps later.
		if after, ok := s.after(in); ok {
			return true, after
		}
		return true, s
	}
	switch in.verb {
	case setPhase:
		return true, s.enter(in.to)
	case lookAtPhase:
		return in.to == s.phase, s
	case restoring:
		s.restoring = true
		return true, s
	case restoringVoid:
		s.restoring = false
		return true, s
	case captureGap:
		s.exact, s.gap = false, s.gap || s.leads()
		return true, s
	case getV1, listV1:
		if !s.exists {
			return out.code == notFound, s
		}
		return out.code == "" && out.value == s.value.lineV1(in.entity, in.key), s
	case getV2, listV2:
		if !s.exists {
			return out.code == notFound, s
		}
		if !s.value.convertible(in.entity) {
			return out.code == conversionFailed, s
		}
		return s.answers(in, out)
	case bypassInsert, bypassUpdate, bypassDelete, bypassReplace:
		return s.bypass(in, out)
	case bypassTruncate:
		return !s.leads(), s.gone()
	default:
		return s.write(in, out)
	}
}

func (v value) convertible(entity string) bool { return entity == "COMMENT" || v.Prio != bad }

// answers holds a V2-shaped answer against the state, which learns the version of it.
func (s state) answers(in input, out output) (bool, state) {
	if out.code != "" || out.value != s.value.lineV2(in.entity, in.key) || out.refined != s.refined ||
		!s.may(out.version) {
		return false, s
	}
	s.version, s.exact = out.version, true
	return true, s
}

// may says whether the version could be this one.
func (s state) may(version int64) bool {
	return version == s.version || !s.exact && version > s.version
}

// leads says whether V2 is the truth.
func (s state) leads() bool { return s.phase == repo.Cutover || s.phase == repo.Contract }

// tooLong says whether V1 must be able to hold what is written, and cannot.
func (s state) tooLong(v value) bool {
	return v.Title >= long && (s.phase != repo.Contract || s.restoring)
}

// after is the state after a write that succeeded. It is false where the write cannot succeed.
func (s state) after(in input) (state, bool) {
	switch in.verb {
	case setPhase:
		return s.enter(in.to), true
	case restoring:
		s.restoring = s.phase == repo.Contract
		return s, true
	case restoringVoid:
		s.restoring = false
		return s, true
	case captureGap:
		s.exact, s.gap = false, s.gap || s.leads()
		return s, true
	case bypassTruncate:
		return s.gone(), !s.leads()
	case createV1, createV2, bypassInsert:
		bypass := in.verb == bypassInsert
		if s.exists || bypass && s.leads() || in.verb == createV2 && s.phase == repo.Expand {
			return s, false
		}
		s.value = value{}.with(in.set)
		if in.verb != createV2 {
			s.value.Extra = 0
		}
		if !s.value.convertible(in.entity) && s.leads() || s.tooLong(s.value) && !bypass {
			return s, false
		}
		s.exists, s.refined, s.version, s.exact = true, in.verb == createV2, s.version+1, false
		return s, true
	case updateV1, updateV2:
		if !s.exists || in.verb == updateV2 && (s.phase == repo.Expand || !s.value.convertible(in.entity) ||
			in.expected != 0 && !s.may(in.expected)) {
			return s, false
		}
		if in.expected != 0 {
			s.version, s.exact = in.expected, true
		}
		changed := s.value.with(in.set)
		if changed == s.value {
			return s, true
		}
		if !changed.convertible(in.entity) && s.leads() || s.tooLong(changed) {
			return s, false
		}
		s.value, s.version = changed, s.version+1
		s.refined = s.refined || in.verb == updateV2
		return s, true
	case remove, bypassDelete:
		if !s.exists || in.verb == bypassDelete && s.leads() || in.expected != 0 && !s.may(in.expected) {
			return s, false
		}
		if in.expected != 0 {
			s.version = in.expected
		}
		return s.gone(), true
	case bypassUpdate:
		if !s.exists || s.leads() || in.set.Tags > 0 && in.set.Title == kept && in.set.Prio == kept &&
			s.value.Tags == 0 {
			return s, false
		}
		s.value, s.version, s.exact = s.value.with(in.set), s.version+1, false
		return s, true
	case bypassReplace:
		if !s.exists || s.leads() {
			return s, false
		}
		version := s.version
		s = s.gone()
		s.exists, s.value, s.version = true, value{}.with(in.set), version+1
		s.value.Extra = 0
		return s, true
	}
	return s, false
}

// enter is the state in another phase.
func (s state) enter(phase repo.Phase) state {
	if s.phase == phase {
		return s
	}
	s.phase, s.restoring = phase, false
	if s.gap && !s.leads() {
		s.gap, s.exact = false, false
	}
	return s
}

// gone is the state after a delete.
func (s state) gone() state {
	return state{version: s.version, phase: s.phase, restoring: s.restoring, gap: s.gap}
}

// write says whether a client's write may have had its outcome.
func (s state) write(in input, out output) (bool, state) {
	after, possible := s.after(in)
	switch out.code {
	case "":
		if !possible {
			return false, s
		}
		switch in.verb {
		case createV1, updateV1:
			return out.value == after.value.lineV1(in.entity, in.key), after
		case createV2, updateV2:
			return after.answers(in, out)
		}
		return true, after
	case notFound:
		return !s.exists && (in.verb != updateV2 || s.phase != repo.Expand), s
	case alreadyExists:
		return s.exists, s
	case notOpen:
		return s.phase == repo.Expand, s
	case staleVersion:
		return s.exists && in.expected != 0 && (!s.exact || in.expected != s.version), s
	case conflict:
		return s.exists && in.entity == "NOTE", s // a comment refers to it: other keys' histories, and SQL, tell more
	case conversionFailed:
		wanted := s.value.with(in.set)
		if in.verb == updateV2 {
			return s.exists && !s.value.convertible(in.entity), s
		}
		return s.leads() && !wanted.convertible(in.entity), s
	case refused:
		wanted := s.value.with(in.set)
		// a note that is not there
		return s.tooLong(wanted) || in.entity == "COMMENT" && (in.set.Prio > 0 || s.restoring && wanted.Prio > 0), s
	default:
		return false, s
	}
}

// bypass says the same of an old program's write.
func (s state) bypass(in input, out output) (bool, state) {
	if s.leads() {
		return out.code != "" || out.rows == 0, s // V1's rows are not the truth, and nobody can change them
	}
	after, possible := s.after(in)
	switch {
	case out.code == alreadyExists:
		return s.exists, s
	case out.code != "":
		return false, s
	case out.rows == 0:
		return !possible, s
	default:
		return possible, after
	}
}

func describe(in input, out output) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s", in.verb, in.entity, in.key)
	if in.to != "" {
		fmt.Fprintf(&b, " to %s", in.to)
	}
	if in.set != keepAll && in.set != (set{}) {
		fmt.Fprintf(&b, " %+v", in.set)
	}
	if in.expected != 0 {
		fmt.Fprintf(&b, " if version %d", in.expected)
	}
	fmt.Fprintf(&b, " -> %s", out.code)
	if out.value != "" {
		fmt.Fprintf(&b, "%q", out.value)
	}
	if out.version != 0 {
		fmt.Fprintf(&b, " version %d refined %v", out.version, out.refined)
	}
	if strings.HasPrefix(string(in.verb), "bypass") && out.code == "" {
		fmt.Fprintf(&b, "%d rows", out.rows)
	}
	return b.String()
}

// check holds the history of one key against the model. A check that takes too long is Unknown.
func check(initial state, events []event, patience time.Duration) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(model(initial), operations(events), patience)
}

func operations(events []event) []porcupine.Operation {
	operations := make([]porcupine.Operation, len(events))
	for i, e := range events {
		operations[i] = porcupine.Operation{ClientId: i, Input: e.in, Call: e.call, Output: e.out, Return: e.ret}
	}
	return operations
}
