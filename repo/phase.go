package repo

import (
	"fmt"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// Phase says how far the migration of an entity has come. The database keeps it, per entity; every instance of the
// server obeys it.
type Phase string

// The phases, in their order. None is ever skipped.
const (
	// Expand: V1 leads, V2 is converted for each answer and not stored, V2-shaped writes are refused.
	Expand Phase = "EXPAND"
	// Migrate: V1 leads, rows move to V2 with use, every write goes to both.
	Migrate Phase = "MIGRATE"
	// Cutover: V2 leads, every write goes to both.
	Cutover Phase = "CUTOVER"
	// Contract: V2 alone.
	Contract Phase = "CONTRACT"
)

// phases in their order.
var phases = []Phase{Expand, Migrate, Cutover, Contract}

// side is one of the two shapes.
type side int32

const (
	sideV1 side = iota
	sideV2
)

// fence is what each statement says about the entity besides its answer: the conditions under which the answer was
// made.
type fence struct {
	Phase          Phase
	Epoch          int64
	MappingVersion int
	Incomplete     bool     // CUTOVER was forced: a key without a fresh copy is still led by V1
	Restoring      bool     // in CONTRACT: V1 is being rebuilt, and writes are dual again
	AllMarks       allMarks // the marks of every key at once
	Now            string   // the database's clock
	// a replica answered, which may lag behind writes that were acknowledged
	Standby bool
	// row-level security may hide rows from us, so that a missing row proves nothing
	Hidden bool
}

// check returns an error when this version of the engine does not know the phase in force, when a replica answered, or
// when rows may be hidden from us.
func (f fence) check() error {
	if f.Standby {
		return database.ErrStandby
	}
	if f.Hidden {
		return ErrHiddenRows
	}
	switch f.Phase {
	case Expand, Migrate, Cutover, Contract:
		return nil
	default:
		return &PhaseUnknownError{Phase: f.Phase}
	}
}

// leader is the side that reads start from and that writes lock first. In an incomplete CUTOVER V1 still has every row,
// and a row that V2 has too is the same in both, so V1 leads as in MIGRATE.
func (f fence) leader() side {
	if f.Phase == Contract || f.Phase == Cutover && !f.Incomplete {
		return sideV2
	}
	return sideV1
}

// migrates reports whether rows move to V2 with use.
func (f fence) migrates() bool { return f.Phase == Migrate || f.Phase == Cutover && f.Incomplete }

// writesV1 reports whether a write goes to V1 too where V2 leads.
func (f fence) writesV1() bool { return f.Phase == Cutover || f.Restoring }

// nextPhase returns a *FieldError unless to is from itself, or the phase that directly follows or precedes it.
func nextPhase(from, to Phase) error {
	i, j := phaseIndex(from), phaseIndex(to)
	switch {
	case j < 0:
		return Faulty("to", "there is no phase %q", to)
	case j > i+1 || j < i-1:
		return Faulty("to", "phases are never skipped: from %s go one step at a time", from)
	default:
		return nil
	}
}

func phaseIndex(p Phase) int {
	for i := range phases {
		if phases[i] == p {
			return i
		}
	}
	return -1
}

// needsMapping returns an error where this instance's mapping is older than the entity's: it must not write V2.
func (e *entity) needsMapping(f fence) error {
	if f.MappingVersion <= e.mappingVersion {
		return nil
	}
	return fmt.Errorf(
		"%w: this instance has version %d of the mapping of %s, and version %d is in use: replace it by a newer one",
		ErrUnavailable, e.mappingVersion, e.name, f.MappingVersion)
}
