package main

// What a statement makes of a key: the model's mark.go, and the decisions that follow from it.

// entityOf is the entity that a key belongs to.
func (m *model) entityOf(k int) int {
	if m.refs {
		return k
	}
	return 0
}

func allKeys(e int) uint8 { return noKey - uint8(e) }

// look is one statement's view of a key.
func (m *model) look(d *database, k int) sight {
	s := sight{read: 1, slot: d.slots[k]}
	e := m.entityOf(k)
	led := d.entities[e].leadByV2()
	version := uint8(1)
	if s.slot.copy.there == 1 {
		version = s.slot.copy.version
	}
	count, marked := uint8(0), false
	for _, mk := range d.marks {
		switch {
		case mk.id == 0:
		case mk.key == allKeys(e) && !led:
			s.all.count(mk.kind)
		case mk.key == uint8(k):
			marked = true
			s.marks.add(mk.id)
			count++
			if m.has(tombstoneKeepsFloor) {
				version = max(version, mk.floor)
			}
			if mk.kind == markGone {
				s.gone = 1
			} else {
				s.changed = 1
			}
		}
	}
	seen := s.slot.copy.seen
	if led {
		s.all = seen // where V2 leads nothing makes a copy stale
	}
	if s.all.stale > seen.stale {
		count += s.all.stale - seen.stale
	}
	if s.all.gone > seen.gone && m.has(truncateCountsInVersion) {
		count += s.all.gone - seen.gone
	}
	if s.all.gone > seen.gone && m.has(truncateIsTombstone) {
		s.gone = 1
	}
	if m.has(marksCountInVersion) {
		version += count
	}
	s.version = version
	if s.slot.copy.there == 1 && !marked && seen == s.all {
		s.fresh = 1
	}
	return s
}

// leadByV2 is repo.fence.leader.
func (e entity) leadByV2() bool {
	return e.phase == contract || e.phase == cutover && e.incomplete == 0
}

// migrates is repo.fence.migrates.
func (e entity) migrates() bool { return e.phase == migrate || e.phase == cutover && e.incomplete == 1 }

// writesV1 is repo.fence.writesV1.
func (e entity) writesV1() bool { return e.phase == cutover || e.restoring == 1 }

// touchesV1 reports whether writers write V1 at all.
func (e entity) touchesV1() bool { return !e.leadByV2() || e.writesV1() }

// ledByV2 is what the engine takes for the leader: with the guard off, an incomplete CUTOVER is taken for a complete
// one.
func (m *model) ledByV2(e entity) bool {
	if !m.has(incompleteIsLedByV1) {
		e.incomplete = 0
	}
	return e.leadByV2()
}

// absent is repo.seen.absent.
func (m *model) absent(s *sight, under entity) bool {
	if m.ledByV2(under) {
		return s.slot.copy.there == 0
	}
	return s.slot.root.there == 0
}

// conversion is repo.conversion.
type conversion struct {
	want
	ok bool
}

// convert is repo.Repository.convert, for a mapping that cannot remigrate: what a refined copy holds is kept as it is.
func (m *model) convert(s *sight, mapping uint8) conversion {
	c := conversion{
		want{val: s.slot.root.val, child: s.slot.child.value(), mapping: mapping},
		s.slot.root.val != badValue,
	}
	if s.slot.copy.there == 1 && s.slot.copy.facts != 0 && (s.gone == 0 || !m.has(goneIsNeverMerged)) {
		c.facts, c.mapping = s.slot.copy.facts, s.slot.copy.mapping
	}
	return c
}

// current is what an aggregate is, by what leads.
func (m *model) current(d *database, k int) uint8 {
	s := m.look(d, k)
	c := s.slot.copy
	if d.entities[m.entityOf(k)].leadByV2() {
		if c.there == 0 {
			return 0
		}
		return meaning(c.val, c.child, c.facts)
	}
	if s.slot.root.there == 0 {
		return 0
	}
	facts := uint8(0)
	if c.there == 1 && !buried(d, m.entityOf(k), k) {
		facts = c.facts
	}
	return meaning(s.slot.root.val, s.slot.child.value(), facts)
}

// buried reports whether a copy lies under a tombstone, whatever the guards are.
func buried(d *database, e, k int) bool {
	for _, mk := range d.marks {
		if mk.key == uint8(k) && mk.kind == markGone {
			return true
		}
	}
	return countAllMarks(d, e).gone > d.slots[k].copy.seen.gone
}
