package repo_test

import (
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// A list looks its copies up one by one: PostgreSQL would rather go over all of a table of some thousand rows.
func TestAListDoesNotGoOverAllCopies(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		insert(t, b, rows(3000)...)
		clean(t, b, sweep(t, b, repo.SweepRequest{Entity: "NOTE", Actor: "test"}))
		raw := repotest.Raw(t, url)
		repotest.Exec(t, raw, "ANALYZE")
		sent := b.Statements(func() {
			if _, err := b.Notes.ListV2(t.Context(), repo.Query{First: new(100)}); err != nil {
				t.Fatal(err)
			}
		})
		if len(sent) != 1 {
			t.Fatalf("a list of fresh copies takes %d statements", len(sent))
		}
		lines, err := raw.QueryContext(t.Context(), "EXPLAIN "+sent[0], 101)
		if err != nil {
			t.Fatal(err)
		}
		defer lines.Close() //nolint:errcheck // it was only read
		var plan []string
		for lines.Next() {
			var line string
			if err := lines.Scan(&line); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, line)
		}
		if all := strings.Join(plan, "\n"); lines.Err() != nil || !strings.Contains(all, "notes_v2_pkey") ||
			strings.Contains(all, "Seq Scan on notes_v2") {
			t.Errorf("%v, the plan is\n%s", lines.Err(), all)
		}
	})
}
