package repo_test

import (
	"context"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// A pool replaces connections. What each needs (foreign keys, patience with writers of other processes) is in the URL
// that it opens them with; the guard is openSQLite's data source.
func TestAReplacedConnectionIsLikeTheFirst(t *testing.T) {
	t.Parallel()
	for name, v1 := range map[string][]string{
		"declared keys": {
			"CREATE TABLE notes (id varchar(12) PRIMARY KEY, title varchar(40) NOT NULL, body text, priority smallint NOT NULL)",
			"CREATE TABLE note_tags (note_id varchar(12) REFERENCES notes, rank smallint NOT NULL, name varchar(20) NOT NULL, PRIMARY KEY (note_id, rank))",
			"CREATE TABLE comments (id integer PRIMARY KEY, note_id varchar(12) REFERENCES notes, words varchar(30) NOT NULL)",
		},
		"no declared keys": {
			"CREATE TABLE notes (id varchar(12) PRIMARY KEY, title varchar(40) NOT NULL, body text, priority smallint NOT NULL)",
			"CREATE TABLE note_tags (note_id varchar(12), rank smallint NOT NULL, name varchar(20) NOT NULL, PRIMARY KEY (note_id, rank))",
			"CREATE TABLE comments (id integer PRIMARY KEY, note_id varchar(12), words varchar(30) NOT NULL)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			url := repotest.SQLite(t)
			raw := repotest.Raw(t, url)
			repotest.Exec(t, raw, v1...)
			b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
			insert(t, b, note("a", "a"), note("b", "b"))
			for i := range 6 {
				if _, err := b.Comments.CreateV1(t.Context(), repotest.CommentV1{
					ID: int32(i + 1), NoteID: new("a"),
					Words: "x",
				}); err != nil {
					t.Fatal(err)
				}
			}
			repotest.Exec(t, raw, "PRAGMA foreign_keys = off",
				"INSERT INTO comments (id, note_id, words) VALUES (99, 'nobody', 'old')")
			b.DB.ReplaceConnections()
			for range 3 {
				wantErr(t, b.Notes.Delete(t.Context(), "a", nil), repo.ErrConflict)
			}
			if n := repotest.One[int64](t, raw,
				"SELECT count(*) FROM notes n JOIN comments c ON c.note_id = n.id WHERE n.id = 'a'"); n != 6 {
				t.Errorf("%d of 6 comments are left", n)
			}
			wantField[*repo.InputError](t, errOf(b.Comments.CreateV1(t.Context(),
				repotest.CommentV1{ID: 7, NoteID: new("c"), Words: "x"})), "noteId")
			wantField[*repo.InputError](t, errOf(b.Comments.CreateV2(t.Context(),
				repotest.CommentV2{ID: 7, About: new("c"), Text: "x"})), "about")
			wantField[*repo.InputError](t, errOf(b.Comments.UpdateV1(t.Context(), "1",
				func(c *repotest.CommentV1) error { c.NoteID = new("c"); return nil })), "noteId")
			wantField[*repo.InputError](t, errOf(b.Comments.UpdateV2(t.Context(), "1", nil,
				func(c *repotest.CommentV2) error { c.About = new("c"); return nil })), "about")
			// What refers to nobody already stays readable, and can be changed in other fields.
			if _, err := b.Comments.UpdateV1(t.Context(), "99",
				func(c *repotest.CommentV1) error { c.Words = "changed"; return nil }); err != nil {
				t.Error(err)
			}
			if c, err := b.Comments.GetV2(t.Context(), "99"); err != nil || c.Value.Text != "changed" {
				t.Errorf("%+v, %v", c, err)
			}
			// Another process holds the write lock for a while.
			other, err := raw.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := other.ExecContext(t.Context(), "UPDATE notes SET priority = 5 WHERE id = 'b'"); err != nil {
				t.Fatal(err)
			}
			b.Before("BEGIN IMMEDIATE", func() {})
			written := make(chan error, 1)
			go func() {
				_, err := b.Notes.UpdateV1(context.Background(), "b",
					func(n *repotest.NoteV1) error { n.Title = "waited"; return nil })
				written <- err
			}()
			repotest.Until(t, "the update waits", func() bool { return len(b.Sent()) > 0 })
			select {
			case err := <-written:
				t.Errorf("the update did not wait: %v", err)
			default:
			}
			if err := other.Commit(); err != nil {
				t.Fatal(err)
			}
			if err := <-written; err != nil {
				t.Error(err)
			}
			if v1 := getV1(t, b, "b"); v1.Title != "waited" || v1.Priority != 5 {
				t.Errorf("%+v", v1)
			}
		})
	}
}
