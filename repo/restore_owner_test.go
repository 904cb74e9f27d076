package repo_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

type memberV1 struct {
	ID     string  `gorm:"type:varchar(40);primaryKey" json:"id"`
	Parent *string `gorm:"type:varchar(40)" json:"parent"`
	Mail   *string `gorm:"type:text" json:"mail"`
	Nr     int32   `gorm:"type:integer" json:"nr"`
}

func (memberV1) TableName() string { return "members" }

type memberV2 struct {
	ID     string  `gorm:"type:varchar(40);primaryKey" json:"id"`
	Parent *string `gorm:"type:varchar(40)" json:"parent"`
	Mail   *string `gorm:"type:text" json:"mail"`
	Nr     int32   `gorm:"type:integer" json:"nr"`
}

func (memberV2) TableName() string { return "members_v2" }

const membersTable = "CREATE TABLE members (id varchar(40) NOT NULL PRIMARY KEY, parent varchar(40) REFERENCES members, mail text, nr integer NOT NULL, touched integer NOT NULL DEFAULT 0"

// members are in CONTRACT. The owner's triggers come first.
func membersInContract(t *testing.T, url, constraints string, statements ...string) brought[memberV1, memberV2] {
	t.Helper()
	b := broughtWell(t, url, functions[memberV1, memberV2]{
		up:   func(v memberV1) memberV2 { return memberV2(v) },
		down: func(v memberV2) memberV1 { return memberV1(v) },
	},
		append([]string{membersTable + constraints + ")"}, statements...)...)
	b.inContract()
	return b
}

// onMembers is an owner's trigger.
func onMembers(url, name, event, when, do string) []string {
	if strings.HasPrefix(url, "sqlite:") {
		return []string{"CREATE TRIGGER " + name + " AFTER " + event + " ON members WHEN " + when +
			" BEGIN " + do + "; END"}
	}
	return []string{
		"CREATE FUNCTION " + name + "() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN " +
			do + "; RETURN NULL; END $$",
		"CREATE TRIGGER " + name + " AFTER " + event + " ON members FOR EACH ROW WHEN (" + when +
			") EXECUTE FUNCTION " + name + "()",
	}
}

// same fails where V1 and V2 differ although a restore says nothing of it. It returns whether that did.
func (b brought[V1, V2]) same(run repo.Run) (said bool) {
	b.t.Helper()
	if run.Status != repo.Succeeded {
		b.t.Fatalf("%+v", run)
	}
	if run.Faults > 0 {
		return true
	}
	if _, err := b.control.SetPhase(b.t.Context(), repo.PhaseRequest{
		Entity: "THING", To: repo.Cutover,
		Actor: "test",
	}); err != nil {
		b.t.Fatal(err)
	}
	verified := b.run(func() (repo.Run, error) {
		return b.control.StartVerification(b.t.Context(), repo.VerificationRequest{Entity: "THING", Actor: "test"})
	})
	if page, err := b.control.Findings(b.t.Context(), verified.ID, 3, ""); verified.Red() {
		b.t.Errorf("V1 differs: %+v, %v", page.Findings, err)
	}
	return false
}

// What V1's owner's triggers do while V1 is restored is undone, followed, or told: after a restore without a finding
// both shapes are the same. The guards are settleTouched, and the faults that it finds.
func TestTriggersDuringARestore(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]string{
		"more rows than are brought up at once": "UPDATE members SET nr = 9 WHERE id < 'a100301'",
		"a row that V2 does not have":           "INSERT INTO members (id, nr) VALUES ('b', 1)",
		"the row itself":                        "UPDATE members SET nr = 9 WHERE id = 'z'",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repotest.Each(t, func(t *testing.T, url string) {
				b := membersInContract(t, url, "", append(onMembers(url, "touch", "INSERT", "NEW.id = 'z'", do),
					"INSERT INTO members (id, nr) WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < 900) SELECT 'a' || (100000 + i), 1 FROM g")...)
				if _, err := b.CreateV2(t.Context(), memberV2{ID: "z"}); err != nil {
					t.Fatal(err)
				}
				said := b.same(endedOf(t, b.control, b.startRestore()))
				t.Log("the restore has findings: ", said)
			})
		})
	}
}

// The same where a client writes, behind a restore that has ended. The guard is restoreV1.
func TestTriggersBehindARestore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		insert, update string // what a trigger does
		refused        bool
	}{
		"a count in many rows":        {"UPDATE members SET touched = touched + 1 WHERE id <> 'z'", "", false},
		"a change of many rows":       {"UPDATE members SET nr = 9 WHERE id <> 'z'", "", false},
		"a row that V2 does not have": {"INSERT INTO members (id, nr) VALUES ('b', 1)", "", false},
		"the row itself, again": {
			"UPDATE members SET nr = 2 WHERE id = 'a1001'",
			"UPDATE members SET nr = 77 WHERE id = 'z'", true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repotest.Each(t, func(t *testing.T, url string) {
				statements := append(onMembers(url, "touch", "INSERT", "NEW.id = 'z'", c.insert),
					"INSERT INTO members (id, nr) WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < 300) SELECT 'a' || (1000 + i), 1 FROM g")
				if c.update != "" {
					statements = append(statements, onMembers(url, "again", "UPDATE", "NEW.id = 'a1001' AND NEW.nr = 1",
						c.update)...)
				}
				b := membersInContract(t, url, "", statements...)
				run := endedOf(t, b.control, b.startRestore())
				if _, err := b.CreateV2(t.Context(), memberV2{ID: "z", Nr: 5}); c.refused {
					wantErr(t, err, repo.ErrConflict)
				} else if err != nil {
					t.Error(err)
				}
				if b.same(run) {
					t.Error("the restore has findings")
				}
			})
		})
	}
}

// Rows that have changed places, or that V1 cannot hold together, are refused or told of. Nothing of them is lost
// meanwhile.
func TestValuesThatV1CannotHoldTogether(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(b brought[memberV1, memberV2]) error{
		"rows that have changed places": func(b brought[memberV1, memberV2]) error {
			for id, nr := range map[string]int32{"a": 2, "b": 1} {
				if _, err := b.UpdateV2(b.t.Context(), id, nil,
					func(v *memberV2) error { v.Nr = nr; return nil }); err != nil {
					return err
				}
			}
			return nil
		},
		"twins": func(b brought[memberV1, memberV2]) error {
			_, err := b.UpdateV2(b.t.Context(), "b", nil, func(v *memberV2) error { v.Nr = 1; return nil })
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repotest.Each(t, func(t *testing.T, url string) {
				b := membersInContract(t, url, ", UNIQUE (mail, nr)",
					"INSERT INTO members (id, mail, nr) VALUES ('a', 'x', 1), ('b', 'x', 2)")
				if err := make(b); err != nil {
					t.Fatal(err)
				}
				run := b.startRestore()
				_, err := b.UpdateV2(t.Context(), "a", nil, func(v *memberV2) error { v.Parent = new("b"); return nil })
				if got, err2 := b.GetV2(t.Context(), "a"); err2 != nil || got.Value.Mail == nil ||
					*got.Value.Mail != "x" || (got.Value.Parent != nil) != (err == nil) {
					t.Errorf("%+v, %v; the client was told %v", got.Value, err2, err)
				}
				if !b.same(endedOf(t, b.control, run)) {
					t.Error("the restore has found nothing")
				}
			})
		})
	}
}

type sheetV1 struct {
	ID    string   `gorm:"type:varchar(40);primaryKey" json:"id"`
	Cells []cellV1 `gorm:"-" repo:"table:cells;key:sheet" json:"cells"`
}

func (sheetV1) TableName() string { return "sheets" }

type cellV1 struct {
	Nr    int64  `gorm:"type:bigint;primaryKey" json:"nr"`
	Pos   int64  `gorm:"type:bigint" json:"pos"`
	Kind  string `gorm:"type:text" json:"kind"`
	Under *int64 `gorm:"type:bigint" json:"under"`
}

type sheetV2 struct {
	ID    string   `gorm:"type:varchar(40);primaryKey" json:"id"`
	Cells []cellV2 `gorm:"-" repo:"table:cells_v2;key:sheet" json:"cells"`
}

func (sheetV2) TableName() string { return "sheets_v2" }

type cellV2 struct {
	Nr    int64  `gorm:"type:bigint" json:"nr"`
	Pos   int64  `gorm:"type:bigint" json:"pos"`
	Kind  string `gorm:"type:text" json:"kind"`
	Under *int64 `gorm:"type:bigint" json:"under"`
}

// Child rows whose numbers are keys of more than the list that they are in: what could be written goes on being
// written, and nothing is written that nobody has said.
func TestChildRowsWithKeysOfTheirOwner(t *testing.T) {
	t.Parallel()
	const large = 2_000_000
	for name, c := range map[string]struct {
		constraints, rows string // of a sheet @
		change            func(v *sheetV2)
		refused           bool
	}{
		"positions move up, and one stays": {
			"UNIQUE (sheet, pos), CHECK (pos BETWEEN 1 AND 4)",
			"(@, 1, 1, 'a', NULL), (@, 2, 2, 'b', NULL), (@, 3, 3, 'c', NULL), (@, 4, 4, 'd', NULL)", func(v *sheetV2) {
				v.Cells = v.Cells[1:]
				v.Cells[0].Pos, v.Cells[1].Pos = 1, 2
			}, false,
		},
		"large and negative numbers": {
			"UNIQUE (sheet, pos)",
			"(@, 2000001, -1, 'a', NULL), (@, 2000002, -2, 'b', NULL)", func(v *sheetV2) {
				v.Cells[0].Pos, v.Cells[1].Pos = -3, -1
			}, false,
		},
		"a position that is a reference": {
			"UNIQUE (sheet, pos), FOREIGN KEY (pos) REFERENCES goods (id)",
			"(@, 1, 10, 'a', NULL), (@, 2, 20, 'b', NULL)", func(v *sheetV2) {
				v.Cells[0].Pos, v.Cells[1].Pos = 30, 10
			}, false,
		},
		"references by large numbers": {
			"UNIQUE (sheet, kind), FOREIGN KEY (sheet, under) REFERENCES cells (sheet, nr)",
			"(@, 2000001, 1, 'a', NULL), (@, 2000002, 2, 'b', NULL), (@, 2000003, 3, 'c', 2000001)", func(v *sheetV2) {
				v.Cells[1] = cellV2{Nr: large + 9, Pos: 2, Kind: "b"}
				v.Cells[2].Pos = 7
			}, false,
		},
		"a reference that goes by itself": {"UNIQUE (sheet, kind), FOREIGN KEY (sheet, under) REFERENCES cells (sheet, nr) ON DELETE CASCADE", "(@, 1, 1, 'a', NULL), (@, 2, 2, 'b', 1)", func(v *sheetV2) {
			v.Cells = []cellV2{{Nr: 3, Pos: 9, Kind: "a"}}
		}, false},
		"kinds change places, positions stay": {
			"UNIQUE (sheet, kind, pos)",
			"(@, 1, 1, 'a', NULL), (@, 2, 1, 'b', NULL)", func(v *sheetV2) {
				v.Cells[0].Kind, v.Cells[1].Kind = "b", "a"
			}, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repotest.Each(t, func(t *testing.T, url string) {
				b := broughtWell(t, url, functions[sheetV1, sheetV2]{
					up: func(v sheetV1) sheetV2 {
						r := sheetV2{ID: v.ID}
						for _, l := range v.Cells {
							r.Cells = append(r.Cells, cellV2(l))
						}
						return r
					},
					down: func(v sheetV2) sheetV1 {
						r := sheetV1{ID: v.ID}
						for _, l := range v.Cells {
							r.Cells = append(r.Cells, cellV1(l))
						}
						return r
					},
				}, "CREATE TABLE goods (id bigint NOT NULL PRIMARY KEY)", "INSERT INTO goods VALUES (10), (20), (30)",
					"CREATE TABLE sheets (id varchar(40) NOT NULL PRIMARY KEY)",
					"CREATE TABLE cells (sheet varchar(40) NOT NULL REFERENCES sheets, nr bigint NOT NULL, pos bigint NOT NULL, kind text NOT NULL, under bigint, PRIMARY KEY (sheet, nr), "+c.constraints+")",
					"INSERT INTO sheets VALUES ('m'), ('c')", "INSERT INTO cells VALUES "+strings.ReplaceAll(c.rows,
						"@", "'m'"), "INSERT INTO cells VALUES "+strings.ReplaceAll(c.rows, "@", "'c'"))
				change := func(id string) {
					t.Helper()
					was, err := b.GetV2(t.Context(), id)
					if err != nil {
						t.Fatal(err)
					}
					wanted := was.Value
					_, err = b.UpdateV2(t.Context(), id, nil, func(v *sheetV2) error {
						c.change(v)
						if !c.refused {
							wanted = *v
						}
						return nil
					})
					if (err != nil) != c.refused {
						t.Errorf("%s: %T %v", id, err, err)
					}
					if c.refused {
						wantErr(t, err, repo.ErrConflict)
						wanted = was.Value
					}
					if now, err := b.GetV2(t.Context(), id); err != nil || cells(now.Value) != cells(wanted) {
						t.Errorf("%s: %s, not %s, %v", id, cells(now.Value), cells(wanted), err)
					}
				}
				change("m")
				b.run(func() (repo.Run, error) {
					return b.control.StartSweep(t.Context(), repo.SweepRequest{Entity: "THING", Actor: "test"})
				})
				b.step(repo.Cutover)
				change("c")
			})
		})
	}
}

func cells(v sheetV2) string {
	all := map[int64]string{}
	for _, c := range v.Cells {
		all[c.Nr] = fmt.Sprint(c.Pos, c.Kind, c.Under != nil)
	}
	return fmt.Sprint(all)
}

// What V1's owner makes of a row that is as it was before CONTRACT undoes no write that was acknowledged since. The
// guard is notBroughtBack.
func TestTriggersThatKeepWhatARowHeld(t *testing.T) {
	t.Parallel()
	for name, do := range map[string][2]string{
		"one that keeps a value":  {"NEW.nr := OLD.nr", "nr = OLD.nr"},
		"one that counts":         {"NEW.nr := OLD.nr + 1", "nr = OLD.nr + 1"},
		"one that keeps the most": {"NEW.nr := greatest(OLD.nr, NEW.nr)", "nr = max(OLD.nr, NEW.nr)"},
		"one that keeps a text":   {"NEW.mail := OLD.mail", "mail = OLD.mail"},
	} {
		t.Run(name, func(t *testing.T) {
			repotest.Each(t, func(t *testing.T, url string) {
				trigger := []string{"CREATE TRIGGER keep AFTER UPDATE ON members WHEN NEW.touched = OLD.touched BEGIN UPDATE members SET touched = touched + 1, " + do[1] + " WHERE id = NEW.id; END"}
				if !strings.HasPrefix(url, "sqlite:") {
					trigger = []string{
						"CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN " + do[0] +
							"; RETURN NEW; END $$",
						"CREATE TRIGGER keep BEFORE UPDATE ON members FOR EACH ROW EXECUTE FUNCTION keep()",
					}
				}
				b := membersInContract(t, url, "",
					append(trigger,
						"INSERT INTO members (id, nr, mail) VALUES ('a', 10, 'm10'), ('b', 10, 'm10'), ('gone', 10, 'm10')")...)
				for _, key := range []string{"a", "b"} {
					if _, err := b.UpdateV2(t.Context(), key, nil, func(v *memberV2) error {
						v.Nr, v.Mail = 5,
							new("m5")
						return nil
					}); err != nil {
						t.Fatal(err)
					}
				}
				deleteThings(b, "gone")
				b.startRestore()
				wantErr(t, errOf(b.UpdateV2(t.Context(), "a", nil,
					func(v *memberV2) error { v.Parent = new("a"); return nil })), repo.ErrConflict)
				wantErr(t, errOf(b.UpdateV1(t.Context(), "b",
					func(v *memberV1) error { v.Parent = new("b"); return nil })), repo.ErrConflict)
				for _, key := range []string{"a", "b"} {
					if r, err := b.GetV2(t.Context(), key); err != nil || r.Value.Nr != 5 || *r.Value.Mail != "m5" ||
						r.Value.Parent != nil {
						t.Errorf("%+v, %v", r.Value, err)
					}
				}
				wantErr(t, errOf(b.CreateV2(t.Context(), memberV2{ID: "gone"})), repo.ErrConflict)
				wantErr(t, errOf(b.GetV2(t.Context(), "gone")), repo.ErrNotFound)
			})
		})
	}
}
