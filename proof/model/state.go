package main

// A world is everything that an interleaving can depend on: the committed database, and of each actor where it stands,
// what it has read and what its transaction has written. It holds bytes only, so that it has no padding and is hashed
// as it lies there.

const (
	keys     = 2 // rows of V1 with their copies; with references the second is an order of the first, a customer
	actors   = 3
	maxMarks = 12
	maxQueue = 4 // operations of one actor
)

// The phases.
const (
	expand = iota
	migrate
	cutover
	contract
)

var phaseNames = [...]string{"EXPAND", "MIGRATE", "CUTOVER", "CONTRACT"}

// Values of a V1 row.
const (
	refusedValue = 2 // V2's tables refuse it, where a scenario says so
	badValue     = 3 // cannot be converted
)

// The kinds of marks. Those of all keys have no key.
const (
	markChange = iota + 1
	markGone
	markAllGone
	markAllStale
)

const noKey = 255

// The parts of an aggregate that are locked and written one by one.
const (
	partRoot = iota
	partChild
	partCopy
	partEntry
	parts
)

// rootRow is V1's root row. inc tells one row of a key from the next that is inserted, writes one state from the next.
type rootRow struct{ there, inc, val, writes uint8 }

// childRow is V1's child row.
type childRow struct{ there, inc, val uint8 }

// copyRow is a V2 aggregate. facts are what V1 cannot express, a set of bits: V2-shaped writes add them, so they tell
// whether the copy is refined. A child row without its copy, which somebody has deleted by hand, is in the way of the
// next copy.
type copyRow struct {
	there, inc, val, child, facts, version, seq, mapping uint8
	seen                                                 allMarks
}

// allMarks counts marks of all keys.
type allMarks struct{ gone, stale uint8 }

func (a *allMarks) count(kind uint8) {
	if kind == markAllGone {
		a.gone++
	} else {
		a.stale++
	}
}

// slot is all that there is of a key but its marks.
type slot struct {
	root  rootRow
	child childRow
	copy  copyRow
	entry uint8 // in quarantine
}

type mark struct{ id, key, kind, floor uint8 }

// entity is the engine's row of an entity.
type entity struct{ phase, epoch, incomplete, restoring, restored, mapping, seeds uint8 }

type database struct {
	slots    [keys]slot
	marks    [maxMarks]mark // by id; an id of 0 is none
	entities [2]entity
	flag     uint8 // SQLite's coexist_writer: set while one of our transactions is open
}

// bits is a set of marks' ids.
type bits [4]uint8

func (b *bits) add(id uint8)      { b[id/8] |= 1 << (id % 8) }
func (b *bits) has(id uint8) bool { return b[id/8]&(1<<(id%8)) != 0 }
func (b *bits) join(other bits) {
	for i := range b {
		b[i] |= other[i]
	}
}

func (b *bits) meets(other bits) bool {
	for i := range b {
		if b[i]&other[i] != 0 {
			return true
		}
	}
	return false
}

// within reports whether other has all of them.
func (b *bits) within(other bits) bool {
	for i := range b {
		if b[i]&^other[i] != 0 {
			return false
		}
	}
	return true
}

// sight is what one statement saw of one key, as repo.state does.
type sight struct {
	slot                                slot
	marks                               bits
	all                                 allMarks
	read, fresh, gone, changed, version uint8
}

// effect is what a write means to whoever looks at an aggregate: it becomes true with COMMIT.
type effect struct{ kind, key, arg uint8 }

const (
	effectVal = iota + 1
	effectChild
	effectGone
	effectIs
	effectFacts
)

// The strengths of locks. The table's are those of ROW EXCLUSIVE, SHARE ROW EXCLUSIVE and ACCESS EXCLUSIVE.
const (
	keyShare = iota + 1
	noKeyUpdate
	forUpdate

	shared    = 1
	exclusive = 2

	rowExclusive      = 1
	shareRowExclusive = 2
	accessExclusive   = 3
)

// transaction is what is not committed yet.
type transaction struct {
	open    uint8
	wrote   [keys]uint8 // a bit for each part
	slots   [keys]slot
	added   [4]mark
	removed bits
	locks   [keys][parts]uint8
	fence   [2]uint8 // by entity
	table   [2]uint8
	phases  uint8 // the lock of whoever changes any entity's phase
	waits   uint8 // a statement waits: for a row of the incarnation
	waitInc uint8
	effects [4]effect
}

// want is an aggregate that a client wants.
type want struct{ val, child, facts, mapping uint8 }

// snapshot is what a REPEATABLE READ transaction sees of V1 and of the phase.
type snapshot struct {
	taken    uint8
	roots    [keys]rootRow
	children [keys]childRow
	entities [2]entity
}

type operation struct{ kind, arg, keys uint8 }

// actor is a client, a run or another program, at one of its operations.
type actor struct {
	queue    [maxQueue]operation
	pc       uint8
	done     uint8
	began    uint8
	try      uint8
	base     uint8  // where a batch that is tried again begins
	guess    entity // the fence that the next statement will probably find
	under    entity // the fence that the last statement or the transaction has found
	mapping  uint8  // the instance's
	saw      [keys]sight
	todo     uint8 // sets of keys: to be stored, stored, failed, without a V1 row
	won      uint8
	failed   uint8
	vanished uint8
	same     uint8 // keys that a restore need not write, since both shapes agree
	locked   uint8 // the leading root row was there to be locked
	want     want  // what a write has written, or wants to
	single   uint8 // batches of one row
	position uint8 // batches that are done
	expected uint8 // the version that a client has read
	applied  uint8 // times that the request was committed
	tx       transaction
	snapshot snapshot
	current  [keys][16]uint8 // of each key: every meaning that it had since the operation began
}

type world struct {
	db       database
	actors   [actors]actor
	lastMark uint8
	lastSeq  uint8
	lastInc  uint8
	meanings [keys]uint8 // what each aggregate is according to the writes that were committed
	versions [keys]uint8 // the highest that anybody could have seen
}

// meaning packs an aggregate: 0 is absent.
func meaning(val, child, facts uint8) uint8 { return 1 | val<<1 | child<<3 | facts<<5 }

const v1Part = 31 // the bits of a meaning that V1 expresses

func valueOf(meaning uint8) uint8 { return meaning >> 1 & 3 }

// childValue packs a child row: 0 is none.
func (c childRow) value() uint8 {
	if c.there == 0 {
		return 0
	}
	return c.val + 1
}

func (d *database) addMark(m mark) {
	for i := range d.marks {
		if d.marks[i].id == 0 {
			d.marks[i] = m
			for ; i > 0 && d.marks[i-1].id > m.id; i-- {
				d.marks[i-1], d.marks[i] = d.marks[i], d.marks[i-1]
			}
			return
		}
	}
	panic("too many marks for this model: raise maxMarks")
}

func (d *database) removeMarks(b *bits) {
	n := 0
	for _, m := range d.marks {
		if m.id != 0 && !b.has(m.id) {
			d.marks[n] = m
			n++
		}
	}
	clear(d.marks[n:])
}

// view is what a READ COMMITTED statement of an actor sees: what is committed and what its own transaction has written.
func (w *world) view(i int) database {
	d := w.db
	t := &w.actors[i].tx
	if t.open == 0 {
		return d
	}
	for k := range t.slots {
		own, wrote := &t.slots[k], t.wrote[k]
		if wrote&(1<<partRoot) != 0 {
			d.slots[k].root = own.root
		}
		if wrote&(1<<partChild) != 0 {
			d.slots[k].child = own.child
		}
		if wrote&(1<<partCopy) != 0 {
			d.slots[k].copy = own.copy
		}
		if wrote&(1<<partEntry) != 0 {
			d.slots[k].entry = own.entry
		}
	}
	d.removeMarks(&t.removed)
	for _, m := range t.added {
		if m.id != 0 {
			d.addMark(m)
		}
	}
	return d
}

func (t *transaction) writeRoot(k int, r rootRow) {
	t.slots[k].root, t.wrote[k] = r, t.wrote[k]|1<<partRoot
}

func (t *transaction) writeChild(k int, c childRow) {
	t.slots[k].child, t.wrote[k] = c, t.wrote[k]|1<<partChild
}

func (t *transaction) writeCopy(k int, c copyRow) {
	t.slots[k].copy, t.wrote[k] = c, t.wrote[k]|1<<partCopy
}

func (t *transaction) writeEntry(k int, there uint8) {
	t.slots[k].entry, t.wrote[k] = there, t.wrote[k]|1<<partEntry
}

func (t *transaction) means(kind uint8, k int, arg uint8) {
	for i := range t.effects {
		if t.effects[i].kind == 0 {
			t.effects[i] = effect{kind, uint8(k), arg}
			return
		}
	}
	panic("too many effects for one transaction of this model")
}

func (t *transaction) addMark(m mark) {
	for i := range t.added {
		if t.added[i].id == 0 {
			t.added[i] = m
			return
		}
	}
	panic("too many marks for one transaction of this model")
}

// removeMarks deletes marks, those of the transaction itself too.
func (t *transaction) removeMarks(gone bits) {
	t.removed.join(gone)
	for i, m := range t.added {
		if m.id != 0 && gone.has(m.id) {
			t.added[i] = mark{}
		}
	}
}

func (w *world) newMark(i, k int, kind, floor uint8) {
	w.lastMark++
	w.actors[i].tx.addMark(mark{w.lastMark, uint8(k), kind, floor})
}

func (w *world) newInc() uint8 { w.lastInc++; return w.lastInc }
