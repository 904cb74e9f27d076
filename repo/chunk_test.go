package repo_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// Several workers of two instances share one run, and every row is counted once.
func TestSeveralWorkers(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		const rows = 25_000 // three chunks
		var notes []repotest.NoteV1
		for i := range rows {
			notes = append(notes, repotest.NoteV1{ID: fmt.Sprintf("k%05d", i), Title: "t", Priority: 1})
		}
		for len(notes) > 0 {
			insert(t, b, notes[:5000]...)
			notes = notes[5000:]
		}
		other := repotest.OpenNotes(t, b.URL, repotest.Setup{})
		b.DB.CutInto(10_000)
		other.DB.CutInto(10_000)
		ctx, cancel := context.WithCancel(t.Context())
		var working sync.WaitGroup
		defer working.Wait()
		defer cancel()
		for _, instance := range []*repotest.Bench{b, other} {
			working.Go(func() { _ = instance.Control.Work(ctx) })
		}
		run, err := b.Control.StartSweep(ctx, repo.SweepRequest{
			Entity: "NOTE", Actor: "test", Workers: 1,
			MaxRowsPerSecond: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		raw := repotest.Raw(t, b.URL)
		leases := func() int64 {
			return repotest.One[int64](t, raw, "SELECT count(*) FROM coexist_chunk WHERE NOT finished")
		}
		repotest.Until(t, "the first chunk", func() bool { return leases() == 1 })
		for field, q := range map[string]repo.TuneRequest{
			"workers":          {ID: run.ID, Workers: new(0)},
			"maxRowsPerSecond": {ID: run.ID, MaxRowsPerSecond: new(0)},
		} {
			var refused *repo.InputError
			if _, err := b.Control.TuneRun(ctx, q); !errors.As(err, &refused) ||
				!strings.Contains(refused.Error(), field) || !strings.Contains(refused.Error(), "is 0, ") {
				t.Errorf("%s: 0: %v", field, err)
			}
		}
		if run, err = b.Control.TuneRun(ctx, repo.TuneRequest{
			ID: run.ID, Workers: new(3),
			NoLimit: true,
		}); err != nil || run.Workers != 3 || run.MaxRowsPerSecond != nil {
			t.Fatalf("%+v, %v", run, err)
		}
		states, err := b.Control.WatchRun(ctx, run.ID)
		if err != nil {
			t.Fatal(err)
		}
		for run = range states {
		}
		if run.Status != repo.Succeeded || run.Done != rows || run.Migrated != rows || run.Total != rows {
			t.Errorf("%+v", run)
		}
		if n := repotest.One[int64](t, raw, "SELECT count(*) FROM notes_v2"); n != rows {
			t.Errorf("%d copies", n)
		}
		// three of the range, one of the marks
		if n := repotest.One[int64](t, raw, "SELECT count(*) FROM coexist_chunk"); n != 4 {
			t.Errorf("%d chunks", n)
		}
		if _, err := b.Control.TuneRun(ctx, repo.TuneRequest{ID: run.ID, Workers: new(2)}); err == nil {
			t.Error("a run that has ended is tuned")
		}
	})
}

// A chunk that somebody works on is left alone: another worker makes the next.
func TestAChunkInWorkIsLeftAlone(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		b.DB.CutInto(10_000)
		raw := repotest.Raw(t, b.URL)
		repotest.Exec(t, raw, `INSERT INTO notes (id, title, priority)
WITH RECURSIVE n(i) AS (SELECT 10000 UNION ALL SELECT i + 1 FROM n WHERE i < 20050) SELECT 'k' || i, 't', 1 FROM n`)
		inWork := b.PauseConversion("k10020")
		run, _ := start(t, b, repo.SweepRequest{Workers: 2})
		inWork.Wait()
		repotest.Until(t, "another chunk is done", func() bool {
			return repotest.One[int64](t, raw, "SELECT count(*) FROM coexist_chunk WHERE finished") == 1
		})
		inWork.Release()
		if run = ended(t, b, run); run.Status != repo.Succeeded || run.Done != 10_051 || b.Conversions("k10020") != 1 {
			t.Errorf("%+v, and k10020 was converted %d times", run, b.Conversions("k10020"))
		}
	})
}

// A run keeps as many findings as one chunk may, however many chunks it has. The guard is the sum in report.
func TestFindingsAreLimitedByRun(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		b.DB.CutInto(10_000)
		repotest.Exec(t, repotest.Raw(t, b.URL), `INSERT INTO notes (id, title, priority)
WITH RECURSIVE n(i) AS (SELECT 10000 UNION ALL SELECT i + 1 FROM n WHERE i < 35000) SELECT 'k' || i, 't', 1 FROM n`)
		run := verify(t, b, false)
		page, err := b.Control.Findings(t.Context(), run.ID, 1, "")
		if err != nil || run.Behind != 25_001 || page.Total != 100 {
			t.Errorf("%d findings of %d rows without a copy, %v", page.Total, run.Behind, err)
		}
	})
}

// Batches have fewer rows where rows are large, so that a run needs little memory. One row is always taken.
func TestLargeRowsMakeSmallBatches(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		b.DB.LimitBatches(10_000)
		var notes []repotest.NoteV1
		for i := range 40 {
			notes = append(notes, note(fmt.Sprintf("k%02d", i), "t"))
			notes[i].Body = new(strings.Repeat("x", 1000))
			if i == 20 {
				notes[i].Body = new(strings.Repeat("x", 100_000))
			}
		}
		insert(t, b, notes...)
		for _, run := range []func() repo.Run{
			func() repo.Run { return sweep(t, b, repo.SweepRequest{}) },
			func() repo.Run { return verify(t, b, false) },
		} {
			var ended repo.Run
			batches := 0
			for _, s := range b.Statements(func() { ended = run() }) {
				if strings.Contains(s, "SET position = ") && strings.Contains(s, "busy_ms") {
					batches++
				}
			}
			if clean(t, b, ended); ended.Done != 40 || batches < 6 || batches > 40 {
				t.Errorf("%+v, in %d batches", ended, batches)
			}
		}
	})
}
