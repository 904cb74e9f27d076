package repo_test

import (
	"context"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// B8. A foreign key of V1's that goes or comes while we run is followed at once: without it the engine keeps the
// reference itself, in both directions and through both shapes. The guard is dialect.guards, which asks in the
// statement that reads V1 back.
func TestAForeignKeyThatGoesWhileWeRun(t *testing.T) {
	dual(t, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		raw, ctx := repotest.Raw(t, b.URL), t.Context()
		insert(t, b, note("a", "a"), note("b", "b"))
		if err := errOf(b.Comments.CreateV1(ctx, repotest.CommentV1{ID: 1, NoteID: new("a"), Words: "x"})); err != nil {
			t.Fatal(err)
		}
		both(t, b, phase)
		dangling := func() {
			t.Helper()
			for does, err := range map[string]error{
				"noteId": errOf(b.Comments.CreateV1(ctx, repotest.CommentV1{ID: 2, NoteID: new("none"), Words: "x"})),
				"about":  errOf(b.Comments.CreateV2(ctx, repotest.CommentV2{ID: 3, About: new("none"), Text: "x"})),
			} {
				wantField[*repo.InputError](t, err, does)
			}
			wantField[*repo.InputError](t, errOf(b.Comments.UpdateV1(ctx, "1",
				func(c *repotest.CommentV1) error { c.NoteID = new("none"); return nil })), "noteId")
			wantField[*repo.InputError](t, errOf(b.Comments.UpdateV2(ctx, "1", nil,
				func(c *repotest.CommentV2) error { c.About = new("none"); return nil })), "about")
			wantErr(t, b.Notes.Delete(ctx, "a", nil), repo.ErrConflict)
		}
		dangling()
		if strings.HasPrefix(b.URL, "sqlite") { // whose ALTER TABLE cannot
			repotest.Exec(t, raw, "PRAGMA writable_schema = ON",
				"UPDATE sqlite_schema SET sql = substr(sql, 1, instr(sql, ', FOREIGN KEY') - 1) || ')' WHERE name = 'comments' AND type = 'table'",
				"PRAGMA writable_schema = RESET")
		} else {
			repotest.Exec(t, raw, "ALTER TABLE comments DROP CONSTRAINT comments_note_id_fkey")
		}
		dangling()
		if !strings.HasPrefix(b.URL, "sqlite") {
			repotest.Exec(t, raw, "ALTER TABLE comments ADD FOREIGN KEY (note_id) REFERENCES notes ON DELETE SET NULL")
			dangling()
			repotest.Exec(t, raw, "ALTER TABLE comments DISABLE TRIGGER ALL")
			wantField[*repo.InputError](t, errOf(b.Comments.CreateV1(ctx, repotest.CommentV1{
				ID: 2, NoteID: new("none"),
				Words: "x",
			})), "noteId")
		}
	})
}

// D1. A publication of all tables wants a replica identity of each table whose rows change.
func TestAPublicationOfAllTables(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		raw := repotest.Raw(t, b.URL)
		repotest.Exec(t, raw, "CREATE PUBLICATION p FOR ALL TABLES")
		insert(t, b, note("a", "a"), note("b", "b"))
		repotest.Exec(t, raw, "UPDATE notes SET title = 'past us' WHERE id = 'a'")
		if r := getV2(t, b, "a"); !r.Copy.Stored {
			t.Errorf("%+v", r)
		}
		updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Title = "again" })
		updateV2(t, b, "b", pin)
		repotest.Exec(t, raw, "DELETE FROM note_tags", "DELETE FROM notes WHERE id = 'b'")
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		clean(t, b, verify(t, b, false))
		deleteNote(t, b, "a")
		step(t, b, repo.Expand)
	})
}

// D2. A program at REPEATABLE READ or SERIALIZABLE that was in flight goes on over each change of phase and of capture,
// but for those after which another shape is the truth: its write would be nowhere. The guard is the barrier, which
// changes only then.
func TestASnapshotOverAChangeOfPhase(t *testing.T) {
	t.Parallel()
	changes := map[string]struct {
		from  repo.Phase
		do    func(t *testing.T, b *repotest.Bench)
		fails bool
	}{
		"EXPAND to MIGRATE": {repo.Expand, func(t *testing.T, b *repotest.Bench) { b.SetPhase(repo.Migrate) }, false},
		"MIGRATE to EXPAND": {repo.Migrate, func(t *testing.T, b *repotest.Bench) { b.SetPhase(repo.Expand) }, false},
		"capture off":       {repo.Migrate, func(t *testing.T, b *repotest.Bench) { setCapture(t, b, false) }, false},
		"capture off and on": {repo.Migrate, func(t *testing.T, b *repotest.Bench) {
			setCapture(t, b,
				false)
			setCapture(t, b, true)
		}, false},
		"a gap": {repo.Migrate, func(t *testing.T, b *repotest.Bench) {
			makeGap(t, b.URL, []string{
				"ALTER TABLE note_tags DISABLE TRIGGER USER",
				"ALTER TABLE note_tags ENABLE TRIGGER USER",
			})
			gate(t, b, repo.Cutover)
		}, false},
		"MIGRATE to CUTOVER": {repo.Migrate, func(t *testing.T, b *repotest.Bench) { b.SetPhase(repo.Cutover) }, true},
	}
	for name, c := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			on(t, "postgres", func(t *testing.T, url string) {
				b := repotest.OpenNotes(t, url, repotest.Setup{Phase: c.from})
				insert(t, b, note("a", "a"), note("b", "b"))
				if c.from == repo.Migrate {
					updateV2(t, b, "a", pin)
				}
				raw := repotest.Raw(t, url)
				old, err := raw.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer old.Rollback() //nolint:errcheck // it is over where it was committed
				repotest.Exec(t, old, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
					"SELECT count(*) FROM comments")
				c.do(t, b)
				_, err = old.ExecContext(t.Context(), "UPDATE notes SET title = 'past us' WHERE id = 'a'")
				if c.fails {
					if err == nil || !strings.Contains(err.Error(), "40001") {
						t.Errorf("the error is %v", err)
					}
					return
				}
				if err == nil {
					err = old.Commit()
				}
				if err != nil {
					t.Fatalf("an old program fails because of us: %v", err)
				}
				if v1 := getV1(t, b, "a"); v1.Title != "past us" {
					t.Errorf("%+v", v1)
				}
				if r := agree(t, b, "a"); r.Value.Headline != "past us" {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}

// D2. A snapshot from before the installation knows no phase. Who has it must begin again, whatever the phase is: in
// CUTOVER its write would be nowhere.
func TestASnapshotFromBeforeTheInstallation(t *testing.T) {
	t.Parallel()
	for _, isolation := range []string{"REPEATABLE READ", "SERIALIZABLE"} {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			on(t, "postgres", func(t *testing.T, url string) {
				b := repotest.DescribeNotes(t, url, repotest.Setup{Phase: repo.Migrate})
				if err := b.DB.CreateV1Tables(t.Context()); err != nil {
					t.Fatal(err)
				}
				raw := repotest.Raw(t, url)
				repotest.Exec(t, raw, "INSERT INTO notes (id, title, priority) VALUES ('a', 'a', 1)")
				old, err := raw.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer old.Rollback() //nolint:errcheck // it fails
				repotest.Exec(t, old, "SET TRANSACTION ISOLATION LEVEL "+isolation, "SELECT count(*) FROM comments")
				if err := b.DB.Install(t.Context()); err != nil {
					t.Fatal(err)
				}
				b = repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
				clean(t, b, sweep(t, b, repo.SweepRequest{}))
				b.SetPhase(repo.Cutover)
				_, err = old.ExecContext(t.Context(), "UPDATE notes SET title = 'past us' WHERE id = 'a'")
				if err == nil {
					err = old.Commit()
				}
				if err == nil || !strings.Contains(err.Error(), "40001") || !strings.Contains(err.Error(),
					"has been installed on table notes") {
					t.Errorf("the error is %v", err)
				}
				if v1 := getV1(t, b, "a"); v1.Title != "a" {
					t.Errorf("%+v", v1)
				}
				agree(t, b, "a")
			})
		})
	}
}

// C4. Tables whose names share their first 47 characters do not share a trigger's function, and C7: two entities on one
// table each see every write, another program's and the other entity's own.
func TestTwoEntitiesOnOneTable(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		long := "a_table_with_a_name_that_is_as_long_as_it_may_be"
		repotest.Exec(t, repotest.Raw(t, url), "CREATE TABLE "+long+
			"_1 (id varchar(12) NOT NULL PRIMARY KEY, a varchar(9) NOT NULL, b varchar(9) NOT NULL DEFAULT '-')",
			"CREATE TABLE "+long+"_2 (id integer NOT NULL PRIMARY KEY, a varchar(9) NOT NULL)")
		one := openTwins(t, url)
		ctx, raw := t.Context(), repotest.Raw(t, url)
		repotest.Exec(t, raw, "INSERT INTO "+long+"_1 (id, a, b) VALUES ('x', 'a1', 'b1')", "INSERT INTO "+long+
			"_2 (id, a) VALUES (1, 'n')")
		want := func(a, b string) {
			t.Helper()
			left, err := one.left.GetV2(ctx, "x")
			if err != nil || left.Value.Left != a {
				t.Errorf("the left half is %+v, %v", left, err)
			}
			right, err := one.right.GetV2(ctx, "x")
			if err != nil || right.Value.Right != b {
				t.Errorf("the right half is %+v, %v", right, err)
			}
		}
		want("a1", "b1")
		repotest.Exec(t, raw, "UPDATE "+long+"_1 SET a = 'a2', b = 'b2' WHERE id = 'x'", "UPDATE "+
			long+"_2 SET a = 'm'")
		want("a2", "b2")
		if _, err := one.left.UpdateV2(ctx, "x", nil, func(v *leftV2) error { v.Left = "a3"; return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := one.right.UpdateV1(ctx, "x", func(v *rightV1) error { v.B = "b3"; return nil }); err != nil {
			t.Fatal(err)
		}
		want("a3", "b3")
		if n, err := one.third.GetV2(ctx, "1"); err != nil || n.Value.A != "m" {
			t.Errorf("%+v, %v", n, err)
		}
		if err := one.left.Delete(ctx, "x", nil); err != nil {
			t.Fatal(err)
		}
		wantErr(t, errOf(one.right.GetV2(ctx, "x")), repo.ErrNotFound)
	})
}

type (
	leftV1 struct {
		ID string `gorm:"type:varchar(12);primaryKey" json:"id"`
		A  string `gorm:"type:varchar(9)" json:"a"`
	}
	leftV2 struct {
		ID   string `gorm:"type:varchar(12);primaryKey" json:"id"`
		Left string `gorm:"type:text" json:"left"`
	}
	rightV1 struct {
		ID string `gorm:"type:varchar(12);primaryKey" json:"id"`
		B  string `gorm:"type:varchar(9)" json:"b"`
	}
	rightV2 struct {
		ID    string `gorm:"type:varchar(12);primaryKey" json:"id"`
		Right string `gorm:"type:text" json:"right"`
	}
	thirdV1 struct {
		ID int32  `gorm:"type:integer;primaryKey" json:"id"`
		A  string `gorm:"type:varchar(9)" json:"a"`
	}
	thirdV2 struct {
		ID int32  `gorm:"type:integer;primaryKey" json:"id"`
		A  string `gorm:"type:text" json:"a"`
	}
)

func (leftV1) TableName() string  { return "a_table_with_a_name_that_is_as_long_as_it_may_be_1" }
func (leftV2) TableName() string  { return "left_v2" }
func (rightV1) TableName() string { return "a_table_with_a_name_that_is_as_long_as_it_may_be_1" }
func (rightV2) TableName() string { return "right_v2" }
func (thirdV1) TableName() string { return "a_table_with_a_name_that_is_as_long_as_it_may_be_2" }
func (thirdV2) TableName() string { return "third_v2" }

// plain is a mapping of functions, of which V2 holds what V1 does.
type plain[V1, V2 any] struct {
	up   func(V1) V2
	down func(V2) V1
}

func (plain[V1, V2]) Version() int                    { return 1 }
func (m plain[V1, V2]) Upgrade(v1 V1) (V2, error)     { return m.up(v1), nil }
func (m plain[V1, V2]) Merge(v1 V1, _ V2) (V2, error) { return m.up(v1), nil }
func (m plain[V1, V2]) Downgrade(v2 V2) (V1, error)   { return m.down(v2), nil }

type twins struct {
	left  *repo.Repository[leftV1, leftV2]
	right *repo.Repository[rightV1, rightV2]
	third *repo.Repository[thirdV1, thirdV2]
}

// openTwins opens two entities on one table, and one on another whose name is nearly the same.
func openTwins(t *testing.T, url string) (all twins) {
	t.Helper()
	way, pooled := repotest.EnginesURL(t, url)
	db, err := repo.Open(t.Context(), way, repo.Config{Pooler: pooled})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	try := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	all.left, err = repo.New(db, repo.Definition[leftV1, leftV2]{
		Name: "LEFT", InitialPhase: repo.Migrate,
		Mapping: plain[leftV1, leftV2]{
			func(v leftV1) leftV2 { return leftV2{v.ID, v.A} }, func(v leftV2) leftV1 { return leftV1{v.ID, v.Left} },
		},
	})
	try(err)
	all.right, err = repo.New(db, repo.Definition[rightV1, rightV2]{
		Name: "RIGHT", InitialPhase: repo.Migrate,
		Mapping: plain[rightV1, rightV2]{
			func(v rightV1) rightV2 { return rightV2{v.ID, v.B} },
			func(v rightV2) rightV1 { return rightV1{v.ID, v.Right} },
		},
	})
	try(err)
	all.third, err = repo.New(db, repo.Definition[thirdV1, thirdV2]{
		Name: "THIRD", InitialPhase: repo.Migrate,
		Mapping: plain[thirdV1, thirdV2]{
			func(v thirdV1) thirdV2 { return thirdV2(v) }, func(v thirdV2) thirdV1 { return thirdV1(v) },
		},
	})
	try(err)
	for _, prepare := range []func(context.Context) error{db.Install, db.Check} {
		try(prepare(t.Context()))
	}
	return all
}
