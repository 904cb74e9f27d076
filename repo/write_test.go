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

func TestWriteThroughV1KeepsWhatOnlyV2Knows(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		created, err := b.Notes.CreateV1(t.Context(), note("a", "work: begin"))
		if err != nil || !repo.Identical(created, note("a", "work: begin")) {
			t.Errorf("created as %+v, %v", created, err)
		}
		if r := agree(t, b, "a"); r.Version != 1 || !r.Copy.Stored || r.Copy.Origin != repo.OriginWrite || r.Copy.Refined {
			t.Errorf("after the create: %+v", r)
		}
		updateV2(t, b, "a", pin)
		after := updateV1(t, b, "a", func(n *repotest.NoteV1) {
			n.Title, n.Body, n.Priority, n.Tags = "play: on", nil, 4, []repotest.Tag{{Rank: 5, Name: "old"}, {Rank: 7, Name: "blue"}}
		})
		if !repo.Identical(after, getV1(t, b, "a")) {
			t.Errorf("UpdateV1 returns %+v", after)
		}
		r := agree(t, b, "a")
		wantPinned(t, r.Value)
		if r.Version != 3 || !r.Copy.Refined || !r.Copy.Stored || *r.Value.Topic != "play" || r.Value.Text != nil {
			t.Errorf("after the update: %+v", r)
		}
		if n := len(r.Value.Labels); n != 3 {
			t.Errorf("%d labels, want 3: %+v", n, r.Value.Labels)
		}
	})
}

// Law 4 in the engine: a field that V1 did not change is not derived anew.
func TestWriteThroughV1KeepsACorrection(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "Re: work: begin"))
		updateV2(t, b, "a", func(n *repotest.NoteV2) { n.Topic, n.Headline = new("Re: work"), "begin" })
		updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Priority = 4 })
		if r := agree(t, b, "a"); *r.Value.Topic != "Re: work" || r.Value.Priority != 4 {
			t.Errorf("the title is split anew: %+v", r.Value)
		}
	})
}

func TestWriteThroughV2ArrivesInV1(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		v2 := repotest.NoteV2{
			ID: "a", Topic: new("work"), Headline: "begin", Priority: 2, PinnedReason: new("why"),
			Labels: []repotest.Label{{Name: "first", Hidden: true}, {Rank: 9, Name: "nine"}, {Rank: 2, Name: "two"}},
		}
		created, err := b.Notes.CreateV2(t.Context(), v2)
		if err != nil || !repo.Identical(created.Value, v2) || created.Version != 1 || !created.Copy.Refined || !created.Copy.Stored {
			t.Fatalf("created as %+v, %v", created, err)
		}
		if read := agree(t, b, "a"); !repo.Identical(read, created) {
			t.Errorf("read as %+v, created as %+v", read, created)
		}
		want := repotest.NoteV1{ID: "a", Title: "work: begin", Priority: 2, Tags: []repotest.Tag{{Rank: 2, Name: "two"}, {Rank: 9, Name: "nine"}}}
		if v1 := getV1(t, b, "a"); !repo.Identical(v1, want) {
			t.Errorf("V1 is %+v, want %+v", v1, want)
		}
		updated := updateV2(t, b, "a", func(n *repotest.NoteV2) {
			n.Headline, n.Text, n.PinnedReason, n.Labels = "end", new(""), nil, []repotest.Label{{Rank: 3, Name: "three"}}
		})
		if read := agree(t, b, "a"); !repo.Identical(read, updated) || read.Version != 2 {
			t.Errorf("read as %+v, updated as %+v", read, updated)
		}
		want = repotest.NoteV1{ID: "a", Title: "work: end", Body: new(""), Priority: 2, Tags: []repotest.Tag{{Rank: 3, Name: "three"}}}
		if v1 := getV1(t, b, "a"); !repo.Identical(v1, want) {
			t.Errorf("V1 is %+v, want %+v", v1, want)
		}
		if _, err := b.Notes.CreateV2(t.Context(), v2); !errors.Is(err, repo.ErrAlreadyExists) {
			t.Errorf("a second create: %v", err)
		}
	})
}

func TestUpdateOfARowThatHasNotMigrated(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "work: begin"), note("b", "work: begin"), note("c", "c"))
		if r := updateV2(t, b, "a", pin); r.Version != 2 || !r.Copy.Stored || !r.Copy.Refined {
			t.Errorf("updated as %+v", r)
		}
		updateV1(t, b, "b", func(n *repotest.NoteV1) { n.Title = "play: begin" })
		if r := agree(t, b, "b"); r.Version != 2 || !r.Copy.Stored || r.Copy.Refined || r.Copy.Origin != repo.OriginWrite {
			t.Errorf("read as %+v", r)
		}
		deleteNote(t, b, "c")
		wantPinned(t, agree(t, b, "a").Value)
	})
}

func TestNotRepresentableNamesTheField(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "work: begin"))
		for field, change := range map[string]func(*repotest.NoteV2){
			"headline":       func(n *repotest.NoteV2) { n.Topic, n.Headline = nil, strings.Repeat("ä", 41) },
			"labels[0].name": func(n *repotest.NoteV2) { n.Labels[0].Name = strings.Repeat("ä", 21) },
			"labels[1].rank": func(n *repotest.NoteV2) { n.Labels[1].Rank = n.Labels[0].Rank },
			"priority":       func(n *repotest.NoteV2) { n.Priority = 10 },
		} {
			_, err := b.Notes.UpdateV2(t.Context(), "a", nil, func(n *repotest.NoteV2) error { change(n); return nil })
			wantField[*repo.NotRepresentableError](t, err, field)
			v2 := repotest.NoteV2{ID: "new", Headline: "x", Labels: []repotest.Label{{Rank: 1}, {Rank: 2}}}
			change(&v2)
			_, err = b.Notes.CreateV2(t.Context(), v2)
			wantField[*repo.NotRepresentableError](t, err, field)
		}
		// 40 characters of two bytes fit.
		updateV2(t, b, "a", func(n *repotest.NoteV2) { n.Topic, n.Headline = nil, strings.Repeat("ä", 40) })
		if r := agree(t, b, "a"); r.Version != 2 {
			t.Errorf("the version is %d: a refused write has left a trace", r.Version)
		}
		_, err := b.Notes.GetV1(t.Context(), "new")
		wantErr(t, err, repo.ErrNotFound)
	})
}

func TestBadInputNamesTheField(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		insert(t, b, note("a", "work: begin"))
		for _, c := range []struct {
			field  string
			change func(*repotest.NoteV1)
		}{
			{"title", func(n *repotest.NoteV1) { n.Title = strings.Repeat("ä", 41) }},
			{"title", func(n *repotest.NoteV1) { n.Title = "a\x00" }},
			{"body", func(n *repotest.NoteV1) { n.Body = new("\xff") }},
			{"tags[1].name", func(n *repotest.NoteV1) { n.Tags[1].Name = strings.Repeat("x", 21) }},
			{"tags[1].rank", func(n *repotest.NoteV1) { n.Tags[1].Rank = n.Tags[0].Rank }},
		} {
			_, err := b.Notes.UpdateV1(t.Context(), "a", func(n *repotest.NoteV1) error { c.change(n); return nil })
			wantField[*repo.InputError](t, err, c.field)
			n := note("new", "new")
			c.change(&n)
			_, err = b.Notes.CreateV1(t.Context(), n)
			wantField[*repo.InputError](t, err, c.field)
		}
		_, err := b.Notes.UpdateV1(t.Context(), "a", func(n *repotest.NoteV1) error { n.ID = "b"; return nil })
		wantField[*repo.InputError](t, err, "id")
		if phase == repo.Migrate {
			_, err := b.Notes.UpdateV2(t.Context(), "a", nil, func(n *repotest.NoteV2) error { n.ID = "b"; return nil })
			wantField[*repo.InputError](t, err, "id")
			_, err = b.Notes.UpdateV2(t.Context(), "a", nil, func(n *repotest.NoteV2) error { n.Headline = " "; return nil })
			wantField[*repo.InputError](t, err, "headline")
			_, err = b.Notes.UpdateV2(t.Context(), "a", nil, func(n *repotest.NoteV2) error { n.PinnedReason = new("\x00"); return nil })
			wantField[*repo.InputError](t, err, "pinnedReason")
		}
		for _, key := range []string{strings.Repeat("ä", 13), "nul\x00", "\xff"} {
			_, err := b.Notes.CreateV1(t.Context(), note(key, "x"))
			wantField[*repo.InputError](t, err, "id")
			_, err = b.Notes.UpdateV1(t.Context(), key, func(*repotest.NoteV1) error { return nil })
			wantErr(t, err, repo.ErrNotFound)
			wantErr(t, b.Notes.Delete(t.Context(), key, nil), repo.ErrNotFound)
		}
		if v1 := getV1(t, b, "a"); !repo.Identical(v1, note("a", "work: begin")) {
			t.Errorf("a refused write has left a trace: %+v", v1)
		}
	})
}

func TestChangesOwnErrorRollsBack(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		insert(t, b, note("a", "a"))
		mine := errors.New("mine")
		_, err := b.Notes.UpdateV1(t.Context(), "a", func(n *repotest.NoteV1) error { n.Title = "b"; return mine })
		wantErr(t, err, mine)
		if phase == repo.Migrate {
			_, err = b.Notes.UpdateV2(t.Context(), "a", nil, func(n *repotest.NoteV2) error { n.Headline = "b"; return mine })
			wantErr(t, err, mine)
		}
		if v1 := getV1(t, b, "a"); v1.Title != "a" {
			t.Errorf("the title is %s", v1.Title)
		}
	})
}

func TestV2WritesAreRefusedInExpand(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Expand, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "a"))
		_, err := b.Notes.CreateV2(t.Context(), repotest.NoteV2{ID: "b", Headline: "b"})
		wantErr(t, err, repo.ErrV2NotOpen)
		for _, key := range []string{"a", "none"} {
			_, err = b.Notes.UpdateV2(t.Context(), key, nil, func(*repotest.NoteV2) error { return nil })
			wantErr(t, err, repo.ErrV2NotOpen)
		}
		if v1 := getV1(t, b, "a"); !repo.Identical(v1, note("a", "a")) {
			t.Errorf("V1 is %+v", v1)
		}
	})
}

// A copy that was refined in MIGRATE survives the way back to EXPAND and the writes there. The mark in leaveStale makes it
// stale: without it the last read here finds the old title.
func TestWriteInExpandMakesTheCopyStale(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "work: begin"))
		updateV2(t, b, "a", pin)
		b.SetPhase(repo.Expand)
		updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Title = "play: begin" })
		updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Title = "play: on" })
		inExpand := agree(t, b, "a")
		wantPinned(t, inExpand.Value)
		if inExpand.Copy.Stored || inExpand.Version != 4 {
			t.Errorf("in EXPAND: %+v", inExpand)
		}
		b.SetPhase(repo.Migrate)
		r := agree(t, b, "a")
		wantPinned(t, r.Value)
		if !r.Copy.Stored || !r.Copy.Refined || r.Version != 4 || r.Value.Headline != "on" {
			t.Errorf("in MIGRATE: %+v", r)
		}
		if n := marks(t, b, "a", "CHANGE"); n != 0 {
			t.Errorf("%d marks are left by the store", n)
		}
	})
}

func TestV1WriteThatCannotBeConverted(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		if phase == repo.Expand {
			b.SetPhase(repo.Migrate)
		}
		insert(t, b, note("a", "work: begin"))
		updateV2(t, b, "a", pin)
		b.SetPhase(phase)
		bad := updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Priority = repotest.BadPriority })
		if bad.Priority != repotest.BadPriority || getV1(t, b, "a").Priority != repotest.BadPriority {
			t.Error("V1 is not written")
		}
		_, err := b.Notes.GetV2(t.Context(), "a")
		wantField[*repo.ConversionError](t, err, "priority")
		list := quarantined(t, b)
		if len(list) != 1 || list[0].Key != "a" || list[0].Field == nil || *list[0].Field != "priority" || list[0].Code != "CONVERSION_FAILED" {
			t.Errorf("quarantine is %+v", list)
		}
		// Another V1 write needs no old row that can be converted; neither does the repair.
		updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Title = "play: on" })
		updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Priority = 1 })
		if list := quarantined(t, b); len(list) != 0 {
			t.Errorf("after the repair quarantine is %+v", list)
		}
		r := agree(t, b, "a")
		wantPinned(t, r.Value)
		if r.Version != 5 || r.Value.Headline != "on" {
			t.Errorf("after the repair: %+v", r)
		}
		// Created so, and deleted so.
		n := note("b", "b")
		n.Priority = repotest.BadPriority
		if _, err := b.Notes.CreateV1(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if list := quarantined(t, b); len(list) != 1 || list[0].Key != "b" {
			t.Errorf("quarantine is %+v", list)
		}
		deleteNote(t, b, "b")
		if list := quarantined(t, b); len(list) != 0 {
			t.Errorf("after the delete quarantine is %+v", list)
		}
	})
}

// The tombstone of deleteBoth keeps the floor: without it a note that is created again starts at version 1.
func TestVersionNeverFalls(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		last := int64(0)
		grown := func(what string, by int64) {
			t.Helper()
			if v := agree(t, b, "a").Version; v < last+by {
				t.Errorf("%s: the version goes from %d to %d", what, last, v)
			} else {
				last = v
			}
		}
		for range 3 {
			if _, err := b.Notes.CreateV1(t.Context(), note("a", "work: begin")); err != nil {
				t.Fatal(err)
			}
			grown("create", 1)
			updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Title = "play" })
			grown("update", 1)
			b.SetPhase(repo.Migrate)
			grown("MIGRATE", 0)
			updateV2(t, b, "a", pin)
			grown("V2 update", 1)
			b.SetPhase(repo.Expand)
			grown("EXPAND", 0)
			updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Title = "work" })
			grown("update in EXPAND", 1)
			b.SetPhase(phase)
			grown("back", 0)
			deleteNote(t, b, "a")
			if n := marks(t, b, "a", "GONE"); n != 1 {
				t.Errorf("%d tombstones", n)
			}
			_, err := b.Notes.GetV2(t.Context(), "a")
			wantErr(t, err, repo.ErrNotFound)
			_, err = b.Notes.GetV1(t.Context(), "a")
			wantErr(t, err, repo.ErrNotFound)
			wantErr(t, b.Notes.Delete(t.Context(), "a", nil), repo.ErrNotFound)
		}
		if n := copies(t, b); n != 0 {
			t.Errorf("%d copies are left", n)
		}
	})
}

// What is created again is another note: nothing of the old one comes back.
func TestCreatedAgainIsNotMerged(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		b.SetPhase(repo.Migrate)
		insert(t, b, note("a", "work: begin"))
		updateV2(t, b, "a", pin)
		b.SetPhase(phase)
		deleteNote(t, b, "a")
		if _, err := b.Notes.CreateV1(t.Context(), note("a", "again")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if r := agree(t, b, "a"); r.Value.PinnedReason != nil || len(r.Value.Labels) != 2 || r.Copy.Refined || r.Version < 3 {
				t.Errorf("read as %+v", r)
			}
			b.SetPhase(repo.Migrate)
		}
	})
}

func TestExpectedVersion(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "a"))
		rename := func(n *repotest.NoteV2) error { n.Headline += "!"; return nil }
		for i, want := range []int64{1, 2, 3} {
			for _, wrong := range []int64{want - 1, want + 1} {
				_, err := b.Notes.UpdateV2(t.Context(), "a", &wrong, rename)
				wantErr(t, err, repo.ErrStaleVersion)
				wantErr(t, b.Notes.Delete(t.Context(), "a", &wrong), repo.ErrStaleVersion)
			}
			r, err := b.Notes.UpdateV2(t.Context(), "a", &want, rename)
			if err != nil || r.Version != want+1 || r.Value.Headline != "a"+strings.Repeat("!", i+1) {
				t.Errorf("%+v, %v", r, err)
			}
		}
		updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Title = "b" })
		wantErr(t, b.Notes.Delete(t.Context(), "a", new(int64(4))), repo.ErrStaleVersion)
		if err := b.Notes.Delete(t.Context(), "a", new(int64(5))); err != nil {
			t.Error(err)
		}
	})
}

func TestUnchangedUpdateWritesNothing(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		insert(t, b, note("a", "work: begin"))
		before := getV2(t, b, "a")
		same := func(*repotest.NoteV1) {}
		statements := b.Statements(func() { updateV1(t, b, "a", same) })
		if i := slices.IndexFunc(statements, writes); i >= 0 {
			t.Errorf("an update that changes nothing sends %s", statements[i])
		}
		if phase == repo.Migrate {
			statements = b.Statements(func() { updateV2(t, b, "a", func(*repotest.NoteV2) {}) })
			if i := slices.IndexFunc(statements, writes); i >= 0 {
				t.Errorf("an update that changes nothing sends %s", statements[i])
			}
		}
		if after := getV2(t, b, "a"); !repo.Identical(before, after) {
			t.Errorf("before %+v, after %+v", before, after)
		}
	})
}

func writes(statement string) bool {
	return !strings.HasPrefix(statement, "UPDATE coexist_writer") && !strings.Contains(statement, " coexist_inflight") &&
		(strings.HasPrefix(statement, "INSERT") || strings.HasPrefix(statement, "UPDATE") || strings.HasPrefix(statement, "DELETE"))
}

// Only what differs is written: another program's change of another column of the same moment is not undone.
func TestOnlyWhatDiffersIsWritten(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, _ repo.Phase) {
		insert(t, b, note("a", "work: begin"))
		statements := b.Statements(func() { updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Tags[1].Name = "blue" }) })
		for _, s := range statements {
			if strings.HasPrefix(s, `UPDATE "notes" `) || strings.HasPrefix(s, `DELETE FROM "note_tags"`) || strings.HasPrefix(s, `INSERT INTO "note_tags"`) {
				t.Errorf("a change of one tag sends %s", s)
			}
		}
		if v1 := getV1(t, b, "a"); v1.Tags[1].Name != "blue" || v1.Tags[0].Name != "red" {
			t.Errorf("V1 is %+v", v1)
		}
	})
}

func TestKeysMadeByTheServer(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		insert(t, b, note("N2", "taken"))
		seen := map[string]bool{"N2": true}
		for range 3 {
			n, err := b.Notes.CreateV1(t.Context(), note("", "x"))
			if err != nil || n.ID == "" || seen[n.ID] {
				t.Fatalf("the key is %q: %v", n.ID, err)
			}
			seen[n.ID] = true
			agree(t, b, n.ID)
		}
		if phase == repo.Migrate {
			r, err := b.Notes.CreateV2(t.Context(), repotest.NoteV2{Headline: "x"})
			if err != nil || r.Key == "" || seen[r.Key] || r.Value.ID != r.Key {
				t.Errorf("%+v: %v", r, err)
			}
		}
		if _, err := b.Comments.InsertV1(t.Context(), []repotest.CommentV1{{ID: 41, Words: "taken"}}); err != nil {
			t.Fatal(err)
		}
		c, err := b.Comments.CreateV1(t.Context(), repotest.CommentV1{Words: "new"})
		if err != nil || c.ID != 42 {
			t.Errorf("the key is %d, want 42: %v", c.ID, err)
		}
		_, err = b.Comments.CreateV1(t.Context(), repotest.CommentV1{ID: 41})
		wantErr(t, err, repo.ErrAlreadyExists)
	})
}

func TestServerKeysRunOut(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, _ repo.Phase) {
		if _, err := b.Comments.InsertV1(t.Context(), []repotest.CommentV1{{ID: 1<<31 - 1}}); err != nil {
			t.Fatal(err)
		}
		_, err := b.Comments.CreateV1(t.Context(), repotest.CommentV1{Words: "new"})
		wantField[*repo.NotRepresentableError](t, err, "id")
	})
}

func TestReferences(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		insert(t, b, note("a", "a"), note("b", "b"))
		_, err := b.Comments.CreateV1(t.Context(), repotest.CommentV1{ID: 1, NoteID: new("none")})
		wantField[*repo.InputError](t, err, "noteId")
		if _, err := b.Comments.CreateV1(t.Context(), repotest.CommentV1{ID: 1, NoteID: new("a")}); err != nil {
			t.Fatal(err)
		}
		_, err = b.Comments.UpdateV1(t.Context(), "1", func(c *repotest.CommentV1) error { c.NoteID = new("none"); return nil })
		wantField[*repo.InputError](t, err, "noteId")
		if phase == repo.Migrate {
			_, err := b.Comments.CreateV2(t.Context(), repotest.CommentV2{ID: 2, About: new("none")})
			wantField[*repo.InputError](t, err, "about")
			_, err = b.Comments.UpdateV2(t.Context(), "1", nil, func(c *repotest.CommentV2) error { c.About = new("none"); return nil })
			wantField[*repo.InputError](t, err, "about")
		}
		before := agree(t, b, "a")
		wantErr(t, b.Notes.Delete(t.Context(), "a", nil), repo.ErrConflict)
		if after := agree(t, b, "a"); !repo.Identical(before.Value, after.Value) || after.Version != before.Version {
			t.Errorf("a refused delete has left a trace: %+v, %+v", before, after)
		}
		if err := b.Comments.Delete(t.Context(), "1", nil); err != nil {
			t.Fatal(err)
		}
		deleteNote(t, b, "a")
	})
}

func TestManyWritersOfOneNote(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", ""))
		updateV2(t, b, "a", pin)
		const writers, rounds = 4, 5
		done := make(chan error, writers*rounds)
		for w := range writers {
			go func() {
				for range rounds {
					var err error
					if w%2 == 0 {
						_, err = b.Notes.UpdateV1(t.Context(), "a", func(n *repotest.NoteV1) error { n.Title += "x"; return nil })
					} else {
						_, err = b.Notes.UpdateV2(t.Context(), "a", nil, func(n *repotest.NoteV2) error { n.Headline += "x"; return nil })
					}
					done <- err
				}
			}()
		}
		for range writers * rounds {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		r := agree(t, b, "a")
		wantPinned(t, r.Value)
		if want := strings.Repeat("x", writers*rounds); r.Value.Headline != want || r.Version != writers*rounds+2 {
			t.Errorf("an update is lost: %+v", r)
		}
	})
}

// An own writer never waits for a child row while it holds its parent: NOWAIT in lockV1. Without it the old program, which takes
// the child first, is the victim of a dead-lock or waits until ours is.
func TestOwnWriteAgainstAProgramThatLocksChildrenFirst(t *testing.T) {
	t.Parallel()
	for _, phase := range []repo.Phase{repo.Expand, repo.Migrate} {
		t.Run(string(phase), func(t *testing.T) {
			b := repotest.OpenNotes(t, repotest.Postgres(t), repotest.Setup{Phase: phase})
			insert(t, b, note("a", "work: begin"))
			raw := repotest.Raw(t, b.URL)
			for round := range 3 {
				old, err := raw.Begin()
				if err != nil {
					t.Fatal(err)
				}
				repotest.Exec(t, old, "UPDATE note_tags SET name = 'old' WHERE note_id = 'a' AND rank = 1")
				ours := make(chan error, 1)
				b.Forget()
				go func() {
					var err error
					if round == 2 {
						err = b.Notes.Delete(t.Context(), "a", nil)
					} else {
						_, err = b.Notes.UpdateV1(t.Context(), "a", func(n *repotest.NoteV1) error { n.Title = fmt.Sprint("own ", round); return nil })
					}
					ours <- err
				}()
				// It has met the lock: it has rolled back, so that the parent is free for the old program, or it waits, which is wrong.
				repotest.Until(t, "our write has met the lock", func() bool {
					if waiting(t, raw) {
						t.Fatal("our write waits for a child row")
					}
					return slices.Contains(b.Sent(), "ROLLBACK")
				})
				if _, err := old.Exec("UPDATE notes SET body = 'old' WHERE id = 'a'"); err != nil {
					t.Fatalf("the old program fails: %v", err)
				}
				if err := old.Commit(); err != nil {
					t.Fatalf("the old program fails: %v", err)
				}
				if err := <-ours; err != nil {
					t.Errorf("our write fails: %v", err)
				}
			}
			_, err := b.Notes.GetV1(t.Context(), "a")
			wantErr(t, err, repo.ErrNotFound)
			if n := repotest.One[int64](t, raw, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"); n > 0 {
				t.Errorf("%d dead-locks", n)
			}
		})
	}
}

// waiting reports whether somebody in the database waits for a lock.
func waiting(t *testing.T, raw *sql.DB) bool {
	t.Helper()
	return repotest.One[bool](t, raw, "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
}
