package repo_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// What others do between two statements of a phase change or a restore, or beside them. Each test fails without its
// guard.

// A copy whose row another program has deleted keeps the gate closed: in CUTOVER it would be the truth again.
// tombstoned in cheapFacts.
func TestADeletedRowClosesTheGateToCutover(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "a"), note("b", "b"))
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		clean(t, b, verify(t, b, false))
		repotest.Exec(t, repotest.Raw(t, b.URL), "DELETE FROM note_tags WHERE note_id = 'a'",
			"DELETE FROM notes WHERE id = 'a'")
		wantBlocker(t, closed(t, b, repo.Cutover, "STALE BYPASS_WRITES"), repo.Stale, 1, "a", "sweep")
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		clean(t, b, verify(t, b, false))
		step(t, b, repo.Cutover)
		wantErr(t, errOf(b.Notes.GetV2(t.Context(), "a")), repo.ErrNotFound)
	})
}

// A copy whose row was deleted while nobody looked keeps it closed too. The guard is underStale in cheapFacts.
func TestAnOrphanOfAGapClosesTheGateToCutover(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{true, false} { // again, or still off
		t.Run(fmt.Sprint("capture ", on), func(t *testing.T) {
			inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
				insert(t, b, note("a", "a"), note("b", "b"))
				clean(t, b, sweep(t, b, repo.SweepRequest{}))
				setCapture(t, b, false)
				repotest.Exec(t, repotest.Raw(t, b.URL), "DELETE FROM note_tags WHERE note_id = 'a'",
					"DELETE FROM notes WHERE id = 'a'")
				if on {
					setCapture(t, b, true)
					updateV2(t, b, "b", pin) // by use
				}
				wantBlocker(t, gate(t, b, repo.Cutover), repo.Stale, 1, "a", "sweep")
				if err := force(t, b, "NOTE", repo.Cutover); err != nil {
					t.Fatal(err)
				}
				wantErr(t, errOf(b.Notes.GetV1(t.Context(), "a")), repo.ErrNotFound)
				if !on {
					setCapture(t, b, true)
				}
				wantErr(t, errOf(b.Notes.GetV2(t.Context(), "a")), repo.ErrNotFound)
				clean(t, b, sweep(t, b, repo.SweepRequest{}))
				if err := force(t, b, "NOTE", repo.Cutover); err != nil {
					t.Fatal(err)
				}
				wantErr(t, errOf(b.Notes.GetV2(t.Context(), "a")), repo.ErrNotFound)
			})
		})
	}
}

// The phases of two entities that depend on each other change one after the other: the first lock of changePhase.
// Otherwise each could pass a gate that the other is about to close.
func TestTwoPhasesThatChangeAtOnce(t *testing.T) {
	t.Parallel()
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
				_, back = other.Control.SetPhase(t.Context(), repo.PhaseRequest{
					Entity: "COMMENT",
					To:     repo.Cutover, Actor: "test",
				})
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
	t.Parallel()
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

// A restore looks once more at the rows that it has brought up, and at no others: a key that was free when it read it
// may be somebody's by then.
func TestARestoreAgainstADeleteAndACreate(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		insert(t, b, note("a", "a"), note("k", "k"))
		advance(t, b, repo.Contract)
		updateV2(t, b, "a", func(n *repotest.NoteV2) { n.Headline = "changed" })
		other := repotest.OpenNotes(t, url, repotest.Setup{})
		between(t, b, `SELECT CAST(t."id" AS text) FROM "public"."notes_v2" t WHERE t."id" IN `,
			func() { deleteNote(t, other, "k") })
		between(t, b, `UPDATE "public"."notes" `, func() {
			if _, err := other.Notes.CreateV1(t.Context(), note("k", "again")); err != nil {
				t.Error(err)
			}
		})
		clean(t, b, restore(t, b, "NOTE"))
		step(t, b, repo.Cutover)
		agree(t, b, "k")
		clean(t, b, verify(t, b, false))
	})
}

// A create locks what is left of V1's row before it reads it: insertWhenV2Leads. A restore would remove the row that it
// is to become.
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
