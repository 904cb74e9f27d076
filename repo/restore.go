package repo

import (
	"context"
	"errors"
	"slices"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// A restore rebuilds V1 from V2 while writes go on; from its start they go to both shapes.

// prepareRestore reads the next keys of either shape. Where V1 says already what V2 says, nothing is left to do: since
// the restore was started, whoever writes one of them writes both. The batch's transaction reads the others again,
// under lock.
func (r *Repository[V1, V2]) prepareRestore(ctx context.Context, c chunk, limit int) (*batch, error) {
	b, read, err := r.readPairs(ctx, c, limit)
	if err != nil {
		return nil, err
	}
	all, keys := make([]string, len(read)), []string(nil)
	for i, s := range read {
		if all[i] = s.key; !r.isRestored(s) {
			keys = append(keys, s.key)
		}
	}
	b.writes = keys
	b.apply = func(ctx context.Context, t *tx) (outcome, error) { return r.applyRestore(ctx, t, c, keys, all) }
	if len(keys) == 0 {
		return b, nil
	}
	b.refuse = func(ctx context.Context, t *tx, refusal error) (outcome, error) {
		// For example a foreign key: V1 lacks the row to which this one refers.
		path := ""
		if refused, ok := errors.AsType[*database.ConstraintError](refusal); ok {
			path = r.v1.FieldOf(refused.Column)
			for _, key := range r.constraints.Foreign(r.v1.Name) {
				// SQLite does not name the foreign key
				named := refused.Constraint == "" || key.Name == refused.Constraint
				if refused.Kind == database.ForeignKeyViolation && named {
					path = r.v1.FieldOf(key.Columns[0])
				}
			}
		}
		return r.runs.report(ctx, t, c, nil, []Finding{{
			Key: keys[0], Kind: Different, Fields: []string{path},
			Reason: new(refusalReason(refusal)),
		}})
	}
	return b, nil
}

// refusalReason says, in words for people, why V1 refuses a row.
func refusalReason(refusal error) string {
	refused, ok := errors.AsType[*database.ConstraintError](refusal)
	switch {
	case ok && refused.Refused != nil:
		return refusedError(refused.Refused).Error()
	case ok && refused.Constraint != "":
		return "V1's constraint " + refused.Constraint + " refuses it: " + shape.FirstLine(refused.Err)
	default:
		return "V1 refuses it: " + shape.FirstLine(refusal)
	}
}

// isRestored reports whether V1 says what V2 says.
func (r *Repository[V1, V2]) isRestored(s *seen[V1, V2]) bool {
	if s.v1 == nil || s.v2 == nil {
		return false
	}
	v1, err := r.represent(s.v1, *s.v2)
	return err == nil && r.sameRows(s.v1, &v1)
}

// applyRestore brings the rows of keys up to V2. It reports what is wrong with any key of the batch: rows that have the
// key of another may have to change too.
func (r *Repository[V1, V2]) applyRestore(ctx context.Context, t *tx, c chunk, keys, all []string,
) (outcome, error) {
	if len(keys) == 0 {
		return r.runs.report(ctx, t, c, nil, nil)
	}
	held, err := r.lockForRestore(ctx, t, keys)
	if err != nil {
		return outcome{}, err
	}
	found, err := r.lookUp(ctx, t.Session, wantBoth, keys) // after the locks, in a statement of its own
	if err != nil {
		return outcome{}, err
	}
	rs := r.restorer(t)
	for _, key := range keys {
		s := found[key]
		if s == nil {
			continue
		}
		if s.v2 != nil && !held[key] {
			return outcome{}, database.Busy(errRowHasCome) // lock the row first
		}
		if err := rs.restore(ctx, s); err != nil {
			return outcome{}, err
		}
	}
	if err := rs.finish(ctx); err != nil {
		return outcome{}, err
	}
	var faults []Finding
	turn := all // the keys of this batch; other keys get their own turn
	if rs.restored > 0 {
		touched, err := rs.settleTouched(ctx)
		if err != nil {
			return outcome{}, err
		}
		turn = append(slices.Clone(all), touched...)
		if faults, err = r.unkept(ctx, t, rs.wanted); err != nil {
			return outcome{}, err
		}
	}
	for _, key := range slices.Compact(slices.Sorted(slices.Values(turn))) {
		if fault, there := rs.faults[key]; there {
			faults = append(faults, fault)
		} else if fault, there := rs.lacking[key]; there {
			faults = append(faults, fault)
		}
	}
	added, err := r.runs.report(ctx, t, c, nil, faults)
	added.migrated = rs.restored
	return added, err
}

// lockForRestore locks the rows of keys: V2's, then V1's. It does not wait for V1's child rows. It returns the keys
// that V2 has.
func (e *entity) lockForRestore(ctx context.Context, t *tx, keys []string) (map[string]bool, error) {
	held := map[string]bool{}
	root := "t." + quote(e.v2.Key.Name)
	if err := e.returnKeysOf(ctx, t, held, e.sql(`SELECT CAST({root} AS text) FROM {v2} t
		WHERE {root} IN (SELECT k.key FROM ({key list}) k) ORDER BY {root}{lock}`, "root", root), keys); err != nil {
		return nil, err
	}
	if e.db.dialect.Lock() == "" {
		return held, nil
	}
	v1Root := "t." + quote(e.v1.Key.Name)
	statements := []string{e.sql(`SELECT CAST({v1Root} AS text) FROM {v1} t WHERE {v1Root} IN (SELECT k.key
		FROM ({key list}) k) ORDER BY {v1Root}{lock}`, "v1Root", v1Root)}
	for _, c := range e.v1.Children {
		parent := "t." + quote(c.ParentKey)
		statements = append(statements, e.sql(`SELECT CAST({parent} AS text) FROM {child} t
			WHERE {parent} IN (SELECT k.key FROM ({key list}) k) ORDER BY {parent}{lock} NOWAIT`, "parent", parent,
			"child", c.SQL))
	}
	for _, statement := range statements {
		if err := e.returnKeysOf(ctx, t, map[string]bool{}, statement, keys); err != nil {
			return nil, err
		}
	}
	return held, nil
}

// cancelRestore is a fenced step: later writes go to V2 alone, so what was restored is worth nothing.
func (c *Control) cancelRestore(ctx context.Context, run Run) error {
	e, err := c.entity(run.Entity)
	if err != nil {
		return err
	}
	return e.fenced(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.Exec(ctx, e.sql(`UPDATE {coexist_run} SET status = ?, finished_at = {now}, throttled_by = NULL
			WHERE id = ? AND status IN ('RUNNING', 'PAUSED')`), string(Cancelled), run.ID)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrRunEnded
		}
		_, err = t.Exec(ctx, c.db.sql(`UPDATE {coexist_entity} SET restoring = ?, epoch = epoch + 1 WHERE name = ?`),
			false, e.name)
		return err
	})
}
