package repo

import (
	"context"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// A step to another phase is made while nobody else is at work on the entity.

// fenced runs fn while no other transaction works on the entity, and none of an old program's on its V1 tables. While
// it waits for them, others wait behind it. So each try waits only briefly, and it tries again with back-off. It fails
// with a *BlockedError when they do not end.
func (e *entity) fenced(ctx context.Context, fn func(context.Context, *tx) error) error {
	blocked := &BlockedError{Entity: e.name}
	var wait lockWait
	patience := database.Patience{Until: time.Now().Add(e.db.phasePatience)}
	err := database.Retry(ctx, patience, database.IsBusy, func() error {
		conn, err := e.db.pools.WriterDB.Conn(ctx)
		if err != nil {
			return e.db.pools.Classify(err)
		}
		err = e.transactOn(ctx, conn, func(ctx context.Context, t *tx, e *entity) error {
			return e.db.dialect.changePhase(ctx, t, e, wait.next())
		}, fn)
		if database.IsBusy(err) {
			if by := e.blockers(ctx, e.v1Tables()); len(by) > 0 {
				blocked.By = by
				wait.after(by)
			}
		}
		return err
	})
	if database.IsBusy(err) {
		return blocked
	}
	return err
}

// blockers returns the transactions in the way of a change that locks the tables, none where the database cannot name
// them.
func (e *tables) blockers(ctx context.Context, names []string) []Transaction {
	by, err := e.db.dialect.blockers(ctx, e.db.pools.Reading(), e, names)
	if err != nil {
		e.db.logger.DebugContext(ctx, "cannot tell who blocks", "entity", e.name, "error", err)
	}
	return by
}

const (
	phaseLockWait = 300 * time.Millisecond // of one try to lock V1, during which writers queue behind it
	// vacuumWait is the wait of one try where only an autovacuum is in the way. PostgreSQL cancels the autovacuum for
	// the waiter after deadlock_timeout, which is one second by default.
	vacuumWait = 1500 * time.Millisecond
)

// lockWait says how long the next try to lock V1 may wait.
type lockWait struct {
	long   bool
	waited map[int]bool // processes of autovacuum that were waited for
}

func (w *lockWait) next() time.Duration {
	if w.long {
		return vacuumWait
	}
	return phaseLockWait
}

// after records which transactions were in the way of a try. The next try is long only where all of them are
// autovacuums that do not prevent wraparound, and one of them has not been waited for yet.
func (w *lockWait) after(by []Transaction) {
	w.long = false
	for _, t := range by {
		if !t.Autovacuum || t.Wraparound {
			w.long = false
			return
		}
		w.long = w.long || !w.waited[t.PID]
	}
	if w.waited == nil {
		w.waited = map[int]bool{}
	}
	for _, t := range by {
		w.waited[t.PID] = true
	}
}
