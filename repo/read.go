package repo

import (
	"context"
	"database/sql"
	"fmt"
	"maps"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// readLeading runs the statement that build makes for the side that leads. The statement itself returns the phase in
// which it ran: if another side leads by then, readLeading discards the answer and reads again. Where V2 leads, an
// instance whose mapping is older than the one in use also asks for V1's row, because it cannot convert back what the
// newer mapping has made.
func (e *entity) readLeading(ctx context.Context, s database.Session, w want,
	build func(lead side, w want) (reading, []any),
) (f fence, answers []answer, err error) {
	if !s.Within {
		leave, err := e.seat(ctx)
		if err != nil {
			return f, nil, err
		}
		defer leave()
	}
	const tries = 10
	for range tries {
		guess, wanted := e.guess(), w
		lead, behind := guess.leader(), e.needsMapping(guess) != nil
		if w == wantV1 && lead == sideV2 && behind {
			wanted = wantBoth
		}
		statement, args := build(lead, wanted)
		if f, answers, err = e.readIn(ctx, s, statement, args...); err != nil {
			return f, nil, err
		}
		last := f // a copy, because others read lastFence while f is written again
		e.lastFence.Store(&last)
		if (f.leader() == lead || w == wantBoth) && (wanted == wantBoth || w != wantV1 || f.leader() == sideV1 ||
			e.needsMapping(f) == nil) {
			return f, answers, nil
		}
	}
	return f, nil, fmt.Errorf("%w: the phase of %s changes too often", ErrUnavailable, e.name)
}

// fenceNow reads only the fence.
func (e *entity) fenceNow(ctx context.Context, s database.Session) (f fence, err error) {
	err = s.Query(ctx, func(rows *sql.Rows) error {
		var document sql.RawBytes
		if err := rows.Scan(&document); err != nil {
			return err
		}
		return e.decodeFence(document, &f)
	}, fill(`SELECT CAST({fenceQuery} AS text)`, "fenceQuery", e.fenceQuery()))
	if err == nil {
		err = f.check()
	}
	return f, err
}

// GetV1 returns the V1 aggregate with the key; where V2 leads, it is converted back from V2. GetV1 fails with
// ErrNotFound, and with a *ConversionError where the row holds a value that its model cannot hold; the error's Faults
// say whether the rest of the row comes with it. In CONTRACT it fails with a *NotRepresentableError for what V1 has no
// place for.
func (r *Repository[V1, V2]) GetV1(ctx context.Context, key string) (V1, error) {
	return one(r.GetManyV1(ctx, []string{key}))
}

// GetV2 returns the V2 aggregate with the key: its copy or, where that is not fresh, the conversion of V1. The read
// also stores the conversion if the phase allows it. A store that fails or would have to wait does neither to the read.
// GetV2 fails with ErrNotFound, and with a *ConversionError where V1 cannot be converted.
func (r *Repository[V1, V2]) GetV2(ctx context.Context, key string) (Record[V2], error) {
	return one(r.GetManyV2(ctx, []string{key}))
}

func one[T any](results []Result[T], err error) (T, error) {
	if err != nil {
		var zero T
		return zero, err
	}
	return results[0].Value, results[0].Err
}

// GetManyV1 is GetV1 for many keys. It returns an answer for each key, in the order of the keys, with one statement.
func (r *Repository[V1, V2]) GetManyV1(ctx context.Context, keys []string) ([]Result[V1], error) {
	found, err := r.lookUp(ctx, r.db.pools.Answering(), wantV1, keys)
	if err != nil {
		return nil, err
	}
	results := make([]Result[V1], len(keys))
	for i, key := range keys {
		results[i] = r.resultV1(found[key])
	}
	return results, nil
}

func (r *Repository[V1, V2]) resultV1(s *seen[V1, V2]) Result[V1] {
	switch {
	case s == nil || s.absent():
		return Result[V1]{Err: ErrNotFound}
	case s.fence.Phase == Contract && r.needsMapping(s.fence) != nil:
		return Result[V1]{Err: r.needsMapping(s.fence)} // V1 is history
	case s.v1 == nil && s.v1Err == nil:
		v1, err := r.downgrade(*s.v2)
		return Result[V1]{Value: v1, Err: err}
	case s.partial != nil:
		err := r.conversionError(s.key, s.v1Err)
		err.Faults = s.faults
		return Result[V1]{Value: *s.partial, Err: err}
	case s.v1Err != nil:
		return Result[V1]{Err: r.conversionError(s.key, s.v1Err)}
	default:
		return Result[V1]{Value: *s.v1}
	}
}

// GetManyV2 is GetV2 for many keys. It returns an answer for each key, in the order of the keys. The number of
// statements depends neither on how many keys there are, nor on how many of them must be migrated.
func (r *Repository[V1, V2]) GetManyV2(ctx context.Context, keys []string) ([]Result[Record[V2]], error) {
	found, err := r.lookUp(ctx, r.db.pools.Answering(), wantV2, keys)
	if err != nil {
		return nil, err
	}
	unique, met := make([]*seen[V1, V2], 0, len(found)), map[string]bool{}
	for _, s := range found {
		if !met[s.key] {
			met[s.key] = true
			unique = append(unique, s)
		}
	}
	answers := r.answer(ctx, unique, OriginRead)
	results := make([]Result[Record[V2]], len(keys))
	for i, key := range keys {
		results[i].Err = ErrNotFound
		if s := found[key]; s != nil {
			if answer, ok := answers[s.key]; ok {
				results[i] = answer
			}
		}
	}
	return results, nil
}

// lookUpHalves is lookUp for keys of which at least one is no value of the key's type, so that no row has it. It halves
// the list until that key is alone.
func (r *Repository[V1, V2]) lookUpHalves(ctx context.Context, s database.Session, w want,
	keys []string,
) (map[string]*seen[V1, V2], error) {
	found := map[string]*seen[V1, V2]{}
	if len(keys) == 1 {
		return found, nil
	}
	for _, half := range [][]string{keys[:len(keys)/2], keys[len(keys)/2:]} {
		some, err := r.lookUp(ctx, s, w, half)
		if err != nil {
			return nil, err
		}
		maps.Copy(found, some)
	}
	return found, nil
}

// lookUp reads keys with one statement. It returns what it found under the key that was asked for. It does not ask for
// keys that no row can have.
func (r *Repository[V1, V2]) lookUp(ctx context.Context, s database.Session, w want,
	keys []string,
) (map[string]*seen[V1, V2], error) {
	found := make(map[string]*seen[V1, V2], len(keys))
	asked := make([]string, 0, len(keys))
	for _, key := range keys {
		if _, twice := found[key]; !twice && r.validKey(key) {
			found[key] = nil
			asked = append(asked, key)
		}
	}
	one, arg := len(asked) == 1, ""
	if one {
		arg = asked[0]
	} else {
		var err error
		if arg, err = r.keyDocument(asked); err != nil {
			return nil, err
		}
	}
	err := r.inForms(func(in form) error {
		for _, key := range asked {
			found[key] = nil // what an earlier form has found is of another moment
		}
		f, answers, err := r.readLeading(ctx, s, w, func(lead side, w want) (reading, []any) {
			return r.keyStatement(keyRead{w, lead, in, one}), []any{arg}
		})
		for _, a := range answers {
			if err == nil {
				found[asked[a.ord]], err = r.decode(f, a)
			}
		}
		return err
	})
	if database.IsRefused(err, database.BadValue) && !s.Within {
		return r.lookUpHalves(ctx, s, w, asked)
	}
	if err != nil {
		return nil, err
	}
	for key, s := range found {
		if s == nil {
			delete(found, key)
		}
	}
	return found, nil
}
