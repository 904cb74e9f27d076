package repo_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// childKeys describes the foreign keys of notes_v2_labels.
func childKeys(t *testing.T, b *repotest.Bench) string {
	t.Helper()
	return repotest.One[string](t, repotest.Raw(t, b.URL), `SELECT coalesce(string_agg(pg_get_constraintdef(oid), '; '), '')
		FROM pg_constraint WHERE contype = 'f' AND conrelid = 'notes_v2_labels'::regclass`)
}

// addChildKeys runs, as the tables' owner, what the step to CUTOVER cannot do as another role.
func addChildKeys(t *testing.T, b *repotest.Bench, owner *sql.DB) {
	t.Helper()
	script, err := b.DB.ChildKeyDDL(t.Context())
	if err != nil || script == "" {
		t.Fatalf("nothing is missing, %v", err)
	}
	repotest.Exec(t, owner, script)
}

// leaveOrphans deletes a copy by hand, and not its child rows.
func leaveOrphans(t *testing.T, b *repotest.Bench, key string) {
	t.Helper()
	raw := repotest.Raw(t, b.URL)
	conn, err := raw.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // ends with the test
	if !strings.HasPrefix(b.URL, "postgres") {
		if _, err := conn.ExecContext(t.Context(), "PRAGMA foreign_keys = off"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := conn.ExecContext(t.Context(), "DELETE FROM notes_v2 WHERE id = '"+key+"'"); err != nil {
		t.Fatal(err)
	}
	if labels(t, b, key) == 0 {
		t.Fatal("the child rows went with it")
	}
}

// labels counts the child rows of a copy.
func labels(t *testing.T, b *repotest.Bench, key string) int64 {
	t.Helper()
	return repotest.One[int64](t, repotest.Raw(t, b.URL), "SELECT count(*) FROM notes_v2_labels WHERE id = $1", key)
}

// Nothing relies on a foreign key to delete the child rows of a copy: not a delete, a sweep of a row that is gone, or
// the create that follows a row which V1 lost unseen. The guard is in copies.remove.
func TestNoChildRowOutlivesItsCopy(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		if strings.HasPrefix(b.URL, "postgres") && childKeys(t, b) != "" {
			t.Error("V2's child table has a foreign key while rows migrate")
		}
		insert(t, b, note("a", "a"), note("b", "b"), note("c", "c"))
		for _, key := range []string{"a", "b", "c"} {
			if agree(t, b, key); labels(t, b, key) != 2 {
				t.Fatalf("%s is not stored", key)
			}
		}
		deleteNote(t, b, "a")
		raw := repotest.Raw(t, b.URL)
		repotest.Exec(t, raw, "DELETE FROM note_tags WHERE note_id IN ('b', 'c')", "DELETE FROM notes WHERE id = 'b'")
		sweep(t, b, repo.SweepRequest{})
		if _, err := b.Control.SetCapture(t.Context(), "NOTE", false); err != nil {
			t.Fatal(err)
		}
		repotest.Exec(t, raw, "DELETE FROM notes WHERE id = 'c'")
		if _, err := b.Notes.CreateV1(t.Context(), repotest.NoteV1{ID: "c", Title: "new", Tags: []repotest.Tag{}}); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"a", "b", "c"} {
			if n := labels(t, b, key); n != 0 {
				t.Errorf("%d child rows of %s are left", n, key)
			}
		}
	})
}

// Child rows that somebody has left by deleting a copy by hand are neither in the way of the next copy nor part of it,
// whether a read, a sweep or a write stores it. The guard is in copies.replaceChildren.
func TestChildRowsThatADeleteByHandHasLeft(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("list", "l"), note("read", "r"), note("sweep", "s"), note("write", "w"), note("empty", "e"))
		sweep(t, b, repo.SweepRequest{})
		for _, key := range []string{"read", "list", "sweep", "write", "empty"} {
			leaveOrphans(t, b, key)
		}
		repotest.Exec(t, repotest.Raw(t, b.URL), "DELETE FROM note_tags WHERE note_id = 'empty'")
		if !agree(t, b, "read").Copy.Stored {
			t.Error("a read does not store it")
		}
		updateV1(t, b, "write", func(n *repotest.NoteV1) { n.Tags = n.Tags[:1] })
		if run := sweep(t, b, repo.SweepRequest{}); run.Status != repo.Succeeded || run.Migrated != 3 {
			t.Errorf("the sweep is %+v", run)
		}
		for key, want := range map[string]int64{"read": 2, "list": 2, "sweep": 2, "write": 1, "empty": 0} {
			record := getV2(t, b, key)
			if n := labels(t, b, key); n != want || int(n) != len(record.Value.Labels) || !record.Copy.Stored {
				t.Errorf("%s has %d child rows, and is read as %+v", key, n, record)
			}
		}
		if findings := verify(t, b, false).Faults; findings != 0 {
			t.Errorf("a verification has %d findings", findings)
		}
	})
}

// The step to CUTOVER adds the foreign keys of V2's child tables, and they stay.
func TestCutoverAddsChildKeys(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		insert(t, b, note("a", "a"), note("gone", "g"))
		sweep(t, b, repo.SweepRequest{})
		leaveOrphans(t, b, "gone") // would not let the key be validated
		repotest.Exec(t, repotest.Raw(t, url), "DELETE FROM note_tags WHERE note_id = 'gone'", "DELETE FROM notes WHERE id = 'gone'")
		sweep(t, b, repo.SweepRequest{})
		verify(t, b, false)
		if blockers, err := b.Control.Gate(t.Context(), "NOTE", repo.Cutover); err != nil || len(blockers) != 0 {
			t.Fatalf("the gate is closed: %v, %v", blockers, err)
		}
		const want = "FOREIGN KEY (id) REFERENCES notes_v2(id) ON DELETE CASCADE"
		for _, phase := range []repo.Phase{repo.Cutover, repo.Migrate, repo.Cutover} {
			b.SetPhase(phase)
			if found := childKeys(t, b); found != want {
				t.Errorf("in %s the foreign key is %q", phase, found)
			}
		}
		if n := labels(t, b, "gone"); n != 0 {
			t.Errorf("%d child rows without a copy are left", n)
		}
	})
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Contract})
		if !strings.Contains(childKeys(t, b), "CASCADE") {
			t.Error("an entity that starts in CONTRACT has no foreign key")
		}
	})
}

// A role that does not own V2's tables is told what their owner has to do before the step to CUTOVER. Force does not
// pass that.
func TestAnotherRoleAddsChildKeys(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		role, raw := repotest.NewRole(t, url), repotest.Raw(t, url)
		repotest.Exec(t, raw, "GRANT ALL ON ALL TABLES IN SCHEMA public TO "+role,
			"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO "+role)
		b := repotest.DescribeNotes(t, repotest.WithUser(t, url, role), repotest.Setup{})
		if err := b.DB.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		step := repo.PhaseRequest{Entity: "NOTE", To: repo.Cutover, Force: true, Reason: new("now"), Actor: "test"}
		_, err := b.Control.SetPhase(t.Context(), step)
		closed, ok := errors.AsType[*repo.GateClosedError](err)
		if !ok || !slices.ContainsFunc(closed.Blockers, func(b repo.Blocker) bool {
			return b.Code == repo.ChildKeys && b.Count == 1 && strings.Contains(b.Message, "notes_v2_labels")
		}) {
			t.Fatalf("the error is %v", err)
		}
		addChildKeys(t, b, raw)
		if script, err := b.DB.ChildKeyDDL(t.Context()); script != "" || err != nil {
			t.Errorf("what is missing is %q, %v", script, err)
		}
		if _, err := b.Control.SetPhase(t.Context(), step); err != nil {
			t.Error(err)
		}
	})
}

// The client that asked for the step need not wait while its foreign keys are validated, which goes on without it.
func TestChildKeysAreValidatedWithoutTheClient(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		insert(t, b, note("a", "a"))
		sweep(t, b, repo.SweepRequest{})
		verify(t, b, false)
		repotest.Exec(t, repotest.Raw(t, url), `ALTER TABLE notes_v2_labels ADD CONSTRAINT mine FOREIGN KEY (id)
			REFERENCES notes_v2 ON DELETE CASCADE NOT VALID`) // somebody has begun
		blocker, err := repotest.Raw(t, url).Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer blocker.Rollback() //nolint:errcheck // it has ended, unless the test fails
		repotest.Exec(t, blocker, "LOCK TABLE notes_v2_labels IN SHARE UPDATE EXCLUSIVE MODE")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		step := repo.PhaseRequest{Entity: "NOTE", To: repo.Cutover, Actor: "test"}
		_, err = b.Control.SetPhase(ctx, step)
		closed, ok := errors.AsType[*repo.GateClosedError](err)
		if !ok || len(closed.Blockers) != 1 || closed.Blockers[0].Code != repo.ChildKeys {
			t.Fatalf("the error is %v", err)
		}
		if m, err := b.Control.Migration(t.Context(), "NOTE"); err != nil || m.Phase != repo.Migrate {
			t.Errorf("the migration is %+v, %v", m, err)
		}
		agree(t, b, "a")
		if err := blocker.Rollback(); err != nil {
			t.Fatal(err)
		}
		repotest.Until(t, "the key is validated", func() bool {
			return strings.HasSuffix(childKeys(t, b), "ON DELETE CASCADE")
		})
		b.SetPhase(repo.Cutover)
	})
}

// The error of a step names who keeps the tables of the foreign keys from being locked.
func TestWhoIsInTheWayOfChildKeysIsNamed(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{
			Phase: repo.Migrate, Config: repo.Config{PhasePatience: time.Second},
		})
		insert(t, b, note("a", "a"))
		sweep(t, b, repo.SweepRequest{})
		verify(t, b, false)
		writer, err := repotest.Raw(t, url).Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer writer.Rollback() //nolint:errcheck // it has ended, unless the test fails
		repotest.Exec(t, writer, "SET LOCAL application_name = 'nightly import'", "UPDATE notes_v2 SET headline = headline")
		err = setPhase(t, b, repo.Cutover)
		blocked, ok := errors.AsType[*repo.BlockedError](err)
		if !ok || len(blocked.By) != 1 || blocked.By[0].Application != "nightly import" {
			t.Errorf("the error is %v", err)
		}
		if err := writer.Rollback(); err != nil {
			t.Fatal(err)
		}
		step(t, b, repo.Cutover)
	})
}
