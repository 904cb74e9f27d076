package repo

import (
	"context"
	"database/sql"
	"reflect"
	"slices"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// Writes where V2 leads, in CUTOVER and CONTRACT. V2's root row is locked first, then V1's where writes are dual. V1 is
// written and read back, and V2 is made from what V1 then holds. No copy is ever stale here: the gate lets no stale
// copy in, and old programs are rejected.

// updateV1WhenV2Leads writes a V1 aggregate that a client has changed, and returns the result.
func (r *Repository[V1, V2]) updateV1WhenV2Leads(ctx context.Context, t *tx, s *seen[V1, V2], v1 V1) (V1, error) {
	mappingVersion := r.mappingVersion
	if s.copy.Refined { // it is merged, so what an older mapping got wrong may still be in it
		mappingVersion = s.copy.MappingVersion
	}
	held, found, err := r.writeBack(ctx, t, s, v1, false)
	if err != nil {
		return v1, err
	}
	v2, err := r.derive(held, s)
	if err != nil {
		return v1, err
	}
	c := conversion(v2, s.copy.Refined, mappingVersion)
	if err := r.holdReferences(ctx, t, found, s.v2, &c.Value, sideV1); err != nil {
		return v1, err
	}
	if err := r.put(ctx, t, s, c, changed); err != nil {
		return v1, err
	}
	return held, r.reconcileEffects(ctx, t, &s.key, found.Effects)
}

// sortChildRows sorts the child rows that a V1 client has written as the database sorts them. Where V2 leads they are
// stored from what the client sent, and are not read from V1 first, so nothing else would sort them.
func (r *Repository[V1, V2]) sortChildRows(ctx context.Context, t *tx, v1 *V1) error {
	v := reflect.ValueOf(v1).Elem()
	for i := range r.v1.Children {
		c := &r.v1.Children[i]
		list := v.FieldByIndex(c.Index)
		if list.Len() < 2 {
			continue
		}
		rows := c.Rows(v, v.FieldByIndex(r.v1.Key.Index).Interface())
		columns := []shape.Column{{Name: shape.PositionColumn, Declared: "integer"}}
		for j := range rows {
			rows[j][shape.PositionColumn] = j
		}
		for _, own := range c.Own {
			columns = append(columns, c.Columns[own])
		}
		from, value := r.db.dialect.Records(columns, 0)
		var by []string
		for _, own := range columns[1:] {
			order := value(own.Name)
			if collation := own.Now().Collation; collation != "" {
				order += fill(` COLLATE {collation}`, "collation", collation)
			}
			by = append(by, order)
		}
		document, err := shape.Marshal(rows)
		if err != nil {
			return err
		}
		arranged := reflect.MakeSlice(list.Type(), 0, list.Len())
		if err := t.Query(ctx, func(answer *sql.Rows) error {
			var at int
			err := answer.Scan(&at)
			if err == nil {
				arranged = reflect.Append(arranged, list.Index(at))
			}
			return err
		}, fill(`SELECT {value.positionColumn} FROM {from} ORDER BY {by}`,
			"value.positionColumn", value(shape.PositionColumn), "from", from, "by", strings.Join(by, ", ")),
			document); err != nil {
			return err
		}
		list.Set(arranged)
	}
	return nil
}

// derive converts what a V1 client has written, and proves it. It fails with a *ConversionError. s is nil for a new
// aggregate.
func (r *Repository[V1, V2]) derive(v1 V1, s *seen[V1, V2]) (v2 V2, err error) {
	if s != nil && s.copy.Refined {
		v2, err = r.merged(v1, *s.v2)
	} else {
		v2, err = r.upgraded(v1)
	}
	if err != nil {
		return v2, r.conversionError(r.keyOf(r.v1, &v1), err)
	}
	return v2, nil
}

// updateV2WhenV2Leads writes a V2 aggregate that a client has changed. It returns the V1 aggregate that was written
// with it.
func (r *Repository[V1, V2]) updateV2WhenV2Leads(ctx context.Context, t *tx, s *seen[V1, V2],
	v2 V2,
) (record Record[V2], v1 V1, err error) {
	record.Value = v2
	var found aftermath
	if t.fence.writesV1() {
		if v1, err = r.represent(s.v1, v2); err != nil {
			return record, v1, err
		}
		var before *V1
		if was, err := r.downgrade(*s.v2); err == nil {
			before = &was
		}
		var held V1
		if held, found, err = r.writeBack(ctx, t, s, v1, false); err != nil {
			return record, v1, err
		}
		if v2, err = r.takeOver(before, v1, held, v2); err != nil {
			return record, v1, err
		}
	}
	if err := r.holdReferences(ctx, t, found, s.v2, &v2, sideV2); err != nil {
		return record, v1, err
	}
	c := conversion(v2, true, s.copy.MappingVersion) // what an older mapping got wrong is still in it
	if err := r.put(ctx, t, s, c, changed); err != nil {
		return record, v1, err
	}
	return r.written(t, s, c, changed), v1, r.reconcileEffects(ctx, t, &s.key, found.Effects)
}

// createV1WhenV2Leads inserts a client's V1 aggregate, and returns the result.
func (r *Repository[V1, V2]) createV1WhenV2Leads(ctx context.Context, t *tx, v1 V1, made bool) (V1, error) {
	v2, err := r.derive(v1, nil)
	if err != nil {
		return v1, err
	}
	held := v1
	_, err = r.insertWhenV2Leads(ctx, t, v1, conversion(v2, false, r.mappingVersion), made, sideV1,
		func(kept V1) (V2, error) {
			held = kept
			return r.derive(kept, nil)
		})
	return held, err
}

// createV2WhenV2Leads inserts a client's V2 aggregate. It returns the V1 aggregate that was inserted with it.
func (r *Repository[V1, V2]) createV2WhenV2Leads(ctx context.Context, t *tx, v2 V2,
	made bool,
) (record Record[V2], v1 V1, err error) {
	record.Value = v2
	if t.fence.writesV1() {
		if v1, err = r.represent(nil, v2); err != nil {
			return record, v1, err
		}
	}
	record, err = r.insertWhenV2Leads(ctx, t, v1, conversion(v2, true, r.mappingVersion), made, sideV2,
		func(held V1) (V2, error) {
			return r.takeOver(nil, v1, held, v2)
		})
	return record, v1, err
}

// insertWhenV2Leads inserts V2's row. It reads the marks of the key only after that row is ours: the version must be
// above the floor of a tombstone that may have been left a moment ago. Then it inserts V1's row, and V2 becomes what
// remake returns for what V1 holds.
func (r *Repository[V1, V2]) insertWhenV2Leads(ctx context.Context, t *tx, v1 V1, c Record[V2], made bool, use side,
	remake func(V1) (V2, error),
) (record Record[V2], err error) {
	record.Value = c.Value
	p := pending{
		key: r.keyOf(r.v2, &c.Value), value: reflect.ValueOf(&c.Value).Elem(),
		mappingVersion: c.Copy.MappingVersion, refined: c.Copy.Refined,
	}
	p.state.all = t.fence.AllMarks
	p.version = p.state.currentVersion()
	if !t.fence.writesV1() { // else a foreign key of V1's may guard the reference: writing V1 shows it
		if err := r.holdReferences(ctx, t, aftermath{}, nil, &c.Value, use); err != nil {
			return record, err
		}
	}
	stored, err := r.copies.store(ctx, t, []pending{p}, OriginWrite)
	if err != nil {
		return record, err
	}
	if !stored[p.key] {
		return record, ErrAlreadyExists
	}
	// V1 may still have a row that was deleted while V2 led alone, and that a restore is about to remove.
	if t.fence.Restoring {
		if err := r.v1Rows.lock(ctx, t, p.key); err != nil {
			return record, err
		}
	}
	s, err := r.see(ctx, t, p.key)
	// V1 may also have a row that a repair is about to remove.
	if err == nil && t.fence.writesV1() && !t.fence.Restoring && (s.v1 != nil || s.v1Err != nil) {
		if err = r.v1Rows.lock(ctx, t, p.key); err == nil {
			s, err = r.see(ctx, t, p.key)
		}
	}
	if err != nil {
		return record, err
	}
	if made && s.state.tombstoned() {
		return record, ErrAlreadyExists
	}
	if len(s.state.marks) > 0 {
		if _, err := t.Exec(ctx, r.sql(`UPDATE {v2} SET coexist_version = ? WHERE {v2.key} = {?}`),
			s.state.currentVersion(), p.key); err != nil {
			return record, err
		}
		deleted, err := r.marks.remove(ctx, t, s.state.marks)
		if err != nil {
			return record, err
		}
		if deleted < int64(len(s.state.marks)) {
			return record, database.Busy(errOvertaken)
		}
	}
	if !t.fence.writesV1() {
		return r.written(t, s, c, 0), nil
	}
	c, found, err := r.remade(ctx, t, s, v1, c, remake)
	if err != nil {
		return record, err
	}
	if err := r.holdReferences(ctx, t, found, nil, &c.Value, use); err != nil {
		return record, err
	}
	return r.written(t, s, c, 0), r.reconcileEffects(ctx, t, &s.key, found.Effects)
}

// lock locks the V1 rows of a key, where V2 leads and this transaction has the key's V2 row.
func (e v1Rows) lock(ctx context.Context, t *tx, key string) error {
	if e.db.dialect.Lock() == "" {
		return nil
	}
	for _, lock := range e.locks(t.fence, false)[1:] {
		if _, err := t.Exec(ctx, lock, key); err != nil {
			return err
		}
	}
	return nil
}

// remade inserts V1's rows of a new aggregate. Then it brings the copy, which this transaction has just stored, up to
// what V1 holds.
func (r *Repository[V1, V2]) remade(ctx context.Context, t *tx, s *seen[V1, V2], v1 V1, c Record[V2],
	remake func(V1) (V2, error),
) (Record[V2], aftermath, error) {
	held, found, err := r.writeBack(ctx, t, s, v1, true)
	if err != nil || Identical(held, v1) {
		return c, found, err
	}
	value, err := remake(held)
	if err != nil || Identical(value, c.Value) {
		return c, found, err
	}
	c.Value = value
	p := r.pending(s, c)
	p.state = state{hasCopy: true, seq: t.seq, all: s.state.all}
	stored, err := r.copies.store(ctx, t, []pending{p}, OriginWrite)
	if err == nil && !stored[p.key] {
		err = database.Busy(errOvertaken)
	}
	return c, found, err
}

// writeBack brings V1's rows up to v1, a new aggregate or one that was there, where writes are dual. It returns what V1
// then holds, and what else the write has caused. V1's row may be missing while V1 is being restored.
func (r *Repository[V1, V2]) writeBack(ctx context.Context, t *tx, s *seen[V1, V2], v1 V1,
	created bool,
) (held V1, found aftermath, err error) {
	if !t.fence.writesV1() {
		return v1, found, nil
	}
	if err := r.writeV1Back(ctx, t, s, v1, created); err != nil {
		return v1, found, r.whileRebuilt(t, err)
	}
	after, found, err := r.after(ctx, t, s.key, r.changedReferences(s.v1, &v1))
	switch {
	case err != nil:
		return v1, found, r.whileRebuilt(t, err)
	case after.v1Err != nil:
		return v1, found, notRepresentable(after.v1Err)
	case after.v1 == nil:
		return v1, found, r.notKept(s.v1 == nil)
	}
	if t.fence.Restoring && s.v1 != nil {
		err = r.notBroughtBack(s.v1, &v1, after.v1)
	}
	return *after.v1, found, err
}

// writeV1Back is the part of writeBack that writes.
func (r *Repository[V1, V2]) writeV1Back(ctx context.Context, t *tx, s *seen[V1, V2], v1 V1, created bool) error {
	write := v1
	finish, err := r.whileRestoring(ctx, t, s.key, &write)
	if err != nil {
		return err
	}
	if created && s.v1 == nil && s.v1Err == nil {
		err = r.v1Rows.insertNew(ctx, t, reflect.ValueOf(write))
	} else {
		err = r.bringUpV1(ctx, t, s, write)
	}
	if err != nil {
		return err
	}
	return finish(ctx)
}

// bringUpV1 makes V1's rows of the key in s equal to v1.
func (r *Repository[V1, V2]) bringUpV1(ctx context.Context, t *tx, s *seen[V1, V2], v1 V1) error {
	switch {
	case s.v1 != nil:
		return r.v1Rows.apply(ctx, t, r.v1.Differ(s.v1, &v1))
	case s.v1Err == nil:
		return r.v1Rows.insert(ctx, t, reflect.ValueOf(v1))
	}
	// The row cannot be read, so the difference is not known: write all columns, and replace all child rows.
	root := &shape.Difference{Row: r.v1.Row(reflect.ValueOf(v1))}
	for i := range r.v1.Columns {
		if !r.v1.Columns[i].IsKey {
			root.Columns = append(root.Columns, r.v1.Columns[i])
		}
	}
	for _, c := range slices.Backward(r.v1Rows.childrenInOrder()) {
		if _, err := t.Exec(ctx, r.sql(`DELETE FROM {child} WHERE {parentKey} = {?}`, "child", c.SQL,
			"parentKey", quote(c.ParentKey)), s.key); err != nil {
			return err
		}
		v := reflect.ValueOf(v1)
		if rows := c.Rows(v, v.FieldByIndex(r.v1.Key.Index).Interface()); len(rows) > 0 {
			root.Children = append(root.Children, shape.ChildChange{Child: c, Inserted: rows})
		}
	}
	return r.v1Rows.apply(ctx, t, root)
}
