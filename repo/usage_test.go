package repo_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

func useOf(client, version, operation string, fields ...string) repo.V1Use {
	use := repo.V1Use{ClientName: client, ClientVersion: version, OperationName: operation}
	for _, f := range fields {
		use.Fields = append(use.Fields, repo.V1Field{Entity: "NOTE", Name: f})
	}
	return use
}

// usage is who asked for V1, a line each without the times.
func usage(t *testing.T, b *repotest.Bench) map[string]int64 {
	t.Helper()
	list, err := b.Control.V1Usage(t.Context(), "NOTE", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]int64{}
	for _, u := range list {
		lines[strings.Join([]string{u.ClientName, u.ClientVersion, u.OperationName, u.Field}, "|")] = u.Count
	}
	return lines
}

// Two instances that count at the same time, many goroutines each, add up; what one has counted it also says at once.
func TestV1UsageAddsUp(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		began := time.Now().Add(-time.Second)
		benches := []*repotest.Bench{
			repotest.OpenNotes(t, url, repotest.Setup{}),
			repotest.OpenNotes(t, url, repotest.Setup{}),
		}
		benches[0].Control.RecordV1Usage(useOf("first", "", "", "NoteV1.title"))
		if got := usage(t, benches[0])["first|unknown||NoteV1.title"]; got != 1 {
			t.Errorf("its own use is counted %d times", got)
		}
		ctx, stop := context.WithCancel(t.Context())
		var keeping, counting sync.WaitGroup
		const workers, each = 8, 500
		for _, b := range benches {
			keeping.Go(func() { _ = b.Control.Work(ctx) })
			for w := range workers {
				counting.Go(func() {
					for i := range each {
						b.Control.RecordV1Usage(useOf("shop", fmt.Sprint(w%2), "List", "NoteV1.title", "NoteV1.body"))
						if i%100 == 0 { // takes the counts to the database too
							if _, err := b.Control.V1Usage(t.Context(), "NOTE", time.Time{}); err != nil {
								t.Error(err)
							}
						}
					}
				})
			}
		}
		counting.Wait()
		stop()
		keeping.Wait() // the last counts are kept at the end
		other := repotest.OpenNotes(t, url, repotest.Setup{})
		const half = int64(workers * each) // of either version, from both instances
		want := fmt.Sprint(map[string]int64{
			"first|unknown||NoteV1.title": 1,
			"shop|0|List|NoteV1.title":    half, "shop|1|List|NoteV1.title": half, "shop|0|List|NoteV1.body": half,
			"shop|1|List|NoteV1.body": half,
		})
		if got := fmt.Sprint(usage(t, other)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		list, err := other.Control.V1Usage(t.Context(), "NOTE", began)
		if err != nil || len(list) != 5 {
			t.Fatalf("since the start: %+v, %v", list, err)
		}
		last := list[len(list)-1]
		if last.ClientName != "first" || last.FirstSeenAt.Before(began) || last.LastSeenAt.After(time.Now()) ||
			list[0].FirstSeenAt.After(list[0].LastSeenAt) {
			t.Errorf("the newest is not first, or times are wrong: %+v", list)
		}
		for since, n := range map[time.Time]int{
			last.LastSeenAt: 5, last.LastSeenAt.Add(time.Millisecond): 4,
			time.Now().Add(time.Hour): 0, time.Date(1, 1, 1, 0, 0, 0, 0, time.FixedZone("", 36000)): 5,
		} {
			if list, err := other.Control.V1Usage(t.Context(), "NOTE", since); err != nil || len(list) != n {
				t.Errorf("since %v there are %d, want %d (%v)", since, len(list), n, err)
			}
		}
		if list, err := other.Control.V1Usage(t.Context(), "COMMENT", time.Time{}); err != nil || len(list) > 0 {
			t.Errorf("of another entity: %+v, %v", list, err)
		}
		_, err = other.Control.V1Usage(t.Context(), "NOBODY", time.Time{})
		wantErr(t, err, repo.ErrNotFound)
		if got := benches[1].Control.V1Operations()["shop"]; got != workers*each {
			t.Errorf("an instance has counted %d operations", got)
		}
	})
}

// What clients say of themselves never harms the table.
func TestV1UsageOfStrangeNames(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{})
		for _, name := range []string{
			"", "a\x00b", "'; DROP TABLE coexist_v1_usage; --", `"quoted" \ {"json": 1}`,
			"\xff", strings.Repeat("長", 1000),
		} {
			b.Control.RecordV1Usage(useOf(name, name, name, "NoteV1.title"))
		}
		got := usage(t, b)
		for _, want := range []string{
			"unknown|unknown||NoteV1.title", "ab|ab|ab|NoteV1.title",
			`"quoted" \ {"json": 1}|"quoted" \ {"json": 1}|"quoted" \ {"json": 1}|NoteV1.title`,
		} {
			if got[want] == 0 {
				t.Errorf("%s is missing in %v", want, got)
			}
		}
		if len(got) != 5 || got["unknown|unknown||NoteV1.title"] != 2 {
			t.Errorf("got %v", got)
		}
	})
}

// Neither a table that is full nor old uses make it grow for ever.
func TestV1UsageIsBounded(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{})
		b.Control.RecordV1Usage(useOf("shop", "1", "List", "NoteV1.title"))
		usage(t, b)
		raw := repotest.Raw(t, url)
		if _, err := raw.ExecContext(t.Context(), `INSERT INTO coexist_v1_usage SELECT 'NOTE', 'flood', 'v', CAST(n AS text), 'NoteV1.title', 1, '2000-01-01T00:00:00.000Z', '2000-01-01T00:00:00.000Z'
			FROM (WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 20000) SELECT n FROM r) f`); err != nil {
			t.Fatal(err)
		}
		for _, client := range []string{"shop", "late", "later"} {
			b.Control.RecordV1Usage(useOf(client, "1", "List", "NoteV1.title"))
		}
		got := usage(t, b)
		if got["shop|1|List|NoteV1.title"] != 2 || got["other|other|other|NoteV1.title"] != 2 ||
			got["late|1|List|NoteV1.title"] != 0 {
			t.Errorf("in a full table: shop %d, others %d", got["shop|1|List|NoteV1.title"],
				got["other|other|other|NoteV1.title"])
		}
		if len(got) != 1000 {
			t.Errorf("%d are listed", len(got))
		}
		ctx, stop := context.WithCancel(t.Context())
		var keeping sync.WaitGroup
		keeping.Go(func() { _ = b.Control.Work(ctx) })
		deadline := time.After(30 * time.Second)
		for repotest.One[int64](t, raw, "SELECT count(*) FROM coexist_v1_usage") != 2 {
			select {
			case <-deadline:
				t.Fatal("old uses are not forgotten")
			case <-time.After(50 * time.Millisecond):
			}
		}
		stop()
		keeping.Wait()
	})
}

// While the database does not take counts, nobody notices, and none is lost.
func TestV1UsageWaitsForTheDatabase(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{})
		raw := repotest.Raw(t, url)
		rename := func(from, to string) {
			t.Helper()
			if _, err := raw.ExecContext(t.Context(), "ALTER TABLE "+from+" RENAME TO "+to); err != nil {
				t.Fatal(err)
			}
		}
		rename("coexist_v1_usage", "away")
		for range 3 {
			b.Control.RecordV1Usage(useOf("shop", "1", "List", "NoteV1.title"))
			if _, err := b.Control.V1Usage(t.Context(), "NOTE", time.Time{}); err == nil ||
				errors.Is(err, repo.ErrNotFound) {
				t.Errorf("without a table: %v", err)
			}
		}
		stopped, stop := context.WithCancel(t.Context())
		stop()
		_ = b.Control.Work(stopped) // as at the end of a process: it gives up
		rename("away", "coexist_v1_usage")
		if got := usage(t, b)["shop|1|List|NoteV1.title"]; got != 3 {
			t.Errorf("%d of 3 are counted", got)
		}
	})
}
