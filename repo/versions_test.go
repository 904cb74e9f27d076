package repo_test

import (
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// The tombstone of deleteBoth keeps the floor: without it a note that is created again starts at version 1.
func TestVersionNeverFalls(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		last := int64(0)
		grown := func(what string, by int64) {
			t.Helper()
			if v := agree(t, b, "a").Version; v < last+by {
				t.Errorf("%s: the version goes from %d to %d", what, last, v)
			} else {
				last = v
			}
		}
		for range 3 {
			if _, err := b.Notes.CreateV1(t.Context(), note("a", "work: begin")); err != nil {
				t.Fatal(err)
			}
			grown("create", 1)
			updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Title = "play" })
			grown("update", 1)
			b.SetPhase(repo.Migrate)
			grown("MIGRATE", 0)
			updateV2(t, b, "a", pin)
			grown("V2 update", 1)
			b.SetPhase(repo.Expand)
			grown("EXPAND", 0)
			updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Title = "work" })
			grown("update in EXPAND", 1)
			b.SetPhase(phase)
			grown("back", 0)
			deleteNote(t, b, "a")
			if n := marks(t, b, "a", "GONE"); n != 1 {
				t.Errorf("%d tombstones", n)
			}
			_, err := b.Notes.GetV2(t.Context(), "a")
			wantErr(t, err, repo.ErrNotFound)
			_, err = b.Notes.GetV1(t.Context(), "a")
			wantErr(t, err, repo.ErrNotFound)
			wantErr(t, b.Notes.Delete(t.Context(), "a", nil), repo.ErrNotFound)
		}
		if n := copies(t, b); n != 0 {
			t.Errorf("%d copies are left", n)
		}
	})
}

// What is created again is another note: nothing of the old one comes back.
func TestCreatedAgainIsNotMerged(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		b.SetPhase(repo.Migrate)
		insert(t, b, note("a", "work: begin"))
		updateV2(t, b, "a", pin)
		b.SetPhase(phase)
		deleteNote(t, b, "a")
		if _, err := b.Notes.CreateV1(t.Context(), note("a", "again")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if r := agree(t, b, "a"); r.Value.PinnedReason != nil || len(r.Value.Labels) != 2 ||
				r.Copy.Refined || r.Version < 3 {
				t.Errorf("read as %+v", r)
			}
			b.SetPhase(repo.Migrate)
		}
	})
}

func TestExpectedVersion(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "a"))
		rename := func(n *repotest.NoteV2) error { n.Headline += "!"; return nil }
		for i, want := range []int64{1, 2, 3} {
			for _, wrong := range []int64{want - 1, want + 1} {
				_, err := b.Notes.UpdateV2(t.Context(), "a", &wrong, rename)
				wantErr(t, err, repo.ErrStaleVersion)
				wantErr(t, b.Notes.Delete(t.Context(), "a", &wrong), repo.ErrStaleVersion)
			}
			r, err := b.Notes.UpdateV2(t.Context(), "a", &want, rename)
			if err != nil || r.Version != want+1 || r.Value.Headline != "a"+strings.Repeat("!", i+1) {
				t.Errorf("%+v, %v", r, err)
			}
		}
		updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Title = "b" })
		wantErr(t, b.Notes.Delete(t.Context(), "a", new(int64(4))), repo.ErrStaleVersion)
		if err := b.Notes.Delete(t.Context(), "a", new(int64(5))); err != nil {
			t.Error(err)
		}
	})
}
