package repo_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// What others do between two statements of an operation, where one guard keeps things right. Each test fails without
// its guard.

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
			return repotest.One[int64](t, raw,
				"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") > 0
		}
	})
}

// between calls do once, before the instance sends the next statement that contains the text. The test fails if it
// sends none.
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

// The copy that TRUNCATE has left may be another by the time at which a sweep removes it, and it has no mark that would
// tell. AND seq = ? in fold.
func TestASweepAgainstACreateAfterTruncate(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		insert(t, b, note("a", "a"))
		updateV2(t, b, "a", func(n *repotest.NoteV2) { n.Headline = "old" })
		repotest.Exec(t, repotest.Raw(t, url), "TRUNCATE notes CASCADE")
		between(t, b, `DELETE FROM "public"."notes_v2" WHERE "id" = `, func() {
			if _, err := b.Notes.CreateV2(t.Context(), repotest.NoteV2{
				ID: "a", Headline: "new",
				PinnedReason: new("keep"),
			}); err != nil {
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

// Who locks for a phase that is over locks the wrong rows, and begins again: locked. Here V2 leads no more, and V1's
// row counts up.
func TestAnInstanceThatLagsBehindLocksTheRightRow(t *testing.T) {
	t.Parallel()
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

// Another program adds a child row while a write of V2's is at work on the row. The copy is stored for V1 as it was
// written only: putV2 reads it again.
func TestAChildRowThatComesDuringAWrite(t *testing.T) {
	t.Parallel()
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

// A storer deletes the marks that it has read. What is left of a key's marks is not what a sweep has read: marks.lock.
// It would remove the tombstone over the copy that has come meanwhile, which would be the truth again in CUTOVER.
func TestASweepAgainstAStorerOfAnOlderState(t *testing.T) {
	t.Parallel()
	untilStored(t, func() bool { return sweepAgainstAStorer(t, repotest.Postgres(t), false) })
}

// The tombstone of a sweep is none of the marks that the storer has read and deletes: marks.add in fold.
func TestAStorerOfAnOlderStateThanASweeps(t *testing.T) {
	t.Parallel()
	for _, database := range []func(testing.TB) string{repotest.SQLite, repotest.Postgres} {
		untilStored(t, func() bool { return sweepAgainstAStorer(t, database(t), true) })
		untilStored(t, func() bool {
			return sweepAgainstAStorer(t, database(t), true, "DELETE FROM notes WHERE id = 'KEY'",
				"INSERT INTO notes (id, title, priority) VALUES ('KEY', 'old', 1)")
		})
	}
}

func untilStored(t *testing.T, try func() bool) {
	t.Helper()
	for range 10 { // a reader gives up its store where the machine is busy
		if try() {
			return
		}
	}
	t.Error("the reader has never stored")
}

// sweepAgainstAStorer returns whether the reader has stored, while the sweep was at work or afterwards.
func sweepAgainstAStorer(t *testing.T, url string, afterwards bool, before ...string) bool {
	t.Helper()
	b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
	reader := repotest.OpenNotes(t, url, repotest.Setup{})
	raw := repotest.Raw(t, url)
	notes := rows(20) // which of a key's marks becomes the tombstone is left to chance
	for i := range notes {
		notes[i].Tags = nil
	}
	insert(t, b, notes...)
	each := func(statement string) { // the marks of one statement have one id
		for i := range notes {
			repotest.Exec(t, raw, strings.ReplaceAll(statement, "KEY", notes[i].ID))
		}
	}
	for _, statement := range append(before, "UPDATE notes SET title = 'old' WHERE id = 'KEY'") {
		each(statement)
	}
	var others sync.WaitGroup
	pause := reader.PauseConversion("k000")
	others.Go(func() {
		if _, err := reader.Notes.ListV2(t.Context(), repo.Query{First: new(100)}); err != nil {
			t.Error(err)
		}
	})
	pause.Wait()
	each("DELETE FROM notes WHERE id = 'KEY'")
	stored := false
	store := func() {
		pause.Release()
		others.Wait()
		stored = copies(t, b) > 0
	}
	if !afterwards {
		between(t, b, `m.id = r."id"`, store)
	}
	if run := sweep(t, b, repo.SweepRequest{}); run.Status != repo.Succeeded {
		t.Errorf("%+v", run)
	}
	if afterwards {
		store()
		sweep(t, b, repo.SweepRequest{})
	}
	if n := copies(t, b); n > 0 {
		t.Errorf("%d copies are left of notes that were deleted, and nothing says so", n)
	}
	return stored
}

// Another program deletes and inserts a row in one transaction, and a write has waited for the row that is no more: it
// looks again before it says that there is none. lead.
func TestAWriteThatWaitedForARowThatWasReplaced(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		insert(t, b, note("a", "a"))
		program, err := repotest.Raw(t, url).Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer program.Rollback() //nolint:errcheck // it is over where it was committed
		repotest.Exec(t, program, "DELETE FROM note_tags", "DELETE FROM notes",
			"INSERT INTO notes (id, title, priority) VALUES ('a', 'again', 1)")
		var others sync.WaitGroup
		beside(t, url, &others, func() {
			updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Priority = 7 })
		})
		if err := program.Commit(); err != nil {
			t.Fatal(err)
		}
		others.Wait()
		if r := agree(t, b, "a"); r.Value.Headline != "again" || r.Value.Priority != 7 {
			t.Errorf("%+v", r.Value)
		}
	})
}

// A sweep removes the copy that TRUNCATE has left, and that a create has read and is about to write: an own write too
// begins again where the copy is not the one that it has read. put.
func TestACreateAgainstASweepAfterTruncate(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		other := repotest.OpenNotes(t, url, repotest.Setup{})
		insert(t, b, note("a", "a"))
		updateV2(t, b, "a", func(n *repotest.NoteV2) { n.Headline = "old" })
		repotest.Exec(t, repotest.Raw(t, url), "TRUNCATE notes CASCADE")
		var others sync.WaitGroup
		between(t, b, `UPDATE "public"."notes_v2" `, func() {
			beside(t, url, &others, func() {
				if run := sweep(t, other, repo.SweepRequest{}); run.Status != repo.Succeeded {
					t.Errorf("%+v", run)
				}
			})
		})
		if _, err := b.Notes.CreateV2(t.Context(), repotest.NoteV2{
			ID: "a", Headline: "new",
			PinnedReason: new("keep"),
		}); err != nil {
			t.Fatal(err)
		}
		others.Wait()
		if r := agree(t, b, "a"); r.Value.Headline != "new" || r.Value.PinnedReason == nil {
			t.Errorf("what only V2 knows is lost: %+v", r)
		}
	})
}

// Where V2 leads a create waits for a delete in flight, and its version passes that of what was deleted:
// insertWhenV2Leads reads the marks when the row is there.
func TestACreateThatWaitedForADelete(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		other := repotest.OpenNotes(t, url, repotest.Setup{})
		insert(t, b, note("a", "a"))
		advance(t, b, repo.Cutover)
		before := updateV2(t, b, "a", pin).Version
		var others sync.WaitGroup
		var created repo.Record[repotest.NoteV2]
		between(t, b, `INTO "public"."coexist_note_mark" `, func() {
			beside(t, url, &others, func() {
				var err error
				if created, err = other.Notes.CreateV2(t.Context(),
					repotest.NoteV2{ID: "a", Headline: "new"}); err != nil {
					t.Error(err)
				}
			})
		})
		deleteNote(t, b, "a")
		others.Wait()
		if r := agree(t, b, "a"); created.Version <= before || r.Version < created.Version ||
			r.Value.PinnedReason != nil {
			t.Errorf("a note of version %d was deleted, what was created has %d, and %+v is there", before,
				created.Version, r)
		}
	})
}

// Of two who expect the same version one gets it: it is compared under the locks, in updateV2.
func TestTwoWhoExpectTheSameVersion(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		other := repotest.OpenNotes(t, url, repotest.Setup{})
		insert(t, b, note("a", "a"))
		version := updateV2(t, b, "a", pin).Version
		change := func(n *repotest.NoteV2) error {
			n.Priority++
			return nil
		}
		var others sync.WaitGroup
		between(t, b, `UPDATE "public"."notes_v2" `, func() {
			beside(t, url, &others, func() {
				wantErr(t, errOf(other.Notes.UpdateV2(t.Context(), "a", &version, change)), repo.ErrStaleVersion)
			})
		})
		if _, err := b.Notes.UpdateV2(t.Context(), "a", &version, change); err != nil {
			t.Error(err)
		}
		others.Wait()
	})
}

// Of two writers of a row the second waits until the first has ended, before it reads: the first of locks.
func TestTwoWritersOfARow(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Expand})
		other := repotest.OpenNotes(t, url, repotest.Setup{})
		first := note("a", "a")
		first.Tags = nil // their locks would be a second guard
		insert(t, b, first)
		up := func(n *repotest.NoteV1) { n.Priority++ }
		var others sync.WaitGroup
		between(t, b, `UPDATE "public"."notes" `, func() {
			beside(t, url, &others, func() { updateV1(t, other, "a", up) })
		})
		updateV1(t, b, "a", up)
		others.Wait()
		if after := getV1(t, b, "a").Priority; after != first.Priority+2 {
			t.Errorf("two updates lead from %d to %d", first.Priority, after)
		}
	})
}

// A storer that another was faster than writes no child rows either: stored in finishStore.
func TestAStorerThatComesLateWritesNoChildRows(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		for _, key := range []string{"a", "b", "c", "d", "e"} { // a reader gives up its store where the machine is busy
			insert(t, b, note(key, "a"))
			pause := b.PauseConversion(key)
			var others sync.WaitGroup
			others.Go(func() { getV2(t, b, key) })
			pause.Wait()
			updateV1(t, b, key, func(n *repotest.NoteV1) { n.Tags = nil })
			pause.Release()
			others.Wait()
			if r := agree(t, b, key); len(r.Value.Labels) > 0 {
				t.Errorf("%+v", r.Value)
			}
		}
	})
}

// The tombstone that is left of a copy and its marks keeps their version: foldedFloor.
func TestASweepOfADeletedRowKeepsItsVersion(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		raw := repotest.Raw(t, b.URL)
		insert(t, b, note("a", "a"))
		before := int64(0)
		for range 5 {
			before = updateV2(t, b, "a", func(n *repotest.NoteV2) { n.Priority++ }).Version
		}
		repotest.Exec(t, raw, "DELETE FROM note_tags", "DELETE FROM notes")
		if run := sweep(t, b, repo.SweepRequest{}); run.Status != repo.Succeeded {
			t.Errorf("%+v", run)
		}
		repotest.Exec(t, raw, "INSERT INTO notes (id, title, priority) VALUES ('a', 'again', 1)")
		if r := agree(t, b, "a"); r.Version <= before {
			t.Errorf("the version falls from %d to %d", before, r.Version)
		}
	})
}
