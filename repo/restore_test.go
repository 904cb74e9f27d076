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

// inContract runs f on both databases with notes in CONTRACT.
func inContract(t *testing.T, notes []repotest.NoteV1, f func(t *testing.T, b *repotest.Bench)) {
	t.Helper()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, notes...)
		advance(t, b, repo.Contract)
		f(t, b)
	})
}

// isRestoring checks whether writes in CONTRACT go to both shapes.
func isRestoring(t *testing.T, b *repotest.Bench, want bool) {
	t.Helper()
	raw := repotest.Raw(t, b.URL)
	before := v1Tables(t, raw)
	created := note(fmt.Sprintf("r%d", repotest.One[int64](t, raw, "SELECT count(*) FROM coexist_note_mark")+
		repotest.One[int64](t, raw, "SELECT count(*) FROM notes_v2")), "x")
	if _, err := b.Notes.CreateV1(t.Context(), created); err != nil {
		t.Fatal(err)
	}
	if dual := v1Tables(t, raw) != before; dual != want {
		t.Errorf("a write in CONTRACT goes to V1: %v, want %v", dual, want)
	}
	deleteNote(t, b, created.ID)
}

func TestRestoreRebuildsV1(t *testing.T) {
	inContract(t, rows(120), func(t *testing.T, b *repotest.Bench) {
		raw := repotest.Raw(t, b.URL)
		updateV1(t, b, "k000", func(n *repotest.NoteV1) { n.Title, n.Tags = "play: on", nil })
		updateV2(t, b, "k001", func(n *repotest.NoteV2) { pin(n); n.Text = nil })
		deleteNote(t, b, "k002")
		deleteNote(t, b, "k003")
		for _, key := range []string{"k003", "z"} {
			if _, err := b.Notes.CreateV1(t.Context(), note(key, "again")); err != nil {
				t.Fatal(err)
			}
		}
		isRestoring(t, b, false)
		run := restore(t, b, "NOTE")
		clean(t, b, run)
		if run.Migrated != 5 || run.Done != 121 {
			t.Errorf("the restore is %+v", run)
		}
		isRestoring(t, b, true)
		updateV2(t, b, "k004", func(n *repotest.NoteV2) { n.Headline = "dual" })
		deleteNote(t, b, "k005")
		step(t, b, repo.Cutover)
		clean(t, b, verify(t, b, false))
		for _, key := range []string{"k000", "k001", "k003", "k004", "k006", "z"} {
			agree(t, b, key)
		}
		step(t, b, repo.Migrate)
		clean(t, b, verify(t, b, false))
		wantPinned(t, agree(t, b, "k001").Value)
		step(t, b, repo.Expand)
		if v1 := getV1(t, b, "k000"); v1.Title != "play: on" || len(v1.Tags) != 0 {
			t.Errorf("%+v", v1)
		}
		for _, key := range []string{"k002", "k005"} {
			wantErr(t, errOf(b.Notes.GetV1(t.Context(), key)), repo.ErrNotFound)
		}
		if n := repotest.One[int64](t, raw, "SELECT count(*) FROM notes"); n != 119 {
			t.Errorf("V1 has %d notes", n)
		}
	})
}

// What V1 cannot take, and what nobody knows, are findings, keep the gate closed, and are told by name.
func TestRestoreFindings(t *testing.T) {
	inContract(t, []repotest.NoteV1{note("a", "a"), note("b", "b"), note("c", "c")},
		func(t *testing.T, b *repotest.Bench) {
			raw := repotest.Raw(t, b.URL)
			updateV2(t, b, "a", func(n *repotest.NoteV2) { n.Headline = strings.Repeat("x", 60) })
			updateV2(t, b, "b", func(n *repotest.NoteV2) { n.Headline = "goes" })
			setCaptureQuietly(t, b, false)
			repotest.Exec(t, raw, "INSERT INTO notes (id, title, priority) VALUES ('unknown', 'x', 1)")
			setCaptureQuietly(t, b, true)
			wantFound(t, b, restore(t, b, "NOTE"), 0, 2, "a DIFFERENT headline", "unknown MISSING")
			wantBlocker(t, closed(t, b, repo.Cutover, "V1_NOT_RESTORED"), repo.V1NotRestored, 2, "a", "findings")
			refusal, ok := errors.AsType[*repo.GateClosedError](force(t, b, "NOTE", repo.Cutover))
			if !ok {
				t.Errorf("force: %v", refusal)
			}
			if n := repotest.One[int64](t, raw,
				"SELECT count(*) FROM notes WHERE id = 'unknown' OR title = 'goes'"); n != 2 {
				t.Errorf("%d of 2 rows are in V1: nobody has proved that one was deleted, and one goes", n)
			}
			wantField[*repo.NotRepresentableError](t,
				errOf(b.Notes.UpdateV2(t.Context(), "c", nil,
					func(n *repotest.NoteV2) error { n.Headline = strings.Repeat("x", 60); return nil })), "headline")
			updateV2(t, b, "a", func(n *repotest.NoteV2) { n.Headline = "short" })
			wantFound(t, b, restore(t, b, "NOTE"), 0, 1, "unknown MISSING")
			wantBlocker(t, closed(t, b, repo.Cutover, "V1_NOT_RESTORED"), repo.V1NotRestored, 1, "unknown", "findings")
			setCaptureQuietly(t, b, false)
			repotest.Exec(t, raw, "DELETE FROM notes WHERE id = 'unknown'")
			setCaptureQuietly(t, b, true)
			clean(t, b, restore(t, b, "NOTE"))
			step(t, b, repo.Cutover)
			clean(t, b, verify(t, b, false))
		})
}

// Cancelling a restore is a fenced step that voids it: writes go to V2 alone again, so what was restored is worth
// nothing.
func TestACancelledRestoreIsVoid(t *testing.T) {
	inContract(t, rows(5), func(t *testing.T, b *repotest.Bench) {
		run, err := b.Control.StartRestore(t.Context(), repo.RunRequest{Entity: "NOTE", Actor: "test"})
		if err != nil {
			t.Fatal(err)
		}
		wantErr(t, errOf(b.Control.StartRestore(t.Context(), repo.RunRequest{Entity: "NOTE", Actor: "test"})),
			repo.ErrRunAlreadyActive)
		isRestoring(t, b, true)
		if run, err = b.Control.CancelRun(t.Context(), run.ID); err != nil || run.Status != repo.Cancelled ||
			run.FinishedAt == nil {
			t.Errorf("%+v, %v", run, err)
		}
		wantErr(t, errOf(b.Control.CancelRun(t.Context(), run.ID)), repo.ErrRunEnded)
		isRestoring(t, b, false)
		closed(t, b, repo.Cutover, "V1_NOT_RESTORED")
		// One that has ended well is void, too, once another was begun and cancelled.
		clean(t, b, restore(t, b, "NOTE"))
		if left := gate(t, b, repo.Cutover); left != nil {
			t.Errorf("%+v", left)
		}
		if run, err = b.Control.StartRestore(t.Context(), repo.RunRequest{Entity: "NOTE", Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		closed(t, b, repo.Cutover, "V1_NOT_RESTORED")
		if _, err = b.Control.CancelRun(t.Context(), run.ID); err != nil {
			t.Fatal(err)
		}
		updateV2(t, b, "k001", func(n *repotest.NoteV2) { n.Headline = "V2 alone" })
		closed(t, b, repo.Cutover, "V1_NOT_RESTORED")
		clean(t, b, restore(t, b, "NOTE"))
		step(t, b, repo.Cutover)
		clean(t, b, verify(t, b, false))
	})
}

// Writes go on while V1 is rebuilt, through both shapes and on two instances, and all of them arrive.
func TestRestoreWhileWritesGoOn(t *testing.T) {
	t.Parallel()
	inContract(t, rows(300), func(t *testing.T, b *repotest.Bench) {
		other := repotest.OpenNotes(t, b.URL, repotest.Setup{})
		for i := range 50 {
			updateV2(t, b, fmt.Sprintf("k%03d", i*6), func(n *repotest.NoteV2) { pin(n); n.Headline = "before" })
		}
		ctx, stop := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		for c, instance := range []*repotest.Bench{b, other} {
			clients.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					key := fmt.Sprintf("k%03d", (i*37+c*11)%300)
					if _, err := instance.Notes.UpdateV1(t.Context(), key,
						func(n *repotest.NoteV1) error { n.Priority = int16(i % 9); return nil }); err != nil &&
						!errors.Is(err, repo.ErrNotFound) {
						t.Error(err)
					}
					fresh := fmt.Sprintf("n%d", c)
					if err := errOf(instance.Notes.CreateV2(t.Context(), repotest.NoteV2{
						ID: fresh, Headline: "x",
						Labels: []repotest.Label{{Rank: 1, Name: "x"}},
					})); err != nil {
						t.Error(err)
					}
					if err := instance.Notes.Delete(t.Context(), []string{fresh, key}[i%5/4], nil); err != nil &&
						!errors.Is(err, repo.ErrNotFound) {
						t.Error(err)
					}
					if i%5 == 4 {
						if err := instance.Notes.Delete(t.Context(), fresh, nil); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		run := restore(t, b, "NOTE")
		stop()
		clients.Wait()
		clean(t, b, run)
		step(t, b, repo.Cutover)
		clean(t, b, verify(t, b, false))
	})
}

// The restore comes to a row late, and a write before that makes the V1 row that is missing.
func TestAWriteMakesTheV1RowThatARestoreHasNotMade(t *testing.T) {
	t.Parallel()
	inContract(t, rows(5), func(t *testing.T, b *repotest.Bench) {
		for _, key := range []string{"made by V1", "made by V2"} {
			if err := errOf(b.Notes.CreateV2(t.Context(), repotest.NoteV2{ID: key, Headline: "x"})); err != nil {
				t.Fatal(err)
			}
		}
		run, err := b.Control.StartRestore(t.Context(), repo.RunRequest{Entity: "NOTE", Actor: "test"}) // nobody works on it yet
		if err != nil {
			t.Fatal(err)
		}
		updateV1(t, b, "made by V1", func(n *repotest.NoteV1) { n.Priority = 4 })
		updateV2(t, b, "made by V2", func(n *repotest.NoteV2) { n.Headline = "y" })
		if n := repotest.One[int64](t, repotest.Raw(t, b.URL),
			"SELECT count(*) FROM notes WHERE id = 'made by V1' AND priority = 4 OR id = 'made by V2' AND title = 'y'"); n != 2 {
			t.Errorf("V1 has %d of 2 rows", n)
		}
		stop := work(t, b)
		run = ended(t, b, run)
		stop()
		clean(t, b, run)
		step(t, b, repo.Cutover)
		clean(t, b, verify(t, b, false))
	})
}

func TestARestoreGoesOnAfterItsProcessDied(t *testing.T) {
	t.Parallel()
	inContract(t, rows(150), func(t *testing.T, b *repotest.Bench) {
		updateV2(t, b, "k010", pin)
		updateV2(t, b, "k140", func(n *repotest.NoteV2) { n.Headline = "on" })
		inFlight := b.PauseConversion("k140")
		run, err := b.Control.StartRestore(t.Context(), repo.RunRequest{Entity: "NOTE", Actor: "test"})
		if err != nil {
			t.Fatal(err)
		}
		stop := work(t, b)
		inFlight.Wait()
		closed := make(chan struct{})
		// it cannot be closed while a transaction is at work, but works no more
		go func() { b.Close(); close(closed) }()
		inFlight.Release()
		<-closed
		stop()
		// time passes
		repotest.Exec(t, repotest.Raw(t, b.URL), "UPDATE coexist_chunk SET leased_until = '1970-01-01T00:00:00.000Z'")
		other := repotest.OpenNotes(t, b.URL, repotest.Setup{})
		stop = work(t, other)
		run = ended(t, other, run)
		stop()
		clean(t, other, run)
		if run.Done != 150 {
			t.Errorf("%+v", run)
		}
		step(t, other, repo.Cutover)
		clean(t, other, verify(t, other, false))
	})
}

// A row that V1's foreign keys refuse is a finding, and the rest is restored.
func TestRestoreOfAReferenceThatV1Lacks(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		ctx := t.Context()
		commented(t, b, repo.Contract)
		if _, err := b.Notes.CreateV1(ctx, note("new", "new")); err != nil {
			t.Fatal(err)
		}
		for id := range int32(5) {
			if err := errOf(b.Comments.CreateV2(ctx, repotest.CommentV2{
				ID:    10 + id,
				About: new([]string{"new", "a"}[id%2]), Text: "x",
			})); err != nil {
				t.Fatal(err)
			}
		}
		wantFound(t, b, restore(t, b, "COMMENT"), 0, 3, "10 DIFFERENT noteId", "12 DIFFERENT noteId",
			"14 DIFFERENT noteId")
		if n := repotest.One[int64](t, repotest.Raw(t, b.URL), "SELECT count(*) FROM comments"); n != 3 {
			t.Errorf("%d comments are in V1, want 3", n)
		}
		clean(t, b, restore(t, b, "NOTE"))
		clean(t, b, restore(t, b, "COMMENT"))
		step(t, b, repo.Cutover)
		if err := force(t, b, "COMMENT", repo.Cutover); err != nil {
			t.Error(err)
		}
	})
}

// What only V2 can hold is not written to V1 by a client that leaves it alone, also where SQLite would take it.
// holdable in updateV1.
func TestWritesOfWhatV1CannotHoldDuringARestore(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Contract, func(t *testing.T, b *repotest.Bench) {
		long := strings.Repeat("x", 60)
		for key, v2 := range map[string]repotest.NoteV2{"title": {Headline: long}, "tags[0].name": {
			Headline: "x",
			Labels:   []repotest.Label{{Rank: 1, Name: long}},
		}} {
			v2.ID = key
			if _, err := b.Notes.CreateV2(t.Context(), v2); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Control.StartRestore(t.Context(), repo.RunRequest{Entity: "NOTE", Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		for key, fieldOfV2 := range map[string]string{"title": "headline", "tags[0].name": "labels[0].name"} {
			_, err := b.Notes.UpdateV1(t.Context(), key, func(n *repotest.NoteV1) error { n.Priority++; return nil })
			wantField[*repo.InputError](t, err, key)
			_, err = b.Notes.UpdateV2(t.Context(), key, nil,
				func(n *repotest.NoteV2) error { n.Priority++; return nil })
			wantField[*repo.NotRepresentableError](t, err, fieldOfV2)
			updateV1(t, b, key, func(n *repotest.NoteV1) { n.Title, n.Tags = "x", nil })
		}
	})
}

func TestWritesOfNumbersThatV1CannotHoldDuringARestore(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		prices, control := openPrices(t, url)
		for _, phase := range []repo.Phase{repo.Cutover, repo.Contract} {
			if _, err := control.SetPhase(t.Context(), repo.PhaseRequest{
				Entity: "PRICE", To: phase, Force: true,
				Reason: new("a test"), Actor: "test",
			}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := prices.CreateV2(t.Context(),
			priceV2{
				ID:    1,
				Whole: `{"id": 1, "narrow": null, "wide": null, "exact": null, "inCents": 12345678901234567.89, "anything": null}`,
			}); err != nil {
			t.Fatal(err)
		}
		if _, err := control.StartRestore(t.Context(), repo.RunRequest{Entity: "PRICE", Actor: "test"}); err != nil {
			t.Fatal(err)
		}
		_, err := prices.UpdateV1(t.Context(), "1", func(v1 *priceV1) error { v1.Anything = new("x"); return nil })
		wantField[*repo.InputError](t, err, "inCents")
		if _, err = prices.UpdateV1(t.Context(), "1",
			func(v1 *priceV1) error { v1.InCents = nil; return nil }); err != nil {
			t.Error(err)
		}
	})
}
