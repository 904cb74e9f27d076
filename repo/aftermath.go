package repo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// V1 has an owner, whose triggers, rules, foreign key actions and defaults may change our write. So one statement
// follows each write of V1, in the same transaction and after everything that was deferred to COMMIT. It reads what V1
// holds then, and what else has changed. Where V1 leads, what it holds is the truth. Where V2 leads, what V1 does not
// keep is an error, and V2 follows what our write has caused on other rows.

// aftermath is what that statement returns besides the aggregate that was written.
type aftermath struct {
	Effects []sideEffect `json:"effects"`
	// Guarded says for each reference, by its column, whether a foreign key of V1's is at work on it.
	Guarded map[string]database.JSONFlag `json:"guarded"`
	// Kept is true where V1 still has a row of what was deleted.
	Kept database.JSONFlag `json:"kept"`
}

// sideEffect is a mark that a transaction of ours has caused on a row that it does not write itself.
type sideEffect struct {
	Entity string   `json:"entity"`
	ID     string   `json:"id"`
	Key    *string  `json:"key"` // nil for a mark of all keys
	Kind   markKind `json:"kind"`
	// The fence of the entity. Its phase cannot change any more: we have written its V1 table.
	Phase      Phase             `json:"phase"`
	Incomplete database.JSONFlag `json:"incomplete"`
	Restoring  database.JSONFlag `json:"restoring"`
}

func (s sideEffect) id() string {
	if s.Key == nil {
		return s.Entity + s.ID
	}
	return s.Entity + s.ID + *s.Key
}

// maxEffects limits how many rows V1's own triggers and foreign keys may change with one write where V2 must follow.
const maxEffects = 5000

// effects is an SQL expression: a JSON list of the marks with a token in the entities that V2 leads. The token is one
// argument for each entity. Where V1 leads, such marks stay, and make copies stale.
func (db *DB) effects() string {
	d := db.dialect
	marks := make([]string, len(db.entities))
	for i, e := range db.entities {
		marks[i] = e.sql(`SELECT {name} AS entity, CAST(m.id AS text) AS id, CAST(m.key AS text)
			AS key, m.kind, x.phase, x.incomplete, x.restoring FROM {mark} m JOIN {coexist_entity} x
			ON x.name = {name} WHERE m.tx = CAST(? AS {markID}) AND x.phase IN ('CUTOVER', 'CONTRACT')
			AND NOT (x.phase = 'CUTOVER' AND x.incomplete)`, "markID", d.MarkID())
	}
	return d.List(d.Object([]database.Member{
		{"entity", "s.entity"},
		{"id", "s.id"},
		{"key", "s.key"},
		{"kind", "s.kind"},
		{"phase", "s.phase"},
		{"incomplete", d.Value("s", flag("incomplete"))},
		{"restoring", d.Value("s", flag("restoring"))},
	}), fill(`({marks} LIMIT {limit}) s`, "marks", strings.Join(marks, " UNION ALL "),
		"limit", strconv.Itoa(maxEffects+1)), "s.entity, s.key")
}

// tokens are the arguments of effects.
func (t *tx) tokens() []any {
	args := make([]any, len(t.entity.db.entities))
	for i := range args {
		args[i] = t.token
	}
	return args
}

// after reads a key whose V1 rows the transaction has written, and what else the write has caused. references are those
// that the write has changed.
func (r *Repository[V1, V2]) after(ctx context.Context, t *tx, key string,
	references []Reference,
) (*seen[V1, V2], aftermath, error) {
	var found aftermath
	f, answers, err := r.readBy(func(scan func(database.Scanner) error) error {
		return r.db.dialect.afterDeferred(ctx, t, scan, r.afterStatement(references), append(t.tokens(), key)...)
	})
	if err != nil {
		return nil, found, err
	}
	if err := json.Unmarshal(answers[0].extra, &found); err != nil {
		return nil, found, err
	}
	s, err := r.decode(f, answers[0])
	return s, found, err
}

// afterRead says which statement follows a write, by the columns of the references that it has changed.
type afterRead struct{ references string }

// afterStatement is the statement of after.
func (e *entity) afterStatement(references []Reference) string {
	var columns strings.Builder
	for _, reference := range references {
		columns.WriteString(reference.Column + "\x00")
	}
	return e.buildOnce(afterRead{columns.String()}, func() reading {
		d := e.db.dialect
		guarded := make([]database.Member, len(references))
		for i, reference := range references {
			guarded[i] = database.Member{reference.Column, d.guards(e, reference, false)}
		}
		extra := d.Object([]database.Member{{"effects", e.db.effects()}, {"guarded", d.Object(guarded)}})
		return e.readStatement(wantBoth, sideV1, formJSON, e.sql(`SELECT {?} AS key, 0 AS ord`), extra)
	}).text
}

// afterDelete returns whether V1 still has a row of a deleted key, and what else the delete has caused.
func (e *entity) afterDelete(ctx context.Context, t *tx, key string) (found aftermath, err error) {
	var there []string
	args := t.tokens()
	for _, at := range e.v1Places() {
		there = append(there, e.sql(`EXISTS (SELECT 1 FROM {table} t WHERE t.{column} = {?})`, "table", at.table,
			"column", at.column))
		args = append(args, key)
	}
	d := e.db.dialect
	err = d.afterDeferred(ctx, t, func(row database.Scanner) error {
		var document []byte
		if err := row.Scan(&document); err != nil {
			return err
		}
		return json.Unmarshal(document, &found)
	}, fill(`SELECT CAST({object} AS text)`,
		"object", d.Object([]database.Member{
			{"effects", e.db.effects()}, {"kept", strings.Join(there, " OR ")},
		})), args...)
	return found, err
}

// effectsOf returns the side effects of what the transaction has written.
func (e *entity) effectsOf(ctx context.Context, t *tx) (effects []sideEffect, err error) {
	err = e.db.dialect.afterDeferred(ctx, t, func(row database.Scanner) error {
		var document []byte
		if err := row.Scan(&document); err != nil {
			return err
		}
		return json.Unmarshal(document, &effects)
	}, fill(`SELECT CAST({effects} AS text)`, "effects", e.db.effects()), t.tokens()...)
	return effects, err
}

// place is a V1 table and its column of the root's key, quoted.
type place struct{ table, column string }

func (e *tables) v1Places() []place {
	places := []place{{e.v1.SQL, quote(e.v1.Key.Name)}}
	for _, c := range e.v1.Children {
		places = append(places, place{c.SQL, quote(c.ParentKey)})
	}
	return places
}

// reconcileEffects handles the side effects of a write on a key of e; a nil key stands for many. Where V2 leads, V2
// must follow at once, since nobody looks at marks there. While V1 is being rebuilt, V1's owner may have changed rows
// that are old. Then V1 is brought up to V2 instead, which may have side effects again. Those later rounds leave out
// the effects in but, and all that were handled before.
func (e *entity) reconcileEffects(ctx context.Context, t *tx, key *string, effects []sideEffect,
	but ...sideEffect,
) error {
	const rounds = 5
	settled := map[string]bool{}
	for _, effect := range but {
		settled[effect.id()] = true
	}
	for range rounds {
		again, err := e.settleOnce(ctx, t, key, effects)
		if err != nil || !again {
			return err
		}
		for _, effect := range effects {
			settled[effect.id()] = true
		}
		if effects, err = e.effectsOf(ctx, t); err != nil {
			return err
		}
		effects = slices.DeleteFunc(effects, func(effect sideEffect) bool { return settled[effect.id()] })
	}
	return &ConflictError{"V1 is being rebuilt, and its own triggers change rows each time that these are brought up to V2"}
}

// settleOnce is one round of reconcileEffects. It reports whether that wrote V1, which may have side effects again.
func (e *entity) settleOnce(ctx context.Context, t *tx, key *string, effects []sideEffect) (again bool, err error) {
	if len(effects) > maxEffects {
		return false,
			&ConflictError{fmt.Sprintf("V1's own triggers or foreign keys change more than %d rows with this one of %s",
				maxEffects, e.name)}
	}
	follow, drop, restore := map[*entity][]sideEffect{}, map[*entity][]mark{}, map[*entity][]string{}
	for _, effect := range effects {
		other := e.db.entityNamed(effect.Entity)
		f := fence{Phase: effect.Phase, Incomplete: bool(effect.Incomplete), Restoring: bool(effect.Restoring)}
		switch {
		case effect.Key != nil && key != nil && other == e && *effect.Key == *key:
			// The marks of the key itself go with its copy.
		case effect.Key == nil && !f.writesV1(): // a mark of all keys is never deleted
		case effect.Key == nil:
			return false, &ConflictError{fmt.Sprintf(
				"V1's own triggers empty a table of %s with this write, which its phase %s does not allow",
				other.name, f.Phase)}
		case !f.writesV1():
			drop[other] = append(drop[other], mark{ID: effect.ID, Key: *effect.Key, Kind: effect.Kind})
		case f.Phase == Contract:
			drop[other] = append(drop[other], mark{ID: effect.ID, Key: *effect.Key, Kind: effect.Kind})
			restore[other] = append(restore[other], *effect.Key)
		default:
			follow[other] = append(follow[other], effect)
		}
	}
	for _, other := range e.db.entities {
		if _, err := other.marks.remove(ctx, t, drop[other]); err != nil {
			return false, err
		}
		if len(restore[other]) > 0 {
			own := key
			if again = true; other != e {
				own = nil
			}
			err := other.converter.restoreV1(ctx, t, own, restore[other])
			if err == nil && other != t.entity {
				err = e.db.dialect.alsoWrites(ctx, t, t.entity, nil)
			}
			if err != nil {
				return false, err
			}
		}
		var keys []string
		for _, effect := range follow[other] {
			if !slices.Contains(keys, *effect.Key) {
				keys = append(keys, *effect.Key)
			}
		}
		if len(keys) > 0 {
			if err := other.converter.refreshCopies(ctx, t, keys); err != nil {
				return false, err
			}
		}
	}
	return again, nil
}

func (db *DB) entityNamed(name string) *entity {
	i := slices.IndexFunc(db.entities, func(e *entity) bool { return e.name == name })
	return db.entities[i]
}

// refreshCopies brings copies up to V1 rows that V1's owner has changed in this transaction, while V2 leads. It fails
// with a *ConversionError for a row that cannot be converted, and is busy where somebody else is at work on a copy.
func (r *Repository[V1, V2]) refreshCopies(ctx context.Context, t *tx, keys []string) error {
	root := "t." + quote(r.v2.Key.Name)
	if lock := r.db.dialect.Lock(); lock != "" {
		if err := r.returnKeysOf(ctx, t, map[string]bool{}, r.sql(`SELECT CAST({root} AS text) FROM {v2} t
			WHERE {root} IN (SELECT k.key FROM ({key list}) k) ORDER BY {root}{lock}`, "root", root, "lock", lock), keys); err != nil {
			return err
		}
	}
	found, err := r.lookUp(ctx, t.Session, wantBoth, keys) // a later statement than the locks
	if err != nil {
		return err
	}
	var items []pending
	for _, key := range keys {
		s := found[key]
		switch {
		case s == nil:
			continue
		case s.v1 == nil && s.v1Err == nil:
			if s.state.hasCopy || s.state.changed() {
				if err := r.sweeping.fold(ctx, t, vanished{s.key, s.state}); err != nil {
					return err
				}
			}
			continue
		}
		if !s.state.hasCopy { // a new copy lies under none of the present marks of all keys
			s.state.all = s.fence.AllMarks
		}
		s.again = true
		c, err := r.internalRead(s)
		if err != nil {
			return err
		}
		items = append(items, r.pending(s, c))
	}
	stored, err := r.copies.store(ctx, t, items, OriginWrite)
	if err == nil && len(stored) < len(items) {
		return database.Busy(errOvertaken)
	}
	return err
}

// unkept looks at keys whose V1 rows a run has brought up to V2. It returns a finding for each key where V1 holds
// something else than wanted (nil means no row), and for each other row of the entity that has changed with them. None
// of this changes V2's rows of the entity, since they lead.
func (r *Repository[V1, V2]) unkept(ctx context.Context, t *tx, wanted map[string]*V1) ([]Finding, error) {
	effects, err := r.effectsOf(ctx, t)
	if err != nil {
		return nil, err
	}
	found, err := r.lookUp(ctx, t.Session, wantBoth, slices.Sorted(maps.Keys(wanted)))
	if err != nil {
		return nil, err
	}
	var faults []Finding
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		var held *V1
		if s := found[key]; s != nil && s.v1Err != nil {
			faults = append(faults, Finding{
				Key: key, Kind: Different, Fields: []string{field(s.v1Err).Field},
				Reason: new("V1 makes of it what cannot be read: " + field(s.v1Err).Reason),
			})
			continue
		} else if s != nil {
			held = s.v1
		}
		switch v1 := wanted[key]; {
		case v1 == nil && held != nil:
			faults = append(faults, Finding{
				Key: key, Kind: Missing,
				Reason: new("V1 keeps the row: a trigger or a rule of its owner's withholds the delete"),
			})
		case v1 != nil && held == nil:
			faults = append(faults, Finding{
				Key: key, Kind: Orphan,
				Reason: new(
					"V1 does not keep the row: a trigger or a rule of its owner's withholds it, or changes its key"),
			})
		case v1 != nil && !r.sameRows(v1, held):
			faults = append(faults, Finding{
				Key: key, Kind: Different, Fields: differingFields(v1, held),
				Reason: new("V1 does not keep it as it was written: a trigger or a rule of its owner's changes it"),
			})
		}
	}
	var others []sideEffect
	for _, effect := range effects {
		switch {
		case effect.Entity != r.name:
			others = append(others, effect)
		case effect.Key == nil:
			return nil, &ConflictError{"V1's own triggers empty a table of " + r.name + " when its rows are written"}
		case !slices.ContainsFunc(faults, func(f Finding) bool { return f.Key == *effect.Key }):
			faults = append(faults, Finding{
				Key: *effect.Key, Kind: Different, Fields: []string{},
				Reason: new("V1's own triggers or foreign keys change it when other rows are written"),
			})
		}
	}
	return faults, r.reconcileEffects(ctx, t, nil, others, effects...)
}
