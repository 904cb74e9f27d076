package resolvers

import (
	"context"
	"errors"
	"sync"

	"github.com/alwaysup/coexist/repo"
)

// siblings are rows that were read together, no matter in how many lists. What one of them refers to is read for all of
// them at once, so the number of statements of a query depends only on its depth. Siblings live as long as the answer.
type siblings struct {
	keys  []string // what to read by: a customer's own key, an order's customer
	known map[string]bool

	// mu guards reads. keys and known no longer change once anybody asks.
	mu    sync.Mutex
	reads map[string]func() (any, error)
}

// add adds a key, unless it is nil or known. It takes no lock: all keys are added while the rows are made, before
// anybody asks.
func (s *siblings) add(key *string) {
	if key == nil || s.known[*key] {
		return
	}
	if s.known == nil {
		s.known = map[string]bool{}
	}
	s.known[*key] = true
	s.keys = append(s.keys, *key)
}

// together returns what read returns for all keys. Only the first call with a name calls read, and the others wait for
// it.
func together[A any](ctx context.Context, of any, name string,
	read func(context.Context, []string) (map[string]A, error),
) (map[string]A, error) {
	s, ok := of.(*siblings)
	if !ok {
		return nil, errors.New("a row without siblings")
	}
	s.mu.Lock()
	once, known := s.reads[name]
	if !known {
		if s.reads == nil {
			s.reads = map[string]func() (any, error){}
		}
		once = sync.OnceValues(func() (any, error) { return read(ctx, s.keys) })
		s.reads[name] = once
	}
	s.mu.Unlock()
	answers, err := once()
	if err != nil {
		return nil, err
	}
	return answers.(map[string]A), nil
}

// referred returns the row with this key, to which one of the siblings refers, or nil if there is no such row.
func referred[T, N any](
	ctx context.Context, of any, key *string, read func(context.Context, []string) ([]repo.Result[T], error),
	convert func(T, *siblings) *N,
) (*N, error) {
	if key == nil {
		return nil, nil //nolint:nilnil // null is GraphQL's answer for what is not there
	}
	type target struct {
		row *N
		err error
	}
	targets, err := together(ctx, of, "row", func(ctx context.Context, keys []string) (map[string]target, error) {
		results, err := read(ctx, keys)
		targets, family := make(map[string]target, len(results)), &siblings{}
		for i, r := range results {
			targets[keys[i]] = target{err: r.Err}
			if r.Err == nil || len(faultsOf(r.Err)) > 0 {
				targets[keys[i]] = target{convert(r.Value, family), r.Err}
			}
		}
		return targets, err
	})
	if err != nil {
		return nil, err
	}
	return partly(ctx, targets[*key].row, targets[*key].err)
}
