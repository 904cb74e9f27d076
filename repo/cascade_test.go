package repo_test

import (
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// Cascades: of another program's delete, of V1's own foreign keys.
func TestCascades(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		raw := repotest.Raw(t, url)
		repotest.Exec(t, raw,
			"CREATE TABLE notes (id varchar(12) NOT NULL PRIMARY KEY, title varchar(40) NOT NULL, body text, priority smallint NOT NULL)",
			"CREATE TABLE note_tags (note_id varchar(12) NOT NULL REFERENCES notes (id) ON DELETE CASCADE ON UPDATE CASCADE, rank smallint NOT NULL, name varchar(20) NOT NULL, PRIMARY KEY (note_id, rank))",
			"CREATE TABLE comments (id integer NOT NULL PRIMARY KEY, note_id varchar(12) REFERENCES notes (id) ON DELETE CASCADE ON UPDATE CASCADE, words varchar(30) NOT NULL)")
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		insert(t, b, note("a", "work: begin"), note("b", "b"))
		for i, key := range []string{"a", "b"} {
			if _, err := b.Comments.CreateV1(t.Context(), repotest.CommentV1{
				ID: int32(i + 1), NoteID: &key,
				Words: "x",
			}); err != nil {
				t.Fatal(err)
			}
			getV2(t, b, key)
		}
		if err := past(raw, "", "UPDATE notes SET id = 'moved' WHERE id = 'a'",
			"DELETE FROM notes WHERE id = 'b'"); err != nil {
			t.Fatal(err)
		}
		if r := agree(t, b, "moved"); len(r.Value.Labels) != 2 {
			t.Errorf("%+v", r.Value)
		}
		wantErr(t, errOf(b.Notes.GetV2(t.Context(), "a")), repo.ErrNotFound)
		wantErr(t, errOf(b.Comments.GetV2(t.Context(), "2")), repo.ErrNotFound)
		if c, err := b.Comments.GetV2(t.Context(), "1"); err != nil || *c.Value.About != "moved" {
			t.Errorf("%+v, %v", c, err)
		}
		// Our own delete is refused, since comments refer to notes, whatever V1's foreign key would do.
		wantErr(t, b.Notes.Delete(t.Context(), "moved", nil), repo.ErrConflict)
		if _, err := b.Comments.GetV2(t.Context(), "1"); err != nil {
			t.Error(err)
		}
	})
}

// UPDATE OR REPLACE and REPLACE can remove another row without any trigger, by a unique index on an expression: a
// verification finds that.
func TestWhatNoTriggerSees(t *testing.T) {
	t.Parallel()
	url := repotest.SQLite(t)
	raw := repotest.Raw(t, url)
	repotest.Exec(t, raw,
		"CREATE TABLE notes (id varchar(12) NOT NULL PRIMARY KEY, title varchar(40) NOT NULL, body text, priority smallint NOT NULL)", "CREATE UNIQUE INDEX own_lower ON notes (lower(title))",
		"CREATE TABLE note_tags (note_id varchar(12) NOT NULL, rank smallint NOT NULL, name varchar(20) NOT NULL, PRIMARY KEY (note_id, rank))",
		"CREATE TABLE comments (id integer NOT NULL PRIMARY KEY, note_id varchar(12), words varchar(30) NOT NULL)")
	b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
	insert(t, b, note("a", "a"), note("b", "b"), note("c", "c"), note("d", "d"))
	clean(t, b, sweep(t, b, repo.SweepRequest{}))
	repotest.Exec(t, raw, "UPDATE OR REPLACE notes SET title = 'b' WHERE id = 'a'",
		"REPLACE INTO notes (id, title, priority) VALUES ('c', 'd', 1)")
	agree(t, b, "a")
	agree(t, b, "c")
	run := verify(t, b, false)
	page, err := b.Control.Findings(t.Context(), run.ID, 10, "")
	if err != nil || run.Faults != 2 || len(page.Findings) != 2 || page.Findings[0].Key != "b" ||
		page.Findings[0].Kind != repo.Orphan || page.Findings[1].Key != "d" {
		t.Errorf("%+v, %+v, %v", run, page, err)
	}
	verify(t, b, true)
	clean(t, b, verify(t, b, false))
	wantErr(t, errOf(b.Notes.GetV2(t.Context(), "b")), repo.ErrNotFound)
}

// Own writes leave no mark of a bypass write, and in the phases in which both shapes are written none but tombstones.
func TestOwnWritesAreNotCaptured(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{})
		raw := repotest.Raw(t, url)
		insert(t, b, note("a", "a"), note("b", "b"))
		for _, phase := range []repo.Phase{repo.Expand, repo.Migrate, repo.Cutover, repo.Contract} {
			advance(t, b, phase)
			updateV1(t, b, "a", func(n *repotest.NoteV1) {
				n.Title, n.Tags = string(phase), []repotest.Tag{
					{Rank: int16(len(phase)), Name: "x"},
					{Rank: 5, Name: string(phase)},
				}
			})
			if phase != repo.Expand {
				updateV2(t, b, "b", func(n *repotest.NoteV2) { n.Headline, n.Labels = string(phase), nil })
			}
			if _, err := b.Notes.CreateV1(t.Context(), note("c", "c")); err != nil {
				t.Fatal(err)
			}
			deleteNote(t, b, "c")
			if n := repotest.One[int64](t, raw,
				"SELECT count(*) FROM coexist_note_mark WHERE bypass OR kind <> 'GONE' AND (SELECT phase FROM coexist_entity WHERE name = 'NOTE') <> 'EXPAND'"); n != 0 {
				t.Errorf("%s: own writes leave %d marks", phase, n)
			}
		}
		if capture, err := b.Control.Capture(t.Context(), "NOTE"); err != nil || capture.BypassWrites != 0 ||
			!capture.Enabled || capture.LastBypassWriteAt != nil {
			t.Errorf("%+v, %v", capture, err)
		}
	})
}
