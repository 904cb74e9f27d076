package resolvers

import (
	"context"
	"errors"
	"sync"

	"github.com/alwaysup/coexist/repo"
)

// siblings are rows that were read together, in however many lists. What one of them refers to is read for all of them
// at once, so a query costs a number of statements that depends on its depth alone. They live as long as the answer.
type siblings struct {
	keys  []string // what the rows refer to: customers by their own keys, orders by their customers'
	known map[string]bool

	mu    sync.Mutex
	reads map[string]func() (any, error)
}

// add is called while the rows are made, before anybody asks.
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

// together returns what read returns for all keys: it is called by who comes first with the name.
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

// referred returns the row with a key that one of the siblings refers to, nil where there is none.
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
