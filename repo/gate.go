package repo

import (
	"fmt"
	"slices"
	"strings"
)

// BlockerCode says what kind of thing blocks a step to another phase.
type BlockerCode string

// The blockers. forceable says which of them force passes.
const (
	// NotRehearsed: no rehearsal has succeeded.
	NotRehearsed BlockerCode = "NOT_REHEARSED"
	// Unmigrated: V1 rows without a copy.
	Unmigrated BlockerCode = "UNMIGRATED"
	// Stale: rows that changed without their copy.
	Stale BlockerCode = "STALE"
	// Quarantined: rows that cannot be converted.
	Quarantined BlockerCode = "QUARANTINED"
	// NotVerified: no verification of this phase has looked at every row and found nothing.
	NotVerified BlockerCode = "NOT_VERIFIED"
	// Drift: a verification has found differences, and no newer one is clean.
	Drift BlockerCode = "DRIFT"
	// BypassWrites: other programs have written to V1 since the newest clean verification began.
	BypassWrites BlockerCode = "BYPASS_WRITES"
	// CaptureOff: capture is off, or was off or had a gap since the newest clean verification began.
	CaptureOff BlockerCode = "CAPTURE_OFF"
	// ReferenceOrder: an entity that refers to this one, or one to which this one refers, has to take the step first.
	// On the way to CONTRACT it is also a warning, which force passes: tables that belong to no entity have rows that
	// refer to V1's.
	ReferenceOrder BlockerCode = "REFERENCE"
	// HiddenRows: row-level security may hide rows from the server's role.
	HiddenRows BlockerCode = "HIDDEN_ROWS"
	// V1Logic: V1 itself does or enforces something that stops working at the step. A warning, which force passes.
	V1Logic BlockerCode = "V1_LOGIC"
	// ChildKeys: V2's child tables lack their foreign keys, and the server's role may not add them; or these are being
	// validated still.
	ChildKeys BlockerCode = "CHILD_KEYS"
	// V1NotRestored: V1 has not been rebuilt from V2.
	V1NotRestored BlockerCode = "V1_NOT_RESTORED"
)

// Blocker is something that blocks a step to another phase, and what to do about it.
type Blocker struct {
	Code  BlockerCode `json:"code"`
	Count int64       `json:"count"`
	// Message says what is wrong and how to resolve it.
	Message string `json:"message"`
	// ExampleKey is the key of one such row, nil where the blocker is not about rows.
	ExampleKey *string `json:"exampleKey,omitempty"`

	warning bool // force passes this one, whatever its code
}

// facts are the input of a gate's decision.
type facts struct {
	entity     string
	from, to   Phase
	incomplete bool
	rehearsed  bool
	// How many rows the newest rehearsal looked at, and how many of them it could not convert.
	rehearsedRows, unfit int64
	seeds                int64 // seeds that had left no marks when rows were counted
	generation           int64 // of the capture, when rows were counted
	// Rows.
	remaining, stale, quarantined, tombstoned, orphans                                   int64
	remainingExample, staleExample, quarantinedExample, tombstonedExample, orphanExample *string
	// Verification.
	verified     bool  // a clean verification of this phase
	behind       int64 // rows that it could not compare, because they had no fresh copy
	drift        int64 // differences found by a later verification, or by the only one
	driftExample *string
	bypass       int64 // since the clean verification began
	capture      bool  // now
	captureKept  bool  // since the clean verification began
	// Other entities, and tables that belong to no entity.
	firstForward, firstBack, referrers []string
	hidden                             []string // tables whose rows may be hidden
	logic                              []string // what V1 does by itself and what ends with the step
	lackingKeys, addable               []string // V2's child tables without a foreign key; addable by the step itself
	// Restore.
	restored        bool
	restoreFindings int64
	restoreExample  *string
}

// blockers decides what blocks the step from f.from to f.to.
func (f facts) blockers() []Blocker {
	switch {
	case f.to == Expand, f.to == Migrate && f.from == Cutover:
		return nil // the way back to MIGRATE and to EXPAND is always open
	case len(f.hidden) > 0:
		return f.hiddenRows() // no other fact can be trusted while rows are hidden
	case f.from == Expand && f.to == Migrate:
		return f.toMigrate()
	case f.from == Migrate && f.to == Cutover, f.from == Cutover && f.to == Cutover && f.incomplete:
		return slices.Concat(f.rows(), f.verification(f.from == Migrate), f.childKeys(), f.v1Logic())
	case f.from == Cutover && f.to == Contract:
		return slices.Concat(f.rows(), f.verification(true), f.order(f.firstForward, Contract),
			f.outside(), f.v1Logic())
	case f.from == Contract && f.to == Cutover:
		return append(f.toRestored(), f.order(f.firstBack, Cutover)...)
	default:
		return nil
	}
}

func (f facts) toMigrate() []Blocker {
	if f.rehearsed && 2*f.unfit > f.rehearsedRows { // a few can be repaired; most mean that the model does not fit
		return []Blocker{{
			Code: Quarantined, Count: f.unfit, ExampleKey: f.quarantinedExample, warning: true,
			Message: fmt.Sprintf(
				"the newest rehearsal found that %d of %d rows cannot be converted: repair them through V1 as the quarantine says, or fix the mapping, and rehearse again; or pass this by force: "+
					"they stay readable through V1", f.unfit, f.rehearsedRows),
		}}
	}
	if f.rehearsed {
		return nil
	}
	return []Blocker{{Code: NotRehearsed, Count: 1, Message: fmt.Sprintf(
		"no rehearsal of %s has succeeded yet: start one; it converts every row, stores nothing and says what would be quarantined", f.entity)}}
}

func (f facts) rows() []Blocker {
	var found []Blocker
	add := func(code BlockerCode, n int64, example *string, one, many, advice string) {
		if n > 0 {
			found = append(found, Blocker{
				Code: code, Count: n, ExampleKey: example,
				Message: amount(n, one, many) + ": " + advice,
			})
		}
	}
	add(Unmigrated, f.remaining, f.remainingExample, "1 row has no V2 copy yet", "%d rows have no V2 copy yet",
		"start a sweep and wait for its end")
	add(Stale, f.stale+f.tombstoned+f.orphans, first(f.staleExample, f.tombstonedExample, f.orphanExample),
		"1 copy has not caught up with a change of V1", "%d copies have not caught up with a change of V1",
		"start a sweep and wait for its end")
	add(Quarantined, f.quarantined, f.quarantinedExample, "1 row cannot be converted", "%d rows cannot be converted",
		"repair it through V1 as the quarantine says, then start a sweep")
	return found
}

// amount puts a number of things into words: one for 1, many for any other number.
func amount(n int64, one, many string) string {
	if n == 1 {
		return one
	}
	return fmt.Sprintf(many, n)
}

func first(examples ...*string) *string {
	for _, e := range examples {
		if e != nil {
			return e
		}
	}
	return nil
}

func (f facts) verification(withCapture bool) []Blocker {
	var found []Blocker
	switch {
	case f.drift > 0:
		found = append(found, Blocker{Code: Drift, Count: f.drift, ExampleKey: f.driftExample, Message: fmt.Sprintf(
			"the newest verification found %s between V1 and V2: look at its findings, repair them, and start a verification that finds none", amount(f.drift, "1 difference", "%d differences"))})
	case !f.verified:
		found = append(found, Blocker{
			Code: NotVerified, Count: 1,
			Message: fmt.Sprintf("no verification of %s in %s has ended without a finding: start one",
				f.entity, f.from),
		})
	case f.behind > 0:
		found = append(found, Blocker{Code: NotVerified, Count: f.behind, Message: fmt.Sprintf(
			"the newest verification could not compare %s, which had no fresh copy then: start another",
			amount(f.behind, "1 row", "%d rows"))})
	}
	if !withCapture {
		return found
	}
	if f.bypass > 0 && f.verified && f.from == Migrate { // later the triggers reject them
		found = append(found, Blocker{Code: BypassWrites, Count: f.bypass, Message: fmt.Sprintf(
			"%s other programs have written to V1 since the newest clean verification began: they will be rejected in CUTOVER, so stop them, and start another verification", amount(f.bypass, "once", "%d times"))})
	}
	switch {
	case !f.capture:
		found = append(found, Blocker{
			Code: CaptureOff, Count: 1,
			Message: "writes that bypass the server are not captured: switch capture on, or let a DBA run what `coexist ddl` prints, then sweep and verify; a table that was partitioned or inherited from cannot be captured",
		})
	case f.verified && !f.captureKept:
		found = append(found, Blocker{
			Code: CaptureOff, Count: 1,
			Message: "capture was off or had a gap since the newest clean verification began: sweep, and start another verification",
		})
	}
	return found
}

func (f facts) order(entities []string, to Phase) []Blocker {
	if len(entities) == 0 {
		return nil
	}
	return []Blocker{{Code: ReferenceOrder, Count: int64(len(entities)), Message: fmt.Sprintf(
		"set the phase of %s to %s first: rows refer from one to the other", strings.Join(entities, " and "), to)}}
}

func (f facts) outside() []Blocker {
	if len(f.referrers) == 0 {
		return nil
	}
	return []Blocker{{Code: ReferenceOrder, Count: int64(len(f.referrers)), warning: true, Message: fmt.Sprintf(
		"rows of tables outside the migration refer to V1: %s. In CONTRACT new rows of %s do not get there, so that these tables cannot refer to them, and deleted ones stay there: "+
			"let these tables refer to V2, drop their foreign keys, or pass this by force",
		strings.Join(f.referrers, ", "), f.entity)}}
}

func (f facts) hiddenRows() []Blocker {
	return []Blocker{{Code: HiddenRows, Count: int64(len(f.hidden)), Message: fmt.Sprintf(
		"row-level security may hide rows of %s from the server's role: let it connect as one that the policies do not hold for, such as one with BYPASSRLS", strings.Join(f.hidden, ", "))}}
}

func (f facts) childKeys() []Blocker {
	if len(f.lackingKeys) == 0 {
		return nil
	}
	return []Blocker{{Code: ChildKeys, Count: int64(len(f.lackingKeys)), Message: fmt.Sprintf(
		"V2's child tables lack foreign keys (%s), and the server's role may not add them: let the owner of these tables run what `coexist ddl --child-keys` prints",
		strings.Join(f.lackingKeys, ", "))}}
}

func (f facts) toRestored() []Blocker {
	switch {
	case f.restoreFindings > 0:
		return []Blocker{{
			Code: V1NotRestored, Count: f.restoreFindings, ExampleKey: f.restoreExample,
			Message: fmt.Sprintf(
				"the newest restore left %s that V1 cannot hold: look at its findings, change them through V2, and start another", amount(f.restoreFindings, "1 row", "%d rows")),
		}}
	case !f.restored:
		return []Blocker{{
			Code: V1NotRestored, Count: 1,
			Message: "V1 has not been rebuilt from V2: start a restore and wait for its end",
		}}
	default:
		return nil
	}
}

// forceable reports whether force passes a blocker on the way from one phase to another. Force passes rows that V2
// lacks only on the way into CUTOVER, which is then incomplete; nothing forces them into CONTRACT.
func forceable(code BlockerCode, from, to Phase) bool {
	switch code {
	case NotRehearsed, NotVerified, Drift, BypassWrites, CaptureOff:
		return true
	case Unmigrated, Stale, Quarantined:
		return from == Migrate && to == Cutover
	default:
		return false
	}
}

// mayPass decides whether a gate lets a step pass. It returns a *GateClosedError where the gate is closed, and an
// *InputError where force is given without a reason.
func mayPass(f facts, force bool, reason *string) error {
	blockers := f.blockers()
	if len(blockers) == 0 {
		return nil
	}
	for _, b := range blockers {
		if !force || !b.warning && !forceable(b.Code, f.from, f.to) {
			return &GateClosedError{To: f.to, Blockers: blockers}
		}
	}
	if reason == nil || strings.TrimSpace(*reason) == "" {
		return inputError(Faulty("reason", "force needs a reason, which is kept in the history"))
	}
	return nil
}

// lacking reports whether V2 lacks rows, which makes a forced CUTOVER incomplete.
func (f facts) lacking() bool { return f.remaining+f.stale+f.quarantined+f.tombstoned+f.orphans > 0 }
