package repo

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// Seeding puts many rows into V1, before or while the entity migrates.

// InsertV1 inserts V1 aggregates in one transaction, and leaves out those whose key is already there. It is for
// seeding: it writes marks instead of copies, and checks nothing; CheckV1 checks. It returns the number of aggregates
// that it inserted. It fails with an *InputError from CUTOVER on, where V1 is not the truth.
func (r *Repository[V1, V2]) InsertV1(ctx context.Context, rows []V1) (int64, error) {
	keys := make([]string, len(rows))
	for i := range rows {
		keys[i] = r.keyOf(r.v1, &rows[i])
	}
	for {
		first, err := r.untouched(ctx, r.db.pools.Reading())
		if err != nil {
			return 0, err
		}
		inserted := map[string]bool{}
		err = r.write(ctx, opening{writes: keys, all: first}, func(ctx context.Context, t *tx) error {
			clear(inserted)
			return r.seed(ctx, t, rows, first, inserted)
		})
		if !errors.Is(err, errTouched) {
			return int64(len(inserted)), err
		}
	}
}

// GenerateV1 is InsertV1 for n aggregates; row makes each of them from its number, counted from 0. It inserts them in
// batches of 5,000, and makes one batch while another is inserted. After each batch it calls done, unless that is nil,
// with the number tried so far. GenerateV1 returns how many were inserted, even where it fails. It fails as InsertV1
// does, and when ctx ends.
func (r *Repository[V1, V2]) GenerateV1(ctx context.Context, n int, row func(number int) V1,
	done func(tried int64),
) (inserted int64, err error) {
	const size = 5000
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	batches := make(chan []V1)
	go func() {
		defer close(batches)
		for first := 0; first < n; first += size {
			rows := make([]V1, min(size, n-first))
			for i := range rows {
				rows[i] = row(first + i)
			}
			select {
			case batches <- rows:
			case <-ctx.Done():
				return
			}
		}
	}()
	var tried int64
	for rows := range batches {
		more, err := r.InsertV1(ctx, rows)
		if err != nil {
			return inserted, err
		}
		inserted, tried = inserted+more, tried+int64(len(rows))
		if done != nil {
			done(tried)
		}
	}
	return inserted, ctx.Err()
}

// errTouched means that the entity has begun to migrate since untouched looked.
var errTouched = errors.New("no more untouched")

// seed inserts rows whose keys are not there yet, and adds these keys to inserted. first says that nothing could have
// passed these rows, so that they need no marks.
func (r *Repository[V1, V2]) seed(ctx context.Context, t *tx, rows []V1, first bool, inserted map[string]bool) error {
	if t.fence.Phase == Cutover || t.fence.Phase == Contract {
		return inputError(Faulty("", "%s is in %s: create rows one by one", r.name, t.fence.Phase))
	}
	if first {
		if still, err := r.untouched(ctx, t.Session); err != nil || !still {
			return cmp.Or(err, errTouched)
		}
		// A phase change that has already counted must count again.
		if _, err := t.Exec(ctx, r.db.sql(`UPDATE {coexist_entity} SET seeds = seeds + 1 WHERE name = ?`),
			r.name); err != nil {
			return err
		}
	}
	if err := r.insertSeed(ctx, t, rows, inserted); err != nil {
		return err
	}
	if !first { // a sweep that has already passed these keys finds them by their marks
		if err := r.marks.addAll(ctx, t, slices.Collect(maps.Keys(inserted))); err != nil {
			return err
		}
	}
	effects, err := r.effectsOf(ctx, t)
	if err != nil {
		return err
	}
	return r.reconcileEffects(ctx, t, nil, effects)
}

// addAll appends a mark for each of many keys.
func (e marks) addAll(ctx context.Context, t *tx, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	return e.execKeys(ctx, t, e.sql(`INSERT INTO {mark} (key, kind) SELECT k.key, 'CHANGE' FROM ({key list}) k`), keys)
}

// untouched reports whether nothing has happened so far that could have passed rows that come now. Such rows need no
// marks.
func (e *entity) untouched(ctx context.Context, s database.Session) (bool, error) {
	n, err := s.Number(ctx, e.sql(`SELECT CASE WHEN EXISTS (SELECT 1 FROM {coexist_run} r WHERE r.entity = ?)
		OR EXISTS (SELECT 1 FROM {v2}) OR EXISTS (SELECT 1 FROM {mark}) THEN 0 ELSE 1 END`), e.name)
	return n == 1, err
}

func (r *Repository[V1, V2]) insertSeed(ctx context.Context, t *tx, rows []V1, inserted map[string]bool) error {
	roots, children := make([]shape.Row, len(rows)), make([][]shape.Row, len(r.v1.Children))
	for i := range rows {
		roots[i] = r.v1.Row(reflect.ValueOf(rows[i]))
	}
	if err := r.insertNew(ctx, t, r.v1, r.v1.Columns, roots, inserted); err != nil {
		return err
	}
	for i := range rows {
		v := reflect.ValueOf(rows[i])
		for j := range r.v1.Children {
			if c := &r.v1.Children[j]; inserted[r.keyOf(r.v1, &rows[i])] {
				children[j] = append(children[j], c.Rows(v, v.FieldByIndex(r.v1.Key.Index).Interface())...)
			}
		}
	}
	for j := range r.v1.Children {
		c := &r.v1.Children[j]
		if err := r.insertRows(ctx, t, c.SQL, c.AllColumns(*r.v1.Key), children[j]); err != nil {
			return err
		}
	}
	return nil
}
