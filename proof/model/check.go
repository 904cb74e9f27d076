package main

import "fmt"

// The invariants. Each is named by its sentence up to the colon.

func (m *model) violate(format string, args ...any) {
	if m.violation == "" {
		m.violation = fmt.Sprintf(format, args...)
	}
}

// commit makes a transaction true, and looks at the world as it then is.
func (m *model) commit(w *world, i int) {
	a := &w.actors[i]
	m.mayCommit(w, a)
	before := w.meanings
	w.db = w.view(i)
	for k, wrote := range a.tx.wrote {
		if c := a.tx.slots[k].copy; wrote&(1<<partCopy) != 0 && c.there == 0 && c.child != 0 && a.ours() {
			m.violate("A copy goes with its child rows: %s has left one of key %d", a.queue[0], k)
		}
		if wrote&(1<<partCopy) != 0 && a.tx.slots[k].copy.there == 1 && a.saw[k].slot.entry == 1 &&
			w.db.slots[k].entry == 1 {
			m.violate("Quarantine lists what cannot be converted: %s has converted key %d, which stays listed",
				a.queue[0], k)
		}
	}
	w.db.flag = 0
	if m.sqlite && a.ours() && !m.has(flagIsCleared) {
		w.db.flag = 1
	}
	for _, e := range a.tx.effects {
		now := &w.meanings[e.key%keys]
		switch e.kind {
		case effectVal:
			*now = *now&^6 | e.arg<<1
		case effectChild:
			*now = *now&^(3<<3) | e.arg<<3
		case effectGone:
			*now = 0
		case effectIs:
			*now = e.arg
		case effectFacts:
			*now |= e.arg << 5
		}
	}
	if a.tx.effects[0].kind != 0 {
		a.applied++
		if a.applied > 1 {
			m.violate("A request is done once: %s was done twice", a.queue[0])
		}
	}
	a.tx = transaction{}
	for j := range w.actors {
		w.witness(j)
	}
	m.checkWorld(w, before)
}

// witness notes what is current while an operation runs.
func (w *world) witness(i int) {
	a := &w.actors[i]
	if a.began == 0 || a.done == 1 {
		return
	}
	for k, now := range w.meanings {
		a.current[k][now/8] |= 1 << (now % 8)
	}
}

func (w *world) begin(i int) {
	if w.actors[i].began == 0 {
		w.actors[i].began = 1
		w.witness(i)
	}
}

// mayCommit: what a transaction was allowed to do at its start must still be allowed.
func (m *model) mayCommit(w *world, a *actor) {
	for _, f := range a.tx.effects {
		if f.kind == 0 {
			continue
		}
		in := w.db.entities[m.entityOf(int(f.key))]
		if a.ours() && (in.phase != a.under.phase || in.epoch != a.under.epoch) {
			m.violate("No write under a phase no longer in force: %s was made under %s, and it is %s", a.queue[0],
				phaseNames[a.under.phase], phaseNames[in.phase])
		}
		if a.ours() && in.phase >= cutover && (f.kind == effectVal && f.arg == badValue || f.kind == effectIs &&
			valueOf(f.arg) == badValue) {
			m.violate("From CUTOVER on V2 holds every write: %s has written what cannot be converted", a.queue[0])
		}
		if !a.ours() && in.phase >= cutover {
			m.violate("No write under a phase no longer in force: another program has written V1 in %s",
				phaseNames[in.phase])
		}
	}
	for k, wrote := range a.tx.wrote {
		c := a.tx.slots[k].copy
		if wrote&(1<<partCopy) != 0 && c.there == 1 && a.mapping < w.db.entities[m.entityOf(k)].mapping && a.ours() {
			m.violate("No copy by an older mapping: %s has stored one of version %d, and %d is in use", a.queue[0],
				c.mapping, w.db.entities[m.entityOf(k)].mapping)
		}
	}
}

func (m *model) checkWorld(w *world, before [keys]uint8) {
	d := &w.db
	for k := range d.slots {
		if now := m.current(d, k); now != w.meanings[k] {
			m.violate("Nothing is lost: key %d is %s, and was written to be %s (%s)", k, describe(now),
				describe(w.meanings[k]), phaseNames[d.entities[m.entityOf(k)].phase])
		}
		m.checkCopy(d, k)
		m.checkVersion(w, k, before[k])
	}
	if m.refs && w.meanings[1] != 0 && w.meanings[0] == 0 {
		m.violate("No reference dangles: the order is there, its customer is not")
	}
}

func (m *model) checkCopy(d *database, k int) {
	s := m.look(d, k)
	same := s.slot.root.there == s.slot.copy.there && (s.slot.root.there == 0 || s.slot.root.val == s.slot.copy.val &&
		s.slot.child.value() == s.slot.copy.child)
	in := d.entities[m.entityOf(k)]
	switch {
	case !in.leadByV2() && s.fresh == 1 && s.slot.root.there == 0:
		m.violate("A fresh copy equals V1: key %d has one, and no V1 row", k)
	case !in.leadByV2() && s.fresh == 1 && !same:
		m.violate("A fresh copy equals V1: key %d is %d/%d in V2, %d/%d in V1", k, s.slot.copy.val, s.slot.copy.child,
			s.slot.root.val, s.slot.child.value())
	case in.phase == cutover && in.leadByV2() && !same:
		m.violate("Both shapes agree in CUTOVER: key %d is %v in V2, %v %v in V1", k, s.slot.copy,
			s.slot.root, s.slot.child)
	}
}

func (m *model) checkVersion(w *world, k int, before uint8) {
	if w.meanings[k] == 0 {
		return
	}
	s := m.look(&w.db, k)
	switch {
	case w.meanings[k] != before && s.version <= w.versions[k]:
		m.violate("A version grows with each change: key %d became %s with version %d, and %d was there before", k,
			describe(w.meanings[k]), s.version, w.versions[k])
	case s.version < w.versions[k]:
		m.violate("A version never falls: key %d went from %d to %d", k, w.versions[k], s.version)
	}
	w.versions[k] = max(w.versions[k], s.version)
}

func describe(meaning uint8) string {
	if meaning == 0 {
		return "absent"
	}
	return fmt.Sprintf("(value %d, child %d, facts %d)", meaning>>1&3, meaning>>3&3, meaning>>5&3)
}

// answer checks what a read says.
func (m *model) answer(w *world, i, k int, answer, shown uint8) {
	a := &w.actors[i]
	for x := range 128 {
		if now := uint8(x); a.current[k][now/8]&(1<<(now%8)) != 0 && now&shown == answer&shown {
			return
		}
	}
	m.violate("An answer was current: %s was told that key %d is %s", a.queue[0], k, describe(answer))
}

// answerThere checks what NOT_FOUND and ALREADY_EXISTS say.
func (m *model) answerThere(w *world, i, k int, there bool) {
	a := &w.actors[i]
	for x := range 128 {
		if a.current[k][x/8]&(1<<(x%8)) != 0 && (x != 0) == there {
			return
		}
	}
	m.violate("An answer was current: %s was told that key %d is there: %v", a.queue[0], k, there)
}

// settle checks what holds when all is quiet, and what a whole sweep then does.
func (m *model) settle(w world) {
	for k := range w.db.slots {
		if w.db.entities[m.entityOf(k)].leadByV2() {
			return
		}
	}
	for e := range w.db.entities {
		if w.db.entities[e].phase == expand {
			w.db.entities[e].phase = migrate
		}
	}
	newest := w.db.entities[0].mapping
	for e := range 2 {
		if e == 1 && !m.refs {
			break
		}
		a := actor{mapping: newest, queue: [maxQueue]operation{{kind: opSweep, arg: sweepOlder, keys: 3}}}
		if m.refs {
			a.queue[0].keys = 1 << e
		}
		w.actors = [actors]actor{a, {done: 1}, {done: 1}}
		for n := 0; w.actors[0].done == 0; n++ {
			out := m.successors(&w, false)
			if len(out) == 0 || n > 200 {
				m.violate("A whole sweep leaves nothing open: it does not end")
				return
			}
			next := out[0].world
			w = next
		}
	}
	m.checkSwept(&w.db, newest)
}

func (m *model) checkSwept(d *database, newest uint8) {
	for k := range d.slots {
		s := m.look(d, k)
		convertible := s.slot.root.there == 1 && s.slot.root.val != badValue &&
			(!m.refuses || s.slot.root.val != refusedValue)
		switch {
		case s.slot.root.there == 0 && (s.slot.copy.there == 1 || s.changed == 1):
			m.violate("A whole sweep leaves nothing open: key %d has no V1 row, and a copy or a mark", k)
		case convertible && s.fresh == 0:
			m.violate("A whole sweep leaves nothing open: key %d has no fresh copy", k)
		case convertible && s.slot.copy.facts == 0 && s.slot.copy.mapping < newest:
			m.violate("A whole sweep leaves nothing open: key %d is of an older mapping", k)
		case s.slot.root.there == 1 && (s.slot.entry == 1 && s.fresh == 0) == convertible:
			m.violate("Quarantine lists what cannot be converted: key %d, value %d, listed %v", k, s.slot.root.val,
				s.slot.entry == 1)
		}
	}
}
