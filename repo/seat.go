package repo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// There are few connections, and a request that waits for a lock on an entity's table holds one. Each entity has fewer
// seats than there are connections, so that requests for one entity never take the connections of all others. On SQLite
// nothing waits for a lock while it holds a reader's connection.

// seats are the seats of one entity.
type seats struct {
	once sync.Once
	free *semaphore.Weighted // nil for no limit

	mu      sync.Mutex
	waiting map[*time.Time]struct{} // since when each request waits
}

// seat waits for a seat, and returns a function that gives it back. It fails with an ErrUnavailable once ctx ends.
func (e *entity) seat(ctx context.Context) (leave func(), err error) {
	e.seats.once.Do(func() {
		if e.db.pools.WriterDB == e.db.pools.ReaderDB {
			e.seats.free = semaphore.NewWeighted(int64(max(1, e.db.pools.MaxConns-len(e.db.entities))))
		}
	})
	if e.seats.free == nil {
		return func() {}, nil
	}
	leave = func() { e.seats.free.Release(1) }
	if e.seats.free.TryAcquire(1) {
		return leave, nil
	}
	defer e.seats.wait()()
	if err := e.seats.free.Acquire(ctx, 1); err != nil {
		return nil, database.Unavailable(database.CauseBusy, fmt.Errorf(
			"all connections for %s are in use, by requests that wait for its tables, say: %w", e.name, err))
	}
	return leave, nil
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

// Crowd says how many requests for an entity wait until others give a connection back, and for how long.
type Crowd struct {
	Entity  string
	Waiting int
	// Longest is how long the request that came first has waited.
	Longest time.Duration
}

// Crowds returns an element for each entity for which requests wait in this process. It does not ask the database.
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
