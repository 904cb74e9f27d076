package repo

import (
	"context"
	"fmt"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// UpdateV1 changes the V1 aggregate with the key, and its copy, in one transaction. change receives the aggregate as it
// is and may be called more than once. What V1 cannot express stays in the copy. UpdateV1 returns the aggregate as the
// database then holds it.
//
// In EXPAND and MIGRATE a result that V2 cannot convert is still written: the copy turns stale and the key goes to
// quarantine. From CUTOVER on it is refused with a *ConversionError. In CONTRACT only V2 is written.
//
// UpdateV1 fails with ErrNotFound, with change's own error, with an *InputError for what V1 cannot hold, and with a
// *ConversionError where the row holds a value that its model cannot hold. In CONTRACT it fails with a
// *NotRepresentableError for what V1 has no place for.
func (r *Repository[V1, V2]) UpdateV1(ctx context.Context, key string, change func(*V1) error) (v1 V1, err error) {
	if !r.validKey(key) {
		return v1, ErrNotFound
	}
	err = r.write(ctx, opening{key: &key}, func(ctx context.Context, t *tx) error {
		v1, err = r.updateV1(ctx, t, key, change)
		return err
	})
	return v1, r.explainV1(ctx, err, &v1)
}

func (r *Repository[V1, V2]) updateV1(ctx context.Context, t *tx, key string,
	change func(*V1) error,
) (v1 V1, err error) {
	if err := r.mayWriteV1(t); err != nil {
		return v1, err
	}
	s, err := r.readLocked(ctx, t, key)
	if err != nil {
		return v1, err
	}
	before := s.v1
	if t.fence.leader() == sideV2 {
		downgraded, err := r.downgrade(*s.v2)
		if err != nil {
			return v1, err
		}
		before = &downgraded
	} else if s.v1Err != nil {
		return v1, r.conversionError(key, s.v1Err)
	}
	if v1, err = shape.DeepCopy(*before); err != nil {
		return v1, err
	}
	if err := change(&v1); err != nil {
		return v1, err
	}
	if err := r.acceptable(before, &v1); err != nil {
		return v1, err
	}
	if _, err := r.draw(ctx, t, before, &v1); err != nil {
		return v1, err
	}
	d := r.v1.Differ(before, &v1)
	if d.Empty() {
		return v1, nil
	}
	if t.fence.leader() == sideV2 {
		if t.fence.writesV1() {
			// During a restore V1 may not yet hold the fields that the client has left alone, and SQLite would accept a
			// value that is too long.
			if err := r.holdable(s.v1, &v1); err != nil {
				return v1, inputError(err)
			}
		}
		if err := r.sortChildRows(ctx, t, &v1); err != nil {
			return v1, err
		}
		return r.updateV1WhenV2Leads(ctx, t, s, v1)
	}
	if err := r.v1Rows.apply(ctx, t, d); err != nil {
		return v1, err
	}
	return r.refreshCopy(ctx, t, before, &v1, changed)
}

// UpdateV2 changes the V2 aggregate with the key, and the V1 row, in one transaction. change receives the aggregate as
// the internal read finds it and may be called more than once. UpdateV2 returns the record as it then is.
//
// It fails with ErrNotFound, with ErrStaleVersion where expectedVersion is given and is not the version, with
// ErrV2NotOpen in EXPAND, with change's own error, and with an *InputError for bad input. It fails with a
// *NotRepresentableError for what V1 cannot hold, unless only V2 is written, as in CONTRACT. It fails with a
// *ConversionError where V1 could not be converted in the first place.
func (r *Repository[V1, V2]) UpdateV2(ctx context.Context, key string, expectedVersion *int64,
	change func(*V2) error,
) (record Record[V2], err error) {
	if !r.validKey(key) {
		return record, ErrNotFound
	}
	var v1 V1
	err = r.write(ctx, opening{key: &key}, func(ctx context.Context, t *tx) error {
		record, v1, err = r.updateV2(ctx, t, key, expectedVersion, change)
		return err
	})
	return record, r.explain(ctx, err, func(field string) string { return r.fieldOfV2(v1, field, record.Value) }, &v1)
}

func (r *Repository[V1, V2]) updateV2(ctx context.Context, t *tx, key string, expected *int64,
	change func(*V2) error,
) (record Record[V2], v1 V1, err error) {
	if err := r.mayWriteV2(t); err != nil {
		return record, v1, err
	}
	s, err := r.readLocked(ctx, t, key)
	if err != nil {
		return record, v1, err
	}
	if expected != nil && *expected != s.state.currentVersion() {
		return record, v1, fmt.Errorf("%w: the version is %d", ErrStaleVersion, s.state.currentVersion())
	}
	v2Leads := t.fence.leader() == sideV2
	// Convert V1 again where an older mapping made the copy and no V2-shaped write has refined it since.
	s.again = !v2Leads && s.state.hasCopy && !s.copy.Refined && s.copy.MappingVersion < r.mappingVersion
	before, err := r.internalRead(s)
	if err != nil {
		return record, v1, err
	}
	after, err := shape.DeepCopy(before.Value)
	if err != nil {
		return record, v1, err
	}
	if err := change(&after); err != nil {
		return record, v1, err
	}
	record.Value = after
	if Identical(before.Value, after) {
		record, err = r.keep(ctx, t, s, before)
		return record, v1, err
	}
	if r.keyOf(r.v2, &after) != r.keyOf(r.v2, &before.Value) {
		return record, v1, inputError(Faulty(r.v2.Key.Field(""), "cannot be changed"))
	}
	if err := r.acceptableV2(&before.Value, &after); err != nil {
		return record, v1, err
	}
	if after, err = r.drawInV2(ctx, t, &before.Value, after); err != nil {
		return record, v1, err
	}
	record.Value = after
	if v2Leads {
		record, v1, err = r.updateV2WhenV2Leads(ctx, t, s, after)
		return record, v1, err
	}
	if v1, err = r.represent(s.v1, after); err != nil {
		return record, v1, err
	}
	if d := r.v1.Differ(s.v1, &v1); !d.Empty() {
		if err := r.v1Rows.apply(ctx, t, d); err != nil {
			return record, v1, err
		}
	}
	record, err = r.putV2(ctx, t, s.v1, v1, after, changed, before.Copy.MappingVersion)
	return record, v1, err
}

// keep stores the conversion that an update left unchanged. That does not count as a write of the client's.
func (r *Repository[V1, V2]) keep(ctx context.Context, t *tx, s *seen[V1, V2], c Record[V2]) (Record[V2], error) {
	if s.state.fresh() || t.fence.leader() == sideV2 { // even a copy that an older mapping has made
		return s.record(), nil
	}
	if err := r.put(ctx, t, s, c, 0); err != nil {
		return Record[V2]{}, err
	}
	return r.written(t, s, c, 0), nil
}

// written is the record of a copy that the transaction has stored.
func (r *Repository[V1, V2]) written(t *tx, s *seen[V1, V2], c Record[V2], growth int64) Record[V2] {
	return Record[V2]{Key: s.key, Value: c.Value, Version: s.state.currentVersion() + growth, Copy: Copy{
		Stored: true, Refined: c.Copy.Refined, Origin: OriginWrite, MigratedAt: parseTime(t.fence.Now),
		MappingVersion: c.Copy.MappingVersion,
	}}
}

// putV2 stores a V2 aggregate that a client wrote, with what V1's owner makes of it. Its V1 row is already written: it
// was before, and ought to be v1. mappingVersion is that of the copy that the aggregate was made from, since what an
// older mapping got wrong is still in it.
func (r *Repository[V1, V2]) putV2(ctx context.Context, t *tx, before *V1, v1 V1, v2 V2, growth int64,
	mappingVersion int,
) (record Record[V2], err error) {
	key := r.keyOf(r.v2, &v2)
	record.Value = v2
	s, found, err := r.after(ctx, t, key, r.changedReferences(before, &v1))
	switch {
	case err != nil:
		return record, err
	case s.v1 != nil && s.state.bypassed() && !Identical(*s.v1, v1):
		return record, database.Busy(errOvertaken) // another program has added a row: read again
	case s.v1Err != nil:
		return record, notRepresentable(s.v1Err)
	case s.v1 == nil:
		return record, r.notKept(before == nil)
	}
	if err := r.holdUnguarded(ctx, t, found, before, &v1, func(field string) string {
		return r.fieldOfV2(v1, field,
			v2)
	}); err != nil {
		return record, err
	}
	if err := r.reconcileEffects(ctx, t, &s.key, found.Effects); err != nil {
		return record, err
	}
	if v2, err = r.takeOver(before, v1, *s.v1, v2); err != nil {
		return record, err
	}
	c := conversion(v2, true, mappingVersion)
	if err := r.put(ctx, t, s, c, growth); err != nil {
		return record, err
	}
	return r.written(t, s, c, growth), nil
}
