package repo_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// A generator's rows come in batches; those that are there are left out.
func TestGenerateV1(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		row := func(i int) repotest.NoteV1 { return repotest.NoteV1{ID: fmt.Sprintf("n%05d", i), Title: "a title"} }
		insert(t, b, row(7))
		var tried []int64
		inserted, err := b.Notes.GenerateV1(t.Context(), 5001, row, func(n int64) { tried = append(tried, n) })
		if err != nil || inserted != 5000 || !slices.Equal(tried, []int64{5000, 5001}) {
			t.Errorf("%d are inserted, of %d: %v", inserted, tried, err)
		}
		if inserted, err = b.Notes.GenerateV1(t.Context(), 5001, row, nil); err != nil || inserted != 0 {
			t.Errorf("%d are inserted again: %v", inserted, err)
		}
		if record := getV2(t, b, "n05000"); record.Value.Headline != "a title" {
			t.Errorf("the last is %+v", record)
		}
	})
}
