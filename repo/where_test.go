package repo_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

func TestQueriesThatMakeNoSense(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, _ repo.Phase) {
		manyNotes(t, b)
		encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
		for shape, list := range shapes(t, b) {
			byBody, err := list(repo.Query{Sort: "BODY"})
			if err != nil {
				t.Fatal(err)
			}
			for _, cursor := range []string{
				"", "x", "?", byBody.cursors[0], byBody.cursors[0] + "A", encode("{}"), encode("[]"),
				encode(`{"k":""}`), encode(`{"k":7}`), encode(`{"k":"a\u0000"}`),
				encode(`{"k":"\xff"}`), encode(`{"k":"` + strings.Repeat("x", 13) + `"}`),
				encode(strings.Repeat(" ", 5000) + `{"k":"a"}`),
			} {
				_, err := list(repo.Query{After: &cursor})
				wantField[*repo.InputError](t, err, "after")
				_, err = list(repo.Query{Before: &cursor})
				wantField[*repo.InputError](t, err, "before")
			}
			for _, value := range []string{"{}", "[1]", "true", `"\u0000"`} {
				_, err := list(repo.Query{Sort: "BODY", After: new(encode(`{"s":"BODY","k":"a","v":` + value + `}`))})
				wantField[*repo.InputError](t, err, "after")
			}
			for _, value := range []string{`"x"`, "1.5", "99999999999", "-0", "1e300"} {
				_, err := list(repo.Query{
					Sort:  "PRIORITY",
					After: new(encode(`{"s":"PRIORITY","k":"a","v":` + value + `}`)),
				})
				if err != nil { // a database that compares such a value may
					wantField[*repo.InputError](t, err, "after")
				}
			}
			for field, q := range map[string]repo.Query{
				"first":   {First: new(-1)},
				"last":    {Last: new(101)},
				"orderBy": {Sort: "TITLE"},
			} {
				_, err := list(q)
				wantField[*repo.InputError](t, err, field)
			}
			if _, err := list(repo.Query{First: new(1), Last: new(1)}); err == nil {
				t.Errorf("%s: first and last together are taken", shape)
			}
		}
	})
}

func TestWhere(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, _ repo.Phase) {
		manyNotes(t, b)
		q := repo.Query{First: new(3), Where: []repo.Predicate{
			{V1: repo.In("priority", 0, 1), V2: repo.In("priority", 0, 1)},
			{V1: repo.AnyOf(repo.IsNull("body"), repo.In("body", "a")), V2: repo.AnyOf(repo.IsNull("text"),
				repo.In("text", "a"))},
		}}
		var want []string
		for _, key := range inOrder(t, b, "", false) {
			if n := getV1(t, b, key); n.Priority < 2 && (n.Body == nil || *n.Body == "a") {
				want = append(want, key)
			}
		}
		for range 2 {
			for shape, list := range shapes(t, b) {
				page, err := list(q)
				if err != nil || !slices.Equal(page.keys, want[:3]) || !page.next {
					t.Errorf("%s: %+v, %v, want %v", shape, page, err, want)
				}
				rest := q
				rest.After, rest.First = &page.cursors[2], new(100)
				if page, err = list(rest); err != nil || !slices.Equal(page.keys, want[3:]) {
					t.Errorf("%s: %+v, %v, want %v", shape, page, err, want)
				}
			}
			page, err := b.Notes.ListV2(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := page.TotalCount(t.Context()); err != nil || n != int64(len(want)) {
				t.Errorf("the total is %d, %v, want %d", n, err, len(want))
			}
		}
	})
}
