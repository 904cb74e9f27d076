package repo_test

import (
	"slices"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// V2 in CONTRACT: reads, lists, writes and references. scripts/check-end.sh runs it once more on an engine without the
// coexistence steps, and without V1's tables.
func TestV2Alone(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Contract, func(t *testing.T, b *repotest.Bench) {
		raw := repotest.Raw(t, b.URL)
		if _, err := raw.Exec("SELECT 1 FROM notes"); (err != nil) != repotest.WithoutV1() {
			t.Fatalf("V1's table is not as it should be: %v", err)
		}
		for _, key := range []string{"c", "a", "b"} {
			note := repotest.NoteV2{
				ID: key, Headline: "headline " + key,
				Labels: []repotest.Label{{Rank: 1, Name: "red"}},
			}
			if key == "b" {
				pin(&note)
			}
			record, err := b.Notes.CreateV2(t.Context(), note)
			if err != nil || record.Version != 1 || !repo.Identical(record.Value, note) {
				t.Fatalf("%s is created as %+v: %v", key, record, err)
			}
		}
		_, err := b.Notes.CreateV2(t.Context(), repotest.NoteV2{ID: "a", Headline: "again"})
		wantErr(t, err, repo.ErrAlreadyExists)
		made, err := b.Notes.CreateV2(t.Context(), repotest.NoteV2{Headline: "the server makes the key"})
		if err != nil || made.Key != "N1" {
			t.Errorf("the server makes %+v: %v", made, err)
		}

		// Reads.
		_, err = b.Notes.GetV2(t.Context(), "nobody")
		wantErr(t, err, repo.ErrNotFound)
		var found []repo.Result[repo.Record[repotest.NoteV2]]
		if sent := b.Statements(func() {
			found, err = b.Notes.GetManyV2(t.Context(),
				[]string{"b", "nobody", "a"})
		}); err != nil || len(sent) != 1 {
			t.Fatalf("%d statements: %v", len(sent), err)
		}
		wantPinned(t, found[0].Value.Value)
		wantErr(t, found[1].Err, repo.ErrNotFound)
		if a := found[2].Value; a.Key != "a" || !a.Copy.Stored || a.Value.Headline != "headline a" {
			t.Errorf("a is %+v", a)
		}

		// Lists.
		var keys []string
		for q := (repo.Query{First: new(2), Sort: "BODY"}); ; {
			page, err := b.Notes.ListV2(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range page.Items {
				keys = append(keys, item.Key)
			}
			if n, err := page.TotalCount(t.Context()); err != nil || n != 4 {
				t.Fatalf("there are %d: %v", n, err)
			}
			if !page.HasNext {
				break
			}
			q.After = &page.Items[len(page.Items)-1].Cursor
		}
		if !slices.Equal(keys, []string{"N1", "a", "b", "c"}) {
			t.Errorf("the list is %q", keys)
		}

		// Writes.
		updated := updateV2(t, b, "b",
			func(n *repotest.NoteV2) { n.Headline = "longer than the forty characters that V1 had room for" })
		if updated.Version != 2 {
			t.Errorf("the version is %d", updated.Version)
		}
		wantPinned(t, getV2(t, b, "b").Value)
		_, err = b.Notes.UpdateV2(t.Context(), "b", new(int64(1)), func(*repotest.NoteV2) error { return nil })
		wantErr(t, err, repo.ErrStaleVersion)
		wantErr(t, b.Notes.Delete(t.Context(), "nobody", nil), repo.ErrNotFound)
		deleteNote(t, b, "c")
		_, err = b.Notes.GetV2(t.Context(), "c")
		wantErr(t, err, repo.ErrNotFound)
		again, err := b.Notes.CreateV2(t.Context(), repotest.NoteV2{ID: "c", Headline: "again"})
		if err != nil || again.Version < 2 {
			t.Errorf("created again as %+v: %v", again, err)
		}

		// References.
		_, err = b.Comments.CreateV2(t.Context(), repotest.CommentV2{About: new("nobody"), Text: "lost"})
		wantField[*repo.InputError](t, err, "about")
		comment, err := b.Comments.CreateV2(t.Context(), repotest.CommentV2{About: new("a"), Text: "well said"})
		if err != nil {
			t.Fatal(err)
		}
		wantErr(t, b.Notes.Delete(t.Context(), "a", nil), repo.ErrConflict)
		groups, err := b.Comments.ListGroupsV2(t.Context(), "note_id", []string{"b", "a"}, repo.Query{})
		if err != nil || len(groups[0].Items) != 0 || len(groups[1].Items) != 1 ||
			groups[1].Items[0].Key != comment.Key {
			t.Errorf("the comments are %+v: %v", groups, err)
		}
		if err := b.Comments.Delete(t.Context(), comment.Key, nil); err != nil {
			t.Error(err)
		}
		deleteNote(t, b, "a")
	})
}
