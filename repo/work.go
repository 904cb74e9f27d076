package repo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// converter is what runs need from a Repository, whose types they do not know.
type converter interface {
	// prepare reads the next rows of a chunk and decides what to do with them, while no transaction is open.
	prepare(ctx context.Context, run Run, c chunk, limit int) (*batch, error)
	// refreshCopies brings copies up to date with V1 rows that V1's owner has changed in this transaction.
	refreshCopies(ctx context.Context, t *tx, keys []string) error
	// restoreV1 brings V1's rows up to date with V2, where V1 is being rebuilt and its owner has changed them in this
	// transaction. The transaction writes the key own anyway.
	restoreV1(ctx context.Context, t *tx, own *string, keys []string) error
	// beforeDelete prepares V1 for the delete of a key, where V1 is being rebuilt. The caller must call finish after
	// the delete.
	beforeDelete(ctx context.Context, t *tx, key string) (finish func(context.Context) error, err error)
}

// batch is what one transaction of a run does.
type batch struct {
	fence fence
	rows  int // that were looked at
	bytes int // that they have, roughly
	last  string
	end   bool // the chunk ends with this batch
	// within has the keys of the batch, unless it is nil.
	within *keyRange
	// writes are the keys whose V1 rows it may write.
	writes []string
	// apply does the work in the batch's transaction.
	apply func(context.Context, *tx) (outcome, error)
	// refuse takes the place of apply for a batch of one row that the database has refused with an error. It is nil
	// where such an error is not the fault of a row.
	refuse func(context.Context, *tx, error) (outcome, error)
}

// outcome is what a batch adds to the run's counters.
type outcome struct{ migrated, quarantined, behind, faults int }

const (
	leaseTime  = 5 * time.Second
	firstBatch = 100
	maxBatch   = 5_000
	// maxBytes is how much the rows of a batch may have, so that a run needs little memory however large rows are.
	maxBytes = 16 << 20
	// batchPatience is how long a batch may take.
	batchPatience = 30 * time.Second
)

// nextBatchSize follows the target of how long a batch should take: it doubles the size while batches take less than
// half of that, and halves it when they take longer, or have more bytes than the most that they should.
func nextBatchSize(size int, took, target time.Duration, bytes, most int) int {
	switch {
	case took > target, bytes > most:
		return max(size/2, 1)
	case took < target/2 && bytes < most/2:
		return min(2*size, maxBatch)
	default:
		return size
	}
}

// captureCheck is how often Work looks for gaps in the capture.
const captureCheck = 30 * time.Second

// lookAtV1 notices changes of V1's catalog. It looks at most once every captureCheck.
func (c *Control) lookAtV1(ctx context.Context, last *time.Time) {
	// Coexistence begins.
	if time.Since(*last) <= captureCheck {
		return
	}
	*last = time.Now()
	for _, e := range c.db.entities {
		_, err := e.fitting.alignColumns(ctx)
		if err = errors.Join(err, e.capture.check(ctx), e.foreignKeys.load(ctx)); err != nil && ctx.Err() == nil {
			c.db.logger.WarnContext(ctx, "cannot look at V1's catalog", "entity", e.name, "error", err)
		}
	}
	// Coexistence ends.
}

// Work does the work of all runs until ctx ends, and then returns nil. It takes up a run that was started in this
// process at once. Every two seconds it takes up what was started elsewhere, or left by a process that died. It also
// writes what RecordV1Usage has counted to the database. Any number of processes may work.
func (c *Control) Work(ctx context.Context) error {
	const every = 2 * time.Second
	var workers sync.WaitGroup
	defer workers.Wait()
	workers.Go(func() { c.keepV1Usage(ctx) })
	var mu sync.Mutex
	working := map[int64]int{}
	var looked time.Time
	for {
		c.lookAtV1(ctx, &looked)
		runs, err := c.runs(ctx, "r.status = 'RUNNING'", maxPage)
		if err != nil && ctx.Err() == nil {
			c.db.logger.WarnContext(ctx, "cannot look for runs", "error", err)
		}
		for _, run := range runs {
			e, err := c.entity(run.Entity)
			if err != nil {
				continue // an entity of another version of the server
			}
			mu.Lock()
			for ; working[run.ID] < run.Workers; working[run.ID]++ {
				workers.Go(func() {
					e.runs.workOn(ctx, run)
					mu.Lock()
					defer mu.Unlock()
					working[run.ID]--
				})
			}
			mu.Unlock()
		}
		for _, e := range c.db.entities {
			e.runs.analyzeOutgrown(ctx)
		}
		if err := c.db.foldBypassLog(ctx); err != nil && ctx.Err() == nil {
			c.db.logger.DebugContext(ctx, "cannot fold the log of bypass writes", "error", err)
		}
		timer := time.NewTimer(every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-c.db.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// workOn is one worker of a run: it works on one chunk after another until nothing is left for it to do. It tries again
// what fails; what keeps failing ends the run.
func (e runs) workOn(ctx context.Context, run Run) {
	const tries = 8
	w := worker{size: firstBatch, most: maxBatch, waits: database.NewBackOff()}
	if size := int(e.firstBatch.Load()); size > 0 {
		w.size = size
	}
	for ctx.Err() == nil {
		chunk, err := e.claim(ctx, run)
		if err == nil && chunk == nil {
			return
		}
		if err == nil {
			err = e.workOnChunk(ctx, run, *chunk, &w)
		}
		if err == nil {
			continue
		}
		if errors.Is(err, errLeaseLost) {
			// The batch took longer than the lease: the next worker begins with a smaller one.
			e.firstBatch.Store(int64(max(1, w.size/2)))
		}
		switch {
		case errors.Is(err, errLeaseLost), errors.Is(err, errRunStopped), errors.Is(err, errTooMany), ctx.Err() != nil:
			return
		case database.IsBusy(err), passes(err):
			w.failed++ // but never give up: the database will be back
			e.waits(ctx, run, &w, err)
		default:
			if w.failed++; w.failed >= tries || errors.Is(err, ErrPhaseChanged) {
				e.fail(ctx, run, err)
				return
			}
			e.db.logger.ErrorContext(ctx, "a batch failed and is tried again", "run", run.ID, "entity",
				e.name, "error", err)
		}
		if database.Pause(ctx, w.waits.NextBackOff()) != nil {
			return
		}
	}
}

// worker is the state of one worker of a run.
type worker struct {
	size   int // of the next batch
	most   int // of any batch
	failed int // consecutive failures
	waits  *backoff.ExponentialBackOff
	after  string // the key behind which the last batch began
}

// waits logs what a run waits for, and writes it to the run's throttledBy where the database allows that. A batch that
// took longer than the database allows a statement is halved, and the size does not grow beyond that again.
func (e runs) waits(ctx context.Context, run Run, w *worker, err error) {
	cause := CauseOf(err)
	e.db.logger.WarnContext(ctx, "a run waits for the database", "run", run.ID, "entity", e.name, "cause", cause,
		"rows", w.size, "after", w.after, "error", err)
	if cause == database.CauseBusy {
		return
	}
	why := fmt.Sprintf("the database (%s): %s", cause, shape.FirstLine(err))
	if cause == database.CauseTimeout {
		why = fmt.Sprintf(
			"a time limit of the database, which cancels batches of %d rows, the last one behind key %q (%s): %s",
			w.size, w.after, cause, shape.FirstLine(err))
		w.most = max(1, w.size/2)
		w.size = w.most
	}
	e.throttled(ctx, run.ID, &why)
}

// throttled notes why a run is slower than it could be; why is nil where it no longer is. A worker that waits for the
// database may be unable to write even that, so an error is only logged.
func (e runs) throttled(ctx context.Context, run int64, why *string) {
	if _, err := e.db.pools.Writing().Exec(ctx, e.db.sql(`UPDATE {coexist_run} SET throttled_by =
		? WHERE id = ? AND status = 'RUNNING'`), why, run); err != nil {
		e.db.logger.DebugContext(ctx, "cannot say what a run waits for", "run", run, "error", err)
	}
}

func (e runs) fail(ctx context.Context, run Run, reason error) {
	e.db.logger.ErrorContext(ctx, "a run has failed", "run", run.ID, "entity", e.name, "error", reason)
	if _, err := e.db.endOrChange(ctx, run.ID, Failed, reason.Error()); err != nil {
		e.db.logger.ErrorContext(ctx, "cannot say that a run has failed", "run", run.ID, "error", err)
	}
}

// workOnChunk does one batch after another. It returns nil once the chunk is done.
func (e runs) workOnChunk(ctx context.Context, run Run, c chunk, w *worker) error {
	defer e.giveBack(ctx, c)
	var ahead *ahead
	defer func() { ahead.drop() }()
	unknown := 0 // consecutive rows refused by an error that does not say that it is the row's fault
	for {
		began := time.Now()
		if w.after = ""; c.Position != nil {
			w.after = *c.Position
		}
		if rate := c.rate(); rate > 0 {
			w.size = min(w.size, rate)
		}
		b, err := e.next(ctx, run, c, w.size, ahead)
		if ahead = nil; errors.Is(err, errTooLarge) {
			w.size = max(1, w.size/2)
			continue
		}
		if err != nil {
			return err
		}
		if c.readsAhead(run, b) {
			ahead = e.readAhead(ctx, run, c, b.last, w.size)
		}
		next, err := e.commitBatch(ctx, run, c, b, began)
		if err == nil {
			unknown = 0
		}
		if mayBeRow(err) {
			// One row is at fault: halve the batch down to it.
			if b.rows > 1 {
				w.size = b.rows / 2
				ahead.drop()
				ahead = nil
				continue
			}
			if _, known := errors.AsType[*database.ConstraintError](err); !known {
				unknown++ // the fault may lie elsewhere, and would then hit every row
			}
			if b.refuse == nil || b.rows != 1 || unknown > mostUnknown {
				return err
			}
			refusal := err
			b.apply = func(ctx context.Context, t *tx) (outcome, error) { return b.refuse(ctx, t, refusal) }
			next, err = e.commitBatch(ctx, run, c, b, began)
		}
		if err != nil {
			return err
		}
		if w.failed > 0 && w.most == maxBatch {
			e.throttled(ctx, run.ID, nil)
		}
		w.failed = 0
		w.waits.Reset()
		if next == nil {
			e.analyze(ctx, run)
			return nil
		}
		c = *next
		took, target := time.Since(began), e.db.dialect.BatchTarget()
		w.size = min(w.most, nextBatchSize(w.size, took, target, b.bytes, e.db.maxBytes))
		if err := e.pace(ctx, c, b.rows, began); err != nil {
			return err
		}
	}
}

// mostUnknown is how many consecutive rows may be refused by an unknown error before a run fails.
const mostUnknown = 10

// mayBeRow reports whether an error of a batch may be the fault of one of its rows: any error that does not say
// otherwise.
func mayBeRow(err error) bool {
	for _, not := range []error{
		ErrUnavailable, ErrPhaseChanged, errLeaseLost, errRunStopped, errTooMany,
		context.Canceled,
	} {
		if errors.Is(err, not) {
			return false
		}
	}
	return err != nil
}

// analyze updates the database's statistics, at the end of a sweep, for the tables that the sweep has filled. The
// database's own daemon comes later, and until then the database plans as for empty tables. It only helps: errors are
// ignored.
func (e runs) analyze(ctx context.Context, run Run) {
	ended, err := e.db.pools.Reading().Number(ctx, e.db.sql(`SELECT count(*) FROM {coexist_run} WHERE id = ?
		AND kind = 'SWEEP' AND status = 'SUCCEEDED'`), run.ID)
	if err != nil || ended == 0 {
		return
	}
	e.analyzeTables(ctx, e.growing())
}

// growing are the tables that a migration fills.
func (e runs) growing() []string {
	tables := []string{e.markTable, e.quarantineTable}
	for _, t := range e.v2.All() {
		tables = append(tables, t.SQL)
	}
	return tables
}

// analyzeOutgrown updates the statistics of tables that have outgrown theirs, while a sweep fills V2, or after another
// program's statement has marked a million rows. With the plans for an empty table each read would go over all of these
// rows until the database's own daemon comes.
func (e runs) analyzeOutgrown(ctx context.Context) {
	outgrown, err := e.db.dialect.Outgrown(ctx, e.db.pools.Reading(), e.growing())
	if err != nil {
		e.db.logger.DebugContext(ctx, "cannot tell whether tables have grown", "entity", e.name, "error", err)
		return
	}
	e.analyzeTables(ctx, outgrown)
}

func (e runs) analyzeTables(ctx context.Context, tables []string) {
	for _, statement := range e.db.dialect.Analyze(tables) {
		if _, err := e.db.pools.Writing().Exec(ctx, statement); err != nil {
			e.db.logger.DebugContext(ctx, "cannot analyze", "entity", e.name, "error", err)
			return
		}
	}
}

// giveBack ends the lease, so that no worker has to wait for it to expire.
func (e runs) giveBack(ctx context.Context, c chunk) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	// If this fails, the lease expires, since nobody renews it.
	if _, err := e.db.pools.Writing().Exec(ctx, e.db.sql(`UPDATE {coexist_chunk}
		SET leased_until = {leaseless} WHERE run_id = ? AND number = ? AND token = ?`, "leaseless", leaseless), c.RunID, c.Number, c.Token); err != nil {
		e.db.logger.DebugContext(ctx, "cannot give a chunk back", "run", c.RunID, "error", err)
	}
}

// pace waits until a worker that keeps to its part of the upper rate would have done the rows of the batch. The wait
// counts as time that the run has worked.
func (e runs) pace(ctx context.Context, c chunk, rows int, began time.Time) error {
	wait := e.db.dialect.MinPause()
	if rate := c.rate(); rate > 0 {
		wait = max(wait, time.Duration(rows)*time.Second/time.Duration(rate)-time.Since(began))
	}
	if wait <= e.db.dialect.MinPause() {
		return database.Pause(ctx, wait)
	}
	s := e.db.pools.Writing()
	if _, err := s.Exec(ctx, e.db.sql(`UPDATE {coexist_run} SET throttled_by = 'maxRowsPerSecond' WHERE id = ?
		AND status = 'RUNNING' AND throttled_by IS NULL`), c.RunID); err != nil {
		return err
	}
	if _, err := s.Exec(ctx, e.db.sql(`UPDATE {coexist_chunk} SET busy_ms = busy_ms + ? WHERE run_id = ?
		AND number = ?`), wait.Milliseconds(), c.RunID, c.Number); err != nil {
		return err
	}
	return database.Pause(ctx, wait)
}
