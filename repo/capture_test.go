package repo_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// bypass is what another program does to note a, which has tags 1 and 5, and to others.
type bypass struct {
	name       string
	database   string // "" for both
	statements []string
	// gone and changed are the keys that the next V2 read misses, or finds as V1 has them.
	gone, changed []string
}

var bypasses = []bypass{
	{"update", "", []string{"UPDATE notes SET title = 'past us' WHERE id = 'a'"}, nil, []string{"a"}},
	{
		"insert", "",
		[]string{"INSERT INTO notes (id, title, priority) VALUES ('new', 'past us', 1)"},
		nil,
		[]string{"new"},
	},
	{
		"delete", "",
		[]string{"DELETE FROM note_tags WHERE note_id = 'a'", "DELETE FROM notes WHERE id = 'a'"},
		[]string{"a"},
		nil,
	},
	{"change of key", "", []string{
		"DELETE FROM note_tags WHERE note_id = 'a'",
		"UPDATE notes SET id = 'moved' WHERE id = 'a'",
	}, []string{"a"}, []string{"moved"}},
	{
		"child insert", "",
		[]string{"INSERT INTO note_tags (note_id, rank, name) VALUES ('a', 7, 'late')"},
		nil,
		[]string{"a"},
	},
	{
		"child update", "",
		[]string{"UPDATE note_tags SET name = 'late' WHERE note_id = 'a' AND rank = 5"},
		nil,
		[]string{"a"},
	},
	{"child delete", "", []string{"DELETE FROM note_tags WHERE note_id = 'a' AND rank = 5"}, nil, []string{"a"}},
	{
		"child moved", "",
		[]string{"UPDATE note_tags SET note_id = 'b', rank = 9 WHERE note_id = 'a' AND rank = 5"},
		nil,
		[]string{"a", "b"},
	},
	{"delete and insert", "", []string{
		"DELETE FROM note_tags WHERE note_id = 'a'", "DELETE FROM notes WHERE id = 'a'",
		"INSERT INTO notes (id, title, priority) VALUES ('a', 'another', 1)",
	}, nil, []string{"a"}},
	{
		"upsert", "",
		[]string{"INSERT INTO notes (id, title, priority) VALUES ('a', 'x', 1) ON CONFLICT (id) DO UPDATE SET title = 'past us'"},
		nil,
		[]string{"a"},
	},
	{"replace", "sqlite", []string{
		"DELETE FROM note_tags WHERE note_id = 'a'",
		"REPLACE INTO notes (id, title, priority) VALUES ('a', 'past us', 1)",
	}, nil, []string{"a"}},
	{
		"insert or ignore", "sqlite",
		[]string{"INSERT OR IGNORE INTO notes (id, title, priority) VALUES ('new', 'past us', 1)"},
		nil,
		[]string{"new"},
	},
	{
		"update or ignore", "sqlite",
		[]string{"UPDATE OR IGNORE notes SET title = 'past us' WHERE id = 'a'"},
		nil,
		[]string{"a"},
	},
	{
		"child replace", "sqlite",
		[]string{"REPLACE INTO note_tags (note_id, rank, name) VALUES ('a', 5, 'late')"},
		nil,
		[]string{"a"},
	},
	{"truncate", "postgres", []string{"TRUNCATE notes CASCADE"}, []string{"a", "b"}, nil},
	{"truncate of children", "postgres", []string{"TRUNCATE note_tags"}, nil, []string{"a", "b"}},
	{"truncate and insert", "postgres", []string{
		"TRUNCATE notes, note_tags, comments",
		"INSERT INTO notes (id, title, priority) VALUES ('a', 'another', 1)",
	}, []string{"b"}, []string{"a"}},
	{"keys that move up, as by delete and insert", "postgres", []string{
		"DELETE FROM note_tags",
		"UPDATE notes SET id = CASE id WHEN 'a' THEN 'c' ELSE 'a' END",
	}, []string{"b"}, []string{"a", "c"}},
	{"insert as a replica", "postgres", []string{
		"SET LOCAL session_replication_role = replica",
		"INSERT INTO notes (id, title, priority) VALUES ('new', 'past us', 1)",
	}, nil, []string{"new"}},
	{
		"change of key as a replica", "postgres",
		[]string{
			"SET LOCAL session_replication_role = replica",
			"DELETE FROM note_tags WHERE note_id = 'a'", "UPDATE notes SET id = 'moved' WHERE id = 'a'",
		},
		[]string{"a"},
		[]string{"moved"},
	},
	{"many at once", "postgres", []string{
		"UPDATE notes SET title = 'past us'",
		"UPDATE note_tags SET rank = rank + 20",
	}, nil, []string{"a", "b"}},
	{"as a replica", "postgres", []string{
		"SET LOCAL session_replication_role = replica",
		"UPDATE notes SET title = 'past us' WHERE id = 'a'",
	}, nil, []string{"a"}},
	{"children as a replica", "postgres", []string{
		"SET LOCAL session_replication_role = replica",
		"DELETE FROM note_tags WHERE note_id = 'a'",
	}, nil, []string{"a"}},
	{
		"copy", "postgres",
		[]string{"COPY notes (id, title, priority) FROM PROGRAM 'printf \"new,past us,1\\n\"' (FORMAT csv)"},
		nil,
		[]string{"new"},
	},
	{"with columns of our names", "postgres", []string{
		"ALTER TABLE notes ADD COLUMN IF NOT EXISTS mark_id text, ADD COLUMN IF NOT EXISTS ours text, ADD COLUMN IF NOT EXISTS own text, ADD COLUMN IF NOT EXISTS token text",
		"ALTER TABLE note_tags ADD COLUMN IF NOT EXISTS mark_id text, ADD COLUMN IF NOT EXISTS ours text, ADD COLUMN IF NOT EXISTS own text, ADD COLUMN IF NOT EXISTS token text",
		"UPDATE notes SET title = 'past us' WHERE id = 'a'",
		"INSERT INTO note_tags (note_id, rank, name) VALUES ('b', 7, 'late')",
	}, nil, []string{"a", "b"}},
	{
		"merge by a writable CTE", "postgres",
		[]string{"WITH d AS (DELETE FROM note_tags WHERE note_id = 'a' RETURNING *) UPDATE notes SET title = 'past us' WHERE id = 'b'"},
		nil,
		[]string{"a", "b"},
	},
	{"by a role without rights on our tables", "postgres", []string{
		"SET LOCAL ROLE old_program",
		"UPDATE notes SET title = 'past us' WHERE id = 'a'",
		"INSERT INTO note_tags (note_id, rank, name) VALUES ('a', 7, 'late')",
	}, nil, []string{"a"}},
	{"by a trigger of V1's own", "postgres", []string{
		"CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE note_tags SET name = ''late'' WHERE note_id = NEW.id; RETURN NULL; END'",
		"CREATE TRIGGER own AFTER UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION own()",
		"UPDATE notes SET title = 'past us' WHERE id = 'a'",
	}, nil, []string{"a"}},
}

// isolations are the levels at which another program may work.
func isolations(url string) []string {
	if strings.HasPrefix(url, "sqlite") {
		return []string{""}
	}
	return []string{"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"}
}

// past runs statements as another program does, in one transaction at an isolation level.
func past(raw *sql.DB, isolation string, statements ...string) error {
	change, err := raw.Begin()
	if err != nil {
		return err
	}
	defer change.Rollback() //nolint:errcheck // it is over where it was committed
	if isolation != "" {
		statements = append([]string{"SET TRANSACTION ISOLATION LEVEL " + isolation}, statements...)
	}
	for _, s := range statements {
		if _, err := change.Exec(s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return change.Commit()
}

func oldProgram(t *testing.T, raw *sql.DB, url string) {
	t.Helper()
	if strings.HasPrefix(url, "postgres") {
		repotest.Exec(t, raw,
			"DO $$ BEGIN CREATE ROLE old_program; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
			"GRANT SELECT, INSERT, UPDATE, DELETE ON notes, note_tags TO old_program")
		t.Cleanup(func() { repotest.Exec(t, raw, "DROP OWNED BY old_program") })
	}
}

// A write past the server, whatever it is and at whatever isolation level, is seen by the next V2 read: before the row
// has migrated, and after. The guard is the trigger of each table; without the one on note_tags, say, child writes go
// unnoticed.
func TestBypassWritesAreSeen(t *testing.T) {
	t.Parallel()
	for n, c := range bypasses {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			on(t, c.database, func(t *testing.T, url string) {
				b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
				raw := repotest.Raw(t, url)
				oldProgram(t, raw, url)
				for i, isolation := range isolations(url) {
					if i > 0 && (i+n)%2 == 0 { // one of the two that are alike
						continue
					}
					for _, migrated := range []bool{true, false} {
						// a snapshot is a snapshot: each of the two once
						if i > 0 && migrated == (isolation == "SERIALIZABLE") {
							continue
						}
						seed := []repotest.NoteV1{note("a", "work: begin"), note("b", "b")}
						for _, n := range seed {
							if err := b.Notes.Delete(t.Context(), n.ID, nil); i > 0 && err != nil &&
								err != repo.ErrNotFound { //nolint:errorlint // exactly that
								t.Fatal(err)
							}
							if _, err := b.Notes.CreateV1(t.Context(), n); err != nil && migrated {
								t.Fatal(err)
							}
						}
						version := map[string]int64{}
						if migrated {
							for _, key := range []string{"a", "b"} {
								version[key] = updateV2(t, b, key, pin).Version
							}
						} else {
							repotest.Exec(t, raw, "DELETE FROM notes_v2_labels", "DELETE FROM notes_v2",
								"DELETE FROM note_tags", "DELETE FROM notes", "DELETE FROM coexist_note_mark")
							insert(t, b, seed...)
							repotest.Exec(t, raw, "DELETE FROM coexist_note_mark")
						}
						statements := slices.Clone(c.statements)
						if strings.HasPrefix(statements[0], "CREATE FUNCTION") {
							statements[0] = strings.Replace(statements[0], "CREATE", "CREATE OR REPLACE", 1)
							statements = slices.Insert(statements, 1, "DROP TRIGGER IF EXISTS own ON notes")
						}
						before, err := b.Control.Capture(t.Context(), "NOTE")
						if err != nil {
							t.Fatal(err)
						}
						if err := past(raw, isolation, statements...); err != nil {
							t.Fatalf("the other program fails: %v", err)
						}
						for _, key := range c.gone {
							wantErr(t, errOf(b.Notes.GetV2(t.Context(), key)), repo.ErrNotFound)
						}
						for _, key := range c.changed {
							r := agree(t, b, key)
							if !r.Copy.Stored || r.Version <= version[key] && version[key] > 0 {
								t.Errorf("%s is %+v, it was at version %d", key, r, version[key])
							}
							if refined := version[key] > 0 && !strings.Contains(c.name, "insert") ||
								c.name == "child insert" && migrated; refined && r.Value.PinnedReason == nil {
								t.Errorf("%s loses what only V2 knows: %+v", key, r.Value)
							}
							if strings.HasSuffix(c.name, "and insert") && r.Value.PinnedReason != nil {
								t.Errorf("the old note comes back: %+v", r.Value)
							}
						}
						after, err := b.Control.Capture(t.Context(), "NOTE")
						if err != nil || after.BypassWrites <= before.BypassWrites || after.LastBypassWriteAt == nil {
							t.Errorf("capture goes from %+v to %+v, %v", before, after, err)
						}
						repotest.Exec(t, raw, "DELETE FROM note_tags", "DELETE FROM notes")
						if c.database == "postgres" {
							repotest.Exec(t, raw, "DROP TRIGGER IF EXISTS own ON notes")
						}
						if run := sweep(t, b, repo.SweepRequest{}); run.Status != repo.Succeeded || copies(t, b) != 0 {
							t.Errorf("the sweep is %+v and leaves %d copies", run, copies(t, b))
						}
						if t.Failed() {
							t.Fatalf("at %s, migrated before: %v", isolation, migrated)
						}
					}
				}
			})
		})
	}
}

// Where V2 leads another program's write would be nowhere: it is rejected, loudly, and says what to do.
func TestBypassWritesAreRejectedWhereV2Leads(t *testing.T) {
	t.Parallel()
	for _, phase := range []repo.Phase{repo.Cutover, repo.Contract} {
		t.Run(strings.ToLower(string(phase)), func(t *testing.T) {
			inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
				raw := repotest.Raw(t, b.URL)
				oldProgram(t, raw, b.URL)
				insert(t, b, note("a", "work: begin"), note("b", "b"))
				advance(t, b, phase)
				before, err := b.Control.Capture(t.Context(), "NOTE")
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range bypasses {
					if c.database != "" && !strings.HasPrefix(b.URL, c.database) {
						continue
					}
					for _, isolation := range isolations(b.URL) {
						err := past(raw, isolation, c.statements...)
						if err == nil || !strings.Contains(err.Error(), "no longer the truth") ||
							!strings.Contains(err.Error(), "NOTE") {
							t.Errorf("%s, %s: %v", c.name, isolation, err)
						}
					}
				}
				// What changes nothing is no write.
				if err := past(raw, "", "UPDATE notes SET title = 'x' WHERE id = 'z'",
					"DELETE FROM note_tags WHERE note_id = 'z'"); err != nil {
					t.Error(err)
				}
				for _, key := range []string{"a", "b"} {
					if v1 := getV1(t, b, key); len(v1.Tags) != 2 {
						t.Errorf("%+v", v1)
					}
				}
				if n := repotest.One[int64](t, raw,
					"SELECT count(*) FROM note_tags t JOIN notes n ON n.id = t.note_id"); n != 4 {
					t.Errorf("%d tags are left", n)
				}
				if after, err := b.Control.Capture(t.Context(), "NOTE"); err != nil ||
					after.BypassWrites != before.BypassWrites {
					t.Errorf("%+v, %v", after, err)
				}
			})
		})
	}
}

// The log of bypass writes is kept short by Work, and loses no count.
func TestTheLogOfBypassWritesIsFolded(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		raw := repotest.Raw(t, b.URL)
		repotest.Exec(t, raw,
			"INSERT INTO coexist_bypass (entity, count, at) VALUES ('NOTE', 1, '2001-01-01T00:00:00.000Z'), ('NOTE', 2, '2002-01-01T00:00:00.000Z')",
			"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) INSERT INTO coexist_bypass (entity, count, at) SELECT 'COMMENT', 2, '2003-01-01T00:00:00.000Z' FROM n")
		work(t, b)
		lines := func(entity string) int64 {
			return repotest.One[int64](t, raw, "SELECT count(*) FROM coexist_bypass WHERE entity = $1", entity)
		}
		repotest.Until(t, "the log is folded", func() bool { return lines("COMMENT") == 1 })
		capture, err := b.Control.Capture(t.Context(), "COMMENT")
		if err != nil || capture.BypassWrites != 2400 || capture.LastBypassWriteAt.Year() != 2003 ||
			lines("NOTE") != 2 {
			t.Errorf("%+v, %v", capture, err)
		}
	})
}
