package repo_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// B3, B4. What a write of ours causes on other rows, of the same entity or of another, by a trigger or by a cascade,
// shows in V2's next answer. The guards are the marks with our token, and reconcileEffects, which follows them where V2
// leads.
func TestSideEffectsOnOtherRows(t *testing.T) {
	dual(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		raw := repotest.Raw(t, b.URL)
		tell := "UPDATE notes SET title = 'told' WHERE id = NEW.note_id;"
		repotest.Exec(t, raw,
			"ALTER TABLE notes ADD COLUMN replaces varchar(12) REFERENCES notes (id) ON DELETE CASCADE")
		repotest.Exec(t, raw, trigger(b.URL, "tell", "AFTER INSERT ON comments", tell+" RETURN NULL;", tell)...)
		repotest.Exec(t, raw, trigger(b.URL, "next", "AFTER UPDATE OF body ON notes",
			"UPDATE notes SET priority = 9 WHERE id = 'next'; RETURN NULL;",
			"UPDATE notes SET priority = 9 WHERE id = 'next';")...)
		insert(t, b, note("a", "a"), note("b", "b"), note("next", "next"), note("heir", "heir"))
		if n := repotest.One[int64](t, raw, "SELECT count(*) FROM note_tags WHERE note_id = 'heir'"); n == 0 {
			t.Fatal("no tags")
		}
		repotest.Exec(t, raw, "DELETE FROM note_tags WHERE note_id = 'heir'",
			"UPDATE notes SET replaces = 'b' WHERE id = 'heir'")
		for _, key := range []string{"a", "b", "next", "heir"} {
			updateV2(t, b, key, pin)
		}
		both(t, b, phase)
		noticed, err := b.Control.Capture(t.Context(), "NOTE")
		if err != nil {
			t.Fatal(err)
		}
		versions := map[string]int64{}
		for _, key := range []string{"a", "next"} {
			versions[key] = getV2(t, b, key).Version
		}
		if err := errOf(b.Comments.CreateV1(t.Context(), repotest.CommentV1{
			ID: 1, NoteID: new("a"),
			Words: "x",
		})); err != nil {
			t.Fatal(err)
		}
		updateV1(t, b, "b", func(n *repotest.NoteV1) { n.Body = new("another") })
		for key, want := range map[string]string{"a": "told", "next": "next"} {
			v2 := same(t, b, key)
			wantPinned(t, v2)
			if r := getV2(t, b, key); r.Value.Headline != want || key == "next" && r.Value.Priority != 9 ||
				r.Version <= versions[key] {
				t.Errorf("%s: %+v, at version %d before", key, r, versions[key])
			}
		}
		deleteNote(t, b, "b")
		for _, key := range []string{"b", "heir"} {
			wantErr(t, errOf(b.Notes.GetV2(t.Context(), key)), repo.ErrNotFound)
			wantErr(t, errOf(b.Notes.GetV1(t.Context(), key)), repo.ErrNotFound)
		}
		if capture, err := b.Control.Capture(t.Context(), "NOTE"); err != nil ||
			capture.BypassWrites != noticed.BypassWrites {
			t.Errorf("our own write's effects are taken for bypass writes: %+v, %v", capture, err)
		}
		if phase == repo.Cutover {
			clean(t, b, verify(t, b, false))
		}
	})
}

// A write whose side effects are very many is nobody's trouble where their copies turn stale, and is refused where V2
// must follow each.
func TestVeryManySideEffects(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		raw := repotest.Raw(t, b.URL)
		insert(t, b, note("a", "a"))
		repotest.Exec(t, raw,
			"INSERT INTO notes (id, title, priority) WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < 5001) SELECT 'n' || i, 'n', 1 FROM g")
		all := "UPDATE notes SET priority = NEW.priority WHERE id <> 'a';"
		repotest.Exec(t, raw, trigger(b.URL, "all", "AFTER UPDATE OF priority ON notes", "IF NEW.id = 'a' THEN "+all+
			" END IF; RETURN NULL;", strings.Replace(all, ";", " AND NEW.id = 'a';", 1))...)
		updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Priority = 4 })
		if r := agree(t, b, "n5001"); r.Value.Priority != 4 {
			t.Errorf("%+v", r)
		}
		advance(t, b, repo.Cutover)
		err := errOf(b.Notes.UpdateV1(t.Context(), "a", func(n *repotest.NoteV1) error { n.Priority = 5; return nil }))
		if _, is := errors.AsType[*repo.ConflictError](err); !is || !strings.Contains(err.Error(),
			"more than 5000 rows") {
			t.Errorf("the error is %v", err)
		}
		if n := repotest.One[int64](t, raw, "SELECT count(*) FROM notes WHERE priority <> 4"); n != 0 {
			t.Errorf("%d rows have changed all the same", n)
		}
	})
}
