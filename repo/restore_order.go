package repo

import (
	"context"
	"errors"
	"reflect"
	"slices"
)

// V1's rows may refer to rows of their own table: a tree. While V1 is being rebuilt, such a row needs those that it refers to, which may come later
// in the order of the keys; and a row goes after those that refer to it. A restorer brings such rows up first. In a circle it leaves one reference
// out until the rest is there.

// maxFirst is how many rows one transaction brings up because others need them.
const maxFirst = 10_000

// restorer restores rows of V1 in one transaction.
type restorer[V1, V2 any] struct {
	*Repository[V1, V2]
	tx       *tx
	keys     []keptKey      // V1's foreign keys from the entity to itself
	begun    map[string]int // keys; how many references were left out
	wanted   map[string]*V1 // what V1 should hold of them then, nil for nothing
	faults   []Finding
	restored int
	again    []string // those with a reference that was left out
}

func (r *Repository[V1, V2]) restorer(t *tx) *restorer[V1, V2] {
	rs := &restorer[V1, V2]{Repository: r, tx: t, begun: map[string]int{}, wanted: map[string]*V1{}}
	for _, table := range r.v1.all() {
		for _, key := range r.foreignKeys.of(table.name) {
			if key.Target == r.v1.sql && key.TargetColumns[0] == r.v1.key.name && r.keeps(table, key) && !r.isParent(key, table) {
				rs.keys = append(rs.keys, keptKey{key, table})
			}
		}
	}
	return rs
}

// restore brings one key's V1 rows up to V2. A V1 row without a copy is deleted only where a tombstone proves the delete.
func (rs *restorer[V1, V2]) restore(ctx context.Context, s *seen[V1, V2]) error {
	if _, twice := rs.begun[s.key]; twice {
		return nil
	}
	rs.begun[s.key] = 0
	fault := func(f Finding) error {
		rs.faults = append(rs.faults, f)
		return nil
	}
	if s.v2 == nil {
		switch hasV1 := s.v1 != nil || s.v1Err != nil; {
		case !hasV1:
			return nil // neither shape has the key, so that nothing keeps others from creating it now
		case !s.state.gone():
			return fault(Finding{Key: s.key, Kind: Missing})
		}
		if err := rs.beforeDelete(ctx, s.key); err != nil {
			return err
		}
		rs.wanted[s.key] = nil
		rs.restored++
		return rs.deleteV1(ctx, rs.tx, s.key)
	}
	v1, err := rs.represent(s.v1, *s.v2)
	if err != nil {
		return fault(Finding{Key: s.key, Kind: Different, Fields: []string{field(err).Field}, Reason: new(field(err).Reason)})
	}
	rs.wanted[s.key] = &v1
	if s.v1 != nil && rs.sameRows(s.v1, &v1) {
		return nil
	}
	write := v1
	if err := rs.before(ctx, s.key, &write); err != nil {
		return err
	}
	err = rs.bringUpV1(ctx, rs.tx, s, write)
	if withheld, ok := errors.AsType[*ConflictError](err); ok {
		delete(rs.wanted, s.key)
		finding := Finding{Key: s.key, Kind: Different, Reason: &withheld.Reason}
		if s.v1 != nil {
			finding.Fields = differingFields(s.v1, &v1)
		}
		return fault(finding)
	}
	rs.restored++
	return err
}

// before brings up the rows to which v1, a row that is about to be written, refers and which V1 lacks. A reference to a row that itself waits for
// this one it takes out of v1, where the column may be NULL, and writes it in finish.
func (rs *restorer[V1, V2]) before(ctx context.Context, own string, v1 *V1) error {
	var missing []string
	for _, key := range rs.keys {
		for value := range rs.v1.values(key, reflect.ValueOf(v1).Elem()) {
			if value == own || !rs.validKey(value) {
				continue
			}
			n, err := number(ctx, rs.tx.session, "SELECT count(*) FROM "+rs.v1.sql+" t WHERE t."+quote(rs.v1.key.name)+" = "+rs.asKey("?"), value)
			if err != nil {
				return err
			}
			if n > 0 {
				continue
			}
			if _, waits := rs.begun[value]; !waits {
				missing = append(missing, value)
				continue
			}
			if column := key.on.column(key.Columns[0]); key.on == rs.v1 {
				if f := reflect.ValueOf(v1).Elem().FieldByIndex(column.index); f.Kind() == reflect.Pointer {
					f.SetZero()
					rs.begun[own]++
				}
			}
		}
	}
	if rs.begun[own] > 0 {
		rs.again = append(rs.again, own)
	}
	return rs.first(ctx, missing)
}

// beforeDelete brings up the rows of V1 that refer to one that is about to be deleted.
func (rs *restorer[V1, V2]) beforeDelete(ctx context.Context, own string) error {
	var referring []string
	for _, key := range rs.keys {
		of := rs.v1.key.name
		if key.on != rs.v1 {
			i := slices.IndexFunc(rs.v1.children, func(c child) bool { return &c.table == key.on || c.name == key.on.name })
			of = rs.v1.children[i].parentKey
		}
		found, err := texts(ctx, rs.tx.session, "SELECT DISTINCT CAST(t."+quote(of)+" AS text) FROM "+key.on.sql+" t WHERE t."+quote(key.Columns[0])+" = "+
			rs.db.dialect.asKey(key.on.column(key.Columns[0]), "?"), own)
		if err != nil {
			return err
		}
		referring = append(referring, found...)
	}
	return rs.first(ctx, slices.DeleteFunc(referring, func(key string) bool { return key == own }))
}

// first brings up the rows of keys before others. What V1 does not take of them is found when it is their turn.
func (rs *restorer[V1, V2]) first(ctx context.Context, keys []string) error {
	keys = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(keys))), func(key string) bool {
		_, begun := rs.begun[key]
		return begun
	})
	switch {
	case len(keys) == 0:
		return nil
	case len(rs.begun) > maxFirst:
		return &ConflictError{"V1 needs too many other rows of its table first"}
	}
	if err := rs.db.dialect.alsoWrites(ctx, rs.tx, rs.entity, keys); err != nil {
		return err
	}
	held, err := rs.lockForRestore(ctx, rs.tx, keys)
	if err != nil {
		return err
	}
	found, err := rs.lookUp(ctx, rs.tx.session, wantBoth, keys) // a later statement than the locks
	if err != nil {
		return err
	}
	for _, key := range keys {
		s := found[key]
		if s == nil {
			continue
		}
		if s.v2 != nil && !held[s.key] {
			return &busyError{errRowHasCome}
		}
		faults := len(rs.faults)
		if err := rs.restore(ctx, s); err != nil {
			return err
		}
		rs.faults = rs.faults[:faults]
	}
	return nil
}

// finish writes the references that were left out.
func (rs *restorer[V1, V2]) finish(ctx context.Context) error {
	for _, key := range rs.again {
		v1 := rs.wanted[key]
		if v1 == nil {
			continue
		}
		found, err := rs.lookUp(ctx, rs.tx.session, wantBoth, []string{key})
		if err != nil {
			return err
		}
		if s := found[key]; s != nil && s.v1 != nil {
			if err := rs.writeV1(ctx, rs.tx, rs.v1.differ(s.v1, v1)); err != nil {
				return err
			}
		}
	}
	return nil
}

// whileRestoring prepares V1 for a client's write of a key, while V1 is being rebuilt: v1 is what is about to be written, nil for a delete. What it
// returns is to be called afterwards.
func (r *Repository[V1, V2]) whileRestoring(ctx context.Context, t *tx, key string, v1 *V1) (finish func(context.Context) error, err error) {
	rs := r.restorer(t)
	if !t.fence.Restoring || len(rs.keys) == 0 {
		return func(context.Context) error { return nil }, nil
	}
	rs.begun[key] = 0
	if v1 == nil {
		return rs.finish, rs.beforeDelete(ctx, key)
	}
	whole := *v1
	rs.wanted[key] = &whole
	return rs.finish, rs.before(ctx, key, v1)
}

// beforeDelete is whileRestoring for a delete.
func (r *Repository[V1, V2]) beforeDelete(ctx context.Context, t *tx, key string) error {
	finish, err := r.whileRestoring(ctx, t, key, nil)
	if err != nil {
		return err
	}
	return finish(ctx)
}
