package repo

import "strings"

// markKind says what a mark means.
type markKind string

const (
	// markChange: V1 of the key changed without its copy.
	markChange markKind = "CHANGE"
	// markGone: the key was deleted. A tombstone: it stays, keeps the version floor, and the copy under it is never
	// merged.
	markGone markKind = "GONE"
	// markAllGone: the V1 root table was truncated. A tombstone for every older copy, and a version more, since who
	// creates the key again may leave no mark of its own. It has no key.
	markAllGone markKind = "ALL_GONE"
	// markAllStale: every older copy is stale, and counts one version more. It has no key.
	markAllStale markKind = "ALL_STALE"
)

// mark is a line of the append-only log that says "V1 of this key changed without its copy".
type mark struct {
	// random, for equality alone; marks that one statement leaves for several keys may share it
	ID     string   `json:"id"`
	Key    string   `json:"key"`
	Kind   markKind `json:"kind"`
	Floor  int64    `json:"floor"`  // of a tombstone: the version that was deleted; less than 0 where nobody knows
	Bypass bool     `json:"bypass"` // another program was noticed by a trigger
}

// allMarks counts the marks of all keys that a statement saw. They are never deleted, so what statements see of them
// only grows, in whatever order their writers commit: where two have counted the same, they have seen the same.
type allMarks struct {
	Gone  int64 `json:"gone"`  // of markAllGone
	Stale int64 `json:"stale"` // of markAllStale
}

func (a allMarks) sum() int64 { return a.Gone + a.Stale }

// state is what one statement saw of one key, values apart: enough to decide freshness and version.
type state struct {
	hasCopy bool
	seq     int64    // of the copy; another with every write to it, and never the same again
	version int64    // of the copy
	seen    allMarks // of the copy: what its storer saw of the marks of all keys
	marks   []mark
	all     allMarks // those that this statement saw
}

// fresh reports whether the copy may answer: it exists, no mark for its key is visible, and its storer had seen every
// mark of all keys.
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

// currentVersion is the version of the entity: a base, and one more for each mark of the key and for each of all keys.
// The base is the copy's version less the marks of all keys that it has counted already, or the floor of a tombstone
// where that is higher; 1 where there is neither. So it never falls, whatever is stored, deleted or created again, and
// does not grow either when somebody stores late what he has read before the last marks came. A tombstone that a
// trigger has left has no floor.
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

// foldedFloor is the floor of the one tombstone that takes the place of the copy and of its marks, such that the
// version stays what it is: beside the floor the tombstone counts, and every mark of all keys.
func (s state) foldedFloor() int64 { return s.currentVersion() - 1 - s.all.sum() }

// markIDs are the ids of the key's marks in one text.
func (s state) markIDs() string {
	ids := make([]string, len(s.marks))
	for i, m := range s.marks {
		ids[i] = m.ID
	}
	return strings.Join(ids, " ")
}
