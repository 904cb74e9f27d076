package repo_test

import (
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// C2. What V1's columns call equal, and what they put first, V2's columns do too: lists of what refers to a row,
// filters and orders say the same in every phase. Copies that an earlier version made with columns of another type
// follow at the next start. The guards are typeOfV2 and refit.
func TestV2ComparesAsV1Does(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ database, made, key, word string }{
		"citext": {
			"postgres",
			"DO $$ BEGIN IF to_regnamespace('elsewhere') IS NULL THEN CREATE EXTENSION citext; ELSE CREATE EXTENSION citext SCHEMA elsewhere; END IF; END $$", "citext", "citext",
		},
		"ICU": {
			"postgres",
			"CREATE COLLATION anycase (provider = icu, locale = 'de-u-ks-level2', deterministic = false)",
			"varchar(12) COLLATE anycase", `text COLLATE "de-x-icu"`,
		},
		"char(n)": {"postgres", "SELECT 1", "char(12)", "char(20)"},
		"NOCASE":  {"sqlite", "SELECT 1", "varchar(12) COLLATE NOCASE", "text COLLATE /* of people */ NOCASE"},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, c.database, func(t *testing.T, url string) {
				raw, ctx := repotest.Raw(t, url), t.Context()
				repotest.Exec(t, raw, c.made,
					"CREATE TABLE notes (id "+c.key+" NOT NULL PRIMARY KEY, title varchar(40) NOT NULL, \"body\" "+
						c.word+", priority smallint NOT NULL)",
					"CREATE TABLE note_tags (note_id "+c.key+
						" NOT NULL REFERENCES notes, rank smallint NOT NULL, name varchar(20) NOT NULL, PRIMARY KEY (note_id, rank))",
					"CREATE TABLE comments (id integer NOT NULL PRIMARY KEY, note_id "+c.key+
						" REFERENCES notes, words varchar(30) NOT NULL)")
				b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
				if c.database == "postgres" && name != "char(n)" { // as an earlier version has made them
					repotest.Exec(t, raw, "ALTER TABLE comments_v2 ALTER about TYPE varchar(12) COLLATE \"default\"",
						"ALTER TABLE notes_v2 ALTER text TYPE text COLLATE \"default\"")
					b = repotest.OpenNotes(t, url, repotest.Setup{})
				}
				folds := name != "char(n)"
				insert(t, b, note("Alfki", "a"))
				for i, word := range []string{"b", "A", "ä", "C", "a", "B"} {
					n := note("n"+word+string(rune('0'+i)), "x")
					n.Body = new(word)
					insert(t, b, n)
				}
				for i, key := range []string{"Alfki", "alfki", "ALFKI"} {
					if !folds {
						key = "Alfki"
					}
					repotest.Exec(t, raw, "INSERT INTO comments (id, note_id, words) VALUES ("+string(rune('1'+i))+
						", '"+key+"', 'x')")
				}
				say := func() string {
					t.Helper()
					var said []string
					for name, list := range shapes(t, b) {
						q := repo.Query{First: new(2), Sort: "BODY"}
						for more := true; more; {
							page, err := list(q)
							if err != nil {
								t.Fatalf("%s: %v", name, err)
							}
							said = append(said, page.keys...)
							more, q.After = page.next, &page.cursors[len(page.cursors)-1]
						}
						said = append(said, ";")
					}
					pages, err := b.Comments.ListGroupsV2(ctx, "note_id", []string{"Alfki"}, repo.Query{})
					if err != nil || len(pages[0].Items) != 3 {
						t.Errorf("V2's comments: %+v, %v", pages, err)
					}
					old, err := b.Comments.ListGroupsV1(ctx, "note_id", []string{"Alfki"}, repo.Query{})
					if err != nil || len(old[0].Items) != 3 {
						t.Errorf("V1's comments: %+v, %v", old, err)
					}
					half := strings.Split(strings.Join(said, " "), ";")
					if strings.TrimSpace(half[0]) != strings.TrimSpace(half[1]) {
						t.Errorf("the shapes differ in order: %q", half)
					}
					return half[0]
				}
				before := say()
				advance(t, b, repo.Cutover)
				stop := work(t, b)
				run, err := b.Control.StartSweep(ctx, repo.SweepRequest{Entity: "COMMENT", Actor: "test"})
				if err != nil {
					t.Fatal(err)
				}
				clean(t, b, ended(t, b, run))
				stop()
				if err := force(t, b, "COMMENT", repo.Cutover); err != nil {
					t.Fatal(err)
				}
				if after := say(); strings.TrimSpace(after) != strings.TrimSpace(before) {
					t.Errorf("the order is %q in CUTOVER and was %q", after, before)
				}
				wantErr(t, b.Notes.Delete(ctx, "Alfki", nil), repo.ErrConflict)
			})
		})
	}
}

// A type whose schema is not in the role's search_path has no operators there: the start says so.
func TestATypeOutsideTheSearchPath(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		repotest.Exec(t, repotest.Raw(t, url), "CREATE SCHEMA apart", "CREATE EXTENSION citext SCHEMA apart",
			"CREATE TABLE notes (id apart.citext NOT NULL PRIMARY KEY, title varchar(40) NOT NULL, body text, priority smallint NOT NULL)",
			"CREATE TABLE note_tags (note_id varchar(12) NOT NULL, rank smallint NOT NULL, name varchar(20) NOT NULL, PRIMARY KEY (note_id, rank))",
			"CREATE TABLE comments (id integer NOT NULL PRIMARY KEY, note_id varchar(12), words varchar(30) NOT NULL)")
		err := repotest.DescribeNotes(t, url, repotest.Setup{}).DB.Install(t.Context())
		if err == nil || !strings.Contains(err.Error(), "put schema apart into the search_path") {
			t.Errorf("the error is %v", err)
		}
	})
}

// C3. V1's key is widened while we run: old programs' writes never fail because of us, and what V2 has follows, at the
// next look or the next start. The guards are refit, and the log of marks, whose keys have no limit.
func TestAKeyThatIsWidened(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	raw := repotest.Raw(t, url)
	repotest.Exec(t, raw,
		"CREATE TABLE notes (id varchar(5) NOT NULL PRIMARY KEY, title varchar(40) NOT NULL, body text, priority smallint NOT NULL)",
		"CREATE TABLE note_tags (note_id varchar(5) NOT NULL REFERENCES notes, rank smallint NOT NULL, name varchar(20) NOT NULL, PRIMARY KEY (note_id, rank))",
		"CREATE TABLE comments (id smallint NOT NULL PRIMARY KEY, note_id varchar(5) REFERENCES notes, words varchar(30) NOT NULL)")
	repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
	// As an earlier version has made them.
	repotest.Exec(t, raw, "ALTER TABLE notes_v2 ALTER id TYPE varchar(5)",
		"ALTER TABLE notes_v2_labels ALTER id TYPE varchar(5)", "ALTER TABLE comments_v2 ALTER id TYPE smallint")
	b := repotest.OpenNotes(t, url, repotest.Setup{})
	insert(t, b, note("a", "a"))
	updateV2(t, b, "a", pin)
	repotest.Exec(t, raw, "ALTER TABLE notes ALTER id TYPE varchar(10)",
		"ALTER TABLE note_tags ALTER note_id TYPE varchar(10)",
		"ALTER TABLE comments ALTER id TYPE integer, ALTER note_id TYPE varchar(10)",
		"INSERT INTO notes (id, title, priority) VALUES ('longer', 'by another program', 1)",
		"INSERT INTO note_tags VALUES ('longer', 1, 'x')", "INSERT INTO comments VALUES (100000, 'longer', 'x')",
		"UPDATE notes SET title = 'again'", "UPDATE comments SET words = 'again'")
	if r := getV2(t, b, "longer"); r.Value.Headline != "again" {
		t.Errorf("%+v", r)
	}
	work(t, b) // which looks at V1's columns
	repotest.Until(t, "V2 follows", func() bool { return getV2(t, b, "longer").Copy.Stored })
	if _, err := b.Comments.CreateV2(t.Context(), repotest.CommentV2{
		ID: 200_000, About: new("longer"),
		Text: "x",
	}); err != nil {
		t.Error(err)
	}
	if _, err := b.Notes.CreateV1(t.Context(), note("longest", "x")); err != nil {
		t.Error(err)
	}
	wantPinned(t, agree(t, b, "a").Value)
	repotest.Exec(t, raw, "DELETE FROM note_tags WHERE note_id = 'longest'", "DELETE FROM notes WHERE id = 'longest'")
	clean(t, b, sweep(t, b, repo.SweepRequest{}))
	clean(t, b, verify(t, b, false))
	step(t, b, repo.Cutover)
}
