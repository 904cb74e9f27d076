package repo_test

import (
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

type paperV1 struct {
	ID    string     `gorm:"type:varchar(40);primaryKey" json:"id"`
	Lines []placedV1 `gorm:"-" repo:"table:paper_lines;key:paper" json:"lines"`
	Notes []noteOn   `gorm:"-" repo:"table:line_notes;key:paper" json:"notes"`
}

func (paperV1) TableName() string { return "papers" }

// placedV1 has a place among the lines, and may belong under another.
type placedV1 struct {
	Nr    int32  `gorm:"type:integer;primaryKey" json:"nr"`
	Pos   int32  `gorm:"type:integer" json:"pos"`
	Under *int32 `gorm:"type:integer" json:"under"`
}

type noteOn struct {
	Nr   int32  `gorm:"type:integer;primaryKey" json:"nr"`
	Text string `gorm:"type:text" json:"text"`
}

type paperV2 struct {
	ID    string     `gorm:"type:varchar(40);primaryKey" json:"id"`
	Lines []placedV2 `gorm:"-" repo:"table:paper_lines_v2;key:paper" json:"lines"`
	Notes []noteOnV2 `gorm:"-" repo:"table:line_notes_v2;key:paper" json:"notes"`
}

func (paperV2) TableName() string { return "papers_v2" }

type placedV2 struct {
	Nr    int32  `gorm:"type:integer" json:"nr"`
	Pos   int32  `gorm:"type:integer" json:"pos"`
	Under *int32 `gorm:"type:integer" json:"under"`
}

type noteOnV2 struct {
	Nr   int32  `gorm:"type:integer" json:"nr"`
	Text string `gorm:"type:text" json:"text"`
}

var papers = functions[paperV1, paperV2]{
	up: func(v paperV1) paperV2 {
		r := paperV2{ID: v.ID}
		for _, l := range v.Lines {
			r.Lines = append(r.Lines, placedV2(l))
		}
		for _, n := range v.Notes {
			r.Notes = append(r.Notes, noteOnV2(n))
		}
		return r
	},
	down: func(v paperV2) paperV1 {
		r := paperV1{ID: v.ID}
		for _, l := range v.Lines {
			r.Lines = append(r.Lines, placedV1(l))
		}
		for _, n := range v.Notes {
			r.Notes = append(r.Notes, noteOn(n))
		}
		return r
	},
}

// V1's owner keeps child rows in order by keys between them: whatever V1 can hold afterwards it takes, in each phase,
// and a restore brings it back. The guards are insertsFirst, inOrder and deletesInOrder.
func TestChildRowsThatAreRearranged(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(v *paperV2){
		"a line goes with its note": func(v *paperV2) { v.Lines, v.Notes = v.Lines[2:], nil },
		"a line comes under a new one": func(v *paperV2) {
			v.Lines[1].Under = new(int32(4))
			v.Lines = append(v.Lines,
				placedV2{4, 4, nil})
		},
		"a line comes first": func(v *paperV2) {
			for i := range v.Lines {
				v.Lines[i].Pos++
			}
			v.Lines = append(v.Lines, placedV2{4, 1, nil})
		},
		"a line goes from under one that is deleted": func(v *paperV2) {
			v.Lines[1].Under = new(int32(3))
			v.Lines, v.Notes = v.Lines[1:], nil
		},
		"a line goes, and the others move up": func(v *paperV2) {
			v.Lines = append(v.Lines[:1], v.Lines[2])
			v.Lines[1].Pos = 2
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repotest.Each(t, func(t *testing.T, url string) {
				b := broughtWell(t, url, papers, "CREATE TABLE papers (id varchar(40) NOT NULL PRIMARY KEY)",
					`CREATE TABLE paper_lines (paper varchar(40) NOT NULL REFERENCES papers, nr integer NOT NULL, pos integer NOT NULL CHECK (pos > 0), under integer, PRIMARY KEY (paper, nr),
						UNIQUE (paper, pos), FOREIGN KEY (paper, under) REFERENCES paper_lines (paper, nr))`,
					"CREATE TABLE line_notes (paper varchar(40) NOT NULL, nr integer NOT NULL, text text NOT NULL, PRIMARY KEY (paper, nr), FOREIGN KEY (paper, nr) REFERENCES paper_lines (paper, nr))",
					"INSERT INTO papers VALUES ('migrate'), ('cutover'), ('contract')",
					"INSERT INTO paper_lines SELECT p.id, l.nr, l.nr, CASE l.nr WHEN 2 THEN 1 END FROM papers p CROSS JOIN (SELECT 1 AS nr UNION ALL SELECT 2 UNION ALL SELECT 3) l ORDER BY 1, 2",
					"INSERT INTO line_notes SELECT id, 1, 'x' FROM papers")
				rearrange := func(id string) {
					t.Helper()
					var wanted paperV2
					if _, err := b.UpdateV2(t.Context(), id, nil,
						func(v *paperV2) error { change(v); wanted = *v; return nil }); err != nil {
						t.Fatalf("%s: %T %v", id, err, err)
					}
					if v2, err := b.GetV2(t.Context(), id); err != nil || !sameLines(v2.Value, wanted) {
						t.Errorf("%s: %+v, %v", id, v2.Value, err)
					}
				}
				rearrange("migrate")
				b.run(func() (repo.Run, error) {
					return b.control.StartSweep(t.Context(), repo.SweepRequest{Entity: "THING", Actor: "test"})
				})
				b.step(repo.Cutover)
				rearrange("cutover")
				b.step(repo.Contract)
				rearrange("contract")
				b.restored()
			})
		})
	}
}

// sameLines: V1 has them in the order of their numbers.
func sameLines(a, b paperV2) bool {
	if len(a.Lines) != len(b.Lines) || len(a.Notes) != len(b.Notes) {
		return false
	}
	for i := range a.Lines {
		if a.Lines[i].Nr != b.Lines[i].Nr || a.Lines[i].Pos != b.Lines[i].Pos {
			return false
		}
	}
	return true
}

type notesFirstV1 struct {
	ID    string     `gorm:"type:varchar(40);primaryKey" json:"id"`
	Notes []noteOn   `gorm:"-" repo:"table:line_notes;key:paper" json:"notes"`
	Lines []placedV1 `gorm:"-" repo:"table:paper_lines;key:paper" json:"lines"`
}

func (notesFirstV1) TableName() string { return "papers" }

// The model may name child tables in any order: rows are inserted after those that they refer to. The guard is
// insertsInOrder.
func TestChildTablesInAnotherOrder(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := broughtWell(t, url, functions[notesFirstV1, paperV2]{
			up:   func(v notesFirstV1) paperV2 { return papers.up(paperV1{v.ID, v.Lines, v.Notes}) },
			down: func(v paperV2) notesFirstV1 { w := papers.down(v); return notesFirstV1{w.ID, w.Notes, w.Lines} },
		}, "CREATE TABLE papers (id varchar(40) NOT NULL PRIMARY KEY)",
			"CREATE TABLE paper_lines (paper varchar(40) NOT NULL REFERENCES papers, nr integer NOT NULL, pos integer NOT NULL, under integer, PRIMARY KEY (paper, nr))",
			"CREATE TABLE line_notes (paper varchar(40) NOT NULL, nr integer NOT NULL, text text NOT NULL, PRIMARY KEY (paper, nr), FOREIGN KEY (paper, nr) REFERENCES paper_lines (paper, nr))",
			"INSERT INTO papers VALUES ('a'), ('c')")
		annotate := func(key string) {
			t.Helper()
			if _, err := b.UpdateV2(t.Context(), key, nil, func(v *paperV2) error {
				v.Lines, v.Notes = []placedV2{{1, 1, nil}}, []noteOnV2{{1, "x"}}
				return nil
			}); err != nil {
				t.Error(err)
			}
		}
		if _, err := b.CreateV1(t.Context(), notesFirstV1{
			"b",
			[]noteOn{{1, "x"}},
			[]placedV1{{1, 1, nil}},
		}); err != nil {
			t.Error(err)
		}
		annotate("a")
		b.inContract()
		annotate("c")
		if _, err := b.CreateV2(t.Context(), paperV2{
			ID: "d", Lines: []placedV2{{1, 1, nil}},
			Notes: []noteOnV2{{1, "x"}},
		}); err != nil {
			t.Error(err)
		}
		b.restored()
	})
}
