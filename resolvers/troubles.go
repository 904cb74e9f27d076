package resolvers

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/alwaysup/coexist/repo"
)

// Troubles keeps why answers were UNAVAILABLE, and logs each cause once a minute at most. It is safe for concurrent use.
type Troubles struct {
	logger *slog.Logger
	mu     sync.Mutex
	causes map[repo.Cause]*trouble
}

type trouble struct {
	count        int64
	last, logged time.Time
}

// NewTroubles returns one that has seen none.
func NewTroubles(logger *slog.Logger) *Troubles {
	return &Troubles{logger: logger, causes: map[repo.Cause]*trouble{}}
}

// troubleTime is how long a cause is told after it was seen last, and the least time between two lines of the log about it.
const troubleTime = time.Minute

// note counts an error that is an ErrUnavailable.
func (t *Troubles) note(ctx context.Context, cause repo.Cause, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := t.causes[cause]
	if seen == nil {
		seen = &trouble{}
		t.causes[cause] = seen
	}
	now := time.Now()
	seen.count++
	seen.last = now
	if now.Sub(seen.logged) < troubleTime {
		return
	}
	seen.logged = now
	t.logger.ErrorContext(ctx, "the database is unavailable for what was asked", "cause", cause, "times", seen.count, "operation", operationName(ctx), "error", err)
}

// Total counts the errors of a cause since the process began.
func (t *Troubles) Total() map[repo.Cause]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	total := map[repo.Cause]int64{}
	for cause, seen := range t.causes {
		total[cause] = seen.count
	}
	return total
}

// Recent are the causes that were seen in the last minute, sorted.
func (t *Troubles) Recent() []repo.Cause {
	t.mu.Lock()
	defer t.mu.Unlock()
	var recent []repo.Cause
	for cause, seen := range t.causes {
		if time.Since(seen.last) < troubleTime {
			recent = append(recent, cause)
		}
	}
	slices.Sort(recent)
	return recent
}
