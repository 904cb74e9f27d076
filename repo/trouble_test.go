package repo_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// alterDatabase runs ALTER DATABASE on the test's own.
func alterDatabase(setting string) string {
	return "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I " + setting + "', current_database()); END $$"
}

// D3. Somebody locks an entity's table, and more requests for it wait than there are connections: those for another
// entity are answered all the same. The guard is seat.
func TestOneEntitysTroubleIsItsOwn(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate, Config: repo.Config{MaxConns: 4}})
		insert(t, b, note("a", "a"))
		if err := errOf(b.Comments.CreateV1(t.Context(), repotest.CommentV1{
			ID: 1, NoteID: new("a"),
			Words: "x",
		})); err != nil {
			t.Fatal(err)
		}
		old, err := repotest.Raw(t, url).Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer old.Rollback() //nolint:errcheck // it only locks
		repotest.Exec(t, old, "LOCK TABLE notes IN ACCESS EXCLUSIVE MODE")
		var waiting sync.WaitGroup
		for i := range 9 {
			waiting.Go(func() {
				var err error
				switch i % 3 {
				case 0:
					err = errOf(b.Notes.GetV2(t.Context(), "a"))
				case 1:
					err = errOf(b.Notes.ListV1(t.Context(), repo.Query{}))
				default:
					err = errOf(b.Notes.GetV1(t.Context(), "a"))
				}
				if err != nil {
					t.Errorf("who waited: %v", err)
				}
			})
		}
		repotest.Until(t, "requests wait", func() bool {
			crowds := b.Control.Crowds()
			return len(crowds) == 1 && crowds[0].Entity == "NOTE" && crowds[0].Waiting >= 7
		})
		for what, err := range map[string]error{
			"a read": errOf(b.Comments.GetV2(t.Context(), "1")),
			"a list": errOf(b.Comments.ListV2(t.Context(), repo.Query{})),
			"a write": errOf(b.Comments.UpdateV2(t.Context(), "1", nil,
				func(c *repotest.CommentV2) error { c.Text = "y"; return nil })),
			"a ping": b.DB.Ping(t.Context()), "the phases": errOf(b.Control.Migrations(t.Context())),
		} {
			if err != nil {
				t.Errorf("%s of another entity: %v", what, err)
			}
		}
		if err := old.Rollback(); err != nil {
			t.Fatal(err)
		}
		waiting.Wait()
		if crowds := b.Control.Crowds(); len(crowds) > 0 {
			t.Errorf("%+v", crowds)
		}
	})
}

// D4. A batch takes longer than the database lets a statement take: it gets smaller until it does not, and the run says
// why it is slow. The guard is waits.
func TestABatchOverTheStatementTimeout(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		raw := repotest.Raw(t, url)
		repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate}).Close()
		repotest.Exec(t, raw,
			"CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END $$",
			"CREATE TRIGGER slow BEFORE INSERT ON notes_v2 FOR EACH ROW EXECUTE FUNCTION slow()",
			alterDatabase("SET statement_timeout = 1000"))
		b := repotest.OpenNotes(t, url, repotest.Setup{})
		insert(t, b, rows(150)...)
		why := ""
		run, stop := start(t, b, repo.SweepRequest{})
		defer stop()
		repotest.Until(t, "the sweep ends", func() bool {
			run = getRun(t, b, run.ID)
			if run.ThrottledBy != nil {
				why = *run.ThrottledBy
			}
			return run.Status != repo.Running
		})
		if run.Status != repo.Succeeded || run.Migrated != 150 || !strings.Contains(why, "TIMEOUT") ||
			!strings.Contains(why, "statement timeout") {
			t.Errorf("%+v, throttled by %q", run, why)
		}
	})
}

// D5. A database that may only be read: what is written is UNAVAILABLE with its cause, and reads are answered.
func TestAReadOnlyDatabase(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		raw := repotest.Raw(t, repotest.Pinned(url))
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		insert(t, b, note("a", "a"))
		if only, err := b.DB.ReadOnly(t.Context()); err != nil || only {
			t.Errorf("%v, %v", only, err)
		}
		repotest.Exec(t, raw, alterDatabase("SET default_transaction_read_only = on"))
		b.DB.ReplaceConnections()
		if only, err := b.DB.ReadOnly(t.Context()); err != nil || !only {
			t.Errorf("%v, %v", only, err)
		}
		for what, err := range map[string]error{
			"create": errOf(b.Notes.CreateV1(t.Context(), note("b", "b"))),
			"delete": b.Notes.Delete(t.Context(), "a", nil),
			"sweep":  errOf(b.Control.StartSweep(t.Context(), repo.SweepRequest{Entity: "NOTE", Actor: "test"})),
			"phase":  setPhase(t, b, repo.Expand),
		} {
			if repo.CauseOf(err) != repo.CauseReadOnly {
				t.Errorf("%s: %v, cause %s", what, err, repo.CauseOf(err))
			}
		}
		if r := getV2(t, b, "a"); r.Copy.Stored {
			t.Errorf("%+v", r)
		}
		writable, err := raw.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer writable.Close() //nolint:errcheck // the pool's end closes it
		for _, statement := range []string{
			"SET default_transaction_read_only = off",
			alterDatabase("RESET default_transaction_read_only"),
		} {
			if _, err := writable.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		repotest.Until(t, "it may be written again",
			func() bool { return errOf(b.Notes.CreateV1(t.Context(), note("b", "b"))) == nil })
	})
}

// Whatever fails within a function of V1's owner, by whatever code, is the owner's refusal and never a fault of ours.
func TestErrorsWithinTheOwnersFunctions(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		raw := repotest.Raw(t, url)
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		for i, code := range []string{
			"EXECUTE 'garbage'", "INSERT INTO nowhere VALUES (1)", "PERFORM nothing()", "PERFORM 1 / (SELECT 0)",
			"RAISE EXCEPTION 'no' USING ERRCODE = 'AB123'", "RAISE EXCEPTION 'no' USING ERRCODE = '40001'",
			"RAISE EXCEPTION 'no' USING ERRCODE = '57014', HINT = 'ask me'", "RAISE SQLSTATE '45000'",
			"ASSERT false, 'no'",
		} {
			repotest.Exec(t, raw, fmt.Sprintf(
				"CREATE OR REPLACE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.title = 'no' THEN %s; END IF; RETURN NEW; END $$", code),
				"DROP TRIGGER IF EXISTS fails ON notes",
				"CREATE TRIGGER fails BEFORE INSERT OR UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION fails()")
			began := time.Now()
			err := errOf(b.Notes.CreateV1(t.Context(), note(fmt.Sprintf("n%d", i), "no")))
			if code == "PERFORM 1 / (SELECT 0)" {
				wantField[*repo.InputError](t, err, "")
			} else {
				wantErr(t, err, repo.ErrConflict)
			}
			if time.Since(began) > 20*time.Second {
				t.Errorf("%s is tried again and again", code)
			}
		}
	})
}
