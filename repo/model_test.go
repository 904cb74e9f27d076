package repo_test

import (
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// The schedules that the model of the protocol (model/) found, each with the line that withstands it.

// currentVersion in mark.go counts the mark of TRUNCATE, and insertWhenV2Leads in cutover.go begins above it. Comments
// have no child rows in V1: TRUNCATE of a child table leaves a mark that counts by itself.
func TestWhatIsCreatedAfterTruncateHasAHigherVersion(t *testing.T) {
	t.Parallel()
	for _, phase := range []repo.Phase{repo.Migrate, repo.Cutover} {
		t.Run(string(phase), func(t *testing.T) {
			b := repotest.OpenNotes(t, repotest.Postgres(t), repotest.Setup{Phase: repo.Migrate})
			raw := repotest.Raw(t, b.URL)
			if _, err := b.Comments.InsertV1(t.Context(), []repotest.CommentV1{
				{ID: 1, Words: "a"},
				{ID: 2, Words: "b"},
			}); err != nil {
				t.Fatal(err)
			}
			if phase == repo.Migrate { // in a complete CUTOVER no copy is older than TRUNCATE
				if _, err := b.Comments.GetV2(t.Context(), "1"); err != nil {
					t.Fatal(err)
				}
			}
			repotest.Exec(t, raw, "TRUNCATE comments", "UPDATE coexist_entity SET phase = '"+string(phase)+
				"', epoch = epoch + 1 WHERE name = 'COMMENT'")
			for i, key := range []string{"1", "2"} {
				if _, err := b.Comments.CreateV1(t.Context(), repotest.CommentV1{
					ID:    int32(i) + 1,
					Words: "again",
				}); err != nil {
					t.Fatal(err)
				}
				if r, err := b.Comments.GetV2(t.Context(), key); err != nil || r.Version <= 1 {
					t.Errorf("%s had version 1, and has %d once it was created again: %v", key, r.Version, err)
				}
			}
		})
	}
}

// installMapping in ddl.go takes the fence.
func TestAMappingIsRaisedWhenNoWriterIsInFlight(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	old := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
	insert(t, old, note("a", "A"))
	paused := old.PauseConversion("a")
	written := make(chan error, 1)
	go func() {
		_, err := old.Notes.UpdateV1(t.Context(), "a", func(n *repotest.NoteV1) error {
			n.Title = "B"
			return nil
		})
		written <- err
	}()
	paused.Wait()
	newer := repotest.DescribeNotes(t, url, repotest.Setup{Mapping: repotest.NoteMapping{Number: 2}})
	installed := make(chan error, 1)
	go func() { installed <- newer.DB.Install(t.Context()) }()
	raw := repotest.Raw(t, url)
	repotest.Until(t, "Install waits", func() bool {
		select {
		case err := <-installed:
			t.Fatalf("Install has not waited: %v", err)
		default:
		}
		return repotest.One[int64](t, raw,
			"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") > 0
	})
	paused.Release()
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if err := <-installed; err != nil {
		t.Fatal(err)
	}
	if m, err := newer.Control.Migration(t.Context(), "NOTE"); err != nil || m.MappingVersion != 2 {
		t.Fatalf("the mapping's version is %d: %v", m.MappingVersion, err)
	}
}
