package repo_test

import (
	"math"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// Each kind of condition picks the notes that it should, on V1's tables and, in CUTOVER, on V2's.
func TestConditions(t *testing.T) {
	t.Parallel()
	tags := func(names ...string) []repotest.Tag {
		var list []repotest.Tag
		for i, name := range names {
			list = append(list, repotest.Tag{Rank: int16(i + 1), Name: name})
		}
		return list
	}
	notes := []repotest.NoteV1{
		{ID: "a", Title: "50% off", Priority: 0, Tags: tags("red", "blue")},
		{ID: "b", Title: "500 OFF", Body: new("text"), Priority: 1, Tags: tags("blue", "red")},
		{ID: "c", Title: `a\b_c`, Body: new(""), Priority: 2},
		{ID: "d", Title: "axbxc", Body: new("Text"), Priority: 3, Tags: tags("red")},
	}
	same := func(c repo.Condition) repo.Predicate { return repo.Predicate{V1: c, V2: c} }
	title := func(part string) repo.Predicate {
		return repo.Predicate{V1: repo.Contains("title", part), V2: repo.Contains("headline", part)}
	}
	firstTag := func(is repo.Condition, where ...repo.Condition) repo.Predicate {
		return repo.Predicate{
			V1: repo.FirstChild("note_tags", is, where...),
			V2: repo.FirstChild("notes_v2_labels", is, where...),
		}
	}
	cases := []struct {
		name  string
		where []repo.Predicate
		want  string
	}{
		{"nothing", []repo.Predicate{{}}, "abcd"},
		{"in", []repo.Predicate{same(repo.In("id", "a", "c", "x"))}, "ac"},
		{"in a number", []repo.Predicate{same(repo.In("priority", 3))}, "d"},
		{"in nothing", []repo.Predicate{same(repo.In[string]("id"))}, ""},
		{"at least", []repo.Predicate{same(repo.AtLeast("priority", 2))}, "cd"},
		{"between", []repo.Predicate{same(repo.AtLeast("priority", 1)), same(repo.AtMost("priority", 2))}, "bc"},
		{"contains", []repo.Predicate{title("off")}, "a"},
		{"contains in capitals", []repo.Predicate{title("OFF")}, "b"},
		{"contains nothing", []repo.Predicate{title("")}, "abcd"},
		{"contains a percent sign", []repo.Predicate{title("50%")}, "a"},
		{"contains an underscore", []repo.Predicate{title("b_c")}, "c"},
		{"contains a backslash", []repo.Predicate{title(`\`)}, "c"},
		{"contains a quote", []repo.Predicate{title(`' OR true --`)}, ""},
		{"null", []repo.Predicate{{V1: repo.IsNull("body"), V2: repo.IsNull("text")}}, "a"},
		{"not null", []repo.Predicate{{V1: repo.IsNotNull("body"), V2: repo.IsNotNull("text")}}, "bcd"},
		{"any of", []repo.Predicate{same(repo.AnyOf(repo.In("id", "a"), repo.AtLeast("priority", 3)))}, "ad"},
		{"any of nothing", []repo.Predicate{same(repo.AnyOf())}, ""},
		{"the first tag", []repo.Predicate{firstTag(repo.In("name", "red"))}, "ad"},
		{"the first tag of a rank", []repo.Predicate{firstTag(repo.In("name", "red"), repo.AtLeast("rank", 2))}, "b"},
	}
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, notes...)
		for _, phase := range []repo.Phase{repo.Migrate, repo.Cutover} {
			if phase == repo.Cutover {
				advance(t, b, repo.Cutover)
			}
			for _, c := range cases {
				page, err := b.Notes.ListV1(t.Context(), repo.Query{Where: c.where})
				if err != nil {
					t.Errorf("%s, %s: %v", phase, c.name, err)
					continue
				}
				var keys []string
				for _, item := range page.Items {
					keys = append(keys, item.Key)
				}
				if got := strings.Join(keys, ""); got != c.want {
					t.Errorf("%s, %s picks %q, want %q", phase, c.name, got, c.want)
				}
			}
		}
		for name, c := range map[string]repo.Condition{
			"a column":       repo.In("nothing", 1),
			"SQL":            repo.IsNull("id IS NOT NULL OR t.id"),
			"a table":        repo.FirstChild("comments", repo.IsNull("id")),
			"a child column": repo.FirstChild("note_tags", repo.IsNull("nothing")),
			"a grandchild":   repo.FirstChild("note_tags", repo.FirstChild("note_tags", repo.IsNull("name"))),
		} {
			if _, err := b.Notes.ListV1(t.Context(), repo.Query{Where: []repo.Predicate{{V1: c}}}); err == nil ||
				!strings.Contains(err.Error(), "NOTE") {
				t.Errorf("%s that is not there: %v", name, err)
			}
		}
	})
}

// A column of integers is compared with what a fraction leaves of them. The guard is whole.
func TestAFloatOnAnIntegerColumn(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := openBags(t, url)
		for name, c := range map[string]struct {
			of   repo.Condition
			rows int
		}{
			"in": {repo.In("id", 1.9), 0}, "in, whole": {repo.In("id", 1.0), 1}, "at least": {
				repo.AtLeast("id", 1.5),
				0,
			}, "at least, below": {repo.AtLeast("id", 0.5), 1},
			"at most": {repo.AtMost("id", 1.5), 1}, "infinite": {repo.AtLeast("id", math.Inf(-1)), 1},
			"beyond": {repo.AtLeast("id", 1e300), 0}, "none": {repo.AtMost("id", math.NaN()), 0},
		} {
			page, err := b.ListV1(t.Context(), repo.Query{Where: []repo.Predicate{{V1: c.of, V2: c.of}}})
			if err != nil || len(page.Items) != c.rows {
				t.Errorf("%s: %+v, %v", name, page, err)
			}
		}
	})
}

// Many values, and many conditions. The guards are manyValues and nestedAnyOf.
func TestManyConditions(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := openBags(t, url)
		for _, n := range []int{1500, 70000} {
			values := make([]int64, n)
			list := make([]repo.Condition, n)
			for i := range values {
				values[i] = int64(i)
				list[i] = repo.In("id", int64(i))
			}
			if n > 1500 { // PostgreSQL takes 65,535 arguments
				list = []repo.Condition{repo.In("id", values...)}
			}
			for how, c := range map[string]repo.Condition{
				"in":    repo.In("id", values...),
				"anyOf": repo.AnyOf(list...),
			} {
				page, err := b.ListV1(t.Context(), repo.Query{Where: []repo.Predicate{{V1: c, V2: c}}})
				if err != nil || len(page.Items) != 1 {
					t.Errorf("%s of %d: %.200v", how, n, err)
				}
			}
		}
	})
}
