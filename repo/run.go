package repo

import (
	"context"
	"database/sql"
	"math"
	"strconv"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// RunKind says what a run does.
type RunKind string

// The kinds of runs.
const (
	// Sweep migrates the rows that use did not. It runs while rows migrate: in MIGRATE, and in an incomplete CUTOVER.
	Sweep RunKind = "SWEEP"
	// Rehearsal converts and proves every row, stores none, and says what would be quarantined. It runs in EXPAND and
	// MIGRATE.
	Rehearsal RunKind = "REHEARSAL"
	// Verification compares both shapes, and repairs differences if asked. It runs in MIGRATE and CUTOVER.
	Verification RunKind = "VERIFICATION"
	// Restore rebuilds V1 from V2, for going back from CONTRACT. It runs in CONTRACT.
	Restore RunKind = "RESTORE"
)

// runsIn reports whether a run of the kind may work in a phase.
func (k RunKind) runsIn(f fence) bool {
	switch k {
	case Sweep:
		return f.migrates()
	case Rehearsal:
		return f.Phase == Expand || f.Phase == Migrate
	case Verification:
		return f.Phase == Migrate || f.Phase == Cutover
	default:
		return f.Phase == Contract && f.Restoring
	}
}

// phases lists, in words, the phases in which runsIn is true.
func (k RunKind) phases() string {
	return map[RunKind]string{
		Sweep: "MIGRATE, or in CUTOVER while that is incomplete", Rehearsal: "EXPAND and MIGRATE",
		Verification: "MIGRATE and CUTOVER", Restore: "CONTRACT",
	}[k]
}

// needsEpoch reports whether a run of the kind becomes worthless once the phase has changed, even if it has changed
// back.
func (k RunKind) needsEpoch() bool { return k == Verification || k == Restore }

// RunStatus says where a run stands. A run that is RUNNING or PAUSED is active; the others have ended.
type RunStatus string

// The statuses.
const (
	Running   RunStatus = "RUNNING"
	Paused    RunStatus = "PAUSED"
	Succeeded RunStatus = "SUCCEEDED"
	Failed    RunStatus = "FAILED"
	Cancelled RunStatus = "CANCELLED"
)

// Run is a background run: work on all rows of an entity, in batches. Each batch is one transaction.
type Run struct {
	ID         int64
	Kind       RunKind
	Entity     string
	Status     RunStatus
	StartedAt  time.Time
	FinishedAt *time.Time
	Actor      string
	// Total is the number of rows to look at: an estimate on large tables of PostgreSQL until the run has succeeded.
	Total int64
	// Done counts the rows that were looked at. Migrated counts the copies that were stored, or in a restore the V1
	// rows. Quarantined counts the rows that could not be converted.
	Done, Migrated, Quarantined int64
	// Behind counts the rows that a verification could not compare, because the copy was absent or stale, which is no
	// fault. Faults counts the rows that it found different or orphaned, repaired or not, and the rows that a restore
	// could not write.
	Behind, Faults int64
	// RowsPerSecond is Done divided by the time that the run has worked.
	RowsPerSecond float64
	// ETASeconds is how long the rest will take at that rate, nil where that is unknown.
	ETASeconds *int
	// Workers is how many chunks are worked on at the same time, by all instances together.
	Workers int
	// MaxRowsPerSecond is the requested upper rate, nil for none.
	MaxRowsPerSecond *int
	// ThrottledBy says why the run is slower than it could be, nil when it is not.
	ThrottledBy *string
	// Error says why the run has failed.
	Error *string

	olderThan int // 0 for none
	repair    bool
	epoch     int64 // in which it was started
}

// Red reports whether a verification or a restore has findings that are faults.
func (r Run) Red() bool { return r.Faults > 0 }

// derived reports whether everything that the run writes can be derived again. The versions of copies that are migrated
// again cannot.
func (r Run) derived() bool { return r.Kind == Sweep && r.olderThan == 0 || r.Kind == Rehearsal }

// active reports whether the run has not ended.
func (r Run) active() bool { return r.Status == Running || r.Status == Paused }

func (c *Control) wakeUp() {
	select {
	case c.db.wake <- struct{}{}:
	default: // it is awake already
	}
}

// PauseRun stops a run for the time being, and returns once the batch in flight has ended. A paused run stays paused.
// It fails with ErrNotFound and with ErrRunEnded.
func (c *Control) PauseRun(ctx context.Context, id int64) (Run, error) {
	return c.setStatus(ctx, id, Paused)
}

// ResumeRun lets a paused run go on. A running run keeps running. It fails with ErrNotFound and with ErrRunEnded.
func (c *Control) ResumeRun(ctx context.Context, id int64) (Run, error) {
	run, err := c.setStatus(ctx, id, Running)
	c.wakeUp()
	return run, err
}

// CancelRun ends a run, and returns once the batch in flight has ended. Rows that were migrated stay migrated. A
// cancelled restore is void: from then on writes in CONTRACT go to V2 alone again. It fails with ErrNotFound and with
// ErrRunEnded.
func (c *Control) CancelRun(ctx context.Context, id int64) (Run, error) {
	run, err := c.Run(ctx, id)
	if err != nil || run.Kind != Restore || !run.active() {
		return c.setStatus(ctx, id, Cancelled)
	}
	if err := c.cancelRestore(ctx, run); err != nil {
		return Run{}, err
	}
	return c.Run(ctx, id)
}

// TuneRequest changes a run's limits. ID is required.
type TuneRequest struct {
	ID int64
	// Workers is 1 to 64, nil to leave it as it is.
	Workers *int
	// MaxRowsPerSecond is at least 1, nil to leave it as it is. NoLimit removes the limit.
	MaxRowsPerSecond *int
	NoLimit          bool
}

// check returns a *FieldError for limits that make no sense. It checks only the limits that are given.
func (q TuneRequest) check() error {
	if q.Workers != nil {
		if err := checkWorkers(*q.Workers, 1); err != nil {
			return err
		}
	}
	if q.MaxRowsPerSecond != nil {
		return checkRate(*q.MaxRowsPerSecond, 1)
	}
	return nil
}

// TuneRun changes the limits of an active run. Workers obey with their next batch. It fails with ErrNotFound, with
// ErrRunEnded, and with an *InputError for limits that make no sense.
func (c *Control) TuneRun(ctx context.Context, q TuneRequest) (Run, error) {
	if err := q.check(); err != nil {
		return Run{}, inputError(err)
	}
	var n int64
	err := c.db.autonomously(ctx, func(s database.Session) (err error) {
		n, err = s.Exec(ctx, c.db.sql(`UPDATE {coexist_run} SET workers = coalesce(?, workers),
			max_rows_per_second = CASE WHEN ? THEN NULL ELSE coalesce(?, max_rows_per_second) END, throttled_by =
			NULL WHERE id = ? AND status IN ('RUNNING', 'PAUSED')`), q.Workers, q.NoLimit, q.MaxRowsPerSecond, q.ID)
		return err
	})
	if err != nil {
		return Run{}, err
	}
	run, err := c.Run(ctx, q.ID)
	if err == nil && n == 0 {
		return run, ErrRunEnded
	}
	c.wakeUp()
	return run, err
}

func (c *Control) setStatus(ctx context.Context, id int64, to RunStatus) (Run, error) {
	changed, err := c.db.endOrChange(ctx, id, to, "")
	if err != nil {
		return Run{}, err
	}
	run, err := c.Run(ctx, id)
	if err == nil && !changed {
		return run, ErrRunEnded
	}
	return run, err
}

// endOrChange sets the status of an active run. It waits for the batch in flight, which holds the run's row.
func (db *DB) endOrChange(ctx context.Context, id int64, to RunStatus, reason string) (bool, error) {
	finished, failure := "NULL", sql.NullString{String: reason, Valid: reason != ""}
	if to != Running && to != Paused {
		finished = db.dialect.Now()
	}
	var n int64
	err := db.autonomously(ctx, func(s database.Session) (err error) {
		n, err = s.Exec(ctx, db.sql(`UPDATE {coexist_run} SET status = ?, error = ?, finished_at = {finished},
			throttled_by = NULL WHERE id = ? AND status IN ('RUNNING', 'PAUSED')`, "finished", finished), string(to), failure, id)
		return err
	})
	return n > 0, err
}

// Run returns a run. It fails with ErrNotFound.
func (c *Control) Run(ctx context.Context, id int64) (Run, error) {
	runs, err := c.runs(ctx, "r.id = ?", 1, id)
	if err == nil && len(runs) == 0 {
		return Run{}, ErrNotFound
	}
	if err != nil {
		return Run{}, err
	}
	return runs[0], nil
}

// Runs returns up to first (at most 100) runs of an entity, newest first: the runs of a kind, or all for "". It fails
// with ErrNotFound for an unknown entity, and with an *InputError for a wrong first.
func (c *Control) Runs(ctx context.Context, entity string, kind RunKind, first int) ([]Run, error) {
	if _, err := c.entity(entity); err != nil {
		return nil, err
	}
	if err := checkFirst(first); err != nil {
		return nil, err
	}
	return c.runs(ctx, "r.entity = ? AND (r.kind = ? OR CAST(? AS text) = '')", first, entity,
		string(kind), string(kind))
}

// runDocument is a run as the database keeps it.
type runDocument struct {
	ID               int64      `json:"id"`
	Kind             RunKind    `json:"kind"`
	Entity           string     `json:"entity"`
	Status           RunStatus  `json:"status"`
	StartedAt        time.Time  `json:"startedAt"`
	FinishedAt       *time.Time `json:"finishedAt"`
	Actor            string     `json:"actor"`
	Workers          int        `json:"workers"`
	MaxRowsPerSecond *int       `json:"maxRowsPerSecond"`
	OlderThan        int        `json:"olderThan"`
	Total            int64      `json:"total"`
	ThrottledBy      *string    `json:"throttledBy"`
	Error            *string    `json:"error"`
	Done             int64      `json:"done"`
	Migrated         int64      `json:"migrated"`
	Quarantined      int64      `json:"quarantined"`
	Behind           int64      `json:"behind"`
	Faults           int64      `json:"faults"`
	Repair           bool       `json:"repair"`
	Epoch            int64      `json:"epoch"`
	BusyMS           int64      `json:"busyMs"`
	AtWork           int        `json:"atWork"` // workers
}

func (c *Control) runs(ctx context.Context, where string, limit int, args ...any) ([]Run, error) {
	d := c.db.dialect
	sum := func(name string) string {
		return c.db.sql(`(SELECT coalesce(sum(k.{name}), 0) FROM {coexist_chunk} k WHERE k.run_id = r.id)`,
			"name", name)
	}
	var runs []Run
	err := c.db.pools.Reading().Query(ctx, func(rows *sql.Rows) error {
		var document runDocument
		err := database.ScanJSON(rows, &document)
		runs = append(runs, document.run())
		return err
	}, c.db.sql(`SELECT CAST({object} AS text) FROM {coexist_run} r WHERE {where} ORDER BY r.id DESC LIMIT {limit}`,
		"object", d.Object([]database.Member{
			{"id", "r.id"},
			{"kind", "r.kind"},
			{"entity", "r.entity"},
			{"status", "r.status"},
			{"startedAt", "r.started_at"},
			{"finishedAt", "r.finished_at"},
			{"actor", "r.actor"},
			{"workers", "r.workers"},
			{"maxRowsPerSecond", "r.max_rows_per_second"},
			{"olderThan", "r.older_than_mapping_version"},
			{"total", "r.total"},
			{"throttledBy", "r.throttled_by"},
			{"error", "r.error"},
			{"done", sum("done")},
			{"migrated", sum("migrated")},
			{"quarantined", sum("quarantined")},
			{"busyMs", sum("busy_ms")},
			{"behind", sum("behind")},
			{"faults", sum("faults")},
			{"repair", d.Value("r", flag("repair"))},
			{"epoch", "r.epoch"},
			{"atWork", c.db.sql(`(SELECT count(*) FROM {coexist_chunk} k WHERE k.run_id = r.id AND NOT k.finished
				AND k.leased_until > {leaseless})`, "leaseless", leaseless)},
		}),
		"where", where, "limit", strconv.Itoa(limit)), args...)
	return runs, err
}

// run derives what the database does not keep.
func (d runDocument) run() Run {
	d.Done = max(d.Done, d.Migrated+d.Quarantined) // a sweep's last stage stores rows that came after its first stage
	r := Run{
		ID: d.ID, Kind: d.Kind, Entity: d.Entity, Status: d.Status, StartedAt: d.StartedAt.UTC(), Actor: d.Actor,
		Total: max(d.Total, d.Done),
		Done:  d.Done, Migrated: d.Migrated, Quarantined: d.Quarantined, Workers: d.Workers,
		MaxRowsPerSecond: d.MaxRowsPerSecond,
		ThrottledBy:      d.ThrottledBy, Error: d.Error, Behind: d.Behind, Faults: d.Faults, olderThan: d.OlderThan,
		repair: d.Repair, epoch: d.Epoch,
	}
	if d.FinishedAt != nil {
		at := d.FinishedAt.UTC()
		r.FinishedAt = &at
	}
	r.RowsPerSecond = d.rate()
	if r.Status == Running && r.RowsPerSecond > 0 {
		seconds := int(math.Ceil(float64(r.Total-r.Done) / r.RowsPerSecond))
		r.ETASeconds = &seconds
	}
	return r
}

// rate is the rate of all workers together. It is computed from the time that each has worked, and at the end also by
// the clock.
func (d runDocument) rate() float64 {
	rate := 0.0
	if d.BusyMS > 0 {
		rate = float64(d.Done) * 1000 / float64(d.BusyMS) * float64(max(1, d.AtWork))
	}
	if d.FinishedAt != nil && d.FinishedAt.After(d.StartedAt) {
		rate = max(rate, float64(d.Done)/d.FinishedAt.Sub(d.StartedAt).Seconds())
	}
	return rate
}

// WatchRun sends the state of a run at once, and then each time it has changed; it checks about three times a second.
// The last state that it sends is the one in which the run has ended. Then, or when ctx ends, it closes the channel. It
// fails with ErrNotFound.
func (c *Control) WatchRun(ctx context.Context, id int64) (<-chan Run, error) {
	first, err := c.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	if !first.active() {
		only := make(chan Run, 1)
		only <- first
		close(only)
		return only, nil
	}
	seen := first
	return watch(ctx, c.db, 300*time.Millisecond, first, func(ctx context.Context) (Run, bool, bool, error) {
		run, err := c.Run(ctx, id)
		changed := run.Status != seen.Status || run.Done != seen.Done || run.Migrated != seen.Migrated ||
			run.Quarantined != seen.Quarantined || run.Faults != seen.Faults ||
			(run.ThrottledBy == nil) != (seen.ThrottledBy == nil)
		if err == nil {
			seen = run
		}
		return run, changed, !run.active(), err
	}), nil
}
