package main

// Creates and deletes.

// mustBeFree looks whether V1 has the key. A copy of a V1 row that was lost unseen must go.
func mustBeFree(m *model, w *world, i int) move {
	a := &w.actors[i]
	k := a.queue[0].first()
	if m.ledByV2(a.under) {
		return skip
	}
	v := w.view(i)
	a.saw[k] = m.look(&v, k)
	if a.saw[k].slot.root.there == 1 {
		m.answerThere(w, i, k, true)
		return done
	}
	return next
}

// refer is the foreign key of V1: an order's row needs, and locks, its customer's.
func (m *model) refer(w *world, i, k int) got {
	if !m.refs || k == 0 {
		return gotRow
	}
	return w.take(i, 0, partRoot, keyShare)
}

// insertRoot inserts V1's row where V1 leads.
func insertRoot(m *model, w *world, i int) move {
	a := &w.actors[i]
	op := a.queue[0]
	k := op.first()
	e := m.entityOf(k)
	if m.ledByV2(a.under) {
		return skip
	}
	if !w.tableFree(i, e, rowExclusive) {
		return wait
	}
	switch m.refer(w, i, k) {
	case gotBlocked:
		return wait
	case gotQueued:
		return stay
	case gotNone:
		return done
	}
	switch w.claim(i, k, partRoot) {
	case gotBlocked:
		return wait
	case gotNone:
		m.answerThere(w, i, k, true)
		return done
	}
	a.want = op.apply(want{mapping: a.mapping})
	a.tx.writeRoot(k, rootRow{there: 1, inc: w.newInc(), val: a.want.val})
	a.tx.writeChild(k, childRow{})
	a.tx.table[e] = rowExclusive
	a.tx.means(effectIs, k, meaning(a.want.val, 0, a.want.facts))
	return next
}

// holdReference locks in CONTRACT, where V1's foreign key guards no more, the row that leads what is referred to.
func holdReference(m *model, w *world, i int) move {
	a := &w.actors[i]
	if !m.refs || a.queue[0].first() == 0 || a.under.phase != contract || !m.has(referencesAreHeld) {
		return skip
	}
	if !w.fenceFree(i, 0, shared) {
		return wait
	}
	a.tx.fence[0] = shared
	part := partRoot
	if w.db.entities[0].leadByV2() {
		part = partCopy
	}
	switch w.take(i, 0, part, keyShare) {
	case gotBlocked:
		return wait
	case gotQueued:
		return stay
	case gotNone:
		return done
	}
	return next
}

// insertLead inserts V2's row where V2 leads.
func insertLead(m *model, w *world, i int) move {
	a := &w.actors[i]
	op := a.queue[0]
	k := op.first()
	if !m.ledByV2(a.under) {
		return skip
	}
	a.want = op.apply(want{mapping: a.mapping})
	if a.want.val == badValue {
		return done
	}
	if !m.has(createReadsMarksLater) {
		if a.saw[k].read == 0 {
			v := w.view(i)
			a.saw[k] = m.look(&v, k)
			return stay
		}
	}
	switch w.claim(i, k, partCopy) {
	case gotBlocked:
		return wait
	case gotNone:
		m.answerThere(w, i, k, true)
		return done
	}
	v := w.view(i)
	row := m.newCopy(w, v.slots[k].copy)
	row.val, row.facts, row.mapping, row.version = a.want.val, a.want.facts, a.mapping, 1
	for _, mk := range w.db.marks {
		if mk.key == allKeys(m.entityOf(k)) && mk.id != 0 {
			row.seen.count(mk.kind)
			if m.has(truncateCountsInVersion) {
				row.version++
			}
		}
	}
	row.seq = m.newSeq(w, &a.saw[k])
	a.tx.writeCopy(k, row)
	a.tx.means(effectIs, k, meaning(a.want.val, 0, a.want.facts))
	return next
}

// lockLeftover locks, while V1 is being restored, what it still has of a row that was deleted where V2 led alone.
func lockLeftover(m *model, w *world, i int) move {
	a := &w.actors[i]
	k := a.queue[0].first()
	if a.under.restoring == 0 || !m.has(createLocksV1) {
		return skip
	}
	switch w.take(i, k, partRoot, noKeyUpdate) {
	case gotBlocked:
		return wait
	case gotQueued:
		return stay
	}
	if !w.free(i, k, partChild, noKeyUpdate) {
		return retry
	}
	a.tx.locks[k][partChild] = max(a.tx.locks[k][partChild], noKeyUpdate)
	return next
}

// readMarks reads the marks of the key once V2's row is ours: the version must pass the floor of a tombstone that
// somebody may have left a moment ago.
func readMarks(m *model, w *world, i int) move {
	a := &w.actors[i]
	k := a.queue[0].first()
	if !m.ledByV2(a.under) {
		return skip
	}
	v := w.view(i)
	early := a.saw[k]
	a.saw[k] = m.look(&v, k)
	if !m.has(createReadsMarksLater) {
		a.saw[k].marks, a.saw[k].version = early.marks, early.version
	}
	row := v.slots[k].copy
	row.version = max(row.version, a.saw[k].version)
	a.tx.writeCopy(k, row)
	a.won = 1 << k
	return next
}

// deleteRows deletes V1's rows, once it is known that nothing refers to them.
func deleteRows(m *model, w *world, i int) move {
	a := &w.actors[i]
	k := a.queue[0].first()
	e := m.entityOf(k)
	if a.under.touchesV1() && !w.tableFree(i, e, rowExclusive) {
		return wait
	}
	if _, ends := m.lead(w, i, k); ends != next {
		return ends
	}
	v := w.view(i)
	if m.refs && k == 0 && m.has(referrersAreCounted) && v.slots[1].copy.there == 1 && v.entities[1].phase == contract {
		return done // CONFLICT
	}
	a.tx.means(effectGone, k, 0)
	if !a.under.touchesV1() || v.slots[k].root.there == 0 {
		return next
	}
	if m.refs && k == 0 && v.slots[1].root.there == 1 {
		return done // the foreign key refuses it
	}
	if !w.free(i, k, partRoot, forUpdate) || !w.free(i, k, partChild, forUpdate) {
		return wait
	}
	a.tx.locks[k][partRoot], a.tx.locks[k][partChild] = forUpdate, forUpdate
	a.tx.table[e] = rowExclusive
	if m.owner == ownerKeeps && k == 0 {
		if m.has(deleteIsProbed) {
			return done // CONFLICT
		}
		return next
	}
	a.tx.writeRoot(k, rootRow{})
	a.tx.writeChild(k, childRow{})
	return next
}

// deleteCopy deletes the copy that was read. Where there was none, one that a storer adds meanwhile comes under the
// tombstone.
func deleteCopy(m *model, w *world, i int) move {
	a := &w.actors[i]
	k := a.queue[0].first()
	husk := !a.queue[0].isCreate() || a.saw[k].gone == 0
	if a.saw[k].slot.copy.there == 0 || !husk || a.queue[0].isCreate() && m.ledByV2(a.under) {
		return skip
	}
	switch m.takeUnchanged(w, i, k) {
	case gotBlocked:
		return wait
	case gotQueued:
		return stay
	case gotNone:
		return retry
	}
	a.tx.locks[k][partCopy] = forUpdate
	v := w.view(i)
	a.tx.writeCopy(k, m.noCopy(v.slots[k].copy))
	if a.queue[0].isCreate() {
		w.newMark(i, k, markGone, a.saw[k].version)
	}
	return next
}

// commitDelete leaves a tombstone in place of the marks that were read, and commits.
func commitDelete(m *model, w *world, i int) move {
	a := &w.actors[i]
	k := a.queue[0].first()
	s := &a.saw[k]
	if !w.marksFree(i, s.marks) {
		return wait
	}
	a.tx.removed.join(s.marks)
	if m.has(deleteLeavesTombstone) {
		w.newMark(i, k, markGone, s.version)
	}
	if v := w.view(i); v.slots[k].entry == 1 {
		a.tx.writeEntry(k, 0)
	}
	m.commit(w, i)
	return committed
}

// insertSeed inserts rows into an entity of which nothing has migrated yet, without marks.
func insertSeed(m *model, w *world, i int) move {
	w.begin(i)
	a := &w.actors[i]
	e := m.entityOf(a.queue[0].first())
	if m.sqlite && !w.alone(i) || !w.fenceFree(i, e, shared) || !w.tableFree(i, e, rowExclusive) {
		return wait
	}
	a.under = w.db.entities[e]
	if a.under.phase >= cutover || w.db.marks != [maxMarks]mark{} {
		return done
	}
	for k := range keys {
		if w.db.slots[k].copy.there == 1 {
			return done
		}
	}
	a.tx.open, a.tx.fence[e], a.tx.table[e] = 1, shared, rowExclusive
	for k := range keys {
		if !a.queue[0].has(k) || a.tx.wrote[k] != 0 {
			continue
		}
		switch w.claim(i, k, partRoot) {
		case gotBlocked:
			return wait
		case gotRow:
			a.tx.writeRoot(k, rootRow{there: 1, inc: w.newInc()})
			a.tx.means(effectIs, k, meaning(0, 0, 0))
		}
	}
	return next
}

// commitSeed counts, so that whoever changes the phase meanwhile counts again.
func commitSeed(m *model, w *world, i int) move {
	w.db.entities[m.entityOf(w.actors[i].queue[0].first())].seeds++
	m.commit(w, i)
	return done
}
