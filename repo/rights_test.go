package repo_test

import (
	"context"
	"database/sql"
	_ "embed"
	"log/slog"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// What version 5 created for notes and comments, as its DDL printed it.
var (
	//go:embed testdata/own-tables-5.sqlite.sql
	ownTables5SQLite string
	//go:embed testdata/own-tables-5.postgres.sql
	ownTables5Postgres string
)

// leftByVersion5 makes an installation of version 5.
func leftByVersion5(t *testing.T, url string) {
	t.Helper()
	script := ownTables5SQLite
	if strings.HasPrefix(url, "postgres") {
		script = ownTables5Postgres
	}
	if err := repotest.DescribeNotes(t, url, repotest.Setup{}).DB.CreateV1Tables(t.Context()); err != nil {
		t.Fatal(err)
	}
	repotest.Exec(t, repotest.Raw(t, url), repotest.ByEngine(url, script))
}

// stranger is a role with nothing but the right to connect, with two tables of its own. The key of one is of a type of
// the stranger's, whose cast to text runs code that says in theirs.log as whom it runs.
func stranger(t *testing.T, url string) (role string, connection *sql.DB) {
	t.Helper()
	role = repotest.NewRole(t, url)
	repotest.Exec(t, repotest.Raw(t, url), "CREATE SCHEMA theirs AUTHORIZATION "+role)
	theirs := repotest.Raw(t, repotest.WithUser(t, repotest.Pinned(url), role))
	repotest.Exec(t, theirs, "CREATE TABLE theirs.log (as_whom text)", "CREATE TYPE theirs.evil AS (x text)",
		`CREATE FUNCTION theirs.run(e theirs.evil) RETURNS varchar LANGUAGE plpgsql AS $$ BEGIN INSERT INTO theirs.log VALUES (current_user); RETURN e.x; END $$`,
		"CREATE CAST (theirs.evil AS varchar) WITH FUNCTION theirs.run(theirs.evil) AS ASSIGNMENT",
		"CREATE TABLE theirs.plain (id varchar(12))", "CREATE TABLE theirs.typed (id theirs.evil)")
	return role, theirs
}

// attach puts a capture function on the stranger's tables, as far as it may.
func attach(theirs *sql.DB, function string) error {
	for _, table := range []string{"plain", "typed"} {
		for _, trigger := range []string{
			"row_delete AFTER DELETE ON %s FOR EACH ROW",
			"row_update AFTER UPDATE ON %s FOR EACH ROW", "truncated AFTER TRUNCATE ON %s FOR EACH STATEMENT",
		} {
			if _, err := theirs.Exec("CREATE TRIGGER " + strings.Replace(trigger, "%s", "theirs."+table, 1) +
				" EXECUTE FUNCTION public." + function + "()"); err != nil {
				return err
			}
		}
	}
	return nil
}

// fire does what would leave marks of note a.
func fire(t *testing.T, theirs *sql.DB) {
	t.Helper()
	repotest.Exec(t, theirs, "INSERT INTO theirs.plain VALUES ('a')", "UPDATE theirs.plain SET id = 'a'",
		"DELETE FROM theirs.plain", "TRUNCATE theirs.plain",
		"INSERT INTO theirs.typed VALUES (ROW('a'))", "UPDATE theirs.typed SET id = ROW('a')::theirs.evil",
		"DELETE FROM theirs.typed", "TRUNCATE theirs.typed")
}

// An instance of an earlier version that runs beside a newer one makes its triggers again when it looks. The newer one
// takes them away, since their functions are everybody's and take its writes for another program's: at its next look or
// start, and at once where they reject a write. The guards are in mending and write.
func TestAnEarlierVersionBesideThisOne(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		leftByVersion5(t, url)
		b := repotest.OpenNotes(t, url, repotest.Setup{})
		raw := repotest.Raw(t, url)
		b.SetPhase(repo.Migrate)
		insert(t, b, note("a", "a"))
		_, triggers, _ := strings.Cut(ownTables5Postgres, "CREATE OR REPLACE FUNCTION")
		triggers, _, _ = strings.Cut(triggers, "UPDATE \"public\".\"coexist_entity\" SET capture_fingerprint")
		earlier := func() int64 {
			return repotest.One[int64](t, raw, "SELECT count(*) FROM pg_proc WHERE proname LIKE 'coexist_capture%'")
		}
		for what, do := range map[string]func(){
			"a start": func() {
				if err := b.DB.Install(t.Context()); err != nil {
					t.Error(err)
				}
			},
			"a look": func() { gate(t, b, repo.Cutover) },
			"a write in CUTOVER": func() {
				clean(t, b, sweep(t, b, repo.SweepRequest{}))
				b.SetPhase(repo.Cutover)
				repotest.Exec(t, raw, repotest.ByEngine(url, "CREATE OR REPLACE FUNCTION"+triggers))
				updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Title = "new" })
				agree(t, b, "a")
				b.SetPhase(repo.Migrate)
			},
		} {
			repotest.Exec(t, raw, repotest.ByEngine(url, "CREATE OR REPLACE FUNCTION"+triggers))
			if earlier() == 0 {
				t.Fatal("there are none")
			}
			if what == "a look" { // what the earlier version has recorded
				repotest.Exec(t, raw, "UPDATE coexist_entity SET capture_fingerprint = 'theirs'")
			}
			do()
			if n := earlier(); n > 0 {
				t.Errorf("%s leaves %d functions of an earlier version", what, n)
			}
		}
	})
}

// A role with nothing but the right to connect cannot use the capture's functions, and what it has made of those of an
// earlier version does nothing any more. The guards are REVOKE, and, for who had a trigger already or was given the
// right, the function's first lines.
func TestCaptureFunctionsAreNobodysToUse(t *testing.T) {
	t.Parallel()
	for name, upgraded := range map[string]bool{"new": false, "upgraded": true} {
		t.Run(name, func(t *testing.T) {
			on(t, "postgres", func(t *testing.T, url string) {
				var role string
				var theirs *sql.DB
				if upgraded {
					leftByVersion5(t, url)
					role, theirs = stranger(t, url)
					if err := attach(theirs, "coexist_capture_notes"); err != nil {
						t.Fatalf("version 5 did not let itself be attacked: %v", err)
					}
				}
				b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
				b.SetPhase(repo.Migrate)
				insert(t, b, note("a", "work: begin"))
				updateV2(t, b, "a", pin)
				raw := repotest.Raw(t, url)
				if !upgraded {
					role, theirs = stranger(t, url)
				}
				if err := attach(theirs, captured); err == nil || !strings.Contains(err.Error(),
					"permission denied for function") {
					t.Errorf("anybody may attach a capture function: %v", err)
				}
				repotest.Exec(t, raw, "GRANT EXECUTE ON FUNCTION "+captured+"() TO "+role)
				if err := attach(theirs, captured); !upgraded && err != nil {
					t.Fatal(err)
				}
				fire(t, theirs)
				if n := repotest.One[int64](t, raw, "SELECT count(*) FROM theirs.log"); n != 0 {
					t.Errorf("code of a stranger's ran %d times, as %s", n, repotest.One[string](t, raw,
						"SELECT min(as_whom) FROM theirs.log"))
				}
				if n := repotest.One[int64](t, raw, "SELECT count(*) FROM coexist_note_mark"); n != 0 {
					t.Errorf("a stranger has left %d marks", n)
				}
				r := agree(t, b, "a")
				wantPinned(t, r.Value)
				repotest.Exec(t, raw, "UPDATE notes SET title = 'past us' WHERE id = 'a'")
				if r := agree(t, b, "a"); r.Value.Headline != "past us" {
					t.Errorf("the capture of our own table is lost: %+v", r)
				}
			})
		})
	}
}

// Tables and functions that somebody made under our names before we came are not taken for ours.
func TestTablesOfStrangersAreRefused(t *testing.T) {
	t.Parallel()
	for _, made := range []string{
		"CREATE TABLE public.coexist_entity (name text PRIMARY KEY, phase text, epoch bigint, mapping_version integer)",
		"CREATE SEQUENCE public.coexist_seq",
		"CREATE TABLE public.notes_v2 (id varchar(12) PRIMARY KEY)",
		"CREATE FUNCTION public." + captured + "() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
	} {
		on(t, "postgres", func(t *testing.T, url string) {
			b := repotest.DescribeNotes(t, url, repotest.Setup{})
			if err := b.DB.CreateV1Tables(t.Context()); err != nil {
				t.Fatal(err)
			}
			role, theirs := stranger(t, url)
			// as PUBLIC had before version 15
			repotest.Exec(t, repotest.Raw(t, url), "GRANT CREATE ON SCHEMA public TO "+role)
			repotest.Exec(t, theirs, made)
			if name := strings.Fields(made)[2]; strings.Contains(made, "TABLE") {
				repotest.Exec(t, theirs, "GRANT ALL ON "+name+" TO PUBLIC")
			}
			for does, f := range map[string]func(context.Context) error{"Install": b.DB.Install, "Check": b.DB.Check} {
				if err := f(t.Context()); err == nil || !strings.Contains(err.Error(), "belongs to role "+role) ||
					strings.Contains(err.Error(), "\n") {
					t.Errorf("%s, %s: %v", made, does, err)
				}
			}
		})
	}
}

// Only the temporary table of the transaction's own stages what a run writes, whatever search_path says.
func TestStagedRowsAreOurs(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		role, theirs := stranger(t, url)
		raw := repotest.Raw(t, url)
		repotest.Exec(t, raw, "GRANT CREATE ON SCHEMA public TO "+role)
		repotest.Exec(t, theirs, "CREATE TABLE public.coexist_stage AS SELECT 1 AS one",
			"GRANT ALL ON public.coexist_stage TO PUBLIC")
		repotest.Exec(t, raw,
			"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_temp', current_database()); END $$")
		b.DB.ReplaceConnections()
		many := make([]repotest.NoteV1, 300)
		for i := range many {
			many[i] = note("n"+string(rune('a'+i/26))+string(rune('a'+i%26)), "work: begin")
		}
		insert(t, b, many...)
		if run := sweep(t, b, repo.SweepRequest{}); run.Status != repo.Succeeded || run.Migrated != 300 {
			t.Errorf("%+v", run)
		}
	})
}

// A role that may not make temporary tables, or may not read the secret, which an upgrade by a DBA has made, is told at
// the start, not after the first rows of a sweep or at the first write.
func TestARoleThatLacksARightIsRefused(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		repotest.OpenNotes(t, url, repotest.Setup{})
		role, raw := repotest.NewRole(t, url), repotest.Raw(t, url)
		repotest.Exec(t, raw,
			"DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$",
			"GRANT ALL ON ALL TABLES IN SCHEMA public TO "+role, "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO "+role,
			"REVOKE ALL ON coexist_secret FROM "+role)
		b := repotest.DescribeNotes(t, repotest.WithUser(t, url, role), repotest.Setup{})
		for _, grant := range []string{"TEMPORARY ON DATABASE", `SELECT ON "public"."coexist_secret"`} {
			if err := b.DB.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "GRANT "+grant) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is %v", err)
			}
		}
		repotest.Exec(t, raw,
			"DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database()); END $$",
			"GRANT SELECT ON coexist_secret TO "+role)
		if err := b.DB.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Row-level security that comes while we run hides rows: what is not there proves nothing then. Nothing is deleted for
// it, a run says HIDDEN_ROWS, and reads and writes are unavailable rather than wrong. The guard is fence.check.
func TestRowSecurityThatComesWhileWeRun(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"notes", "note_tags", "coexist_note_mark", "notes_v2"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			on(t, "postgres", func(t *testing.T, url string) {
				owner := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
				insert(t, owner, note("a", "work: begin"), note("b", "b"))
				updateV2(t, owner, "a", pin)
				getV2(t, owner, "b")
				raw := repotest.Raw(t, url)
				role := repotest.NewRole(t, url)
				repotest.Exec(t, raw, "GRANT ALL ON ALL TABLES IN SCHEMA public TO "+role,
					"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO "+role)
				b := repotest.DescribeNotes(t, repotest.WithUser(t, url, role), repotest.Setup{Phase: repo.Migrate})
				if err := b.DB.Check(t.Context()); err != nil {
					t.Fatal(err)
				}
				started, err := b.Control.StartSweep(t.Context(), repo.SweepRequest{Entity: "NOTE", Actor: "test"})
				if err != nil {
					t.Fatal(err)
				}
				repotest.Exec(t, raw, "ALTER TABLE "+table+" ENABLE ROW LEVEL SECURITY",
					"UPDATE notes SET priority = 4 WHERE id = 'a'")
				stop := work(t, b)
				var run repo.Run
				repotest.Until(t, "the run ends", func() bool {
					err := repotest.Raw(t, url).QueryRow(
						"SELECT status, coalesce(error, '') FROM coexist_run WHERE id = $1", started.ID).Scan(
						&run.Status, new(sql.NullString))
					return err == nil && run.Status != repo.Running
				})
				stop()
				if said := repotest.One[string](t, raw, "SELECT error FROM coexist_run WHERE id = $1",
					started.ID); run.Status != repo.Failed || !strings.Contains(said, "HIDDEN_ROWS") {
					t.Errorf("the run is %s: %s", run.Status, said)
				}
				for does, err := range map[string]error{
					"startSweep": errOf(b.Control.StartSweep(t.Context(), repo.SweepRequest{
						Entity: "NOTE",
						Actor:  "test",
					})), "GetV1": errOf(b.Notes.GetV1(t.Context(), "a")),
					"GetV2":    errOf(b.Notes.GetV2(t.Context(), "a")),
					"ListV1":   errOf(b.Notes.ListV1(t.Context(), repo.Query{})),
					"Delete":   b.Notes.Delete(t.Context(), "a", nil),
					"CreateV1": errOf(b.Notes.CreateV1(t.Context(), note("c", "c"))),
				} {
					if !strings.Contains(does, "1") || table == "notes" || table == "note_tags" {
						wantErr(t, err, repo.ErrHiddenRows)
					}
					if t.Failed() {
						t.Fatal(does)
					}
				}
				repotest.Exec(t, raw, "ALTER TABLE "+table+" DISABLE ROW LEVEL SECURITY")
				wantPinned(t, agree(t, b, "a").Value)
				if run := sweep(t, b, repo.SweepRequest{}); run.Status != repo.Succeeded || run.Total != 2 {
					t.Errorf("%+v", run)
				}
			})
		})
	}
}

// No form of a database's URL shows its password, whether it is wrong in form or nobody answers there.
func TestNoURLShowsItsPassword(t *testing.T) {
	for _, url := range []string{
		"host=127.0.0.1 password=s3cr3t dbname=nope port=1", "postgres://u:s3cr3t@ho st/db",
		"postgres://u:p%zzs3cr3t@127.0.0.1/db", "postgres://u:s3cr3t@127.0.0.1:abc/db",
		"postgres://u:s3cr3t/s3cr3t@127.0.0.1:1/db", "postgres://u:s#s3cr3t@127.0.0.1:1/db",
		"postgres://127.0.0.1:1/db?password=s3cr3t&sslmode=nope", "postgres://u:s3cr3t@127.0.0.1:1/db?sslmode=nope",
		"postgres://127.0.0.1:1/db?password=s3cr3t", "postgres://u:s3cr3t@127.0.0.1:1/db", "s3cr3t@127.0.0.1:5432",
		"postgres:u:s3cr3t@127.0.0.1", "postgres://u:s3cr3t@[::1/db", "s3cr3t://u@127.0.0.1",
		"Postgres://u:s3cr3t@127.0.0.1/db", "postgres ://u:s3cr3t@127.0.0.1/db", "u:s3cr3t@127.0.0.1/db",
		"postgres//u:s3cr3t@127.0.0.1/db", "password=s3cr3t", "",
	} {
		var logged strings.Builder
		_, err := repo.Open(t.Context(), url,
			repo.Config{Patience: -1, Logger: slog.New(slog.NewTextHandler(&logged, nil))})
		if err == nil || strings.Contains(err.Error()+logged.String(), "s3cr3t") &&
			!strings.HasPrefix(url, "s3cr3t://") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v %s", url, err, logged.String())
		}
	}
}
