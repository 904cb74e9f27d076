package repo_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// The referrer enters CONTRACT first, the target leaves it first; force does not pass that.
func TestOrderOfPhasesBetweenEntities(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "a"))
		if _, err := b.Comments.CreateV1(t.Context(), repotest.CommentV1{
			ID: 1, NoteID: new("a"),
			Words: "x",
		}); err != nil {
			t.Fatal(err)
		}
		advance(t, b, repo.Cutover)
		clean(t, b, verify(t, b, false))
		wantBlocker(t, closed(t, b, repo.Contract, "REFERENCE"), repo.ReferenceOrder, 1, "",
			"COMMENT to CONTRACT first")
		if refusal, ok := errors.AsType[*repo.GateClosedError](force(t, b, "NOTE", repo.Contract)); !ok ||
			codes(refusal.Blockers) != "REFERENCE" {
			t.Errorf("force: %v", refusal)
		}
		contractComments(t, b)
		step(t, b, repo.Contract)
		clean(t, b, restore(t, b, "COMMENT"))
		refusal, ok := errors.AsType[*repo.GateClosedError](force(t, b, "COMMENT", repo.Cutover))
		if !ok || codes(refusal.Blockers) != "REFERENCE" || !strings.Contains(refusal.Error(),
			"NOTE to CUTOVER first") {
			t.Errorf("force: %v", refusal)
		}
		clean(t, b, restore(t, b, "NOTE"))
		step(t, b, repo.Cutover)
		if err := force(t, b, "COMMENT", repo.Cutover); err != nil {
			t.Error(err)
		}
	})
}

// commented is a note with a comment, of which the comments are in CONTRACT, and the notes in the phase given.
func commented(t *testing.T, b *repotest.Bench, phase repo.Phase) {
	t.Helper()
	insert(t, b, note("a", "a"), note("b", "b"))
	if _, err := b.Comments.CreateV1(t.Context(), repotest.CommentV1{ID: 1, NoteID: new("a"), Words: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Comments.GetV2(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	contractComments(t, b)
	advance(t, b, phase)
}

// In CONTRACT, where V1's foreign keys guard no more, the engine does: holdReferences and referred.
func TestReferencesInContract(t *testing.T) {
	t.Parallel()
	for _, phase := range []repo.Phase{repo.Migrate, repo.Cutover, repo.Contract} {
		t.Run(strings.ToLower(string(phase)), func(t *testing.T) {
			inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
				ctx := t.Context()
				commented(t, b, phase)
				for _, target := range []string{"none", strings.Repeat("x", 12)} {
					wantField[*repo.InputError](t,
						errOf(b.Comments.CreateV1(ctx, repotest.CommentV1{ID: 2, NoteID: &target})), "noteId")
					wantField[*repo.InputError](t,
						errOf(b.Comments.CreateV2(ctx, repotest.CommentV2{ID: 2, About: &target})), "about")
					wantField[*repo.InputError](t,
						errOf(b.Comments.UpdateV1(ctx, "1",
							func(c *repotest.CommentV1) error { c.NoteID = &target; return nil })), "noteId")
					wantField[*repo.InputError](t,
						errOf(b.Comments.UpdateV2(ctx, "1", nil,
							func(c *repotest.CommentV2) error { c.About = &target; return nil })), "about")
				}
				if c, err := b.Comments.CreateV2(ctx, repotest.CommentV2{
					ID: 2, About: nil,
					Text: "about nothing",
				}); err != nil || c.Key != "2" {
					t.Errorf("%+v, %v", c, err)
				}
				wantErr(t, b.Notes.Delete(ctx, "a", nil), repo.ErrConflict)
				agree(t, b, "a")
				// The comment moves to b, which V1 does not know.
				if err := errOf(b.Comments.UpdateV2(ctx, "1", nil,
					func(c *repotest.CommentV2) error { c.About = new("b"); return nil })); err != nil {
					t.Fatal(err)
				}
				wantErr(t, b.Notes.Delete(ctx, "b", nil), repo.ErrConflict)
				if c, err := b.Comments.GetV1(ctx, "1"); err != nil || *c.NoteID != "b" {
					t.Errorf("%+v, %v", c, err)
				}
				groups, err := b.Comments.ListGroupsV2(ctx, "note_id", []string{"a", "b"}, repo.Query{})
				if err != nil || len(groups[0].Items) != 0 || len(groups[1].Items) != 1 {
					t.Errorf("%+v, %v", groups, err)
				}
				if err := b.Comments.Delete(ctx, "1", nil); err != nil {
					t.Fatal(err)
				}
				deleteNote(t, b, "b")
			})
		})
	}
}

// Who begins to refer to a note and who deletes it at the same time: one of them is refused, and no reference dangles.
// The guards are the lock that hold takes on the target, and the statement of referred that is later than the deleter's
// lock.
func TestAReferrerAgainstADelete(t *testing.T) {
	t.Parallel()
	for _, phase := range []repo.Phase{repo.Migrate, repo.Contract} {
		t.Run(strings.ToLower(string(phase)), func(t *testing.T) {
			b := repotest.OpenNotes(t, repotest.Postgres(t), repotest.Setup{Phase: repo.Migrate})
			ctx, raw := t.Context(), repotest.Raw(t, b.URL)
			commented(t, b, phase)
			// The referrer first: it is stopped before its insert, with the target held.
			held, goOn := make(chan struct{}), make(chan struct{})
			b.Before(`"comments_v2" (`, func() { close(held); <-goOn })
			created := make(chan error, 1)
			go func() {
				created <- errOf(b.Comments.CreateV2(ctx, repotest.CommentV2{ID: 7, About: new("b"), Text: "x"}))
			}()
			<-held
			other := repotest.OpenNotes(t, b.URL, repotest.Setup{})
			other.Forget()
			deleted := make(chan error, 1)
			go func() { deleted <- other.Notes.Delete(ctx, "b", nil) }()
			repotest.Until(t, "the deleter waits", func() bool {
				return waiting(t, raw) ||
					slices.Contains(other.Sent(), "ROLLBACK")
			})
			close(goOn)
			if err := <-created; err != nil {
				t.Errorf("the referrer: %v", err)
			}
			wantErr(t, <-deleted, repo.ErrConflict)
			// The deleter first: it is stopped before its last statement.
			if err := b.Comments.Delete(ctx, "7", nil); err != nil {
				t.Fatal(err)
			}
			held, goOn = make(chan struct{}), make(chan struct{})
			other.Before(`_quarantine" WHERE key IN`, func() { close(held); <-goOn })
			go func() { deleted <- other.Notes.Delete(ctx, "b", nil) }()
			<-held
			b.Forget()
			go func() {
				created <- errOf(b.Comments.CreateV2(ctx, repotest.CommentV2{ID: 7, About: new("b"), Text: "x"}))
			}()
			repotest.Until(t, "the referrer waits", func() bool {
				return waiting(t, raw) ||
					slices.Contains(b.Sent(), "ROLLBACK")
			})
			close(goOn)
			if err := <-deleted; err != nil {
				t.Errorf("the deleter: %v", err)
			}
			wantField[*repo.InputError](t, <-created, "about")
			if n := repotest.One[int64](t, raw,
				"SELECT count(*) FROM comments_v2 c WHERE about IS NOT NULL AND NOT EXISTS (SELECT 1 FROM notes_v2 n WHERE n.id = c.about) AND NOT EXISTS (SELECT 1 FROM notes n WHERE n.id = c.about)"); n > 0 {
				t.Errorf("%d references dangle", n)
			}
		})
	}
}
