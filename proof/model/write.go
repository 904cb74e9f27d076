package main

// Own writes: the opening, the locks, and an update.

// begin is BEGIN, the fence, and then, in a later statement, the phase.
func begin(m *model, w *world, i int) move {
	w.begin(i)
	a := &w.actors[i]
	op := a.queue[0]
	e := m.entityOf(op.first())
	in := w.db.entities[e]
	if m.has(writersShareFence) && !w.fenceFree(i, e, shared) || m.sqlite && !w.alone(i) {
		if !m.has(phaseIsReadAfterFence) && a.tx.waits == 0 && !m.sqlite {
			a.tx.open, a.tx.waits, a.under = 1, 1, in
			return stay
		}
		return wait
	}
	if a.tx.waits == 0 {
		a.under = in
	}
	a.tx.open, a.tx.waits = 1, 0
	if m.has(writersShareFence) {
		a.tx.fence[e] = shared
	}
	older := a.under.mapping > a.mapping && m.has(olderMappingStoresNot)
	switch {
	case op.isV2() && (a.under.phase == expand || older):
		return done
	case op.kind != opDelete && older && a.under.phase >= cutover:
		return done
	case m.has(locksMatchPhase) && (a.guess.leadByV2() != a.under.leadByV2() ||
		a.guess.writesV1() != a.under.writesV1()):
		a.guess = a.under
		return retry
	}
	return next
}

func (op operation) strength() uint8 {
	if op.kind == opDelete {
		return forUpdate
	}
	return noKeyUpdate
}

// lockLead locks the leading root row. Where there is none the read that follows says whether that is so.
func lockLead(m *model, w *world, i int) move {
	a := &w.actors[i]
	k := a.queue[0].first()
	part := partRoot
	if a.guess.leadByV2() {
		part = partCopy
	}
	if !m.has(readsFollowLocks) && a.tx.waits == 0 {
		v := w.view(i)
		a.saw[k] = m.look(&v, k)
	}
	if !m.has(rootIsLocked) {
		a.locked = 1
		return skip
	}
	switch w.take(i, k, part, a.queue[0].strength()) {
	case gotBlocked:
		return wait
	case gotQueued:
		return stay
	case gotNone:
		if !m.has(notFoundIsReadAgain) {
			m.answerThere(w, i, k, false)
			return done
		}
	default:
		a.locked = 1
	}
	return next
}

// lockV1 locks V1's root row where that follows.
func lockV1(_ *model, w *world, i int) move {
	a := &w.actors[i]
	if !a.guess.leadByV2() || !a.guess.writesV1() {
		return skip
	}
	switch w.take(i, a.queue[0].first(), partRoot, a.queue[0].strength()) {
	case gotBlocked:
		return wait
	case gotQueued:
		return stay
	default:
		return next
	}
}

// lockChild never waits for a child row of V1, since another program may have locked it first and want its parent.
func lockChild(m *model, w *world, i int) move {
	a := &w.actors[i]
	k := a.queue[0].first()
	if !a.guess.touchesV1() {
		return skip
	}
	v := w.view(i)
	if v.slots[k].child.there == 0 {
		return skip
	}
	if m.has(childIsLockedNoWait) && !w.free(i, k, partChild, a.queue[0].strength()) {
		return retry
	}
	switch w.take(i, k, partChild, a.queue[0].strength()) {
	case gotBlocked:
		return wait
	case gotQueued:
		return stay
	default:
		return next
	}
}

// readLocked reads the aggregate whose rows are locked. It returns the move that ends the write where there is nothing
// to write.
func (m *model) lead(w *world, i, k int) (s *sight, ends move) {
	a := &w.actors[i]
	s = &a.saw[k]
	if m.has(readsFollowLocks) || s.read == 0 {
		v := w.view(i)
		*s = m.look(&v, k)
	}
	if m.absent(s, a.under) {
		m.answerThere(w, i, k, false)
		return s, done
	}
	if a.locked == 0 {
		return s, retry
	}
	return s, next
}

// change reads, changes, and writes the leading side.
func change(m *model, w *world, i int) move {
	a := &w.actors[i]
	op := a.queue[0]
	k := op.first()
	if !w.tableFree(i, m.entityOf(k), rowExclusive) {
		return wait
	}
	s, ends := m.lead(w, i, k)
	if ends != next {
		return ends
	}
	led := m.ledByV2(a.under)
	if op.kind == opUpdateExpected && a.expected != s.version && m.has(versionIsCheckedUnderLock) {
		return done // STALE_VERSION
	}
	before := m.convert(s, a.mapping)
	if led {
		c := s.slot.copy
		before = conversion{want{c.val, c.child, c.facts, c.mapping}, true}
	}
	a.want = op.apply(before.want)
	switch {
	case op.isV2() && (!before.ok || a.want.val == badValue), led && a.want.val == badValue:
		return done // CONVERSION_FAILED, NOT_REPRESENTABLE_IN_V1
	case a.want == before.want:
		return done // nothing to do
	case led:
		return m.writeLeading(w, i, k, s)
	}
	if a.want.val != s.slot.root.val {
		switch w.take(i, k, partRoot, noKeyUpdate) {
		case gotBlocked:
			return wait
		case gotQueued:
			return stay
		case gotNone:
			return retry
		}
		v := w.view(i)
		row := v.slots[k].root
		row.val = m.altered(k, a.want.val)
		row.writes++
		a.tx.writeRoot(k, row)
		a.tx.table[m.entityOf(k)] = rowExclusive
		m.mean(a, k)
		m.meant(a, k, row.val)
		return next
	}
	m.mean(a, k)
	return next
}

// mean says what an update means.
func (m *model) mean(a *actor, k int) {
	op := a.queue[0]
	if op.kind != opUpdateV2 || op.arg>>4 != 0 {
		a.tx.means(effectVal, k, a.want.val)
	}
	if op.isV2() {
		a.tx.means(effectFacts, k, a.want.facts)
	}
}

// writeLeading writes the copy where V2 leads. Its row is locked.
func (m *model) writeLeading(w *world, i, k int, s *sight) move {
	a := &w.actors[i]
	v := w.view(i)
	row := v.slots[k].copy
	row.val, row.facts, row.version = a.want.val, a.want.facts, s.version+1
	row.seq = m.newSeq(w, s)
	a.tx.writeCopy(k, row)
	a.won = 1 << k
	m.mean(a, k)
	return next
}

// followSee reads what V1 holds after it was written, and decides how the copy follows.
func followSee(m *model, w *world, i int) move {
	a := &w.actors[i]
	k := a.queue[0].first()
	if m.ledByV2(a.under) {
		return skip
	}
	v := w.view(i)
	s := m.look(&v, k)
	c := m.convert(&s, a.mapping)
	dual := a.under.migrates() && (a.under.mapping <= a.mapping || !m.has(olderMappingStoresNot))
	if a.queue[0].isV2() {
		if m.has(v1IsAsWritten) && (s.slot.root.val != a.want.val || s.slot.child.value() != a.want.child) {
			return retry // another program has added a row
		}
		a.saw[k], a.todo = s, 1<<k
		return next
	}
	if !c.ok && a.under.phase == cutover && m.has(cutoverRefusesUnconvertible) {
		return done
	}
	a.saw[k] = s
	if c.ok && dual {
		a.todo, a.want = 1<<k, c.want
		return next
	}
	return m.leaveStale(w, i, k, c.ok, v.slots[k].entry)
}

// leaveStale leaves a mark in place of a copy, and keeps quarantine up to date.
func (m *model) leaveStale(w *world, i, k int, ok bool, entry uint8) move {
	a := &w.actors[i]
	if ok && m.has(staleWriteMarks) || !ok && m.has(unconvertibleWriteMarks) {
		w.newMark(i, k, markChange, 0)
	}
	if !ok {
		a.tx.writeEntry(k, 1)
	} else if entry == 1 {
		a.tx.writeEntry(k, 0)
	}
	return next
}

// followPut stores the copy if it is still what was read; else V1, whose rows are still locked, is read again.
func followPut(m *model, w *world, i int) move {
	a := &w.actors[i]
	k := a.queue[0].first()
	if a.todo == 0 {
		return skip
	}
	s := &a.saw[k]
	var g got
	switch {
	case !m.has(ownWritesAreStorers):
		if !w.free(i, k, partCopy, noKeyUpdate) || w.claim(i, k, partCopy) == gotBlocked {
			return wait
		}
		a.tx.locks[k][partCopy] = forUpdate
		g = gotRow
	case s.slot.copy.there == 0:
		g = w.claim(i, k, partCopy)
	default:
		g = m.takeUnchanged(w, i, k)
	}
	switch {
	case g == gotBlocked:
		return wait
	case g == gotQueued:
		return stay
	case g == gotNone && a.queue[0].isV2():
		return retry
	case g == gotNone:
		a.pc, a.todo = a.pc-1, 0
		return stay
	}
	v := w.view(i)
	row := v.slots[k].copy
	if row.there != 0 {
		row.child = a.want.child
	} else if row = m.newCopy(w, row); row.child != 0 && a.want.child != 0 {
		return done // a unique violation
	} else {
		row.child |= a.want.child
	}
	row.val, row.facts, row.mapping = a.want.val, a.want.facts, a.want.mapping
	row.version, row.seen = s.version, s.all
	if a.queue[0].isUpdate() {
		row.version++
	}
	row.seq = m.newSeq(w, s)
	a.tx.writeCopy(k, row)
	a.todo, a.won = 0, 1<<k
	return next
}

// writeBack brings V1's rows up to V2's where V2 leads and writes are dual. While V1 is being restored its row may be
// missing, or dead.
func writeBack(m *model, w *world, i int) move {
	a := &w.actors[i]
	k := a.queue[0].first()
	e := m.entityOf(k)
	if !m.ledByV2(a.under) || !a.under.writesV1() {
		return skip
	}
	if !w.tableFree(i, e, rowExclusive) {
		return wait
	}
	there := a.saw[k].slot.root.there == 1
	if !m.has(restoringWritesUpsert) {
		there = a.queue[0].isUpdate()
	}
	var g got
	if there {
		g = w.take(i, k, partRoot, noKeyUpdate)
	} else if g = m.refer(w, i, k); g == gotRow {
		g = w.claim(i, k, partRoot)
	}
	switch g {
	case gotBlocked:
		return wait
	case gotQueued:
		return stay
	case gotNone:
		return m.unwritten(w, i, k)
	}
	if !w.free(i, k, partChild, forUpdate) {
		return wait
	}
	v := w.view(i)
	row := v.slots[k].root
	if row.there == 0 {
		row = rootRow{there: 1, inc: w.newInc()}
	}
	row.val = v.slots[k].copy.val
	if row.there == 1 && v.slots[k].root.val != row.val {
		row.val = m.altered(k, row.val)
	}
	if m.takeOver(w, i, k, row.val) {
		return done // NOT_REPRESENTABLE_IN_V1
	}
	v = w.view(i)
	row.writes++
	a.tx.writeRoot(k, row)
	a.tx.writeChild(k, childOf(v.slots[k].copy))
	a.tx.locks[k][partRoot], a.tx.locks[k][partChild] = forUpdate, forUpdate
	a.tx.table[e] = rowExclusive
	return next
}

func childOf(c copyRow) childRow {
	if c.child == 0 {
		return childRow{}
	}
	return childRow{there: 1, val: c.child - 1}
}

// unwritten is V1 not taking what V2 holds, as it may for a reference.
func (m *model) unwritten(w *world, i, k int) move {
	if !m.refs || k == 0 {
		m.violate("A write is not refused for what V1 holds: %s finds that V1 does not take key %d",
			w.actors[i].queue[0], k)
	}
	return done
}

// commitWrite deletes the marks that were read with what was stored, and commits.
func commitWrite(m *model, w *world, i int) move {
	a := &w.actors[i]
	k := a.queue[0].first()
	if a.won != 0 {
		gone := a.saw[k].marks
		if !w.marksFree(i, gone) {
			return wait
		}
		if m.has(ownWritesNeedTheirMarks) && !w.allThere(i, gone) {
			return retry
		}
		a.tx.removeMarks(gone)
		if v := w.view(i); a.saw[k].slot.entry == 1 && v.slots[k].entry == 1 && m.has(storeReleases) {
			a.tx.writeEntry(k, 0)
		}
	}
	m.commit(w, i)
	return committed
}
