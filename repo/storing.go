package repo

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// StoreFailures says how an entity's copies fare that this process stores: by reads, by writes and by sweeps. A copy
// that cannot be stored for a technical reason, such as a right that was revoked or a disk that is full, fails a write
// and a run with an error, but not a read: without this nobody would be told.
type StoreFailures struct {
	Entity string
	// Total counts the failed stores since the process began. One that others were in the way of, or that came when the
	// database was not there, is not one, nor is a row at fault.
	Total int64
	// FailingSince is when the first failed after the last that succeeded; nil where the last succeeded.
	FailingSince *time.Time
}

// StoreFailures returns an element for each entity, in the order in which they were made known. It asks no database.
func (c *Control) StoreFailures() []StoreFailures {
	all := make([]StoreFailures, len(c.db.entities))
	for i, e := range c.db.entities {
		all[i] = StoreFailures{
			Entity: e.name, Total: e.storing.failures.Load(),
			FailingSince: e.storing.failingSince.Load(),
		}
	}
	return all
}

// storing is what a process knows of storing copies of an entity.
type storing struct {
	failures     atomic.Int64
	failingSince atomic.Pointer[time.Time]
}

// storeEnded notes how a store of copies has ended.
func (e copies) storeEnded(ctx context.Context, err error) {
	switch {
	case err == nil:
		if since := e.storing.failingSince.Swap(nil); since != nil {
			e.db.logger.InfoContext(ctx, "copies can be stored again", "entity", e.name, "since", *since)
		}
	case technical(ctx, err):
		e.storing.failures.Add(1)
		now := time.Now()
		if e.storing.failingSince.CompareAndSwap(nil, &now) {
			e.db.logger.ErrorContext(ctx, "copies cannot be stored", "entity", e.name, "error", err)
		}
	}
}

// passes reports whether an error may pass by itself: nothing has to be mended first.
func passes(err error) bool {
	return errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrAltered) && !errors.Is(err, ErrHiddenRows) &&
		!errors.Is(err, database.ErrDenied)
}

// technical reports whether an error, which was classified, is the fault of neither a row nor another transaction.
func technical(ctx context.Context, err error) bool {
	if _, busy := errors.AsType[*database.BusyError](err); busy || ctx.Err() != nil {
		return false
	}
	if _, refused := errors.AsType[*database.ConstraintError](err); refused {
		return false
	}
	return !passes(err)
}
