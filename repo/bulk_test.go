package repo_test

import (
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// A batch of hundreds of rows, of which somebody has stored one meanwhile, stores the others. The guard is that only
// the copies of this transaction get child rows.
func TestABatchThatLosesARow(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, rows(900)...)
		pause := b.PauseConversion("k700")
		run, stop := start(t, b, repo.SweepRequest{Entity: "NOTE", Actor: "test"})
		pause.Wait()
		updateV2(t, b, "k701", pin)
		deleteNote(t, b, "k702")
		pause.Release()
		clean(t, b, ended(t, b, run))
		stop()
		if r := agree(t, b, "k701"); !r.Copy.Refined || r.Copy.Origin != repo.OriginWrite {
			t.Errorf("the sweep has written over %+v", r)
		}
		if p := progress(t, b); p.Migrated != 899 || p.Total != 899 {
			t.Errorf("%+v", p)
		}
		clean(t, b, verify(t, b, false))
	})
}

// An update writes the lists that it changes, and no other.
func TestOnlyListsThatChangedAreWritten(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "work: begin"))
		agree(t, b, "a")
		lists := func(statements []string) (written []string) {
			for _, s := range statements {
				for _, begin := range []string{"INSERT INTO ", "DELETE FROM "} {
					if table, ok := strings.CutPrefix(s, begin); ok && strings.Contains(table[:min(len(table), 40)], "_v2_") {
						written = append(written, s)
					}
				}
			}
			return written
		}
		if written := lists(b.Statements(func() {
			updateV2(t, b, "a", func(n *repotest.NoteV2) { n.Headline = "middle" })
		})); written != nil {
			t.Errorf("a new headline writes lists: %q", written)
		}
		if written := lists(b.Statements(func() {
			updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Priority = 4 })
		})); written != nil {
			t.Errorf("a new priority writes lists: %q", written)
		}
		if written := lists(b.Statements(func() {
			updateV2(t, b, "a", func(n *repotest.NoteV2) { n.Labels[0].Name = "blue" })
		})); len(written) != 2 {
			t.Errorf("a new label takes a DELETE and an INSERT: %q", written)
		}
		agree(t, b, "a")
		clean(t, b, verify(t, b, false))
	})
}
