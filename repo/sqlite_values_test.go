package repo_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
	"github.com/alwaysup/coexist/value"
)

type bigV1 struct {
	ID  int64  `gorm:"type:bigint;primaryKey" json:"id"`
	N   int64  `gorm:"type:bigint" json:"n"`
	Day *int64 `gorm:"type:date" json:"day"`
}

func (bigV1) TableName() string { return "bigs" }

type bigV2 struct {
	ID  int64  `gorm:"type:bigint;primaryKey" json:"id"`
	N   int64  `gorm:"type:bigint" json:"n"`
	Day *int64 `gorm:"type:bigint" json:"day"`
}

func (bigV2) TableName() string { return "bigs_v2" }

func openBig(t *testing.T, url string) brought[bigV1, bigV2] {
	t.Helper()
	return broughtWell(t, url, functions[bigV1, bigV2]{
		up:   func(v bigV1) bigV2 { return bigV2(v) },
		down: func(v bigV2) bigV1 { return bigV1(v) },
	},
		"CREATE TABLE bigs (id INTEGER PRIMARY KEY, n INTEGER NOT NULL, day DATE)",
		"INSERT INTO bigs VALUES (1, 1767225600000, 20260131), (3000000000, 5, NULL)")
}

// SQLite's INTEGER has 64 bits: a row is found by a key beyond 32 of them, in each phase.
func TestSQLiteKeysBeyond32Bits(t *testing.T) {
	t.Parallel()
	on(t, "sqlite", func(t *testing.T, url string) {
		b := openBig(t, url)
		for _, phase := range []repo.Phase{repo.Migrate, repo.Cutover, repo.Contract} {
			if phase == repo.Cutover {
				b.swept()
			}
			if phase != repo.Migrate {
				b.step(phase)
			}
			if v, err := b.GetV1(t.Context(), "3000000000"); err != nil || v.N != 5 {
				t.Errorf("%s GetV1: %+v, %v", phase, v, err)
			}
			if v, err := b.GetV2(t.Context(), "3000000000"); err != nil || v.Value.N != 5 {
				t.Errorf("%s GetV2: %+v, %v", phase, v, err)
			}
			if _, err := b.UpdateV1(t.Context(), "3000000000",
				func(v *bigV1) error { v.N = 5; return nil }); err != nil {
				t.Errorf("%s UpdateV1: %v", phase, err)
			}
			if _, err := b.CreateV1(t.Context(), bigV1{ID: 4000000000 + int64(phase[1]), N: 6}); err != nil {
				t.Errorf("%s CreateV1: %v", phase, err)
			}
		}
	})
}

// So it does in conditions: what a column holds is found.
func TestSQLiteConditionsBeyond32Bits(t *testing.T) {
	t.Parallel()
	on(t, "sqlite", func(t *testing.T, url string) {
		b := openBig(t, url)
		for _, phase := range []repo.Phase{repo.Migrate, repo.Contract} {
			if phase == repo.Contract {
				b.inContract()
			}
			for name, c := range map[string]repo.Condition{
				"in":       repo.In("n", int64(1767225600000)),
				"at least": repo.AtLeast("n", int64(1767225000000)), "key": repo.In("id", int64(3000000000)),
				"at least the key": repo.AtLeast("id", int64(2999999999)),
			} {
				page, err := b.ListV1(t.Context(), repo.Query{Where: []repo.Predicate{{V1: c, V2: c}}})
				if err != nil || len(page.Items) != 1 {
					t.Errorf("%s, %s: %v, %v", phase, name, page, err)
				}
			}
		}
	})
}

// And in writes.
func TestSQLiteValuesBeyond32Bits(t *testing.T) {
	t.Parallel()
	on(t, "sqlite", func(t *testing.T, url string) {
		b := openBig(t, url)
		if _, err := b.UpdateV1(t.Context(), "1", func(v *bigV1) error { v.N++; return nil }); err != nil {
			t.Error(err)
		}
		if _, err := b.UpdateV2(t.Context(), "1", nil, func(v *bigV2) error { v.N++; return nil }); err != nil {
			t.Error(err)
		}
	})
}

type narrowV1 struct {
	ID int64 `gorm:"type:integer;primaryKey" json:"id"`
	N  int64 `gorm:"type:integer" json:"n"`
}

func (narrowV1) TableName() string { return "bigs" }

type narrowV2 struct {
	ID int64 `gorm:"type:bigint;primaryKey" json:"id"`
	N  int64 `gorm:"type:bigint" json:"n"`
}

func (narrowV2) TableName() string { return "narrow_v2" }

// What the model calls an integer limits writes alone: SQLite's columns hold more, and conditions find it. The guard is
// CatalogColumn.Wide.
func TestSQLiteIntegersWiderThanTheModelSays(t *testing.T) {
	t.Parallel()
	on(t, "sqlite", func(t *testing.T, url string) {
		b := broughtWell(t, url, functions[narrowV1, narrowV2]{
			up:   func(v narrowV1) narrowV2 { return narrowV2(v) },
			down: func(v narrowV2) narrowV1 { return narrowV1(v) },
		},
			"CREATE TABLE bigs (id integer PRIMARY KEY, n integer NOT NULL)",
			"INSERT INTO bigs VALUES (1, 1767225600000), (3000000000, 5)")
		for name, c := range map[string]repo.Condition{"in": repo.In("n", 1767225600000), "at least": repo.AtLeast("n",
			1767225000000), "key": repo.In("id", 3000000000), "at least the key": repo.AtLeast("id", 2999999999)} {
			page, err := b.ListV1(t.Context(), repo.Query{Where: []repo.Predicate{{V1: c, V2: c}}})
			if err != nil || len(page.Items) != 1 {
				t.Errorf("%s: %v, %v", name, page, err)
			}
		}
		wantField[*repo.InputError](t, errOf(b.UpdateV1(t.Context(), "3000000000",
			func(v *narrowV1) error { v.N = 1 << 31; return nil })), "n")
	})
}

// The server's own keys go on from the highest.
func TestSQLiteMadeKeysBeyond32Bits(t *testing.T) {
	t.Parallel()
	on(t, "sqlite", func(t *testing.T, url string) {
		b := openBig(t, url)
		if v, err := b.CreateV1(t.Context(), bigV1{N: 1}); err != nil || v.ID <= 3000000000 {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

// A date that is kept as an integer is compared as one, in each phase.
func TestSQLiteDatesAsIntegers(t *testing.T) {
	t.Parallel()
	on(t, "sqlite", func(t *testing.T, url string) {
		b := openBig(t, url)
		for _, phase := range []repo.Phase{repo.Migrate, repo.Contract} {
			if phase == repo.Contract {
				b.inContract()
			}
			for name, c := range map[string]repo.Condition{
				"in":       repo.In("day", 20260131),
				"at least": repo.AtLeast("day", 20260101), "at most": repo.AtMost("day", 20261231),
			} {
				page, err := b.ListV1(t.Context(), repo.Query{Where: []repo.Predicate{{V1: c, V2: c}}})
				if err != nil {
					t.Fatalf("%s, %s: %v", phase, name, err)
				}
				if len(page.Items) != 1 {
					t.Errorf("%s, %s: %d rows of 1", phase, name, len(page.Items))
				}
			}
		}
	})
}

type txtV1 struct {
	ID string  `gorm:"type:text;primaryKey" json:"id"`
	X  *string `gorm:"type:text" json:"x"`
}

func (txtV1) TableName() string { return "txts" }

type txtV2 struct {
	ID string  `gorm:"type:text;primaryKey" json:"id"`
	X  *string `gorm:"type:text" json:"x"`
}

func (txtV2) TableName() string { return "txts_v2" }

var txtMap = functions[txtV1, txtV2]{
	up:   func(v txtV1) txtV2 { return txtV2(v) },
	down: func(v txtV2) txtV1 { return txtV1(v) },
}

type realV1 struct {
	ID string        `gorm:"type:text;primaryKey" json:"id"`
	X  *value.Number `gorm:"type:double precision" json:"x"`
}

func (realV1) TableName() string { return "reals" }

type realV2 struct {
	ID string        `gorm:"type:text;primaryKey" json:"id"`
	X  *value.Number `gorm:"type:text" json:"x"`
}

func (realV2) TableName() string { return "reals_v2" }

func bringSorted[V1, V2 any](t *testing.T, url string, m repo.Mapping[V1, V2], statements ...string) brought[V1, V2] {
	t.Helper()
	repotest.Exec(t, repotest.Raw(t, url), statements...)
	db, err := repo.Open(t.Context(), url, repo.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	r, err := repo.New(db, repo.Definition[V1, V2]{
		Name: "THING", Mapping: m, InitialPhase: repo.Migrate,
		Sorts: map[string]repo.Sort{"X": {V1: "x", V2: "x"}},
	})
	if err == nil {
		err = db.Install(t.Context())
	}
	if err == nil {
		err = db.Check(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return brought[V1, V2]{r, t, repo.NewControl(db)}
}

// walkPages goes through a list in pages of two, and fails where that does not end.
func walkPages[V1, V2 any](t *testing.T, b brought[V1, V2], backward, desc bool) string {
	t.Helper()
	var said []string
	q := repo.Query{Sort: "X", Desc: desc, First: new(1)}
	if backward {
		q.First, q.Last = nil, new(1)
	}
	for range 40 {
		page, err := b.ListV1(t.Context(), q)
		if err != nil {
			t.Errorf("%v", err)
			return "error"
		}
		if len(page.Items) == 0 {
			return strings.Join(said, "")
		}
		item := page.Items[0]
		said = append(said, item.Key)
		if backward {
			q.Before = &item.Cursor
		} else {
			q.After = &item.Cursor
		}
	}
	return "it does not end: " + strings.Join(said, "")
}

// SQLite's columns hold anything. Pages go over each row once. The guards are sortValue and sortedBy.
func TestPagesOverStrangeValues(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ column, rows string }{
		"blobs": {
			"text",
			"('a', x'7b7d'), ('b', x'ff'), ('c', 'x'), ('d', NULL), ('e', x'00'), ('f', 'z')",
		},
		"infinity": {
			"double",
			"('a', -9e999), ('b', 1.5), ('c', 2.5), ('d', 9e999), ('e', NULL), ('f', -3)",
		},
		"reals without a type": {"", "('a', 1.5), ('b', 2.5), ('c', 10.5), ('d', -3.25), ('e', NULL), ('f', 200.125)"},
		"mixed":                {"", "('a', 5), ('b', '5'), ('c', 5.5), ('d', x'35'), ('e', NULL), ('f', 'x')"},
		"NUL": {
			"text",
			"('a', CAST(x'6100' AS text)), ('b', 'a'), ('c', CAST(x'610062' AS text)), ('d', 'b'), ('e', ''), ('f', NULL)",
		},
		"bad UTF-8": {
			"text",
			"('a', CAST(x'61ff' AS text)), ('b', 'a'), ('c', CAST(x'61fe' AS text)), ('d', 'b'), ('e', CAST(x'c3' AS text)), ('f', NULL)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, "sqlite", func(t *testing.T, url string) {
				check := func(walk func(backward, desc bool) string) {
					for _, desc := range []bool{false, true} {
						forward, back := walk(false, desc), walk(true, desc)
						for i := range 6 {
							if !strings.Contains(forward, fmt.Sprintf("%c", 'a'+i)) ||
								!strings.Contains(back, fmt.Sprintf("%c", 'a'+i)) ||
								len(forward) != 6 || len(back) != 6 {
								t.Errorf("desc %v: forward %q, backward %q", desc, forward, back)
								break
							}
						}
					}
				}
				if name == "infinity" || name == "reals without a type" {
					b := bringSorted(t, url, functions[realV1, realV2]{
						up:   func(v realV1) realV2 { return realV2(v) },
						down: func(v realV2) realV1 { return realV1(v) },
					},
						"CREATE TABLE reals (id text NOT NULL PRIMARY KEY, x "+c.column+")",
						"INSERT INTO reals VALUES "+c.rows)
					check(func(backward, desc bool) string { return walkPages(t, b, backward, desc) })
					return
				}
				b := bringSorted(t, url, txtMap, "CREATE TABLE txts (id text NOT NULL PRIMARY KEY, x "+c.column+")",
					"INSERT INTO txts VALUES "+c.rows)
				check(func(backward, desc bool) string { return walkPages(t, b, backward, desc) })
			})
		})
	}
}

// A trigger of the owner's that ignores what comes after it must not hide a change from capture. The guard is that its
// triggers fire before.
func TestRaiseIgnoreAfter(t *testing.T) {
	t.Parallel()
	on(t, "sqlite", func(t *testing.T, url string) {
		b := broughtWell(t, url, txtMap, "CREATE TABLE txts (id text NOT NULL PRIMARY KEY, x text)",
			"INSERT INTO txts VALUES ('a', 'x'), ('b', 'y')",
			"CREATE TRIGGER early AFTER UPDATE ON txts WHEN NEW.id = 'a' BEGIN SELECT RAISE(IGNORE); END")
		raw := repotest.Raw(t, url)
		repotest.Exec(t, raw,
			"CREATE TRIGGER late AFTER UPDATE ON txts WHEN NEW.id = 'b' BEGIN SELECT RAISE(IGNORE); END")
		for _, key := range []string{"a", "b"} {
			if _, err := b.GetV2(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			repotest.Exec(t, raw, "UPDATE txts SET x = 'changed' WHERE id = '"+key+"'")
			v1, err1 := b.GetV1(t.Context(), key)
			v2, err := b.GetV2(t.Context(), key)
			if err != nil || err1 != nil || *v1.X != *v2.Value.X {
				t.Errorf("%s: V1 %s, V2 %s, %v, %v", key, *v1.X, *v2.Value.X, err1, err)
			}
		}
	})
}

// In CUTOVER another program's write is rejected, also where a trigger of the owner's ignores what comes after it.
func TestRaiseIgnoreInCutover(t *testing.T) {
	t.Parallel()
	on(t, "sqlite", func(t *testing.T, url string) {
		b := broughtWell(t, url, txtMap, "CREATE TABLE txts (id text NOT NULL PRIMARY KEY, x text)",
			"INSERT INTO txts VALUES ('a', 'x'), ('b', 'y')")
		raw := repotest.Raw(t, url)
		repotest.Exec(t, raw, "CREATE TRIGGER late AFTER UPDATE ON txts BEGIN SELECT RAISE(IGNORE); END",
			"CREATE TRIGGER late2 AFTER DELETE ON txts BEGIN SELECT RAISE(IGNORE); END")
		b.swept()
		b.step(repo.Cutover)
		if _, err := raw.Exec("UPDATE txts SET x = 'old program' WHERE id = 'a'"); err == nil {
			v1, err := b.GetV1(t.Context(), "a")
			t.Errorf("the write is accepted, and lost: a read says %q, V1 holds %q, %v", *v1.X,
				repotest.One[string](t, raw, "SELECT x FROM txts WHERE id = 'a'"), err)
		}
		if _, err := raw.Exec("DELETE FROM txts WHERE id = 'b'"); err == nil {
			t.Error("the delete is accepted")
		}
	})
}
