package repo_test

import (
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// A restore leaves alone what V1 says already. It looks without a lock, so whoever writes such a row meanwhile must
// write both shapes.
func TestAWriteAfterARestoreHasLooked(t *testing.T) {
	t.Parallel()
	inContract(t, rows(5), func(t *testing.T, b *repotest.Bench) {
		updateV2(t, b, "k000", func(n *repotest.NoteV2) { n.Headline = "on" })
		look := b.PauseConversion("k001")
		run, err := b.Control.StartRestore(t.Context(), repo.RunRequest{Entity: "NOTE", Actor: "test"})
		if err != nil {
			t.Fatal(err)
		}
		defer work(t, b)()
		look.Wait()
		updateV2(t, b, "k001", func(n *repotest.NoteV2) { n.Headline = "on" })
		deleteNote(t, b, "k002")
		if _, err := b.Notes.CreateV1(t.Context(), note("k0015", "between")); err != nil {
			t.Fatal(err)
		}
		look.Release()
		run = ended(t, b, run)
		clean(t, b, run)
		if run.Migrated != 1 {
			t.Errorf("the restore is %+v", run)
		}
		step(t, b, repo.Cutover)
		clean(t, b, verify(t, b, false))
	})
}

func TestARestoreLocksNothingThatIsRestored(t *testing.T) {
	t.Parallel()
	inContract(t, rows(5), func(t *testing.T, b *repotest.Bench) {
		updateV2(t, b, "k000", func(n *repotest.NoteV2) { n.Headline = "on" })
		if !strings.HasPrefix(b.URL, "sqlite:") { // which has no locks of rows
			other, err := repotest.Raw(t, b.URL).Begin()
			if err != nil {
				t.Fatal(err)
			}
			defer other.Rollback() //nolint:errcheck // it has only read
			repotest.Exec(t, other, "SELECT * FROM notes_v2 WHERE id = 'k001' FOR UPDATE",
				"SELECT * FROM notes WHERE id = 'k001' FOR UPDATE")
		}
		run := restore(t, b, "NOTE")
		if clean(t, b, run); run.Migrated != 1 || run.Done != 5 {
			t.Errorf("the restore is %+v", run)
		}
	})
}
