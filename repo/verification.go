package repo

import (
	"context"
	"errors"
	"slices"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// A verification walks both shapes key by key. One statement sees both sides of a key and its marks, so a difference
// without a mark is not a passing one. Even so, the verification looks at it again under lock before it reports it.

// verdict is what a verification decides about a key.
type verdict struct {
	kind   FindingKind // "" where nothing is wrong
	fault  bool
	fields []string
}

// verify compares both sides of a key.
func (r *Repository[V1, V2]) verify(s *seen[V1, V2]) verdict {
	v2Leads := s.fence.leader() == sideV2
	hasV1 := s.v1 != nil || s.v1Err != nil
	switch {
	case !hasV1 && !s.state.hasCopy:
		return verdict{}
	case !hasV1 && !v2Leads && (len(s.state.marks) > 0 || s.state.gone()):
		return verdict{kind: StaleCopy} // V1 has lost the row; a sweep will remove the copy
	case !hasV1:
		return verdict{kind: Orphan, fault: true}
	case !s.state.hasCopy:
		return verdict{kind: Missing, fault: v2Leads}
	case !v2Leads && !s.state.fresh():
		return verdict{kind: StaleCopy}
	case s.v1Err != nil:
		return verdict{kind: Different, fault: true, fields: []string{field(s.v1Err).Field}}
	}
	back, err := r.downgrade(*s.v2)
	if err != nil {
		return verdict{kind: Different, fault: true, fields: []string{field(err).Field}}
	}
	if !r.sameRows(&back, s.v1) {
		return verdict{kind: Different, fault: true, fields: differingFields(&back, s.v1)}
	}
	if s.copy.Refined || s.copy.MappingVersion != r.mappingVersion {
		return verdict{}
	}
	upgraded, err := r.derive(*s.v1, nil)
	if err != nil || !Identical(upgraded, *s.v2) {
		return verdict{kind: Different, fault: true, fields: differingFields(&upgraded, s.v2)}
	}
	return verdict{}
}

// prepareVerification reads the next keys of either shape. Where it finds a fault, it looks again in the batch's
// transaction.
func (r *Repository[V1, V2]) prepareVerification(ctx context.Context, run Run, c chunk, limit int) (*batch, error) {
	b, read, err := r.readPairs(ctx, c, limit)
	if err != nil {
		return nil, err
	}
	var behind []Finding
	var suspects []string
	for _, s := range read {
		v := r.verify(s)
		switch {
		case v.fault:
			suspects = append(suspects, s.key)
		case v.kind != "":
			behind = append(behind, Finding{Key: s.key, Kind: v.kind})
		}
	}
	look := func(repair bool) func(context.Context, *tx) (outcome, error) {
		return func(ctx context.Context, t *tx) (outcome, error) {
			faults, err := r.lookAgain(ctx, t, suspects, repair)
			if err != nil {
				return outcome{}, err
			}
			return r.runs.report(ctx, t, c, behind, faults)
		}
	}
	if run.repair {
		b.writes = suspects
	}
	b.apply = look(run.repair)
	// A repair that the database refuses is left out: the batch only reports.
	b.refuse = func(ctx context.Context, t *tx, _ error) (outcome, error) { return look(false)(ctx, t) }
	return b, nil
}

// readPairs reads the next keys of either shape, with what there is on both sides.
func (r *Repository[V1, V2]) readPairs(ctx context.Context, c chunk, limit int) (*batch, []*seen[V1, V2], error) {
	found, err := r.sweeping.readRange(ctx, r.sweeping.bothKeys(c, limit), c.Position, (*rangeRead).pairs)
	if err != nil {
		return nil, nil, err
	}
	read, all := make([]*seen[V1, V2], 0, found.rows), make([]seen[V1, V2], len(found.v1))
	for i, partner := range found.pair() {
		row := found.v1[i]
		s := &all[i]
		s.key, s.fence, s.v1 = row.key, found.fence, row.value.Interface().(*V1)
		if partner >= 0 {
			s.v2, s.copy = found.v2[partner].value.Interface().(*V2), found.v2[partner].copied
			s.state.hasCopy, s.state.seen = true, allMarks{Gone: s.copy.GoneSeen, Stale: s.copy.StaleSeen}
		}
		s.state.all = s.state.seen
		if found.fence.leader() == sideV1 {
			s.state.all = found.fence.AllMarks
		}
		if !found.unusual[row.key] {
			read = append(read, s)
		}
	}
	b := found.batch(limit)
	unusual, err := r.readUnusual(ctx, b, found, wantBoth)
	return b, append(read, unusual...), err
}

// lookAgain looks at suspects again under lock, and repairs them if asked. It looks at rows that other transactions
// have locked without a lock, and does not repair them.
func (r *Repository[V1, V2]) lookAgain(ctx context.Context, t *tx, suspects []string, repair bool) ([]Finding, error) {
	if len(suspects) == 0 {
		return nil, nil
	}
	locked, err := r.lockFree(ctx, t, suspects)
	if err != nil {
		return nil, err
	}
	found, err := r.lookUp(ctx, t.Session, wantBoth, suspects)
	if err != nil {
		return nil, err
	}
	var faults []Finding
	wanted := map[string]*V1{}
	for _, key := range suspects {
		s := found[key]
		if s == nil {
			continue
		}
		v := r.verify(s)
		if !v.fault {
			continue
		}
		finding := Finding{Key: key, Kind: v.kind, Fields: v.fields}
		hasV1 := s.v1 != nil || s.v1Err != nil
		if repair && r.needsMapping(t.fence) == nil && (locked[0][key] || !hasV1) &&
			(locked[1][key] || !s.state.hasCopy) {
			if err := r.repair(ctx, t, s, &finding, wanted); err != nil {
				return nil, err
			}
		}
		faults = append(faults, finding)
	}
	if len(wanted) == 0 {
		return faults, nil
	}
	unkept, err := r.unkept(ctx, t, wanted)
	for _, u := range unkept {
		if i := slices.IndexFunc(faults, func(f Finding) bool { return f.Key == u.Key }); i >= 0 {
			faults[i].Repaired, faults[i].Reason = false, u.Reason
			continue
		}
		faults = append(faults, u)
	}
	return faults, err
}

// lockFree locks the rows of keys that no other transaction has locked, on the leading side first. It returns the keys
// that it locked, in V1 and in V2.
func (e *entity) lockFree(ctx context.Context, t *tx, keys []string) (locked [2]map[string]bool, err error) {
	sides := []side{sideV1, sideV2}
	if t.fence.leader() == sideV2 {
		sides = []side{sideV2, sideV1}
	}
	for _, side := range sides {
		root := e.v1
		if side == sideV2 {
			root = e.v2
		}
		locked[side] = map[string]bool{}
		key := "t." + quote(root.Key.Name)
		if err := e.returnKeysOf(ctx, t, locked[side], fill(`SELECT CAST({key} AS text) FROM {root} t
			WHERE {key} IN (SELECT k.key FROM ({key list}) k) ORDER BY {key}{skipLocked}`, "key", key, "root", root.SQL,
			"skipLocked", e.db.dialect.SkipLocked(), "key list", keyListGoesHere), keys); err != nil {
			return locked, err
		}
	}
	return locked, nil
}

// repair brings a row up to date with the side that leads. It notes in the finding that it did, or why it cannot. It
// notes in wanted what V1 should hold afterwards.
func (r *Repository[V1, V2]) repair(ctx context.Context, t *tx, s *seen[V1, V2], finding *Finding,
	wanted map[string]*V1,
) error {
	if t.fence.leader() == sideV2 {
		return r.repairV1(ctx, t, s, finding, wanted)
	}
	if s.absent() {
		finding.Repaired = true
		return r.sweeping.fold(ctx, t, vanished{s.key, s.state})
	}
	s.again = true
	c, err := r.internalRead(s)
	if err != nil {
		finding.Reason = new(field(err).Reason)
		return nil
	}
	p := r.pending(s, c)
	p.version++
	stored, err := r.copies.store(ctx, t, []pending{p}, OriginRepair)
	if err == nil && !stored[s.key] {
		return database.Busy(errOvertaken)
	}
	finding.Repaired = true
	return err
}

// repairV1 brings a V1 row up to date with V2. It deletes a V1 row that V2 lacks only where a tombstone proves the
// delete.
func (r *Repository[V1, V2]) repairV1(ctx context.Context, t *tx, s *seen[V1, V2], finding *Finding,
	wanted map[string]*V1,
) error {
	if s.v2 == nil {
		if !s.state.gone() {
			return nil
		}
		finding.Repaired, wanted[s.key] = true, nil
		return r.v1Rows.remove(ctx, t, s.key)
	}
	v1, err := r.represent(s.v1, *s.v2)
	if err != nil {
		finding.Reason = new(field(err).Reason)
		return nil
	}
	err = r.bringUpV1(ctx, t, s, v1)
	if withheld, ok := errors.AsType[*ConflictError](err); ok {
		finding.Reason = &withheld.Reason
		return nil
	}
	finding.Repaired, wanted[s.key] = true, &v1
	return err
}
