package repo

import "strings"

// markKind says what a mark means.
type markKind string

const (
	// markChange: the key's V1 row changed without its copy.
	markChange markKind = "CHANGE"
	// markGone: the key was deleted. This mark is a tombstone: it stays and keeps the version floor, and the copy under
	// it is never merged.
	markGone markKind = "GONE"
	// markAllGone: the V1 root table was truncated. It is a tombstone for every older copy. It counts one version more,
	// because the program that creates the key again may leave no mark of its own. It has no key.
	markAllGone markKind = "ALL_GONE"
	// markAllStale: every older copy is stale, and the version grows by one. It has no key.
	markAllStale markKind = "ALL_STALE"
)

// mark is a line of the append-only log that says "V1 of this key changed without its copy".
type mark struct {
	// random, compared for equality only; marks that one statement leaves for several keys may share it
	ID     string   `json:"id"`
	Key    string   `json:"key"`
	Kind   markKind `json:"kind"`
	Floor  int64    `json:"floor"`  // of a tombstone: the version that was deleted; less than 0 where it is unknown
	Bypass bool     `json:"bypass"` // a trigger noticed another program's write
}

// allMarks counts the marks for all keys that a statement saw. These marks are never deleted, so the counts only grow,
// in whatever order the writers commit: two statements with the same counts have seen the same marks.
type allMarks struct {
	Gone  int64 `json:"gone"`  // of markAllGone
	Stale int64 `json:"stale"` // of markAllStale
}

func (a allMarks) sum() int64 { return a.Gone + a.Stale }

// state is what one statement saw of one key, without the values: enough to decide freshness and version.
type state struct {
	hasCopy bool
	seq     int64    // of the copy; every write changes it, and no value comes twice
	version int64    // of the copy
	seen    allMarks // of the copy: what its storer saw of the marks for all keys
	marks   []mark
	all     allMarks // the marks for all keys that this statement saw
}

// fresh reports whether the copy may answer: it exists, no mark for its key is visible, and its storer had seen every
// mark for all keys.
func (s state) fresh() bool { return s.hasCopy && len(s.marks) == 0 && s.seen == s.all }

// gone reports whether the copy lies under a tombstone, so that it must never be merged into what V1 holds now.
func (s state) gone() bool { return s.tombstoned() || s.all.Gone > s.seen.Gone }

// tombstoned reports whether a mark says that this key was deleted.
func (s state) tombstoned() bool {
	for _, m := range s.marks {
		if m.Kind == markGone {
			return true
		}
	}
	return false
}

// changed reports whether the key has a mark other than a tombstone.
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

// currentVersion is the version of the entity: a base, and one more for each mark of the key and for each mark for all
// keys. The base is the copy's version less the marks for all keys that it has already counted, or the floor of a
// tombstone where that is higher, or 1 where there is neither. So the version never falls, whatever is stored, deleted
// or created again. Nor does it grow when a storer is late and stores what it read before the last marks came. A
// tombstone left by a trigger has no floor.
func (s state) currentVersion() int64 {
	base, known := int64(1), false
	if s.hasCopy {
		base, known = s.version-s.seen.sum(), true
	}
	for _, m := range s.marks {
		if m.Kind == markGone && !m.Bypass && m.Floor >= 0 && (!known || m.Floor > base) {
			base, known = m.Floor, true
		}
	}
	return base + int64(len(s.marks)) + s.all.sum()
}

// foldedFloor is the floor of the one tombstone that replaces the copy and its marks. It keeps the version as it is:
// besides the floor, the version counts the tombstone itself and every mark for all keys.
func (s state) foldedFloor() int64 { return s.currentVersion() - 1 - s.all.sum() }

// markIDs are the ids of the key's marks in one text.
func (s state) markIDs() string {
	ids := make([]string, len(s.marks))
	for i, m := range s.marks {
		ids[i] = m.ID
	}
	return strings.Join(ids, " ")
}
