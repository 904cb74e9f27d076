package repo_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

func TestMappingVersions(t *testing.T) {
	t.Parallel()
	for _, remigrates := range []bool{false, true} {
		t.Run(fmt.Sprint("remigrates ", remigrates), func(t *testing.T) {
			repotest.Each(t, func(t *testing.T, url string) {
				old := repotest.OpenNotes(t, url, repotest.Setup{
					Phase:   repo.Migrate,
					Mapping: repotest.NoteMapping{Unsplit: true},
				})
				insert(t, old, note("a", "work: begin"), note("r", "work: begin"), note("x", "work: begin"))
				if r := agree(t, old, "a"); r.Value.Topic != nil || r.Copy.MappingVersion != 1 {
					t.Errorf("the bug is not there: %+v", r)
				}
				updateV2(t, old, "r", pin)
				b := repotest.OpenNotes(t, url, repotest.Setup{
					Mapping:    repotest.NoteMapping{Number: 2},
					Remigrates: remigrates,
				})
				if m, err := b.Control.Migration(t.Context(), "NOTE"); err != nil || m.MappingVersion != 2 {
					t.Errorf("%+v, %v", m, err)
				}
				run := sweep(t, b, repo.SweepRequest{OlderThanMappingVersion: 2})
				if run.Status != repo.Succeeded || run.Done != 3 {
					t.Errorf("the run is %+v", run)
				}
				if r := agree(t, b, "a"); r.Value.Topic == nil || r.Copy.MappingVersion != 2 ||
					r.Version != 2 || r.Copy.Refined {
					t.Errorf("a copy that is not refined becomes %+v", r)
				}
				r := agree(t, b, "r")
				wantPinned(t, r.Value)
				if (r.Value.Topic != nil) != remigrates || (r.Copy.MappingVersion == 2) != remigrates ||
					!r.Copy.Refined {
					t.Errorf("a refined copy becomes %+v", r)
				}
			})
		})
	}
}

// An instance that was left behind serves, but does not store.
func TestInstanceWithAnOlderMapping(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		old := repotest.OpenNotes(t, url, repotest.Setup{
			Phase:   repo.Migrate,
			Mapping: repotest.NoteMapping{Unsplit: true},
		})
		b := repotest.OpenNotes(t, url, repotest.Setup{Mapping: repotest.NoteMapping{Number: 2}})
		insert(t, b, note("a", "work: begin"), note("b", "work: begin"))
		if r := getV2(t, old, "a"); r.Copy.Stored {
			t.Errorf("the old instance stores %+v", r)
		}
		if _, err := old.Notes.ListV2(t.Context(), repo.Query{}); err != nil {
			t.Error(err)
		}
		if n := copies(t, b); n != 0 {
			t.Errorf("the old instance has stored %d copies", n)
		}
		_, err := old.Notes.UpdateV2(t.Context(), "a", nil, func(*repotest.NoteV2) error { return nil })
		wantErr(t, err, repo.ErrUnavailable)
		_, err = old.Notes.CreateV2(t.Context(), repotest.NoteV2{ID: "c"})
		wantErr(t, err, repo.ErrUnavailable)
		updateV2(t, b, "b", pin)
		updateV1(t, old, "b", func(n *repotest.NoteV1) { n.Title = "play: on" })
		r := agree(t, b, "b")
		wantPinned(t, r.Value)
		if *r.Value.Topic != "play" || r.Version != 3 || r.Copy.MappingVersion != 2 {
			t.Errorf("after a V1 write of the old instance: %+v", r)
		}
	})
}

// D10. An instance whose mapping is older than the one in use cannot convert back what that has made. In CUTOVER it
// answers V1 with V1's own rows, in CONTRACT, where these are history, not at all; and it says that it is behind. The
// guards are wantBoth in readLeading, and resultV1.
func TestV1FromAnInstanceWithAnOlderMapping(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "work: begin"), note("b", "b"))
		newer := repotest.OpenNotes(t, b.URL, repotest.Setup{Mapping: repotest.NoteMapping{Number: 2}})
		advance(t, newer, repo.Cutover)
		updateV2(t, newer, "a", func(n *repotest.NoteV2) { n.Headline = "end" })
		old := repotest.OpenNotes(t, b.URL,
			repotest.Setup{Mapping: repotest.NoteMapping{Back: func(n *repotest.NoteV1) { n.Title = "wrong" }}})
		for range 2 { // it does not know the phase at first
			if v1 := getV1(t, old, "a"); v1.Title != "work: end" || len(v1.Tags) != 2 {
				t.Errorf("%+v", v1)
			}
		}
		page, err := old.Notes.ListV1(t.Context(), repo.Query{Sort: "BODY"})
		if err != nil || len(page.Items) != 2 || page.Items[0].Value.Title != "work: end" ||
			page.Items[1].Value.Title != "b" {
			t.Errorf("%+v, %v", page, err)
		}
		wantErr(t, errOf(old.Notes.GetV1(t.Context(), "none")), repo.ErrNotFound)
		if r := getV2(t, old, "a"); r.Value.Headline != "end" {
			t.Errorf("%+v", r)
		}
		for bench, want := range map[*repotest.Bench]int{old: 1, newer: 0} {
			if behind, err := bench.Control.Behind(t.Context()); err != nil || len(behind) != want {
				t.Errorf("%v, %v", behind, err)
			}
		}
		advance(t, newer, repo.Contract)
		wantErr(t, errOf(old.Notes.GetV1(t.Context(), "a")), repo.ErrUnavailable)
		if page, err := old.Notes.ListV1(t.Context(), repo.Query{}); err != nil || !errors.Is(page.Items[0].Err,
			repo.ErrUnavailable) {
			t.Errorf("%+v, %v", page, err)
		}
		if r := getV2(t, old, "a"); r.Value.Headline != "end" {
			t.Errorf("%+v", r)
		}
	})
}

// Rows that come behind a sweep's position are done too once they are stored: nothing is ever more than the whole.
func TestRowsThatComeBehindASweep(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, rows(3)...)
		pause := b.PauseConversion("k001")
		run, stop := start(t, b, repo.SweepRequest{})
		defer stop()
		pause.Wait()
		repotest.Exec(t, repotest.Raw(t, b.URL),
			"INSERT INTO notes (id, title, priority) VALUES ('a', 'a', 1), ('b', 'b', 1)")
		pause.Release()
		if run = ended(t, b, run); run.Status != repo.Succeeded || run.Migrated != 5 ||
			run.Done != 5 || run.Total != 5 {
			t.Errorf("the sweep is %+v", run)
		}
	})
}
