package repo

import (
	"context"
	"errors"
)

// A rehearsal converts and proves every row, and stores none.

// prepareRehearsal reads the next rows of V1 and converts those that have no fresh copy.
func (r *Repository[V1, V2]) prepareRehearsal(ctx context.Context, c chunk, limit int) (*batch, error) {
	b, read, err := r.readRange(ctx, c, limit)
	if err != nil {
		return nil, err
	}
	var failures []failure
	for _, s := range read {
		if _, err := r.internalRead(s); err != nil && !errors.Is(err, ErrNotFound) {
			failures = append(failures, newFailure(s.key, s.state, err))
		}
	}
	b.apply = func(ctx context.Context, t *tx) (outcome, error) {
		return outcome{quarantined: len(failures)}, r.quarantine(ctx, t, failures)
	}
	return b, nil
}

// prepare reads the next rows, and decides about them, for a run of any kind.
func (r *Repository[V1, V2]) prepare(ctx context.Context, run Run, c chunk, limit int) (*batch, error) {
	switch run.Kind {
	case Rehearsal:
		return r.prepareRehearsal(ctx, c, limit)
	case Verification:
		return r.prepareVerification(ctx, run, c, limit)
	case Restore:
		return r.prepareRestore(ctx, c, limit)
	default:
		return r.prepareSweep(ctx, run, c, limit)
	}
}
