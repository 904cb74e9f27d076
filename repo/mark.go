package repo

// markKind says what a mark means.
type markKind string

const (
	// markChange: V1 of the key changed without its copy.
	markChange markKind = "CHANGE"
	// markGone: the key was deleted. A tombstone: it stays, keeps the version floor, and the copy under it is never merged.
	markGone markKind = "GONE"
	// markAllGone: the V1 root table was truncated. A tombstone for every older copy, and a version more, since who creates the
	// key again may leave no mark of its own. It has no key.
	markAllGone markKind = "ALL_GONE"
	// markAllStale: every older copy is stale, and counts one version more. It has no key.
	markAllStale markKind = "ALL_STALE"
)

// mark is a line of the append-only log that says "V1 of this key changed without its copy".
type mark struct {
	ID     int64    `json:"id"`
	Kind   markKind `json:"kind"`
	Floor  int64    `json:"floor"`  // of a tombstone: the version that was deleted
	Bypass bool     `json:"bypass"` // a trigger has left it
}

// state is what one statement saw of one key, values apart: enough to decide freshness and version.
type state struct {
	hasCopy  bool
	seq      int64 // of the copy; changes with every write to it and is never reused
	version  int64 // of the copy
	nullMark int64 // of the copy: the highest mark of all keys that its storer saw
	marks    []mark
	allMarks []mark
}

// fresh reports whether the copy may answer: it exists, no mark for its key is visible, and no mark of all keys is newer than it.
func (s state) fresh() bool {
	return s.hasCopy && len(s.marks) == 0 && s.nullMark >= s.highestAllMark()
}

// gone reports whether the copy lies under a tombstone, so that it must never be merged into what V1 holds now.
func (s state) gone() bool {
	for _, m := range s.marks {
		if m.Kind == markGone {
			return true
		}
	}
	for _, m := range s.allMarks {
		if m.Kind == markAllGone && m.ID > s.nullMark {
			return true
		}
	}
	return false
}

// changed reports whether the key has a mark that is no tombstone.
func (s state) changed() bool {
	for _, m := range s.marks {
		if m.Kind != markGone {
			return true
		}
	}
	return false
}

// bypassed reports whether another program has changed the key without its copy.
func (s state) bypassed() bool {
	for _, m := range s.marks {
		if m.Bypass {
			return true
		}
	}
	return false
}

// currentVersion is the version of the entity: a base, and one more for each mark of the key and for each of all keys. The base
// is the copy's version less the marks of all keys that it has counted already, or the floor of a tombstone where that is
// higher; 1 where there is neither. So it never falls, whatever is stored, deleted or created again, and does not
// grow either when somebody stores late what he has read before the last marks came. A tombstone that a trigger has left has no floor.
func (s state) currentVersion() int64 {
	base, known := int64(1), false
	if s.hasCopy {
		base, known = s.version-s.counted(), true
	}
	for _, m := range s.marks {
		if m.Kind == markGone && !m.Bypass && (!known || m.Floor > base) {
			base, known = m.Floor, true
		}
	}
	return base + int64(len(s.marks)) + int64(len(s.allMarks))
}

// counted is how many of the marks of all keys are in the copy's version: those that its storer has seen.
func (s state) counted() int64 {
	var n int64
	for _, m := range s.allMarks {
		if m.ID <= s.nullMark {
			n++
		}
	}
	return n
}

// foldedFloor is the floor of the one tombstone that takes the place of the copy and of its marks, such that the version stays
// what it is: beside the floor the tombstone counts, and every mark of all keys.
func (s state) foldedFloor() int64 { return s.currentVersion() - 1 - int64(len(s.allMarks)) }

// highestAllMark is the id of the newest mark of all keys, 0 without one. A storer keeps it with the copy.
func (s state) highestAllMark() int64 {
	var highest int64
	for _, m := range s.allMarks {
		highest = max(highest, m.ID)
	}
	return highest
}

// lastMark is the id of the key's newest mark, 0 without one.
func (s state) lastMark() int64 {
	var last int64
	for _, m := range s.marks {
		last = max(last, m.ID)
	}
	return last
}
