package repo_test

import (
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo/repotest"
)

const nodesByMail = "CREATE TABLE nodes (id varchar(40) NOT NULL PRIMARY KEY, parent text REFERENCES nodes (email) ON DELETE CASCADE, email text NOT NULL UNIQUE, touched integer NOT NULL DEFAULT 0)"

// A row that goes from V1 while that is being rebuilt takes no living one with it, which referred to it before
// CONTRACT, nor what nobody migrates and belongs to that. The guard is loosen.
func TestARestoreTakesNoLivingRow(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]string{
		"another column": nodesByMail,
		"two columns":    "CREATE TABLE nodes (id varchar(40) NOT NULL PRIMARY KEY, parent varchar(40), email text NOT NULL, touched integer NOT NULL DEFAULT 0, up integer NOT NULL DEFAULT 1, UNIQUE (email, touched), FOREIGN KEY (parent, up) REFERENCES nodes (email, touched) ON DELETE CASCADE)",
		"the key":        "CREATE TABLE nodes (id varchar(40) NOT NULL PRIMARY KEY, parent varchar(40) REFERENCES nodes ON DELETE CASCADE, email text NOT NULL, touched integer NOT NULL DEFAULT 0)",
	} {
		for _, how := range []string{"run", "delete"} {
			t.Run(name+" "+how, func(t *testing.T) {
				repotest.Each(t, func(t *testing.T, url string) {
					parent := "old"
					if name == "the key" {
						parent = "p"
					}
					b := nodesInContract(t, url, table,
						"INSERT INTO nodes (id, parent, email, touched) VALUES ('p', NULL, 'old', 1)",
						"INSERT INTO nodes (id, parent, email, touched) VALUES ('q', '"+parent+"', 'q', 7)",
						"CREATE TABLE badges (nr integer PRIMARY KEY, node varchar(40) NOT NULL REFERENCES nodes ON DELETE CASCADE)", "INSERT INTO badges VALUES (1, 'q')")
					setNode(t, b, "q", above(nil))
					if how == "run" {
						deleteThings(b, "p")
					}
					run := b.startRestore()
					if how == "delete" {
						deleteThings(b, "p")
					}
					raw := repotest.Raw(t, url)
					count := func(when string) {
						if n := repotest.One[int](t, raw,
							"SELECT count(*) FROM nodes WHERE id = 'q' AND touched = 7"); n != 1 {
							t.Errorf("%s: what V1 alone knows of q is lost", when)
						}
						if n := repotest.One[int](t, raw, "SELECT count(*) FROM badges"); n != 1 {
							t.Errorf("%s: the badge of q is lost", when)
						}
					}
					count("write")
					run = endedOf(t, b.control, run)
					count("restore")
					if run.Faults > 0 {
						t.Errorf("%+v", run)
					}
					b.restored()
				})
			})
		}
	}
}

// So it is with child rows that refer to those of other parents, with a cascade.
func TestARestoreTakesNoLivingChildRow(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"run", "write"} {
		t.Run(how, func(t *testing.T) {
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
					"CREATE TABLE cards (stack varchar(40) NOT NULL REFERENCES stacks, nr integer NOT NULL PRIMARY KEY, under integer REFERENCES cards (nr) ON DELETE CASCADE, touched integer NOT NULL DEFAULT 0)",
					"CREATE TABLE badges (nr integer PRIMARY KEY, card integer NOT NULL REFERENCES cards (nr) ON DELETE CASCADE)",
					"INSERT INTO stacks VALUES ('a'), ('b')", "INSERT INTO cards VALUES ('a', 1, NULL, 0)",
					"INSERT INTO cards VALUES ('b', 2, 1, 7)", "INSERT INTO badges VALUES (1, 2)")
				b.inContract()
				put := func(key string, cards ...cardV2) error {
					return errOf(b.UpdateV2(t.Context(), key, nil,
						func(v *stackV2) error { v.Cards = cards; return nil }))
				}
				if err := put("b", cardV2{Nr: 2}); err != nil {
					t.Fatal(err)
				}
				if how == "run" {
					if err := put("a"); err != nil {
						t.Fatal(err)
					}
				}
				run := b.startRestore()
				if how == "write" {
					if err := put("a"); err != nil {
						t.Error(err)
					}
				}
				endedOf(t, b.control, run)
				raw := repotest.Raw(t, url)
				if n := repotest.One[int](t, raw, "SELECT count(*) FROM cards WHERE nr = 2 AND touched = 7"); n != 1 {
					t.Errorf("what V1 alone knows of card 2 is lost")
				}
				if n := repotest.One[int](t, raw, "SELECT count(*) FROM badges"); n != 1 {
					t.Errorf("the badge of card 2 is lost")
				}
				b.restored()
			})
		})
	}
}

// Nor does a stale row keep it from being deleted.
func TestADeleteOfWhatAStaleRowRefersTo(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := nodesInContract(t, url, strings.Replace(nodesByMail, " ON DELETE CASCADE", "", 1),
			"INSERT INTO nodes VALUES ('p', NULL, 'old', 1)", "INSERT INTO nodes VALUES ('q', 'old', 'q', 7)")
		setNode(t, b, "q", above(nil))
		run := b.startRestore()
		deleteThings(b, "p")
		if run = endedOf(t, b.control, run); run.Faults > 0 {
			t.Errorf("%+v", run)
		}
		b.restored()
	})
}
