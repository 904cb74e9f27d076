package main

// Other programs, which write V1's tables past the server, and the triggers that notice it.

type statementKind uint8

const (
	updateRoot statementKind = iota
	updateChild
	insertChild
	deleteRoot
	insertRootRow
	replaceRoot
	replaceOther
	changeKey
	truncateRoot
	truncateChild
)

type statement struct {
	kind statementKind
	arg  uint8
}

var scripts = []struct {
	name       string
	statements []statement
}{
	{"update the row", []statement{{updateRoot, 1}}},
	{"update the child", []statement{{updateChild, 1}}},
	{"insert a child", []statement{{insertChild, 0}}},
	{"delete", []statement{{deleteRoot, 0}}},
	{"insert", []statement{{insertRootRow, 1}}},
	{"delete and insert", []statement{{deleteRoot, 0}, {insertRootRow, 1}}},
	{"TRUNCATE", []statement{{truncateRoot, 0}}},
	{"update the child, then the row", []statement{{updateChild, 1}, {updateRoot, 1}}},
	{"TRUNCATE and insert", []statement{{truncateRoot, 0}, {insertRootRow, 1}}},
	{"update to what cannot be converted", []statement{{updateRoot, badValue}}},
	{"change the key", []statement{{changeKey, 0}}},
	{"TRUNCATE the children", []statement{{truncateChild, 0}}},
	{"REPLACE", []statement{{replaceRoot, 1}}},
	{"update to what V2's tables refuse", []statement{{updateRoot, refusedValue}}},
	{"REPLACE of another row", []statement{{replaceOther, 1}}},
}

// Scripts by number.
const (
	scriptUpdate = iota
	scriptUpdateChild
	scriptInsertChild
	scriptDelete
	scriptInsert
	scriptDeleteInsert
	scriptTruncate
	scriptChildThenRow
	scriptTruncateInsert
	scriptBad
	scriptChangeKey
	scriptTruncateChild
	scriptReplace
	scriptRefused
	scriptReplaceOther
)

// bypass is the next statement of a program's transaction, or its COMMIT.
func bypass(m *model, w *world, i int) move {
	w.begin(i)
	a := &w.actors[i]
	op := a.queue[0]
	if op.kind > opBypass && a.snapshot.taken == 0 {
		a.snapshot.taken, a.snapshot.entities = 1, w.db.entities
		if op.kind == opBypassOldest {
			a.snapshot.entities = [2]entity{}
		}
		for k, s := range w.db.slots {
			a.snapshot.roots[k], a.snapshot.children[k] = s.root, s.child
		}
		return stay
	}
	script := scripts[op.arg].statements
	if int(a.position) == len(script) {
		return skip
	}
	if m.sqlite && !w.alone(i) {
		return wait
	}
	verdict := m.bypassStatement(w, i, op.first(), script[a.position])
	if verdict == next {
		a.position++
		return stay
	}
	return verdict
}

// bypassCommit ends a program's transaction.
func bypassCommit(m *model, w *world, i int) move {
	m.commit(w, i)
	return done
}

// deleteCopyByHand deletes V2's row, and no child rows, in a database without their foreign keys. Nobody may do so
// where V2 leads, or to a copy that knows what V1 cannot express; and the next copy counts its versions anew.
func deleteCopyByHand(m *model, w *world, i int) move {
	w.begin(i)
	a := &w.actors[i]
	k := a.queue[0].first()
	v := w.view(i)
	if a.tx.waits == 0 && v.slots[k].copy.facts != 0 || v.entities[m.entityOf(k)].phase >= cutover {
		return done
	}
	if m.sqlite && !w.alone(i) {
		return wait
	}
	switch w.take(i, k, partCopy, forUpdate) {
	case gotBlocked:
		return wait
	case gotQueued:
		return stay
	case gotNone:
		return done
	}
	if v = w.view(i); v.slots[k].copy.facts != 0 {
		return done
	}
	a.tx.writeCopy(k, copyRow{child: v.slots[k].copy.child})
	w.versions[k] = 0
	m.commit(w, i)
	return done
}

func (m *model) bypassStatement(w *world, i, k int, s statement) move {
	a := &w.actors[i]
	e := m.entityOf(k)
	lock := uint8(rowExclusive)
	if s.kind >= truncateRoot {
		lock = accessExclusive
	}
	if a.tx.waits == 0 && !w.tableFree(i, e, lock) {
		return wait
	}
	if m.tooOld(w, i, k, s.kind) {
		return done // could not serialize access
	}
	a.tx.open, a.tx.table[e] = 1, max(a.tx.table[e], lock)
	before := a.tx
	verdict, noticed := m.bypassWrite(w, i, k, s)
	if verdict != next || noticed == 0 {
		return verdict
	}
	if ends := m.trigger(w, i, k, s, noticed); ends {
		a.tx = before
		return done // the program's transaction fails
	}
	return next
}

// tooOld reports whether a REPEATABLE READ transaction wants a row that has changed since its snapshot.
func (m *model) tooOld(w *world, i, k int, kind statementKind) bool {
	a := &w.actors[i]
	if a.snapshot.taken == 0 || a.tx.wrote[k] != 0 {
		return false
	}
	row, child := a.snapshot.roots[k] != w.db.slots[k].root, a.snapshot.children[k] != w.db.slots[k].child
	if m.sqlite {
		return row || child // the write is refused: the snapshot is not the newest
	}
	return row && (kind == updateRoot || kind == deleteRoot || kind == changeKey) || child && kind == updateChild
}

// bypassWrite does one statement. It returns the mark that a trigger would leave, 0 where no row was written.
func (m *model) bypassWrite(w *world, i, k int, s statement) (verdict move, noticed uint8) {
	a := &w.actors[i]
	t := &a.tx
	switch s.kind {
	case updateChild:
		return m.bypassUpdateChild(w, i, k, s.arg)
	case insertChild:
		return m.bypassInsertChild(w, i, k, s.arg)
	case insertRootRow:
		switch w.claim(i, k, partRoot) {
		case gotBlocked:
			return wait, 0
		case gotNone:
			return done, 0 // unique violation
		}
		t.writeRoot(k, rootRow{there: 1, inc: w.newInc(), val: s.arg})
		t.writeChild(k, childRow{})
		t.means(effectIs, k, meaning(s.arg, 0, 0))
		return next, markChange
	case truncateRoot, truncateChild:
		return m.bypassTruncate(w, i, s.kind)
	}
	strength := uint8(noKeyUpdate)
	if s.kind != updateRoot {
		strength = forUpdate
	}
	switch w.take(i, k, partRoot, strength) {
	case gotBlocked:
		return wait, 0
	case gotQueued:
		return stay, 0
	case gotNone:
		return next, 0
	}
	v := w.view(i)
	row, child := v.slots[k].root, v.slots[k].child
	switch s.kind {
	case updateRoot, replaceRoot, replaceOther:
		if s.kind == replaceOther && v.slots[1-k].root.there == 1 {
			t.writeRoot(1-k, rootRow{})
			t.writeChild(1-k, childRow{})
			t.means(effectGone, 1-k, 0)
		}
		if row.val = s.arg; s.kind == replaceRoot {
			row.inc = w.newInc()
		}
		row.writes++
		t.writeRoot(k, row)
		t.means(effectVal, k, s.arg)
		return next, markChange
	}
	if !w.free(i, k, partChild, forUpdate) {
		return wait, 0 // the cascade waits; the row is locked once both are free
	}
	t.locks[k][partChild] = forUpdate
	if s.kind == changeKey {
		if w.claim(i, 1-k, partRoot) != gotRow {
			return done, 0
		}
		t.writeRoot(1-k, rootRow{there: 1, inc: w.newInc(), val: row.val})
		t.writeChild(1-k, child)
		t.means(effectIs, 1-k, meaning(row.val, child.value(), 0))
	}
	t.writeRoot(k, rootRow{})
	t.writeChild(k, childRow{})
	t.means(effectGone, k, 0)
	return next, markGone
}

func (m *model) bypassUpdateChild(w *world, i, k int, val uint8) (verdict move, noticed uint8) {
	a := &w.actors[i]
	switch w.take(i, k, partChild, noKeyUpdate) {
	case gotBlocked:
		return wait, 0
	case gotQueued:
		return stay, 0
	case gotNone:
		return next, 0
	}
	v := w.view(i)
	child := v.slots[k].child
	child.val = val
	a.tx.writeChild(k, child)
	a.tx.means(effectChild, k, val+1)
	return next, markChange
}

// bypassInsertChild inserts a child row, whose foreign key locks the parent.
func (m *model) bypassInsertChild(w *world, i, k int, val uint8) (verdict move, noticed uint8) {
	a := &w.actors[i]
	switch w.take(i, k, partRoot, keyShare) {
	case gotBlocked:
		return wait, 0
	case gotQueued:
		return stay, 0
	case gotNone:
		return done, 0 // foreign key violation
	}
	switch w.claim(i, k, partChild) {
	case gotBlocked:
		return wait, 0
	case gotNone:
		return done, 0
	}
	a.tx.writeChild(k, childRow{1, w.newInc(), val})
	a.tx.means(effectChild, k, val+1)
	return next, markChange
}

func (m *model) bypassTruncate(w *world, i int, kind statementKind) (verdict move, noticed uint8) {
	t := &w.actors[i].tx
	v := w.view(i)
	for k := range keys {
		if kind == truncateRoot {
			t.writeRoot(k, rootRow{})
			t.locks[k][partRoot] = forUpdate
			t.means(effectGone, k, 0)
		} else if v.slots[k].root.there == 1 {
			t.means(effectChild, k, 0)
		}
		t.writeChild(k, childRow{})
		t.locks[k][partChild] = forUpdate
	}
	if kind == truncateRoot {
		return next, markAllGone
	}
	return next, markAllStale
}

// trigger looks at the phase and appends a mark. It reports whether it fails the program's statement.
func (m *model) trigger(w *world, i, k int, s statement, kind uint8) bool {
	a := &w.actors[i]
	e := m.entityOf(k)
	if m.sqlite && w.db.flag == 1 {
		return false // taken for a write of ours
	}
	in := w.db.entities[e]
	if a.snapshot.taken == 1 && !m.sqlite {
		if oldest := a.queue[0].kind == opBypassOldest; oldest && m.has(triggerNeedsBarrier) {
			return true // the barrier is not there
		} else if !oldest && m.has(triggerLocksPhase) &&
			(a.snapshot.entities[e].phase >= cutover) != (in.phase >= cutover) {
			return true // FOR SHARE of the barrier: could not serialize access
		}
		in = a.snapshot.entities[e]
	}
	if in.phase >= cutover && m.has(triggerRejects) {
		return true
	}
	if !m.has(triggerMarks) || s.kind == replaceRoot && !m.has(insertMarksToo) {
		return false
	}
	switch {
	case kind == markAllGone || kind == markAllStale:
		w.lastMark++
		a.tx.addMark(mark{w.lastMark, allKeys(e), kind, 0})
	case s.kind == changeKey:
		w.newMark(i, k, markGone, 0)
		w.newMark(i, 1-k, markChange, 0)
	default:
		w.newMark(i, k, kind, 0)
		if s.kind == replaceOther && w.db.slots[1-k].root.there == 1 && m.has(replacedIsMarked) {
			w.newMark(i, 1-k, markChange, 0)
		}
	}
	return false
}
