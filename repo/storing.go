package repo

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// StoreFailures says how this process fares at storing an entity's copies, by reads, writes and sweeps. A copy may fail
// to be stored for a technical reason, such as a revoked right or a full disk. That fails a write and a run with an
// error, but not a read: without StoreFailures nobody would be told.
type StoreFailures struct {
	Entity string
	// Total counts the failed stores since the process began. It leaves out stores that failed because other
	// transactions were in the way, because the database was away, or because a row was at fault.
	Total int64
	// FailingSince is when the first store failed after the last success; nil where the last store succeeded.
	FailingSince *time.Time
}

// StoreFailures returns an element for each entity, in the order in which the entities were made known. It does not ask
// the database.
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

// storing is what a process knows about storing an entity's copies.
type storing struct {
	failures     atomic.Int64
	failingSince atomic.Pointer[time.Time]
}

// storeEnded records how a store of copies has ended.
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

// passes reports whether an error may pass by itself, without anything being mended first.
func passes(err error) bool {
	return errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrAltered) && !errors.Is(err, ErrHiddenRows) &&
		!errors.Is(err, database.ErrDenied)
}

// technical reports whether an error is the fault of neither a row nor another transaction. The error must be
// classified.
func technical(ctx context.Context, err error) bool {
	if _, busy := errors.AsType[*database.BusyError](err); busy || ctx.Err() != nil {
		return false
	}
	if _, refused := errors.AsType[*database.ConstraintError](err); refused {
		return false
	}
	return !passes(err)
}
