package repo_test

import (
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// On SQLite REPLACE removes rows by any unique index, and fires no trigger for them: their keys are marked all the
// same, also where the index came while we run. The guard is captureReplaced.
func TestRowsThatReplaceRemoves(t *testing.T) {
	t.Parallel()
	for name, statements := range map[string][]string{
		"INSERT OR REPLACE":      {"INSERT OR REPLACE INTO notes (id, title, priority) VALUES ('new', 'Title B', 1)"},
		"UPDATE OR REPLACE":      {"UPDATE OR REPLACE notes SET title = 'title b' WHERE id = 'c'"},
		"a child row that moves": {"INSERT OR REPLACE INTO note_tags (note_id, rank, name) VALUES ('c', 7, 'only b''s')"},
	} {
		t.Run(name, func(t *testing.T) {
			url := repotest.SQLite(t)
			b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
			raw := repotest.Raw(t, url)
			for _, key := range []string{"a", "b", "c"} {
				n := note(key, "title "+key)
				n.Tags = []repotest.Tag{{Rank: 1, Name: "only " + key + "'s"}}
				insert(t, b, n)
				updateV2(t, b, key, pin)
			}
			repotest.Exec(t, raw, "CREATE UNIQUE INDEX own_title ON notes (title COLLATE NOCASE)",
				"CREATE UNIQUE INDEX own_name ON note_tags (name)", "PRAGMA foreign_keys = OFF")
			gate(t, b, repo.Cutover) // which looks at the triggers
			raw.SetMaxOpenConns(1)
			repotest.Exec(t, raw, append([]string{"PRAGMA foreign_keys = OFF"}, statements...)...)
			if strings.Contains(name, "OR REPLACE") {
				wantErr(t, errOf(b.Notes.GetV1(t.Context(), "b")), repo.ErrNotFound)
				wantErr(t, errOf(b.Notes.GetV2(t.Context(), "b")), repo.ErrNotFound)
			} else if r := agree(t, b, "b"); len(r.Value.Labels) != 1 || !r.Value.Labels[0].Hidden {
				t.Errorf("%+v", r.Value)
			}
			wantPinned(t, agree(t, b, "a").Value)
			if n := gapMarks(t, b); n != 0 {
				t.Errorf("%d gaps", n)
			}
			repotest.Exec(t, raw, "DROP INDEX own_title", "DROP INDEX own_name")
			gate(t, b, repo.Cutover)
			if n := repotest.One[int64](t, raw,
				"SELECT count(*) FROM sqlite_schema WHERE name LIKE '%replaced%'"); n != 0 {
				t.Errorf("%d triggers are left", n)
			}
		})
	}
}

// However a statement of another program gives a row another key, what V2 knew of the row under the old key is gone: a
// new row of that key has none of it. The guard is the columns for which the trigger "rekey" fires.
func TestKeysThatOtherProgramsChange(t *testing.T) {
	t.Parallel()
	for _, statement := range []string{
		"UPDATE invoices SET id = 9 WHERE id = 2", "UPDATE invoices SET ROWID = 9 WHERE id = 2",
		"UPDATE invoices SET oid = 9 WHERE id = 2",
		"UPDATE invoices SET _rowid_ = 9, state = 'x' WHERE id = 2",
		"INSERT INTO invoices (id) VALUES (2) ON CONFLICT DO UPDATE SET id = 9",
		"UPDATE OR REPLACE invoices SET \"ID\" = 9 WHERE id = 2",
		"WITH n AS (SELECT 9 AS id) UPDATE invoices SET (id, state) = (SELECT id, 'y' FROM n) WHERE id = 2",
	} {
		t.Run(statement, func(t *testing.T) {
			url := repotest.SQLite(t)
			i := openInvoices(t, url)
			ctx := t.Context()
			for id := range int32(2) {
				if _, err := i.CreateV1(ctx, invoiceV1{
					ID: id + 1, State: "open",
					Lines: []lineV1{{LineID: id + 1, Text: "a"}},
				}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := i.UpdateV2(ctx, "2", nil,
				func(v2 *invoiceV2) error { v2.Paid = new("cash"); return nil }); err != nil {
				t.Fatal(err)
			}
			raw := repotest.Raw(t, url)
			raw.SetMaxOpenConns(1)
			repotest.Exec(t, raw, "PRAGMA foreign_keys = OFF", statement,
				"UPDATE invoice_lines SET invoice_id = 9 WHERE invoice_id = 2", "INSERT INTO invoices (id) VALUES (2)")
			for key, lines := range map[string]int{"2": 0, "9": 1} {
				if v2, err := i.GetV2(ctx, key); err != nil || v2.Value.Paid != nil || len(v2.Value.Lines) != lines {
					t.Errorf("%s: %+v %v", key, v2.Value, err)
				}
			}
		})
	}
}

// What is created with the key of a row that REPLACE has removed is as it was created: it has nothing of the old row's,
// and all of its own.
func TestACreateAfterReplace(t *testing.T) {
	t.Parallel()
	url := repotest.SQLite(t)
	b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
	raw := repotest.Raw(t, url)
	repotest.Exec(t, raw, "CREATE UNIQUE INDEX own_title ON notes (title)")
	for _, key := range []string{"a", "b", "c"} {
		insert(t, b, note(key, "title "+key))
		updateV2(t, b, key, pin)
	}
	gate(t, b, repo.Cutover) // which looks at the triggers
	raw.SetMaxOpenConns(1)
	repotest.Exec(t, raw, "PRAGMA foreign_keys = OFF", "UPDATE OR REPLACE notes SET title = 'title b' WHERE id = 'a'",
		"UPDATE OR REPLACE notes SET title = 'title c' WHERE id = 'a'",
		"DELETE FROM note_tags WHERE note_id IN ('b', 'c')")
	if _, err := b.Notes.CreateV2(t.Context(), repotest.NoteV2{
		ID: "b", Headline: "new", Text: new("t"),
		PinnedReason: new("new"),
	}); err != nil {
		t.Fatal(err)
	}
	if r := agree(t, b, "b"); r.Value.PinnedReason == nil || *r.Value.PinnedReason != "new" ||
		len(r.Value.Labels) != 0 {
		t.Errorf("%+v", r)
	}
	if _, err := b.Notes.CreateV1(t.Context(), note("c", "new c")); err != nil {
		t.Fatal(err)
	}
	if r := agree(t, b, "c"); r.Value.PinnedReason != nil {
		t.Errorf("%+v", r)
	}
	clean(t, b, sweep(t, b, repo.SweepRequest{}))
}
