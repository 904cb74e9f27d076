package repo_test

import (
	"database/sql"
	"errors"
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
		if r := agree(t, b, "a"); r.Version != 1 || !r.Copy.Stored || r.Copy.Origin != repo.OriginWrite ||
			r.Copy.Refined {
			t.Errorf("after the create: %+v", r)
		}
		updateV2(t, b, "a", pin)
		after := updateV1(t, b, "a", func(n *repotest.NoteV1) {
			n.Title, n.Body, n.Priority, n.Tags = "play: on", nil, 4, []repotest.Tag{
				{Rank: 5, Name: "old"},
				{Rank: 7, Name: "blue"},
			}
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
		if err != nil || !repo.Identical(created.Value, v2) || created.Version != 1 || !created.Copy.Refined ||
			!created.Copy.Stored {
			t.Fatalf("created as %+v, %v", created, err)
		}
		if read := agree(t, b, "a"); !repo.Identical(read, created) {
			t.Errorf("read as %+v, created as %+v", read, created)
		}
		want := repotest.NoteV1{ID: "a", Title: "work: begin", Priority: 2, Tags: []repotest.Tag{
			{Rank: 2, Name: "two"},
			{Rank: 9, Name: "nine"},
		}}
		if v1 := getV1(t, b, "a"); !repo.Identical(v1, want) {
			t.Errorf("V1 is %+v, want %+v", v1, want)
		}
		updated := updateV2(t, b, "a", func(n *repotest.NoteV2) {
			n.Headline, n.Text, n.PinnedReason, n.Labels = "end", new(""), nil,
				[]repotest.Label{{Rank: 3, Name: "three"}}
		})
		if read := agree(t, b, "a"); !repo.Identical(read, updated) || read.Version != 2 {
			t.Errorf("read as %+v, updated as %+v", read, updated)
		}
		want = repotest.NoteV1{
			ID: "a", Title: "work: end", Body: new(""), Priority: 2,
			Tags: []repotest.Tag{{Rank: 3, Name: "three"}},
		}
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
		if r := agree(t, b, "b"); r.Version != 2 || !r.Copy.Stored || r.Copy.Refined ||
			r.Copy.Origin != repo.OriginWrite {
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
			_, err = b.Notes.UpdateV2(t.Context(), "a", nil,
				func(n *repotest.NoteV2) error { n.Headline = " "; return nil })
			wantField[*repo.InputError](t, err, "headline")
			_, err = b.Notes.UpdateV2(t.Context(), "a", nil,
				func(n *repotest.NoteV2) error { n.PinnedReason = new("\x00"); return nil })
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
			_, err = b.Notes.UpdateV2(t.Context(), "a", nil,
				func(n *repotest.NoteV2) error { n.Headline = "b"; return mine })
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

// A copy that was refined in MIGRATE survives the way back to EXPAND and the writes there. The mark in leaveStale makes
// it stale: without it the last read here finds the old title.
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
		if len(list) != 1 || list[0].Key != "a" || list[0].Field == nil || *list[0].Field != "priority" ||
			list[0].Code != "CONVERSION_FAILED" {
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
	return !strings.HasPrefix(statement, "UPDATE coexist_writer") && !strings.Contains(statement,
		" coexist_inflight") &&
		(strings.HasPrefix(statement, "INSERT") || strings.HasPrefix(statement, "UPDATE") ||
			strings.HasPrefix(statement, "DELETE"))
}

// Only what differs is written: another program's change of another column of the same moment is not undone.
func TestOnlyWhatDiffersIsWritten(t *testing.T) {
	t.Parallel()
	eachPhase(t, func(t *testing.T, b *repotest.Bench, _ repo.Phase) {
		insert(t, b, note("a", "work: begin"))
		statements := b.Statements(func() { updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Tags[1].Name = "blue" }) })
		for _, s := range statements {
			if strings.HasPrefix(s, `UPDATE "notes" `) || strings.HasPrefix(s, `DELETE FROM "note_tags"`) ||
				strings.HasPrefix(s, `INSERT INTO "note_tags"`) {
				t.Errorf("a change of one tag sends %s", s)
			}
		}
		if v1 := getV1(t, b, "a"); v1.Tags[1].Name != "blue" || v1.Tags[0].Name != "red" {
			t.Errorf("V1 is %+v", v1)
		}
	})
}

// waiting reports whether somebody in the database waits for a lock.
func waiting(t *testing.T, raw *sql.DB) bool {
	t.Helper()
	return repotest.One[bool](t, raw,
		"SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
}
