package repo_test

import (
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// On SQLite REPLACE removes rows by any unique index, and fires no trigger for them: their keys are marked all the same, also where the index came
// while we run. The guard is captureReplaced.
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
			repotest.Exec(t, raw, "CREATE UNIQUE INDEX own_title ON notes (title COLLATE NOCASE)", "CREATE UNIQUE INDEX own_name ON note_tags (name)", "PRAGMA foreign_keys = OFF")
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
			if n := repotest.One[int64](t, raw, "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%replaced%'"); n != 0 {
				t.Errorf("%d triggers are left", n)
			}
		})
	}
}
