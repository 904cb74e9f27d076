package repo_test

import (
	"database/sql"
	"sync"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// A gap is over only once whoever has written unseen has ended: what was read before that is stale. The guard is lockV1
// in mending.
func TestAGapWithATransactionInFlight(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		raw := repotest.Raw(t, url)
		insert(t, b, note("a", "work: begin"), note("b", "b"))
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		repotest.Exec(t, raw, replaceFunction("RETURN NULL;"))
		program, err := raw.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer program.Rollback() //nolint:errcheck // it is over where it was committed
		repotest.Exec(t, program, unseenWrite)
		if _, err := b.Control.Gate(t.Context(), "NOTE", repo.Cutover); err != nil { // notices the gap
			t.Fatal(err)
		}
		getV2(t, b, "a") // stored after the gap
		if err := program.Commit(); err != nil {
			t.Fatal(err)
		}
		gate(t, b, repo.Cutover) // looks once more
		agree(t, b, "a")
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		agree(t, b, "a")
	})
}

// A snapshot from while capture was off does not write where V2 leads: SetCapture makes the barrier another one.
func TestATransactionFromWhileCaptureWasOff(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		raw := repotest.Raw(t, url)
		insert(t, b, note("a", "a"))
		advance(t, b, repo.Cutover)
		setCapture(t, b, false)
		program, err := raw.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
		if err != nil {
			t.Fatal(err)
		}
		defer program.Rollback() //nolint:errcheck // it is over where it was committed
		repotest.Exec(t, program, "SELECT * FROM notes")
		setCapture(t, b, true)
		clean(t, b, verify(t, b, false))
		_, err = program.Exec("UPDATE notes SET title = 'lost' WHERE id = 'a'")
		if err == nil {
			err = program.Commit()
		}
		if err == nil {
			t.Error("an old program's write has committed in CUTOVER, with capture on")
		}
	})
}

// A create locks the V1 row that it finds before it takes it for its own: lockV1Rows. A repair would remove it.
func TestARepairAgainstACreate(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		other := repotest.OpenNotes(t, url, repotest.Setup{})
		raw := repotest.Raw(t, url)
		again := repotest.NoteV1{ID: "a", Title: "again", Priority: 1}
		insert(t, b, note("a", "a"), note("z", "z"))
		advance(t, b, repo.Cutover)
		deleteNote(t, b, "a")
		setCapture(t, b, false)
		repotest.Exec(t, raw, "INSERT INTO notes (id, title, priority) VALUES ('a', 'again', 1)")
		setCapture(t, b, true)
		var others sync.WaitGroup
		between(t, b, `DELETE FROM "public"."notes" `, func() {
			beside(t, url, &others, func() {
				if _, err := other.Notes.CreateV1(t.Context(), again); err != nil {
					t.Error(err)
				}
			})
		})
		verify(t, b, true)
		others.Wait()
		getV2(t, b, "a") // acknowledged, and there
		if n := repotest.One[int64](t, raw, "SELECT count(*) FROM notes WHERE id = 'a'"); n != 1 {
			t.Errorf("the create was acknowledged, V2 has the row, and V1 has %d", n)
		}
		clean(t, b, verify(t, b, false))
	})
}

// A copy that comes with a row that V1's owner makes where V2 leads lies under none of the marks of all keys that were
// there: refreshCopies.
func TestARowThatV1MakesInCutoverAfterATruncate(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		raw := repotest.Raw(t, url)
		insert(t, b, note("a", "a"))
		getV2(t, b, "a")
		repotest.Exec(t, raw, "TRUNCATE notes CASCADE")
		repotest.Exec(t, raw, trigger(url, "side", "AFTER UPDATE OF body ON notes",
			"INSERT INTO notes (id, title, priority) VALUES ('side', 'side', 1); RETURN NULL;", "")...)
		if _, err := b.Notes.CreateV1(t.Context(), note("b", "b")); err != nil {
			t.Fatal(err)
		}
		both(t, b, repo.Cutover)
		updateV1(t, b, "b", func(n *repotest.NoteV1) { n.Body = new("another") })
		wantPinned(t, updateV2(t, b, "side", pin).Value)
		updateV2(t, b, "b", pin)
		clean(t, b, verify(t, b, false))
		step(t, b, repo.Migrate)
		wantPinned(t, getV2(t, b, "b").Value)
		wantPinned(t, getV2(t, b, "side").Value)
	})
}

// A remigration waits for the disk, since it raises versions: derived.
func TestVersionAfterACrashInARemigration(t *testing.T) {
	t.Parallel()
	cluster := repotest.StartCluster(t)
	url := cluster.Database(t)
	repotest.Exec(t, repotest.Raw(t, url), "ALTER SYSTEM SET wal_writer_delay = '10s'", "SELECT pg_reload_conf()")
	b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate, Mapping: repotest.NoteMapping{Unsplit: true}})
	insert(t, b, note("a", "work: begin"), note("b", "b"))
	before := getV2(t, b, "a")
	b.Close()
	b = repotest.OpenNotes(t, url, repotest.Setup{Mapping: repotest.NoteMapping{Number: 2}})
	reader := repotest.OpenNotes(t, url, repotest.Setup{Mapping: repotest.NoteMapping{Number: 2}})
	updateV1(t, b, "b", func(n *repotest.NoteV1) { n.Title = "flush" })
	var seen repo.Record[repotest.NoteV2]
	killed := make(chan struct{})
	run, err := b.Control.StartSweep(t.Context(), repo.SweepRequest{
		Entity: "NOTE", Actor: "test",
		OlderThanMappingVersion: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Before("SET leased_until = '1970", func() { // the chunk is done
		seen = getV2(t, reader, "a")
		cluster.Kill()
		close(killed)
	})
	stop := work(t, b)
	<-killed
	stop()
	cluster.Restart()
	repotest.Until(t, "the database is back", func() bool { return reader.DB.Ping(t.Context()) == nil })
	after := getV2(t, reader, "a")
	t.Logf("run %d; before %d %+v; answered %d %+v; after the crash %d %+v", run.ID, before.Version, before.Value,
		seen.Version, seen.Value, after.Version, after.Value)
	if after.Version < seen.Version {
		t.Errorf("the version falls from %d to %d", seen.Version, after.Version)
	}
	// Somebody else changes it, and who has read version seen.Version takes his change for what he has read.
	updateV2(t, reader, "a", func(n *repotest.NoteV2) { n.Priority = 7 })
	if r, err := reader.Notes.UpdateV2(t.Context(), "a", &seen.Version,
		func(n *repotest.NoteV2) error { n.Headline = "mine"; return nil }); err == nil {
		t.Errorf("a write that expects version %d, as it was read before the crash, goes over another's write: %+v",
			seen.Version, r)
	}
}
