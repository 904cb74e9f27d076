package main

// The sweep: its range, and then the marks that are left. Batches are prepared with no transaction open.

// The sweep's argument.
const sweepOlder = 1 // migrates copies of an older mapping again

// prepareRange reads the next keys of V1.
func prepareRange(m *model, w *world, i int) move {
	a := &w.actors[i]
	d := &w.db
	m.clearBatch(a, d)
	for k := range keys {
		if !a.queue[0].has(k) || d.slots[k].root.there == 0 || a.single == 1 && int(a.position) != k {
			continue
		}
		m.sort(a, k, m.look(d, k))
	}
	a.base = a.pc
	return next
}

// prepareMarks reads the keys with marks, and those of copies under a tombstone.
func prepareMarks(m *model, w *world, i int) move {
	a := &w.actors[i]
	if !m.has(sweepReadsMarks) {
		return done
	}
	d := &w.db
	m.clearBatch(a, d)
	for k := range keys {
		s := m.look(d, k)
		orphan := m.orphan(&s) && m.has(sweepReadsOrphans)
		if a.queue[0].has(k) && (s.changed == 1 || orphan || s.slot.copy.there == 1 && buried(d, m.entityOf(k), k)) {
			m.sort(a, k, s)
		}
	}
	a.base = a.pc
	return next
}

func (m *model) clearBatch(a *actor, d *database) {
	a.saw = [keys]sight{}
	a.todo, a.won, a.failed, a.vanished = 0, 0, 0, 0
	a.under = d.entities[m.entityOf(a.queue[0].first())]
}

// sort is repo.Repository.sort.
func (m *model) sort(a *actor, k int, s sight) {
	refined := s.slot.copy.facts != 0
	again := a.queue[0].arg == sweepOlder && s.fresh == 1 && s.slot.copy.mapping < a.mapping
	if refined && !m.has(remigrationKeepsRefined) && again {
		s.slot.copy.facts = 0 // so that it is upgraded anew
		refined = false
	}
	switch {
	case s.fresh == 1 && (!again || s.slot.root.there == 0 || refined):
		return
	case s.slot.root.there == 0:
		if s.slot.copy.there == 1 || s.changed == 1 {
			a.vanished |= 1 << k
			a.saw[k] = s
		}
		return
	case m.convert(&s, a.mapping).ok:
		a.todo |= 1 << k
	default:
		a.failed |= 1 << k
	}
	a.saw[k] = s
}

// batchBegin opens a batch's transaction, and checks that it may still do what was prepared.
func batchBegin(m *model, w *world, i int) move {
	a := &w.actors[i]
	e := m.entityOf(a.queue[0].first())
	if !w.fenceFree(i, e, shared) || m.sqlite && !w.alone(i) {
		return wait
	}
	in := w.db.entities[e]
	switch {
	case a.queue[0].kind == opSweep && !in.migrates(), a.queue[0].kind == opRestore &&
		(in.phase != contract || in.restoring == 0):
		return done // the run fails
	case in.mapping > a.mapping && m.has(olderMappingStoresNot):
		return done
	case in.epoch != a.under.epoch && m.has(storerChecksEpoch):
		return retry
	case a.queue[0].kind == opSweep && !m.sawAllMarks(w, i):
		return retry
	}
	a.under = in
	a.tx.open, a.tx.fence[e] = 1, shared
	return next
}

// foldVanished removes the copy of a key without a V1 row, and turns its marks into one tombstone.
func foldVanished(m *model, w *world, i int) move {
	a := &w.actors[i]
	for k := range keys {
		if a.vanished&(1<<k) == 0 {
			continue
		}
		s := &a.saw[k]
		if s.slot.copy.there == 1 && a.tx.wrote[k]&(1<<partCopy) == 0 {
			var g got
			if m.has(foldIfUnchanged) {
				g = m.takeUnchanged(w, i, k)
			} else {
				g = w.take(i, k, partCopy, forUpdate)
			}
			switch g {
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
			return stay
		}
		return m.foldMarks(w, i, k)
	}
	return skip
}

// foldMarks makes one new tombstone of the marks that were read.
func (m *model) foldMarks(w *world, i, k int) move {
	a := &w.actors[i]
	s := &a.saw[k]
	if !w.marksFree(i, s.marks) {
		return wait
	}
	floor := s.version - 1
	if !m.has(foldKeepsFloor) {
		floor = 0
	}
	v := w.view(i)
	first := uint8(255)
	for _, mk := range v.marks {
		if mk.id != 0 && s.marks.has(mk.id) {
			first = min(first, mk.id)
		}
	}
	if m.has(foldLocksMarks) && !w.allThere(i, s.marks) {
		return retry // somebody has written the key since
	}
	a.tx.removed.join(s.marks)
	if first < 255 && !m.has(tombstoneIsAnotherMark) {
		a.tx.addMark(mark{first, uint8(k), markGone, floor})
	} else {
		w.newMark(i, k, markGone, floor)
	}
	if v.slots[k].entry == 1 {
		a.tx.writeEntry(k, 0)
	}
	a.vanished &^= 1 << k
	return stay
}

// refuse is V2's tables refusing a row: the batch is rolled back, and halved down to that row.
func (m *model) refuse(w *world, i int) move {
	a := &w.actors[i]
	if a.queue[0].kind != opSweep || !m.has(batchHalves) {
		return done
	}
	if a.single == 0 && a.todo|a.won != a.todo&-a.todo {
		a.single = 1
		return retry
	}
	failed := a.todo
	a.tx = transaction{}
	a.todo, a.failed, a.pc = 0, failed, a.base+1
	return stay
}

// nextBatch is where a batch has ended: in batches of one row the next row follows.
func nextBatch(_ *model, w *world, i int) move {
	a := &w.actors[i]
	if a.single == 1 {
		if a.position++; a.position < keys {
			a.pc = a.base
			return stay
		}
		a.single, a.position = 0, 0
	}
	return skip
}
