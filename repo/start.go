package repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// MaxWorkers is how many workers a run may have.
const MaxWorkers = 64

// RunRequest asks for a run. Entity and Actor are required.
type RunRequest struct {
	Entity string
	// Workers is how many chunks are worked on at the same time, by all instances together: at most MaxWorkers.
	// Defaults to 1.
	Workers int
	// MaxRowsPerSecond is an upper rate. Defaults to none.
	MaxRowsPerSecond int
	// Actor is who asks, kept with the run.
	Actor string
}

// SweepRequest asks for a sweep. Entity and Actor are required.
type SweepRequest struct {
	Entity string
	// Workers and MaxRowsPerSecond are as in RunRequest.
	Workers, MaxRowsPerSecond int
	// OlderThanMappingVersion also migrates those copies again that a lower version of the mapping made. Defaults to
	// none.
	OlderThanMappingVersion int
	// Actor is who asks, kept with the run.
	Actor string
}

// VerificationRequest asks for a verification. Entity and Actor are required.
type VerificationRequest struct {
	Entity string
	// Workers and MaxRowsPerSecond are as in RunRequest.
	Workers, MaxRowsPerSecond int
	// Repair brings rows that differ up to date with the side that leads. The run stays red all the same: only a later
	// run that finds nothing clears it.
	Repair bool
	// Actor is who asks, kept with the run.
	Actor string
}

// start is any request.
type start struct {
	RunRequest
	kind      RunKind
	olderThan int
	repair    bool
}

func (q start) check(e *entity) error {
	if q.olderThan < 0 || q.olderThan > e.mappingVersion {
		return Faulty("olderThanMappingVersion", "is %d, but must be from 1 to %d, the mapping's version",
			q.olderThan, e.mappingVersion)
	}
	if err := checkWorkers(q.Workers, 0); err != nil {
		return err
	}
	return checkRate(q.MaxRowsPerSecond, 0)
}

// checkWorkers returns a *FieldError for a number of workers that no run can have. least is 0 where 0 means the
// default.
func checkWorkers(workers, least int) error {
	if workers < least || workers > MaxWorkers {
		return Faulty("workers", "is %d, but must be from 1 to %d", workers, MaxWorkers)
	}
	return nil
}

// checkRate returns a *FieldError for an upper rate that no run can have. least is 0 where 0 means none.
func checkRate(maxRowsPerSecond, least int) error {
	if maxRowsPerSecond < least {
		return Faulty("maxRowsPerSecond", "is %d, but must be at least 1", maxRowsPerSecond)
	}
	return nil
}

// StartSweep starts the run that migrates the rows that use did not, and returns at once: Work does the run, in this
// process or another. It fails with ErrNotFound for an unknown entity, with ErrWrongPhase in a phase without sweeps,
// with a *RunActiveError, and with an *InputError for a request that makes no sense.
func (c *Control) StartSweep(ctx context.Context, q SweepRequest) (Run, error) {
	return c.start(ctx, start{
		RunRequest: RunRequest{q.Entity, q.Workers, q.MaxRowsPerSecond, q.Actor}, kind: Sweep,
		olderThan: q.OlderThanMappingVersion,
	})
}

// StartRehearsal starts the run that converts and proves every row, stores none, and lists in quarantine the rows that
// would be there. It returns at once and fails as StartSweep does.
func (c *Control) StartRehearsal(ctx context.Context, q RunRequest) (Run, error) {
	return c.start(ctx, start{RunRequest: q, kind: Rehearsal})
}

// StartVerification starts the run that compares both shapes. It returns at once and fails as StartSweep does.
func (c *Control) StartVerification(ctx context.Context, q VerificationRequest) (Run, error) {
	return c.start(ctx, start{
		RunRequest: RunRequest{q.Entity, q.Workers, q.MaxRowsPerSecond, q.Actor},
		kind:       Verification, repair: q.Repair,
	})
}

// StartRestore starts the run that rebuilds V1 from V2. From then on writes in CONTRACT go to both shapes, and a write
// that V1 cannot hold is refused. It returns at once. It fails as StartSweep does, and as SetPhase does where
// transactions in flight do not end.
func (c *Control) StartRestore(ctx context.Context, q RunRequest) (Run, error) {
	return c.start(ctx, start{RunRequest: q, kind: Restore})
}

func (c *Control) start(ctx context.Context, q start) (Run, error) {
	e, err := c.entity(q.Entity)
	if err != nil {
		return Run{}, err
	}
	if err := q.check(e); err != nil {
		return Run{}, inputError(err)
	}
	if err := e.capture.check(ctx); err != nil {
		return Run{}, err
	}
	led := e.v1
	if q.kind == Restore {
		led = e.v2
	}
	total, _, err := c.db.dialect.Estimate(ctx, c.db.pools.Reading(), led.SQL)
	if err != nil {
		return Run{}, err
	}
	var id int64
	insert := func(ctx context.Context, t *tx) error {
		id, err = e.runs.insert(ctx, t, q, total)
		return err
	}
	if q.kind == Restore {
		// The start is a fenced step: every write from here on goes to both shapes.
		err = e.fenced(ctx, func(ctx context.Context, t *tx) error {
			if t.fence.Phase == Contract {
				if _, err := t.Exec(ctx, c.db.sql(`UPDATE {coexist_entity} SET restoring = ?, epoch = epoch + 1
					WHERE name = ?`), true, e.name); err != nil {
					return err
				}
				t.fence.Restoring, t.fence.Epoch = true, t.fence.Epoch+1
			}
			return insert(ctx, t)
		})
	} else {
		err = e.write(ctx, opening{}, insert)
	}
	if errors.Is(err, ErrRunAlreadyActive) {
		return Run{}, c.nameActive(ctx, e, q.kind)
	}
	if err != nil {
		return Run{}, err
	}
	c.wakeUp()
	return c.Run(ctx, id)
}

// nameActive is the error for a run that cannot start because another of its kind is active.
func (c *Control) nameActive(ctx context.Context, e *entity, kind RunKind) error {
	id, err := c.db.pools.Reading().Number(ctx, c.db.sql(`SELECT max(id) FROM {coexist_run} WHERE entity = ?
		AND kind = ?`), e.name, string(kind))
	if err != nil {
		return err
	}
	return &RunActiveError{Run: id}
}

// orNull is a number as an argument, NULL for 0.
func orNull(n int) any {
	if n == 0 {
		return nil
	}
	return n
}

// insert creates the run and returns its id.
func (e runs) insert(ctx context.Context, t *tx, q start, total int64) (int64, error) {
	if !q.kind.runsIn(t.fence) {
		return 0, fmt.Errorf("%s is in %s, and a %s runs in %s: %w", e.name, t.fence.Phase, q.kind,
			q.kind.phases(), ErrWrongPhase)
	}
	id, err := t.Number(ctx, e.sql(`INSERT INTO {coexist_run} (entity, kind, status, actor, started_at,
		workers, max_rows_per_second, older_than_mapping_version, repair, epoch, capture_generation,
		bypass_before, total) VALUES (?, ?, ?, ?, {now}, ?, ?, ?, ?, ?, (SELECT CASE
		WHEN x.capture THEN x.capture_generation ELSE 0 END FROM {coexist_entity} x
		WHERE x.name = ?), {bypassWrites}, ?) RETURNING id`, "bypassWrites", e.bypassWrites()),
		e.name, string(q.kind), string(Running), q.Actor, cmp.Or(q.Workers, 1), orNull(q.MaxRowsPerSecond),
		orNull(q.olderThan), q.repair, t.fence.Epoch, e.name, total)
	if database.IsRefused(err, database.UniqueViolation) {
		return 0, ErrRunAlreadyActive
	}
	if err != nil {
		return 0, err
	}
	// The upper bound is fixed here: rows that come later get both shapes from the write that makes them.
	last := func(t *shape.Table) string {
		key := "t." + quote(t.Key.Name)
		return fill(`SELECT * FROM (SELECT {key} AS key FROM {table} t WHERE {key} IS NOT NULL ORDER BY {key} DESC
			LIMIT 1) l`, "key", key, "table", t.SQL)
	}
	upper := last(e.v1)
	if q.kind == Verification || q.kind == Restore {
		upper += fill(` UNION ALL {last}`, "last", last(e.v2))
	}
	_, err = t.Exec(ctx, e.db.sql(`INSERT INTO {coexist_cut} (run_id, upper) VALUES (?, (SELECT CAST(u.key
		AS text) FROM ({upper}) u ORDER BY u.key DESC LIMIT 1))`, "upper", upper), id)
	return id, err
}
