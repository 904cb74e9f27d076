package server

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/alwaysup/coexist/repo"
)

// troubles remembers why answers were UNAVAILABLE. It logs each cause at most once a minute. It is safe for concurrent
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

// newTroubles returns a troubles that has seen no cause.
func newTroubles(logger *slog.Logger) *troubles {
	return &troubles{logger: logger, causes: map[repo.Cause]*trouble{}}
}

// troubleTime is how long /readyz reports a cause after it was last seen, and the least time between two log lines
// about it.
const troubleTime = time.Minute

// note counts an error that a client gets as UNAVAILABLE, with its cause.
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

// total returns how many errors each cause has had since the process started.
func (t *troubles) total() map[repo.Cause]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := map[repo.Cause]int64{}
	for cause, seen := range t.causes {
		counts[cause] = seen.count
	}
	return counts
}

// recent returns the causes that were seen in the last minute, sorted.
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
