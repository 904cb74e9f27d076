package repo_test

import (
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// A column that V1's owner drops or makes another while we run: each operation that needs it says so, nothing is half
// done, a run ends with the reason, and when the column is back all goes on.
func TestV1IsAlteredUnderUs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		database   string
		made, back []string
	}{
		"a column dropped": {
			"",
			[]string{"ALTER TABLE notes DROP COLUMN body"},
			[]string{"ALTER TABLE notes ADD COLUMN body text"},
		},
		"a column renamed": {
			"",
			[]string{"ALTER TABLE note_tags RENAME COLUMN name TO tag"},
			[]string{"ALTER TABLE note_tags RENAME COLUMN tag TO name"},
		},
		"a table renamed": {
			"",
			[]string{"ALTER TABLE note_tags RENAME TO tags"},
			[]string{"ALTER TABLE tags RENAME TO note_tags"},
		},
		"another type": {
			"postgres",
			[]string{"ALTER TABLE notes ALTER body TYPE jsonb USING to_jsonb(body)"},
			[]string{"ALTER TABLE notes ALTER body TYPE text USING body #>> '{}'"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
				if c.database != "" && !strings.HasPrefix(b.URL, c.database) {
					return
				}
				raw := repotest.Raw(t, b.URL)
				insert(t, b, note("a", "work: begin"), note("b", "b"))
				updateV2(t, b, "a", pin)
				repotest.Exec(t, raw, c.made...)
				for what, err := range map[string]error{
					"create": errOf(b.Notes.CreateV1(t.Context(), note("new", "new"))),
					"update": errOf(b.Notes.UpdateV1(t.Context(), "a", func(n *repotest.NoteV1) error {
						n.Title, n.Body, n.Tags = "lost", new("lost"),
							append(n.Tags, repotest.Tag{Rank: 9, Name: "lost"})
						return nil
					})),
				} {
					wantErr(t, err, repo.ErrAltered)
					if t.Failed() {
						t.Fatal(what)
					}
				}
				if c.database == "" {
					wantErr(t, errOf(b.Notes.GetV1(t.Context(), "a")), repo.ErrAltered)
					wantErr(t, errOf(b.Notes.ListV2(t.Context(), repo.Query{})), repo.ErrAltered)
					if run := sweep(t, b, repo.SweepRequest{}); run.Status != repo.Failed || run.Error == nil ||
						run.Quarantined != 0 {
						t.Errorf("the sweep is %+v", run)
					}
				}
				repotest.Exec(t, raw, c.back...)
				if v1 := getV1(t, b, "a"); v1.Title == "lost" || len(v1.Tags) != 2 {
					t.Errorf("half a write: %+v", v1)
				}
				wantErr(t, errOf(b.Notes.GetV1(t.Context(), "new")), repo.ErrNotFound)
				if err := b.DB.Install(t.Context()); err != nil { // as a start would
					t.Fatal(err)
				}
				wantPinned(t, agree(t, b, "a").Value)
				clean(t, b, sweep(t, b, repo.SweepRequest{}))
				clean(t, b, verify(t, b, false))
				step(t, b, repo.Cutover)
			})
		})
	}
}
