package repo_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

func TestKeysMadeByTheServer(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		insert(t, b, note("N2", "taken"))
		seen := map[string]bool{"N2": true}
		for range 3 {
			n, err := b.Notes.CreateV1(t.Context(), note("", "x"))
			if err != nil || n.ID == "" || seen[n.ID] {
				t.Fatalf("the key is %q: %v", n.ID, err)
			}
			seen[n.ID] = true
			agree(t, b, n.ID)
		}
		if phase == repo.Migrate {
			r, err := b.Notes.CreateV2(t.Context(), repotest.NoteV2{Headline: "x"})
			if err != nil || r.Key == "" || seen[r.Key] || r.Value.ID != r.Key {
				t.Errorf("%+v: %v", r, err)
			}
		}
		if _, err := b.Comments.InsertV1(t.Context(), []repotest.CommentV1{{ID: 41, Words: "taken"}}); err != nil {
			t.Fatal(err)
		}
		c, err := b.Comments.CreateV1(t.Context(), repotest.CommentV1{Words: "new"})
		if err != nil || c.ID != 42 {
			t.Errorf("the key is %d, want 42: %v", c.ID, err)
		}
		_, err = b.Comments.CreateV1(t.Context(), repotest.CommentV1{ID: 41})
		wantErr(t, err, repo.ErrAlreadyExists)
	})
}

func TestServerKeysRunOut(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, _ repo.Phase) {
		if _, err := b.Comments.InsertV1(t.Context(), []repotest.CommentV1{{ID: 1<<31 - 1}}); err != nil {
			t.Fatal(err)
		}
		_, err := b.Comments.CreateV1(t.Context(), repotest.CommentV1{Words: "new"})
		wantField[*repo.NotRepresentableError](t, err, "id")
	})
}

func TestReferences(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		insert(t, b, note("a", "a"), note("b", "b"))
		_, err := b.Comments.CreateV1(t.Context(), repotest.CommentV1{ID: 1, NoteID: new("none")})
		wantField[*repo.InputError](t, err, "noteId")
		if _, err := b.Comments.CreateV1(t.Context(), repotest.CommentV1{ID: 1, NoteID: new("a")}); err != nil {
			t.Fatal(err)
		}
		_, err = b.Comments.UpdateV1(t.Context(), "1",
			func(c *repotest.CommentV1) error { c.NoteID = new("none"); return nil })
		wantField[*repo.InputError](t, err, "noteId")
		if phase == repo.Migrate {
			_, err := b.Comments.CreateV2(t.Context(), repotest.CommentV2{ID: 2, About: new("none")})
			wantField[*repo.InputError](t, err, "about")
			_, err = b.Comments.UpdateV2(t.Context(), "1", nil,
				func(c *repotest.CommentV2) error { c.About = new("none"); return nil })
			wantField[*repo.InputError](t, err, "about")
		}
		before := agree(t, b, "a")
		wantErr(t, b.Notes.Delete(t.Context(), "a", nil), repo.ErrConflict)
		if after := agree(t, b, "a"); !repo.Identical(before.Value, after.Value) || after.Version != before.Version {
			t.Errorf("a refused delete has left a trace: %+v, %+v", before, after)
		}
		if err := b.Comments.Delete(t.Context(), "1", nil); err != nil {
			t.Fatal(err)
		}
		deleteNote(t, b, "a")
	})
}

func TestManyWritersOfOneNote(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", ""))
		updateV2(t, b, "a", pin)
		const writers, rounds = 4, 5
		done := make(chan error, writers*rounds)
		for w := range writers {
			go func() {
				for range rounds {
					var err error
					if w%2 == 0 {
						_, err = b.Notes.UpdateV1(t.Context(), "a",
							func(n *repotest.NoteV1) error { n.Title += "x"; return nil })
					} else {
						_, err = b.Notes.UpdateV2(t.Context(), "a", nil,
							func(n *repotest.NoteV2) error { n.Headline += "x"; return nil })
					}
					done <- err
				}
			}()
		}
		for range writers * rounds {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		r := agree(t, b, "a")
		wantPinned(t, r.Value)
		if want := strings.Repeat("x", writers*rounds); r.Value.Headline != want || r.Version != writers*rounds+2 {
			t.Errorf("an update is lost: %+v", r)
		}
	})
}

// An own writer never waits for a child row while it holds its parent: NOWAIT in lockV1. Without it the old program,
// which takes the child first, is the victim of a dead-lock or waits until ours is.
func TestOwnWriteAgainstAProgramThatLocksChildrenFirst(t *testing.T) {
	t.Parallel()
	for _, phase := range []repo.Phase{repo.Expand, repo.Migrate} {
		t.Run(string(phase), func(t *testing.T) {
			b := repotest.OpenNotes(t, repotest.Postgres(t), repotest.Setup{Phase: phase})
			insert(t, b, note("a", "work: begin"))
			raw := repotest.Raw(t, b.URL)
			for round := range 3 {
				old, err := raw.Begin()
				if err != nil {
					t.Fatal(err)
				}
				repotest.Exec(t, old, "UPDATE note_tags SET name = 'old' WHERE note_id = 'a' AND rank = 1")
				ours := make(chan error, 1)
				b.Forget()
				go func() {
					var err error
					if round == 2 {
						err = b.Notes.Delete(t.Context(), "a", nil)
					} else {
						_, err = b.Notes.UpdateV1(t.Context(), "a",
							func(n *repotest.NoteV1) error { n.Title = fmt.Sprint("own ", round); return nil })
					}
					ours <- err
				}()
				// It has met the lock: it has rolled back, so that the parent is free for the old program, or it waits,
				// which is wrong.
				repotest.Until(t, "our write has met the lock", func() bool {
					if waiting(t, raw) {
						t.Fatal("our write waits for a child row")
					}
					return slices.Contains(b.Sent(), "ROLLBACK")
				})
				if _, err := old.Exec("UPDATE notes SET body = 'old' WHERE id = 'a'"); err != nil {
					t.Fatalf("the old program fails: %v", err)
				}
				if err := old.Commit(); err != nil {
					t.Fatalf("the old program fails: %v", err)
				}
				if err := <-ours; err != nil {
					t.Errorf("our write fails: %v", err)
				}
			}
			_, err := b.Notes.GetV1(t.Context(), "a")
			wantErr(t, err, repo.ErrNotFound)
			if n := repotest.One[int64](t, raw,
				"SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"); n > 0 {
				t.Errorf("%d dead-locks", n)
			}
		})
	}
}
