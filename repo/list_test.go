package repo_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// pageOf is what the pages of both shapes have in common.
type pageOf struct {
	keys, cursors []string
	next, prev    bool
}

func pageFrom[T any](p *repo.Page[T], err error) (pageOf, error) {
	if err != nil {
		return pageOf{}, err
	}
	var page pageOf
	for _, item := range p.Items {
		page.keys, page.cursors = append(page.keys, item.Key), append(page.cursors, item.Cursor)
	}
	page.next, page.prev = p.HasNext, p.HasPrevious
	return page, nil
}

// shapes lists notes through either shape.
func shapes(t *testing.T, b *repotest.Bench) map[string]func(repo.Query) (pageOf, error) {
	return map[string]func(repo.Query) (pageOf, error){
		"V1": func(q repo.Query) (pageOf, error) { return pageFrom(b.Notes.ListV1(t.Context(), q)) },
		"V2": func(q repo.Query) (pageOf, error) { return pageFrom(b.Notes.ListV2(t.Context(), q)) },
	}
}

// manyNotes have bodies and priorities that repeat, and bodies that are NULL.
func manyNotes(t *testing.T, b *repotest.Bench) {
	t.Helper()
	notes := rows(23)
	for i := range notes {
		notes[i].Priority = int16(i * 7 % 3)
		notes[i].Body = new(string("dbac"[i%4]))
		if i%5 == 0 {
			notes[i].Body = nil
		}
	}
	notes[2].Body = new("")
	insert(t, b, notes...)
}

// inOrder are the keys as the database sorts them.
func inOrder(t *testing.T, b *repotest.Bench, sort string, desc bool) []string {
	t.Helper()
	direction := " ASC"
	if desc {
		direction = " DESC"
	}
	by := "id" + direction
	if sort != "" {
		by = strings.ToLower(sort) + direction + " NULLS LAST, " + by
	}
	found, err := repotest.Raw(t, b.URL).Query("SELECT id FROM notes ORDER BY " + by)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for found.Next() {
		var key string
		if err := found.Scan(&key); err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

func TestPagesOfAnySizeMakeTheList(t *testing.T) {
	t.Parallel()
	// Each of rapid's checks is many lists, in each phase of both databases, and no other test here uses rapid.
	if err := flag.Set("rapid.checks", "25"); err != nil {
		t.Fatal(err)
	}
	eachPhase(t, func(t *testing.T, b *repotest.Bench, _ repo.Phase) {
		manyNotes(t, b)
		lists := shapes(t, b)
		orders := map[string][]string{}
		for _, sort := range []string{"", "BODY", "PRIORITY"} {
			for _, desc := range []bool{false, true} {
				orders[fmt.Sprint(sort, desc)] = inOrder(t, b, sort, desc)
			}
		}
		rapid.Check(t, func(t *rapid.T) {
			q := repo.Query{
				Sort: rapid.SampledFrom([]string{"", "BODY", "PRIORITY"}).Draw(t, "sort"),
				Desc: rapid.Bool().Draw(t, "desc"),
			}
			backward := rapid.Bool().Draw(t, "backward")
			want := orders[fmt.Sprint(q.Sort, q.Desc)]
			var got []string
			for {
				size := rapid.IntRange(1, 9).Draw(t, "size")
				if q.First = &size; backward {
					q.First, q.Last = nil, &size
				}
				page, err := lists[rapid.SampledFrom([]string{"V1", "V2"}).Draw(t, "shape")](q)
				if err != nil {
					t.Fatal(err)
				}
				first := len(got) == 0
				more, behind := page.next, page.prev
				if backward {
					got = append(slices.Clone(page.keys), got...)
					more, behind = behind, more
				} else {
					got = append(got, page.keys...)
				}
				if behind == first || more != (len(got) < len(want)) {
					t.Fatalf("HasNext %v, HasPrevious %v after %v", page.next, page.prev, got)
				}
				if !more {
					break
				}
				if q.After = &page.cursors[len(page.cursors)-1]; backward {
					q.After, q.Before = nil, &page.cursors[0]
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("the pages hold\n%v, want\n%v", got, want)
			}
		})
	})
}

func TestAfterAndBefore(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, _ repo.Phase) {
		manyNotes(t, b)
		for shape, list := range shapes(t, b) {
			for _, sort := range []string{"", "BODY"} {
				want := inOrder(t, b, sort, false)
				whole, err := list(repo.Query{Sort: sort, First: new(100)})
				if err != nil || !slices.Equal(whole.keys, want) || whole.next || whole.prev {
					t.Fatalf("%s by %q: %+v, %v, want %v", shape, sort, whole, err, want)
				}
				between := repo.Query{Sort: sort, After: &whole.cursors[3], Before: &whole.cursors[18]}
				if page, err := list(between); err != nil || !slices.Equal(page.keys, want[4:18]) || page.next {
					t.Errorf("%s by %q, between: %+v, %v", shape, sort, page, err)
				}
				between.Last = new(3)
				if page, err := list(between); err != nil || !slices.Equal(page.keys, want[15:18]) || !page.prev {
					t.Errorf("%s by %q, the last between: %+v, %v", shape, sort, page, err)
				}
				if page, err := list(repo.Query{Sort: sort, After: &whole.cursors[22]}); err != nil ||
					len(page.keys) != 0 || page.next || !page.prev {
					t.Errorf("%s by %q, after the last: %+v, %v", shape, sort, page, err)
				}
			}
			if page, err := list(repo.Query{}); err != nil || len(page.keys) != 20 || !page.next {
				t.Errorf("%s, no size: %+v, %v", shape, page, err)
			}
			if page, err := list(repo.Query{First: new(0)}); err != nil || len(page.keys) != 0 || !page.next {
				t.Errorf("%s, none: %+v, %v", shape, page, err)
			}
		}
	})
}

func TestCursorsOutliveShapePhaseAndRow(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Expand, func(t *testing.T, b *repotest.Bench) {
		manyNotes(t, b)
		cursors := map[string]pageOf{}
		for _, sort := range []string{"", "BODY"} {
			page, err := shapes(t, b)["V1"](repo.Query{Sort: sort, First: new(100)})
			if err != nil {
				t.Fatal(err)
			}
			cursors[sort] = page
		}
		deleteNote(t, b, cursors[""].keys[7])
		deleteNote(t, b, cursors["BODY"].keys[20]) // has no body
		for _, phase := range []repo.Phase{repo.Migrate, repo.Expand} {
			b.SetPhase(phase)
			for sort, c := range cursors {
				left := inOrder(t, b, sort, false)
				for i, key := range c.keys {
					var want []string
					for _, k := range c.keys[i+1:] {
						if slices.Contains(left, k) {
							want = append(want, k)
						}
					}
					page, err := shapes(t, b)["V2"](repo.Query{Sort: sort, First: new(100), After: &c.cursors[i]})
					if err != nil || !slices.Equal(page.keys, want) {
						t.Errorf("by %q after %s: %v, %v, want %v", sort, key, page.keys, err, want)
					}
				}
			}
		}
	})
}

func TestOneBadRowDoesNotFailItsPage(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		notes := rows(5)
		notes[2].Priority = repotest.BadPriority
		insert(t, b, notes...)
		for range 2 {
			page, err := b.Notes.ListV2(t.Context(), repo.Query{})
			if err != nil || len(page.Items) != 5 {
				t.Fatalf("%+v, %v", page, err)
			}
			for i, item := range page.Items {
				if item.Key != notes[i].ID || item.Cursor == "" {
					t.Errorf("item %d is %+v", i, item)
				}
				if i == 2 {
					wantField[*repo.ConversionError](t, item.Err, "priority")
					wantField[*repo.ConversionError](t, page.Failure(i), "priority")
				} else if item.Err != nil || item.Value.Value.ID != item.Key ||
					item.Value.Copy.Stored != (phase == repo.Migrate) {
					t.Errorf("item %d is %+v", i, item)
				}
			}
			v1, err := b.Notes.ListV1(t.Context(), repo.Query{})
			if err != nil || len(v1.Items) != 5 || v1.Items[2].Err != nil ||
				v1.Items[2].Value.Priority != repotest.BadPriority {
				t.Errorf("%+v, %v", v1, err)
			}
		}
		if phase == repo.Migrate {
			if list := quarantined(t, b); len(list) != 1 {
				t.Errorf("quarantine is %+v", list)
			}
			if r := agree(t, b, "k000"); r.Copy.Origin != repo.OriginList {
				t.Errorf("%+v", r)
			}
		}
	})
}

func TestListsTakeAConstantNumberOfStatements(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		insert(t, b, rows(102)...)
		list := func(q repo.Query) int {
			return len(b.Statements(func() {
				if _, err := b.Notes.ListV2(t.Context(), q); err != nil {
					t.Fatal(err)
				}
			}))
		}
		two := list(repo.Query{First: new(2)})
		hundred := list(repo.Query{Last: new(100)})
		if two != hundred {
			t.Errorf("2 rows that must be migrated take %d statements, 100 take %d", two, hundred)
		}
		if n := list(repo.Query{First: new(100)}); phase == repo.Migrate && n != 1 {
			t.Errorf("100 fresh rows take %d statements", n)
		}
	})
}

func TestListGroups(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, _ repo.Phase) {
		insert(t, b, rows(30)...)
		var comments []repotest.CommentV1
		for i := range int32(60) {
			comments = append(comments, repotest.CommentV1{
				ID: i + 1, NoteID: new(fmt.Sprintf("k%03d", i%20)),
				Words: "w",
			})
		}
		if _, err := b.Comments.InsertV1(t.Context(), comments); err != nil {
			t.Fatal(err)
		}
		groups := func(keys ...string) (pages []*repo.Page[repo.Record[repotest.CommentV2]], statements int) {
			statements = len(b.Statements(func() {
				var err error
				if pages, err = b.Comments.ListGroupsV2(t.Context(), "note_id", keys,
					repo.Query{First: new(2), Desc: true}); err != nil {
					t.Fatal(err)
				}
			}))
			if len(pages) != len(keys) {
				t.Fatalf("%d pages for %d keys", len(pages), len(keys))
			}
			return pages, statements
		}
		_, one := groups("k019")
		var keys []string
		for i := range 19 {
			keys = append(keys, fmt.Sprintf("k%03d", i))
		}
		if pages, many := groups(keys...); many != one {
			t.Errorf("one group takes %d statements, %d take %d", one, len(pages), many)
		}
		pages, _ := groups("k003", "k025", "none", "\x00", "k003", "k004")
		for i, want := range []string{"[44 24]", "[]", "[]", "[]", "[44 24]", "[45 25]"} {
			page, err := pageFrom(pages[i], nil)
			if err != nil || fmt.Sprint(page.keys) != want || page.next != (want != "[]") {
				t.Errorf("group %d: %+v, want %s", i, page, want)
			}
			for _, item := range pages[i].Items {
				if item.Err != nil || item.Value.Key != item.Key {
					t.Errorf("group %d: %+v", i, item)
				}
			}
		}
		counting := b.Statements(func() {
			for i, want := range []int64{3, 0, 0, 0, 3, 3} {
				if n, err := pages[i].TotalCount(t.Context()); err != nil || n != want {
					t.Errorf("group %d counts %d, %v, want %d", i, n, err, want)
				}
			}
		})
		if len(counting) != 1 {
			t.Errorf("counting takes %d statements, want 1", len(counting))
		}
		v1, err := b.Comments.ListGroupsV1(t.Context(), "note_id", []string{"k003"}, repo.Query{Last: new(1)})
		if err != nil || len(v1[0].Items) != 1 || v1[0].Items[0].Key != "44" || !v1[0].HasPrevious {
			t.Errorf("%+v, %v", v1[0], err)
		}
	})
}
