package repo_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// An instance that lags behind, and guesses at a phase that is over, is right all the same: readLeading reads again,
// and begin gives up the locks of the wrong side.
func TestAnInstanceThatLagsBehind(t *testing.T) {
	t.Parallel()
	operations := map[string]func(t *testing.T, lagging *repotest.Bench, key string){
		"GetV1": func(t *testing.T, lagging *repotest.Bench, key string) { getV1(t, lagging, key) },
		"GetV2": func(t *testing.T, lagging *repotest.Bench, key string) { getV2(t, lagging, key) },
		"lists": func(t *testing.T, lagging *repotest.Bench, key string) {
			for shape, list := range shapes(t, lagging) {
				page, err := list(repo.Query{First: new(100), Sort: "PRIORITY"})
				if err != nil || !slices.Contains(page.keys, key) {
					t.Errorf("%s: %+v, %v", shape, page, err)
				}
			}
		},
		"UpdateV1": func(t *testing.T, lagging *repotest.Bench, key string) {
			updateV1(t, lagging, key, func(n *repotest.NoteV1) { n.Title += "!" })
		},
		"UpdateV2": func(t *testing.T, lagging *repotest.Bench, key string) {
			updateV2(t, lagging, key, func(n *repotest.NoteV2) { n.Headline += "!"; pin(n) })
		},
		"Delete and create": func(t *testing.T, lagging *repotest.Bench, key string) {
			deleteNote(t, lagging, key)
			if _, err := lagging.Notes.CreateV1(t.Context(), note(key, "again")); err != nil {
				t.Error(err)
			}
		},
		"Create and delete": func(t *testing.T, lagging *repotest.Bench, key string) {
			if _, err := lagging.Notes.CreateV2(t.Context(), repotest.NoteV2{
				ID:       key + "x",
				Headline: "x",
			}); err != nil {
				t.Error(err)
			}
			deleteNote(t, lagging, key+"x")
		},
	}
	repotest.Each(t, func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{})
		insert(t, b, note("a", "work: begin"))
		lagging := map[string]*repotest.Bench{}
		for name := range operations {
			lagging[name] = repotest.OpenNotes(t, url, repotest.Setup{Config: repo.Config{MaxConns: 2}})
			getV1(t, lagging[name], "a") // its guess
		}
		advance(t, b, repo.Migrate)
		check := func(phase repo.Phase) {
			t.Helper()
			for name, do := range operations {
				do(t, lagging[name], "a")
				agree(t, b, "a")
				if t.Failed() {
					t.Fatalf("%s in %s", name, phase)
				}
			}
		}
		check(repo.Migrate)
		for _, to := range []repo.Phase{repo.Cutover, repo.Contract} {
			advance(t, b, to)
			check(to)
		}
		clean(t, b, restore(t, b, "NOTE"))
		check("RESTORE")
		for _, to := range []repo.Phase{repo.Cutover, repo.Migrate} {
			step(t, b, to)
			check(to)
		}
		clean(t, b, verify(t, b, false))
	})
}

// From CUTOVER on an instance with an older mapping reads, in CONTRACT through V2 alone, and writes nothing that it
// would have to convert.
func TestAnOlderMappingWhereV2Leads(t *testing.T) {
	t.Parallel()
	for _, phase := range []repo.Phase{repo.Cutover, repo.Contract} {
		t.Run(strings.ToLower(string(phase)), func(t *testing.T) {
			repotest.Each(t, func(t *testing.T, url string) {
				ctx := t.Context()
				old := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
				insert(t, old, note("a", "work: begin"), note("b", "b"))
				advance(t, old, phase)
				b := repotest.OpenNotes(t, url, repotest.Setup{Mapping: repotest.NoteMapping{Number: 2}})
				if r := getV2(t, old, "a"); r.Value.Headline != "begin" {
					t.Errorf("%+v", r)
				}
				if phase == repo.Cutover { // in CONTRACT V1's row is history
					agree(t, old, "a")
				}
				wantErr(t, errOf(old.Notes.UpdateV1(ctx, "a",
					func(n *repotest.NoteV1) error { n.Title = "x"; return nil })), repo.ErrUnavailable)
				wantErr(t, errOf(old.Notes.UpdateV2(ctx, "a", nil,
					func(n *repotest.NoteV2) error { n.Headline = "x"; return nil })), repo.ErrUnavailable)
				wantErr(t, errOf(old.Notes.CreateV1(ctx, note("c", "c"))), repo.ErrUnavailable)
				wantErr(t, errOf(old.Notes.CreateV2(ctx, repotest.NoteV2{ID: "c", Headline: "c"})), repo.ErrUnavailable)
				deleteNote(t, old, "b")
				// A copy that nobody has refined is what the newest mapping makes of V1, from the next write on. One
				// that was refined through V2 may still hold what the older one got wrong: it is known by its version.
				updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Title = "play: on" })
				if r := agree(t, b, "a"); r.Copy.MappingVersion != 2 || r.Copy.Refined {
					t.Errorf("%+v", r.Copy)
				}
			})
		})
	}
}

// What an older mapping got wrong is still in a copy that a V2 client refines: the copy keeps the older version.
func TestARefinedCopyKeepsItsMappingVersionInCutover(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		old := repotest.OpenNotes(t, url, repotest.Setup{
			Phase:   repo.Migrate,
			Mapping: repotest.NoteMapping{Unsplit: true},
		})
		insert(t, old, note("a", "work: begin"))
		advance(t, old, repo.Cutover)
		b := repotest.OpenNotes(t, url, repotest.Setup{Mapping: repotest.NoteMapping{Number: 2}, Remigrates: true})
		updateV2(t, b, "a", pin)
		if r := agree(t, b, "a"); r.Copy.MappingVersion != 1 || r.Value.Topic != nil {
			t.Errorf("%+v, %+v", r.Copy, r.Value)
		}
		step(t, b, repo.Migrate)
		if run := sweep(t, b, repo.SweepRequest{OlderThanMappingVersion: 2}); run.Migrated != 1 {
			t.Errorf("%+v", run)
		}
		r := agree(t, b, "a")
		wantPinned(t, r.Value)
		if r.Value.Topic == nil || r.Copy.MappingVersion != 2 {
			t.Errorf("the bug is not repaired: %+v, %+v", r.Copy, r.Value)
		}
	})
}
