package repo_test

import (
	"fmt"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// Reads of what has migrated: one by its key, and a page of a hundred.
func BenchmarkRead(b *testing.B) {
	for name, url := range map[string]func(testing.TB) string{
		"sqlite":   repotest.SQLite,
		"postgres": repotest.Postgres,
	} {
		bench := repotest.OpenNotes(b, url(b), repotest.Setup{Phase: repo.Migrate})
		notes := make([]repotest.NoteV1, 100)
		for i := range notes {
			notes[i] = note(fmt.Sprintf("n%03d", i), "a title")
		}
		if _, err := bench.Notes.InsertV1(b.Context(), notes); err != nil {
			b.Fatal(err)
		}
		page := repo.Query{First: new(100)}
		if _, err := bench.Notes.ListV2(b.Context(), page); err != nil { // stores them
			b.Fatal(err)
		}
		b.Run(name+"/GetV2", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if record, err := bench.Notes.GetV2(b.Context(), "n050"); err != nil || !record.Copy.Stored {
					b.Fatal(record, err)
				}
			}
		})
		b.Run(name+"/ListV2", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if page, err := bench.Notes.ListV2(b.Context(), page); err != nil || len(page.Items) != 100 {
					b.Fatal(page, err)
				}
			}
		})
	}
}
