package repo

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// CreateV1 inserts a V1 aggregate, and its copy with it, in one transaction. If its key is empty, the server makes one.
// It returns the aggregate as the database then holds it. In EXPAND and MIGRATE, an aggregate that cannot be converted
// is still inserted, and goes to quarantine; from CUTOVER on it is refused with a *ConversionError. In CONTRACT only V2
// is written.
//
// It fails with ErrAlreadyExists, with an *InputError for what V1 cannot hold, and with a *CreateUnknownError where the
// connection was lost while it committed.
func (r *Repository[V1, V2]) CreateV1(ctx context.Context, v1 V1) (inserted V1, err error) {
	err = r.withKey(ctx, r.v1, &v1, func(made bool) error {
		return r.write(ctx, opening{writes: []string{r.keyOf(r.v1, &v1)}}, func(ctx context.Context, t *tx) error {
			if err := r.mayWriteV1(t); err != nil {
				return err
			}
			if err := r.acceptable(nil, &v1); err != nil {
				return err
			}
			said := v1
			if r.v1Rows.draws() {
				if said, err = shape.DeepCopy(v1); err != nil { // a try that fails draws again
					return err
				}
				if _, err := r.draw(ctx, t, nil, &said); err != nil {
					return err
				}
			}
			if t.fence.leader() == sideV2 {
				if err := r.sortChildRows(ctx, t, &said); err != nil {
					return err
				}
				inserted, err = r.createV1WhenV2Leads(ctx, t, said, made)
				return err
			}
			if err := r.mustBeFree(ctx, t, r.keyOf(r.v1, &said), made); err != nil {
				return err
			}
			if err := r.v1Rows.insertNew(ctx, t, reflect.ValueOf(said)); err != nil {
				return err
			}
			inserted, err = r.refreshCopy(ctx, t, nil, &said, created)
			return err
		})
	})
	return inserted, r.explainV1(ctx, err, &v1)
}

// CreateV2 inserts a V2 aggregate, and its V1 row with it, in one transaction; in CONTRACT V2 alone. If its key is
// empty, the server makes one.
//
// It fails with ErrAlreadyExists, with ErrV2NotOpen in EXPAND, with an *InputError for bad input, with a
// *NotRepresentableError for what V1 cannot hold, and with a *CreateUnknownError where the connection was lost while it
// committed.
func (r *Repository[V1, V2]) CreateV2(ctx context.Context, v2 V2) (record Record[V2], err error) {
	var v1 V1
	err = r.withKey(ctx, r.v2, &v2, func(made bool) error {
		return r.write(ctx, opening{writes: []string{r.keyOf(r.v2, &v2)}}, func(ctx context.Context, t *tx) error {
			if err := r.mayWriteV2(t); err != nil {
				return err
			}
			if err := r.acceptableV2(nil, &v2); err != nil {
				return err
			}
			said, err := r.drawInV2(ctx, t, nil, v2)
			if err != nil {
				return err
			}
			if t.fence.leader() == sideV2 {
				record, v1, err = r.createV2WhenV2Leads(ctx, t, said, made)
				return err
			}
			if v1, err = r.represent(nil, said); err != nil {
				return err
			}
			if err := r.mustBeFree(ctx, t, r.keyOf(r.v2, &said), made); err != nil {
				return err
			}
			if err := r.v1Rows.insertNew(ctx, t, reflect.ValueOf(v1)); err != nil {
				return err
			}
			record, err = r.putV2(ctx, t, nil, v1, said, created, r.mappingVersion)
			return err
		})
	})
	return record, r.explain(ctx, err, func(field string) string { return r.fieldOfV2(v1, field, v2) }, &v1)
}

// CheckV1 returns an *InputError where the columns of V1's tables, as the database has them, cannot hold v1, or where
// its model's Validate refuses it. It checks neither whether the key is free nor references.
func (r *Repository[V1, V2]) CheckV1(v1 V1) error { return r.acceptable(nil, &v1) }

// mustBeFree fails with ErrAlreadyExists where V1 has the key. If another transaction inserts the key after this look,
// the database refuses the second insert. A key that the server has made must not be the key of a deleted entity
// either.
func (r *Repository[V1, V2]) mustBeFree(ctx context.Context, t *tx, key string, made bool) error {
	s, err := r.see(ctx, t, key)
	if err != nil || s == nil {
		return err
	}
	if !s.absent() || made && s.state.tombstoned() {
		return ErrAlreadyExists
	}
	if !s.state.hasCopy || s.state.gone() {
		return nil // follow writes over what is gone, with a version above its own
	}
	// A copy without a V1 row: V1 lost it unseen. It must not be merged into the new row, and the new version must be
	// above its version.
	if gone, err := r.copies.remove(ctx, t, key, s.state.seq); err != nil || gone == 0 {
		return cmp.Or(err, database.Busy(errOvertaken))
	}
	return r.marks.add(ctx, t, key, markGone, s.state.currentVersion())
}

// withKey runs create. Where the aggregate v leaves its key to the server it tries new keys until one is free.
func (r *Repository[V1, V2]) withKey(ctx context.Context, t *shape.Table, v any, create func(made bool) error) error {
	if r.hasKey(t, v) {
		if key := r.keyOf(t, v); r.uuidKey() && uuidForm.MatchString(key) {
			r.setKey(t, v, uuidSpelled(key))
		}
		if held, err := r.mayHoldKey(ctx, r.keyOf(t, v)); err != nil {
			return err
		} else if !held {
			return inputError(Faulty(t.Key.Field(""), "cannot be a key: %s", r.whyNoKey(r.keyOf(t, v))))
		}
		return r.keyUnknown(r.taken(ctx, r.malformed(ctx, create(false), t, v)), t, v)
	}
	const tries = 1000
	for try := range tries {
		key, err := r.nextKey(ctx, try)
		if err != nil {
			return err
		}
		if key == "" {
			continue
		}
		if held, err := r.mayHoldKey(ctx, key); err != nil {
			return err
		} else if !held {
			return notRepresentable(Faulty(t.Key.Field(""), "the server has no key left that column "+t.Key.Name+
				" can hold, the next would be %s: give one", key))
		}
		r.setKey(t, v, key)
		if err := r.taken(ctx, create(true)); !errors.Is(err, ErrAlreadyExists) {
			return r.keyUnknown(err, t, v)
		}
	}
	return fmt.Errorf("%w: no key was free in %d tries", ErrUnavailable, tries)
}

// mayHoldKey is holdsKey, but reads V1's columns again before it says no.
func (e *entity) mayHoldKey(ctx context.Context, key string) (bool, error) {
	if e.holdsKey(key) {
		return true, nil
	}
	_, err := e.fitting.renew(ctx, e.db.pools.Reading())
	return err == nil && e.holdsKey(key), err
}

// taken turns the violation of a unique constraint into ErrAlreadyExists, or into a *UniqueError where it is not that
// of the key.
func (e *entity) taken(ctx context.Context, err error) error {
	refused, ok := errors.AsType[*database.ConstraintError](err)
	if !ok || refused.Kind != database.UniqueViolation {
		return err
	}
	for _, t := range []*shape.Table{e.v1, e.v2} {
		if ofKey, err := e.db.dialect.ViolatesKey(ctx, e.db.pools.Reading(), t, refused); ofKey || err != nil {
			return cmp.Or(err, ErrAlreadyExists)
		}
	}
	return &UniqueError{refused.Constraint}
}

// malformed returns an *InputError for the key of the aggregate v where the database says that the key is no value of
// its type, else err.
func (e *entity) malformed(ctx context.Context, err error, t *shape.Table, v any) error {
	if !database.IsRefused(err, database.BadValue) {
		return err
	}
	key := e.keyOf(t, v)
	_, formErr := e.db.pools.Reading().Number(ctx, e.sql(`SELECT count({?})`), key)
	if refused, ok := errors.AsType[*database.ConstraintError](formErr); ok && refused.Kind == database.BadValue {
		return inputError(Faulty(t.Key.Field(""), "%q cannot be a key: %s", key, shape.FirstLine(refused.Err)))
	}
	return err
}

// keyUnknown adds the key of the aggregate v to an ErrOutcomeUnknown.
func (e *entity) keyUnknown(err error, t *shape.Table, v any) error {
	if errors.Is(err, ErrOutcomeUnknown) {
		return &CreateUnknownError{e.keyOf(t, v)}
	}
	return err
}

func (e *entity) whyNoKey(key string) string {
	l := e.v1.Key.Now().Limits
	switch {
	case e.intKey:
		low, high := int64(math.MinInt64), int64(math.MaxInt64)
		if l.Ranged {
			low, high = l.Min, l.Max
		}
		return fmt.Sprintf("%q is not a number from %d to %d", key, low, high)
	case e.v1.Key.Now().Padded && strings.HasSuffix(key, " "):
		return "it must not end with a blank"
	case l.Runes > 0:
		return fmt.Sprintf("it must be at most %d characters of UTF-8, without NUL", l.Runes)
	default:
		return "it must be valid UTF-8, without NUL"
	}
}

// nextKey makes a key: from the default of V1's column where it has one, else from the entity's next serial number. It
// takes no lock that others wait for until a commit. try counts the keys in a row that were taken; after many, the key
// may be empty.
func (r *Repository[V1, V2]) nextKey(ctx context.Context, try int) (key string, err error) {
	if generator := r.v1.Key.Now().Generator; generator != "" {
		const few, many = 10, 100
		next := fill(`SELECT CAST({generator} AS text)`, "generator", generator)
		if try >= few { // rows with keys of their own are far ahead of the generator
			next = r.sql(`SELECT coalesce(CAST(min(g.value) AS text), '') FROM (SELECT {generator} AS value
				FROM generate_series(1, {many})) g WHERE NOT EXISTS (SELECT 1 FROM {v1} t WHERE t.{v1.key} = g.value)`,
				"generator", generator, "many", strconv.Itoa(many))
		}
		err = r.db.autonomously(ctx, func(s database.Session) error {
			return s.Query(ctx, func(rows *sql.Rows) error { return rows.Scan(&key) }, next)
		})
		return key, err
	}
	insert := func(first, next string) string {
		return r.sql(`INSERT INTO {coexist_key} AS k (entity, value) VALUES ({name}, {first})
			ON CONFLICT (entity) DO UPDATE SET value = {next} RETURNING value`, "first", first, "next", next)
	}
	if !r.intKey || r.newKey != nil {
		serial, err := r.serial(ctx, insert("1", "k.value + 1"))
		if err != nil || r.newKey == nil {
			return strconv.FormatInt(serial, 10), err
		}
		return r.newKey(serial), nil
	}
	// Other programs make keys too, perhaps faster than we do: the more of ours were taken, the farther we go past
	// theirs.
	highest := func(table *shape.Table) string {
		return fill(`SELECT max({key}) AS value FROM {table}`, "key", quote(table.Key.Name), "table", table.SQL)
	}
	// The highest number has no successor: it is returned again, and is taken.
	step := int64(1 + try/3)
	taken := highest(r.v2)
	// Coexistence begins.
	taken += fill(` UNION ALL {highest}`, "highest", highest(r.v1))
	// Coexistence ends.
	beyond := func(taken string) string {
		return fill(`(SELECT CASE WHEN max(u.value) > {limit} THEN {last} ELSE coalesce(CAST(max(u.value) AS bigint), 0) + {step}
			END FROM ({taken}) u)`, "limit", strconv.FormatInt(math.MaxInt64-step, 10),
			"last", strconv.FormatInt(math.MaxInt64, 10), "step", strconv.FormatInt(step, 10), "taken", taken)
	}
	serial, err := r.serial(ctx, insert(beyond(taken), beyond(taken+" UNION ALL SELECT k.value")))
	return strconv.FormatInt(serial, 10), err
}

func (e *entity) serial(ctx context.Context, statement string) (n int64, err error) {
	err = e.db.autonomously(ctx, func(s database.Session) error {
		n, err = s.Number(ctx, statement)
		return err
	})
	return n, err
}

// explain turns a constraint's refusal of what a client wrote into an error that names the field: in V1, then through
// path in the shape that the client uses.
func (r *Repository[V1, V2]) explain(ctx context.Context, err error, path func(string) string, v1 *V1) error {
	refused, ok := errors.AsType[*database.ConstraintError](err)
	if !ok {
		return err
	}
	switch refused.Kind {
	case database.UniqueViolation:
		return r.taken(ctx, err)
	case database.ForeignKeyViolation:
		found, err := r.danglingReference(ctx, refused, v1)
		if err != nil {
			return err
		}
		if found == "" {
			return ErrConflict // an update took away what other rows refer to
		}
		return inputError(Faulty(path(found), "refers to a row that does not exist"))
	case database.Refusal:
		return refusedError(refused.Refused)
	default:
		return inputError(Faulty(path(r.v1.FieldOf(refused.Column)), "the database refuses it: %s",
			shape.FirstLine(refused.Err)))
	}
}

// explainV1 is explain for a client of V1.
func (r *Repository[V1, V2]) explainV1(ctx context.Context, err error, v1 *V1) error {
	if conversion, ok := errors.AsType[*ConversionError](err); ok {
		inV1 := *conversion
		inV1.FieldOfV2 = ""
		return &inV1
	}
	return r.explain(ctx, err, func(field string) string { return field }, v1)
}

// danglingReference finds the field of v1 whose foreign key has no target, empty if there is none.
func (r *Repository[V1, V2]) danglingReference(ctx context.Context, refused *database.ConstraintError,
	v1 *V1,
) (string, error) {
	v := reflect.ValueOf(v1).Elem()
	if path, err := r.foreignKeys.dangling(ctx, refused, r.v1, "", v); path != "" || err != nil {
		return path, err
	}
	for i := range r.v1.Children {
		c := &r.v1.Children[i]
		list := v.FieldByIndex(c.Index)
		for j := range list.Len() {
			prefix := fmt.Sprintf("%s[%d].", c.JSON, j)
			path, err := r.foreignKeys.dangling(ctx, refused, &c.Table, prefix, list.Index(j))
			if path != "" || err != nil {
				return path, err
			}
		}
	}
	// The target may have been inserted since.
	for _, key := range r.constraints.Foreign(r.v1.Name) {
		if refused.Constraint != "" && refused.Constraint == key.Name && refused.Table == r.v1.Name {
			return r.v1.FieldOf(key.Columns[0]), nil
		}
	}
	return "", nil
}

func (e foreignKeys) dangling(ctx context.Context, refused *database.ConstraintError, t *shape.Table, prefix string,
	v reflect.Value,
) (string, error) {
	for _, key := range e.constraints.Foreign(t.Name) {
		if refused.Constraint != "" && refused.Constraint != key.Name {
			continue
		}
		for i := range t.Columns {
			c := &t.Columns[i]
			if c.Name != key.Columns[0] {
				continue
			}
			value := v.FieldByIndex(c.Index)
			if value.Kind() == reflect.Pointer && value.IsNil() {
				continue
			}
			arg := reflect.Indirect(value)
			targets, err := e.db.pools.Reading().Number(ctx, fill(`SELECT count(*) FROM {target}
				WHERE CAST({targetColumns} AS text) = ?`, "target", key.Target,
				"targetColumns", quote(key.TargetColumns[0])),
				fmt.Sprint(arg.Interface()))
			if err != nil {
				return "", err
			}
			if targets == 0 {
				return c.Field(prefix), nil
			}
		}
	}
	return "", nil
}
