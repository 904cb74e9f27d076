package repo_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// openFolders is OpenNotes, where comments refer besides to folders, which are no entity's, and have constraints of
// their owner's.
func openFolders(t *testing.T, url string) *repotest.Bench {
	t.Helper()
	b := repotest.DescribeNotes(t, url, repotest.Setup{Phase: repo.Migrate})
	repotest.Exec(t, repotest.Raw(t, b.URL), "CREATE TABLE folders (id varchar(12) NOT NULL PRIMARY KEY)",
		"CREATE TABLE tags (name varchar(20) NOT NULL PRIMARY KEY)",
		"CREATE TABLE notes (id varchar(12) NOT NULL PRIMARY KEY, title varchar(40) NOT NULL, body text REFERENCES folders, priority smallint NOT NULL CONSTRAINT urgent CHECK (priority < 9))",
		"CREATE TABLE note_tags (note_id varchar(12) NOT NULL REFERENCES notes, rank smallint NOT NULL, name varchar(20) NOT NULL REFERENCES tags ON DELETE CASCADE, PRIMARY KEY (note_id, rank))",
		"CREATE UNIQUE INDEX once ON notes (title)",
		"CREATE TABLE comments (id integer NOT NULL PRIMARY KEY, note_id varchar(12) REFERENCES notes, words varchar(30) NOT NULL)",
		"INSERT INTO folders VALUES ('in'), ('out')", "INSERT INTO tags VALUES ('red'), ('new')")
	if err := b.DB.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.DB.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

// B7. In CONTRACT references are kept to any table, of the root and of child rows, through both shapes; the gates say
// before what V1 enforces and does that V2 will not, and what other programs do that will be rejected; and a restore
// says which constraint refuses a row. The guards are holdForeignKeys and v1Logic.
func TestWhatV1EnforcesAndV2WillNot(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b, ctx := openFolders(t, url), t.Context()
		filed := func(id, folder string, tags ...string) repotest.NoteV1 {
			n := repotest.NoteV1{ID: id, Title: "title of " + id, Body: &folder, Priority: 1}
			for i, tag := range tags {
				n.Tags = append(n.Tags, repotest.Tag{Rank: int16(i + 1), Name: tag})
			}
			return n
		}
		insert(t, b, filed("a", "in", "red"))
		raw := repotest.Raw(t, b.URL)
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		clean(t, b, verify(t, b, false))
		repotest.Exec(t, raw, trigger(b.URL, "kept", "AFTER INSERT ON folders",
			"UPDATE notes SET title = title WHERE id = NEW.id; RETURN NULL;",
			"UPDATE notes SET title = title WHERE id = NEW.id;")...)
		blockers := closed(t, b, repo.Cutover, "V1_LOGIC")
		for _, name := range []string{"own_kept of folders", "note_tags, which acts when rows of"} {
			if !strings.Contains(blockers[0].Message, name) {
				t.Errorf("the gate to CUTOVER does not name %s: %s", name, blockers[0].Message)
			}
		}
		b.SetPhase(repo.Cutover)
		contractComments(t, b)
		clean(t, b, verify(t, b, false))
		repotest.Exec(t, raw, trigger(b.URL, "shout", "AFTER INSERT ON notes", "RETURN NULL;", "SELECT 1;")...)
		blockers = closed(t, b, repo.Contract, "V1_LOGIC")
		// The action of the tags' foreign key is lost; the reference of either is kept.
		for _, name := range []string{"trigger own_shout of notes", "UNIQUE once of notes", "CHECK", "foreign key"} {
			if !strings.Contains(blockers[0].Message, name) {
				t.Errorf("the gate to CONTRACT does not name %s: %s", name, blockers[0].Message)
			}
		}
		if regexp.MustCompile(`foreign key \S+ of notes\b|pkey`).MatchString(blockers[0].Message) {
			t.Errorf("the gate names what is kept: %s", blockers[0].Message)
		}
		b.SetPhase(repo.Contract)
		wantField[*repo.InputError](t, errOf(b.Notes.CreateV1(ctx, filed("b", "none"))), "body")
		wantField[*repo.InputError](t, errOf(b.Notes.CreateV1(ctx, filed("b", "in", "red", "none"))), "tags[1].name")
		wantField[*repo.InputError](t, errOf(b.Notes.CreateV2(ctx, repotest.NoteV2{
			ID: "b", Headline: "b",
			Text: new("none"),
		})), "text")
		wantField[*repo.InputError](t, errOf(b.Notes.UpdateV2(ctx, "a", nil,
			func(n *repotest.NoteV2) error { n.Text = new("none"); return nil })), "text")
		wantField[*repo.InputError](t, errOf(b.Notes.UpdateV1(ctx, "a",
			func(n *repotest.NoteV1) error { n.Tags[0].Name = "none"; return nil })), "tags[0].name")
		updateV2(t, b, "a", func(n *repotest.NoteV2) { n.Text = new("out") })
		if _, err := b.Notes.CreateV1(ctx, filed("c", "out")); err != nil {
			t.Fatal(err)
		}
		updateV2(t, b, "c", func(n *repotest.NoteV2) { n.Priority = 9 })
		run := restore(t, b, "NOTE")
		wantFinding(t, b, run, "c", repo.Different, map[bool]string{
			true:  "CHECK constraint failed",
			false: "urgent",
		}[strings.HasPrefix(b.URL, "sqlite:")])
	})
}
