package repo_test

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// start starts a sweep, and work on it that ends with the test or with stop.
func start(t *testing.T, b *repotest.Bench, q repo.SweepRequest) (run repo.Run, stop func()) {
	t.Helper()
	q.Entity, q.Actor = cmp.Or(q.Entity, "NOTE"), "test"
	run, err := b.Control.StartSweep(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return run, work(t, b)
}

func work(t *testing.T, b *repotest.Bench) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	workers.Go(func() {
		if err := b.Control.Work(ctx); err != nil {
			t.Error(err)
		}
	})
	stop = func() {
		cancel()
		workers.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// ended waits until a run is not running any more.
func ended(t *testing.T, b *repotest.Bench, run repo.Run) repo.Run {
	t.Helper()
	repotest.Until(t, "the run ends", func() bool {
		run = getRun(t, b, run.ID)
		return run.Status != repo.Running
	})
	return run
}

func getRun(t *testing.T, b *repotest.Bench, id int64) repo.Run {
	t.Helper()
	run, err := b.Control.Run(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// sweep sweeps to the end.
func sweep(t *testing.T, b *repotest.Bench, q repo.SweepRequest) repo.Run {
	t.Helper()
	run, stop := start(t, b, q)
	defer stop()
	return ended(t, b, run)
}

func progress(t *testing.T, b *repotest.Bench) repo.Progress {
	t.Helper()
	p, err := b.Control.Progress(t.Context(), "NOTE", true)
	if err != nil {
		t.Fatal(err)
	}
	if p.Migrated+p.Remaining+p.Stale+p.Quarantined != p.Total {
		t.Errorf("the parts do not add up: %+v", p)
	}
	return p
}

// rows are n notes, k000 and so on.
func rows(n int) []repotest.NoteV1 {
	notes := make([]repotest.NoteV1, n)
	for i := range notes {
		notes[i] = note(fmt.Sprintf("k%03d", i), "work: begin")
	}
	return notes
}

// free reports whether no chunk is leased.
func free(t *testing.T, b *repotest.Bench) bool {
	t.Helper()
	return repotest.One[int64](t, repotest.Raw(t, b.URL),
		"SELECT count(*) FROM coexist_chunk WHERE leased_until > '1970-01-01T00:00:00.000Z'") == 0
}
