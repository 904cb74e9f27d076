package server

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/alwaysup/coexist/repo"
)

// troubles keeps why answers were UNAVAILABLE, and logs each cause once a minute at most. It is safe for concurrent
// use.
type troubles struct {
	logger *slog.Logger
	mu     sync.Mutex
	causes map[repo.Cause]*trouble
}

type trouble struct {
	count        int64
	last, logged time.Time
}

// newTroubles returns one that has seen none.
func newTroubles(logger *slog.Logger) *troubles {
	return &troubles{logger: logger, causes: map[repo.Cause]*trouble{}}
}

// troubleTime is how long a cause is told after it was seen last, and the least time between two lines of the log about
// it.
const troubleTime = time.Minute

// note counts an error that is an ErrUnavailable.
func (t *troubles) note(ctx context.Context, cause repo.Cause, err error) {
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
	t.logger.ErrorContext(ctx, "the database is unavailable for what was asked", "cause", cause, "times", seen.count,
		"operation", operationName(ctx), "error", err)
}

// total counts the errors of a cause since the process began.
func (t *troubles) total() map[repo.Cause]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := map[repo.Cause]int64{}
	for cause, seen := range t.causes {
		counts[cause] = seen.count
	}
	return counts
}

// recent are the causes that were seen in the last minute, sorted.
func (t *troubles) recent() []repo.Cause {
	t.mu.Lock()
	defer t.mu.Unlock()
	var causes []repo.Cause
	for cause, seen := range t.causes {
		if time.Since(seen.last) < troubleTime {
			causes = append(causes, cause)
		}
	}
	slices.Sort(causes)
	return causes
}
