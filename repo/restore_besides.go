package repo

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// The other rows of V1 that a write brings up to date while V1 is being rebuilt.

// whileRestoring prepares V1 for a client's write of a key, while V1 is being rebuilt. v1 is what is about to be
// written, nil for a delete. The caller must call finish after the write. whileRestoring fails with a *ConflictError
// where V1 needs too many other rows first.
func (r *Repository[V1, V2]) whileRestoring(ctx context.Context, t *tx, key string,
	v1 *V1,
) (finish func(context.Context) error, err error) {
	if !t.fence.Restoring {
		return func(context.Context) error { return nil }, nil
	}
	rs := r.restorer(t)
	rs.begun[key] = true
	finish = func(ctx context.Context) error {
		if err := rs.finish(ctx); err != nil {
			return err
		}
		return rs.kept(ctx, key)
	}
	if v1 == nil {
		rs.wanted[key] = nil
		return finish, tooMuch(rs.beforeDelete(ctx, key))
	}
	whole := *v1
	rs.wanted[key] = &whole
	return finish, tooMuch(rs.before(ctx, key, v1))
}

func tooMuch(err error) error {
	switch {
	case errors.Is(err, errNeedsMore):
		return &ConflictError{"V1 is being rebuilt, and " + strings.TrimPrefix(err.Error(), "V1 ") +
			": try again when the restore has gone on"}
	case errors.Is(err, errStillReferred):
		return &ConflictError{"V1 is being rebuilt, and " + strings.Replace(err.Error(), "V1's", "its", 1)}
	default:
		return err
	}
}

// beforeDelete is whileRestoring for a delete.
func (r *Repository[V1, V2]) beforeDelete(ctx context.Context, t *tx,
	key string,
) (finish func(context.Context) error, err error) {
	return r.whileRestoring(ctx, t, key, nil)
}

// restoreV1 brings V1's rows of keys up to date with V2, which leads, where V1 is being rebuilt and its owner has
// changed them in this transaction. For rows that V2 has never had, V2 follows V1 instead. own is the key that the
// transaction writes anyway, nil for none. restoreV1 fails with a *ConflictError where V1 does not keep the rows as V2
// has them.
func (r *Repository[V1, V2]) restoreV1(ctx context.Context, t *tx, own *string, keys []string) error {
	found, err := r.lookUp(ctx, t.Session, wantBoth, keys)
	if err != nil {
		return err
	}
	var fresh, known []string
	for _, key := range keys {
		if s := found[key]; s != nil && s.v2 == nil && !s.state.gone() && (s.v1 != nil || s.v1Err != nil) {
			fresh = append(fresh, key)
		} else {
			known = append(known, key)
		}
	}
	if len(fresh) > 0 {
		if err := r.refreshCopies(ctx, t, fresh); err != nil {
			return err
		}
	}
	rs := r.restorer(t)
	except := ""
	if own != nil {
		except, rs.begun[*own] = *own, true
	}
	if err := rs.firstOfMany(ctx, known); err != nil {
		return tooMuch(err)
	}
	if err := rs.kept(ctx, except); err != nil || own == nil {
		return err
	}
	// This may have changed what the copy of own has just taken over from V1.
	now, err := r.lookUp(ctx, t.Session, wantBoth, []string{*own})
	if err != nil {
		return err
	}
	if s := now[*own]; s != nil && s.v1 != nil && s.v2 != nil {
		if v1, err := r.represent(s.v1, *s.v2); err != nil || !r.sameRows(s.v1, &v1) {
			return &ConflictError{"V1 is being rebuilt, and its own triggers change " + r.name + " " + *own +
				" again when other rows are brought up to V2"}
		}
	}
	return nil
}

// firstOfMany is first for any number of rows, provided they do not need each other.
func (rs *restorer[V1, V2]) firstOfMany(ctx context.Context, keys []string) error {
	for portion := range slices.Chunk(keys, maxFirst) {
		rs.brought = 0
		if err := rs.first(ctx, portion); err != nil {
			return err
		}
	}
	return rs.finish(ctx)
}

// kept fails with a *ConflictError where V1 does not hold the other rows as they should be after they were brought up
// to date, or lacks what they need.
func (rs *restorer[V1, V2]) kept(ctx context.Context, own string) error {
	for key, fault := range rs.lacking {
		return &ConflictError{"V1 is being rebuilt, and cannot hold " + rs.name + " " + key + " yet: " + *fault.Reason}
	}
	wanted := maps.Clone(rs.wanted)
	delete(wanted, own)
	if len(wanted) == 0 {
		return nil
	}
	found, err := rs.lookUp(ctx, rs.tx.Session, wantBoth, slices.Sorted(maps.Keys(wanted)))
	if err != nil {
		return err
	}
	for key, v1 := range wanted {
		var held *V1
		if s := found[key]; s != nil {
			held = s.v1
		}
		if (v1 == nil) != (held == nil) || v1 != nil && !rs.sameRows(v1, held) {
			return &ConflictError{"V1 is being rebuilt, and its own triggers, rules or foreign keys do not keep " +
				rs.name + " " + key + " as V2 has it, which this write needs"}
		}
	}
	return nil
}

// settleTouched brings up to date the other rows of the entity that V1's owner has changed along with the rows that a
// restore wrote. It returns their keys.
func (rs *restorer[V1, V2]) settleTouched(ctx context.Context) (touched []string, err error) {
	const rounds = 3
	for range rounds {
		effects, err := rs.effectsOf(ctx, rs.tx)
		if err != nil || len(effects) > maxEffects {
			return touched, err
		}
		var keys []string
		var marks []mark
		for _, effect := range effects {
			if effect.Entity == rs.name && effect.Key != nil {
				keys = append(keys, *effect.Key)
				marks = append(marks, mark{ID: effect.ID, Key: *effect.Key, Kind: effect.Kind})
			}
		}
		if len(keys) == 0 {
			return touched, nil
		}
		if err := rs.firstOfMany(ctx, keys); errors.Is(err, errNeedsMore) {
			return touched, nil // their marks still say that they have changed
		} else if err != nil {
			return nil, err
		}
		if _, err := rs.marks.remove(ctx, rs.tx, marks); err != nil {
			return nil, err
		}
		touched = append(touched, keys...)
	}
	return touched, nil
}

// vacate brings up to date the rows of V1 that hold what only v1, a row that is about to be written, may hold. V1
// refuses rows that exchange such values.
func (rs *restorer[V1, V2]) vacate(ctx context.Context, own string, v1 *V1) error {
	for _, unique := range rs.foreignKeys.uniques() {
		if unique.own || !unique.known() {
			continue
		}
		of := rs.keyOfRow(unique.on)
		document, err := shape.Marshal(rs.rowsOf(unique.on, v1))
		if err != nil {
			return err
		}
		holders, err := rs.tx.Texts(ctx, fill(`SELECT DISTINCT CAST(t.{of} AS text) FROM {inTheWay}
			AND t.{of} IS NOT NULL`, "of", of, "inTheWay", unique.inTheWay(rs.db.dialect)), document)
		if err != nil {
			return err
		}
		var others []string
		for _, holder := range holders {
			if holder == own {
				continue
			}
			others = append(others, holder)
		}
		if err := rs.first(ctx, others); err != nil {
			return err
		}
	}
	return nil
}

// inTheWay is a FROM and a WHERE that find the rows t of the table that prevent rows n from being written. The rows n
// are those of an argument, a JSON list.
func (u uniqueKey) inTheWay(d database.Expressions) string {
	from, value := d.Records(u.columns, 0)
	columns, terms, conditions := make([]string, len(u.columns)), make([]string, len(u.Terms)),
		make([]string, len(u.Terms))
	for i, c := range u.columns {
		columns[i] = value(c.Name) + " AS " + quote(c.Name)
	}
	for i, term := range u.Terms {
		name := fmt.Sprintf("coexist_%d", i)
		terms[i] = term + " AS " + name
		conditions[i] = fmt.Sprintf("%s %s n.%s", term, u.Operators[i], name)
		if u.NullsAlike {
			conditions[i] = fmt.Sprintf("(%s OR %s IS NULL AND n.%s IS NULL)", conditions[i], term, name)
		}
	}
	where := ""
	if u.Condition != "" {
		where = fill(` WHERE {condition}`, "condition", u.Condition)
		conditions = append([]string{"(" + u.Condition + ")"}, conditions...)
	}
	return fill(`(SELECT {terms} FROM (SELECT {columns} FROM {from}) r{where}) n, {on} t WHERE {conditions}`,
		"terms", strings.Join(terms, ", "), "columns", strings.Join(columns, ", "), "from", from, "where", where,
		"on", u.on.SQL, "conditions", strings.Join(conditions, " AND "))
}

// whileRebuilt returns the error of a write. It turns it into a *ConflictError where V1, while it is being rebuilt, may
// have refused the row because of what it still holds, or lacks, of other rows that a restorer cannot find.
func (e *entity) whileRebuilt(t *tx, err error) error {
	refused, ok := errors.AsType[*database.ConstraintError](err)
	switch {
	case !ok || !t.fence.Restoring:
		return err
	case refused.Kind == database.UniqueViolation && e.foreignKeys.mayBeVacated(refused.Constraint):
		return &ConflictError{"V1 is being rebuilt, and its constraint " + refused.Constraint +
			" refuses the row, perhaps for what another held before: try again when the restore has gone on"}
	case refused.Kind == database.ForeignKeyViolation && e.foreignKeys.mayCome(refused):
		return &ConflictError{"V1 is being rebuilt, and may lack what the row refers to: try again when the restore has gone on"}
	default:
		return err
	}
}

// mayBeVacated reports whether a unique index is one for which a restorer cannot tell what is in its way.
func (e foreignKeys) mayBeVacated(name string) bool {
	return slices.ContainsFunc(e.uniques(), func(u uniqueKey) bool {
		return strings.EqualFold(u.Name, name) &&
			!u.own && !u.known()
	})
}

// mayCome reports whether the foreign key for which V1 refuses a row leads to a row of the entity itself that a
// restorer does not find.
func (e foreignKeys) mayCome(refused *database.ConstraintError) bool {
	for _, on := range e.v1.All() {
		for _, key := range e.constraints.Foreign(on.Name) {
			within := slices.ContainsFunc(e.v1.All(), func(t *shape.Table) bool { return t.SQL == key.Target })
			if within && !e.isParent(key, on) && !e.leadsToKey(on, key) && (refused.Constraint == "" ||
				refused.Constraint == key.Name) {
				return true
			}
		}
	}
	return false
}

// rowsOf returns the rows of an aggregate that belong to one of V1's tables.
func (rs *restorer[V1, V2]) rowsOf(on *shape.Table, v1 *V1) []shape.Row {
	v := reflect.ValueOf(v1).Elem()
	for i := range rs.v1.Children {
		if c := &rs.v1.Children[i]; &c.Table == on {
			return c.Rows(v, v.FieldByIndex(rs.v1.Key.Index).Interface())
		}
	}
	return []shape.Row{rs.v1.Row(v)}
}
