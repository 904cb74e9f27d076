package repo_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// v2Leads runs f on both databases in each phase in which V2 leads, with the notes given.
func v2Leads(t *testing.T, notes []repotest.NoteV1, f func(t *testing.T, b *repotest.Bench, phase repo.Phase)) {
	t.Helper()
	for _, phase := range []repo.Phase{repo.Cutover, repo.Contract} {
		t.Run(strings.ToLower(string(phase)), func(t *testing.T) {
			inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
				insert(t, b, notes...)
				advance(t, b, phase)
				f(t, b, phase)
			})
		})
	}
}

// v1Tables is all that V1's tables hold.
func v1Tables(t *testing.T, raw *sql.DB) string {
	t.Helper()
	var all []string
	for _, query := range []string{
		"SELECT id || '/' || title || '/' || coalesce(body, 'NULL') || '/' || priority FROM notes ORDER BY id",
		"SELECT note_id || '/' || rank || '/' || name FROM note_tags ORDER BY note_id, rank",
	} {
		found, err := raw.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		for found.Next() {
			var line string
			if err := found.Scan(&line); err != nil {
				t.Fatal(err)
			}
			all = append(all, line)
		}
	}
	return strings.Join(all, "\n")
}

func TestV1TablesWhereV2Leads(t *testing.T) {
	v2Leads(t, []repotest.NoteV1{note("a", "work: begin"), note("b", "b"), note("c", "c")},
		func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
			raw := repotest.Raw(t, b.URL)
			before := v1Tables(t, raw)
			updateV1(t, b, "a", func(n *repotest.NoteV1) {
				n.Title, n.Tags = "play: on", []repotest.Tag{{Rank: 9, Name: "z"}, {Rank: 1, Name: "y"}}
			})
			updateV2(t, b, "b", func(n *repotest.NoteV2) { pin(n); n.Text, n.Labels[0].Name = nil, "changed" })
			deleteNote(t, b, "c")
			if _, err := b.Notes.CreateV1(t.Context(), note("d", "new: one")); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Notes.CreateV2(t.Context(), repotest.NoteV2{
				ID: "e", Headline: "two",
				Labels: []repotest.Label{{Rank: 4, Name: "x"}, {Name: "secret", Hidden: true}},
			}); err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{"a", "b", "d", "e"} {
				agree(t, b, key)
			}
			if v1 := getV1(t, b, "a"); v1.Title != "play: on" || len(v1.Tags) != 2 || v1.Tags[0].Rank != 1 {
				t.Errorf("%+v", v1)
			}
			after := v1Tables(t, raw)
			if phase == repo.Contract {
				if after != before {
					t.Errorf("V1 is written in CONTRACT:\n%s", after)
				}
				return
			}
			want := "a/play: on/body of a/3\nb/b/NULL/3\nd/new: one/body of d/3\ne/two/NULL/0\na/1/y\na/9/z\nb/1/changed\nb/5/new\nd/1/red\nd/5/new\ne/4/x"
			if after != want {
				t.Errorf("V1 holds\n%s\nwant\n%s", after, want)
			}
			clean(t, b, verify(t, b, false))
		})
}

func TestRefusalsWhereV2Leads(t *testing.T) {
	v2Leads(t, []repotest.NoteV1{note("a", "work: begin")}, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		ctx := t.Context()
		before := agree(t, b, "a")
		bad := note("bad", "bad")
		bad.Priority = repotest.BadPriority
		wantField[*repo.ConversionError](t, errOf(b.Notes.CreateV1(ctx, bad)), "priority")
		wantField[*repo.ConversionError](t, errOf(b.Notes.UpdateV1(ctx, "a",
			func(n *repotest.NoteV1) error { n.Priority = repotest.BadPriority; return nil })), "priority")
		wantField[*repo.InputError](t, errOf(b.Notes.UpdateV1(ctx, "a",
			func(n *repotest.NoteV1) error { n.Title = strings.Repeat("x", 41); return nil })), "title")
		wantField[*repo.InputError](t, errOf(b.Notes.UpdateV1(ctx, "a",
			func(n *repotest.NoteV1) error { n.ID = "b"; return nil })), "id")
		wantField[*repo.InputError](t, errOf(b.Notes.UpdateV2(ctx, "a", nil,
			func(n *repotest.NoteV2) error { n.ID = "b"; return nil })), "id")
		wantField[*repo.InputError](t, errOf(b.Notes.UpdateV2(ctx, "a", nil,
			func(n *repotest.NoteV2) error { n.Headline = " "; return nil })), "headline")
		wantErr(t, errOf(b.Notes.CreateV1(ctx, note("a", "again"))), repo.ErrAlreadyExists)
		wantErr(t, errOf(b.Notes.CreateV2(ctx, repotest.NoteV2{ID: "a", Headline: "again"})), repo.ErrAlreadyExists)
		wantErr(t, errOf(b.Notes.UpdateV1(ctx, "none", func(*repotest.NoteV1) error { return nil })), repo.ErrNotFound)
		wantErr(t, errOf(b.Notes.UpdateV2(ctx, "none", nil, func(*repotest.NoteV2) error { return nil })),
			repo.ErrNotFound)
		wantErr(t, b.Notes.Delete(ctx, "none", nil), repo.ErrNotFound)
		wrong := before.Version + 1
		wantErr(t, errOf(b.Notes.UpdateV2(ctx, "a", &wrong,
			func(n *repotest.NoteV2) error { n.Headline = "x"; return nil })), repo.ErrStaleVersion)
		wantErr(t, b.Notes.Delete(ctx, "a", &wrong), repo.ErrStaleVersion)
		_, err := b.Notes.InsertV1(ctx, []repotest.NoteV1{note("seed", "x")})
		wantField[*repo.InputError](t, err, "")
		for i := range 2 {
			statements := b.Statements(func() {
				updateV1(t, b, "a", func(*repotest.NoteV1) {})
				updateV2(t, b, "a", func(*repotest.NoteV2) {})
			})
			if i > 0 && slices.ContainsFunc(statements, writes) {
				t.Errorf("updates that change nothing write: %v", statements)
			}
		}
		if after := agree(t, b, "a"); !repo.Identical(before, after) {
			t.Errorf("what was refused has left a trace: %+v, %+v", before, after)
		}
		long := func(n *repotest.NoteV2) error { n.Topic, n.Headline = nil, strings.Repeat("ä", 60); return nil }
		twice := func(n *repotest.NoteV2) error { n.Labels[1].Rank = n.Labels[0].Rank; return nil }
		if phase == repo.Cutover {
			wantField[*repo.NotRepresentableError](t, errOf(b.Notes.UpdateV2(ctx, "a", nil, long)), "headline")
			wantField[*repo.NotRepresentableError](t, errOf(b.Notes.UpdateV2(ctx, "a", nil, twice)), "labels[1].rank")
			wantField[*repo.NotRepresentableError](t,
				errOf(b.Notes.CreateV2(ctx, repotest.NoteV2{ID: "new", Headline: "x", Priority: 10})), "priority")
			return
		}
		// In CONTRACT V2 takes what V1 has no place for; V1 clients are told so, and nobody else is.
		if err := errOf(b.Notes.UpdateV2(ctx, "a", nil, long)); err != nil {
			t.Fatal(err)
		}
		if v1 := getV1(t, b, "a"); v1.Title != strings.Repeat("ä", 60) {
			t.Errorf("%+v", v1)
		}
		// what was too long before is no fault of this client's
		updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Priority = 7 })
		if r := getV2(t, b, "a"); r.Value.Priority != 7 || r.Value.Headline != strings.Repeat("ä", 60) {
			t.Errorf("%+v", r)
		}
		if _, err := b.Notes.CreateV1(ctx, note("b", "b")); err != nil {
			t.Fatal(err)
		}
		if err := errOf(b.Notes.UpdateV2(ctx, "a", nil, twice)); err != nil {
			t.Fatal(err)
		}
		wantField[*repo.NotRepresentableError](t, errOf(b.Notes.GetV1(ctx, "a")), "labels[1].rank")
		wantField[*repo.NotRepresentableError](t,
			errOf(b.Notes.UpdateV1(ctx, "a", func(n *repotest.NoteV1) error { n.Title = "x"; return nil })),
			"labels[1].rank")
		page, err := b.Notes.ListV1(ctx, repo.Query{})
		if err != nil || len(page.Items) != 2 || page.Items[1].Err != nil {
			t.Fatalf("%+v, %v", page, err)
		}
		wantField[*repo.NotRepresentableError](t, page.Items[0].Err, "labels[1].rank")
		deleteNote(t, b, "a")
	})
}

// Half a dual write, anomaly 5: whichever half the database refuses, the other is not written. The guard is the one
// transaction.
func TestHalfADualWrite(t *testing.T) {
	t.Parallel()
	refuse := func(t *testing.T, b *repotest.Bench, table, column string) {
		t.Helper()
		raw := repotest.Raw(t, b.URL)
		if strings.HasPrefix(b.URL, "postgres") {
			repotest.Exec(t, raw, fmt.Sprintf("ALTER TABLE %s ADD CHECK (%s <> 'poison')", table, column))
			return
		}
		for _, event := range []string{"INSERT", "UPDATE"} {
			repotest.Exec(t, raw, fmt.Sprintf(
				"CREATE TRIGGER poison_%s_%s BEFORE %s ON %s WHEN NEW.%s = 'poison' BEGIN SELECT RAISE(ABORT, 'poison'); END", table, event, event, table, column))
		}
	}
	for table, column := range map[string]string{
		"notes": "title", "note_tags": "name", "notes_v2": "headline",
		"notes_v2_labels": "name",
	} {
		for _, phase := range []repo.Phase{repo.Migrate, repo.Cutover} {
			t.Run(table+" "+string(phase), func(t *testing.T) {
				inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
					ctx := t.Context()
					insert(t, b, note("a", "work: begin"))
					updateV2(t, b, "a", pin)
					advance(t, b, phase)
					refuse(t, b, table, column)
					before, whole := agree(t, b, "a"), v1Tables(t, repotest.Raw(t, b.URL))
					poisonV1 := func(n *repotest.NoteV1) {
						n.Priority = 8
						if column == "name" {
							n.Tags = append(n.Tags, repotest.Tag{Rank: 9, Name: "poison"})
						} else {
							n.Title = "poison"
						}
					}
					poisonV2 := func(n *repotest.NoteV2) {
						n.Priority = 8
						if column == "name" {
							n.Labels = append(n.Labels, repotest.Label{Rank: 9, Name: "poison"})
						} else {
							n.Topic, n.Headline = nil, "poison"
						}
					}
					newV1, newV2 := note("new1", "x"), repotest.NoteV2{ID: "new2", Headline: "x"}
					poisonV1(&newV1)
					poisonV2(&newV2)
					for i, err := range []error{
						errOf(b.Notes.UpdateV1(ctx, "a", func(n *repotest.NoteV1) error { poisonV1(n); return nil })),
						errOf(b.Notes.UpdateV2(ctx, "a", nil,
							func(n *repotest.NoteV2) error { poisonV2(n); return nil })),
						errOf(b.Notes.CreateV1(ctx, newV1)), errOf(b.Notes.CreateV2(ctx, newV2)),
					} {
						if err == nil {
							t.Errorf("write %d is not refused", i)
						}
					}
					if after := agree(t, b, "a"); !repo.Identical(before, after) ||
						v1Tables(t, repotest.Raw(t, b.URL)) != whole || copies(t, b) != 1 {
						t.Errorf("half a write is left: %+v, %+v", before, after)
					}
					for _, key := range []string{"new1", "new2"} {
						wantErr(t, errOf(b.Notes.GetV1(ctx, key)), repo.ErrNotFound)
						wantErr(t, errOf(b.Notes.GetV2(ctx, key)), repo.ErrNotFound)
					}
				})
			})
		}
	}
}

// Writers through both shapes, on two instances, while the phase goes to CUTOVER and back: nothing is lost.
func TestCutoverUnderLoad(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		other := repotest.OpenNotes(t, b.URL, repotest.Setup{})
		insert(t, b, note("a", ""), note("b", "b"))
		updateV2(t, b, "a", pin)
		const rounds = 20
		var clients sync.WaitGroup
		clients.Go(func() {
			for range rounds {
				if _, err := b.Notes.UpdateV1(t.Context(), "a",
					func(n *repotest.NoteV1) error { n.Title += "x"; return nil }); err != nil {
					t.Error(err)
				}
			}
		})
		clients.Go(func() {
			for range rounds {
				if _, err := other.Notes.UpdateV2(t.Context(), "a", nil,
					func(n *repotest.NoteV2) error { n.Headline += "x"; return nil }); err != nil {
					t.Error(err)
				}
			}
		})
		clients.Go(func() {
			for range rounds {
				if err := errOf(other.Notes.CreateV1(t.Context(), note("c", "c"))); err != nil {
					t.Error(err)
				}
				if err := b.Notes.Delete(t.Context(), "c", nil); err != nil {
					t.Error(err)
				}
			}
		})
		clients.Go(func() {
			last, version := 0, int64(0)
			for range rounds {
				r, err := other.Notes.GetV2(t.Context(), "a")
				if err != nil || len(r.Value.Headline) < last || r.Version < version || r.Value.PinnedReason == nil {
					t.Errorf("after %d x, version %d: %+v, %v", last, version, r, err)
				}
				last, version = len(r.Value.Headline), r.Version
				v1, err := b.Notes.GetV1(t.Context(), "a")
				if err != nil || len(v1.Title) < last {
					t.Errorf("after %d x: %+v, %v", last, v1, err)
				}
				last = len(v1.Title)
			}
		})
		for i := range 6 {
			if err := force(t, b, "NOTE", []repo.Phase{repo.Cutover, repo.Migrate}[i%2]); err != nil {
				t.Error(err)
			}
		}
		clients.Wait()
		r := agree(t, b, "a")
		wantPinned(t, r.Value)
		if len(r.Value.Headline) != 2*rounds || r.Version != 2*rounds+2 {
			t.Errorf("%d updates were made, the note has %d and version %d", 2*rounds, len(r.Value.Headline), r.Version)
		}
		advance(t, b, repo.Cutover)
	})
}

// Where V2 leads, progress counts V2: what V1 still holds of rows that are deleted in CONTRACT is history.
func TestProgressWhereV2Leads(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "a"), note("b", "b"))
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		b.SetPhase(repo.Cutover)
		if _, err := b.Control.SetPhase(t.Context(), repo.PhaseRequest{
			Entity: "COMMENT", To: repo.Cutover,
			Actor: "test", Force: true, Reason: new("a test"),
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Control.SetPhase(t.Context(), repo.PhaseRequest{
			Entity: "COMMENT", To: repo.Contract,
			Actor: "test", Force: true, Reason: new("a test"),
		}); err != nil {
			t.Fatal(err)
		}
		b.SetPhase(repo.Contract)
		if err := b.Notes.Delete(t.Context(), "b", nil); err != nil {
			t.Fatal(err)
		}
		for _, exact := range []bool{true, false} {
			p, err := b.Control.Progress(t.Context(), "NOTE", exact)
			if err != nil || p.Total != 1 || p.Migrated != 1 || p.Remaining+p.Stale+p.Quarantined != 0 ||
				p.Fraction() != 1 || p.ByOrigin[0].Count != 1 {
				t.Errorf("%+v, %v", p, err)
			}
		}
	})
}
