package main

// V1's owner: triggers of its own, which make of a write what they will. The first key is the one that they fire for.

// The owners of scenarios.
const (
	noOwner       = iota
	ownerTells    // a write of key 0's row sets key 1's row to the same value
	ownerDefers   // the same, put off until COMMIT
	ownerKeeps    // a delete of key 0's row is withheld
	ownerAlters   // a row of key 0 that is written as 1 becomes 0
	ownerCascades // a delete of key 0's row deletes key 1's
)

// altered is what V1 makes of a value.
func (m *model) altered(k int, val uint8) uint8 {
	if m.owner == ownerAlters && k == 0 && val == 1 {
		return 0
	}
	return val
}

// ownerNow is the owner's trigger, as part of the statement before; one that is put off happens when we ask for that.
func ownerNow(m *model, w *world, i int) move {
	if m.owner == ownerDefers && !m.has(deferredIsSettled) {
		return skip
	}
	return m.ownerTrigger(w, i)
}

// ownerLate is the owner's trigger at COMMIT.
func ownerLate(m *model, w *world, i int) move {
	if m.owner != ownerDefers || m.has(deferredIsSettled) {
		return skip
	}
	return m.ownerTrigger(w, i)
}

// ownerTrigger does what V1's owner wants where this transaction has written key 0's row, and leaves a mark of key 1,
// which is none of the keys that our transaction writes.
func (m *model) ownerTrigger(w *world, i int) move {
	a := &w.actors[i]
	t := &a.tx
	own, other := t.slots[0].root, 1
	deletes := m.owner == ownerCascades && own.there == 0
	if m.owner != ownerTells && m.owner != ownerDefers && !deletes || t.wrote[0]&(1<<partRoot) == 0 ||
		t.wrote[other]&(1<<partRoot) != 0 || a.queue[0].first() == other {
		return skip
	}
	v := w.view(i)
	row := v.slots[other].root
	if row.there == 0 || !deletes && (own.there == 0 || row.val == own.val) {
		return skip
	}
	strength := uint8(noKeyUpdate)
	if deletes {
		strength = forUpdate
	}
	switch w.take(i, other, partRoot, strength) {
	case gotBlocked:
		return wait
	case gotQueued:
		return stay
	case gotNone:
		return skip
	}
	kind := uint8(markChange)
	if deletes {
		if !w.free(i, other, partChild, forUpdate) {
			t.waits = 0
			return wait
		}
		t.locks[other][partChild] = forUpdate
		t.writeRoot(other, rootRow{})
		t.writeChild(other, childRow{})
		if a.under.phase != contract {
			t.means(effectGone, other, 0)
		}
		kind = markGone
	} else {
		v = w.view(i)
		row = v.slots[other].root
		row.val = own.val
		row.writes++
		t.writeRoot(other, row)
		if a.under.phase != contract {
			t.means(effectVal, other, own.val)
		}
	}
	if !a.ours() || m.has(ownWritesAreExemptByKey) {
		w.newMark(i, other, kind, 0)
	}
	return next
}

// followEffect brings the copy of key 1 up to V1 where V2 leads, by a storer's rules and under its lock.
func followEffect(m *model, w *world, i int) move {
	a := &w.actors[i]
	other := 1
	if a.queue[0].first() == other || a.tx.wrote[other]&(1<<partRoot) == 0 || !m.ledByV2(a.under) ||
		!m.has(effectsAreFollowed) || !m.has(ownWritesAreExemptByKey) {
		return skip
	}
	v := w.view(i)
	s := m.look(&v, other)
	if s.marks == (bits{}) {
		return skip // it was followed
	}
	if s.slot.root.there == 1 && s.slot.root.val == badValue {
		return done // CONVERSION_FAILED
	}
	if s.slot.copy.there == 1 {
		switch w.take(i, other, partCopy, forUpdate) {
		case gotBlocked:
			return wait
		case gotQueued:
			return stay
		case gotNone:
			return retry
		}
		v = w.view(i)
		s = m.look(&v, other)
	}
	if !w.marksFree(i, s.marks) {
		return wait
	}
	if a.under.phase == contract && m.has(effectsOnOldRowsAreUndone) {
		return m.undoEffect(w, i, &s)
	}
	version := s.version
	a.tx.removed.join(s.marks)
	a.tx.withdraw(s.marks)
	if s.slot.root.there == 0 {
		a.tx.writeCopy(other, m.noCopy(v.slots[other].copy))
		w.newMark(i, other, markGone, version)
		return next
	}
	c := m.convert(&s, a.mapping)
	row := s.slot.copy
	if row.there == 0 {
		row = m.newCopy(w, row)
	}
	row.val, row.child, row.facts, row.mapping, row.version, row.seen = c.val, c.child, c.facts,
		c.mapping, version, s.all
	row.seq = m.newSeq(w, &s)
	a.tx.writeCopy(other, row)
	return next
}

// undoEffect brings V1's rows of key 1 up to V2 while V1 is being rebuilt, and drops the marks that the transaction has
// left.
func (m *model) undoEffect(w *world, i int, s *sight) move {
	const other = 1
	a := &w.actors[i]
	row := s.slot.root
	switch {
	case s.slot.copy.there == 1:
		if row.there == 0 {
			row = rootRow{inc: w.newInc()}
		}
		row.there, row.val = 1, s.slot.copy.val
		row.writes++
		a.tx.writeChild(other, childOf(s.slot.copy))
	case row.there == 0 || s.gone == 0:
		a.tx.withdraw(s.marks)
		return next // nothing proves that it was deleted
	default:
		row = rootRow{}
		a.tx.writeChild(other, childRow{})
	}
	a.tx.writeRoot(other, row)
	a.tx.locks[other][partRoot], a.tx.locks[other][partChild] = forUpdate, forUpdate
	a.tx.withdraw(s.marks)
	return next
}

// withdraw takes back marks that the transaction has left.
func (t *transaction) withdraw(marks bits) {
	for n := range t.added {
		if marks.has(t.added[n].id) {
			t.added[n] = mark{}
		}
	}
}

// takeOver is what becomes of a write where V2 leads, once V1 has been read back: what the client has not said V2 takes
// over from V1, and what it has said and V1 does not keep is refused. It reports whether it is.
func (m *model) takeOver(w *world, i, k int, held uint8) bool {
	a := &w.actors[i]
	v := w.view(i)
	row := v.slots[k].copy
	if row.val == held || !m.has(v1IsTakenOver) {
		return false
	}
	if a.queue[0].isV2() {
		return true
	}
	row.val = held
	a.tx.writeCopy(k, row)
	m.meant(a, k, held)
	return false
}

// meant corrects what a write means, once it is known what V1 makes of it.
func (m *model) meant(a *actor, k int, val uint8) {
	for n := range a.tx.effects {
		e := &a.tx.effects[n]
		switch {
		case int(e.key) != k:
		case e.kind == effectVal:
			e.arg = val
		case e.kind == effectIs:
			e.arg = e.arg&^6 | val<<1
		}
	}
}

// owners are about V1's own triggers.
func owners() []scenario {
	there := func(val uint8) slot {
		return slot{root: root(val), child: theChild, copy: withCopy(freshCopy(1), func(c *copyRow) { c.val = val })}
	}
	led := two(there(0), there(0))
	led.entities[0].phase = cutover
	behind := func(s slot, marks ...mark) database {
		d := two(there(0), s, marks...)
		d.entities[0].phase, d.entities[0].restoring = contract, 1
		return d
	}
	var all []scenario
	for _, start := range []named{
		{"MIGRATE, two rows that have migrated", two(there(0), there(0))},
		{"MIGRATE, one row without a copy", two(there(0), slot{root: root(0), child: theChild})},
		{"CUTOVER, two rows", led},
		{
			"CONTRACT, V1 is being rebuilt, and behind",
			behind(slot{root: root(0), child: theChild, copy: withCopy(freshCopy(1), func(c *copyRow) { c.val = 1 })}),
		},
		{"CONTRACT, V1 is being rebuilt, and has a dead row", behind(slot{root: root(0), child: theChild},
			mark{1, 1, markGone, 3})},
	} {
		for owner := uint8(ownerTells); owner <= ownerCascades; owner++ {
			ours := []operation{op(opUpdateV1, 1), op(opUpdateV2, 2), op(opUpdateV2, 2|2<<4), op(opDelete, 0)}
			others := []operation{
				at(op(opReadV2, 0), 3), at(op(opUpdateV1, 1), 2), at(op(opUpdateV2, 2), 2),
				at(op(opDelete, 0), 2), op(opUpdateV1, 0),
			}
			third := []operation{at(op(opReadV2, 0), 2)}
			switch start.db.entities[0].phase {
			case contract:
				restored := []operation{at(op(opRestore, 0), 3), op(opPhase, cutover)}
				base := scenario{
					family: familyOwner, start: start.name + ", " + ownerNames[owner],
					db: start.db, owner: owner,
				}
				all = append(all, combine(base, each(ours...), append(each(others...), restored), nil)...)
				all = append(all, combine(base, each(ours...), each(others[:4]...), [][]operation{restored})...)
				continue
			case migrate:
				others = append(others, at(op(opSweep, 0), 3), op(opBypass, scriptUpdate),
					at(op(opBypass, scriptUpdate), 2), op(opPhase, cutover), op(opPhase, expand))
				third = append(third, op(opPhase, cutover))
			default:
				others = append(others, op(opPhase, migrate))
				third = append(third, op(opPhase, migrate))
			}
			base := scenario{
				family: familyOwner, start: start.name + ", " + ownerNames[owner],
				db: start.db, owner: owner,
			}
			all = append(all, combine(base, each(ours...), each(others...), nil)...)
			all = append(all, combine(base, each(ours...), each(others[:4]...), each(third...))...)
		}
	}
	return all
}

var ownerNames = [...]string{
	"", "V1 writes another row too", "V1 writes another row at COMMIT",
	"V1 keeps deleted rows", "V1 changes what is written", "V1 deletes another row too",
}
