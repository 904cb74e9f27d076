package repo_test

import (
	"context"
	_ "embed"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// What version 2 created for notes and comments, as its DDL printed it.
var (
	//go:embed testdata/own-tables-2.sqlite.sql
	ownTables2SQLite string
	//go:embed testdata/own-tables-2.postgres.sql
	ownTables2Postgres string
)

// leftByVersion2 makes a database as version 2 has left it in MIGRATE: one copy fresh and refined, one stale, one row
// that cannot be converted, one that was deleted, one that has not migrated.
func leftByVersion2(t *testing.T, url string) {
	t.Helper()
	script := ownTables2SQLite
	if strings.HasPrefix(url, "postgres") {
		script = ownTables2Postgres
	}
	if err := repotest.DescribeNotes(t, url, repotest.Setup{}).DB.CreateV1Tables(t.Context()); err != nil {
		t.Fatal(err)
	}
	repotest.Exec(t, repotest.Raw(t, url), repotest.ByEngine(url, script),
		"INSERT INTO notes (id, title, body, priority) VALUES ('fresh', 'a: b', NULL, 1), ('stale', 'c', NULL, 2), ('bad', 'd', NULL, 66), ('new', 'e', NULL, 3)",
		"INSERT INTO note_tags (note_id, rank, name) VALUES ('fresh', 1, 'red')",
		"DELETE FROM coexist_mark",
		`INSERT INTO notes_v2 (id, topic, headline, text, priority, pinned_reason, coexist_seq, coexist_version, coexist_mapping_version, coexist_refined, coexist_origin,
			coexist_migrated_at, coexist_gone_seen, coexist_stale_seen)
			VALUES ('fresh', 'a', 'b', NULL, 1, 'pinned', 1, 4, 1, true, 'WRITE', '2026-11-01T00:00:00Z', 0, 1),
			('stale', NULL, 'old', NULL, 2, 'kept', 2, 7, 1, true, 'WRITE', '2026-11-01T00:00:00Z', 0, 1)`,
		"INSERT INTO notes_v2_labels (id, position, rank, name, hidden) VALUES ('fresh', 0, 1, 'red', false)",
		`INSERT INTO coexist_mark (entity, key, kind, floor, bypass) VALUES ('NOTE', 'stale', 'CHANGE', 0, true), ('NOTE', 'gone', 'GONE', 9, false), ('NOTE', NULL, 'ALL_STALE', 0, false),
			('NOTE', 'bad', 'CHANGE', 0, true)`,
		"INSERT INTO coexist_quarantine (entity, key, code, field, message, mapping_version, attempts) VALUES ('NOTE', 'bad', 'CONVERSION_FAILED', 'priority', 'is 66', 1, 3)",
		"INSERT INTO coexist_run (entity, kind, status, actor, workers, total) VALUES ('NOTE', 'SWEEP', 'SUCCEEDED', 'version 2', 1, 4)",
	)
}

// A newer program brings the engine's own tables up to its version and loses nothing of what they say, also where
// several start at once.
func TestOwnTablesAreUpgraded(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		leftByVersion2(t, url)
		v1 := v1Columns(t, url)
		script, err := repotest.DescribeNotes(t, url, repotest.Setup{}).DB.DDL(t.Context())
		if err != nil || !strings.Contains(script, "DROP TABLE") {
			t.Errorf("a DBA gets %v: %s", err, script)
		}
		var instances sync.WaitGroup
		for range 4 {
			b := repotest.DescribeNotes(t, url, repotest.Setup{Phase: repo.Migrate})
			instances.Go(func() {
				if err := b.DB.Install(t.Context()); err != nil {
					t.Error(err)
				}
				if err := b.DB.Check(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		instances.Wait()
		wantUpgraded(t, url)
		if after := v1Columns(t, url); !slices.Equal(v1, after) {
			t.Errorf("V1 is altered, from\n%s\nto\n%s", strings.Join(v1, "\n"), strings.Join(after, "\n"))
		}
	})
}

// The printed script does the same.
func TestDDLUpgradesOwnTables(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		leftByVersion2(t, url)
		b := repotest.DescribeNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		if err := b.DB.Check(t.Context()); err == nil || !strings.Contains(err.Error(),
			"to upgrade them start the server with --auto-migrate, or run what `coexist ddl` prints") {
			t.Errorf("before the upgrade: %v", err)
		}
		script, err := b.DB.DDL(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		repotest.Exec(t, repotest.Raw(t, url), script)
		if err := b.DB.Check(t.Context()); err != nil {
			t.Error(err)
		}
		wantUpgraded(t, url)
	})
}

// wantUpgraded looks whether all is as version 2 has left it, and goes on.
func wantUpgraded(t *testing.T, url string) {
	t.Helper()
	raw := repotest.Raw(t, url)
	b := repotest.OpenNotes(t, url, repotest.Setup{})
	if m, err := b.Control.Migration(t.Context(), "NOTE"); err != nil || m.Phase != repo.Migrate {
		t.Errorf("%+v, %v", m, err)
	}
	for query, want := range map[string]int64{
		"SELECT version FROM coexist_schema":                            7,
		"SELECT count(*) FROM coexist_note_mark":                        4,
		"SELECT floor FROM coexist_note_mark WHERE key = 'gone'":        9,
		"SELECT attempts FROM coexist_note_quarantine":                  3,
		"SELECT count(*) FROM coexist_run WHERE actor = 'version 2'":    1,
		"SELECT count(*) FROM coexist_note_mark WHERE bypass":           2,
		"SELECT count(DISTINCT id) FROM coexist_note_mark":              4,
		"SELECT count(*) FROM notes_v2 WHERE pinned_reason IS NOT NULL": 2,
	} {
		if got := repotest.One[int64](t, raw, query); got != want {
			t.Errorf("%s is %d, want %d", query, got, want)
		}
	}
	fresh := b.Statements(func() { agree(t, b, "fresh") })
	if r := getV2(t, b, "fresh"); r.Version != 4 || *r.Value.PinnedReason != "pinned" {
		t.Errorf("%+v, by %q", r, fresh)
	}
	if r := agree(t, b, "stale"); *r.Value.PinnedReason != "kept" || r.Value.Headline != "c" || r.Version != 8 {
		t.Errorf("%+v", r)
	}
	insert(t, b, note("gone", "again"))
	if r := agree(t, b, "gone"); r.Version <= 9 {
		t.Errorf("a version that was deleted comes again: %+v", r)
	}
	if capture, err := b.Control.Capture(t.Context(), "NOTE"); err != nil || !capture.Enabled {
		t.Errorf("%+v, %v", capture, err)
	}
	repotest.Exec(t, raw, "UPDATE notes SET title = 'past us' WHERE id = 'fresh'",
		"INSERT INTO comments (id, note_id, words) VALUES (1, 'fresh', 'x')")
	if r := agree(t, b, "fresh"); r.Value.Headline != "past us" || *r.Value.PinnedReason != "pinned" {
		t.Errorf("%+v", r)
	}
	if list := quarantined(t, b); len(list) != 1 || list[0].Key != "bad" {
		t.Errorf("%+v", list)
	}
	if run := sweep(t, b, repo.SweepRequest{}); run.Quarantined != 1 || run.Done != 5 {
		t.Errorf("%+v", run)
	}
}

// An index of version 4 misled the planner: it must be gone, not only have others beside it.
func TestVersion5DropsAnIndex(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{})
		fresh := catalog(t, url, everyTable)
		repotest.Exec(t, repotest.Raw(t, url), "DROP INDEX coexist_note_mark_all",
			"DROP INDEX coexist_note_mark_change",
			"CREATE INDEX coexist_note_mark_open ON coexist_note_mark (at) WHERE kind IN ('CHANGE', 'ALL_STALE')",
			"UPDATE coexist_schema SET version = 4")
		if err := b.DB.Install(t.Context()); err != nil {
			t.Fatal(err)
		}
		if after := catalog(t, url, everyTable); !slices.Equal(fresh, after) {
			t.Errorf("the upgrade leaves\n%s\nwhere a new database has\n%s", strings.Join(after, "\n"),
				strings.Join(fresh, "\n"))
		}
	})
}

// The lock on V1 in upgradeFrom2: an old program's trigger writes to the log that goes, so the upgrade waits for who is
// in flight, and takes over what that has left; who comes meanwhile waits, and fails with nothing.
func TestUpgradeWaitsForOldPrograms(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	leftByVersion2(t, url)
	raw := repotest.Raw(t, url)
	old, err := raw.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.ExecContext(t.Context(), "UPDATE notes SET title = 'in flight' WHERE id = 'fresh'"); err != nil {
		t.Fatal(err)
	}
	b := repotest.DescribeNotes(t, url, repotest.Setup{Phase: repo.Migrate})
	installed := make(chan error, 1)
	go func() { installed <- b.DB.Install(context.Background()) }()
	repotest.Until(t, "the upgrade waits", func() bool {
		return repotest.One[int64](t, raw,
			"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") > 0
	})
	if _, err := old.ExecContext(t.Context(), "UPDATE notes SET title = 'in flight too' WHERE id = 'new'"); err != nil {
		t.Errorf("the old program: %v", err)
	}
	if err := old.Commit(); err != nil {
		t.Errorf("the old program: %v", err)
	}
	if err := <-installed; err != nil {
		t.Fatal(err)
	}
	if r := agree(t, repotest.OpenNotes(t, url, repotest.Setup{}), "fresh"); r.Value.Headline != "in flight" ||
		*r.Value.PinnedReason != "pinned" {
		t.Errorf("%+v", r)
	}
}

// The engine's own tables carry a version: a program that does not know it says so and leaves all as it is.
func TestOwnTablesOfAnotherVersion(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{})
		raw := repotest.Raw(t, url)
		for _, c := range []struct{ made, names string }{
			{"UPDATE coexist_schema SET version = 8", "version 8, and this program knows version 7: a newer one"},
			{"UPDATE coexist_schema SET version = 1", "version 1, which was never released"},
			{"UPDATE coexist_schema SET version = 2; INSERT INTO coexist_entity (name, phase, mapping_version) VALUES ('OTHER', 'EXPAND', 1)", "entities OTHER, which this program does not describe"},
			{"DROP TABLE coexist_schema", "version 1, which was never released"}, // the first had no version
		} {
			repotest.Exec(t, raw, c.made)
			before := catalog(t, url, everyTable)
			_, ddlErr := b.DB.DDL(t.Context())
			for name, err := range map[string]error{"Install": b.DB.Install(t.Context()), "DDL": ddlErr} {
				if err == nil || !strings.Contains(err.Error(), c.names) {
					t.Errorf("%s after %s: %v", name, c.made, err)
				}
			}
			if err := b.DB.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "own tables") {
				t.Errorf("Check after %s: %v", c.made, err)
			}
			if after := catalog(t, url, everyTable); !slices.Equal(before, after) {
				t.Errorf("it has changed something, from\n%s\nto\n%s", strings.Join(before, "\n"),
					strings.Join(after, "\n"))
			}
		}
	})
}
