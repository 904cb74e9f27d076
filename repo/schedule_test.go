package repo_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// What others do between two statements of an operation, where one guard keeps things right. Each test fails without its guard.

// beside runs do beside what the caller does, and returns when it has ended, or waits for a lock.
func beside(t *testing.T, url string, others *sync.WaitGroup, do func()) {
	t.Helper()
	raw := repotest.Raw(t, url)
	done := make(chan struct{})
	others.Go(func() {
		defer close(done)
		do()
	})
	repotest.Until(t, "the other ends, or waits", func() bool {
		select {
		case <-done:
			return true
		default:
			return repotest.One[int64](t, raw, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") > 0
		}
	})
}

// between calls do once, before the instance sends the next statement that contains the text. The test fails if it sends none.
func between(t *testing.T, b *repotest.Bench, text string, do func()) {
	t.Helper()
	var reached atomic.Bool
	b.Before(text, func() {
		reached.Store(true)
		do()
	})
	t.Cleanup(func() {
		if !reached.Load() {
			t.Errorf("no statement contains %s", text)
		}
	})
}

// The copy that TRUNCATE has left may be another by the time at which a sweep removes it, and it has no mark that would tell.
// AND seq = ? in fold.
func TestASweepAgainstACreateAfterTruncate(t *testing.T) {
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		insert(t, b, note("a", "a"))
		updateV2(t, b, "a", func(n *repotest.NoteV2) { n.Headline = "old" })
		repotest.Exec(t, repotest.Raw(t, url), "TRUNCATE notes CASCADE")
		between(t, b, `DELETE FROM "public"."notes_v2" WHERE "id" = `, func() {
			if _, err := b.Notes.CreateV2(t.Context(), repotest.NoteV2{ID: "a", Headline: "new", PinnedReason: new("keep")}); err != nil {
				t.Error(err)
			}
		})
		if run := sweep(t, b, repo.SweepRequest{}); run.Status != repo.Succeeded {
			t.Errorf("%+v", run)
		}
		if r := agree(t, b, "a"); r.Value.Headline != "new" || r.Value.PinnedReason == nil {
			t.Errorf("what only V2 knows is lost: %+v", r)
		}
	})
}

// Who locks for a phase that is over locks the wrong rows, and begins again: locked. Here V2 leads no more, and V1's row counts up.
func TestAnInstanceThatLagsBehindLocksTheRightRow(t *testing.T) {
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		insert(t, b, note("a", "a"))
		advance(t, b, repo.Contract)
		lagging := repotest.OpenNotes(t, url, repotest.Setup{})
		getV1(t, lagging, "a") // its guess
		clean(t, b, restore(t, b, "NOTE"))
		step(t, b, repo.Cutover)
		clean(t, b, verify(t, b, false))
		step(t, b, repo.Migrate)
		step(t, b, repo.Expand) // where nobody writes V2's row, which would stop the other, too
		before := getV1(t, b, "a").Priority
		up := func(n *repotest.NoteV1) { n.Priority++ }
		var others sync.WaitGroup
		between(t, lagging, `UPDATE "public"."notes" `, func() {
			beside(t, url, &others, func() { updateV1(t, b, "a", up) })
		})
		updateV1(t, lagging, "a", up)
		others.Wait()
		if after := getV1(t, b, "a").Priority; after != before+2 {
			t.Errorf("two updates lead from %d to %d", before, after)
		}
	})
}

// Another program adds a child row while a write of V2's is at work on the row. The copy is stored for V1 as it was written
// only: putV2 reads it again.
func TestAChildRowThatComesDuringAWrite(t *testing.T) {
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		raw := repotest.Raw(t, url)
		insert(t, b, note("a", "a"))
		between(t, b, `UPDATE "public"."notes" `, func() {
			repotest.Exec(t, raw, "INSERT INTO note_tags (note_id, rank, name) VALUES ('a', 9, 'late')")
		})
		updateV2(t, b, "a", func(n *repotest.NoteV2) { n.Headline = "new" })
		if r := agree(t, b, "a"); r.Value.Headline != "new" || !r.Copy.Refined {
			t.Errorf("%+v", r)
		}
		if tags := getV1(t, b, "a").Tags; tags[len(tags)-1].Name != "late" {
			t.Errorf("a child row is lost: %+v", tags)
		}
	})
}

// A copy whose row another program has deleted keeps the gate closed: in CUTOVER it would be the truth again. husks in cheapFacts.
func TestADeletedRowClosesTheGateToCutover(t *testing.T) {
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "a"), note("b", "b"))
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		clean(t, b, verify(t, b, false))
		repotest.Exec(t, repotest.Raw(t, b.URL), "DELETE FROM note_tags WHERE note_id = 'a'", "DELETE FROM notes WHERE id = 'a'")
		wantBlocker(t, closed(t, b, repo.Cutover, "STALE BYPASS_WRITES"), repo.Stale, 1, "a", "sweep")
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		clean(t, b, verify(t, b, false))
		step(t, b, repo.Cutover)
		wantErr(t, errOf(b.Notes.GetV2(t.Context(), "a")), repo.ErrNotFound)
	})
}

// The phases of two entities that depend on each other change one after the other: the first lock of changePhase. Otherwise
// each could pass a gate that the other is about to close.
func TestTwoPhasesThatChangeAtOnce(t *testing.T) {
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		commented(t, b, repo.Cutover)
		clean(t, b, verify(t, b, false))
		clean(t, b, restore(t, b, "COMMENT"))
		other := repotest.OpenNotes(t, url, repotest.Setup{})
		var others sync.WaitGroup
		var back error
		between(t, b, "(entity, from_phase, ", func() {
			beside(t, url, &others, func() {
				_, back = other.Control.SetPhase(t.Context(), repo.PhaseRequest{Entity: "COMMENT", To: repo.Cutover, Actor: "test"})
			})
		})
		step(t, b, repo.Contract)
		others.Wait()
		if comments, err := b.Control.Migration(t.Context(), "COMMENT"); err != nil || comments.Phase != repo.Contract {
			t.Errorf("notes are in CONTRACT, and who refers to them in %s: %v", comments.Phase, err)
		}
		if _, ok := errors.AsType[*repo.GateClosedError](back); !ok {
			t.Errorf("comments leave CONTRACT: %v", back)
		}
	})
}

// A restore starts once the writes in flight have ended: they are none that write both shapes. fenced in start.
func TestACreateInFlightWhereARestoreStarts(t *testing.T) {
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		insert(t, b, note("a", "a"), note("z", "z"))
		advance(t, b, repo.Contract)
		other := repotest.OpenNotes(t, url, repotest.Setup{})
		var others sync.WaitGroup
		var run repo.Run
		between(t, b, `INTO "public"."notes_v2" `, func() {
			beside(t, url, &others, func() { run = restore(t, other, "NOTE") })
		})
		if _, err := b.Notes.CreateV1(t.Context(), note("m", "m")); err != nil {
			t.Fatal(err)
		}
		others.Wait()
		clean(t, b, run)
		step(t, b, repo.Cutover)
		clean(t, b, verify(t, b, false))
	})
}

// deadInV1 begins a restore that has to remove a row of V1's, and calls f.
func deadInV1(t *testing.T, f func(t *testing.T, b *repotest.Bench)) {
	t.Helper()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		insert(t, b, note("a", "a"))
		advance(t, b, repo.Contract)
		deleteNote(t, b, "a")
		f(t, b)
		step(t, b, repo.Cutover)
		agree(t, b, "a")
		clean(t, b, verify(t, b, false))
	})
}

// A restore locks V1's rows before it reads them: lockForRestore. It would remove the row of who creates it meanwhile.
func TestARestoreAgainstACreate(t *testing.T) {
	deadInV1(t, func(t *testing.T, b *repotest.Bench) {
		var others sync.WaitGroup
		between(t, b, `DELETE FROM "public"."notes" `, func() {
			beside(t, b.URL, &others, func() {
				if _, err := b.Notes.CreateV1(t.Context(), note("a", "again")); err != nil {
					t.Error(err)
				}
			})
		})
		clean(t, b, restore(t, b, "NOTE"))
		others.Wait()
	})
}

// A create locks what is left of V1's row before it reads it: insertLed. A restore would remove the row that it is to become.
func TestACreateAgainstARestore(t *testing.T) {
	deadInV1(t, func(t *testing.T, b *repotest.Bench) {
		run, err := b.Control.StartRestore(t.Context(), repo.RunRequest{Entity: "NOTE", Actor: "test"})
		if err != nil {
			t.Fatal(err)
		}
		var others sync.WaitGroup
		between(t, b, `UPDATE "public"."notes" `, func() {
			beside(t, b.URL, &others, func() {
				stop := work(t, b)
				run = ended(t, b, run)
				stop()
			})
		})
		if _, err := b.Notes.CreateV1(t.Context(), note("a", "again")); err != nil {
			t.Error(err)
		}
		others.Wait()
		clean(t, b, run)
	})
}
