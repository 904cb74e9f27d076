package repo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// A run's key range is worked on in chunks, which are cut from it one after another as workers ask for them, in this
// process or in others. A worker leases its chunk, and renews the lease with each batch. After the lease another worker
// takes over with a new token, and a commit needs the current token. Each process measures with its own clock when a
// lease is over, since clocks are set back, and no two agree. Earlier versions compare the column leased_until with the
// database's clock. This version reads it for two things only: whether it has changed, and whether the chunk is free
// (leaseless).

// stage says what a chunk is: a part of the key range, or, at the end of a sweep, the marks that are left.
type stage string

const (
	stageRange stage = "RANGE"
	stageMarks stage = "MARKS"
)

// chunk is a part of a run's key range, (position, upper] in the database's order, as it was claimed: with a token that
// every commit must still hold.
type chunk struct {
	RunID  int64 `json:"runId"`
	Number int   `json:"number"`
	// the last key, nil for an empty table; in the marks stage, the last key that had a mark when the stage began
	Upper    *string `json:"upper"`
	Position *string `json:"position"` // the last key that is done, nil at the start of the table
	Stage    stage   `json:"stage"`
	Token    int64   `json:"token"`
	Workers  int     `json:"workers"`
	MaxRows  int     `json:"maxRows"` // of the run, per second; 0 for no limit
}

// rate is the worker's share of the run's maximum rate, 0 for no limit.
func (c chunk) rate() int {
	if c.MaxRows == 0 {
		return 0
	}
	return max(1, c.MaxRows/max(1, c.Workers))
}

var (
	errLeaseLost  = errors.New("another worker has taken the chunk over")
	errRunStopped = errors.New("the run is not running any more")
	errTooMany    = errors.New("the run has more workers than it was asked to have")
)

// claim takes a chunk that nobody works on, or cuts a new one. It returns nil where there is none, or enough workers
// are at work.
func (e runs) claim(ctx context.Context, run Run) (claimed *chunk, err error) {
	open, err := e.openChunks(ctx, run)
	if err != nil {
		return nil, err
	}
	for _, o := range open {
		condition := fill(` AND {roomForWorker}`, "roomForWorker", e.db.roomForWorker("run_id"))
		if o.Leased {
			condition = "" // the worker that is gone has left room
			if !e.db.leases.expired(o) {
				continue
			}
		}
		if claimed, err = e.take(ctx, o, condition); err != nil || claimed != nil {
			return claimed, err
		}
	}
	err = e.transact(ctx, opening{}, func(ctx context.Context, t *tx) error {
		claimed, err = e.cut(ctx, t, run)
		return err
	})
	return claimed, err
}

// openChunk is a chunk that is not finished, as one look found it.
type openChunk struct {
	RunID  int64  `json:"runId"`
	Number int    `json:"number"`
	Token  int64  `json:"token"`
	Lease  string `json:"lease"` // changes with each renewal
	Leased bool   `json:"leased"`
}

// leaseless is the leased_until of a chunk that was given back.
const leaseless = "'1970-01-01T00:00:00.000Z'"

// openChunks returns the chunks of a run that are not finished.
func (e runs) openChunks(ctx context.Context, run Run) (open []openChunk, err error) {
	d := e.db.dialect
	err = e.db.pools.Reading().Query(ctx, func(rows *sql.Rows) error { return database.ScanJSON(rows, &open) },
		fill(`SELECT CAST({list} AS text)`,
			"list", d.List(d.Object([]database.Member{
				{"runId", "k.run_id"},
				{"number", "k.number"},
				{"token", "k.token"},
				{"lease", "CAST(k.leased_until AS text)"},
				{"leased", fill(`CASE WHEN k.leased_until > {leaseless} THEN {truth} ELSE {truth2} END`,
					"leaseless", leaseless, "truth", d.Truth(true), "truth2", d.Truth(false))},
			}), e.db.sql(`{coexist_chunk} k WHERE k.run_id = {formatInt} AND NOT k.finished`,
				"formatInt", strconv.FormatInt(run.ID, 10)), "k.number")))
	return open, err
}

// take takes over a chunk that is still as o has found it. It returns nil where the chunk has changed, or does not meet
// condition.
func (e runs) take(ctx context.Context, o openChunk, condition string) (taken *chunk, err error) {
	d := e.db.dialect
	err = e.db.autonomously(ctx, func(s database.Session) error {
		taken = nil
		return s.Query(ctx, func(rows *sql.Rows) error {
			taken = &chunk{}
			return database.ScanJSON(rows, taken)
		}, e.db.sql(`UPDATE {coexist_chunk} SET token = token + 1, leased_until = {later} WHERE run_id = ?
			AND number = ? AND token = ? AND CAST(leased_until AS text) = ? AND NOT finished AND EXISTS (SELECT 1
			FROM {coexist_run} r WHERE r.id = run_id AND r.status = 'RUNNING'){condition} RETURNING CAST({object}
			AS text)`, "later", d.Later("?"), "condition", condition,
			"object", d.Object([]database.Member{
				{"runId", "run_id"},
				{"number", "number"},
				{"upper", "upper"},
				{"position", "position"},
				{"stage", "stage"},
				{"token", "token"},
				{"workers", e.db.sql(`(SELECT r.workers FROM {coexist_run} r WHERE r.id = run_id)`)},
				{"maxRows", e.db.sql(`(SELECT coalesce(r.max_rows_per_second, 0) FROM {coexist_run} r
					WHERE r.id = run_id)`)},
			})), e.db.leases.length.Milliseconds(), o.RunID, o.Number, o.Token, o.Lease)
	})
	return taken, err
}

// leases is what a process has seen of leases, and since when.
type leases struct {
	length time.Duration
	mu     sync.Mutex
	seen   map[[2]int64]sight // by run and chunk
}

type sight struct {
	token int64
	lease string
	since time.Time // by this process's own clock, which is never set back
}

// expired reports whether a lease has not been renewed for its length while this process looked.
func (l *leases) expired(o openChunk) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := [2]int64{o.RunID, int64(o.Number)}
	last, known := l.seen[of]
	if !known || last.token != o.Token || last.lease != o.Lease {
		if l.seen == nil || len(l.seen) > 10_000 { // forget runs that have ended
			l.seen = map[[2]int64]sight{}
		}
		l.seen[of] = sight{o.Token, o.Lease, time.Now()}
		return false
	}
	return time.Since(last.since) >= l.length
}

// commitBatch is the one transaction of a batch: work, checkpoint and counters. It returns the chunk as it then is, nil
// where the batch has finished it.
func (e runs) commitBatch(ctx context.Context, run Run, c chunk, b *batch,
	began time.Time,
) (next *chunk, err error) {
	// A batch that has begun is finished even when the process is told to stop.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchPatience)
	defer cancel()
	err = e.transact(ctx, opening{derived: run.derived(), writes: b.writes}, func(ctx context.Context, t *tx) error {
		next = nil
		if err := e.mayWork(ctx, t, run, &c, b); err != nil {
			return err
		}
		added, err := b.apply(ctx, t)
		if err != nil {
			return err
		}
		done := b.rows
		if c.Stage == stageMarks {
			done = 0 // they were counted in the range
		}
		after := c
		if b.rows > 0 {
			after.Position = &b.last
		}
		if _, err := t.Exec(ctx, e.db.sql(`UPDATE {coexist_chunk} SET position = ?, finished = ?, done = done + ?,
			migrated = migrated + ?, quarantined = quarantined + ?, behind = behind + ?, faults = faults + ?,
			busy_ms = busy_ms + ? WHERE run_id = ? AND number = ? AND token = ?`),
			after.Position, b.end, done, added.migrated, added.quarantined, added.behind, added.faults,
			max(time.Since(began).Milliseconds(), 1), c.RunID, c.Number, c.Token); err != nil {
			return err
		}
		if b.end {
			return e.endIfDone(ctx, t, run, c)
		}
		next = &after
		return nil
	})
	return next, err
}

// mayWork takes the locks of a batch and checks what has to hold for it: the lease, the run, the phase. It brings the
// chunk's limits up to date.
func (e runs) mayWork(ctx context.Context, t *tx, run Run, c *chunk, b *batch) error {
	held, err := t.Exec(ctx, e.db.sql(`UPDATE {coexist_chunk} SET leased_until = {later} WHERE run_id = ?
		AND number = ? AND token = ?`, "later", e.db.dialect.Later("?")),
		e.db.leases.length.Milliseconds(), c.RunID, c.Number, c.Token)
	if err != nil {
		return err
	}
	if held == 0 {
		return errLeaseLost
	}
	share := ""
	if e.db.dialect.Lock() != "" {
		share = " FOR SHARE"
	}
	running, ahead := false, 0
	err = t.Query(ctx, func(rows *sql.Rows) error {
		running = true
		return rows.Scan(&c.Workers, &c.MaxRows, &ahead)
	}, e.db.sql(`SELECT r.workers, coalesce(r.max_rows_per_second, 0), (SELECT count(*) FROM {coexist_chunk} k
		WHERE k.run_id = r.id AND NOT k.finished AND k.leased_until > {leaseless} AND k.number < ?)
		FROM {coexist_run} r WHERE r.id = ? AND r.status = 'RUNNING'{share}`, "leaseless", leaseless,
		"share", share), c.Number, c.RunID)
	switch {
	case err != nil:
		return err
	case !running:
		return errRunStopped
	// Where the run has too many workers, those on the chunks with the lowest numbers stay.
	case ahead >= c.Workers:
		return errTooMany
	case !run.Kind.runsIn(t.fence):
		return fmt.Errorf("%w: it is %s, and a %s runs in %s", ErrPhaseChanged, t.fence.Phase, run.Kind,
			run.Kind.phases())
	case run.Kind.needsEpoch() && t.fence.Epoch != run.epoch:
		return fmt.Errorf("%w since the %s was started: start another", ErrPhaseChanged, run.Kind)
	case t.fence.Epoch != b.fence.Epoch:
		return database.Busy(ErrPhaseChanged) // it went away and came back: read again
	case t.fence.MappingVersion > e.mappingVersion:
		return fmt.Errorf("%w: %s is at version %d of its mapping, this instance has version %d", errLeaseLost, e.name,
			t.fence.MappingVersion, e.mappingVersion)
	default:
		return nil
	}
}

// endIfDone ends a run when its last chunk has ended.
func (e runs) endIfDone(ctx context.Context, t *tx, run Run, c chunk) error {
	// The lock makes workers that end their chunks at the same time look one after another.
	whole, err := t.Number(ctx, e.sql(`SELECT CASE WHEN c.whole THEN 1 ELSE 0 END FROM {coexist_cut} c
		WHERE c.run_id = ?{lock}`), c.RunID)
	if err != nil || whole == 0 || run.Kind == Sweep && c.Stage == stageRange {
		return err
	}
	open, err := t.Number(ctx, e.db.sql(`SELECT count(*) FROM {coexist_chunk} k WHERE k.run_id = ?
		AND NOT k.finished`), c.RunID)
	if err != nil || open > 0 {
		return err
	}
	status, blind := Succeeded, (*string)(nil)
	if blind, err = e.blind(ctx, t, run); err != nil {
		return err
	}
	if blind != nil {
		status = Failed
	}
	_, err = t.Exec(ctx, e.sql(`UPDATE {coexist_run} SET status = ?, error = ?, finished_at = {now}, throttled_by
		= NULL, total = (SELECT sum(k.done) FROM {coexist_chunk} k WHERE k.run_id = {coexist_run}.id) WHERE id = ?`), string(status), blind, c.RunID)
	return err
}

// blind says why a run that has come to its end cannot have seen all rows, nil where nothing suggests that. For
// example, an index in another order than the database's present one leads a walk past rows.
func (e runs) blind(ctx context.Context, t *tx, run Run) (*string, error) {
	if without, err := e.checks.keyless(ctx, t.Session); err != nil {
		return nil, err
	} else if without != "" {
		return &without, nil
	}
	root := e.v1
	if run.Kind == Restore || t.fence.leader() == sideV2 {
		root = e.v2
	}
	rows, exact, err := e.db.dialect.Estimate(ctx, t.Session, root.SQL)
	if err != nil {
		return nil, err
	}
	done, err := t.Number(ctx, e.db.sql(`SELECT sum(k.done) FROM {coexist_chunk} k WHERE k.run_id = ?`),
		run.ID)
	// Writers handle the rows that come or go meanwhile. So a run is blind only if it missed many rows that were there
	// both at its start and at its end.
	const few = 10
	both := min(rows, run.Total)
	if err != nil || both < few || done >= both/2 {
		return nil, err
	}
	if !exact {
		if rows, err = t.Number(ctx, fill(`SELECT count(*) FROM {root}`, "root", root.SQL)); err != nil ||
			done >= min(rows, run.Total)/2 {
			return nil, err
		}
	}
	if done > 0 && rows < manyRows {
		return nil, nil //nolint:nilnil // they may have moved
	}
	return new(
		fmt.Sprintf(
			"the run has looked at %d rows of table %s, which had about %d at its start and has %d now: an index may be broken, so REINDEX the table, and start another",
			done, root.Name, run.Total, rows)), nil
}

// manyRows is the number of rows from which it is no coincidence that most of them appeared where a run had already
// been.
const manyRows = 1000
