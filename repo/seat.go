package repo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// Connections are few, and whoever waits for a lock on an entity's table keeps one. So that requests for one entity
// never take those of the others with them, each entity has fewer seats than there are connections. On SQLite nobody
// waits for a lock while he has a reader's connection.

// seats are an entity's.
type seats struct {
	once sync.Once
	free chan struct{} // nil for no limit

	mu      sync.Mutex
	waiting map[*time.Time]struct{} // since when each waits
}

// seat waits for a seat, and returns what gives it back. It fails with an ErrUnavailable once ctx ends.
func (e *entity) seat(ctx context.Context) (leave func(), err error) {
	e.seats.once.Do(func() {
		if e.db.pools.WriterDB == e.db.pools.ReaderDB {
			e.seats.free = make(chan struct{}, max(1, e.db.pools.MaxConns-len(e.db.entities)))
		}
	})
	if e.seats.free == nil {
		return func() {}, nil
	}
	leave = func() { <-e.seats.free }
	select {
	case e.seats.free <- struct{}{}:
		return leave, nil
	default:
	}
	defer e.seats.wait()()
	select {
	case e.seats.free <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		return nil, database.Unavailable(database.CauseBusy, fmt.Errorf(
			"all connections for %s are in use, by who waits for its tables, say: %w", e.name, ctx.Err()))
	}
}

func (s *seats) wait() (done func()) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting = map[*time.Time]struct{}{}
	}
	s.waiting[&now] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waiting, &now)
	}
}

// Crowd says how many requests for an entity wait until others have given a connection back, and for how long.
type Crowd struct {
	Entity  string
	Waiting int
	// Longest is how long the first of them has waited.
	Longest time.Duration
}

// Crowds returns an element for each entity for which requests wait, in this process. It asks no database.
func (c *Control) Crowds() []Crowd {
	var crowds []Crowd
	for _, e := range c.db.entities {
		e.seats.mu.Lock()
		crowd := Crowd{Entity: e.name, Waiting: len(e.seats.waiting)}
		for since := range e.seats.waiting {
			crowd.Longest = max(crowd.Longest, time.Since(*since))
		}
		e.seats.mu.Unlock()
		if crowd.Waiting > 0 {
			crowds = append(crowds, crowd)
		}
	}
	return crowds
}
