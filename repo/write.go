package repo

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
	"github.com/alwaysup/coexist/value"
)

// see reads one key within a transaction. It returns nil if neither shape nor the log knows the key.
func (r *Repository[V1, V2]) see(ctx context.Context, t *tx, key string) (*seen[V1, V2], error) {
	if found := t.looked; found != nil && len(found.answers) == 1 && t.entity == r.entity && *t.opening.key == key {
		t.looked = nil // what the transaction does next changes it
		if s, err := r.decode(found.fence, found.answers[0]); !errors.Is(err, database.ErrUnusual) {
			return s, err
		}
	}
	found, err := r.lookUp(ctx, t.Session, wantBoth, []string{key})
	return found[key], err
}

// readLocked reads the aggregate whose rows the transaction has locked. It fails with ErrNotFound where the leading
// side has no such row, and is busy where the row came after the lock.
func (r *Repository[V1, V2]) readLocked(ctx context.Context, t *tx, key string) (*seen[V1, V2], error) {
	s, err := r.see(ctx, t, key)
	switch {
	case err != nil:
		return nil, err
	case s == nil || s.absent():
		return nil, ErrNotFound
	case !t.locked:
		return nil, database.Busy(errors.New("the row was inserted again"))
	default:
		return s, nil
	}
}

// dual reports whether a write goes to both shapes where V1 leads. An instance whose mapping is older than the entity's
// leaves V2 alone.
func (e *entity) dual(t *tx) bool {
	return t.fence.migrates() && t.fence.MappingVersion <= e.mappingVersion
}

// mayWriteV1 returns an error where V1-shaped writes are refused: from CUTOVER on, every write must reach V2 at once.
func (e *entity) mayWriteV1(t *tx) error {
	if t.fence.Phase == Cutover || t.fence.Phase == Contract {
		return e.needsMapping(t.fence)
	}
	return nil
}

// mayWriteV2 returns an error where V2-shaped writes are refused.
func (e *entity) mayWriteV2(t *tx) error {
	if t.fence.Phase == Expand {
		return ErrV2NotOpen
	}
	return e.needsMapping(t.fence)
}

// acceptable checks what a client wants to write over before, which is nil for a create. A fault that was already there
// is not the client's fault.
func (r *Repository[V1, V2]) acceptable(before, after *V1) error {
	if before != nil && r.keyOf(r.v1, before) != r.keyOf(r.v1, after) {
		return inputError(Faulty(r.v1.Key.Field(""), "cannot be changed"))
	}
	if err := r.canonicalize(before, after); err != nil {
		return inputError(err)
	}
	if err := r.v1.CheckLimits(before, after); err != nil {
		return inputError(err)
	}
	if before == nil {
		return refused(nil, validate(after))
	}
	return refused(validate(before), validate(after))
}

// canonicalize turns Numbers into what their columns will make of them, so that both shapes get the same value. The
// caller's values stay as they are.
func (r *Repository[V1, V2]) canonicalize(before, after *V1) error {
	differs := false
	err := r.v1.CanonicalizeNumbers(r.db.dialect.Held, before, after,
		func(number reflect.Value, held value.Number, _ string) error {
			differs = differs || string(held) != number.String()
			return nil
		})
	if err != nil || !differs {
		return err
	}
	if *after, err = shape.DeepCopy(*after); err != nil {
		return err
	}
	return r.v1.CanonicalizeNumbers(r.db.dialect.Held, before, after,
		func(number reflect.Value, held value.Number, _ string) error {
			number.SetString(string(held))
			return nil
		})
}

// validate calls the model's own validation, if it has one.
func validate(model any) error {
	if v, ok := model.(Validator); ok {
		return v.Validate()
	}
	return nil
}

// apply writes only what differs. It fails with a *ConflictError where a trigger or a rule withholds the whole write.
func (e v1Rows) apply(ctx context.Context, t *tx, d *shape.Difference) error {
	if d.Empty() {
		return nil
	}
	key := *e.v1.Key
	written := int64(0)
	write := func(statement string, rows []shape.Row) error {
		n, err := e.writeRows(ctx, t, statement, rows)
		written += n
		return err
	}
	var late []latecomer
	if len(d.Columns) > 0 {
		root, left := []shape.Row{d.Row}, latecomer{}
		if slices.ContainsFunc(d.Children, func(c shape.ChildChange) bool { return len(c.Inserted) > 0 }) {
			root, left = e.withoutLate(e.v1, []shape.Column{key}, root)
		}
		left.columns = slices.DeleteFunc(left.columns, func(l shape.Column) bool {
			return !slices.ContainsFunc(d.Columns, func(c shape.Column) bool { return c.Name == l.Name })
		})
		late = append(late, left)
		if err := write(e.updateStatement(e.v1.SQL, []shape.Column{key}, d.Columns, len(root)), root); err != nil {
			return err
		}
	}
	remove := func() error {
		for _, c := range e.deletesInOrder(d.Children) {
			if err := e.takeOut(ctx, t, &c.Child.Table, c.Child.KeyColumns(key), c.Deleted); err != nil {
				return err
			}
		}
		for _, c := range e.deletesInOrder(d.Children) {
			if err := write(e.deleteStatement(c.Child.SQL, c.Child.KeyColumns(key), len(c.Deleted)),
				c.Deleted); err != nil {
				return err
			}
		}
		return nil
	}
	update := func() error {
		for i := range d.Children {
			c := &d.Children[i]
			for _, rows := range e.inOrder(c) {
				if err := write(e.updateStatement(c.Child.SQL, c.Child.KeyColumns(key), c.UpdatedColumns, len(rows)),
					rows); err != nil {
					return err
				}
			}
		}
		return nil
	}
	insert := func() error {
		for _, c := range e.insertsInOrder(d.Children) {
			rows, left := e.withoutLate(&c.Child.Table, c.Child.KeyColumns(key), c.Inserted)
			late = append(late, left)
			if err := write(e.insertStatement(c.Child.SQL, c.Child.AllColumns(key), len(rows), ""), rows); err != nil {
				return err
			}
		}
		return e.writeLate(ctx, t, late)
	}
	steps := []func() error{remove, update, insert}
	if e.insertsFirst(d.Children) {
		steps = []func() error{insert, update, remove}
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	if written == 0 {
		return e.withheld(fmt.Sprint(d.Row[key.Name]), "change")
	}
	return nil
}

// withheld is the error of a write of which V1 kept nothing.
func (e *entity) withheld(key, what string) error {
	return &ConflictError{fmt.Sprintf("V1 keeps %s %s as it was: a trigger or a rule of its owner's withholds the %s",
		e.name, key, what)}
}

// How much a write adds to the version. A created aggregate adds nothing: its version already stands above the floor of
// its tombstone.
const (
	created = 0
	changed = 1
)

// refreshCopy brings the copy up to date with the V1 aggregate written, which the transaction has just put in the place
// of before; before is nil for a new aggregate. refreshCopy returns what V1 has made of the write. Where it cannot
// write the copy, or must not, it leaves a mark.
func (r *Repository[V1, V2]) refreshCopy(ctx context.Context, t *tx, before, written *V1,
	growth int64,
) (v1 V1, err error) {
	key := r.keyOf(r.v1, written)
	s, found, err := r.after(ctx, t, key, r.changedReferences(before, written))
	if err != nil {
		return v1, err
	}
	if err := r.holdUnguarded(ctx, t, found, before, written, func(field string) string { return field }); err != nil {
		return v1, err
	}
	if err := r.reconcileEffects(ctx, t, &s.key, found.Effects); err != nil {
		return v1, err
	}
	const tries = 10
	for range tries {
		switch {
		case s.v1Err != nil:
			return v1, r.conversionError(key, s.v1Err)
		case s.v1 == nil:
			return v1, r.notKept(before == nil)
		}
		s.again = true
		c, conversionErr := r.internalRead(s)
		if conversionErr != nil && t.fence.Phase == Cutover {
			return v1, conversionErr // from CUTOVER on V2 must hold every write
		}
		if conversionErr != nil || !r.dual(t) {
			return *s.v1, r.leaveStale(ctx, t, s, conversionErr)
		}
		if err := r.put(ctx, t, s, c, growth); !errors.Is(err, errOvertaken) {
			return *s.v1, err
		}
		if s, err = r.see(ctx, t, key); err != nil {
			return v1, err
		}
	}
	return v1, database.Busy(errOvertaken)
}

// notKept is the error of a write after which V1 has no row with the key.
func (r *Repository[V1, V2]) notKept(created bool) error {
	if created {
		return notRepresentable(Faulty(r.v1.Key.Field(""),
			"V1 does not keep a row with this key: a trigger or a rule of its owner's withholds it, or changes the key"))
	}
	return &ConflictError{"V1 has no such row after the write: a trigger of its owner's has removed it"}
}

// put stores a copy and raises its version by growth. It is busy with errOvertaken where the copy has changed since it
// was read.
func (r *Repository[V1, V2]) put(ctx context.Context, t *tx, s *seen[V1, V2], c Record[V2], growth int64) error {
	p := r.pending(s, c)
	p.version += growth
	stored, err := r.copies.store(ctx, t, []pending{p}, OriginWrite)
	if err == nil && !stored[s.key] {
		return database.Busy(errOvertaken)
	}
	return err
}

// leaveStale leaves a mark instead of a new copy, and keeps the quarantine up to date.
func (r *Repository[V1, V2]) leaveStale(ctx context.Context, t *tx, s *seen[V1, V2], conversionErr error) error {
	if err := r.marks.add(ctx, t, s.key, markChange, 0); err != nil {
		return err
	}
	if conversionErr == nil {
		return r.release(ctx, t, []string{s.key})
	}
	again, err := r.see(ctx, t, s.key)
	if err != nil {
		return err
	}
	return r.quarantine(ctx, t, []failure{newFailure(s.key, again.state, conversionErr)})
}

// acceptableV2 is acceptable for the V2 shape.
func (r *Repository[V1, V2]) acceptableV2(before, after *V2) error {
	if err := r.v2.CheckLimits(before, after); err != nil {
		return inputError(err)
	}
	if before == nil {
		return refused(nil, validate(after))
	}
	return refused(validate(before), validate(after))
}

// refused returns the error of a model's own validation as an *InputError, unless the same error was there before the
// change.
func refused(before, after error) error {
	if after == nil || before != nil && field(before) == field(after) {
		return nil
	}
	return inputError(after)
}

// Delete removes the entity with the key from both shapes, with its child rows. It needs no conversion.
//
// It fails with ErrNotFound, with ErrStaleVersion where expectedVersion is given and is not the version, and with
// ErrConflict where other rows refer to this one.
func (r *Repository[V1, V2]) Delete(ctx context.Context, key string, expectedVersion *int64) error {
	if !r.validKey(key) {
		return ErrNotFound
	}
	err := r.write(ctx, opening{key: &key, deleting: true}, func(ctx context.Context, t *tx) error {
		s, err := r.readLocked(ctx, t, key)
		if err != nil {
			return err
		}
		if expectedVersion != nil && *expectedVersion != s.state.currentVersion() {
			return fmt.Errorf("%w: the version is %d", ErrStaleVersion, s.state.currentVersion())
		}
		if err := r.foreignKeys.referred(ctx, t, key); err != nil {
			return err
		}
		return r.deleteBoth(ctx, t, key, s.state)
	})
	if refused, ok := errors.AsType[*database.ConstraintError](err); ok {
		switch refused.Kind {
		case database.ForeignKeyViolation:
			return ErrConflict
		case database.Refusal:
			return refusedError(refused.Refused)
		default:
			return &ConflictError{"V1 refuses it: " + shape.FirstLine(refused.Err)}
		}
	}
	return err
}

// deleteBoth leaves a tombstone, so that a storer that read the entity earlier cannot bring it back.
func (e *entity) deleteBoth(ctx context.Context, t *tx, key string, s state) error {
	if t.fence.leader() == sideV1 || t.fence.writesV1() {
		finish, err := e.converter.beforeDelete(ctx, t, key)
		if err != nil {
			return err
		}
		if err := e.v1Rows.remove(ctx, t, key); err != nil {
			return err
		}
		if err := finish(ctx); err != nil {
			return err
		}
		found, err := e.afterDelete(ctx, t, key)
		switch {
		case err != nil:
			return err
		case bool(found.Kept):
			return e.withheld(key, "delete")
		}
		if err := e.reconcileEffects(ctx, t, &key, found.Effects); err != nil {
			return err
		}
	}
	if s.hasCopy {
		gone, err := e.copies.remove(ctx, t, key, s.seq)
		if err != nil {
			return err
		}
		if gone == 0 {
			return database.Busy(errOvertaken)
		}
	}
	if err := e.marks.add(ctx, t, key, markGone, s.currentVersion()); err != nil {
		return err
	}
	if _, err := e.marks.remove(ctx, t, s.marks); err != nil {
		return err
	}
	return e.release(ctx, t, []string{key})
}

// remove deletes the rows of V1, children first.
func (e v1Rows) remove(ctx context.Context, t *tx, key string) error {
	for i, at := range e.v1Places() {
		for _, c := range e.late(e.v1.All()[i]) {
			if _, err := t.Exec(ctx, e.sql(`UPDATE {table} SET {column} = NULL WHERE {keyColumn} = {?}
				AND {column} IS NOT NULL`, "table", at.table, "column", quote(c.Name), "keyColumn", at.column),
				key); err != nil {
				return err
			}
		}
	}
	for _, c := range slices.Backward(e.childrenInOrder()) {
		if _, err := t.Exec(ctx, e.sql(`DELETE FROM {child} WHERE {parentKey} = {?}`, "child", c.SQL,
			"parentKey", quote(c.ParentKey)), key); err != nil {
			return err
		}
	}
	_, err := t.Exec(ctx, e.sql(`DELETE FROM {v1} WHERE {v1.key} = {?}`), key)
	return err
}
