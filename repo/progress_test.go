package repo_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// On a large table progress is told by PostgreSQL's statistics, which are never up to date. What a sweep has finished
// is told as such all the same, and what came after it by its mark.
func TestProgressByStatistics(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
	raw := repotest.Raw(t, url)
	insert(t, b, rows(10)...)
	want := func(when string, want repo.Progress) {
		t.Helper()
		repotest.Exec(t, raw, "UPDATE pg_class SET reltuples = 300000 WHERE relname = 'notes'",
			"UPDATE pg_class SET reltuples = 290000 WHERE relname = 'notes_v2'")
		p, err := b.Control.Progress(t.Context(), "NOTE", false)
		if err != nil {
			t.Fatal(err)
		}
		if got := (repo.Progress{
			Total: p.Total, Migrated: p.Migrated, Remaining: p.Remaining,
			Stale: p.Stale,
		}); fmt.Sprint(got) != fmt.Sprint(want) || p.Exact || p.Fraction() >= 1 {
			t.Errorf("%s: %+v, fraction %v", when, p, p.Fraction())
		}
	}
	want("before the sweep", repo.Progress{Total: 300_000, Migrated: 290_000, Remaining: 10_000})
	sweep(t, b, repo.SweepRequest{})
	want("after it", repo.Progress{Total: 300_000, Migrated: 300_000})
	repotest.Exec(t, raw, "UPDATE notes SET title = 'past us' WHERE id = (SELECT min(id) FROM notes)")
	want("after another program's write", repo.Progress{Total: 300_000, Migrated: 299_999, Stale: 1})
	if _, err := b.Control.SetCapture(t.Context(), "NOTE", false); err != nil {
		t.Fatal(err)
	}
	want("with capture off", repo.Progress{Total: 300_000, Migrated: 289_999, Remaining: 10_000, Stale: 1})
	repotest.Exec(t, raw, "ANALYZE notes_v2")
	if _, err := b.Control.SetCapture(t.Context(), "NOTE", true); err != nil {
		t.Fatal(err)
	}
	want("after a gap in the capture", repo.Progress{Total: 300_000, Remaining: 10_000, Stale: 290_000})
	sweep(t, b, repo.SweepRequest{})
	want("after another sweep", repo.Progress{Total: 300_000, Migrated: 300_000})
	repotest.Exec(t, raw,
		"INSERT INTO notes (id, title, priority) SELECT 'z' || i, 'past us', 1 FROM generate_series(1, 120000) i")
	repotest.Until(t, "so many marks", func() bool {
		p, err := b.Control.Progress(t.Context(), "NOTE", false)
		return err == nil && p.Stale >= 120_000 && p.Stale < 121_000
	})
}

// Plans are made for tables of the size that they are of: while another program's statement fills the log of marks
// nobody has to wait for the database's own daemon.
func TestOutgrownStatistics(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
	raw := repotest.Raw(t, url)
	work(t, b)
	pages := func(table string) int64 {
		return repotest.One[int64](t, raw, "SELECT relpages FROM pg_class WHERE relname = $1", table)
	}
	repotest.Exec(t, raw, "ALTER TABLE coexist_note_mark SET (autovacuum_enabled = off)",
		"ALTER TABLE notes SET (autovacuum_enabled = off)", "ANALYZE coexist_note_mark",
		"INSERT INTO notes (id, title, priority) SELECT 'z' || i, 'past us', 1 FROM generate_series(1, 20000) i")
	repotest.Until(t, "the log is analyzed", func() bool { return pages("coexist_note_mark") > 100 })
	if n := pages("notes"); n > 0 {
		t.Errorf("V1's table is analyzed: %d pages", n)
	}
}

// While a program past us is about to commit very many marks, and the planner knows of none, each read still counts the
// marks of all keys by an index of theirs alone.
func TestMarksThatAreNotCommittedSlowNoRead(t *testing.T) {
	t.Parallel()
	b := repotest.OpenNotes(t, repotest.Postgres(t), repotest.Setup{Phase: repo.Migrate})
	raw := repotest.Raw(t, b.URL)
	repotest.Exec(t, raw, "ALTER TABLE coexist_note_mark SET (autovacuum_enabled = off)")
	program, err := raw.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Rollback() //nolint:errcheck // the test is over
	if _, err := program.ExecContext(t.Context(),
		"INSERT INTO notes (id, title, priority) SELECT 'z' || i, 'past us', 1 FROM generate_series(1, 20000) i"); err != nil {
		t.Fatal(err)
	}
	repotest.Exec(t, raw, "ANALYZE coexist_note_mark")
	for _, kind := range []string{"ALL_GONE", "ALL_STALE"} {
		plan := repotest.One[string](t, raw,
			"EXPLAIN (FORMAT JSON) SELECT count(*) FROM coexist_note_mark a WHERE a.key IS NULL AND a.kind = '"+kind+
				"'")
		if !strings.Contains(plan, `"coexist_note_mark_all"`) {
			t.Errorf("%s: %s", kind, plan)
		}
	}
}
