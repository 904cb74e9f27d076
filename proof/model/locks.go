package main

// Locks as PostgreSQL has them. In SQLite whoever writes has the whole database, so that none of them is ever in the
// way.

// got says how a statement that wants a row ended.
type got int

const (
	gotBlocked got = iota // it waits, as before
	gotQueued             // it has begun to wait
	gotNone               // there is no such row
	gotRow
)

func conflicts(a, b uint8) bool {
	return a == forUpdate && b > 0 || b == forUpdate && a > 0 || a == noKeyUpdate && b == noKeyUpdate
}

// free reports whether nobody else's lock of a row is in the way.
func (w *world) free(i, k, part int, strength uint8) bool {
	for j := range w.actors {
		if j != i && conflicts(w.actors[j].tx.locks[k][part], strength) {
			return false
		}
	}
	return true
}

func (d *database) row(k, part int) (there, inc uint8) {
	s := &d.slots[k]
	switch part {
	case partRoot:
		return s.root.there, s.root.inc
	case partChild:
		return s.child.there, s.child.inc
	default:
		return s.copy.there, s.copy.inc
	}
}

// take is what UPDATE, DELETE and SELECT FOR … do to one row: what the statement's snapshot does not see is not there;
// a row that somebody else has locked is waited for; and then it is the row as it is by now, unless it has gone. A row
// that was deleted and inserted again is another row, which the snapshot does not see.
func (w *world) take(i, k, part int, strength uint8) got {
	t := &w.actors[i].tx
	v := w.view(i)
	there, inc := v.row(k, part)
	blocked := !w.free(i, k, part, strength)
	switch {
	case t.waits == 0 && there == 0:
		return gotNone
	case t.waits == 0 && blocked:
		t.waits, t.waitInc = 1, inc
		return gotQueued
	case blocked:
		return gotBlocked
	case t.waits == 1 && (there == 0 || inc != t.waitInc):
		t.waits, t.waitInc = 0, 0
		return gotNone
	}
	t.waits, t.waitInc = 0, 0
	t.locks[k][part] = max(t.locks[k][part], strength)
	return gotRow
}

// claim is what INSERT does to a key: it waits for whoever has inserted or deleted the row and not yet committed. It
// returns gotNone where the key is taken.
func (w *world) claim(i, k, part int) got {
	there, _ := w.db.row(k, part)
	for j := range w.actors {
		t := &w.actors[j].tx
		if j == i || t.wrote[k]&(1<<part) == 0 {
			continue
		}
		if after, _ := (&database{slots: t.slots}).row(k, part); there == 0 || after == 0 {
			return gotBlocked
		}
	}
	v := w.view(i)
	if there, _ := v.row(k, part); there == 1 {
		return gotNone
	}
	w.actors[i].tx.locks[k][part] = forUpdate
	return gotRow
}

// tableFree reports whether nobody else has a lock of V1's tables that conflicts.
func (w *world) tableFree(i, e int, strength uint8) bool {
	for j := range w.actors {
		t := &w.actors[j].tx
		if j == i {
			continue
		}
		held := t.table[e]
		if strength == rowExclusive && held >= shareRowExclusive || strength == shareRowExclusive && held > 0 {
			return false
		}
		if strength == accessExclusive {
			for k := range t.locks {
				if held > 0 || t.locks[k][partRoot] > 0 || t.locks[k][partChild] > 0 {
					return false
				}
			}
		}
	}
	return true
}

// fenceFree reports whether the advisory lock of an entity can be had.
func (w *world) fenceFree(i, e int, strength uint8) bool {
	for j := range w.actors {
		held := w.actors[j].tx.fence[e]
		if j != i && (held == exclusive || strength == exclusive && held > 0) {
			return false
		}
	}
	return true
}

// autonomously reports whether no other transaction is open: in SQLite, whether the one writer's lock can be had.
func (w *world) alone(i int) bool {
	for j := range w.actors {
		if j != i && w.actors[j].tx.open == 1 {
			return false
		}
	}
	return true
}

// marksFree reports whether nobody else's transaction has deleted or rewritten one of these marks.
func (w *world) marksFree(i int, b bits) bool {
	for j := range w.actors {
		if j != i && b.meets(w.actors[j].tx.removed) {
			return false
		}
	}
	return true
}

// allThere reports whether nobody has deleted any of the marks.
func (w *world) allThere(i int, b bits) bool {
	for id := range uint8(32) {
		there := !b.has(id)
		for _, mk := range w.db.marks {
			there = there || mk.id == id
		}
		for _, mk := range w.actors[i].tx.added {
			there = there || mk.id == id
		}
		if !there {
			return false
		}
	}
	return true
}
