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
	{"insert", "", []string{"INSERT INTO notes (id, title, priority) VALUES ('new', 'past us', 1)"}, nil, []string{"new"}},
	{"delete", "", []string{"DELETE FROM note_tags WHERE note_id = 'a'", "DELETE FROM notes WHERE id = 'a'"}, []string{"a"}, nil},
	{"change of key", "", []string{"DELETE FROM note_tags WHERE note_id = 'a'", "UPDATE notes SET id = 'moved' WHERE id = 'a'"}, []string{"a"}, []string{"moved"}},
	{"child insert", "", []string{"INSERT INTO note_tags (note_id, rank, name) VALUES ('a', 7, 'late')"}, nil, []string{"a"}},
	{"child update", "", []string{"UPDATE note_tags SET name = 'late' WHERE note_id = 'a' AND rank = 5"}, nil, []string{"a"}},
	{"child delete", "", []string{"DELETE FROM note_tags WHERE note_id = 'a' AND rank = 5"}, nil, []string{"a"}},
	{"child moved", "", []string{"UPDATE note_tags SET note_id = 'b', rank = 9 WHERE note_id = 'a' AND rank = 5"}, nil, []string{"a", "b"}},
	{"delete and insert", "", []string{"DELETE FROM note_tags WHERE note_id = 'a'", "DELETE FROM notes WHERE id = 'a'", "INSERT INTO notes (id, title, priority) VALUES ('a', 'another', 1)"}, nil, []string{"a"}},
	{"upsert", "", []string{"INSERT INTO notes (id, title, priority) VALUES ('a', 'x', 1) ON CONFLICT (id) DO UPDATE SET title = 'past us'"}, nil, []string{"a"}},
	{"replace", "sqlite", []string{"DELETE FROM note_tags WHERE note_id = 'a'", "REPLACE INTO notes (id, title, priority) VALUES ('a', 'past us', 1)"}, nil, []string{"a"}},
	{"insert or ignore", "sqlite", []string{"INSERT OR IGNORE INTO notes (id, title, priority) VALUES ('new', 'past us', 1)"}, nil, []string{"new"}},
	{"update or ignore", "sqlite", []string{"UPDATE OR IGNORE notes SET title = 'past us' WHERE id = 'a'"}, nil, []string{"a"}},
	{"child replace", "sqlite", []string{"REPLACE INTO note_tags (note_id, rank, name) VALUES ('a', 5, 'late')"}, nil, []string{"a"}},
	{"truncate", "postgres", []string{"TRUNCATE notes CASCADE"}, []string{"a", "b"}, nil},
	{"truncate of children", "postgres", []string{"TRUNCATE note_tags"}, nil, []string{"a", "b"}},
	{"truncate and insert", "postgres", []string{"TRUNCATE notes, note_tags, comments", "INSERT INTO notes (id, title, priority) VALUES ('a', 'another', 1)"}, []string{"b"}, []string{"a"}},
	{"keys that move up, as by delete and insert", "postgres", []string{"DELETE FROM note_tags", "UPDATE notes SET id = CASE id WHEN 'a' THEN 'c' ELSE 'a' END"}, []string{"b"}, []string{"a", "c"}},
	{"insert as a replica", "postgres", []string{"SET LOCAL session_replication_role = replica", "INSERT INTO notes (id, title, priority) VALUES ('new', 'past us', 1)"}, nil, []string{"new"}},
	{"change of key as a replica", "postgres", []string{"SET LOCAL session_replication_role = replica", "DELETE FROM note_tags WHERE note_id = 'a'", "UPDATE notes SET id = 'moved' WHERE id = 'a'"}, []string{"a"}, []string{"moved"}},
	{"many at once", "postgres", []string{"UPDATE notes SET title = 'past us'", "UPDATE note_tags SET rank = rank + 20"}, nil, []string{"a", "b"}},
	{"as a replica", "postgres", []string{"SET LOCAL session_replication_role = replica", "UPDATE notes SET title = 'past us' WHERE id = 'a'"}, nil, []string{"a"}},
	{"children as a replica", "postgres", []string{"SET LOCAL session_replication_role = replica", "DELETE FROM note_tags WHERE note_id = 'a'"}, nil, []string{"a"}},
	{"copy", "postgres", []string{"COPY notes (id, title, priority) FROM PROGRAM 'printf \"new,past us,1\\n\"' (FORMAT csv)"}, nil, []string{"new"}},
	{"with columns of our names", "postgres", []string{
		"ALTER TABLE notes ADD COLUMN IF NOT EXISTS mark_id text, ADD COLUMN IF NOT EXISTS ours text, ADD COLUMN IF NOT EXISTS own text, ADD COLUMN IF NOT EXISTS token text",
		"ALTER TABLE note_tags ADD COLUMN IF NOT EXISTS mark_id text, ADD COLUMN IF NOT EXISTS ours text, ADD COLUMN IF NOT EXISTS own text, ADD COLUMN IF NOT EXISTS token text",
		"UPDATE notes SET title = 'past us' WHERE id = 'a'", "INSERT INTO note_tags (note_id, rank, name) VALUES ('b', 7, 'late')",
	}, nil, []string{"a", "b"}},
	{"merge by a writable CTE", "postgres", []string{"WITH d AS (DELETE FROM note_tags WHERE note_id = 'a' RETURNING *) UPDATE notes SET title = 'past us' WHERE id = 'b'"}, nil, []string{"a", "b"}},
	{"by a role without rights on our tables", "postgres", []string{"SET LOCAL ROLE old_program", "UPDATE notes SET title = 'past us' WHERE id = 'a'", "INSERT INTO note_tags (note_id, rank, name) VALUES ('a', 7, 'late')"}, nil, []string{"a"}},
	{"by a trigger of V1's own", "postgres", []string{
		"CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE note_tags SET name = ''late'' WHERE note_id = NEW.id; RETURN NULL; END'",
		"CREATE TRIGGER own AFTER UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION own()", "UPDATE notes SET title = 'past us' WHERE id = 'a'",
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
		repotest.Exec(t, raw, "DO $$ BEGIN CREATE ROLE old_program; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$",
			"GRANT SELECT, INSERT, UPDATE, DELETE ON notes, note_tags TO old_program")
		t.Cleanup(func() { repotest.Exec(t, raw, "DROP OWNED BY old_program") })
	}
}

// A write past the server, whatever it is and at whatever isolation level, is seen by the next V2 read: before the row has
// migrated, and after. The guard is the trigger of each table; without the one on note_tags, say, child writes go unnoticed.
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
						if i > 0 && migrated == (isolation == "SERIALIZABLE") { // a snapshot is a snapshot: each of the two once
							continue
						}
						seed := []repotest.NoteV1{note("a", "work: begin"), note("b", "b")}
						for _, n := range seed {
							if err := b.Notes.Delete(t.Context(), n.ID, nil); i > 0 && err != nil && err != repo.ErrNotFound { //nolint:errorlint // exactly that
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
							repotest.Exec(t, raw, "DELETE FROM notes_v2_labels", "DELETE FROM notes_v2", "DELETE FROM note_tags", "DELETE FROM notes", "DELETE FROM coexist_note_mark")
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
							if refined := version[key] > 0 && !strings.Contains(c.name, "insert") || c.name == "child insert" && migrated; refined && r.Value.PinnedReason == nil {
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
						if err == nil || !strings.Contains(err.Error(), "no longer the truth") || !strings.Contains(err.Error(), "NOTE") {
							t.Errorf("%s, %s: %v", c.name, isolation, err)
						}
					}
				}
				// What changes nothing is no write.
				if err := past(raw, "", "UPDATE notes SET title = 'x' WHERE id = 'z'", "DELETE FROM note_tags WHERE note_id = 'z'"); err != nil {
					t.Error(err)
				}
				for _, key := range []string{"a", "b"} {
					if v1 := getV1(t, b, key); len(v1.Tags) != 2 {
						t.Errorf("%+v", v1)
					}
				}
				if n := repotest.One[int64](t, raw, "SELECT count(*) FROM note_tags t JOIN notes n ON n.id = t.note_id"); n != 4 {
					t.Errorf("%d tags are left", n)
				}
				if after, err := b.Control.Capture(t.Context(), "NOTE"); err != nil || after.BypassWrites != before.BypassWrites {
					t.Errorf("%+v, %v", after, err)
				}
			})
		})
	}
}

// Cascades: of another program's delete, of V1's own foreign keys.
func TestCascades(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		raw := repotest.Raw(t, url)
		repotest.Exec(t, raw, "CREATE TABLE notes (id varchar(12) NOT NULL PRIMARY KEY, title varchar(40) NOT NULL, body text, priority smallint NOT NULL)",
			"CREATE TABLE note_tags (note_id varchar(12) NOT NULL REFERENCES notes (id) ON DELETE CASCADE ON UPDATE CASCADE, rank smallint NOT NULL, name varchar(20) NOT NULL, PRIMARY KEY (note_id, rank))",
			"CREATE TABLE comments (id integer NOT NULL PRIMARY KEY, note_id varchar(12) REFERENCES notes (id) ON DELETE CASCADE ON UPDATE CASCADE, words varchar(30) NOT NULL)")
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		insert(t, b, note("a", "work: begin"), note("b", "b"))
		for i, key := range []string{"a", "b"} {
			if _, err := b.Comments.CreateV1(t.Context(), repotest.CommentV1{ID: int32(i + 1), NoteID: &key, Words: "x"}); err != nil {
				t.Fatal(err)
			}
			getV2(t, b, key)
		}
		if err := past(raw, "", "UPDATE notes SET id = 'moved' WHERE id = 'a'", "DELETE FROM notes WHERE id = 'b'"); err != nil {
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

// UPDATE OR REPLACE and REPLACE can remove another row without any trigger, by a unique index on an expression: a verification finds that.
func TestWhatNoTriggerSees(t *testing.T) {
	t.Parallel()
	url := repotest.SQLite(t)
	raw := repotest.Raw(t, url)
	repotest.Exec(t, raw, "CREATE TABLE notes (id varchar(12) NOT NULL PRIMARY KEY, title varchar(40) NOT NULL, body text, priority smallint NOT NULL)", "CREATE UNIQUE INDEX own_lower ON notes (lower(title))",
		"CREATE TABLE note_tags (note_id varchar(12) NOT NULL, rank smallint NOT NULL, name varchar(20) NOT NULL, PRIMARY KEY (note_id, rank))",
		"CREATE TABLE comments (id integer NOT NULL PRIMARY KEY, note_id varchar(12), words varchar(30) NOT NULL)")
	b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
	insert(t, b, note("a", "a"), note("b", "b"), note("c", "c"), note("d", "d"))
	clean(t, b, sweep(t, b, repo.SweepRequest{}))
	repotest.Exec(t, raw, "UPDATE OR REPLACE notes SET title = 'b' WHERE id = 'a'", "REPLACE INTO notes (id, title, priority) VALUES ('c', 'd', 1)")
	agree(t, b, "a")
	agree(t, b, "c")
	run := verify(t, b, false)
	page, err := b.Control.Findings(t.Context(), run.ID, 10, "")
	if err != nil || run.Faults != 2 || len(page.Findings) != 2 || page.Findings[0].Key != "b" || page.Findings[0].Kind != repo.Orphan || page.Findings[1].Key != "d" {
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
				n.Title, n.Tags = string(phase), []repotest.Tag{{Rank: int16(len(phase)), Name: "x"}, {Rank: 5, Name: string(phase)}}
			})
			if phase != repo.Expand {
				updateV2(t, b, "b", func(n *repotest.NoteV2) { n.Headline, n.Labels = string(phase), nil })
			}
			if _, err := b.Notes.CreateV1(t.Context(), note("c", "c")); err != nil {
				t.Fatal(err)
			}
			deleteNote(t, b, "c")
			if n := repotest.One[int64](t, raw, "SELECT count(*) FROM coexist_note_mark WHERE bypass OR kind <> 'GONE' AND (SELECT phase FROM coexist_entity WHERE name = 'NOTE') <> 'EXPAND'"); n != 0 {
				t.Errorf("%s: own writes leave %d marks", phase, n)
			}
		}
		if capture, err := b.Control.Capture(t.Context(), "NOTE"); err != nil || capture.BypassWrites != 0 || !capture.Enabled || capture.LastBypassWriteAt != nil {
			t.Errorf("%+v, %v", capture, err)
		}
	})
}

// Installing looks in the catalog first: where all is there nothing is created, so that nobody's lock is waited for.
func TestInstallLooksFirst(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		repotest.OpenNotes(t, url, repotest.Setup{})
		other := repotest.DescribeNotes(t, url, repotest.Setup{})
		for _, s := range other.Statements(func() {
			if err := other.DB.Install(t.Context()); err != nil {
				t.Error(err)
			}
		}) {
			if strings.Contains(s, "TRIGGER") || strings.Contains(s, "FUNCTION") || strings.HasPrefix(s, "DROP") {
				t.Errorf("a second installation sends %s", s)
			}
		}
	})
}

// Installing never makes an old program wait for long: the lock timeout of postgres.capture. While one keeps its transaction
// open, the triggers wait, and whoever comes after waits for a moment only. Without it the second program waits for ten seconds.
func TestInstallDoesNotStopOldPrograms(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	raw := repotest.Raw(t, url)
	b := repotest.DescribeNotes(t, url, repotest.Setup{})
	if err := b.DB.CreateV1Tables(t.Context()); err != nil {
		t.Fatal(err)
	}
	open, err := raw.Begin()
	if err != nil {
		t.Fatal(err)
	}
	repotest.Exec(t, open, "INSERT INTO notes (id, title, priority) VALUES ('a', 'a', 1)")
	installed := make(chan error, 1)
	go func() { installed <- b.DB.Install(t.Context()) }()
	repotest.Until(t, "the installation waits", func() bool { return waiting(t, raw) })
	if err := past(raw, "", "SET LOCAL lock_timeout = '2s'", "INSERT INTO notes (id, title, priority) VALUES ('b', 'b', 1)"); err != nil {
		t.Errorf("another program: %v", err)
	}
	if err := open.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-installed; err != nil {
		t.Fatal(err)
	}
	if err := b.DB.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if capture, err := b.Control.Capture(t.Context(), "NOTE"); err != nil || !capture.Enabled {
		t.Errorf("%+v, %v", capture, err)
	}
}

// Where the server's role does not own V1 it installs what it may; the gate says what is missing.
func TestInstallWithoutRightsOnV1(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	raw := repotest.Raw(t, url)
	owner := repotest.DescribeNotes(t, repotest.Pinned(url), repotest.Setup{})
	if err := owner.DB.CreateV1Tables(t.Context()); err != nil {
		t.Fatal(err)
	}
	role := repotest.NewRole(t, url)
	repotest.Exec(t, raw, "GRANT CREATE, USAGE ON SCHEMA public TO "+role, "GRANT SELECT, INSERT, UPDATE, DELETE ON notes, note_tags, comments TO "+role)
	b := repotest.DescribeNotes(t, repotest.WithUser(t, url, role), repotest.Setup{Phase: repo.Migrate})
	if err := b.DB.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.DB.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if capture, err := b.Control.Capture(t.Context(), "NOTE"); err != nil || capture.Enabled {
		t.Errorf("%+v, %v", capture, err)
	}
	insert(t, b, note("a", "a"))
	clean(t, b, sweep(t, b, repo.SweepRequest{}))
	clean(t, b, verify(t, b, false))
	wantBlocker(t, closed(t, b, repo.Cutover, "CAPTURE_OFF"), repo.CaptureOff, 1, "", "capture")
	// A DBA runs the printed script.
	script, err := owner.DB.DDL(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	repotest.Exec(t, raw, script)
	if capture, err := b.Control.Capture(t.Context(), "NOTE"); err != nil || !capture.Enabled {
		t.Errorf("%+v, %v", capture, err)
	}
	repotest.Exec(t, raw, "UPDATE notes SET title = 'past us' WHERE id = 'a'")
	if r := agree(t, b, "a"); r.Value.Headline != "past us" {
		t.Errorf("%+v", r)
	}
}

// A change that nobody captured and that a reader has overlapped: the mark that SetCapture leaves, also where there is no copy
// yet. Without it the reader's copy, which lacks the change, counts as fresh for good.
func TestAReaderAcrossAGapInTheCapture(t *testing.T) {
	t.Parallel()
	for _, copied := range []bool{false, true} {
		t.Run(fmt.Sprint("copied ", copied), func(t *testing.T) {
			inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
				insert(t, b, note("a", "work: begin"), note("b", "b"))
				if copied {
					getV2(t, b, "b")
				}
				setCapture(t, b, false)
				pause := b.PauseConversion("a")
				read := make(chan error, 1)
				go func() { read <- errOf(b.Notes.GetV2(t.Context(), "a")) }()
				pause.Wait()
				repotest.Exec(t, repotest.Raw(t, b.URL), "UPDATE notes SET title = 'unseen' WHERE id = 'a'")
				setCapture(t, b, true)
				pause.Release()
				if err := <-read; err != nil {
					t.Error(err)
				}
				if r := agree(t, b, "a"); r.Value.Headline != "unseen" {
					t.Errorf("a copy that lacks a change counts as fresh: %+v", r)
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
		repotest.Exec(t, raw, "INSERT INTO coexist_bypass (entity, count, at) VALUES ('NOTE', 1, '2001-01-01T00:00:00.000Z'), ('NOTE', 2, '2002-01-01T00:00:00.000Z')",
			"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200) INSERT INTO coexist_bypass (entity, count, at) SELECT 'COMMENT', 2, '2003-01-01T00:00:00.000Z' FROM n")
		work(t, b)
		lines := func(entity string) int64 {
			return repotest.One[int64](t, raw, "SELECT count(*) FROM coexist_bypass WHERE entity = $1", entity)
		}
		repotest.Until(t, "the log is folded", func() bool { return lines("COMMENT") == 1 })
		capture, err := b.Control.Capture(t.Context(), "COMMENT")
		if err != nil || capture.BypassWrites != 2400 || capture.LastBypassWriteAt.Year() != 2003 || lines("NOTE") != 2 {
			t.Errorf("%+v, %v", capture, err)
		}
	})
}

func setCapture(t *testing.T, b *repotest.Bench, on bool) {
	t.Helper()
	if capture, err := b.Control.SetCapture(t.Context(), "NOTE", on); err != nil || capture.Enabled != on {
		t.Fatalf("%+v, %v", capture, err)
	}
}

// An old program never waits for us: while an own writer is held in its change, another program writes other rows and new child
// rows of the same one, and what it has written is in the copy afterwards.
func TestAnOldProgramDoesNotWaitForAnOwnWriter(t *testing.T) {
	t.Parallel()
	for _, phase := range []repo.Phase{repo.Expand, repo.Migrate} {
		for _, isolation := range []string{"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"} {
			t.Run(string(phase)+" "+isolation, func(t *testing.T) {
				b := repotest.OpenNotes(t, repotest.Postgres(t), repotest.Setup{Phase: phase})
				raw := repotest.Raw(t, b.URL)
				insert(t, b, note("a", "work: begin"), note("b", "b"))
				shapes := []string{"V1"}
				if phase == repo.Migrate {
					shapes = append(shapes, "V2")
				}
				for i, shape := range shapes {
					writing, goOn := make(chan struct{}), make(chan struct{})
					calls := 0
					hold := func() {
						if calls++; calls == 1 {
							close(writing)
							<-goOn
						}
					}
					wrote := make(chan error, 1)
					go func() {
						if shape == "V2" {
							wrote <- errOf(b.Notes.UpdateV2(t.Context(), "a", nil, func(n *repotest.NoteV2) error { hold(); pin(n); n.Headline = "V2"; return nil }))
						} else {
							wrote <- errOf(b.Notes.UpdateV1(t.Context(), "a", func(n *repotest.NoteV1) error { hold(); n.Title = "V1"; return nil }))
						}
					}()
					<-writing
					err := past(raw, isolation, "SET LOCAL lock_timeout = '1s'", "UPDATE notes SET title = 'past us' WHERE id = 'b'",
						fmt.Sprintf("INSERT INTO note_tags (note_id, rank, name) VALUES ('a', %d, 'late')", 20+i))
					if err != nil {
						t.Errorf("the old program fails: %v", err)
					}
					close(goOn)
					if err := <-wrote; err != nil {
						t.Errorf("our write fails: %v", err)
					}
					r := agree(t, b, "a")
					if n := len(getV1(t, b, "a").Tags); n != 3+i || r.Value.Headline != shape {
						t.Errorf("%d tags, %+v", n, r.Value)
					}
					agree(t, b, "b")
				}
				if n := repotest.One[int64](t, raw, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"); n > 0 {
					t.Errorf("%d dead-locks", n)
				}
			})
		}
	}
}

// An old program that asks lastval() for the key of the row it has just inserted gets it, whatever the triggers do after that.
func TestCaptureLeavesLastvalAlone(t *testing.T) {
	t.Parallel()
	b := repotest.OpenNotes(t, repotest.Postgres(t), repotest.Setup{Phase: repo.Migrate})
	old, err := repotest.Raw(t, b.URL).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close() //nolint:errcheck // the test is over
	for _, statement := range []string{
		"CREATE SEQUENCE old_keys START 41", "INSERT INTO notes (id, title, priority) VALUES ('n' || nextval('old_keys'), 'old', 1)",
		"UPDATE notes SET title = 'older'", "INSERT INTO note_tags (note_id, rank, name) VALUES ('n' || lastval(), 1, 'x')",
	} {
		if _, err := old.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	var last int64
	if err := old.QueryRowContext(t.Context(), "SELECT lastval()").Scan(&last); err != nil || last != 41 || marks(t, b, "n41", "CHANGE") != 3 {
		t.Errorf("lastval is %d (%v), %d marks", last, err, marks(t, b, "n41", "CHANGE"))
	}
}
