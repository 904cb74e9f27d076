package repo

import (
	"context"
	"fmt"
	"reflect"
)

// References between entities, where no foreign key of V1's keeps them.

// holdReferences makes sure, where no foreign key of V1's does, that what a new state of a V2 aggregate refers to is there, and
// stays until the transaction ends. before is the state as it was, nil for a new one. path says in which column of the shape in use
// a reference stands. It fails with an *InputError.
func (r *Repository[V1, V2]) holdReferences(ctx context.Context, t *tx, found aftermath, before, after *V2, path func(int) *column) error {
	for i, reference := range r.references {
		if t.fence.Phase != Contract && bool(found.Guarded[reference.Column]) {
			continue
		}
		column := r.v2.column(r.columnInV2(reference.Column))
		if err := r.holdReference(ctx, t, reference, column, before, after, func() string { return path(i).field("") }); err != nil {
			return err
		}
	}
	return nil
}

// holdUnguarded is holdReferences for a V1 aggregate while V1 leads. path says where in the shape in use a field of V1 stands.
func (r *Repository[V1, V2]) holdUnguarded(ctx context.Context, t *tx, found aftermath, before, after *V1, path func(string) string) error {
	for _, reference := range r.references {
		if found.Guarded[reference.Column] {
			continue
		}
		column := r.v1.column(reference.Column)
		if err := r.holdReference(ctx, t, reference, column, before, after, func() string { return path(column.field("")) }); err != nil {
			return err
		}
	}
	return nil
}

// changedReferences are the references that differ between two states of a V1 aggregate, before being nil for a new one.
func (r *Repository[V1, V2]) changedReferences(before, after *V1) []Reference {
	var changed []Reference
	for _, reference := range r.references {
		if c := r.v1.column(reference.Column); refersAnew(c, before, after) {
			changed = append(changed, reference)
		}
	}
	return changed
}

// refersAnew reports whether a column of after refers to something, and that of before, another or a nil pointer, does not to the same.
func refersAnew(c *column, before, after any) bool {
	value := reflect.ValueOf(after).Elem().FieldByIndex(c.index)
	if value.Kind() == reflect.Pointer && value.IsNil() {
		return false
	}
	old := reflect.ValueOf(before)
	return old.IsNil() || !identical(old.Elem().FieldByIndex(c.index), value)
}

// holdReference holds the row to which a column of after, an aggregate that is pointed to, refers, if before, another or a nil
// pointer, does not refer to the same.
func (e *entity) holdReference(ctx context.Context, t *tx, reference Reference, c *column, before, after any, path func() string) error {
	target := e.db.entityOfTable(reference.Table)
	if c == nil || target == nil {
		return nil
	}
	if !refersAnew(c, before, after) {
		return nil
	}
	value := reflect.ValueOf(after).Elem().FieldByIndex(c.index)
	there, err := target.hold(ctx, t, fmt.Sprint(reflect.Indirect(value).Interface()))
	if err == nil && !there {
		err = inputError(Faulty(path(), "refers to a row that does not exist"))
	}
	return err
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

// referred returns ErrConflict where a row of another entity refers to the key and no foreign key of V1's keeps it from being deleted: where that
// is in CONTRACT, or V1 has none now, or one that would delete or change the row. The rows of the key are locked, so that nobody else can begin to refer to it.
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
			n, err := number(ctx, t.session, "SELECT CASE WHEN "+inContract+" THEN CASE WHEN "+in(other.v2, other.columnInV2(reference.Column))+" THEN 1 END"+
				" WHEN "+e.db.dialect.guards(other, reference, true)+" THEN 0 WHEN "+in(other.v1, reference.Column)+" THEN 1 END", key, key)
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
