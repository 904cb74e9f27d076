package repo_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// Whatever V1's owner has made of V1: reads, lists, writes through both shapes, runs, steps and the way back work as
// they do without it, or say why not; no error is one that nobody knows, and both shapes and V1's tables always say the
// same.
func TestCharactersOfV1(t *testing.T) {
	t.Parallel()
	for _, c := range repotest.Characters {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
				made, there := c.Of(b.URL)
				if !there {
					return
				}
				raw := repotest.Raw(t, repotest.Pinned(b.URL))
				insert(t, b, note("a", "work: a"), note("b", "b"), note("c", "play: c"))
				repotest.Exec(t, raw, made.Make...)
				w := walk{t: t, b: b, raw: raw}
				w.operate("MIGRATE")
				clean(t, b, sweep(t, b, repo.SweepRequest{}))
				clean(t, b, verify(t, b, false))
				b.SetPhase(repo.Cutover)
				if err := force(t, b, "COMMENT", repo.Cutover); err != nil {
					t.Fatal(err)
				}
				w.operate("CUTOVER")
				clean(t, b, verify(t, b, false))
				b.SetPhase(repo.Migrate)
				w.operate("MIGRATE again")
				clean(t, b, sweep(t, b, repo.SweepRequest{}))
				clean(t, b, verify(t, b, false))
				b.SetPhase(repo.Cutover)
				contractComments(t, b)
				b.SetPhase(repo.Contract)
				w.contract = true
				w.operate("CONTRACT")
				run := restore(t, b, "NOTE")
				if run.Status != repo.Succeeded || c.Tame && run.Faults > 0 {
					t.Errorf("the way back: %+v", run)
				}
				repotest.Exec(t, raw, made.Undo...)
				if run.Faults > 0 {
					run = restore(t, b, "NOTE")
				}
				clean(t, b, run)
				w.contract = false
				b.SetPhase(repo.Cutover)
				w.agree("back in CUTOVER")
				clean(t, b, verify(t, b, false))
				b.SetPhase(repo.Migrate)
				w.operate("without it")
			})
		})
	}
}

// walk operates on notes and comments.
type walk struct {
	t        *testing.T
	b        *repotest.Bench
	raw      *sql.DB
	contract bool
	n        int
}

func (w *walk) operate(where string) {
	w.t.Helper()
	ctx := w.t.Context()
	w.n++
	fresh := fmt.Sprintf("n%d", w.n)
	for i, op := range []struct {
		what string
		do   func() error
	}{
		{"a V1 update", func() error {
			return errOf(w.b.Notes.UpdateV1(ctx, "a", func(n *repotest.NoteV1) error {
				n.Title = "work: " +
					fresh
				n.Tags = n.Tags[:1]
				return nil
			}))
		}},
		{"a V2 update", func() error {
			return errOf(w.b.Notes.UpdateV2(ctx, "c", nil, func(n *repotest.NoteV2) error {
				pin(n)
				n.Headline = "c" +
					fresh
				return nil
			}))
		}},
		{"a V1 create", func() error { return errOf(w.b.Notes.CreateV1(ctx, note(fresh+"x", fresh+"x"))) }},
		{"a V2 create", func() error {
			return errOf(w.b.Notes.CreateV2(ctx, repotest.NoteV2{
				ID: fresh + "y", Headline: fresh + "y",
				Labels: []repotest.Label{{Rank: 2, Name: "l"}},
			}))
		}},
		{"a priority of seven", func() error {
			return errOf(w.b.Notes.UpdateV1(ctx, "a", func(n *repotest.NoteV1) error {
				n.Priority = 7 +
					int16(w.n%2)
				return nil
			}))
		}},
		{"the same title", func() error {
			return errOf(w.b.Notes.UpdateV2(ctx, "a", nil, func(n *repotest.NoteV2) error {
				n.Topic, n.Headline = nil,
					"c"+fresh
				return nil
			}))
		}},
		{"a comment", func() error {
			return errOf(w.b.Comments.CreateV1(ctx, repotest.CommentV1{ID: int32(w.n), NoteID: new("a"), Words: fresh}))
		}},
		{"a change of a comment", func() error {
			return errOf(w.b.Comments.UpdateV2(ctx, fmt.Sprint(w.n), nil,
				func(c *repotest.CommentV2) error { c.Text += "!"; return nil }))
		}},
		{"a delete", func() error { return w.b.Notes.Delete(ctx, fresh+"x", nil) }},
		{"a delete of what stays", func() error {
			if err := w.b.Notes.Delete(ctx, "b", nil); err != nil {
				return err
			}
			return errOf(w.b.Notes.CreateV1(ctx, note("b", "b")))
		}},
		{"a comment's end", func() error { return w.b.Comments.Delete(ctx, fmt.Sprint(w.n), nil) }},
	} {
		if err := op.do(); err != nil && !isKnown(err) {
			w.t.Errorf("%s, %s: %v (%T)", where, op.what, err, err)
		}
		if i%4 == 3 {
			w.agree(where + ", after " + op.what)
		}
	}
	w.agree(where)
}

// isKnown reports whether an error is one that a client can do something about.
func isKnown(err error) bool {
	_, input := errors.AsType[*repo.InputError](err)
	_, representable := errors.AsType[*repo.NotRepresentableError](err)
	_, conversion := errors.AsType[*repo.ConversionError](err)
	return input || representable || conversion || errors.Is(err, repo.ErrConflict) ||
		errors.Is(err, repo.ErrNotFound) || errors.Is(err, repo.ErrAlreadyExists)
}

// agree checks that lists, reads and V1's own tables say the same.
func (w *walk) agree(where string) {
	w.t.Helper()
	ctx := w.t.Context()
	for _, sort := range []string{"", "BODY", "PRIORITY"} {
		q := repo.Query{
			First: new(100), Sort: sort, Desc: w.n%2 == 0,
			Where: []repo.Predicate{{V1: repo.AtMost("priority", 9), V2: repo.AtMost("priority", 9)}},
		}
		old, err1 := w.b.Notes.ListV1(ctx, q)
		page, err2 := w.b.Notes.ListV2(ctx, q)
		if err := errors.Join(err1, err2); err != nil {
			w.t.Fatalf("%s: %v", where, err)
		}
		var keys, keysV2 []string
		for _, item := range old.Items {
			keys = append(keys, item.Key)
		}
		for i, item := range page.Items {
			keysV2 = append(keysV2, item.Key)
			if item.Err != nil {
				w.t.Errorf("%s: %s: %v", where, item.Key, item.Err)
				continue
			}
			back, err := repotest.NoteMapping{}.Downgrade(item.Value.Value)
			if err != nil || i < len(old.Items) && !repo.Identical(old.Items[i].Value, back) {
				w.t.Errorf("%s: the shapes of %s disagree (%v)\nV1 %+v\nV2 %+v", where, item.Key, err,
					old.Items[i].Value, item.Value.Value)
			}
		}
		if !slices.Equal(keys, keysV2) {
			w.t.Errorf("%s, by %q: V1 lists %v, and V2 %v", where, sort, keys, keysV2)
		}
		if sort != "" || w.contract {
			continue
		}
		var rows []string
		for _, item := range old.Items {
			rows = append(rows, item.Key+" "+item.Value.Title+" "+fmt.Sprint(len(item.Value.Tags)))
		}
		slices.Sort(rows)
		held := strings.Split(repotest.One[string](w.t, w.raw, heldNotes(w.b.URL)), "|")
		slices.Sort(held)
		if !slices.Equal(rows, held) {
			w.t.Errorf("%s: V1 says %v, and its tables hold %v", where, rows, held)
		}
	}
}

// heldNotes is a query of what V1's tables hold of notes.
func heldNotes(url string) string {
	const row = "n.id || ' ' || n.title || ' ' || (SELECT count(*) FROM note_tags t WHERE t.note_id = n.id)"
	if strings.HasPrefix(url, "sqlite:") {
		return "SELECT group_concat(" + row + ", '|') FROM notes n"
	}
	return "SELECT string_agg(" + row + ", '|') FROM notes n"
}
