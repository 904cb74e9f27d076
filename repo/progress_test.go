package repo_test

import (
	"fmt"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// On a large table progress is told by PostgreSQL's statistics, which are never up to date. What a sweep has finished is told as such
// all the same, and what came after it by its mark.
func TestProgressByStatistics(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
	raw := repotest.Raw(t, url)
	insert(t, b, rows(10)...)
	want := func(when string, want repo.Progress) {
		t.Helper()
		repotest.Exec(t, raw, "UPDATE pg_class SET reltuples = 300000 WHERE relname = 'notes'", "UPDATE pg_class SET reltuples = 290000 WHERE relname = 'notes_v2'")
		p, err := b.Control.Progress(t.Context(), "NOTE", false)
		if err != nil {
			t.Fatal(err)
		}
		if got := (repo.Progress{Total: p.Total, Migrated: p.Migrated, Remaining: p.Remaining, Stale: p.Stale}); fmt.Sprint(got) != fmt.Sprint(want) || p.Exact || p.Fraction() >= 1 {
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
}
