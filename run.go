package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/alwaysup/coexist/internal/terminal"
	"github.com/alwaysup/coexist/repo"
)

// runFlags are the flags that all commands with a run have.
type runFlags struct {
	Workers          int      `default:"1" placeholder:"N" help:"How many parts all instances together work on at a time. Default: ${default}."`
	MaxRowsPerSecond positive `placeholder:"N" help:"The highest rate of the run. Default: none."`
	Resume           bool     `help:"Resume a paused run of this kind."`
	JSON             bool     `name:"json" help:"Print each state as a line of JSON."`
}

// positive is the value of a flag that must be at least 1. It is 0 if the flag is not given.
type positive int

// UnmarshalText reads the flag's value. kong calls it.
func (n *positive) UnmarshalText(text []byte) error {
	value, err := strconv.ParseInt(string(text), 10, 32)
	if err != nil || value < 1 {
		return fmt.Errorf("is %s, but must be from 1 to %d", text, math.MaxInt32)
	}
	*n = positive(value)
	return nil
}

// Validate checks the flags. kong calls it.
func (f *runFlags) Validate() error {
	if f.Workers < 1 || f.Workers > repo.MaxWorkers {
		return fmt.Errorf("--workers is %d, but must be from 1 to %d", f.Workers, repo.MaxWorkers)
	}
	return nil
}

// sweepCommand is `coexist sweep`.
type sweepCommand struct {
	Entity                  entityName `arg:"" help:"The entity to sweep, such as CUSTOMER. It must be in MIGRATE or in an incomplete CUTOVER."`
	OlderThanMappingVersion positive   `placeholder:"N" help:"Also migrate the copies again that a mapping older than version N has made. Default: none."`
	runFlags
}

// rehearseCommand is `coexist rehearse`.
type rehearseCommand struct {
	Entity entityName `arg:"" help:"The entity to rehearse, such as CUSTOMER. It must be in EXPAND or MIGRATE."`
	runFlags
}

// verifyCommand is `coexist verify`.
type verifyCommand struct {
	Entity entityName `arg:"" help:"The entity to verify, such as CUSTOMER. It must be in MIGRATE or CUTOVER."`
	Repair bool       `help:"Correct differences from the side that leads, which is V1 in MIGRATE and V2 in CUTOVER. The run is red all the same: another verification has to find nothing."`
	runFlags
}

// restoreCommand is `coexist restore`.
type restoreCommand struct {
	Entity entityName `arg:"" help:"The entity whose V1 rows to rebuild from V2, such as CUSTOMER. It must be in CONTRACT."`
	runFlags
}

// Run sweeps the entity and shows the progress. It fails unless the sweep succeeds and puts no row in quarantine.
func (c *sweepCommand) Run(ctx context.Context, env *environment) error {
	return c.run(ctx, env, c.Entity, repo.Sweep, func(control *repo.Control, entity string) (repo.Run, error) {
		return control.StartSweep(ctx, repo.SweepRequest{
			Entity: entity, Workers: c.Workers, MaxRowsPerSecond: int(c.MaxRowsPerSecond),
			OlderThanMappingVersion: int(c.OlderThanMappingVersion), Actor: actor(),
		})
	})
}

// Run rehearses the migration and shows the progress. It fails unless the rehearsal succeeds and can convert every row.
func (c *rehearseCommand) Run(ctx context.Context, env *environment) error {
	return c.run(ctx, env, c.Entity, repo.Rehearsal, func(control *repo.Control, entity string) (repo.Run, error) {
		return control.StartRehearsal(ctx, c.request(entity))
	})
}

// Run verifies the entity and shows the progress. It fails unless the verification succeeds and finds no fault.
func (c *verifyCommand) Run(ctx context.Context, env *environment) error {
	return c.run(ctx, env, c.Entity, repo.Verification, func(control *repo.Control, entity string) (repo.Run, error) {
		return control.StartVerification(ctx, repo.VerificationRequest{
			Entity: entity, Workers: c.Workers, MaxRowsPerSecond: int(c.MaxRowsPerSecond), Repair: c.Repair,
			Actor: actor(),
		})
	})
}

// Run restores V1's rows and shows the progress. It fails unless the restore succeeds and V1 holds every row.
func (c *restoreCommand) Run(ctx context.Context, env *environment) error {
	return c.run(ctx, env, c.Entity, repo.Restore, func(control *repo.Control, entity string) (repo.Run, error) {
		return control.StartRestore(ctx, c.request(entity))
	})
}

func (f *runFlags) request(name string) repo.RunRequest {
	return repo.RunRequest{Entity: name, Workers: f.Workers, MaxRowsPerSecond: int(f.MaxRowsPerSecond), Actor: actor()}
}

// run starts a run, or joins the active run of its kind. It works on the run and shows it until the run ends. The next
// server or command continues a run that is interrupted.
func (f *runFlags) run(ctx context.Context, env *environment, name entityName, kind repo.RunKind,
	start func(*repo.Control, string) (repo.Run, error),
) error {
	db, err := env.open(ctx, installing)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // a close that fails loses nothing
	run, err := f.start(ctx, db.control(), name, kind, start)
	if err != nil {
		return err
	}
	work, stop := context.WithCancel(ctx)
	var working sync.WaitGroup
	defer working.Wait()
	defer stop()
	working.Go(func() {
		if err := db.control().Work(work); err != nil {
			env.logger.Error("the work on runs has ended", "error", err)
		}
	})
	states, err := db.control().WatchRun(ctx, run.ID)
	if err != nil {
		return err
	}
	return verdict(f.follow(env, run, states))
}

// start starts a run and returns it. If a run of its kind is active, start returns that one, and resumes it if it is
// paused and --resume is set. It fails if that run is paused and --resume is not set.
func (f *runFlags) start(ctx context.Context, control *repo.Control, name entityName, kind repo.RunKind,
	start func(*repo.Control, string) (repo.Run, error),
) (repo.Run, error) {
	migrations, err := control.Migrations(ctx)
	if err != nil {
		return repo.Run{}, err
	}
	entity, err := name.of(migrations)
	if err != nil {
		return repo.Run{}, err
	}
	run, err := start(control, entity)
	active, isActive := errors.AsType[*repo.RunActiveError](err)
	if !isActive {
		return run, err
	}
	run, err = control.Run(ctx, active.Run)
	switch {
	case err != nil || run.Status != repo.Paused:
		return run, err
	case f.Resume:
		return control.ResumeRun(ctx, run.ID)
	default:
		return run, fmt.Errorf("the %s is paused: use --resume to continue it", noun(kind))
	}
}

// noun returns the word for a kind of run within a sentence.
func noun(kind repo.RunKind) string { return strings.ToLower(string(kind)) }

// follow shows each state of the run, and returns the last.
func (f *runFlags) follow(env *environment, run repo.Run, states <-chan repo.Run) repo.Run {
	bar := terminal.NewProgressBar(env.stderr, noun(run.Kind)+" of "+run.Entity)
	defer bar.End()
	var printed time.Time
	lines := json.NewEncoder(env.stdout)
	for run = range states {
		ended := run.FinishedAt != nil
		switch {
		case f.JSON:
			_ = lines.Encode(runLine(run)) // whatever read the output may have ended
		case terminal.IsTerminal(env.stderr):
			bar.Show(run.Done, run.Total, remark(run))
		case ended || time.Since(printed) >= time.Second:
			printed = time.Now()
			fmt.Fprintf(env.stdout, "%s %s of %s: %d of %d rows%s\n", run.Status, noun(run.Kind), run.Entity, run.Done,
				run.Total, remark(run))
		}
	}
	return run
}

// remark says how fast a run is, how long it will still take, and what it has found.
func remark(run repo.Run) string {
	text := fmt.Sprintf(", %.0f rows/s", run.RowsPerSecond)
	if run.ETASeconds != nil {
		text += ", " + (time.Duration(*run.ETASeconds) * time.Second).String() + " left"
	}
	switch run.Kind {
	case repo.Verification:
		text += fmt.Sprintf(", %d without a fresh copy, %d at fault", run.Behind, run.Faults)
	case repo.Restore:
		text += fmt.Sprintf(", %d restored, %d at fault", run.Migrated, run.Faults)
	default:
		text += fmt.Sprintf(", %d migrated, %d quarantined", run.Migrated, run.Quarantined)
	}
	if run.Status == repo.Paused {
		text += ", paused"
	}
	return text
}

// verdict returns nil for a run that succeeded, put nothing in quarantine and found no fault. Otherwise it returns an
// error that says what is wrong.
func verdict(run repo.Run) error {
	switch {
	case run.Status == repo.Running || run.Status == repo.Paused:
		return fmt.Errorf("interrupted: the %s goes on with the next server or the same command", noun(run.Kind))
	case run.Error != nil:
		return fmt.Errorf("the %s has failed: %s", noun(run.Kind), *run.Error)
	case run.Status != repo.Succeeded:
		return fmt.Errorf("the %s was ended: %s", noun(run.Kind), run.Status)
	case run.Quarantined > 0:
		return fmt.Errorf("%s of %s cannot be converted: see the quarantine", rowsOf(run.Quarantined), run.Entity)
	case run.Faults > 0:
		return fmt.Errorf("the run has found faults in %s of %s: see its findings", rowsOf(run.Faults), run.Entity)
	default:
		return nil
	}
}

// jsonRun is a run in the form that --json prints.
type jsonRun struct {
	Run           int64          `json:"run"`
	Kind          repo.RunKind   `json:"kind"`
	Entity        string         `json:"entity"`
	Status        repo.RunStatus `json:"status"`
	Total         int64          `json:"total"`
	Done          int64          `json:"done"`
	Migrated      int64          `json:"migrated"`
	Quarantined   int64          `json:"quarantined"`
	Behind        int64          `json:"behind"`
	Faults        int64          `json:"faults"`
	RowsPerSecond float64        `json:"rowsPerSecond"`
	ETASeconds    *int           `json:"etaSeconds"`
	Error         *string        `json:"error"`
}

func runLine(r repo.Run) jsonRun {
	return jsonRun{
		r.ID, r.Kind, r.Entity, r.Status, r.Total, r.Done, r.Migrated, r.Quarantined, r.Behind, r.Faults,
		r.RowsPerSecond, r.ETASeconds, r.Error,
	}
}

// rowsOf puts a number of rows into words.
func rowsOf(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}
