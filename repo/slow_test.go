package repo_test

import (
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// A batch that takes longer than a lease gets smaller, so that processes which take it from each other come to an end:
// firstBatch.
func TestABatchThatTakesLongerThanALease(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		slow := repotest.Setup{
			Phase:   repo.Migrate,
			Mapping: repotest.NoteMapping{Back: func(*repotest.NoteV1) { time.Sleep(10 * time.Millisecond) }},
		}
		b := repotest.OpenNotes(t, url, slow)
		insert(t, b, rows(100)...)
		run, err := b.Control.StartSweep(t.Context(), repo.SweepRequest{Entity: "NOTE", Actor: "test"})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			other := repotest.OpenNotes(t, url, slow)
			other.DB.ShortenLeases(200 * time.Millisecond)
			stop := work(t, other)
			defer stop()
		}
		if run = ended(t, b, run); run.Status != repo.Succeeded || run.Done != 100 {
			t.Errorf("%+v", run)
		}
	})
}
