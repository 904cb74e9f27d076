package repo_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// trigger is DDL of a trigger of V1's owner: what it does to a row, as PL/pgSQL, or as a body of SQLite's triggers.
func trigger(url, name, event, postgres, sqlite string) []string {
	if strings.HasPrefix(url, "sqlite") {
		return []string{"CREATE TRIGGER own_" + name + " " + event + " BEGIN " + sqlite + " END"}
	}
	return []string{
		"CREATE FUNCTION own_" + name +
			"() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $own$ BEGIN " +
			postgres + " END $own$",
		"CREATE TRIGGER own_" + name + " " + event + " FOR EACH ROW EXECUTE FUNCTION own_" + name + "()",
	}
}

// dual runs f on both databases, with notes and comments in each phase in which writes are dual, in which each is moved
// from MIGRATE.
func dual(t *testing.T, f func(t *testing.T, b *repotest.Bench, phase repo.Phase)) {
	t.Helper()
	for _, phase := range []repo.Phase{repo.Migrate, repo.Cutover} {
		t.Run(strings.ToLower(string(phase)), func(t *testing.T) {
			inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) { f(t, b, phase) })
		})
	}
}

// both moves notes and comments to a phase.
func both(t *testing.T, b *repotest.Bench, phase repo.Phase) {
	t.Helper()
	if phase == repo.Cutover {
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		clean(t, b, verify(t, b, false))
		b.SetPhase(repo.Cutover) // by force, since its gate names what V1's owner has made of V1
		if err := force(t, b, "COMMENT", repo.Cutover); err != nil {
			t.Fatal(err)
		}
	}
}

// Both shapes say the same of a note: what V1's table holds, and what a client of either is told.
func same(t *testing.T, b *repotest.Bench, key string) repotest.NoteV2 {
	t.Helper()
	r := agree(t, b, key)
	raw := repotest.Raw(t, b.URL)
	back, err := repotest.NoteMapping{}.Downgrade(r.Value)
	if err != nil {
		t.Fatal(err)
	}
	if title := repotest.One[string](t, raw, "SELECT title FROM notes WHERE id = $1", key); title != back.Title {
		t.Errorf("V1 holds the title %q, and V2 means %q", title, back.Title)
	}
	if priority := repotest.One[int64](t, raw, "SELECT priority FROM notes WHERE id = $1",
		key); priority != int64(back.Priority) {
		t.Errorf("V1 holds the priority %d, and V2 means %d", priority, back.Priority)
	}
	if n := repotest.One[int64](t, raw, "SELECT count(*) FROM note_tags WHERE note_id = $1",
		key); n != int64(len(back.Tags)) {
		t.Errorf("V1 holds %d tags, and V2 means %d", n, len(back.Tags))
	}
	return r.Value
}

// B1. A row that V1 keeps in spite of a delete is not deleted in V2 either, and the client is told. The guard is
// afterDelete.
func TestADeleteThatV1Withholds(t *testing.T) {
	dual(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		insert(t, b, note("a", "work: begin"), note("b", "b"))
		updateV2(t, b, "a", pin)
		repotest.Exec(t, repotest.Raw(t, b.URL), trigger(b.URL, "keep", "BEFORE DELETE ON notes", "RETURN NULL;",
			"SELECT RAISE(IGNORE);")...)
		both(t, b, phase)
		before := getV2(t, b, "a")
		err := b.Notes.Delete(t.Context(), "a", nil)
		if _, is := errors.AsType[*repo.ConflictError](err); !is || !strings.Contains(err.Error(), "NOTE a") {
			t.Errorf("the error is %v", err)
		}
		if after := getV2(t, b, "a"); !repo.Identical(before, after) {
			t.Errorf("before %+v, after %+v", before, after)
		}
		wantPinned(t, same(t, b, "a"))
	})
}

// B1. A restore names the row that V1 keeps, and there is no way back over it.
func TestARestoreOfADeleteThatV1Withholds(t *testing.T) {
	inContract(t, []repotest.NoteV1{note("a", "a"), note("b", "b"), note("c", "c")},
		func(t *testing.T, b *repotest.Bench) {
			raw := repotest.Raw(t, b.URL)
			repotest.Exec(t, raw, trigger(b.URL, "keep", "BEFORE DELETE ON notes", "RETURN NULL;",
				"SELECT RAISE(IGNORE);")...)
			deleteNote(t, b, "b")
			run := restore(t, b, "NOTE")
			wantFinding(t, b, run, "b", repo.Missing, "keeps the row")
			wantBlocker(t, closed(t, b, repo.Cutover, "V1_NOT_RESTORED"), repo.V1NotRestored, 1, "b", "restore")
			wantErr(t, errOf(b.Notes.GetV2(t.Context(), "b")), repo.ErrNotFound)
			repotest.Exec(t, raw, "DROP TRIGGER own_keep"+
				map[bool]string{false: " ON notes"}[strings.HasPrefix(b.URL, "sqlite")])
			clean(t, b, restore(t, b, "NOTE"))
			step(t, b, repo.Cutover)
			wantErr(t, errOf(b.Notes.GetV1(t.Context(), "b")), repo.ErrNotFound)
		})
}

// wantFinding checks that a run has succeeded with one finding.
func wantFinding(t *testing.T, b *repotest.Bench, run repo.Run, key string, kind repo.FindingKind, reason string) {
	t.Helper()
	page, err := b.Control.Findings(t.Context(), run.ID, 10, "")
	if err != nil || run.Status != repo.Succeeded || len(page.Findings) != 1 || page.Findings[0].Key != key ||
		page.Findings[0].Kind != kind || !strings.Contains(*page.Findings[0].Reason, reason) {
		t.Errorf("%+v, %+v, %v", run, page.Findings, err)
	}
}

// B2. A restore into a table with a mind of its own: what V1 makes of a row, or does not keep, is a finding with its
// reason. The guard is unkept.
func TestARestoreThatV1Changes(t *testing.T) {
	inContract(t, []repotest.NoteV1{note("a", "a"), note("b", "b")}, func(t *testing.T, b *repotest.Bench) {
		raw := repotest.Raw(t, b.URL)
		repotest.Exec(t, raw, trigger(b.URL, "upper", map[bool]string{
			true:  "AFTER UPDATE ON notes",
			false: "BEFORE UPDATE ON notes",
		}[strings.HasPrefix(b.URL, "sqlite")],
			"NEW.title := upper(NEW.title); RETURN NEW;",
			"UPDATE notes SET title = upper(title) WHERE id = NEW.id;")...)
		repotest.Exec(t, raw, trigger(b.URL, "ghost", "BEFORE INSERT ON notes",
			"IF NEW.id = 'GHOST' THEN RETURN NULL; END IF; RETURN NEW;",
			"SELECT RAISE(IGNORE) WHERE NEW.id = 'GHOST';")...)
		updateV2(t, b, "b", func(n *repotest.NoteV2) { n.Headline = "Bonn" })
		if err := errOf(b.Notes.CreateV2(t.Context(), repotest.NoteV2{ID: "GHOST", Headline: "boo"})); err != nil {
			t.Fatal(err)
		}
		run := restore(t, b, "NOTE")
		page, err := b.Control.Findings(t.Context(), run.ID, 10, "")
		if err != nil || run.Status != repo.Succeeded || len(page.Findings) != 2 {
			t.Fatalf("%+v, %+v, %v", run, page, err)
		}
		for _, f := range page.Findings {
			switch f.Key {
			case "GHOST":
				if f.Kind != repo.Orphan || !strings.Contains(*f.Reason, "does not keep the row") {
					t.Errorf("%+v", f)
				}
			case "b":
				if f.Kind != repo.Different || len(f.Fields) != 1 || f.Fields[0] != "title" ||
					!strings.Contains(*f.Reason, "does not keep it as it was written") {
					t.Errorf("%+v", f)
				}
			default:
				t.Errorf("%+v", f)
			}
		}
		wantBlocker(t, closed(t, b, repo.Cutover, "V1_NOT_RESTORED"), repo.V1NotRestored, 2,
			page.Findings[0].Key, "restore")
		if v2 := getV2(t, b, "b"); v2.Value.Headline != "Bonn" {
			t.Errorf("V2, which leads, is now %+v", v2)
		}
	})
}

// B3. A trigger of V1's owner that writes the row itself, as those do that keep a sum of child rows: works in each
// phase and through both shapes. The guard is the exemption of own writes by key; with one by trigger depth the
// trigger's update is rejected in CUTOVER.
func TestATriggerThatWritesTheRowItself(t *testing.T) {
	dual(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		raw := repotest.Raw(t, b.URL)
		count := func(row string) string {
			return "UPDATE notes SET priority = (SELECT count(*) FROM note_tags t WHERE t.note_id = " + row +
				".note_id) WHERE id = " + row + ".note_id;"
		}
		repotest.Exec(t, raw, trigger(b.URL, "more", "AFTER INSERT ON note_tags", count("NEW")+
			" RETURN NULL;", count("NEW"))...)
		repotest.Exec(t, raw, trigger(b.URL, "less", "AFTER DELETE ON note_tags", count("OLD")+
			" RETURN NULL;", count("OLD"))...)
		insert(t, b, note("a", "work: begin"))
		updateV2(t, b, "a", pin)
		both(t, b, phase)
		v1, err := b.Notes.CreateV1(t.Context(), note("b", "b"))
		if err != nil || v1.Priority != 2 {
			t.Errorf("what V1 made of it is not what the client is told: %+v, %v", v1, err)
		}
		r, err := b.Notes.CreateV2(t.Context(), repotest.NoteV2{
			ID: "c", Headline: "c",
			Labels: []repotest.Label{{Rank: 1, Name: "x"}},
		})
		if err != nil || r.Value.Priority != 1 {
			t.Errorf("%+v, %v", r, err)
		}
		v1 = updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Tags = n.Tags[:1] })
		r = updateV2(t, b, "a", func(n *repotest.NoteV2) {
			n.Labels = append([]repotest.Label{{Rank: 7, Name: "y"}, {Rank: 8, Name: "z"}}, n.Labels...)
		})
		if v1.Priority != 1 || r.Value.Priority != 3 {
			t.Errorf("%+v, %+v", v1, r)
		}
		for _, key := range []string{"a", "b", "c"} {
			same(t, b, key)
		}
		wantPinned(t, same(t, b, "a"))
		deleteNote(t, b, "c")
		wantErr(t, errOf(b.Notes.GetV2(t.Context(), "c")), repo.ErrNotFound)
		if n := repotest.One[int64](t, raw, "SELECT count(*) FROM coexist_note_mark WHERE kind <> 'GONE'"); n != 0 {
			t.Errorf("own writes leave %d marks of their own rows", n)
		}
		clean(t, b, verify(t, b, false))
	})
}

// B4. A trigger that V1's owner has put off until COMMIT has happened before we read what V1 holds. The guard is
// settle.
func TestATriggerThatIsDeferred(t *testing.T) {
	t.Parallel()
	for _, phase := range []repo.Phase{repo.Migrate, repo.Cutover} {
		on(t, "postgres", func(t *testing.T, url string) {
			b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
			insert(t, b, note("a", "a"), note("next", "next"))
			for _, key := range []string{"a", "next"} {
				updateV2(t, b, key, pin)
			}
			repotest.Exec(t, repotest.Raw(t, url),
				"CREATE FUNCTION own_late() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN UPDATE notes SET priority = 9 WHERE id IN (NEW.id, 'next') AND priority < 9; RETURN NULL; END $$",
				"CREATE CONSTRAINT TRIGGER own_late AFTER INSERT OR UPDATE ON notes DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION own_late()")
			both(t, b, phase)
			if v1 := updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Title = "late" }); v1.Priority != 9 {
				t.Errorf("%s: %+v", phase, v1)
			}
			for _, key := range []string{"a", "next"} {
				if v2 := same(t, b, key); v2.Priority != 9 {
					t.Errorf("%s: %+v", phase, v2)
				}
			}
		})
	}
}

// B6. A column of the model that V1's own trigger sets, such as a time of the last change, is taken over through both
// shapes.
func TestAColumnThatV1SetsItself(t *testing.T) {
	dual(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		insert(t, b, note("a", "a"))
		updateV2(t, b, "a", pin)
		for _, event := range []string{"INSERT", "UPDATE"} {
			postgres, sqlite := "NEW.body := 'set by V1 ' || NEW.title; RETURN NEW;",
				"UPDATE notes SET body = 'set by V1 ' || title WHERE id = NEW.id;"
			when := map[bool]string{true: "AFTER ", false: "BEFORE "}[strings.HasPrefix(b.URL, "sqlite")]
			repotest.Exec(t, repotest.Raw(t, b.URL), trigger(b.URL, strings.ToLower(event), when+event+
				map[bool]string{true: " OF title", false: ""}[event == "UPDATE"]+" ON notes", postgres, sqlite)...)
		}
		both(t, b, phase)
		if v1 := updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Title = "one" }); *v1.Body != "set by V1 one" {
			t.Errorf("%+v", v1)
		}
		if r := agree(t, b, "a"); *r.Value.Text != "set by V1 one" {
			t.Errorf("%+v", r)
		}
		if r := updateV2(t, b, "a", func(n *repotest.NoteV2) { n.Headline = "two" }); *r.Value.Text != "set by V1 two" {
			t.Errorf("%+v", r)
		}
		wantPinned(t, same(t, b, "a"))
		if r, err := b.Notes.CreateV2(t.Context(), repotest.NoteV2{
			ID: "b", Headline: "b",
			PinnedReason: new("keep"),
		}); err != nil || *r.Value.Text != "set by V1 b" || r.Value.PinnedReason == nil {
			t.Errorf("%+v, %v", r, err)
		}
		same(t, b, "b")
		// What the client has said itself is another matter.
		err := errOf(b.Notes.UpdateV2(t.Context(), "a", nil, func(n *repotest.NoteV2) error {
			n.Headline, n.Text = "three", new("mine")
			return nil
		}))
		wantField[*repo.NotRepresentableError](t, err, "text")
		clean(t, b, verify(t, b, false))
	})
}

// A key that V1 changes, or a row that it does not keep, is no success in either shape.
func TestARowThatV1DoesNotKeep(t *testing.T) {
	dual(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		insert(t, b, note("a", "a"))
		repotest.Exec(t, repotest.Raw(t, b.URL), trigger(b.URL, "ghost", "BEFORE INSERT ON notes",
			"IF NEW.id = 'ghost' THEN RETURN NULL; END IF; RETURN NEW;",
			"SELECT RAISE(IGNORE) WHERE NEW.id = 'ghost';")...)
		repotest.Exec(t, repotest.Raw(t, b.URL), trigger(b.URL, "keep", "BEFORE UPDATE ON notes", "RETURN NULL;",
			"SELECT RAISE(IGNORE);")...)
		both(t, b, phase)
		wantField[*repo.NotRepresentableError](t,
			errOf(b.Notes.CreateV1(t.Context(), repotest.NoteV1{ID: "ghost", Title: "x"})), "id")
		wantField[*repo.NotRepresentableError](t,
			errOf(b.Notes.CreateV2(t.Context(), repotest.NoteV2{ID: "ghost", Headline: "x"})), "id")
		wantErr(t, errOf(b.Notes.GetV2(t.Context(), "ghost")), repo.ErrNotFound)
		for does, err := range map[string]error{
			"UpdateV1": errOf(b.Notes.UpdateV1(t.Context(), "a",
				func(n *repotest.NoteV1) error { n.Title = "b"; return nil })),
			"UpdateV2": errOf(b.Notes.UpdateV2(t.Context(), "a", nil,
				func(n *repotest.NoteV2) error { n.Headline = "b"; return nil })),
		} {
			if _, is := errors.AsType[*repo.ConflictError](err); !is {
				t.Errorf("%s: %v", does, err)
			}
		}
		same(t, b, "a")
	})
}
