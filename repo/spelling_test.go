package repo_test

import (
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// A NULL is no empty text: where V1 lets a column be NULL and its model does not, a row that uses that fails alone.
// Without nullIn in read.go it would be stored as an empty title.
func TestUnexpectedNull(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := repotest.DescribeNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		raw := repotest.Raw(t, url)
		repotest.Exec(t, raw,
			"CREATE TABLE notes (id varchar(12) PRIMARY KEY, title varchar(40), body text, priority smallint NOT NULL)",
			"CREATE TABLE note_tags (note_id varchar(12) NOT NULL, rank smallint NOT NULL, name varchar(20), PRIMARY KEY (note_id, rank))",
			"CREATE TABLE comments (id integer PRIMARY KEY, note_id varchar(12), words varchar(30) NOT NULL)",
			"INSERT INTO notes VALUES ('a', NULL, 'x', 1), ('b', '', 'x', 1), ('c', 'c', NULL, 1)",
			"INSERT INTO note_tags VALUES ('c', 1, NULL)")
		if err := b.DB.Install(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := b.DB.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		for key, field := range map[string]string{"a": "title", "c": "tags[0].name"} {
			_, err := b.Notes.GetV2(t.Context(), key)
			wantField[*repo.ConversionError](t, err, field)
			_, err = b.Notes.GetV1(t.Context(), key)
			wantField[*repo.ConversionError](t, err, field)
		}
		if r := getV2(t, b, "b"); r.Value.Headline != "" || !r.Copy.Stored {
			t.Errorf("%+v", r)
		}
	})
}

// Where the database takes several spellings for one key, each finds the row, and the row's is the one that goes on.
func TestSpellingsOfAKey(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ database, made, keyType string }{
		"citext": {
			"postgres",
			"DO $$ BEGIN IF to_regnamespace('elsewhere') IS NULL THEN CREATE EXTENSION citext; ELSE CREATE EXTENSION citext SCHEMA elsewhere; END IF; END $$", "citext",
		},
		"collation": {
			"postgres",
			"CREATE COLLATION anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
			"varchar(12) COLLATE anycase",
		},
		"NOCASE": {"sqlite", "SELECT 1", "varchar(12) COLLATE NOCASE"},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, c.database, func(t *testing.T, url string) {
				raw := repotest.Raw(t, url)
				repotest.Exec(t, raw, c.made)
				createV1(t, url, c.keyType, "PRIMARY KEY")
				b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
				insert(t, b, note("Alfki", "a: b"), note("other", "other"))
				spellings := []string{"ALFKI", "alfki", "Alfki"}
				// all compares what each spelling finds, alone and with the others.
				all := func(key, headline string, pinned bool) {
					t.Helper()
					many, err := b.Notes.GetManyV2(t.Context(), spellings)
					if err != nil {
						t.Fatal(err)
					}
					v1, err := b.Notes.GetManyV1(t.Context(), spellings)
					if err != nil {
						t.Fatal(err)
					}
					for i, spelling := range spellings {
						one, err := b.Notes.GetV2(t.Context(), spelling)
						for _, r := range []repo.Result[repo.Record[repotest.NoteV2]]{many[i], {Value: one, Err: err}} {
							if r.Err != nil || r.Value.Key != key || r.Value.Value.ID != key ||
								r.Value.Value.Headline != headline || (r.Value.Value.PinnedReason != nil) != pinned ||
								len(r.Value.Value.Labels) < 2 {
								t.Errorf("%s is %+v", spelling, r)
							}
						}
						if v1[i].Err != nil || v1[i].Value.ID != key || len(v1[i].Value.Tags) != 2 {
							t.Errorf("V1's %s is %+v", spelling, v1[i])
						}
					}
					if r := agree(t, b, key); !r.Copy.Stored {
						t.Errorf("%+v", r)
					}
				}
				all("Alfki", "b", false)
				updateV2(t, b, "ALFKI", pin)
				all("Alfki", "b", true)
				updateV1(t, b, "alfki", func(n *repotest.NoteV1) { n.Title = "a: c" })
				all("Alfki", "c", true)
				repotest.Exec(t, raw, "UPDATE notes SET title = 'a: past us' WHERE id = 'ALFKI'")
				all("Alfki", "past us", true)
				_, err := b.Notes.CreateV2(t.Context(), repotest.NoteV2{ID: "alfki", Headline: "x"})
				wantErr(t, err, repo.ErrAlreadyExists)
				// Another spelling for the same row. Its copy goes on under that one.
				repotest.Exec(t, raw, "UPDATE notes SET id = 'ALFKI', title = 'a: renamed' WHERE id = 'alfki'",
					"UPDATE note_tags SET note_id = 'ALFKI' WHERE note_id = 'alfki'")
				renamed := getV2(t, b, "alfki")
				all("ALFKI", "renamed", renamed.Value.PinnedReason != nil)
				clean(t, b, sweep(t, b, repo.SweepRequest{}))
				clean(t, b, verify(t, b, false))
				before := getV2(t, b, "alfki")
				deleteNote(t, b, "alfki")
				for _, spelling := range spellings {
					_, err := b.Notes.GetV2(t.Context(), spelling)
					wantErr(t, err, repo.ErrNotFound)
				}
				insert(t, b, note("alFKI", "again: x"))
				spellings = append(spellings, "alFKI")
				all("alFKI", "x", false)
				if after := agree(t, b, "ALFKI"); after.Version <= before.Version {
					t.Errorf("version %d, and %d once it was created again", before.Version, after.Version)
				}
			})
		})
	}
}
