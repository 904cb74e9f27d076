package repo_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// B5. What V1's owner refuses by an error of its own reaches the client with the owner's words.
func TestWhatV1sOwnerRefuses(t *testing.T) {
	dual(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		insert(t, b, note("a", "a"))
		refuse := func(event string) []string {
			return trigger(b.URL, strings.ToLower(event), "BEFORE "+event+" ON notes",
				"IF NEW.priority = 7 THEN RAISE EXCEPTION 'seven is taken' USING HINT = 'take eight'; END IF; RETURN NEW;",
				"SELECT RAISE(ABORT, 'seven is taken') WHERE NEW.priority = 7;")
		}
		repotest.Exec(t, repotest.Raw(t, b.URL), append(refuse("INSERT"), refuse("UPDATE")...)...)
		both(t, b, phase)
		seven := note("b", "b")
		seven.Priority = 7
		for does, err := range map[string]error{
			"CreateV1": errOf(b.Notes.CreateV1(t.Context(), seven)),
			"CreateV2": errOf(b.Notes.CreateV2(t.Context(), repotest.NoteV2{ID: "b", Headline: "b", Priority: 7})),
			"UpdateV1": errOf(b.Notes.UpdateV1(t.Context(), "a",
				func(n *repotest.NoteV1) error { n.Priority = 7; return nil })),
			"UpdateV2": errOf(b.Notes.UpdateV2(t.Context(), "a", nil,
				func(n *repotest.NoteV2) error { n.Priority = 7; return nil })),
		} {
			refused, is := errors.AsType[*repo.RefusedError](err)
			if !is || refused.Message != "seven is taken" || strings.HasPrefix(b.URL, "postgres") &&
				(refused.Hint != "take eight" || refused.Code != "P0001") || !errors.Is(err, repo.ErrConflict) {
				t.Errorf("%s: %v (%T)", does, err, err)
			}
		}
		wantErr(t, errOf(b.Notes.GetV2(t.Context(), "b")), repo.ErrNotFound)
		same(t, b, "a")
	})
}

// B5. A restore does the other rows, and lists the one that V1's owner refuses, with its words.
func TestARestoreThatV1sOwnerRefusesInPart(t *testing.T) {
	notes := make([]repotest.NoteV1, 20)
	for i := range notes {
		notes[i] = note(fmt.Sprintf("n%02d", i), "a")
	}
	inContract(t, notes, func(t *testing.T, b *repotest.Bench) {
		for i := range notes {
			updateV2(t, b, notes[i].ID, func(n *repotest.NoteV2) { n.Headline = "changed" })
		}
		repotest.Exec(t, repotest.Raw(t, b.URL), trigger(b.URL, "refuse", "BEFORE UPDATE ON notes",
			"IF NEW.id = 'n13' THEN RAISE EXCEPTION 'not this one'; END IF; RETURN NEW;",
			"SELECT RAISE(ABORT, 'not this one') WHERE NEW.id = 'n13';")...)
		run := restore(t, b, "NOTE")
		wantFinding(t, b, run, "n13", repo.Different, "not this one")
		if run.Migrated != 19 || run.Done != 20 {
			t.Errorf("%+v", run)
		}
	})
}
