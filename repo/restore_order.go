package repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// V1's rows may refer to rows of their own table, as in a tree, and may hold values that no other row may have. This
// gives the rebuilding of V1 an order. A row needs the rows to which it refers, which may come later in the order of
// the keys. A row must be deleted after the rows that refer to it. And another row may have held, since before
// CONTRACT, a value that a row must now hold. A restorer brings such other rows up to date first. In a circle it leaves
// one reference out until the other rows are there.

// maxFirst is how many rows one transaction brings up to date because other rows need them. The next restore goes on
// from there.
const maxFirst = 200

var (
	errNeedsMore = fmt.Errorf("V1 needs more than %d other rows of its table first", maxFirst)
	// deleting the row would also delete or change rows of V1 that V2 has
	errStillReferred = errors.New("V1's foreign keys would delete or change other rows with it, which refer to it")
)

// restorer restores rows of V1 in one transaction.
type restorer[V1, V2 any] struct {
	*Repository[V1, V2]
	tx       *tx
	keys     []keptKey // V1's foreign keys from the entity to its own root key
	others   []keptKey // V1's other foreign keys from the entity to itself
	begun    map[string]bool
	ended    map[string]bool
	brought  int            // how many rows were brought up because others needed them
	wanted   map[string]*V1 // what V1 should then hold of each key, nil for nothing
	faults   map[string]Finding
	lacking  map[string]Finding // rows that were written without what they refer to
	restored int
	again    []string // the keys of rows from which a reference was left out
}

func (r *Repository[V1, V2]) restorer(t *tx) *restorer[V1, V2] {
	rs := &restorer[V1, V2]{
		Repository: r, tx: t, begun: map[string]bool{}, ended: map[string]bool{},
		wanted: map[string]*V1{}, faults: map[string]Finding{}, lacking: map[string]Finding{},
	}
	for _, table := range r.v1.All() {
		for _, key := range r.constraints.Foreign(table.Name) {
			switch within := r.tableOf(key.Target) != nil; {
			case !within || r.foreignKeys.isParent(key, table):
			case r.foreignKeys.leadsToKey(table, key):
				rs.keys = append(rs.keys, keptKey{key, table})
			default:
				rs.others = append(rs.others, keptKey{key, table})
			}
		}
	}
	return rs
}

// restore brings one key's V1 rows up to date with V2. It deletes a V1 row without a copy only where a tombstone proves
// the delete.
func (rs *restorer[V1, V2]) restore(ctx context.Context, s *seen[V1, V2]) error {
	if rs.begun[s.key] {
		return nil
	}
	rs.begun[s.key] = true
	defer func() { rs.ended[s.key] = true }()
	fault := func(f Finding) error {
		f.Key = s.key
		rs.faults[s.key] = f
		delete(rs.wanted, s.key)
		return nil
	}
	if s.v2 == nil {
		switch hasV1 := s.v1 != nil || s.v1Err != nil; {
		case !hasV1:
			return nil // neither shape has the key, so nothing stops another transaction from creating it now
		case !s.state.gone():
			return fault(Finding{Kind: Missing})
		}
		rs.wanted[s.key] = nil
		switch err := rs.beforeDelete(ctx, s.key); {
		case errors.Is(err, errNeedsMore):
			return fault(Finding{Kind: Missing, Reason: later(err)})
		case errors.Is(err, errStillReferred):
			return fault(Finding{Kind: Missing, Reason: new(err.Error())})
		case err != nil:
			return err
		}
		rs.restored++
		return rs.v1Rows.remove(ctx, rs.tx, s.key)
	}
	v1, err := rs.represent(s.v1, *s.v2)
	if err != nil {
		return fault(Finding{Kind: Different, Fields: []string{field(err).Field}, Reason: new(field(err).Reason)})
	}
	rs.wanted[s.key] = &v1
	if s.v1 != nil && rs.sameRows(s.v1, &v1) {
		return nil
	}
	write := v1
	if err := rs.before(ctx, s.key, &write); errors.Is(err, errNeedsMore) {
		return fault(Finding{Kind: Different, Fields: []string{}, Reason: later(err)})
	} else if err != nil {
		return err
	}
	err = rs.bringUpV1(ctx, rs.tx, s, write)
	if withheld, ok := errors.AsType[*ConflictError](err); ok {
		finding := Finding{Kind: Different, Reason: &withheld.Reason}
		if s.v1 != nil {
			finding.Fields = differingFields(s.v1, &v1)
		}
		return fault(finding)
	}
	rs.restored++
	return err
}

func later(err error) *string {
	return new(err.Error() + ": start another restore, which goes on from there")
}

// before prepares V1 for v1, a row that is about to be written. It brings up to date the rows to which v1 refers and
// which V1 lacks, and the rows that hold what only v1 may hold. Where a referenced row itself waits for this one, or
// too many rows are needed, it takes the reference out of v1; finish writes it later.
func (rs *restorer[V1, V2]) before(ctx context.Context, own string, v1 *V1) error {
	if err := rs.vacate(ctx, own, v1); err != nil {
		return err
	}
	if err := rs.loosen(ctx, own); err != nil {
		return err
	}
	type reference struct {
		keptKey
		value string
	}
	var missing, waiting []reference
	for _, key := range rs.keys {
		for value := range key.values(rs.v1, reflect.ValueOf(v1).Elem()) {
			if value == own || !rs.validKey(value) {
				continue
			}
			switch there, err := rs.hasRow(ctx, value); {
			case err != nil:
				return err
			case there:
			case rs.begun[value]:
				waiting = append(waiting, reference{key, value})
			default:
				missing = append(missing, reference{key, value})
			}
		}
	}
	var values []string
	for _, m := range missing {
		values = append(values, m.value)
	}
	err := rs.first(ctx, values)
	if errors.Is(err, errNeedsMore) {
		waiting, err = append(waiting, missing...), nil
	}
	if err != nil {
		return err
	}
	for _, w := range waiting {
		if !rs.leaveOut(v1, w.keptKey, w.value) {
			continue
		}
		if !slices.Contains(rs.again, own) {
			rs.again = append(rs.again, own)
		}
	}
	return nil
}

func (rs *restorer[V1, V2]) hasRow(ctx context.Context, key string) (bool, error) {
	n, err := rs.tx.Number(ctx, rs.sql(`SELECT count(*) FROM {v1} t WHERE t.{v1.key} = {?}`), key)
	return n > 0, err
}

// leaveOut takes a reference out of v1: it sets a column to NULL, removes a child row, or makes a root row refer to
// itself.
func (rs *restorer[V1, V2]) leaveOut(v1 *V1, key keptKey, value string) bool {
	column, row := key.on.Column(key.Columns[0]), reflect.ValueOf(v1).Elem()
	if key.on == rs.v1 {
		f, own := row.FieldByIndex(column.Index), row.FieldByIndex(rs.v1.Key.Index)
		switch {
		case f.Kind() == reflect.Pointer:
			f.SetZero()
		case f.Type() == own.Type():
			f.Set(own)
		default:
			return false
		}
		return true
	}
	for i := range rs.v1.Children {
		if c := &rs.v1.Children[i]; &c.Table == key.on {
			list := row.FieldByIndex(c.Index)
			kept := reflect.MakeSlice(list.Type(), 0, list.Len())
			for j := range list.Len() {
				if f := reflect.Indirect(list.Index(j).FieldByIndex(column.Index)); !f.IsValid() ||
					fmt.Sprint(f.Interface()) != value {
					kept = reflect.Append(kept, list.Index(j))
				}
			}
			list.Set(kept)
		}
	}
	return true
}

// beforeDelete brings up to date the rows of V1 that refer to a row that is about to be deleted. Where such a row
// itself waits for this one, beforeDelete unlinks it.
func (rs *restorer[V1, V2]) beforeDelete(ctx context.Context, own string) error {
	var referring []string
	for _, key := range rs.keys {
		of := rs.keyOfRow(key.on)
		column := key.on.Column(key.Columns[0])
		refers := quote(column.Name) + " = " + rs.db.dialect.AsKey(column, "?")
		found, err := rs.tx.Texts(ctx, fill(`SELECT DISTINCT CAST(t.{of} AS text) FROM {on} t
			WHERE t.{refers} AND t.{of} IS NOT NULL LIMIT {limit}`, "of", of, "on", key.on.SQL, "refers", refers,
			"limit", strconv.Itoa(maxFirst+1)), own)
		if err != nil {
			return err
		}
		for _, other := range found {
			if other == own {
				continue
			}
			if !rs.begun[other] || rs.ended[other] {
				referring = append(referring, other)
				continue
			}
			if v1, known := rs.wanted[other]; !known || v1 != nil {
				continue // it is written when its turn comes
			}
			unlink := fill(`DELETE FROM {on}`, "on", key.on.SQL)
			if key.on == rs.v1 {
				if column.Now().NotNull {
					continue
				}
				unlink = fill(`UPDATE {on} SET {column} = NULL`, "on", key.on.SQL, "column", quote(column.Name))
			}
			if _, err := rs.tx.Exec(ctx, rs.sql(`{unlink} WHERE {of} = {?} AND {refers}`, "unlink", unlink,
				"of", of, "refers", refers), other, own); err != nil {
				return err
			}
		}
	}
	if err := rs.first(ctx, referring); err != nil {
		return err
	}
	if err := rs.loosen(ctx, own); err != nil {
		return err
	}
	for _, key := range rs.others {
		if referring, err := rs.referringBy(ctx, key, own); err != nil || bool(key.Acts) && len(referring) > 0 {
			return cmp.Or(err, errStillReferred)
		}
	}
	return nil
}

// loosen brings up to date the rows of V1 that refer to the rows of own by columns other than its key. What they
// referred to before CONTRACT may be about to go, and they would go with it.
func (rs *restorer[V1, V2]) loosen(ctx context.Context, own string) error {
	for _, key := range rs.others {
		referring, err := rs.referringBy(ctx, key, own)
		if err == nil {
			err = rs.first(ctx, referring)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// referringBy returns the keys of other rows of V1 that refer to the rows of own by a foreign key.
func (rs *restorer[V1, V2]) referringBy(ctx context.Context, key keptKey, own string) ([]string, error) {
	target := rs.tableOf(key.Target)
	of, matches := rs.keyOfRow(key.on), make([]string, len(key.Columns))
	for i := range key.Columns {
		matches[i] = "t." + quote(key.Columns[i]) + " = r." + quote(key.TargetColumns[i])
	}
	found, err := rs.tx.Texts(ctx, rs.sql(`SELECT DISTINCT CAST(t.{of} AS text) FROM {target} r
		JOIN {on} t ON {matches} WHERE r.{keyOfRow} = {?} AND t.{of} IS NOT NULL LIMIT {limit}`, "of", of,
		"target", target.SQL, "on", key.on.SQL, "matches", strings.Join(matches, " AND "),
		"keyOfRow", rs.keyOfRow(target), "limit", strconv.Itoa(maxFirst+1)), own)
	return slices.DeleteFunc(found, func(other string) bool { return other == own }), err
}

// keyOfRow is the quoted name of the column of a V1 table that holds the root's key.
func (rs *restorer[V1, V2]) keyOfRow(on *shape.Table) string {
	for i := range rs.v1.Children {
		if c := &rs.v1.Children[i]; &c.Table == on {
			return quote(c.ParentKey)
		}
	}
	return quote(rs.v1.Key.Name)
}

// first brings up to date the rows of keys, before rows that need them. What V1 refuses of them is detected when it is
// their turn.
func (rs *restorer[V1, V2]) first(ctx context.Context, keys []string) error {
	keys = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(keys))),
		func(key string) bool { return rs.begun[key] })
	if len(keys) == 0 {
		return nil
	}
	if rs.brought+len(keys) > maxFirst {
		return errNeedsMore
	}
	rs.brought += len(keys)
	if err := rs.db.dialect.alsoWrites(ctx, rs.tx, rs.entity, keys); err != nil {
		return err
	}
	held, err := rs.lockForRestore(ctx, rs.tx, keys)
	if err != nil {
		return err
	}
	found, err := rs.lookUp(ctx, rs.tx.Session, wantBoth, keys) // a later statement than the locks
	if err != nil {
		return err
	}
	for _, key := range keys {
		s := found[key]
		if s == nil {
			continue
		}
		if s.v2 != nil && !held[s.key] {
			return database.Busy(errRowHasCome)
		}
		if err := rs.restore(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// finish writes the references that were left out.
func (rs *restorer[V1, V2]) finish(ctx context.Context) error {
	again := rs.again
	rs.again = nil
	for _, key := range again {
		v1 := rs.wanted[key]
		if v1 == nil {
			continue
		}
		found, err := rs.lookUp(ctx, rs.tx.Session, wantBoth, []string{key})
		if err != nil {
			return err
		}
		s := found[key]
		if s == nil || s.v1 == nil {
			continue
		}
		for _, reference := range rs.keys {
			for value := range reference.values(rs.v1, reflect.ValueOf(v1).Elem()) {
				if there, err := rs.hasRow(ctx, value); err != nil {
					return err
				} else if !there && rs.validKey(value) {
					why := later(errNeedsMore)
					if rs.begun[value] {
						why = new("V1 does not hold " + value + ", which it refers to")
					}
					rs.lacking[key] = Finding{
						Key: key, Kind: Different,
						Fields: []string{rs.v1.FieldOf(reference.Columns[0])}, Reason: why,
					}
				}
			}
		}
		if _, lacks := rs.lacking[key]; lacks {
			delete(rs.wanted, key)
			continue
		}
		if err := rs.v1Rows.apply(ctx, rs.tx, rs.v1.Differ(s.v1, v1)); err != nil {
			return err
		}
	}
	return nil
}
