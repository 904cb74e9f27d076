package repo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Writes where V2 leads, in CUTOVER and CONTRACT. V2's root row is locked first and written first; V1 follows in the same
// transaction where writes are dual. No copy is ever stale here: the gate let none in, and old programs are rejected.

// updateV1Led writes a V1 aggregate that a client has changed.
func (r *Repository[V1, V2]) updateV1Led(ctx context.Context, t *tx, s *seen[V1, V2], v1 V1) error {
	c := conversion[V2]{mappingVersion: r.mappingVersion}
	if s.copy.Refined { // it is merged, so what an older mapping got wrong may still be in it
		c.refined, c.mappingVersion = true, s.copy.MappingVersion
	}
	var err error
	if c.value, err = r.derive(v1, s); err != nil {
		return err
	}
	if err := r.holdReferences(ctx, t, s.v2, &c.value, func(i int) *column { return r.v1.column(r.references[i].Column) }); err != nil {
		return err
	}
	if err := r.put(ctx, t, s, c, changed); err != nil {
		return err
	}
	return r.writeBack(ctx, t, s, v1, c.value)
}

// arrange brings the child rows of what a V1 client has written into the order in which V1 returns them, which is the
// database's: where V2 leads, nobody reads them back from V1.
func (r *Repository[V1, V2]) arrange(ctx context.Context, t *tx, v1 *V1) error {
	v := reflect.ValueOf(v1).Elem()
	for i := range r.v1.children {
		c := &r.v1.children[i]
		list := v.FieldByIndex(c.index)
		if list.Len() < 2 {
			continue
		}
		rows := c.rows(v, v.FieldByIndex(r.v1.key.index).Interface())
		columns := []column{{name: positionColumn, declared: "integer"}}
		for j := range rows {
			rows[j][positionColumn] = j
		}
		for _, own := range c.own {
			columns = append(columns, c.columns[own])
		}
		from, value := r.db.dialect.records(columns)
		var by []string
		for _, own := range columns[1:] {
			order := value(own.name)
			if collation := own.now().collation; collation != "" {
				order += " COLLATE " + collation
			}
			by = append(by, order)
		}
		document, err := marshal(rows)
		if err != nil {
			return err
		}
		arranged := reflect.MakeSlice(list.Type(), 0, list.Len())
		if err := t.query(ctx, func(answer *sql.Rows) error {
			var at int
			err := answer.Scan(&at)
			if err == nil {
				arranged = reflect.Append(arranged, list.Index(at))
			}
			return err
		}, "SELECT "+value(positionColumn)+" FROM "+from+" ORDER BY "+strings.Join(by, ", "), document); err != nil {
			return err
		}
		list.Set(arranged)
	}
	return nil
}

// derive converts what a V1 client has written, and proves it. It fails with a *ConversionError. s is nil for a new aggregate.
func (r *Repository[V1, V2]) derive(v1 V1, s *seen[V1, V2]) (v2 V2, err error) {
	key := r.keyOf(r.v1, &v1)
	defer func() {
		if p := recover(); p != nil {
			err = r.conversionError(key, fmt.Errorf("the mapping panics: %v", p))
		}
	}()
	if s != nil && s.copy.Refined {
		v2, err = r.mapping.Merge(v1, *s.v2)
	} else {
		v2, err = r.mapping.Upgrade(v1)
	}
	if err == nil {
		err = r.prove(v1, v2)
	}
	if err != nil {
		return v2, r.conversionError(key, err)
	}
	return v2, nil
}

// updateV2Led writes a V2 aggregate that a client has changed. It returns the V1 aggregate that was written with it.
func (r *Repository[V1, V2]) updateV2Led(ctx context.Context, t *tx, s *seen[V1, V2], v2 V2) (record Record[V2], v1 V1, err error) {
	record.Value = v2
	if t.fence.writesV1() {
		if v1, err = r.represent(s.v1, v2); err != nil {
			return record, v1, err
		}
	}
	if err := r.holdReferences(ctx, t, s.v2, &v2, func(i int) *column { return r.v2.column(r.columnInV2(r.references[i].Column)) }); err != nil {
		return record, v1, err
	}
	c := conversion[V2]{value: v2, refined: true, mappingVersion: s.copy.MappingVersion} // what an older mapping got wrong is still in it
	if err := r.put(ctx, t, s, c, changed); err != nil {
		return record, v1, err
	}
	if err := r.writeBack(ctx, t, s, v1, v2); err != nil {
		return record, v1, err
	}
	return r.written(t, s, c, changed), v1, nil
}

// createV1Led inserts a V1 aggregate of a client's.
func (r *Repository[V1, V2]) createV1Led(ctx context.Context, t *tx, v1 V1, made bool) error {
	v2, err := r.derive(v1, nil)
	if err != nil {
		return err
	}
	if err := r.holdReferences(ctx, t, nil, &v2, func(i int) *column { return r.v1.column(r.references[i].Column) }); err != nil {
		return err
	}
	_, err = r.insertLed(ctx, t, v1, conversion[V2]{value: v2, mappingVersion: r.mappingVersion}, made)
	return err
}

// createV2Led inserts a V2 aggregate of a client's. It returns the V1 aggregate that was inserted with it.
func (r *Repository[V1, V2]) createV2Led(ctx context.Context, t *tx, v2 V2, made bool) (record Record[V2], v1 V1, err error) {
	record.Value = v2
	if t.fence.writesV1() {
		if v1, err = r.represent(nil, v2); err != nil {
			return record, v1, err
		}
	}
	if err := r.holdReferences(ctx, t, nil, &v2, func(i int) *column { return r.v2.column(r.columnInV2(r.references[i].Column)) }); err != nil {
		return record, v1, err
	}
	record, err = r.insertLed(ctx, t, v1, conversion[V2]{value: v2, refined: true, mappingVersion: r.mappingVersion}, made)
	return record, v1, err
}

// insertLed inserts V2's row. Only once that is ours does it read the marks of the key: the version must pass the floor of a
// tombstone that somebody may have left a moment ago. Then it inserts V1's.
func (r *Repository[V1, V2]) insertLed(ctx context.Context, t *tx, v1 V1, c conversion[V2], made bool) (record Record[V2], err error) {
	p := pending{key: r.keyOf(r.v2, &c.value), value: reflect.ValueOf(&c.value).Elem(), mappingVersion: c.mappingVersion, refined: c.refined}
	p.state.all = t.fence.AllMarks
	p.version = p.state.currentVersion()
	stored, err := r.store(ctx, t, []pending{p}, OriginWrite)
	if err != nil {
		return record, err
	}
	if !stored[p.key] {
		return record, ErrAlreadyExists
	}
	if t.fence.Restoring && r.db.dialect.lock() != "" {
		// V1 may still have a row that was deleted where V2 led alone, and that a restore is about to remove.
		for _, lock := range r.locks(t.fence, false)[1:] {
			if _, err := t.exec(ctx, lock, p.key); err != nil {
				return record, err
			}
		}
	}
	s, err := r.see(ctx, t, p.key)
	if err != nil {
		return record, err
	}
	if made && s.state.tombstoned() {
		return record, ErrAlreadyExists
	}
	if len(s.state.marks) > 0 {
		if _, err := t.exec(ctx, "UPDATE "+r.v2.sql+" SET "+versionColumn+" = ? WHERE "+quote(r.v2.key.name)+" = "+r.asKey("?"), s.state.currentVersion(), p.key); err != nil {
			return record, err
		}
		if err := r.deleteMarks(ctx, t, s.state.marks); err != nil {
			return record, err
		}
	}
	return r.written(t, s, c, 0), r.writeBack(ctx, t, s, v1, c.value)
}

// writeBack brings V1's rows up to V2's, which is the truth, where writes are dual. V1's row may be missing while V1 is being
// restored. It fails with a *NotRepresentableError where V1 does not keep what is written.
func (r *Repository[V1, V2]) writeBack(ctx context.Context, t *tx, s *seen[V1, V2], v1 V1, v2 V2) error {
	if !t.fence.writesV1() {
		return nil
	}
	if err := r.bringUpV1(ctx, t, s, v1); err != nil {
		return err
	}
	after, err := r.see(ctx, t, s.key)
	if err != nil {
		return err
	}
	if after == nil || after.v1 == nil {
		return notRepresentable(errors.New("the V1 database does not keep it"))
	}
	if !Identical(*after.v1, v1) {
		return notRepresentable(Faulty(r.fieldOfV2(v1, firstDifference(&v1, after.v1), v2), "the V1 database does not keep it as it was written"))
	}
	return nil
}

// bringUpV1 writes V1's rows of the key that s has seen so that they are v1.
func (r *Repository[V1, V2]) bringUpV1(ctx context.Context, t *tx, s *seen[V1, V2], v1 V1) error {
	switch {
	case s.v1 != nil:
		return r.writeV1(ctx, t, r.v1.differ(s.v1, &v1))
	case s.v1Err == nil:
		return r.insertV1(ctx, t, reflect.ValueOf(v1))
	}
	// The row cannot be read, so what differs is not known.
	root := &difference{row: r.v1.row(reflect.ValueOf(v1))}
	for i := range r.v1.columns {
		if !r.v1.columns[i].isKey {
			root.columns = append(root.columns, r.v1.columns[i])
		}
	}
	for i := range r.v1.children {
		c := &r.v1.children[i]
		if _, err := t.exec(ctx, "DELETE FROM "+c.sql+" WHERE "+quote(c.parentKey)+" = "+r.asKey("?"), s.key); err != nil {
			return err
		}
		v := reflect.ValueOf(v1)
		if rows := c.rows(v, v.FieldByIndex(r.v1.key.index).Interface()); len(rows) > 0 {
			root.children = append(root.children, childChange{child: c, inserted: rows})
		}
	}
	return r.writeV1(ctx, t, root)
}

// holdReferences makes sure, where no foreign key of V1's does, that what a new state of a V2 aggregate refers to is there, and
// stays until the transaction ends. before is the state as it was, nil for a new one. path says in which column of the shape in use
// a reference stands. It fails with an *InputError.
func (r *Repository[V1, V2]) holdReferences(ctx context.Context, t *tx, before, after *V2, path func(int) *column) error {
	for i, reference := range r.references {
		if t.fence.Phase != Contract && r.declares(reference) {
			continue
		}
		column := r.v2.column(r.columnInV2(reference.Column))
		if err := r.holdReference(ctx, t, reference, column, before, after, func() string { return path(i).field("") }); err != nil {
			return err
		}
	}
	return nil
}

// holdReferencesV1 is holdReferences for a V1 aggregate while V1 leads. path says where in the shape in use a field of V1 stands.
func (r *Repository[V1, V2]) holdReferencesV1(ctx context.Context, t *tx, before, after *V1, path func(string) string) error {
	for _, reference := range r.references {
		if r.declares(reference) {
			continue
		}
		column := r.v1.column(reference.Column)
		if err := r.holdReference(ctx, t, reference, column, before, after, func() string { return path(column.field("")) }); err != nil {
			return err
		}
	}
	return nil
}

// holdReference holds the row to which a column of after, an aggregate that is pointed to, refers, if before, another or a nil
// pointer, does not refer to the same.
func (e *entity) holdReference(ctx context.Context, t *tx, reference Reference, c *column, before, after any, path func() string) error {
	target := e.db.entityOfTable(reference.Table)
	if c == nil || target == nil {
		return nil
	}
	value := reflect.ValueOf(after).Elem().FieldByIndex(c.index)
	if old := reflect.ValueOf(before); !old.IsNil() && identical(old.Elem().FieldByIndex(c.index), value) || value.Kind() == reflect.Pointer && value.IsNil() {
		return nil
	}
	there, err := target.hold(ctx, t, fmt.Sprint(reflect.Indirect(value).Interface()))
	if err == nil && !there {
		err = inputError(Faulty(path(), "refers to a row that does not exist"))
	}
	return err
}

// declares reports whether V1 has a foreign key for a reference.
func (e *entity) declares(reference Reference) bool {
	return slices.ContainsFunc(e.foreignKeys[e.v1.name], func(k foreignKey) bool {
		return len(k.Columns) == 1 && k.Columns[0] == reference.Column && strings.EqualFold(k.Target, e.db.qualify(reference.Table))
	})
}

// hold locks the row that leads e's key against deletion, under e's fence. It returns false where there is none.
func (e *entity) hold(ctx context.Context, t *tx, key string) (bool, error) {
	if !e.validKey(key) {
		return false, nil
	}
	if err := e.db.dialect.shareFence(ctx, t, e); err != nil {
		return false, err
	}
	f, err := e.fenceNow(ctx, t.session)
	if err != nil {
		return false, err
	}
	root := e.v1
	if f.leader() == sideV2 {
		root = e.v2
	}
	n, err := number(ctx, t.session, "SELECT 1 FROM "+root.sql+" t WHERE t."+quote(root.key.name)+" = "+e.asKey("?")+e.db.dialect.keyShare(), key)
	return n == 1, err
}

// referred returns ErrConflict where a row of another entity refers to the key and no foreign key of V1's guards it: where that is in
// CONTRACT, or V1 declares none. The rows of the key are locked, so that nobody else can begin to refer to it.
func (e *entity) referred(ctx context.Context, t *tx, key string) error {
	for _, other := range e.db.entities {
		for _, reference := range other.references {
			if reference.Table != e.v1.name {
				continue
			}
			// The V2 table holds all rows in CONTRACT, and V1's before.
			inContract := "(SELECT x.phase FROM " + e.db.own.entity + " x WHERE x.name = " + literal(other.name) + ") = '" + string(Contract) + "'"
			in := func(table *table, column string) string {
				return "EXISTS (SELECT 1 FROM " + table.sql + " t WHERE t." + quote(column) + " = " + e.asKey("?") + ")"
			}
			query, args := "SELECT CASE WHEN "+inContract+" AND "+in(other.v2, other.columnInV2(reference.Column))+" THEN 1 ", []any{key}
			if !other.declares(reference) {
				query, args = query+"WHEN NOT "+inContract+" AND "+in(other.v1, reference.Column)+" THEN 1 ", append(args, key)
			}
			n, err := number(ctx, t.session, query+"ELSE 0 END", args...)
			if err != nil {
				return err
			}
			if n > 0 {
				return ErrConflict
			}
		}
	}
	return nil
}

// entityOfTable is the entity whose V1 root table has the name, nil if there is none.
func (db *DB) entityOfTable(name string) *entity {
	for _, e := range db.entities {
		if e.v1.name == name {
			return e
		}
	}
	return nil
}
