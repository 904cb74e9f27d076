package repo_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

const nodesTable = "CREATE TABLE nodes (id varchar(40) NOT NULL PRIMARY KEY, parent varchar(40) REFERENCES nodes, email text NOT NULL, touched integer NOT NULL DEFAULT 0)"

func nodesInContract(t *testing.T, url, table string, rows ...string) brought[nodeV1, nodeV2] {
	t.Helper()
	b := broughtWell(t, url, repo.Mapping[nodeV1, nodeV2](nodeMapping{}), append([]string{table}, rows...)...)
	b.inContract()
	return b
}

func setNode(t *testing.T, b brought[nodeV1, nodeV2], id string, change func(*nodeV2)) {
	t.Helper()
	if _, err := b.UpdateV2(t.Context(), id, nil, func(v *nodeV2) error { change(v); return nil }); err != nil {
		t.Fatal(err)
	}
}

func mail(mail string) func(*nodeV2)    { return func(v *nodeV2) { v.Mail = mail } }
func above(above *string) func(*nodeV2) { return func(v *nodeV2) { v.Above = above } }

func createNode(t *testing.T, b brought[nodeV1, nodeV2], v nodeV2) {
	t.Helper()
	if _, err := b.CreateV2(t.Context(), v); err != nil {
		t.Fatal(err)
	}
}

func deleteThings[V1, V2 any](b brought[V1, V2], keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		if err := b.Delete(b.t.Context(), key, nil); err != nil {
			b.t.Fatal(err)
		}
	}
}

// startRestore starts a restore on which nobody works yet.
func (b brought[V1, V2]) startRestore() repo.Run {
	b.t.Helper()
	run, err := b.control.StartRestore(b.t.Context(), repo.RunRequest{Entity: "THING", Actor: "test"})
	if err != nil {
		b.t.Fatal(err)
	}
	return run
}

// touching is a trigger of V1's owner that counts in other rows what is inserted: those that meet condition.
func touching(url, condition string) []string {
	const update = "UPDATE nodes SET touched = touched + 1 WHERE "
	if strings.HasPrefix(url, "sqlite:") {
		return []string{"CREATE TRIGGER touch AFTER INSERT ON nodes BEGIN " + update + condition + "; END"}
	}
	return []string{
		"CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN " + update +
			condition + "; RETURN NULL; END $$",
		"CREATE TRIGGER touch AFTER INSERT ON nodes FOR EACH ROW EXECUTE FUNCTION touch()",
	}
}

// While V1 is being rebuilt, what its owner's triggers do to rows that are still as they were before CONTRACT is not
// taken over: no write that was acknowledged is undone by it, and no deleted row comes back. The guard is restoreV1, in
// settleOnce.
func TestATriggerOnARowThatIsNotRestoredYet(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := nodesInContract(t, url, nodesTable, append(touching(url, "id <> NEW.id"),
			"INSERT INTO nodes (id, email) VALUES ('p', 'old')",
			"INSERT INTO nodes (id, email) VALUES ('q', 'old')")...)
		setNode(t, b, "p", mail("new"))
		deleteThings(b, "q")
		run := b.startRestore()
		createNode(t, b, nodeV2{ID: "c", Mail: "c", Above: new("p")})
		if v2, err := b.GetV2(t.Context(), "p"); err != nil || v2.Value.Mail != "new" {
			t.Errorf("an acknowledged write is lost: %+v, %v", v2.Value, err)
		}
		wantErr(t, errOf(b.GetV2(t.Context(), "q")), repo.ErrNotFound)
		if run = endedOf(t, b.control, run); run.Faults > 0 {
			t.Errorf("%+v", run)
		}
		b.restored()
	})
}

const cascading = "CREATE TABLE nodes (id varchar(40) NOT NULL PRIMARY KEY, parent varchar(40) REFERENCES nodes ON DELETE CASCADE, email varchar(8) NOT NULL)"

// The same of a cascade over rows that have moved since: none of V2's is deleted with it. Where V1 could not hold one
// without the row that is deleted, the delete is refused. The guards are restoreV1 and kept.
func TestACascadeOverRowsThatAreNotRestoredYet(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := nodesInContract(t, url, cascading,
			"INSERT INTO nodes VALUES ('a', NULL, 'e'), ('q', 'a', 'e'), ('r', 'q', 'e')")
		setNode(t, b, "r", above(nil))
		run := b.startRestore()
		wantErr(t, b.Delete(t.Context(), "a", nil), repo.ErrConflict)
		setNode(t, b, "q", above(nil))
		deleteThings(b, "a")
		for _, key := range []string{"q", "r"} {
			if v2, err := b.GetV2(t.Context(), key); err != nil || v2.Value.Above != nil {
				t.Errorf("%s: %+v, %v", key, v2.Value, err)
			}
		}
		if run = endedOf(t, b.control, run); run.Faults > 0 {
			t.Errorf("%+v", run)
		}
		b.restored()
	})
}

// A row that V1 cannot hold is a finding, also where another needed it first, and V1's own cascade has removed what V1
// held of it.
func TestAFaultOfARowThatOthersNeedIsKept(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := nodesInContract(t, url, cascading, "INSERT INTO nodes VALUES ('a', NULL, 'e'), ('q', 'a', 'e')")
		setNode(t, b, "q", above(nil))
		setNode(t, b, "q", mail("longer than V1 can hold"))
		deleteThings(b, "a")
		run := endedOf(t, b.control, b.startRestore())
		page, err := b.control.Findings(t.Context(), run.ID, 10, "")
		if err != nil || run.Faults != 1 || page.Findings[0].Key != "q" {
			t.Errorf("%+v: %+v, %v", run, page.Findings, err)
		}
		if _, err := b.control.SetPhase(t.Context(), repo.PhaseRequest{
			Entity: "THING", To: repo.Cutover,
			Actor: "test",
		}); err == nil {
			t.Error("there is a way back without q")
		}
		setNode(t, b, "q", mail("short"))
		b.restored()
	})
}

// Values that V1 keeps unique may have moved from row to row. The guard is vacate.
func TestARestoreOfUniqueValues(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := nodesInContract(t, url,
			"CREATE TABLE nodes (id varchar(40) NOT NULL PRIMARY KEY, parent varchar(40), email text NOT NULL UNIQUE)",
			"INSERT INTO nodes VALUES ('b', NULL, 'e1'), ('n', NULL, 'e3')")
		setNode(t, b, "b", mail("other"))
		createNode(t, b, nodeV2{ID: "a", Mail: "e1"}) // what a later row has given up
		deleteThings(b, "n")
		setNode(t, b, "b", mail("e3")) // what a row had that was deleted
		b.restored()
	})
}

// While V1 is being rebuilt, no client is refused for what V1 holds of rows that have given it up, or are gone.
func TestUniqueValuesDuringARestore(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := nodesInContract(t, url,
			"CREATE TABLE nodes (id varchar(40) NOT NULL PRIMARY KEY, parent varchar(40), email text NOT NULL UNIQUE)",
			"INSERT INTO nodes VALUES ('b', NULL, 'e1'), ('m', NULL, 'e2'), ('n', NULL, 'e3')")
		deleteThings(b, "m")
		setNode(t, b, "n", mail("other"))
		run := b.startRestore()
		createNode(t, b, nodeV2{ID: "z", Mail: "e2"})
		setNode(t, b, "b", mail("e3"))
		_, err := b.CreateV2(t.Context(), nodeV2{ID: "y", Mail: "e2"})
		wantErr(t, err, repo.ErrConflict) // which z has
		if run = endedOf(t, b.control, run); run.Faults > 0 {
			t.Errorf("%+v", run)
		}
		b.restored()
	})
}

// A circle of V1's whose rows are gone is unlinked before it is deleted.
func TestARestoreOfADeletedCircle(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := nodesInContract(t, url, nodesTable, "INSERT INTO nodes VALUES ('m', NULL, 'e', 0), ('q', 'm', 'e', 0)",
			"UPDATE nodes SET parent = 'q' WHERE id = 'm'")
		for _, key := range []string{"q", "m"} {
			setNode(t, b, key, above(nil))
		}
		deleteThings(b, "m", "q")
		b.restored()
	})
}

// More rows than one transaction brings up: who needs them waits for the next restore, and a client is told. The guard
// is maxFirst.
func TestARestoreThatNeedsManyRowsFirst(t *testing.T) {
	t.Parallel()
	const many = 250 // more than one transaction brings up
	repotest.Each(t, func(t *testing.T, url string) {
		b := nodesInContract(t, url, nodesTable, "INSERT INTO nodes (id, email) VALUES ('a', 'e'), ('z', 'e')",
			fmt.Sprintf(
				"INSERT INTO nodes (id, parent, email) WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < %d) SELECT 'r' || (1000 + i), 'a', 'e' FROM g", many))
		next := "z"
		for i := range many { // each refers to one that comes later
			setNode(t, b, fmt.Sprint("r", 1001+i), above(new("z")))
			key := fmt.Sprint("k", 2000-i)
			createNode(t, b, nodeV2{ID: key, Above: &next})
			next = key
		}
		deleteThings(b, "a")
		run := b.startRestore()
		_, err := b.UpdateV2(t.Context(), next, nil, func(v *nodeV2) error { v.Mail = "new"; return nil })
		wantErr(t, err, repo.ErrConflict)
		if run = endedOf(t, b.control, run); run.Status != repo.Succeeded || run.Faults == 0 {
			t.Errorf("%+v", run)
		}
		b.restored()
	})
}

type bossV1 struct {
	ID     string `gorm:"type:varchar(40);primaryKey" json:"id"`
	Parent string `gorm:"type:varchar(40)" json:"parent"`
}

func (bossV1) TableName() string { return "bosses" }

type bossV2 struct {
	ID    string `gorm:"type:varchar(40);primaryKey" json:"id"`
	Above string `gorm:"type:varchar(40)" json:"above"`
}

func (bossV2) TableName() string { return "bosses_v2" }

// A circle of references that cannot be NULL: a row begins as its own parent. The guard is leaveOut.
func TestARestoreOfACircleThatCannotBeNull(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := broughtWell(t, url, functions[bossV1, bossV2]{
			up:   func(v bossV1) bossV2 { return bossV2{v.ID, v.Parent} },
			down: func(v bossV2) bossV1 { return bossV1{v.ID, v.Above} },
		}, "CREATE TABLE bosses (id varchar(40) NOT NULL PRIMARY KEY, parent varchar(40) NOT NULL REFERENCES bosses)")
		b.inContract()
		for _, v := range []bossV2{{"x", "x"}, {"y", "x"}} {
			if _, err := b.CreateV2(t.Context(), v); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.UpdateV2(t.Context(), "x", nil,
			func(v *bossV2) error { v.Above = "y"; return nil }); err != nil {
			t.Fatal(err)
		}
		b.restored()
	})
}

type friendV1 struct {
	ID    string   `gorm:"type:varchar(40);primaryKey" json:"id"`
	Links []linkV1 `gorm:"-" repo:"table:links;key:node" json:"links"`
}

func (friendV1) TableName() string { return "friends" }

type linkV1 struct {
	To string `gorm:"column:target;type:varchar(40);primaryKey" json:"to"`
}

type friendV2 struct {
	ID    string   `gorm:"type:varchar(40);primaryKey" json:"id"`
	Links []linkV2 `gorm:"-" repo:"table:links_v2;key:node" json:"links"`
}

func (friendV2) TableName() string { return "friends_v2" }

type linkV2 struct {
	To string `gorm:"column:target;type:varchar(40)" json:"to"`
}

// Child rows that refer to roots of their own entity, each to the other: in rows that are new, in rows that are gone,
// and in one that a client writes meanwhile. The guards are leaveOut and beforeDelete.
func TestARestoreOfLinksBothWays(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := broughtWell(t, url, functions[friendV1, friendV2]{
			up: func(v friendV1) friendV2 {
				r := friendV2{ID: v.ID}
				for _, l := range v.Links {
					r.Links = append(r.Links, linkV2(l))
				}
				return r
			},
			down: func(v friendV2) friendV1 {
				r := friendV1{ID: v.ID}
				for _, l := range v.Links {
					r.Links = append(r.Links, linkV1(l))
				}
				return r
			},
		}, "CREATE TABLE friends (id varchar(40) NOT NULL PRIMARY KEY)",
			"CREATE TABLE links (node varchar(40) NOT NULL REFERENCES friends, target varchar(40) NOT NULL REFERENCES friends, PRIMARY KEY (node, target))",
			"INSERT INTO friends VALUES ('g'), ('h')", "INSERT INTO links VALUES ('g', 'h'), ('h', 'g')")
		b.inContract()
		link := func(from string, to ...linkV2) {
			t.Helper()
			if _, err := b.UpdateV2(t.Context(), from, nil,
				func(v *friendV2) error { v.Links = to; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []string{"a", "b", "c"} {
			if _, err := b.CreateV2(t.Context(), friendV2{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		link("a", linkV2{"b"})
		link("b", linkV2{"a"})
		link("g")
		link("h")
		deleteThings(b, "g", "h")
		run := b.startRestore()
		link("a", linkV2{"b"}, linkV2{"c"})
		if run = endedOf(t, b.control, run); run.Faults > 0 {
			t.Errorf("%+v", run)
		}
		b.restored()
	})
}
