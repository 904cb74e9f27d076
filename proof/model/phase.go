package main

// The operator's steps: a change of phase, a newer mapping, RESTORE.

// The phase operation's argument is the phase and this.
const forced = 8

// countAll reads the newest mark of all keys, before anything is counted.
func countAll(m *model, w *world, i int) move {
	w.begin(i)
	a := &w.actors[i]
	e := m.entityOf(a.queue[0].first())
	a.under = w.db.entities[e]
	to, from := a.queue[0].arg&3, a.under.phase
	if to != from+1 && to+1 != from && (to != cutover || a.under.incomplete == 0) {
		return done // phases are never skipped
	}
	a.saw[0].all = countAllMarks(&w.db, e)
	return next
}

func countAllMarks(d *database, e int) (all allMarks) {
	for _, mk := range d.marks {
		if mk.id != 0 && mk.key == allKeys(e) {
			all.count(mk.kind)
		}
	}
	return all
}

// countRows counts outside of any transaction what V2 lacks. 1 in failed says that it lacks something.
func countRows(m *model, w *world, i int) move {
	a := &w.actors[i]
	d := &w.db
	if a.under.phase == migrate || a.under.phase == cutover && a.under.incomplete == 1 {
		for k := range keys {
			s := m.look(d, k)
			if m.entityOf(k) == m.entityOf(a.queue[0].first()) && (s.slot.root.there == 1 && s.fresh == 0 ||
				m.orphan(&s) && m.has(gateLooksForOrphans)) || m.husk(d, k) {
				a.failed = 1
			}
		}
	}
	if !m.gateOpens(a) {
		return done
	}
	return next
}

func (m *model) husk(d *database, k int) bool {
	return d.slots[k].copy.there == 1 && buried(d, m.entityOf(k), k) && m.has(gateLooksForHusks)
}

// orphan is a copy whose V1 row was lost in a gap: no mark of its key tells of it.
func (m *model) orphan(s *sight) bool {
	return s.slot.root.there == 0 && s.slot.copy.there == 1 && s.slot.copy.seen.stale < s.all.stale
}

// gateOpens is repo.mayPass as to rows: force passes them on the way to an incomplete CUTOVER, and on no other.
func (m *model) gateOpens(a *actor) bool {
	from, to := a.under.phase, a.queue[0].arg&3
	forward := to > from || to == from
	if a.failed == 0 || !forward {
		return true
	}
	return a.queue[0].arg&forced != 0 && (from == migrate && to == cutover || !m.has(rowsAreNotForcedIntoContract))
}

// fencePhase takes the locks of a phase change: of all phases, of the entity.
func fencePhase(m *model, w *world, i int) move {
	a := &w.actors[i]
	e := m.entityOf(a.queue[0].first())
	if m.sqlite && !w.alone(i) {
		return wait
	}
	if m.has(phasesChangeOneByOne) {
		for j := range w.actors {
			if j != i && w.actors[j].tx.phases == 1 {
				return wait
			}
		}
		a.tx.phases = 1
	}
	if m.has(phaseTakesFence) {
		if !w.fenceFree(i, e, exclusive) {
			a.tx.phases = 0
			return wait
		}
		a.tx.fence[e] = exclusive
	}
	a.tx.open = 1
	return next
}

// lockTables waits for other programs' transactions that have written V1.
func lockTables(m *model, w *world, i int) move {
	a := &w.actors[i]
	e := m.entityOf(a.queue[0].first())
	if m.sqlite || !m.has(phaseLocksTables) {
		return skip
	}
	if !w.tableFree(i, e, shareRowExclusive) {
		return wait
	}
	a.tx.table[e] = shareRowExclusive
	return next
}

// changedSince looks again under the locks, in constant time: whoever lacks a fresh copy since the count has a mark or
// an entry.
func (m *model) changedSince(d *database, a *actor, e int) {
	if a.under.phase != migrate && (a.under.phase != cutover || a.under.incomplete == 0) {
		return
	}
	if countAllMarks(d, e) != a.saw[0].all {
		a.failed = 1
	}
	for k := range keys {
		s := m.look(d, k)
		if m.entityOf(k) == e && (s.changed == 1 || s.slot.entry == 1 && s.slot.root.there == 1 &&
			s.fresh == 0 || m.husk(d, k)) {
			a.failed = 1
		}
	}
}

// setPhase decides under the locks.
func setPhase(m *model, w *world, i int) move {
	a := &w.actors[i]
	d := &w.db
	e := m.entityOf(a.queue[0].first())
	in := &d.entities[e]
	to := a.queue[0].arg & 3
	if in.phase != a.under.phase || in.epoch != a.under.epoch {
		return done
	}
	if in.seeds != a.under.seeds && m.has(seedsAreCounted) {
		return done // it counts again
	}
	if m.has(gateIsAskedUnderLocks) {
		m.changedSince(d, a, e)
	}
	if !m.gateOpens(a) {
		return done
	}
	if m.refs && m.has(referrerGoesFirst) {
		if e == 0 && to == contract && d.entities[1].phase != contract || e == 1 && in.phase == contract &&
			d.entities[0].phase == contract {
			return done
		}
	}
	if in.phase == contract && in.restored == 0 && m.has(backNeedsRestore) {
		return done
	}
	return next
}

// commitPhase is the step itself.
func commitPhase(m *model, w *world, i int) move {
	a := &w.actors[i]
	in := &w.db.entities[m.entityOf(a.queue[0].first())]
	to := a.queue[0].arg & 3
	in.incomplete = 0
	if to == cutover && in.phase != contract {
		in.incomplete = a.failed
	}
	in.phase, in.restoring, in.restored = to, 0, 0
	in.epoch++
	a.tx = transaction{}
	m.checkWorld(w, w.meanings)
	return done
}

// raiseMapping is what an instance with a newer mapping does when it starts.
func raiseMapping(m *model, w *world, i int) move {
	e := m.entityOf(w.actors[i].queue[0].first())
	if m.has(mappingIsRaisedUnderFence) && (!w.fenceFree(i, e, exclusive) || m.sqlite && !w.alone(i)) {
		return wait
	}
	w.db.entities[e].mapping = 2
	return done
}

// startRestore is a fenced step: whoever writes from then on writes V1 too.
func startRestore(m *model, w *world, i int) move {
	a := &w.actors[i]
	e := m.entityOf(a.queue[0].first())
	in := &w.db.entities[e]
	if m.has(restoreStartsUnderFence) {
		if !w.fenceFree(i, e, exclusive) || !w.tableFree(i, e, shareRowExclusive) || m.sqlite && !w.alone(i) {
			return wait
		}
		in.epoch++
	}
	if in.phase != contract {
		return done
	}
	in.restoring, in.restored = 1, 0
	a.under = *in
	return next
}

// lookRestore reads the batch without a lock. Keys whose shapes agree are left alone: from the start on, whoever writes
// one of them writes both.
func lookRestore(_ *model, w *world, i int) move {
	a := &w.actors[i]
	v := w.view(i)
	a.same = 0
	for k := range keys {
		s := &v.slots[k]
		if s.copy.there == 1 && s.root.there == 1 && s.root.val == s.copy.val &&
			s.child.there == childOf(s.copy).there && s.child.val == childOf(s.copy).val {
			a.same |= 1 << k
		}
	}
	return next
}

// restores reports whether a restore's batch takes up a key.
func (a *actor) restores(k int) bool { return a.queue[0].has(k) && a.same&(1<<k) == 0 }

// lockCopies locks V2's rows of a restore's batch.
func lockCopies(_ *model, w *world, i int) move {
	a := &w.actors[i]
	for k := range keys {
		if !a.restores(k) || a.todo&(1<<k) != 0 {
			continue
		}
		switch w.take(i, k, partCopy, forUpdate) {
		case gotBlocked:
			return wait
		case gotQueued:
			return stay
		case gotRow:
			a.won |= 1 << k
		}
		a.todo |= 1 << k
		return stay
	}
	a.todo = 0
	return skip
}

// lockRoots locks V1's rows, and child rows without waiting.
func lockRoots(m *model, w *world, i int) move {
	a := &w.actors[i]
	for k := range keys {
		if !a.restores(k) || a.todo&(1<<k) != 0 || !m.has(restoreLocksV1) {
			continue
		}
		switch w.take(i, k, partRoot, forUpdate) {
		case gotBlocked:
			return wait
		case gotQueued:
			return stay
		}
		if !w.free(i, k, partChild, forUpdate) {
			return retry
		}
		a.tx.locks[k][partChild] = forUpdate
		a.todo |= 1 << k
		return stay
	}
	a.todo = 0
	return skip
}

// seeRestore reads the batch under its locks. A row of V2 that has come since the locks must be locked first.
func seeRestore(m *model, w *world, i int) move {
	a := &w.actors[i]
	v := w.view(i)
	for k := range keys {
		if !a.restores(k) {
			continue
		}
		a.saw[k] = m.look(&v, k)
		a.saw[k].gone = 0
		if buried(&v, m.entityOf(k), k) {
			a.saw[k].gone = 1
		}
		if a.saw[k].slot.copy.there == 1 && a.won&(1<<k) == 0 {
			return retry
		}
	}
	return next
}

// applyRestore brings V1 up to V2. A V1 row without a copy is deleted only where a tombstone proves the delete.
func applyRestore(m *model, w *world, i int) move {
	a := &w.actors[i]
	for k := range keys {
		s := &a.saw[k]
		if !a.restores(k) || a.todo&(1<<k) != 0 {
			continue
		}
		a.todo |= 1 << k
		v := w.view(i)
		row := v.slots[k].root
		switch {
		case s.slot.copy.there == 1:
			if g := m.refer(w, i, k); g != gotRow {
				a.failed |= 1 << k
				return stay
			}
			var g got
			if s.slot.root.there == 1 {
				g = w.take(i, k, partRoot, noKeyUpdate)
			} else {
				g = w.claim(i, k, partRoot)
				row = rootRow{there: 1, inc: w.newInc()}
			}
			switch g {
			case gotBlocked, gotQueued:
				a.todo &^= 1 << k
				return []move{wait, stay}[g]
			case gotNone:
				return stay // no row is written
			}
			row.there = 1
			row.val = s.slot.copy.val
			row.writes++
			a.tx.writeChild(k, childOf(s.slot.copy))
		case s.slot.root.there == 0:
			return stay
		case s.gone == 0 && m.has(restoreNeedsTombstone):
			a.failed |= 1 << k // a finding
			return stay
		default:
			if s.gone == 0 {
				m.violate("A restore deletes what was deleted: it deletes key %d, and there is no tombstone", k)
			}
			if !w.free(i, k, partRoot, forUpdate) {
				a.todo &^= 1 << k
				return wait
			}
			row = rootRow{}
			a.tx.writeChild(k, childRow{})
		}
		a.tx.writeRoot(k, row)
		a.tx.locks[k][partRoot] = forUpdate
		a.tx.table[m.entityOf(k)] = rowExclusive
		return stay
	}
	m.commit(w, i)
	if a.failed == 0 {
		w.db.entities[m.entityOf(a.queue[0].first())].restored = 1
	}
	return done
}

// purge is what must not be: tombstones that are deleted because they are old.
func purge(m *model, w *world, i int) move {
	w.begin(i)
	if m.has(lastTombstoneIsKept) {
		return done
	}
	a := &w.actors[i]
	var old bits
	for _, mk := range w.db.marks {
		if mk.id != 0 && mk.kind == markGone {
			old.add(mk.id)
		}
	}
	if !w.marksFree(i, old) {
		return wait
	}
	a.tx.open, a.tx.removed = 1, old
	m.commit(w, i)
	return done
}
