package repo_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// finish starts a run and works until it has ended.
func finish(t *testing.T, b *repotest.Bench, start func() (repo.Run, error)) repo.Run {
	t.Helper()
	run, err := start()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		_ = b.Control.Work(ctx)
	}()
	defer func() { cancel(); <-worked }()
	return ended(t, b, run)
}

// walked is one thing that a client does, and what must come of it in each phase. Each is done to a note of its own,
// id, which has lived through all phases before.
type walked struct {
	name string
	do   func(ctx context.Context, b *repotest.Bench, id string) error
	// fails is the error in a phase, nil where it works.
	fails func(phase repo.Phase) error
	// grows is what it adds to the version where it works.
	grows int64
	// after is what the note must be then.
	after func(v1 *repotest.NoteV1, v2 *repotest.NoteV2)
}

// v2IsClosed is the one refusal that depends on the phase alone.
func v2IsClosed(phase repo.Phase) error {
	if phase == repo.Expand {
		return repo.ErrV2NotOpen
	}
	return nil
}

func always(err error) func(repo.Phase) error { return func(repo.Phase) error { return err } }

var walks = []walked{
	{
		"read V1", func(ctx context.Context, b *repotest.Bench, id string) error { return errOf(b.Notes.GetV1(ctx, id)) },
		always(nil), 0, nil,
	},
	{
		"read V2", func(ctx context.Context, b *repotest.Bench, id string) error { return errOf(b.Notes.GetV2(ctx, id)) },
		always(nil), 0, nil,
	},
	{"read what is not there", func(ctx context.Context, b *repotest.Bench, id string) error {
		return errOf(b.Notes.GetV2(ctx, id+"?"))
	}, always(repo.ErrNotFound), 0, nil},
	{"update the title through V1", func(ctx context.Context, b *repotest.Bench, id string) error {
		return errOf(b.Notes.UpdateV1(ctx, id, func(n *repotest.NoteV1) error { n.Title += "1"; return nil }))
	}, always(nil), 1, func(v1 *repotest.NoteV1, v2 *repotest.NoteV2) { v1.Title += "1"; v2.Headline += "1" }},
	{"update the children through V1", func(ctx context.Context, b *repotest.Bench, id string) error {
		return errOf(b.Notes.UpdateV1(ctx, id, func(n *repotest.NoteV1) error {
			n.Tags = append([]repotest.Tag{{Rank: n.Tags[len(n.Tags)-1].Rank + 1, Name: "late"}}, n.Tags...)
			return nil
		}))
	}, always(nil), 1, func(v1 *repotest.NoteV1, v2 *repotest.NoteV2) {
		rank := v1.Tags[len(v1.Tags)-1].Rank + 1
		v1.Tags = append(v1.Tags, repotest.Tag{Rank: rank, Name: "late"})
		v2.Labels = slices.Insert(v2.Labels, len(v1.Tags)-1, repotest.Label{Rank: rank, Name: "late"})
	}},
	{"update nothing through V1", func(ctx context.Context, b *repotest.Bench, id string) error {
		return errOf(b.Notes.UpdateV1(ctx, id, func(*repotest.NoteV1) error { return nil }))
	}, always(nil), 0, nil},
	{"update what V1 expresses through V2", func(ctx context.Context, b *repotest.Bench, id string) error {
		return errOf(b.Notes.UpdateV2(ctx, id, nil, func(n *repotest.NoteV2) error { n.Headline += "2"; return nil }))
	}, v2IsClosed, 1, func(v1 *repotest.NoteV1, v2 *repotest.NoteV2) { v1.Title += "2"; v2.Headline += "2" }},
	{"update what only V2 knows", func(ctx context.Context, b *repotest.Bench, id string) error {
		return errOf(b.Notes.UpdateV2(ctx, id, nil,
			func(n *repotest.NoteV2) error { *n.PinnedReason += "!"; return nil }))
	}, v2IsClosed, 1, func(_ *repotest.NoteV1, v2 *repotest.NoteV2) { v2.PinnedReason = new(*v2.PinnedReason + "!") }},
	{"update what is not there", func(ctx context.Context, b *repotest.Bench, id string) error {
		return errOf(b.Notes.UpdateV1(ctx, id+"?", func(*repotest.NoteV1) error { return nil }))
	}, always(repo.ErrNotFound), 0, nil},
	{"create through V1 what is there", func(ctx context.Context, b *repotest.Bench, id string) error {
		return errOf(b.Notes.CreateV1(ctx, note(id, "again")))
	}, always(repo.ErrAlreadyExists), 0, nil},
	{"create through V2 what is there", func(ctx context.Context, b *repotest.Bench, id string) error {
		return errOf(b.Notes.CreateV2(ctx, repotest.NoteV2{ID: id, Headline: "again"}))
	}, func(phase repo.Phase) error {
		if phase == repo.Expand {
			return repo.ErrV2NotOpen
		}
		return repo.ErrAlreadyExists
	}, 0, nil},
	{"delete another version", func(ctx context.Context, b *repotest.Bench, id string) error {
		return b.Notes.Delete(ctx, id, new(int64(1_000_000)))
	}, always(repo.ErrStaleVersion), 0, nil},
	{"delete, and create through V1", func(ctx context.Context, b *repotest.Bench, id string) error {
		if err := b.Notes.Delete(ctx, id, nil); err != nil {
			return err
		}
		if err := errOf(b.Notes.GetV1(ctx, id)); err != repo.ErrNotFound { //nolint:errorlint // exactly that
			return err
		}
		return errOf(b.Notes.CreateV1(ctx, note(id, "work: again")))
	}, always(nil), 1, func(v1 *repotest.NoteV1, v2 *repotest.NoteV2) {
		*v1 = note(v1.ID, "work: again")
		*v2, _ = repotest.NoteMapping{}.Upgrade(*v1) // it can be converted
	}},
	{"delete, and create through V2", func(ctx context.Context, b *repotest.Bench, id string) error {
		if _, err := b.Notes.UpdateV2(ctx, id, nil, func(*repotest.NoteV2) error { return nil }); err != nil {
			return err
		}
		if err := b.Notes.Delete(ctx, id, nil); err != nil {
			return err
		}
		v2, err := repotest.NoteMapping{}.Upgrade(note(id, "work: again"))
		if err == nil {
			pin(&v2)
			err = errOf(b.Notes.CreateV2(ctx, v2))
		}
		return err
	}, v2IsClosed, 1, func(v1 *repotest.NoteV1, v2 *repotest.NoteV2) {
		*v1 = note(v1.ID, "work: again")
		*v2, _ = repotest.NoteMapping{}.Upgrade(*v1) // it can be converted
		pin(v2)
	}},
}

// Every case walks through every phase, forth and back, with the same checks for both shapes, read by key, in a batch
// and in a list, with cursors that outlive the phases, and with versions that never fall.
func TestWalkThroughAllPhases(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Expand, func(t *testing.T, b *repotest.Bench) {
		ctx := t.Context()
		lagging := repotest.OpenNotes(t, b.URL, repotest.Setup{})
		type state struct {
			v1      repotest.NoteV1
			v2      repotest.NoteV2
			version int64
		}
		notes := map[string]*state{}
		var keys []string
		for i := range walks {
			id := "w" + string(rune('a'+i))
			keys = append(keys, id)
			notes[id] = &state{v1: note(id, "work: begin")}
			insert(t, b, notes[id].v1)
		}
		// What only V2 knows is there from the start: the first visit to MIGRATE was before.
		b.SetPhase(repo.Migrate)
		for id, s := range notes {
			r := updateV2(t, b, id, pin)
			s.v2, s.version = r.Value, r.Version
		}
		b.SetPhase(repo.Expand)

		check := func(by *repotest.Bench, phase, when string) {
			t.Helper()
			many, err := by.Notes.GetManyV2(ctx, keys)
			if err != nil {
				t.Fatal(err)
			}
			for i, key := range keys {
				s, v1, r := notes[key], getV1(t, by, key), getV2(t, by, key)
				if !repo.Identical(v1, s.v1) || !repo.Identical(r.Value, s.v2) ||
					!repo.Identical(many[i].Value.Value, s.v2) {
					t.Errorf("%s, %s: %s is\n%+v\n%+v\nwant\n%+v\n%+v", phase, when, walks[i].name, v1,
						r.Value, s.v1, s.v2)
				}
				if r.Version != s.version || many[i].Value.Version != s.version {
					t.Errorf("%s, %s: %s is at version %d, want %d", phase, when, walks[i].name, r.Version, s.version)
				}
			}
			for _, q := range []repo.Query{{}, {Sort: "PRIORITY", Desc: true}} {
				v1, err := by.Notes.ListV1(ctx, q)
				if err != nil {
					t.Fatal(err)
				}
				v2, err := by.Notes.ListV2(ctx, q)
				if err != nil || len(v1.Items) != len(keys) || len(v2.Items) != len(keys) {
					t.Fatalf("%s, %s: %d and %d of %d notes are listed, %v", phase, when, len(v1.Items),
						len(v2.Items), len(keys), err)
				}
				for i := range v1.Items {
					s := notes[v1.Items[i].Value.ID]
					if v1.Items[i].Err != nil || v2.Items[i].Err != nil || !repo.Identical(v1.Items[i].Value, s.v1) ||
						!repo.Identical(v2.Items[i].Value.Value, s.v2) {
						t.Errorf("%s, %s: listed as %+v and %+v", phase, when, v1.Items[i], v2.Items[i])
					}
				}
				if n, err := v2.TotalCount(ctx); err != nil || n != int64(len(keys)) {
					t.Errorf("%s, %s: %d in all, %v", phase, when, n, err)
				}
			}
		}
		var cursor string // of the fourth note, taken in the phase before
		walk := func(phase repo.Phase) {
			t.Helper()
			check(lagging, string(phase), "before")
			for i, w := range walks {
				s := notes[keys[i]]
				err, want := w.do(ctx, b, keys[i]), w.fails(phase)
				if want != nil || err != nil {
					if err == nil || want == nil || !strings.Contains(err.Error(), want.Error()) {
						t.Errorf("%s: %s: %v, want %v", phase, w.name, err, want)
					}
					continue
				}
				if w.after != nil {
					w.after(&s.v1, &s.v2)
				}
				if v := getV2(t, b, keys[i]).Version; v < s.version+w.grows || w.grows == 0 && v != s.version {
					t.Errorf("%s: %s: the version goes from %d to %d", phase, w.name, s.version, v)
				} else {
					s.version = v
				}
			}
			check(b, string(phase), "after")
			check(lagging, string(phase), "after, on an instance that lags")
			for shape, list := range shapes(t, b) {
				if cursor != "" {
					page, err := list(repo.Query{After: &cursor})
					if err != nil || !slices.Equal(page.keys, keys[4:]) {
						t.Errorf("%s, %s: a cursor of another phase leads to %v, %v", phase, shape, page.keys, err)
					}
				}
			}
			page, err := pageFrom(b.Notes.ListV2(ctx, repo.Query{First: new(4)}))
			if err != nil {
				t.Fatal(err)
			}
			cursor = page.cursors[3]
			if t.Failed() {
				t.FailNow()
			}
		}
		for _, phase := range []repo.Phase{repo.Expand, repo.Migrate, repo.Cutover, repo.Contract} {
			advance(t, b, phase)
			walk(phase)
		}
		clean(t, b, restore(t, b, "NOTE"))
		walk(repo.Contract)
		step(t, b, repo.Cutover)
		clean(t, b, verify(t, b, false))
		walk(repo.Cutover)
		step(t, b, repo.Migrate)
		clean(t, b, verify(t, b, false))
		walk(repo.Migrate)
		step(t, b, repo.Expand)
		walk(repo.Expand)
		// And forth again: nothing was left behind.
		advance(t, b, repo.Contract)
		walk(repo.Contract)
	})
}
