package main

// Readers, and the storer that they, the sweep and every own write share.

// readAnswer is a read of one shape: it answers at once, from what one statement saw. What must be stored is noted.
func readAnswer(m *model, w *world, i int) move {
	w.begin(i)
	a := &w.actors[i]
	d := &w.db
	op := a.queue[0]
	in := d.entities[m.entityOf(op.first())]
	if m.has(readSaysItsPhase) {
		if a.guess.leadByV2() != in.leadByV2() {
			a.guess = in
			return stay // the answer is thrown away
		}
	} else {
		in.phase, in.incomplete = a.guess.phase, a.guess.incomplete // as the plan was made
	}
	a.under = in
	for k := range keys {
		if !op.has(k) {
			continue
		}
		s := m.look(d, k)
		shown := uint8(255)
		if op.kind == opReadV1 {
			shown = v1Part
		}
		older := op.kind == opReadV1 && in.mapping > a.mapping
		switch {
		case m.ledByV2(in) && older && !m.has(olderMappingReadsV1):
			m.answer(w, i, k, copyMeaning(s.slot.copy)^2, shown) // it converts back what it does not understand
		case m.ledByV2(in) && older && in.phase == contract:
			return done // V1's rows are history
		case m.ledByV2(in) && older && s.slot.root.there == 1:
			m.answer(w, i, k, meaning(s.slot.root.val, s.slot.child.value(), 0), shown)
		case m.ledByV2(in):
			m.answer(w, i, k, copyMeaning(s.slot.copy), shown)
		case s.slot.root.there == 0 && (op.kind == opReadV1 || s.fresh == 0):
			m.answer(w, i, k, 0, shown)
		case op.kind == opReadV1:
			m.answer(w, i, k, meaning(s.slot.root.val, s.slot.child.value(), 0), shown)
		case s.fresh == 1:
			m.answer(w, i, k, copyMeaning(s.slot.copy), shown)
		default:
			m.answerConverted(w, i, k, s)
		}
	}
	if a.todo|a.failed == 0 || !in.migrates() || in.mapping > a.mapping && m.has(olderMappingStoresNot) {
		return done
	}
	return next
}

func copyMeaning(c copyRow) uint8 {
	if c.there == 0 {
		return 0
	}
	return meaning(c.val, c.child, c.facts)
}

func (m *model) answerConverted(w *world, i, k int, s sight) {
	a := &w.actors[i]
	c := m.convert(&s, a.mapping)
	if !c.ok {
		m.answer(w, i, k, meaning(badValue, 0, 0), 7)
		if s.slot.entry == 0 {
			a.failed |= 1 << k
			a.saw[k] = s
		}
		return
	}
	m.answer(w, i, k, meaning(c.val, c.child, c.facts), 255)
	a.todo |= 1 << k
	a.saw[k] = s
}

// lazyBegin opens a lazy store, which waits for nobody.
func lazyBegin(m *model, w *world, i int) move {
	a := &w.actors[i]
	e := m.entityOf(a.queue[0].first())
	in := w.db.entities[e]
	switch {
	case m.sqlite && !w.alone(i), !w.fenceFree(i, e, shared):
		return done
	case in.mapping > a.mapping && m.has(olderMappingStoresNot):
		return done
	case (in.phase != a.under.phase || in.epoch != a.under.epoch) && m.has(storerChecksEpoch):
		return done
	case !m.sawAllMarks(w, i):
		return done
	}
	a.tx.open, a.tx.fence[e] = 1, shared
	return next
}

// sawAllMarks reports whether a storer has seen every mark of all keys that there is when it begins. That is no guard
// here: what it keeps from the truth takes four actors.
func (m *model) sawAllMarks(w *world, i int) bool {
	a := &w.actors[i]
	for k := range keys {
		if (a.todo|a.failed|a.vanished)&(1<<k) != 0 && m.look(&w.db, k).all != a.saw[k].all {
			return false
		}
	}
	return true
}

// insertCopies is INSERT … ON CONFLICT DO NOTHING RETURNING, in the order of the keys.
func insertCopies(m *model, w *world, i int) move {
	a := &w.actors[i]
	for k := range keys {
		if a.todo&(1<<k) == 0 || a.saw[k].slot.copy.there == 1 {
			continue
		}
		if !m.has(storeIfUnchanged) {
			return m.overwriteCopy(w, i, k)
		}
		switch w.claim(i, k, partCopy) {
		case gotBlocked:
			return wait
		case gotRow:
			return m.putCopy(w, i, k)
		default:
			a.todo &^= 1 << k
			return stay
		}
	}
	return skip
}

// updateCopies is UPDATE … WHERE seq = (the one read) RETURNING. A statement that has waited looks at the row once
// more.
func updateCopies(m *model, w *world, i int) move {
	a := &w.actors[i]
	for k := range keys {
		if a.todo&(1<<k) == 0 {
			continue
		}
		if !m.has(storeIfUnchanged) {
			return m.overwriteCopy(w, i, k)
		}
		switch m.takeUnchanged(w, i, k) {
		case gotBlocked:
			return wait
		case gotQueued:
			return stay
		case gotRow:
			return m.putCopy(w, i, k)
		default:
			a.todo &^= 1 << k
			return stay
		}
	}
	return skip
}

// takeUnchanged takes the copy's row WHERE seq is the one read.
func (m *model) takeUnchanged(w *world, i, k int) got {
	a := &w.actors[i]
	v := w.view(i)
	if a.tx.waits == 0 && v.slots[k].copy.seq != a.saw[k].slot.copy.seq {
		return gotNone
	}
	g := w.take(i, k, partCopy, noKeyUpdate)
	v = w.view(i)
	if g == gotRow && v.slots[k].copy.seq != a.saw[k].slot.copy.seq {
		return gotNone
	}
	return g
}

// overwriteCopy is what a storer without the guard does: an upsert.
func (m *model) overwriteCopy(w *world, i, k int) move {
	if !w.free(i, k, partCopy, noKeyUpdate) || w.claim(i, k, partCopy) == gotBlocked {
		return wait
	}
	w.actors[i].tx.locks[k][partCopy] = forUpdate
	return m.putCopy(w, i, k)
}

// putCopy writes the root row of a copy that the transaction has won. Its child rows follow in finish.
func (m *model) putCopy(w *world, i, k int) move {
	a := &w.actors[i]
	s := &a.saw[k]
	c := m.convert(s, a.mapping)
	if m.refuses && c.val == refusedValue {
		return m.refuse(w, i)
	}
	v := w.view(i)
	row := v.slots[k].copy
	if row.there == 0 {
		row = m.newCopy(w, row)
	}
	row.val, row.facts, row.mapping, row.version, row.seen = c.val, c.facts, c.mapping, s.version, s.all
	if a.todo&(1<<k) != 0 && a.queue[0].kind == opSweep && s.fresh == 1 {
		row.version++ // migrated again
	}
	row.seq = m.newSeq(w, s)
	a.tx.writeCopy(k, row)
	a.todo &^= 1 << k
	a.won |= 1 << k
	return stay
}

// newCopy is the row of a copy that was not there. It comes without child rows, whatever was left of those of another.
func (m *model) newCopy(w *world, left copyRow) copyRow {
	row := copyRow{there: 1, inc: w.newInc()}
	if !m.has(orphansAreMended) {
		row.child = left.child
	}
	return row
}

// noCopy is what is left of a copy that is deleted.
func (m *model) noCopy(row copyRow) copyRow {
	if m.has(childrenGoWithCopy) {
		return copyRow{}
	}
	return copyRow{child: row.child}
}

func (m *model) newSeq(w *world, s *sight) uint8 {
	if !m.has(seqIsNeverReused) {
		return s.slot.copy.seq + 1
	}
	w.lastSeq++
	return w.lastSeq
}

// finish writes what belongs to the copies that were stored: child rows, the marks that were read, quarantine.
func finish(m *model, w *world, i int) move {
	a := &w.actors[i]
	v := w.view(i)
	var gone bits
	for k := range keys {
		if a.won&(1<<k) == 0 {
			continue
		}
		gone.join(a.saw[k].marks)
		if !m.has(onlyMarksThatWereRead) {
			gone.join(m.look(&v, k).marks)
		}
	}
	if !w.marksFree(i, gone) {
		return wait
	}
	a.tx.removed.join(gone)
	for k := range keys {
		s := &a.saw[k]
		row := v.slots[k].copy
		switch {
		case a.won&(1<<k) != 0:
			child := m.convert(s, a.mapping).child
			if left := s.slot.copy.there == 0 && row.child != 0; left && child != 0 {
				return done // a unique violation
			} else if !left {
				row.child = child
			}
			a.tx.writeCopy(k, row)
			if s.slot.entry == 1 && v.slots[k].entry == 1 && m.has(storeReleases) {
				a.tx.writeEntry(k, 0)
			}
		case a.failed&(1<<k) != 0:
			m.quarantine(w, i, k, &v)
		case s.read == 1 && a.vanished&(1<<k) == 0 && row.there == 1 && s.fresh == 0 && !m.has(winnerOwnsChildren):
			row.child = m.convert(s, a.mapping).child
			a.tx.writeCopy(k, row)
		}
	}
	m.commit(w, i)
	return next
}

// quarantine lists a row that could not be converted, unless it has changed since: then its copy has another seq, or it
// has a newer mark.
func (m *model) quarantine(w *world, i, k int, v *database) {
	a := &w.actors[i]
	now := m.look(v, k)
	s := &a.saw[k]
	if m.has(quarantineIfUnchanged) && (now.slot.copy.seq != s.slot.copy.seq || !now.marks.within(s.marks)) {
		return
	}
	if now.slot.root.there == 1 && now.slot.root != s.slot.root {
		m.violate("Quarantine lists what cannot be converted: key %d is listed for what it was before it changed", k)
	}
	a.tx.writeEntry(k, 1)
}
