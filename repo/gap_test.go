package repo_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// captured is what the names of the triggers on notes begin with.
var captured = repo.CaptureName("NOTE", "notes")

const unseenWrite = "UPDATE notes SET title = 'unseen' WHERE id = 'a'"

// gaps are ways in which capture may have a gap around a write, with all triggers as they were afterwards, or without
// some of them.
var gaps = map[string]map[string][]string{
	"postgres": {
		"switched off and on": {
			"ALTER TABLE notes DISABLE TRIGGER ALL", unseenWrite,
			"ALTER TABLE notes ENABLE TRIGGER ALL",
		},
		"switched off and always on": {
			"ALTER TABLE notes DISABLE TRIGGER " + captured + "_update", unseenWrite,
			"ALTER TABLE notes ENABLE ALWAYS TRIGGER " + captured + "_update",
		},
		"one switched off and on": {
			"ALTER TABLE notes DISABLE TRIGGER " + captured + "_update", unseenWrite,
			"ALTER TABLE notes ENABLE TRIGGER " + captured + "_update",
		},
		"switched off": {"ALTER TABLE notes DISABLE TRIGGER " + captured + "_update", unseenWrite},
		"only for replication": {"ALTER TABLE notes ENABLE REPLICA TRIGGER " + captured +
			"_update", unseenWrite},
		"that of TRUNCATE, off and on": {
			"ALTER TABLE notes DISABLE TRIGGER USER", unseenWrite,
			"ALTER TABLE notes ENABLE TRIGGER USER",
		},
		"of a child table, off and on": {
			"ALTER TABLE note_tags DISABLE TRIGGER ALL",
			"UPDATE note_tags SET name = 'unseen' WHERE note_id = 'a' AND rank = 1",
			"ALTER TABLE note_tags ENABLE TRIGGER ALL",
		},
		"a trigger dropped":              {"DROP TRIGGER " + captured + "_update ON notes", unseenWrite},
		"a function replaced, and again": {replaceFunction("RETURN NULL;"), unseenWrite, replaceFunction("'||body||'")},
		"a function without a body":      {replaceFunction("RETURN NULL;"), unseenWrite},
		"a column dropped and added": {
			"ALTER TABLE notes DROP COLUMN body",
			"ALTER TABLE notes ADD COLUMN body text", unseenWrite,
		},
		"a formula, and statistics":  {"ALTER TABLE notes ALTER title TYPE varchar(40) USING CASE id WHEN 'a' THEN 'unseen' ELSE title END, ALTER title SET STATISTICS 300"},
		"a formula, and a new file":  {"ALTER TABLE notes ALTER title TYPE varchar(40) USING CASE id WHEN 'a' THEN 'unseen' ELSE title END", "CLUSTER notes USING notes_pkey"},
		"another type, by a formula": {"ALTER TABLE notes ALTER title TYPE varchar(40) USING CASE id WHEN 'a' THEN 'unseen' ELSE title END"},
		"another table": {
			"CREATE TABLE notes_n (LIKE notes INCLUDING ALL)", "INSERT INTO notes_n SELECT * FROM notes",
			"DROP TABLE notes CASCADE", "ALTER TABLE notes_n RENAME TO notes",
			"ALTER TABLE note_tags ADD FOREIGN KEY (note_id) REFERENCES notes", unseenWrite,
		},
	},
	"sqlite": {
		"a table made anew": {
			"CREATE TABLE notes_n (id varchar(12) NOT NULL PRIMARY KEY, title varchar(40) NOT NULL, body text, priority smallint NOT NULL, vat text)",
			"INSERT INTO notes_n SELECT *, NULL FROM notes", "DROP TABLE notes", "ALTER TABLE notes_n RENAME TO notes",
			unseenWrite,
		},
		"a table renamed and made anew": {
			"ALTER TABLE notes RENAME TO notes_old",
			"CREATE TABLE notes (id varchar(12) NOT NULL PRIMARY KEY, title varchar(40) NOT NULL, body text, priority smallint NOT NULL)",
			"INSERT INTO notes SELECT id, title, body, priority FROM notes_old", unseenWrite,
		},
		"triggers dropped": {"DROP TRIGGER " + captured + "_update", unseenWrite},
		"a trigger dropped and made again": {
			"CREATE TEMP TABLE kept AS SELECT sql FROM main.sqlite_schema WHERE name = '" + captured + "_update'",
			"DROP TRIGGER " + captured + "_update", unseenWrite, "MAKE AGAIN",
		},
	},
}

// replaceFunction gives the function of notes another body, of which it keeps the old one.
func replaceFunction(body string) string {
	return `DO $do$ DECLARE body text := (SELECT prosrc FROM pg_proc WHERE proname = '` + captured + `'); BEGIN
		IF body NOT LIKE '%DECLARE%' THEN body := (SELECT old FROM kept_body); ELSE CREATE TABLE kept_body AS SELECT body AS old; END IF;
		EXECUTE 'CREATE OR REPLACE FUNCTION ` + captured + `() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS ' ||
			quote_literal(` + map[bool]string{true: "body", false: "'BEGIN " + body + " END'"}[strings.Contains(body, "body")] + `); END $do$`
}

// makeGap runs statements as one transaction of another program.
func makeGap(t *testing.T, url string, statements []string) {
	t.Helper()
	raw := repotest.Raw(t, url)
	raw.SetMaxOpenConns(1)
	off := "SELECT 1"
	if strings.HasPrefix(url, "sqlite:") {
		off = "PRAGMA foreign_keys = OFF" // as such tools do
	}
	repotest.Exec(t, raw, off)
	tx, err := raw.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range statements {
		if statement == "MAKE AGAIN" {
			if err := tx.QueryRow("SELECT sql FROM kept").Scan(&statement); err != nil {
				t.Fatal(err)
			}
		}
		repotest.Exec(t, tx, statement)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// eachGap runs fn in MIGRATE, with the gate to CUTOVER open, and with gap to make a gap in which note a is changed
// unseen: one of each kind whose names begin with the text.
func eachGap(t *testing.T, names string, fn func(t *testing.T, b *repotest.Bench, gap func())) {
	repotest.Each(t, func(t *testing.T, url string) {
		database := "postgres"
		if strings.HasPrefix(url, "sqlite:") {
			database = "sqlite"
		}
		for name, statements := range gaps[database] {
			if !strings.HasPrefix(name, names) {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				open := repotest.Postgres
				if database == "sqlite" {
					open = repotest.SQLite
				}
				url := open(t)
				b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
				insert(t, b, note("a", "work: begin"), note("b", "b"))
				clean(t, b, sweep(t, b, repo.SweepRequest{}))
				clean(t, b, verify(t, b, false))
				if blockers := gate(t, b, repo.Cutover); len(blockers) > 0 {
					t.Fatalf("blocked: %+v", blockers)
				}
				fn(t, b, func() { makeGap(t, url, statements) })
			})
		}
	})
}

func gapMarks(t *testing.T, b *repotest.Bench) int64 {
	t.Helper()
	return repotest.One[int64](t, repotest.Raw(t, b.URL),
		"SELECT count(*) FROM coexist_note_mark WHERE key IS NULL AND kind = 'ALL_STALE'")
}

// unseen ends the test where note a is answered without the change that nobody captured.
func unseen(t *testing.T, b *repotest.Bench) {
	t.Helper()
	if r := agree(t, b, "a"); r.Value.Headline != "unseen" && !strings.Contains(fmt.Sprint(r.Value.Labels), "unseen") {
		t.Errorf("a copy that lacks a change counts as fresh: %+v", r.Value)
	}
}

// A gap in the capture leaves no trace but the triggers' fingerprint. The gate, a step, a start and a look of Work's
// every 30 seconds find it: every copy is stale then, and the gate is closed until all was swept and verified again.
// The guard is captureState.Kept.
func TestGapsInTheCapture(t *testing.T) {
	t.Parallel()
	eachGap(t, "", func(t *testing.T, b *repotest.Bench, gap func()) {
		gap()
		if err := setPhase(t, b, repo.Cutover); err == nil {
			t.Fatal("CUTOVER after a gap in the capture")
		}
		unseen(t, b)
		if capture, err := b.Control.Capture(t.Context(), "NOTE"); err != nil || !capture.Enabled {
			t.Errorf("%+v, %v", capture, err)
		}
		clean(t, b, verify(t, b, false))
		closed(t, b, repo.Cutover, "STALE NOT_VERIFIED")
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		clean(t, b, verify(t, b, false))
		step(t, b, repo.Cutover)
		unseen(t, b)
	})
}

// The same, where it comes between the gate and the locks of the step: errCaptureGap.
func TestAGapBeforeTheLocksOfAStep(t *testing.T) {
	t.Parallel()
	eachGap(t, "a trigger dropped", func(t *testing.T, b *repotest.Bench, gap func()) {
		if strings.HasPrefix(b.URL, "sqlite:") {
			b.Before("BEGIN IMMEDIATE", gap)
		} else {
			b.Before("LOCK TABLE", gap)
		}
		if err := setPhase(t, b, repo.Cutover); err == nil {
			t.Fatal("CUTOVER after a gap in the capture")
		}
		unseen(t, b)
	})
}

func TestAGapIsFoundAtAStart(t *testing.T) {
	t.Parallel()
	eachGap(t, "a trigger dropped", func(t *testing.T, b *repotest.Bench, gap func()) {
		gap()
		repotest.OpenNotes(t, b.URL, repotest.Setup{})
		unseen(t, b)
	})
}

func TestAGapIsFoundByWork(t *testing.T) {
	t.Parallel()
	eachGap(t, "a trigger dropped", func(t *testing.T, b *repotest.Bench, gap func()) {
		gap()
		work(t, b)
		repotest.Until(t, "Work finds the gap", func() bool { return gapMarks(t, b) == 1 })
		unseen(t, b)
	})
}

// Where V2 leads, what was verified is verified no more either.
func TestAGapWhereV2Leads(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Cutover, func(t *testing.T, b *repotest.Bench) {
		if _, err := b.Notes.CreateV1(t.Context(), note("a", "a")); err != nil {
			t.Fatal(err)
		}
		clean(t, b, verify(t, b, false))
		closed(t, b, repo.Contract, "REFERENCE")
		if strings.HasPrefix(b.URL, "sqlite:") {
			makeGap(t, b.URL, []string{"DROP TRIGGER " + captured + "_update"})
		} else {
			makeGap(t, b.URL, []string{
				"ALTER TABLE notes DISABLE TRIGGER USER",
				"ALTER TABLE notes ENABLE TRIGGER USER",
			})
		}
		closed(t, b, repo.Contract, "CAPTURE_OFF REFERENCE")
		clean(t, b, verify(t, b, false))
		closed(t, b, repo.Contract, "REFERENCE")
	})
}

// A table that becomes one whose writes a trigger does not all see is a gap that stays: the gate says so.
func TestHeirsAreAGap(t *testing.T) {
	t.Parallel()
	for name, statements := range map[string][2]string{
		"an heir": {"CREATE TABLE heirs () INHERITS (notes)", "DROP TABLE heirs"},
		"a partition": {
			"CREATE TABLE wholes (LIKE notes) PARTITION BY RANGE (id); ALTER TABLE wholes ATTACH PARTITION notes FOR VALUES FROM ('0') TO ('z')",
			"ALTER TABLE wholes DETACH PARTITION notes",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := repotest.OpenNotes(t, repotest.Postgres(t), repotest.Setup{Phase: repo.Migrate})
			raw := repotest.Raw(t, b.URL)
			insert(t, b, note("a", "work: begin"), note("b", "b"))
			clean(t, b, sweep(t, b, repo.SweepRequest{}))
			clean(t, b, verify(t, b, false))
			repotest.Exec(t, raw, strings.Split(statements[0], "; ")...)
			closed(t, b, repo.Cutover, "STALE CAPTURE_OFF")
			clean(t, b, sweep(t, b, repo.SweepRequest{}))
			clean(t, b, verify(t, b, false))
			closed(t, b, repo.Cutover, "CAPTURE_OFF")
			if n := gapMarks(t, b); n != 1 {
				t.Errorf("%d gaps", n)
			}
			repotest.Exec(t, raw, statements[1])
			closed(t, b, repo.Cutover, "STALE CAPTURE_OFF")
			clean(t, b, sweep(t, b, repo.SweepRequest{}))
			clean(t, b, verify(t, b, false))
			step(t, b, repo.Cutover)
		})
	}
}

// A gap that comes while a change is recorded that is none, here a wider column, is not recorded with it: the guard is
// the fingerprint that was judged, in place of the one at the time of recording.
func TestAGapBesideWhatIsNone(t *testing.T) {
	t.Parallel()
	b := repotest.OpenNotes(t, repotest.Postgres(t), repotest.Setup{Phase: repo.Migrate})
	raw := repotest.Raw(t, b.URL)
	insert(t, b, note("a", "work: begin"))
	clean(t, b, sweep(t, b, repo.SweepRequest{}))
	clean(t, b, verify(t, b, false))
	repotest.Exec(t, raw, "ALTER TABLE notes ALTER title TYPE varchar(50)")
	b.Before("SET capture_fingerprint", func() { makeGap(t, b.URL, gaps["postgres"]["switched off and always on"]) })
	gate(t, b, repo.Cutover)
	if err := setPhase(t, b, repo.Cutover); err == nil {
		t.Fatal("CUTOVER after a gap in the capture")
	}
	unseen(t, b)
}

// What is no gap leaves every copy fresh.
func TestWhatIsNoGap(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		raw := repotest.Raw(t, b.URL)
		insert(t, b, note("a", "a"))
		advance(t, b, repo.Cutover)
		step(t, b, repo.Migrate)
		repotest.OpenNotes(t, b.URL, repotest.Setup{})
		repotest.Exec(t, raw, "ANALYZE")
		if !strings.HasPrefix(b.URL, "sqlite:") {
			script, err := b.DB.DDL(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			repotest.Exec(t, raw, script, "ALTER TABLE notes ADD COLUMN extra text",
				"ALTER TABLE notes ALTER title TYPE varchar(50)", "CREATE INDEX ON notes (title)",
				"ALTER TABLE notes ALTER title SET STATISTICS 200")
			// by and by: a wider column and another file at once look as if a column had been rewritten
			gate(t, b, repo.Cutover)
			repotest.Exec(t, raw, "VACUUM FULL notes")
			gate(t, b, repo.Cutover)
			// D11. The guard is harmless.
			repotest.Exec(t, raw, "ALTER TABLE notes ALTER title SET STATISTICS 300, ALTER body SET (n_distinct = 7)",
				"GRANT SELECT (priority) ON notes TO PUBLIC", "VACUUM FULL notes")
		}
		gate(t, b, repo.Cutover)
		if n := gapMarks(t, b); n != 0 {
			t.Errorf("%d gaps", n)
		}
	})
}
