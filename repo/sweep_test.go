package repo_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

func TestSweep(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		notes := rows(250)
		notes[120].Priority = repotest.BadPriority
		insert(t, b, notes...)
		getV2(t, b, "k007") // is fresh
		updateV2(t, b, "k200", pin)
		b.SetPhase(repo.Expand)
		updateV1(t, b, "k200", func(n *repotest.NoteV1) { n.Title = "play: on" })
		b.SetPhase(repo.Migrate)
		if p := progress(t, b); p.Total != 250 || p.Migrated != 1 || p.Stale != 1 || p.Remaining != 248 ||
			p.Fraction() == 1 || p.OldestMarkAt == nil {
			t.Errorf("before: %+v", p)
		}
		run := sweep(t, b, repo.SweepRequest{})
		if run.Status != repo.Succeeded || run.Total != 250 || run.Done != 250 || run.Migrated != 248 ||
			run.Quarantined != 1 || run.FinishedAt == nil || run.Error != nil {
			t.Errorf("the run is %+v", run)
		}
		p := progress(t, b)
		if p.Migrated != 249 || p.Quarantined != 1 || p.Stale != 0 || p.Fraction() == 1 || p.OldestMarkAt != nil {
			t.Errorf("after: %+v", p)
		}
		if list := quarantined(t, b); len(list) != 1 || list[0].Key != "k120" {
			t.Errorf("quarantine is %+v", list)
		}
		for _, key := range []string{"k000", "k099", "k100", "k249"} {
			if r := agree(t, b, key); r.Copy.Origin != repo.OriginSweep || r.Version != 1 || b.Conversions(key) != 1 {
				t.Errorf("%s is %+v", key, r)
			}
		}
		if r := agree(t, b, "k007"); r.Copy.Origin != repo.OriginRead {
			t.Errorf("a fresh copy is stored again: %+v", r)
		}
		merged := agree(t, b, "k200")
		wantPinned(t, merged.Value)
		if !merged.Copy.Refined || merged.Value.Headline != "on" || merged.Version != 3 {
			t.Errorf("a stale copy is %+v", merged)
		}
		updateV1(t, b, "k120", func(n *repotest.NoteV1) { n.Priority = 1 })
		if p := progress(t, b); p.Migrated != 250 || p.Fraction() != 1 {
			t.Errorf("after the repair: %+v", p)
		}
	})
}

func TestSweepOfAnEmptyTable(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		if run := sweep(t, b, repo.SweepRequest{}); run.Status != repo.Succeeded || run.Done != 0 || run.Total != 0 {
			t.Errorf("the run is %+v", run)
		}
	})
}

func TestSweepRequests(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Expand, func(t *testing.T, b *repotest.Bench) {
		ask := func(q repo.SweepRequest) error {
			_, err := b.Control.StartSweep(t.Context(), q)
			return err
		}
		wantErr(t, ask(repo.SweepRequest{Entity: "NONE"}), repo.ErrNotFound)
		wantErr(t, ask(repo.SweepRequest{Entity: "NOTE"}), repo.ErrWrongPhase)
		b.SetPhase(repo.Migrate)
		for _, n := range []int{65, -1} {
			wantField[*repo.InputError](t, ask(repo.SweepRequest{Entity: "NOTE", Workers: n}), "workers")
		}
		wantField[*repo.InputError](t, ask(repo.SweepRequest{Entity: "NOTE", MaxRowsPerSecond: -1}), "maxRowsPerSecond")
		for _, n := range []int{-1, 2} {
			wantField[*repo.InputError](t, ask(repo.SweepRequest{Entity: "NOTE", OlderThanMappingVersion: n}),
				"olderThanMappingVersion")
		}
		if runs, err := b.Control.Runs(t.Context(), "NOTE", "", 10); err != nil || len(runs) != 0 {
			t.Errorf("a refused request has left a run: %+v, %v", runs, err)
		}
		_, err := b.Control.Run(t.Context(), 7)
		wantErr(t, err, repo.ErrNotFound)
		_, err = b.Control.PauseRun(t.Context(), 7)
		wantErr(t, err, repo.ErrNotFound)
	})
}

func TestPauseResumeCancel(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, rows(250)...)
		control := func(do func(context.Context, int64) (repo.Run, error), id int64) repo.Run {
			t.Helper()
			run, err := do(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			return run
		}
		inFlight := b.PauseConversion("k150")
		run, _ := start(t, b, repo.SweepRequest{})
		inHand(t, b, inFlight, run, 100)
		_, err := b.Control.StartSweep(t.Context(), repo.SweepRequest{Entity: "NOTE"})
		wantErr(t, err, repo.ErrRunAlreadyActive)
		if run = control(b.Control.PauseRun, run.ID); run.Status != repo.Paused || run.Done == 0 || run.Done > 150 {
			t.Errorf("paused: %+v", run)
		}
		done := run.Done // how many rows a batch has depends on how long batches take
		_, err = b.Control.StartSweep(t.Context(), repo.SweepRequest{Entity: "NOTE"})
		wantErr(t, err, repo.ErrRunAlreadyActive)
		inFlight.Release()
		repotest.Until(t, "the worker lets go", func() bool { return free(t, b) })
		// The batch that was in hand did not commit. mayWork looks at the run's status: without it Done grows here.
		if run = getRun(t, b, run.ID); run.Done != done {
			t.Errorf("a paused run has done %d rows", run.Done)
		}
		again := b.PauseConversion("k249")
		control(b.Control.ResumeRun, run.ID)
		again.Wait()
		if n := b.Conversions("k150"); n != 2 {
			t.Errorf("k150 was converted %d times, want 2: once for a batch that was not allowed to commit", n)
		}
		if run = control(b.Control.CancelRun, run.ID); run.Status != repo.Cancelled ||
			run.FinishedAt == nil || run.Done == 250 {
			t.Errorf("cancelled: %+v", run)
		}
		again.Release()
		for _, do := range []func(context.Context, int64) (repo.Run, error){
			b.Control.PauseRun, b.Control.ResumeRun,
			b.Control.CancelRun,
		} {
			_, err := do(t.Context(), run.ID)
			wantErr(t, err, repo.ErrRunEnded)
		}
		second, err := b.Control.StartSweep(t.Context(), repo.SweepRequest{Entity: "NOTE"})
		if err != nil {
			t.Fatal(err)
		}
		if second = ended(t, b, second); second.Status != repo.Succeeded || second.Done != 250 {
			t.Errorf("the second run is %+v", second)
		}
		if p := progress(t, b); p.Migrated != 250 {
			t.Errorf("progress is %+v", p)
		}
		if run = getRun(t, b, run.ID); run.Status != repo.Cancelled || run.Migrated+second.Migrated != 250 {
			t.Errorf("the runs have migrated %d and %d", run.Migrated, second.Migrated)
		}
		runs, err := b.Control.Runs(t.Context(), "NOTE", repo.Sweep, 10)
		if err != nil || len(runs) != 2 || runs[0].ID != second.ID {
			t.Errorf("the runs are %+v, %v", runs, err)
		}
	})
}

// What another program does to V1 behind the sweep's back leaves marks, and is swept at the end.
func TestMarksLeftAtTheEndAreSwept(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, rows(150)...)
		second := b.PauseConversion("k120")
		run, _ := start(t, b, repo.SweepRequest{})
		inHand(t, b, second, run, 100)
		repotest.Exec(t, repotest.Raw(t, b.URL),
			"UPDATE notes SET title = 'play: on' WHERE id = 'k001'",
			"INSERT INTO coexist_note_mark (key, kind) VALUES ('k001', 'CHANGE')",
			"UPDATE notes SET priority = 66 WHERE id = 'k002'",
			"INSERT INTO coexist_note_mark (key, kind) VALUES ('k002', 'CHANGE')",
			"DELETE FROM note_tags WHERE note_id IN ('k003', 'k140')", "DELETE FROM notes WHERE id IN ('k003', 'k140')",
			"INSERT INTO coexist_note_mark (key, kind) VALUES ('k003', 'CHANGE'), ('k003', 'GONE'), ('k140', 'CHANGE')")
		second.Release()
		run = ended(t, b, run)
		if run.Status != repo.Succeeded || run.Quarantined != 1 {
			t.Errorf("the run is %+v", run)
		}
		if r := agree(t, b, "k001"); r.Value.Headline != "on" || b.Conversions("k001") != 2 ||
			r.Copy.Origin != repo.OriginSweep {
			t.Errorf("k001 is %+v", r)
		}
		if list := quarantined(t, b); len(list) != 1 || list[0].Key != "k002" {
			t.Errorf("quarantine is %+v", list)
		}
		raw := repotest.Raw(t, b.URL)
		for key, floor := range map[string]int64{"k003": 2, "k140": 1} {
			if marks(t, b, key, "CHANGE") != 0 || marks(t, b, key, "GONE") != 1 {
				t.Errorf("%s leaves %d changes and %d tombstones", key, marks(t, b, key, "CHANGE"),
					marks(t, b, key, "GONE"))
			}
			if n := repotest.One[int64](t, raw, "SELECT floor FROM coexist_note_mark WHERE key = $1", key); n < floor {
				t.Errorf("the tombstone of %s has floor %d, want %d or more", key, n, floor)
			}
			if n := repotest.One[int64](t, raw, "SELECT count(*) FROM notes_v2 WHERE id = $1", key); n != 0 {
				t.Errorf("the copy of %s is left", key)
			}
		}
		if p := progress(t, b); p.Total != 148 || p.Migrated != 147 || p.Quarantined != 1 {
			t.Errorf("progress is %+v", p)
		}
	})
}

// The last stage goes once over what was marked when it began. Without its upper bound, an old program that writes as
// fast as it works would keep it going for ever.
func TestTheLastStageOfASweepEnds(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, rows(30)...)
		raw := repotest.Raw(t, b.URL)
		second := b.PauseConversion("k025")
		run, _ := start(t, b, repo.SweepRequest{MaxRowsPerSecond: 20}) // a batch has no more
		second.Wait()
		repotest.Exec(t, raw, "UPDATE notes SET title = 'play: on' WHERE id < 'k025'") // more than a batch
		last := b.PauseConversion("k010")
		second.Release()
		last.Wait()
		repotest.Exec(t, raw, "UPDATE notes SET title = 'play: late' WHERE id = 'k028'")
		last.Release()
		if run = ended(t, b, run); run.Status != repo.Succeeded {
			t.Errorf("the run is %+v", run)
		}
		if b.Conversions("k024") != 2 || marks(t, b, "k024", "CHANGE") != 0 {
			t.Errorf("k024 is converted %d times and has %d marks", b.Conversions("k024"),
				marks(t, b, "k024", "CHANGE"))
		}
		if b.Conversions("k028") != 1 || marks(t, b, "k028", "CHANGE") != 1 {
			t.Errorf("k028, marked after the stage began, is converted %d times and has %d marks",
				b.Conversions("k028"), marks(t, b, "k028", "CHANGE"))
		}
	})
}

// The token in mayWork locks out who has lost the lease.
func TestASlowHolderCannotCommit(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		other := repotest.OpenNotes(t, b.URL, repotest.Setup{})
		insert(t, b, rows(150)...)
		slow := b.PauseConversion("k120")
		run, stop := start(t, b, repo.SweepRequest{})
		inHand(t, b, slow, run, 100)
		repotest.Exec(t, repotest.Raw(t, b.URL), "UPDATE coexist_chunk SET leased_until = '1970-01-01T00:00:00.000Z'")
		resumed := other.PauseConversion("k149")
		work(t, other)
		resumed.Wait() // the chunk is in other hands
		b.Forget()
		slow.Release()
		repotest.Until(t, "the slow holder tries to commit", func() bool {
			return slices.Contains(b.Sent(), "ROLLBACK") || slices.Contains(b.Sent(), "COMMIT")
		})
		stop()
		if now := getRun(t, b, run.ID); now.Done != 100 || now.Status != repo.Running || copies(t, b) != 100 {
			t.Errorf("the slow holder has committed %d copies: %+v", copies(t, b), now)
		}
		resumed.Release()
		if run = ended(t, other, run); run.Status != repo.Succeeded || run.Done != 150 || run.Migrated != 150 {
			t.Errorf("the run is %+v", run)
		}
	})
}

func TestSweepGoesOnAfterItsProcessDied(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, rows(150)...)
		inFlight := b.PauseConversion("k120")
		run, stop := start(t, b, repo.SweepRequest{})
		inHand(t, b, inFlight, run, 100)
		b.Close()
		inFlight.Release()
		stop()
		// time passes
		repotest.Exec(t, repotest.Raw(t, b.URL), "UPDATE coexist_chunk SET leased_until = '1970-01-01T00:00:00.000Z'")
		other := repotest.OpenNotes(t, b.URL, repotest.Setup{})
		work(t, other)
		run = ended(t, other, run)
		if run.Status != repo.Succeeded || run.Done != 150 || run.Migrated != 150 || other.Conversions("k099") != 0 ||
			other.Conversions("k100") != 1 {
			t.Errorf("the run is %+v, and has converted k099 %d times", run, other.Conversions("k099"))
		}
	})
}

func TestMaxRowsPerSecond(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, rows(10)...)
		run, _ := start(t, b, repo.SweepRequest{MaxRowsPerSecond: 3})
		repotest.Until(t, "the run is throttled", func() bool {
			run = getRun(t, b, run.ID)
			return run.ThrottledBy != nil
		})
		if run.Done != 3 || *run.ThrottledBy != "maxRowsPerSecond" || *run.MaxRowsPerSecond != 3 {
			t.Errorf("the first batch of a second does %d rows, want 3: %+v", run.Done, run)
		}
		if run, err := b.Control.CancelRun(t.Context(), run.ID); err != nil || run.ThrottledBy != nil {
			t.Errorf("%+v, %v", run, err)
		}
	})
}

func TestSweepFailsWhereItsPhaseIsOver(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, rows(150)...)
		inFlight := b.PauseConversion("k120")
		run, _ := start(t, b, repo.SweepRequest{})
		states, err := b.Control.WatchRun(t.Context(), run.ID)
		if err != nil {
			t.Fatal(err)
		}
		inHand(t, b, inFlight, run, 100)
		b.SetPhase(repo.Expand)
		inFlight.Release()
		var last repo.Run
		for last = range states {
			continue
		}
		if last.Status != repo.Failed || last.Error == nil || !strings.Contains(*last.Error, "EXPAND") ||
			last.Done != 100 {
			t.Errorf("the run ends as %+v", last)
		}
		if n := copies(t, b); n != 100 {
			t.Errorf("%d copies, want 100", n)
		}
	})
}
