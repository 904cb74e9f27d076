package repo_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// What tables of other people bring along: keys that may be NULL or empty, leases by clocks that are set back,
// two-phase commits.

// C1. A key that may be NULL is refused at the start, in one line. The guard is checkKeyless.
func TestAKeyThatMayBeNull(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		raw := repotest.Raw(t, url)
		key, filled, want := "id varchar(12) UNIQUE", "",
			"column id of table notes is the key of entity NOTE, but may be NULL"
		if strings.HasPrefix(url, "sqlite:") {
			// which SQLite lets be
			key, filled = "id varchar(12) PRIMARY KEY", "INSERT INTO notes (title, priority) VALUES ('nobody''s', 1)"
			want = "entity NOTE: table notes has rows without a key"
		}
		repotest.Exec(t, raw, "CREATE TABLE notes ("+key+
			", title varchar(40) NOT NULL, body text, priority smallint NOT NULL)",
			"CREATE TABLE note_tags (note_id varchar(12) NOT NULL, rank smallint NOT NULL, name varchar(20) NOT NULL, PRIMARY KEY (note_id, rank))",
			"CREATE TABLE comments (id integer NOT NULL PRIMARY KEY, note_id varchar(12), words varchar(30) NOT NULL)")
		b := repotest.DescribeNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		if filled != "" { // an empty primary key is none of ours to refuse
			if err := b.DB.Install(t.Context()); err != nil {
				t.Fatal(err)
			}
			repotest.Exec(t, raw, filled)
		}
		err := b.DB.Install(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("the error is %v", err)
		}
	})
}

// C1. Rows without a key that come while we run: lists go on past them, and no run that could not look at them is
// clean. The guard is blind.
func TestRowsWithoutAKey(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		raw := repotest.Raw(t, url)
		b := repotest.DescribeNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		null := "NOT NULL"
		if strings.HasPrefix(url, "sqlite:") {
			null = ""
		}
		repotest.Exec(t, raw, "CREATE TABLE notes (id varchar(12) "+null+
			" PRIMARY KEY, title varchar(40) NOT NULL, body text, priority smallint NOT NULL)",
			"CREATE TABLE note_tags (note_id varchar(12) NOT NULL, rank smallint NOT NULL, name varchar(20) NOT NULL, PRIMARY KEY (note_id, rank))",
			"CREATE TABLE comments (id integer NOT NULL PRIMARY KEY, note_id varchar(12), words varchar(30) NOT NULL)")
		if err := errors.Join(b.DB.Install(t.Context()), b.DB.Check(t.Context())); err != nil {
			t.Fatal(err)
		}
		insert(t, b, rows(5)...)
		if null != "" {
			repotest.Exec(t, raw, "ALTER TABLE notes DROP CONSTRAINT notes_pkey",
				"ALTER TABLE notes ALTER id DROP NOT NULL", "CREATE UNIQUE INDEX ON notes (id)")
		}
		repotest.Exec(t, raw,
			"INSERT INTO notes (title, body, priority) VALUES ('a', 'a', 1), ('b', 'body of k003', 1), ('z', 'z', 1)")
		if null == "" {
			for _, sort := range []string{"", "BODY", "PRIORITY"} {
				for name, list := range shapes(t, b) {
					q, keys := repo.Query{First: new(2), Sort: sort}, 0
					for more := true; more; {
						page, err := list(q)
						if err != nil || len(page.keys) == 0 {
							t.Fatalf("%s by %q: %+v, %v", name, sort, page, err)
						}
						keys += len(page.keys)
						more, q.After = page.next, &page.cursors[len(page.cursors)-1]
					}
					if keys != 5 {
						t.Errorf("%s by %q has %d rows", name, sort, keys)
					}
				}
			}
		}
		for _, run := range []repo.Run{sweep(t, b, repo.SweepRequest{}), verify(t, b, false), rehearse(t, b)} {
			if run.Status != repo.Failed || run.Error == nil || !strings.Contains(*run.Error, "without a key") {
				t.Errorf("%+v", run)
			}
		}
		closed(t, b, repo.Cutover, "UNMIGRATED NOT_VERIFIED")
		repotest.Exec(t, raw, "DELETE FROM notes WHERE id IS NULL")
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		clean(t, b, verify(t, b, false))
	})
}

// C1. SQLite's columns hold what they like: keys that are bytes, or texts where numbers are declared, are no keys. No
// run past them is clean, and no server starts over them.
func TestKeysOfAnotherType(t *testing.T) {
	t.Parallel()
	on(t, "sqlite", func(t *testing.T, url string) {
		raw := repotest.Raw(t, url)
		repotest.Exec(t, raw,
			"CREATE TABLE comments (id int NOT NULL PRIMARY KEY, note_id varchar(12), words varchar(30) NOT NULL)",
			"CREATE TABLE notes (id varchar(12) NOT NULL PRIMARY KEY, title varchar(40) NOT NULL, body text, priority smallint NOT NULL)",
			"CREATE TABLE note_tags (note_id varchar(12) NOT NULL, rank smallint NOT NULL, name varchar(20) NOT NULL, PRIMARY KEY (note_id, rank))")
		b := repotest.DescribeNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		if err := b.DB.Install(t.Context()); err != nil {
			t.Fatal(err)
		}
		repotest.Exec(t, raw, "INSERT INTO comments (id, words) VALUES (1, 'a')",
			"INSERT INTO notes (id, title, priority) VALUES ('a', 'a', 1)")
		for _, c := range []struct{ entity, strange, gone, kind string }{
			{
				"NOTE", "INSERT INTO notes (id, title, priority) VALUES (x'61', 'a', 1)",
				"DELETE FROM notes WHERE id = x'61'", "no text",
			},
			{
				"COMMENT", "INSERT INTO comments (id, words) VALUES ('one', 'a')", "DELETE FROM comments WHERE id = 'one'",
				"no number",
			},
		} {
			if err := b.DB.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			repotest.Exec(t, raw, c.strange)
			if err := b.DB.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "rows without a key") ||
				!strings.Contains(err.Error(), c.kind) {
				t.Errorf("%s: the error is %v", c.entity, err)
			}
			run := sweep(t, b, repo.SweepRequest{Entity: c.entity})
			if run.Status != repo.Failed || run.Error == nil || !strings.Contains(*run.Error, c.kind) {
				t.Errorf("%s: %+v", c.entity, run)
			}
			repotest.Exec(t, raw, c.gone)
			clean(t, b, sweep(t, b, repo.SweepRequest{Entity: c.entity}))
		}
	})
}

// A verification that has looked at nothing of a table that is not empty proves nothing. The guard is in runFacts.
func TestARunThatLookedAtNothing(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		run, err := b.Control.StartVerification(t.Context(), repo.VerificationRequest{Entity: "NOTE", Actor: "test"})
		if err != nil {
			t.Fatal(err)
		}
		repotest.Exec(t, repotest.Raw(t, b.URL), "INSERT INTO notes (id, title, priority) VALUES ('late', 'late', 1)")
		stop := work(t, b)
		run = ended(t, b, run)
		stop()
		if run.Status != repo.Succeeded || run.Done != 0 {
			t.Errorf("%+v", run)
		}
		sweep(t, b, repo.SweepRequest{})
		closed(t, b, repo.Cutover, "NOT_VERIFIED")
		clean(t, b, verify(t, b, false))
		step(t, b, repo.Cutover)
	})
}

// C5. A key that is empty is one like another: listed and paged past, read, written, quarantined, migrated and deleted.
func TestTheEmptyKey(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		raw, ctx := repotest.Raw(t, b.URL), t.Context()
		insert(t, b, note("", "nameless"), note("a", "a"), note("b", "b"))
		for name, list := range shapes(t, b) {
			var titles []string
			q := repo.Query{First: new(1)}
			for more := true; more; {
				page, err := list(q)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				titles = append(titles, page.keys...)
				more, q.After = page.next, &page.cursors[0]
			}
			if strings.Join(titles, ",") != ",a,b" {
				t.Errorf("%s: %q", name, titles)
			}
		}
		updateV2(t, b, "", pin)
		updateV1(t, b, "", func(n *repotest.NoteV1) { n.Title = "work: nameless" })
		wantPinned(t, agree(t, b, "").Value)
		repotest.Exec(t, raw, "UPDATE notes SET priority = 66", "UPDATE notes SET title = 'again' WHERE id = ''")
		if run := sweep(t, b, repo.SweepRequest{}); run.Quarantined != 3 {
			t.Errorf("%+v", run)
		}
		first, err := b.Control.Quarantine(ctx, "NOTE", 1, "")
		if err != nil || len(first.Entries) != 1 || first.Entries[0].Key != "" {
			t.Fatalf("%+v, %v", first, err)
		}
		second, err := b.Control.Quarantine(ctx, "NOTE", 1, first.Entries[0].Cursor)
		if err != nil || len(second.Entries) != 1 || second.Entries[0].Key != "a" {
			t.Fatalf("%+v, %v", second, err)
		}
		repotest.Exec(t, raw, "UPDATE notes SET priority = 1")
		advance(t, b, repo.Cutover)
		updateV2(t, b, "", func(n *repotest.NoteV2) { n.Headline = "on" })
		wantPinned(t, agree(t, b, "").Value)
		deleteNote(t, b, "")
		wantErr(t, errOf(b.Notes.GetV1(ctx, "")), repo.ErrNotFound)
		if n := repotest.One[int64](t, raw, "SELECT count(*) FROM notes"); n != 2 {
			t.Errorf("%d rows are left", n)
		}
	})
}

// D6. A transaction that was prepared keeps a phase change waiting, and no process shows it: it is named, with what
// ends it. The guard is the second half of blockers.
func TestAPreparedTransactionInTheWay(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{
			Phase:  repo.Migrate,
			Config: repo.Config{PhasePatience: 200 * time.Millisecond},
		})
		insert(t, b, note("a", "a"))
		raw := repotest.Raw(t, url)
		name := "coexist's " + t.Name()
		old, err := raw.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		quoted := "'" + strings.ReplaceAll(name, "'", "''") + "'"
		repotest.Exec(t, old, "UPDATE notes SET title = 'prepared'", "PREPARE TRANSACTION "+quoted)
		_ = old.Rollback() // the connection has no transaction any more
		err = setPhase(t, b, repo.Expand)
		blocked, ok := errors.AsType[*repo.BlockedError](err)
		if !ok || len(blocked.By) != 1 || blocked.By[0].Prepared != name || blocked.By[0].Since == nil ||
			!strings.Contains(err.Error(), "ROLLBACK PREPARED "+quoted) {
			t.Errorf("%v", err)
		}
		repotest.Exec(t, raw, "ROLLBACK PREPARED "+quoted)
		step(t, b, repo.Expand)
	})
}

// D7. The database's clock is set back by an hour: the lease of a dead worker, which it says ends in an hour, is taken
// over all the same, and a clean verification counts although it began before the phase changed. The guards are
// leases.expired and the epoch in runFacts.
func TestTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		raw := repotest.Raw(t, b.URL)
		insert(t, b, rows(150)...)
		later := "clock_timestamp() + interval '1 hour'"
		if strings.HasPrefix(b.URL, "sqlite:") {
			later = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '+1 hour')"
		}
		inFlight := b.PauseConversion("k120")
		run, err := b.Control.StartSweep(t.Context(), repo.SweepRequest{Entity: "NOTE", Actor: "test"})
		if err != nil {
			t.Fatal(err)
		}
		stop := work(t, b)
		inFlight.Wait()
		b.Close()
		inFlight.Release()
		stop()
		repotest.Exec(t, raw, "UPDATE coexist_chunk SET leased_until = "+later,
			"UPDATE coexist_entity SET phase_changed_at = "+later)
		other := repotest.OpenNotes(t, b.URL, repotest.Setup{})
		other.DB.ShortenLeases(50 * time.Millisecond)
		work(t, other)
		if run = ended(t, other, run); run.Status != repo.Succeeded || run.Done != 150 {
			t.Errorf("%+v", run)
		}
		clean(t, other, verify(t, other, false))
		if blockers := gate(t, other, repo.Cutover); len(blockers) > 0 {
			t.Errorf("%+v", blockers)
		}
	})
}

// D8. Capture is off, and rows come while a forced step waits for its locks: they never pass as migrated. The guard is
// in changedSince.
func TestRowsThatComeWhileCaptureIsOff(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		for name, off := range map[string]bool{"off before": true, "switched off meanwhile": false} {
			t.Run(name, func(t *testing.T) {
				raw, other := repotest.Raw(t, b.URL), repotest.OpenNotes(t, b.URL, repotest.Setup{})
				insert(t, b, note("a"+name[:3], "a"))
				clean(t, b, sweep(t, b, repo.SweepRequest{}))
				setCapture(t, b, !off)
				before := "LOCK TABLE"
				if strings.HasPrefix(b.URL, "sqlite:") {
					before = "BEGIN IMMEDIATE"
				}
				b.Before(before, func() {
					setCapture(t, other, false)
					repotest.Exec(t, raw, "INSERT INTO notes (id, title, priority) VALUES ('c"+name[:3]+"', 'late', 1)")
				})
				b.SetPhase(repo.Cutover)
				if m, err := b.Control.Migration(t.Context(), "NOTE"); err != nil ||
					m.Phase != repo.Cutover || !m.Incomplete {
					t.Errorf("%+v, %v", m, err)
				}
				agree(t, b, "c"+name[:3])
				step(t, b, repo.Migrate)
				setCapture(t, b, true)
			})
		}
	})
}

// D9. A row that was deleted while capture was off leaves a copy that no mark tells of. A sweep folds it, so that a new
// row with its key gets nothing of it. The guard is the last query of marked.
func TestAnOrphanOfAGap(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		raw := repotest.Raw(t, b.URL)
		insert(t, b, note("a", "a"), note("b", "b"))
		for _, key := range []string{"a", "b"} {
			updateV2(t, b, key, pin)
		}
		setCapture(t, b, false)
		repotest.Exec(t, raw, "DELETE FROM note_tags WHERE note_id = 'a'", "DELETE FROM notes WHERE id = 'a'")
		setCapture(t, b, true)
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		if n := copies(t, b); n != 1 {
			t.Errorf("%d copies", n)
		}
		repotest.Exec(t, raw, "INSERT INTO notes (id, title, priority) VALUES ('a', 'another', 1)")
		if r := agree(t, b, "a"); r.Value.PinnedReason != nil || len(r.Value.Labels) > 0 {
			t.Errorf("the new row has what was the old one's: %+v", r.Value)
		}
		wantPinned(t, agree(t, b, "b").Value)
	})
}

// D13. A database that takes no triggers on such a table, whoever asks, is refused at the start. Citus does that with
// distributed tables.
func TestADatabaseThatRefusesTriggers(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.DescribeNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		if err := b.DB.CreateV1Tables(t.Context()); err != nil {
			t.Fatal(err)
		}
		repotest.Exec(t, repotest.Raw(t, repotest.Pinned(url)), `CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
	IF EXISTS (SELECT 1 FROM pg_event_trigger_ddl_commands() c WHERE replace(c.object_identity, '"', '') LIKE '% on public.notes') THEN
		RAISE EXCEPTION 'triggers are not supported on distributed tables' USING ERRCODE = '0A000';
	END IF; END $$`,
			"CREATE EVENT TRIGGER refuse ON ddl_command_end WHEN TAG IN ('CREATE TRIGGER') EXECUTE FUNCTION refuse()")
		err := b.DB.Install(t.Context())
		if err == nil || !strings.Contains(err.Error(), "refuses the triggers") || !strings.Contains(err.Error(),
			"triggers are not supported on distributed tables") || strings.Contains(err.Error(), "\n") {
			t.Errorf("the error is %v", err)
		}
	})
}
