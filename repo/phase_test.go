package repo_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

func TestSetPhase(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Expand, func(t *testing.T, b *repotest.Bench) {
		raw := repotest.Raw(t, b.URL)
		epoch := func() int64 {
			return repotest.One[int64](t, raw, "SELECT epoch FROM coexist_entity WHERE name = 'NOTE'")
		}
		first := epoch()
		before, err := b.Control.Migration(t.Context(), "NOTE")
		if err != nil || before.Phase != repo.Expand || before.MappingVersion != 1 || before.Incomplete {
			t.Fatalf("%+v, %v", before, err)
		}
		set := func(to repo.Phase, reason *string) (repo.Migration, error) {
			return b.Control.SetPhase(t.Context(), repo.PhaseRequest{
				Entity: "NOTE", To: to, Actor: "ann",
				Reason: reason, Force: to == repo.Migrate,
			})
		}
		for _, to := range []repo.Phase{repo.Cutover, repo.Contract, "", "NONE", "migrate"} {
			_, err := set(to, nil)
			wantField[*repo.InputError](t, err, "to")
		}
		_, err = set(repo.Migrate, new(strings.Repeat("ä", 1001)))
		wantField[*repo.InputError](t, err, "reason")
		_, err = b.Control.SetPhase(t.Context(), repo.PhaseRequest{Entity: "NONE", To: repo.Migrate})
		wantErr(t, err, repo.ErrNotFound)
		if m, err := set(repo.Expand, nil); err != nil || m != before || epoch() != first {
			t.Errorf("the phase that is in force is no change: %+v, %v", m, err)
		}
		reason := strings.Repeat("ä", 1000)
		if m, err := set(repo.Migrate, &reason); err != nil || m.Phase != repo.Migrate ||
			m.PhaseChangedAt.Before(before.PhaseChangedAt) || epoch() != first+1 {
			t.Errorf("%+v, %v", m, err)
		}
		if _, err := set(repo.Expand, nil); err != nil || epoch() != first+2 {
			t.Error(err)
		}
		history, err := b.Control.History(t.Context(), "NOTE", 10)
		if err != nil || len(history) != 2 {
			t.Fatalf("%+v, %v", history, err)
		}
		last, forth := history[0], history[1]
		if last.From != repo.Migrate || last.To != repo.Expand || last.Forced || last.Reason != nil ||
			last.At.IsZero() || last.At.Before(forth.At) {
			t.Errorf("the way back is kept as %+v", last)
		}
		if forth.From != repo.Expand || forth.To != repo.Migrate || !forth.Forced || forth.Actor != "ann" ||
			*forth.Reason != reason {
			t.Errorf("the way forth is kept as %+v", forth)
		}
		if one, err := b.Control.History(t.Context(), "NOTE", 1); err != nil || len(one) != 1 ||
			one[0].To != repo.Expand {
			t.Errorf("%+v, %v", one, err)
		}
		_, err = b.Control.History(t.Context(), "NOTE", 101)
		wantField[*repo.InputError](t, err, "first")
		if all, err := b.Control.Migrations(t.Context()); err != nil || len(all) != 2 || all[0].Entity != "NOTE" ||
			all[1].Phase != repo.Expand {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

// The shared lock of begin is the fence: without it the phase changes while the writer is at work, and its copy is
// stored in EXPAND.
func TestSetPhaseWaitsForAWriter(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		operator := repotest.OpenNotes(t, b.URL, repotest.Setup{})
		insert(t, b, note("a", "work: begin"))
		writing, goOn := make(chan struct{}), make(chan struct{})
		release := sync.OnceFunc(func() { close(goOn) })
		defer release()
		wrote := make(chan error, 1)
		once := sync.OnceFunc(func() { close(writing) })
		go func() {
			_, err := b.Notes.UpdateV2(t.Context(), "a", nil, func(n *repotest.NoteV2) error {
				once()
				<-goOn
				pin(n)
				return nil
			})
			wrote <- err
		}()
		<-writing
		operator.Forget()
		set := make(chan error, 1)
		go func() {
			_, err := operator.Control.SetPhase(t.Context(), repo.PhaseRequest{
				Entity: "NOTE",
				To:     repo.Expand, Actor: "test",
			})
			set <- err
		}()
		repotest.Until(t, "the operator has met the writer", func() bool {
			sent := operator.Sent()
			if strings.HasPrefix(b.URL, "postgres") { // a first try has timed out, or there was nothing to wait for
				return slices.Contains(sent, "ROLLBACK") || slices.Contains(sent, "COMMIT")
			}
			return slices.Contains(sent, "BEGIN IMMEDIATE")
		})
		if slices.Contains(operator.Sent(), "COMMIT") {
			t.Error("the phase has changed while a writer was at work")
		}
		release()
		if err := <-wrote; err != nil {
			t.Errorf("the writer fails: %v", err)
		}
		if err := <-set; err != nil {
			t.Errorf("the operator fails: %v", err)
		}
		r := agree(t, b, "a")
		wantPinned(t, r.Value)
		if m, err := b.Control.Migration(t.Context(), "NOTE"); err != nil || m.Phase != repo.Expand {
			t.Errorf("%+v, %v", m, err)
		}
		_, err := b.Notes.UpdateV2(t.Context(), "a", nil, func(*repotest.NoteV2) error { return nil })
		wantErr(t, err, repo.ErrV2NotOpen)
	})
}

// A writer that waits for a phase change works under the new phase: begin reads the phase in a statement after the
// lock.
func TestAWriterThatWaitsForAPhaseChange(t *testing.T) {
	t.Parallel()
	b := repotest.OpenNotes(t, repotest.Postgres(t), repotest.Setup{})
	insert(t, b, note("a", "work: begin"))
	raw := repotest.Raw(t, b.URL)
	change, err := raw.Begin()
	if err != nil {
		t.Fatal(err)
	}
	repotest.Exec(t, change, "SELECT pg_advisory_xact_lock(hashtextextended('coexist/NOTE', 0))",
		"UPDATE coexist_entity SET phase = 'MIGRATE', epoch = epoch + 1 WHERE name = 'NOTE'")
	wrote := make(chan error, 1)
	go func() {
		_, err := b.Notes.UpdateV1(t.Context(), "a",
			func(n *repotest.NoteV1) error { n.Title = "play: on"; return nil })
		wrote <- err
	}()
	repotest.Until(t, "the writer waits", func() bool { return waiting(t, raw) })
	if err := change.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	if n := marks(t, b, "a", "CHANGE"); n != 0 || copies(t, b) != 1 {
		t.Errorf("%d marks, %d copies: the write was made as in EXPAND", n, copies(t, b))
	}
}

func TestPhasesUnderLoad(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Expand, func(t *testing.T, b *repotest.Bench) {
		other := repotest.OpenNotes(t, b.URL, repotest.Setup{})
		insert(t, b, note("a", ""))
		const rounds = 15
		var clients sync.WaitGroup
		clients.Go(func() {
			for range rounds {
				if _, err := b.Notes.UpdateV1(t.Context(), "a",
					func(n *repotest.NoteV1) error { n.Title += "x"; return nil }); err != nil {
					t.Error(err)
				}
			}
		})
		refused := 0
		clients.Go(func() {
			for range rounds {
				_, err := other.Notes.UpdateV2(t.Context(), "a", nil,
					func(n *repotest.NoteV2) error { n.Headline += "x"; return nil })
				switch {
				case errors.Is(err, repo.ErrV2NotOpen):
					refused++
				case err != nil:
					t.Error(err)
				}
			}
		})
		clients.Go(func() {
			last := 0
			for range rounds {
				r, err := other.Notes.GetV2(t.Context(), "a")
				if err != nil || len(r.Value.Headline) < last {
					t.Errorf("after %d x: %+v, %v", last, r, err)
				}
				last = len(r.Value.Headline)
			}
		})
		for i := range 6 {
			to := []repo.Phase{repo.Migrate, repo.Expand}[i%2]
			if _, err := b.Control.SetPhase(t.Context(), repo.PhaseRequest{
				Entity: "NOTE", To: to, Actor: "test",
				Force: true, Reason: new("a test"),
			}); err != nil {
				t.Error(err)
			}
		}
		clients.Wait()
		r := agree(t, b, "a")
		if want := 2*rounds - refused; len(r.Value.Headline) != want || r.Version != int64(want)+1 {
			t.Errorf("%d updates were made, the note has %d and version %d", want, len(r.Value.Headline), r.Version)
		}
	})
}

// In a phase of a newer version of the engine nothing is done, rather than the wrong thing.
func TestUnknownPhase(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "a"))
		getV2(t, b, "a")
		repotest.Exec(t, repotest.Raw(t, b.URL),
			"UPDATE coexist_entity SET phase = 'FUTURE', epoch = epoch + 1 WHERE name = 'NOTE'")
		ctx := t.Context()
		_, getV1 := b.Notes.GetV1(ctx, "a")
		_, getV2 := b.Notes.GetV2(ctx, "a")
		_, list := b.Notes.ListV1(ctx, repo.Query{})
		_, update := b.Notes.UpdateV1(ctx, "a", func(n *repotest.NoteV1) error { n.Title = "b"; return nil })
		_, create := b.Notes.CreateV1(ctx, note("b", "b"))
		remove := b.Notes.Delete(ctx, "a", nil)
		for i, err := range []error{getV1, getV2, list, update, create, remove} {
			if unknown, ok := errors.AsType[*repo.PhaseUnknownError](err); !ok || unknown.Phase != "FUTURE" ||
				!errors.Is(err, repo.ErrUnavailable) {
				t.Errorf("operation %d: %v", i, err)
			}
		}
		raw := repotest.Raw(t, b.URL)
		if got := repotest.One[string](t, raw, "SELECT title FROM notes WHERE id = 'a'"); got != "a" ||
			repotest.One[int64](t, raw, "SELECT count(*) FROM notes") != 1 {
			t.Errorf("V1 is written: %s", got)
		}
	})
}

func TestWatchMigration(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Expand, func(t *testing.T, b *repotest.Bench) {
		states, err := b.Control.WatchMigration(t.Context(), "NOTE")
		if err != nil {
			t.Fatal(err)
		}
		if first := <-states; first.Phase != repo.Expand {
			t.Errorf("%+v", first)
		}
		b.SetPhase(repo.Migrate)
		select {
		case next := <-states:
			if next.Phase != repo.Migrate {
				t.Errorf("%+v", next)
			}
		case <-time.After(time.Minute):
			t.Error("the watcher learns nothing")
		}
		_, err = b.Control.WatchMigration(t.Context(), "NONE")
		wantErr(t, err, repo.ErrNotFound)
	})
}

func TestQuarantinePages(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		notes := rows(7)
		for i := range notes {
			notes[i].Priority = repotest.BadPriority
		}
		insert(t, b, notes...)
		for range 2 {
			sweep(t, b, repo.SweepRequest{})
		}
		var keys []string
		after := ""
		for {
			page, err := b.Control.Quarantine(t.Context(), "NOTE", 3, after)
			if err != nil || page.Total != 7 {
				t.Fatalf("%+v, %v", page, err)
			}
			for _, e := range page.Entries {
				keys = append(keys, e.Key)
				if e.Attempts != 2 || e.FirstSeenAt.IsZero() || e.LastSeenAt.Before(e.FirstSeenAt) ||
					e.MappingVersion != 1 || !strings.Contains(e.Message, "66") {
					t.Errorf("the entry is %+v", e)
				}
			}
			if !page.HasNext {
				break
			}
			after = page.Entries[len(page.Entries)-1].Cursor
		}
		if want := "[k000 k001 k002 k003 k004 k005 k006]"; fmt.Sprint(keys) != want {
			t.Errorf("the pages hold %v, want %s", keys, want)
		}
		// A row that another program has deleted is no obligation any more.
		repotest.Exec(t, repotest.Raw(t, b.URL), "DELETE FROM note_tags WHERE note_id = 'k003'",
			"DELETE FROM notes WHERE id = 'k003'")
		if page, err := b.Control.Quarantine(t.Context(), "NOTE", 100, ""); err != nil || page.Total != 6 ||
			len(page.Entries) != 6 {
			t.Errorf("%+v, %v", page, err)
		}
		_, err := b.Control.Quarantine(t.Context(), "NOTE", -1, "")
		wantField[*repo.InputError](t, err, "first")
		_, err = b.Control.Quarantine(t.Context(), "NONE", 1, "")
		wantErr(t, err, repo.ErrNotFound)
	})
}

// A row that was converted has left quarantine for good: release in finishStore. What another program changes about it
// is not said to fail as it did.
func TestARowThatWasConvertedHasLeftQuarantine(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		raw := repotest.Raw(t, b.URL)
		insert(t, b, note("a", "a"))
		for _, priority := range []string{"66", "1", "2"} {
			repotest.Exec(t, raw, "UPDATE notes SET priority = "+priority+" WHERE id = 'a'")
			if priority == "2" {
				break
			}
			sweep(t, b, repo.SweepRequest{})
			if entries := quarantined(t, b); len(entries) == 1 != (priority == "66") {
				t.Errorf("with priority %s quarantine holds %+v", priority, entries)
			}
		}
		if entries := quarantined(t, b); len(entries) > 0 {
			t.Errorf("a row that nobody has tried is in quarantine: %+v", entries)
		}
		closed(t, b, repo.Cutover, "STALE NOT_VERIFIED")
	})
}
