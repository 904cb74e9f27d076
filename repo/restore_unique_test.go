package repo_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// Whatever it is that lets no two rows of V1 hold the same, what a row has given up since CONTRACT another may have
// while V1 is being rebuilt; where no catalog says what is in the way, the client is told to wait. The guards are
// vacate and whileRebuilt.
func TestUniqueRulesDuringARestore(t *testing.T) {
	t.Parallel()
	const partial, folded = "CREATE UNIQUE INDEX own ON members (mail) WHERE nr < 100",
		"CREATE UNIQUE INDEX own ON members (lower(mail), nr)"
	for name, c := range map[string]struct {
		database, column, index string
		waits                   bool
	}{
		"plain, SQLite":         {"sqlite", ", UNIQUE (mail)", "", false},
		"partial, SQLite":       {"sqlite", "", partial, true},
		"an expression, SQLite": {"sqlite", "", folded, true},
		"NOCASE, SQLite":        {"sqlite", "", "CREATE UNIQUE INDEX own ON members (mail COLLATE NOCASE)", false},
		"a quote, SQLite":       {"sqlite", "", `CREATE UNIQUE INDEX "o'wn" ON members (lower(mail))`, true},
		"plain":                 {"postgres", ", UNIQUE (mail)", "", false},
		"two columns":           {"postgres", ", UNIQUE (mail, nr)", "", false},
		"partial":               {"postgres", "", partial, false},
		// which the model does not know
		"of another column": {
			"postgres", "", "CREATE UNIQUE INDEX own ON members (mail) WHERE touched < 100",
			true,
		},
		"an expression": {"postgres", "", folded, false},
		"NULLs alike":   {"postgres", ", UNIQUE NULLS NOT DISTINCT (mail)", "", false},
		"deferred":      {"postgres", ", UNIQUE (mail) DEFERRABLE INITIALLY DEFERRED", "", false},
		"exclusion":     {"postgres", ", EXCLUDE (lower(mail) WITH =)", "", false},
		"overlap": {
			"postgres",
			", EXCLUDE USING gist (int4range(ascii(mail) * 10, ascii(mail) * 10 + 15) WITH &&)", "", false,
		},
		"another collation": {
			"postgres", "",
			"CREATE UNIQUE INDEX own ON members (mail COLLATE anycase, nr DESC) INCLUDE (touched)", false,
		},
		"a whole row": {
			"postgres", "", "CREATE UNIQUE INDEX own ON members (mail, (members.* IS NULL))",
			true,
		},
		"generated": {
			"postgres", ", folded text GENERATED ALWAYS AS (lower(mail)) STORED UNIQUE", "",
			true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, c.database, func(t *testing.T, url string) {
				held := new("a")
				row := "('a', 1, 'a')"
				if name == "NULLs alike" {
					held, row = nil, "('a', 1, NULL)"
				}
				statements := []string{"INSERT INTO members (id, nr, mail) VALUES ('b', 1, 'c'), ('gone', 1, 'e'), " +
					row}
				if c.index != "" {
					statements = append(statements, c.index)
				}
				if name == "NOCASE, SQLite" {
					held = new("A")
				}
				if name == "another collation" {
					held = new("A")
					repotest.Exec(t, repotest.Raw(t, url),
						"CREATE COLLATION anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
				}
				b := membersInContract(t, url, c.column, statements...)
				setMail := func(key string, mail *string) error {
					return errOf(b.UpdateV2(t.Context(), key, nil,
						func(v *memberV2) error { v.Mail = mail; return nil }))
				}
				create := func(key string, mail *string) error {
					return errOf(b.CreateV2(t.Context(), memberV2{ID: key, Nr: 1, Mail: mail}))
				}
				if err := setMail("a", new("q")); err != nil {
					t.Fatal(err)
				}
				deleteThings(b, "gone")
				run := b.startRestore()
				first, second := create("z", held), setMail("b", new("e"))
				if c.waits {
					for _, err := range []error{first, second} {
						if conflict, ok := errors.AsType[*repo.ConflictError](err); !ok ||
							!strings.Contains(conflict.Reason, "being rebuilt") {
							t.Errorf("the error is %v", err)
						}
					}
				} else if err := errors.Join(first, second); err != nil {
					t.Error(err)
				} else if _, ok := errors.AsType[*repo.UniqueError](create("y", held)); !ok {
					t.Error("z has it, and y too")
				}
				if run = endedOf(t, b.control, run); run.Faults > 0 {
					t.Errorf("%+v", run)
				}
				b.restored()
			})
		})
	}
}

// A foreign key of V1's to other rows of its table by something else than their key is not kept in CONTRACT, where V1
// tells nothing of them. While V1 is being rebuilt, a client is told to wait. The guards are keeps and whileRebuilt.
func TestReferencesByOtherColumns(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := nodesInContract(t, url,
			"CREATE TABLE nodes (id varchar(40) NOT NULL PRIMARY KEY, parent text REFERENCES nodes (email), email text NOT NULL UNIQUE)", "INSERT INTO nodes VALUES ('p', NULL, 'old'), ('q', NULL, 'q')")
		setNode(t, b, "p", mail("new"))
		setNode(t, b, "q", above(new("new")))
		createNode(t, b, nodeV2{ID: "z", Mail: "z"})
		createNode(t, b, nodeV2{ID: "a", Mail: "a", Above: new("z")})
		run := b.startRestore()
		_, err := b.CreateV2(t.Context(), nodeV2{ID: "b", Mail: "b", Above: new("z")})
		if conflict, ok := errors.AsType[*repo.ConflictError](err); !ok || !strings.Contains(conflict.Reason,
			"being rebuilt") {
			t.Errorf("the error is %v", err)
		}
		if run = endedOf(t, b.control, run); run.Faults != 1 { // a, which comes before z
			t.Errorf("%+v", run)
		}
		b.restored()
	})
}

type stackV1 struct {
	ID    string   `gorm:"type:varchar(40);primaryKey" json:"id"`
	Cards []cardV1 `gorm:"-" repo:"table:cards;key:stack" json:"cards"`
}

func (stackV1) TableName() string { return "stacks" }

type cardV1 struct {
	Nr    int32  `gorm:"type:integer;primaryKey" json:"nr"`
	Under *int32 `gorm:"type:integer" json:"under"`
}

type stackV2 struct {
	ID    string   `gorm:"type:varchar(40);primaryKey" json:"id"`
	Cards []cardV2 `gorm:"-" repo:"table:cards_v2;key:stack" json:"cards"`
}

func (stackV2) TableName() string { return "stacks_v2" }

type cardV2 struct {
	Nr    int32  `gorm:"type:integer" json:"nr"`
	Under *int32 `gorm:"type:integer" json:"under"`
}

// So it is with child rows that refer to each other.
func TestChildRowsThatReferToEachOther(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := broughtWell(t, url, functions[stackV1, stackV2]{
			up: func(v stackV1) stackV2 {
				w := stackV2{ID: v.ID, Cards: []cardV2{}}
				for _, card := range v.Cards {
					w.Cards = append(w.Cards, cardV2(card))
				}
				return w
			},
			down: func(v stackV2) stackV1 {
				w := stackV1{ID: v.ID, Cards: []cardV1{}}
				for _, card := range v.Cards {
					w.Cards = append(w.Cards, cardV1(card))
				}
				return w
			},
		}, "CREATE TABLE stacks (id varchar(40) NOT NULL PRIMARY KEY)",
			"CREATE TABLE cards (stack varchar(40) NOT NULL REFERENCES stacks, nr integer NOT NULL PRIMARY KEY, under integer REFERENCES cards (nr))",
			"INSERT INTO stacks VALUES ('a'), ('b')", "INSERT INTO cards VALUES ('a', 1, NULL)")
		b.inContract()
		put := func(key string, cards ...cardV2) error {
			return errOf(b.UpdateV2(t.Context(), key, nil, func(v *stackV2) error { v.Cards = cards; return nil }))
		}
		if err := errors.Join(put("b", cardV2{Nr: 2}, cardV2{Nr: 3, Under: new(int32(2))}),
			put("a", cardV2{Nr: 4, Under: new(int32(3))})); err != nil {
			t.Error(err)
		}
		run := b.startRestore()
		conflict, ok := errors.AsType[*repo.ConflictError](put("a", cardV2{Nr: 4, Under: new(int32(2))}))
		if !ok || !strings.Contains(conflict.Reason, "being rebuilt") {
			t.Errorf("%+v", conflict)
		}
		if run = endedOf(t, b.control, run); run.Faults != 1 {
			t.Errorf("%+v", run)
		}
		b.restored()
	})
}

// Indexes of constants, invalid ones that hold nothing, and expressions that fail for rows outside of their condition.
// The guards are in uniques.
func TestIndexesThatFailAQuery(t *testing.T) {
	t.Parallel()
	for name, index := range map[string]string{
		"constant":   "CREATE UNIQUE INDEX own ON members ((true))",
		"invalid":    "CREATE UNIQUE INDEX CONCURRENTLY own ON members ((CAST(mail AS integer)))",
		"division":   "CREATE UNIQUE INDEX own ON members ((1 / nr), mail) WHERE nr > 0",
		"cast":       "CREATE UNIQUE INDEX own ON members ((CAST(mail AS integer)), nr) WHERE mail ~ '^[0-9]+$'",
		"cast nulls": "CREATE UNIQUE INDEX own ON members ((CAST(mail AS integer)), nr) NULLS NOT DISTINCT WHERE mail ~ '^[0-9]+$'",
	} {
		t.Run(name, func(t *testing.T) {
			on(t, "postgres", func(t *testing.T, url string) {
				raw := repotest.Raw(t, url)
				repotest.Exec(t, raw, membersTable+")", "INSERT INTO members (id, nr, mail) VALUES ('a', 1, 'a')")
				if name != "constant" {
					repotest.Exec(t, raw, "INSERT INTO members (id, nr, mail) VALUES ('b', 0, 'b'), ('c', 2, '7')")
				}
				if _, err := raw.ExecContext(t.Context(), index); (err != nil) != (name == "invalid") {
					t.Fatal(err)
				}
				b := broughtWell(t, url, functions[memberV1,
					memberV2]{
					up:   func(v memberV1) memberV2 { return memberV2(v) },
					down: func(v memberV2) memberV1 { return memberV1(v) },
				})
				b.inContract()
				set := func(mail string) error {
					return errOf(b.UpdateV2(t.Context(), "a", nil,
						func(v *memberV2) error { v.Mail = &mail; return nil }))
				}
				if err := set("q"); err != nil {
					t.Fatal(err)
				}
				run := b.startRestore()
				if err := set("r"); err != nil {
					t.Errorf("%v (%T)", err, err)
				}
				if run = endedOf(t, b.control, run); run.Faults > 0 || run.Status != repo.Succeeded {
					page, err := b.control.Findings(t.Context(), run.ID, 10, "")
					t.Errorf("%+v: %s %v", run, asJSON(page.Findings), err)
				}
			})
		})
	}
}
