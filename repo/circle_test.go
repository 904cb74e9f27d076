package repo_test

import (
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

type circleV1 struct {
	ID string    `gorm:"type:varchar(40);primaryKey" json:"id"`
	As []circleA `gorm:"-" repo:"table:as_;key:root" json:"as"`
	Bs []circleB `gorm:"-" repo:"table:bs_;key:root" json:"bs"`
}

func (circleV1) TableName() string { return "circles" }

type circleA struct {
	Nr int32  `gorm:"type:integer;primaryKey" json:"nr"`
	B  *int32 `gorm:"type:integer" json:"b"`
}

type circleB struct {
	Nr int32  `gorm:"type:integer;primaryKey" json:"nr"`
	A  *int32 `gorm:"type:integer" json:"a"`
}

type circleV2 struct {
	ID string     `gorm:"type:varchar(40);primaryKey" json:"id"`
	As []circleA2 `gorm:"-" repo:"table:as_v2;key:root" json:"as"`
	Bs []circleB2 `gorm:"-" repo:"table:bs_v2;key:root" json:"bs"`
}

func (circleV2) TableName() string { return "circles_v2" }

type circleA2 struct {
	Nr int32  `gorm:"type:integer" json:"nr"`
	B  *int32 `gorm:"type:integer" json:"b"`
}

type circleB2 struct {
	Nr int32  `gorm:"type:integer" json:"nr"`
	A  *int32 `gorm:"type:integer" json:"a"`
}

var circleMap = functions[circleV1, circleV2]{
	up: func(v circleV1) circleV2 {
		w := circleV2{ID: v.ID, As: []circleA2{}, Bs: []circleB2{}}
		for _, a := range v.As {
			w.As = append(w.As, circleA2(a))
		}
		for _, b := range v.Bs {
			w.Bs = append(w.Bs, circleB2(b))
		}
		return w
	},
	down: func(v circleV2) circleV1 {
		w := circleV1{ID: v.ID, As: []circleA{}, Bs: []circleB{}}
		for _, a := range v.As {
			w.As = append(w.As, circleA(a))
		}
		for _, b := range v.Bs {
			w.Bs = append(w.Bs, circleB(b))
		}
		return w
	},
}

// Child tables that refer to each other, by keys that are checked at once or at the end. The guards are withoutLate and
// takeOut.
func TestChildTablesInACircle(t *testing.T) {
	t.Parallel()
	for _, deferred := range []string{"", " DEFERRABLE INITIALLY DEFERRED"} {
		t.Run("deferred"+deferred, func(t *testing.T) {
			repotest.Each(t, func(t *testing.T, url string) {
				made := []string{
					"CREATE TABLE circles (id varchar(40) NOT NULL PRIMARY KEY)",
					"CREATE TABLE as_ (root varchar(40) NOT NULL REFERENCES circles, nr integer NOT NULL PRIMARY KEY, b integer)",
					"CREATE TABLE bs_ (root varchar(40) NOT NULL REFERENCES circles, nr integer NOT NULL PRIMARY KEY, a integer REFERENCES as_ (nr)" + deferred + ")",
				}
				if strings.HasPrefix(url, "postgres") {
					made = append(made, "ALTER TABLE as_ ADD FOREIGN KEY (b) REFERENCES bs_ (nr)"+deferred)
				} else {
					made[1] = strings.TrimSuffix(made[1], ")") + " REFERENCES bs_ (nr)" + deferred + ")"
				}
				made = append(made, "INSERT INTO circles VALUES ('a'), ('b'), ('c')",
					"INSERT INTO as_ VALUES ('a', 1, NULL)", "INSERT INTO bs_ VALUES ('a', 1, 1)",
					"UPDATE as_ SET b = 1",
					"INSERT INTO as_ VALUES ('c', 9, NULL)", "INSERT INTO bs_ VALUES ('c', 9, 9)",
					"UPDATE as_ SET b = 9 WHERE nr = 9")
				b := broughtWell(t, url, circleMap, made...)
				put := func(key string, nr int32) error {
					return errOf(b.UpdateV2(t.Context(), key, nil, func(v *circleV2) error {
						v.As, v.Bs = []circleA2{{nr, new(nr)}}, []circleB2{{nr, new(nr)}}
						return nil
					}))
				}
				check := func(what string, err error) {
					t.Helper()
					if err != nil {
						t.Errorf("%s: %v", what, err)
					}
				}
				check("put", put("b", 2))
				check("put over", put("a", 3))
				check("create", errOf(b.CreateV1(t.Context(), circleV1{
					ID: "d", As: []circleA{{7, new(int32(7))}},
					Bs: []circleB{{7, new(int32(7))}},
				})))
				check("clear", errOf(b.UpdateV2(t.Context(), "c", nil, func(v *circleV2) error {
					v.As, v.Bs = nil,
						nil
					return nil
				})))
				check("delete", b.Delete(t.Context(), "a", nil))
				b.inContract()
				check("contract put", put("b", 12))
				check("contract create", errOf(b.CreateV2(t.Context(),
					circleV2{ID: "e", As: []circleA2{{17, new(int32(17))}}, Bs: []circleB2{{17, new(int32(17))}}})))
				check("contract delete", b.Delete(t.Context(), "c", nil))
				b.restored()
			})
		})
	}
}

type payerV1 struct {
	ID     string      `gorm:"type:varchar(40);primaryKey" json:"id"`
	First  *int32      `gorm:"type:integer" json:"first"`
	Places []payerLine `gorm:"-" repo:"table:places;key:payer" json:"places"`
}

func (payerV1) TableName() string { return "payers" }

type payerLine struct {
	Nr   int32  `gorm:"type:integer;primaryKey" json:"nr"`
	Town string `gorm:"type:text" json:"town"`
}

type payerV2 struct {
	ID     string       `gorm:"type:varchar(40);primaryKey" json:"id"`
	First  *int32       `gorm:"type:integer" json:"first"`
	Places []payerLine2 `gorm:"-" repo:"table:places_v2;key:payer" json:"places"`
}

func (payerV2) TableName() string { return "payers_v2" }

type payerLine2 struct {
	Nr   int32  `gorm:"type:integer" json:"nr"`
	Town string `gorm:"type:text" json:"town"`
}

// A root that refers to one of its own child rows, such as a customer to the first of its addresses. The guards are the
// same.
func TestARootThatRefersToItsChildRows(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		made := []string{
			"CREATE TABLE payers (id varchar(40) NOT NULL PRIMARY KEY, first integer REFERENCES places (nr))",
			"CREATE TABLE places (payer varchar(40) NOT NULL REFERENCES payers, nr integer NOT NULL PRIMARY KEY, town text NOT NULL)",
		}
		if strings.HasPrefix(url, "postgres") {
			made[0] = "CREATE TABLE payers (id varchar(40) NOT NULL PRIMARY KEY, first integer)"
			made = append(made, "ALTER TABLE payers ADD FOREIGN KEY (first) REFERENCES places (nr)")
		}
		made = append(made, "INSERT INTO payers VALUES ('a', NULL), ('b', NULL)",
			"INSERT INTO places VALUES ('a', 1, 'Rome')", "UPDATE payers SET first = 1 WHERE id = 'a'")
		b := broughtWell(t, url, functions[payerV1, payerV2]{
			up: func(v payerV1) payerV2 {
				w := payerV2{ID: v.ID, First: v.First, Places: []payerLine2{}}
				for _, place := range v.Places {
					w.Places = append(w.Places, payerLine2(place))
				}
				return w
			},
			down: func(v payerV2) payerV1 {
				w := payerV1{ID: v.ID, First: v.First, Places: []payerLine{}}
				for _, place := range v.Places {
					w.Places = append(w.Places, payerLine(place))
				}
				return w
			},
		}, made...)
		raw := repotest.Raw(t, url)
		for i, phase := range []repo.Phase{repo.Migrate, repo.Cutover, repo.Contract} {
			if phase == repo.Cutover {
				b.swept()
			}
			if phase != repo.Migrate {
				b.step(phase)
			}
			nr := int32(10 * (i + 1))
			// Another first place, in place of the one that goes.
			if err := errOf(b.UpdateV1(t.Context(), "a", func(v *payerV1) error {
				v.First, v.Places = new(nr),
					[]payerLine{{nr, "Oslo"}}
				return nil
			})); err != nil {
				t.Errorf("%s: %v", phase, err)
			}
			key := string(phase)
			if err := errOf(b.CreateV2(t.Context(), payerV2{
				ID: key, First: new(nr + 1),
				Places: []payerLine2{{nr + 1, "Bern"}, {nr + 2, "Kyiv"}},
			})); err != nil {
				t.Errorf("%s: %v", phase, err)
			}
			if err := errOf(b.UpdateV2(t.Context(), key, nil,
				func(v *payerV2) error { v.First = new(nr + 2); v.Places = v.Places[1:]; return nil })); err != nil {
				t.Errorf("%s: %v", phase, err)
			}
			if v1, err := b.GetV1(t.Context(), key); err != nil || *v1.First != nr+2 || len(v1.Places) != 1 {
				t.Errorf("%s: %+v, %v", phase, v1, err)
			}
			if phase != repo.Contract {
				if n := repotest.One[int](t, raw,
					"SELECT count(*) FROM payers JOIN places ON nr = first AND payer = id"); n != 2 {
					t.Errorf("%s: %d of 2 have a first place", phase, n)
				}
				deleteThings(b, key)
			}
		}
		b.restored()
		if n := repotest.One[int](t, raw,
			"SELECT count(*) FROM payers JOIN places ON nr = first AND payer = id"); n != 2 {
			t.Errorf("%d of 2 have a first place after the restore", n)
		}
	})
}
