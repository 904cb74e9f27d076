package repo

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// References between entities, where V1 has no foreign key that keeps them.

// holdReferences checks that the rows to which a new state of a V2 aggregate refers are there, and holds them until the
// transaction ends. It does so where no foreign key of V1's does. before is the old state, nil for a new aggregate, and
// use is the client's shape. It fails with an *InputError that names the field in that shape.
func (r *Repository[V1, V2]) holdReferences(ctx context.Context, t *tx, found aftermath, before,
	after *V2, use side,
) error {
	for _, reference := range r.references {
		if t.fence.Phase != Contract && bool(found.Guarded[reference.Column]) {
			continue
		}
		column := r.v2.Column(r.columnInV2(reference.Column))
		path := column
		if use == sideV1 {
			path = r.v1.Column(reference.Column)
		}
		if err := r.foreignKeys.holdReference(ctx, t, reference, r.v2, column, before, after,
			func() string { return path.Field("") }); err != nil {
			return err
		}
	}
	if t.fence.writesV1() {
		return nil
	}
	return r.holdForeignKeys(ctx, t, before, after, use)
}

// holdForeignKeys is holdReferences for the foreign keys of V1 that no Reference names, in CONTRACT, where V1's foreign
// keys no longer guard anything. It converts the aggregate to V1 to learn what it refers to. Where V1 cannot hold the
// aggregate, only its References are kept.
func (r *Repository[V1, V2]) holdForeignKeys(ctx context.Context, t *tx, before, after *V2, use side) error {
	var kept []keptKey
	for _, table := range r.v1.All() {
		for _, key := range r.constraints.Foreign(table.Name) {
			named := func(reference Reference) bool { return table == r.v1 && reference.Column == key.Columns[0] }
			ours := r.foreignKeys.keeps(table, key) && !r.foreignKeys.isParent(key, table)
			if ours && !slices.ContainsFunc(r.references, named) {
				kept = append(kept, keptKey{key, table})
			}
		}
	}
	if len(kept) == 0 {
		return nil
	}
	v1, err := r.downgrade(*after)
	if err != nil {
		return nil //nolint:nilerr // V1 has no place for it
	}
	held := map[string]bool{}
	if before != nil {
		if old, err := r.downgrade(*before); err == nil {
			for _, key := range kept {
				for value := range key.values(r.v1, reflect.ValueOf(&old).Elem()) {
					held[key.Name+"\x00"+value] = true
				}
			}
		}
	}
	for _, key := range kept {
		for value, path := range key.values(r.v1, reflect.ValueOf(&v1).Elem()) {
			if held[key.Name+"\x00"+value] {
				continue
			}
			if key.Target == r.v1.SQL && key.TargetColumns[0] == r.v1.Key.Name && value == r.keyOf(r.v1, &v1) {
				continue // the row itself
			}
			there, err := r.foreignKeys.holdTarget(ctx, t, key, value)
			if err != nil {
				return err
			}
			if !there {
				if use == sideV2 {
					path = r.fieldOfV2(v1, path, *after)
				}
				return inputError(Faulty(path, "refers to a row that does not exist"))
			}
		}
	}
	return nil
}

// keptKey is a foreign key of a V1 table.
type keptKey struct {
	database.ForeignKey
	on *shape.Table
}

// values returns the values of the foreign key in an aggregate of t, each with the path of a field that has it.
func (key keptKey) values(t *shape.Table, v reflect.Value) map[string]string {
	found := map[string]string{}
	add := func(row reflect.Value, prefix string) {
		c := key.on.Column(key.Columns[0])
		if value := row.FieldByIndex(c.Index); value.Kind() != reflect.Pointer || !value.IsNil() {
			found[fmt.Sprint(reflect.Indirect(value).Interface())] = c.Field(prefix)
		}
	}
	if key.on == t {
		add(v, "")
		return found
	}
	for i := range t.Children {
		c := &t.Children[i]
		if &c.Table != key.on {
			continue
		}
		list := v.FieldByIndex(c.Index)
		for j := range list.Len() {
			add(list.Index(j), fmt.Sprintf("%s[%d].", c.JSON, j))
		}
	}
	return found
}

// holdTarget finds the row to which a foreign key refers by a value, and locks it where our role may. It returns false
// where there is no such row.
func (e foreignKeys) holdTarget(ctx context.Context, t *tx, key keptKey, value string) (bool, error) {
	if target := e.db.entityOfTarget(key.Target); target != nil {
		return target.foreignKeys.hold(ctx, t, value)
	}
	lock := ""
	if key.Lockable {
		lock = e.db.dialect.KeyShare()
	}
	n, err := t.Number(ctx, fill(`SELECT 1 FROM {target} t WHERE t.{targetColumns} = {asKey}{lock}`,
		"target", key.Target, "targetColumns", quote(key.TargetColumns[0]),
		"asKey", e.db.dialect.AsKey(key.on.Column(key.Columns[0]), "?"), "lock", lock), value)
	return n == 1, err
}

// holdUnguarded is holdReferences for a V1 aggregate while V1 leads. path turns a field of V1 into its path in the
// client's shape.
func (r *Repository[V1, V2]) holdUnguarded(ctx context.Context, t *tx, found aftermath, before, after *V1,
	path func(string) string,
) error {
	for _, reference := range r.references {
		if found.Guarded[reference.Column] {
			continue
		}
		column := r.v1.Column(reference.Column)
		if err := r.foreignKeys.holdReference(ctx, t, reference, r.v1, column, before, after,
			func() string { return path(column.Field("")) }); err != nil {
			return err
		}
	}
	return nil
}

// changedReferences returns the references that differ between two states of a V1 aggregate. before is nil for a new
// aggregate.
func (r *Repository[V1, V2]) changedReferences(before, after *V1) []Reference {
	var changed []Reference
	for _, reference := range r.references {
		if c := r.v1.Column(reference.Column); refersAnew(c, before, after) {
			changed = append(changed, reference)
		}
	}
	return changed
}

// refersAnew reports whether a column of after refers to something to which the same column of before does not refer.
// before is another aggregate or a nil pointer.
func refersAnew(c *shape.Column, before, after any) bool {
	value := reflect.ValueOf(after).Elem().FieldByIndex(c.Index)
	if value.Kind() == reflect.Pointer && value.IsNil() {
		return false
	}
	old := reflect.ValueOf(before)
	return old.IsNil() || !shape.Identical(old.Elem().FieldByIndex(c.Index), value)
}

// holdReference holds the row to which a column of after refers, unless before refers to the same row. after points to
// an aggregate of a root table; before points to another, or is a nil pointer.
func (e foreignKeys) holdReference(ctx context.Context, t *tx, reference Reference, of *shape.Table, c *shape.Column,
	before, after any,
	path func() string,
) error {
	if c == nil || !refersAnew(c, before, after) {
		return nil
	}
	value := fmt.Sprint(reflect.Indirect(reflect.ValueOf(after).Elem().FieldByIndex(c.Index)).Interface())
	var there bool
	var err error
	if target := e.db.entityOfTable(reference.Table); target == e.entity && value == e.keyOf(of, after) {
		return nil // the row itself
	} else if target != nil {
		there, err = target.foreignKeys.hold(ctx, t, value)
	} else {
		key := database.ForeignKey{
			Columns: []string{reference.Column}, Target: e.db.qualify(reference.Table),
			TargetColumns: []string{reference.Key}, Lockable: true,
		}
		for _, declared := range e.constraints.Foreign(e.v1.Name) {
			if slices.Equal(declared.Columns, key.Columns) && declared.Target == key.Target {
				key.Lockable = declared.Lockable
			}
		}
		there, err = e.holdTarget(ctx, t, keptKey{key, e.v1}, value)
	}
	if err == nil && !there {
		err = inputError(Faulty(path(), "refers to a row that does not exist"))
	}
	return err
}

// hold locks the row with a key of e, on the side that leads, against deletion, under e's fence. It returns false where
// there is no such row.
func (e foreignKeys) hold(ctx context.Context, t *tx, key string) (bool, error) {
	if !e.validKey(key) {
		return false, nil
	}
	if err := e.db.dialect.shareFence(ctx, t, e.entity); err != nil {
		return false, err
	}
	f, err := e.fenceNow(ctx, t.Session)
	if err != nil {
		return false, err
	}
	root := e.v1
	if f.leader() == sideV2 {
		root = e.v2
	}
	n, err := t.Number(ctx, e.sql(`SELECT 1 FROM {root} t WHERE t.{key} = {?}{key share}`,
		"root", root.SQL, "key", quote(root.Key.Name)), key)
	return n == 1, err
}

// referred returns ErrConflict where a row of another entity refers to the key and no foreign key of V1's prevents the
// delete. That is so where the other entity is in CONTRACT, where V1 has no such foreign key now, and where V1 has one
// that would delete or change the row. The rows of the key are locked, so no new reference to it can come.
func (e foreignKeys) referred(ctx context.Context, t *tx, key string) error {
	for _, other := range e.db.entities {
		for _, reference := range other.references {
			if reference.Table != e.v1.Name {
				continue
			}
			// In CONTRACT the V2 table holds all rows; before, V1's table does.
			inContract := other.sql(`(SELECT x.phase FROM {coexist_entity} x WHERE x.name = {name}) = 'CONTRACT'`)
			in := func(table *shape.Table, column string) string {
				itself := ""
				if other == e.entity {
					itself = fill(` AND t.{key} <> t.{column}`, "key", quote(table.Key.Name),
						"column", quote(column))
				}
				return e.sql(`EXISTS (SELECT 1 FROM {table} t WHERE t.{column} = {?}{itself})`, "table", table.SQL,
					"column", quote(column), "itself", itself)
			}
			refers, keys := fill(`WHEN {inContract} THEN CASE WHEN {in} THEN 1 END`, "inContract", inContract,
				"in", in(other.v2, other.columnInV2(reference.Column))), []any{key}
			// Coexistence begins.
			refers += fill(` WHEN {guards} THEN 0 WHEN {in} THEN 1`,
				"guards", e.db.dialect.guards(other, reference, true), "in", in(other.v1, reference.Column))
			keys = append(keys, key)
			// Coexistence ends.
			n, err := t.Number(ctx, fill(`SELECT CASE {refers} END`, "refers", refers), keys...)
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

// entityOfTable returns the entity whose V1 root table has the name, nil if there is none.
func (db *DB) entityOfTable(name string) *entity {
	for _, e := range db.entities {
		if e.v1.Name == name {
			return e
		}
	}
	return nil
}

// tableOf returns the V1 table that has a qualified name, nil if there is none.
func (e *tables) tableOf(name string) *shape.Table {
	for _, t := range e.v1.All() {
		if t.SQL == name {
			return t
		}
	}
	return nil
}

// leadsToKey reports whether a foreign key of one of V1's tables leads to the key of the root table.
func (e foreignKeys) leadsToKey(t *shape.Table, key database.ForeignKey) bool {
	return key.Target == e.v1.SQL && key.TargetColumns[0] == e.v1.Key.Name && e.keeps(t, key)
}
