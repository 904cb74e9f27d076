package repo_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// A statement that shifts keys leaves two marks of one key under one id, of which a sweep folds both. m.kind in
// markRecords.
func TestAKeyThatMovedAndWasDeletedKeepsItsTombstone(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		raw := repotest.Raw(t, url)
		raw.SetMaxOpenConns(1)
		const pairs = 12
		before := map[string]int64{}
		var notes []repotest.NoteV1
		for _, p := range []string{"b", "a"} { // b comes first in the heap
			notes = nil
			for i := range pairs {
				n := note(p+strconv.Itoa(i), p)
				n.Tags = nil
				notes = append(notes, n)
			}
			insert(t, b, notes...)
		}
		for i := range pairs {
			key := "b" + strconv.Itoa(i)
			for j := range 5 {
				before[key] = updateV2(t, b, key,
					func(n *repotest.NoteV2) { n.PinnedReason = new(strconv.Itoa(j)) }).Version
			}
		}
		repotest.Exec(t, raw, "SET enable_indexscan = off", "SET enable_bitmapscan = off",
			"SET enable_indexonlyscan = off")
		for i := range pairs {
			n := strconv.Itoa(i)
			repotest.Exec(t, raw, "UPDATE notes SET id = CASE id WHEN 'a"+n+"' THEN 'b"+n+"' ELSE 'c"+n+
				"' END WHERE id IN ('a"+n+"', 'b"+n+"')",
				"DELETE FROM notes WHERE id = 'b"+n+"'")
		}
		if run := sweep(t, b, repo.SweepRequest{}); run.Status != repo.Succeeded {
			t.Errorf("%+v", run)
		}
		for i := range pairs {
			key := "b" + strconv.Itoa(i)
			gone := repotest.One[int64](t, raw,
				"SELECT count(*) FROM coexist_note_mark WHERE key = $1 AND kind = 'GONE'", key)
			repotest.Exec(t, raw, "INSERT INTO notes (id, title, priority) VALUES ('"+key+"', 'again', 1)")
			if v := getV2(t, b, key).Version; v <= before[key] || gone == 0 {
				t.Errorf(
					"%s had version %d, was deleted (%d tombstones are left of it), created again and has version %d",
					key, before[key], gone, v)
			}
		}
	})
}

// A create has read the marks of a key that a sweep folds before it deletes them: it begins again, with the tombstone.
// The guard is in finishStore.
func TestACreateThatHasReadWhatASweepFolds(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		sweeper := repotest.OpenNotes(t, url, repotest.Setup{})
		raw := repotest.Raw(t, url)
		insert(t, b, repotest.NoteV1{ID: "a", Title: "a", Priority: 1})
		repotest.Exec(t, raw, "UPDATE notes SET title = 'b'", "DELETE FROM notes")
		between(t, b, `DELETE FROM "public"."coexist_note_mark"`,
			func() { clean(t, sweeper, sweep(t, sweeper, repo.SweepRequest{})) })
		if _, err := b.Notes.CreateV2(t.Context(), repotest.NoteV2{
			ID: "a", Headline: "new",
			PinnedReason: new("keep"),
		}); err != nil {
			t.Fatal(err)
		}
		if r := agree(t, b, "a"); r.Value.PinnedReason == nil || *r.Value.PinnedReason != "keep" {
			t.Errorf("what only V2 knows is lost: %+v", r.Value)
		}
	})
}

// A reader from before a gap in the capture stores no more after it. The guard is AllMarks in storeLazily.
func TestAnOrphanThatIsStoredBetweenTheCountAndTheLocks(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		reader := repotest.OpenNotes(t, url, repotest.Setup{})
		raw := repotest.Raw(t, url)
		insert(t, b, note("a", "a"), note("b", "b"))
		var others sync.WaitGroup
		pause := reader.PauseConversion("a")
		others.Go(func() { getV2(t, reader, "a") })
		pause.Wait()
		setCapture(t, b, false)
		repotest.Exec(t, raw, "DELETE FROM note_tags WHERE note_id = 'a'", "DELETE FROM notes WHERE id = 'a'")
		setCapture(t, b, true)
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		clean(t, b, verify(t, b, false))
		locks := "coexist/phases"
		if strings.HasPrefix(url, "sqlite:") {
			locks = "BEGIN IMMEDIATE"
		}
		between(t, b, locks, func() {
			pause.Release()
			others.Wait()
			t.Logf("copies: %d", copies(t, b))
		})
		err := setPhase(t, b, repo.Cutover)
		if err != nil {
			t.Logf("gate: %v", err)
			return
		}
		if r, err := b.Notes.GetV2(t.Context(), "a"); err == nil {
			t.Errorf("note a was deleted, and CUTOVER, whose gate was open, brings it back: %+v", r.Value)
		}
	})
}

// A row that a new mapping cannot convert is marked if it is still what was read. The guard is seq in sweeping.apply.
func TestARemigrationOfARowThatHasChangedSince(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		insert(t, b, note("a", "a"))
		getV2(t, b, "a")
		b.Close()
		// The new mapping refuses notes of that title.
		bad := func(n *repotest.NoteV1) {
			if n.Title == "a" {
				n.Title = "another"
			}
		}
		b = repotest.OpenNotes(t, url, repotest.Setup{Mapping: repotest.NoteMapping{Number: 2, Back: bad}})
		other := repotest.OpenNotes(t, url, repotest.Setup{Mapping: repotest.NoteMapping{Number: 2, Back: bad}})
		run, err := b.Control.StartSweep(t.Context(), repo.SweepRequest{
			Entity: "NOTE", Actor: "test",
			OlderThanMappingVersion: 2,
		})
		if err != nil {
			t.Fatal(err)
		}
		pause := b.PauseConversion("a")
		stop := work(t, b)
		pause.Wait()
		if _, err := other.Notes.UpdateV1(t.Context(), "a",
			func(n *repotest.NoteV1) error { n.Title = "good"; return nil }); err != nil {
			t.Fatal(err)
		}
		before, err := other.Notes.GetV2(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		pause.Release()
		run = ended(t, b, run)
		stop()
		after, err := other.Notes.GetV2(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v", run)
		if after.Version != before.Version {
			t.Errorf("nobody has changed the note, and its version goes from %d to %d", before.Version, after.Version)
		}
		if _, err := other.Notes.UpdateV2(t.Context(), "a", &before.Version,
			func(n *repotest.NoteV2) error { n.Headline = "mine"; return nil }); err != nil {
			t.Errorf("who was the last to write is refused: %v", err)
		}
	})
}
