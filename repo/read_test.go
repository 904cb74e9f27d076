package repo_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

func TestInternalReadInExpandStoresNothing(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Expand, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "work: begin"))
		for range 2 {
			record := agree(t, b, "a")
			if record.Copy.Stored || record.Copy.Origin != "" || !record.Copy.MigratedAt.IsZero() ||
				record.Version != 1 || record.Copy.MappingVersion != 1 {
				t.Errorf("the record is %+v", record)
			}
			if *record.Value.Topic != "work" || record.Value.Headline != "begin" {
				t.Errorf("the title is %+v", record.Value)
			}
		}
		if n := copies(t, b); n != 0 {
			t.Errorf("%d copies are stored", n)
		}
	})
}

func TestInternalReadInMigrateStoresOnce(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "work: begin"))
		first := getV2(t, b, "a")
		if !first.Copy.Stored || first.Copy.Origin != repo.OriginRead || first.Copy.MigratedAt.IsZero() ||
			first.Copy.Refined || first.Version != 1 {
			t.Errorf("the record is %+v", first)
		}
		var second repo.Record[repotest.NoteV2]
		statements := b.Statements(func() { second = getV2(t, b, "a") })
		if len(statements) != 1 {
			t.Errorf("a fresh read takes %d statements, want 1:\n%s", len(statements), strings.Join(statements, "\n"))
		}
		if !repo.Identical(first, second) {
			t.Errorf("the copy differs from its conversion\nfirst  %+v\nsecond %+v", first, second)
		}
		if n := b.Conversions("a"); n != 1 {
			t.Errorf("%d conversions, want 1", n)
		}
		statements = b.Statements(func() { getV1(t, b, "a") })
		if len(statements) != 1 {
			t.Errorf("a V1 read takes %d statements, want 1", len(statements))
		}
		agree(t, b, "a")
	})
}

func TestReadOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, _ repo.Phase) {
		insert(t, b, note("a", "a"))
		for _, key := range []string{
			"b", "A", "a ", "", strings.Repeat("ä", 13), "nul\x00", "\xff",
			"'; DROP TABLE notes; --",
		} {
			_, err := b.Notes.GetV1(t.Context(), key)
			wantErr(t, err, repo.ErrNotFound)
			_, err = b.Notes.GetV2(t.Context(), key)
			wantErr(t, err, repo.ErrNotFound)
		}
		for _, key := range []string{"1", "01", "+1", "-0", "99999999999999999999", "4294967296", "x", ""} {
			_, err := b.Comments.GetV2(t.Context(), key)
			wantErr(t, err, repo.ErrNotFound)
		}
	})
}

func TestKeysWithEveryCharacter(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, _ repo.Phase) {
		keys := []string{
			`"`, `\`, "'", "?", "$1", "%s", "[1]", "null", "1", "é\u0301", "😀😀😀😀😀😀😀😀😀😀😀😀",
			" ", "a\nb", "{}",
		}
		for _, key := range keys {
			if _, err := b.Notes.CreateV1(t.Context(), note(key, key)); err != nil {
				t.Fatalf("%q: %v", key, err)
			}
		}
		for range 2 {
			results, err := b.Notes.GetManyV2(t.Context(), keys)
			if err != nil {
				t.Fatal(err)
			}
			for i, key := range keys {
				if results[i].Err != nil || results[i].Value.Key != key || results[i].Value.Value.ID != key {
					t.Errorf("%q is read as %+v", key, results[i])
				}
				agree(t, b, key)
			}
		}
	})
}

func TestGetManyTakesAConstantNumberOfStatements(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		var notes []repotest.NoteV1
		for i := range 102 {
			notes = append(notes, note(fmt.Sprint("k", i), "a: b"))
		}
		insert(t, b, notes...)
		keysOf := func(notes []repotest.NoteV1) (keys []string) {
			for _, n := range notes {
				keys = append(keys, n.ID)
			}
			return keys
		}
		read := func(keys []string) int {
			return len(b.Statements(func() {
				results, err := b.Notes.GetManyV2(t.Context(), keys)
				if err != nil {
					t.Fatal(err)
				}
				for i, r := range results {
					if r.Err != nil || r.Value.Value.ID != keys[i] || r.Value.Copy.Stored != (phase == repo.Migrate) {
						t.Errorf("%s is %+v", keys[i], r)
					}
				}
			}))
		}
		two, hundred := read(keysOf(notes[:2])), read(keysOf(notes[2:]))
		if two != hundred {
			t.Errorf("2 keys that must be migrated take %d statements, 100 take %d", two, hundred)
		}
		if n := read(keysOf(notes)); phase == repo.Migrate && n != 1 {
			t.Errorf("102 fresh keys take %d statements", n)
		}
	})
}

func TestGetManyAnswersEachKey(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, _ repo.Phase) {
		bad := note("bad", "bad")
		bad.Priority = repotest.BadPriority
		insert(t, b, note("a", "a"), bad, note("c", "c"))
		keys := []string{"c", "none", "a", "a", "", "bad", "\x00", "c"}
		for range 2 {
			v1, err := b.Notes.GetManyV1(t.Context(), keys)
			if err != nil {
				t.Fatal(err)
			}
			v2, err := b.Notes.GetManyV2(t.Context(), keys)
			if err != nil {
				t.Fatal(err)
			}
			for i, key := range keys {
				switch key {
				case "a", "c":
					if v1[i].Err != nil || v2[i].Err != nil || v1[i].Value.ID != key || v2[i].Value.Key != key ||
						v2[i].Value.Value.ID != key {
						t.Errorf("%d, %s: %+v, %+v", i, key, v1[i], v2[i])
					}
				case "bad":
					if v1[i].Err != nil || v1[i].Value.ID != key {
						t.Errorf("%s is not served as V1: %+v", key, v1[i])
					}
					wantField[*repo.ConversionError](t, v2[i].Err, "priority")
				default:
					wantErr(t, v1[i].Err, repo.ErrNotFound)
					wantErr(t, v2[i].Err, repo.ErrNotFound)
				}
			}
		}
		none, err := b.Notes.GetManyV2(t.Context(), nil)
		if err != nil || len(none) != 0 {
			t.Errorf("no keys: %v, %v", none, err)
		}
	})
}

// The storer writes only what is still as it was read: AND seq = read in copies.update. Without it the slow reader of a
// stale copy stores as well. For ON CONFLICT in copies.insert see TestAReaderThatStoresLate.
func TestTwoReadersOfOneRow(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"absent", "stale"} {
		t.Run(state, func(t *testing.T) {
			repotest.Each(t, func(t *testing.T, url string) {
				b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
				insert(t, b, note("a", "work: begin"))
				if state == "stale" {
					updateV2(t, b, "a", pin)
					b.SetPhase(repo.Expand)
					updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Title = "play: begin" })
					b.SetPhase(repo.Migrate)
				}
				pause := b.PauseConversion("a")
				var slow repo.Record[repotest.NoteV2]
				var slowErr error
				var reader sync.WaitGroup
				reader.Go(func() { slow, slowErr = b.Notes.GetV2(t.Context(), "a") })
				pause.Wait()
				fast := getV2(t, b, "a")
				pause.Release()
				reader.Wait()
				if slowErr != nil || !repo.Identical(fast.Value, slow.Value) || fast.Version != slow.Version {
					t.Errorf("two readers see two conversions (%v)\nfast %+v\nslow %+v", slowErr, fast, slow)
				}
				if !fast.Copy.Stored || slow.Copy.Stored {
					t.Errorf("stored: the fast reader says %v, the slow one %v, want true, false",
						fast.Copy.Stored, slow.Copy.Stored)
				}
				if after := agree(t, b, "a"); !repo.Identical(after, fast) {
					t.Errorf("the slow reader has changed the copy\nbefore %+v\nafter  %+v", fast, after)
				}
			})
		})
	}
}

// A store that fails or would have to wait does neither to the read.
func TestLazyStoreThatCannotGetItsLock(t *testing.T) {
	t.Parallel()
	block := map[string]func(t *testing.T, b *repotest.Bench) (release func()){
		"phase lock": func(t *testing.T, b *repotest.Bench) func() {
			tx, err := repotest.Raw(t, b.URL).Begin()
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(b.URL, "postgres") {
				repotest.Exec(t, tx, "SELECT pg_advisory_xact_lock(hashtextextended('coexist/NOTE', 0))")
			}
			return func() { _ = tx.Rollback() }
		},
		"copy's row": func(t *testing.T, b *repotest.Bench) func() {
			tx, err := repotest.Raw(t, b.URL).Begin()
			if err != nil {
				t.Fatal(err)
			}
			repotest.Exec(t, tx, "UPDATE notes_v2 SET headline = headline WHERE id = 'a'")
			return func() { _ = tx.Rollback() }
		},
	}
	for name, block := range block {
		t.Run(name, func(t *testing.T) {
			inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
				insert(t, b, note("a", "work: begin"))
				updateV2(t, b, "a", pin)
				b.SetPhase(repo.Expand)
				updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Title = "play: begin" })
				b.SetPhase(repo.Migrate)
				release := block(t, b)
				defer release()
				record := getV2(t, b, "a")
				if record.Copy.Stored || *record.Value.Topic != "play" {
					t.Errorf("the record is %+v", record)
				}
				wantPinned(t, record.Value)
				release()
				if record = agree(t, b, "a"); !record.Copy.Stored {
					t.Error("the next read does not store it")
				}
			})
		})
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, _ repo.Phase) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.Notes.GetV2(ctx, "a"); !errors.Is(err, context.Canceled) &&
			!errors.Is(err, repo.ErrUnavailable) {
			t.Errorf("the error is %v", err)
		}
	})
}

// An aggregate is one statement: parent and children of one moment.
func TestNoTornAggregate(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, _ repo.Phase) {
		consistent := func(n *repotest.NoteV1, i int) {
			n.Title = fmt.Sprint("n: ", i)
			n.Tags = nil
			for rank := range i%3 + 1 {
				n.Tags = append(n.Tags, repotest.Tag{Rank: int16(rank), Name: fmt.Sprint(i)})
			}
		}
		first := note("a", "")
		consistent(&first, 0)
		insert(t, b, first)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var work sync.WaitGroup
		work.Go(func() {
			defer cancel()
			for i := range 60 {
				if _, err := b.Notes.UpdateV1(t.Context(), "a",
					func(n *repotest.NoteV1) error { consistent(n, i); return nil }); err != nil {
					t.Error(err)
				}
			}
		})
		check := func(title string, tags int, name string) {
			var i int
			if _, err := fmt.Sscanf(title, "%d", &i); err != nil || tags != i%3+1 || name != fmt.Sprint(i) {
				t.Errorf("a note %q has %d children of %q", title, tags, name)
			}
		}
		work.Go(func() {
			for ctx.Err() == nil {
				n, err := b.Notes.GetV1(t.Context(), "a")
				if err != nil {
					t.Error(err)
					return
				}
				check(strings.TrimPrefix(n.Title, "n: "), len(n.Tags), n.Tags[0].Name)
			}
		})
		work.Go(func() {
			for ctx.Err() == nil {
				r, err := b.Notes.GetV2(t.Context(), "a")
				if err != nil {
					t.Error(err)
					return
				}
				check(r.Value.Headline, len(r.Value.Labels), r.Value.Labels[0].Name)
				page, err := b.Notes.ListV2(t.Context(), repo.Query{})
				if err != nil || page.Items[0].Err != nil {
					t.Error(err)
					return
				}
				n := page.Items[0].Value.Value
				check(n.Headline, len(n.Labels), n.Labels[0].Name)
			}
		})
		work.Wait()
		agree(t, b, "a")
	})
}
