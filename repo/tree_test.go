package repo_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// nodeV1 is a tree: a row refers to another of its table.
type nodeV1 struct {
	ID     string  `gorm:"type:varchar(40);primaryKey" json:"id"`
	Parent *string `gorm:"type:varchar(40)" json:"parent"`
	Email  string  `gorm:"type:text" json:"email"`
}

func (nodeV1) TableName() string { return "nodes" }

// nodeV2 has its key in another place than nodeV1.
type nodeV2 struct {
	Mail  string  `gorm:"type:text" json:"mail"`
	Extra *string `gorm:"type:text" json:"extra"`
	Above *string `gorm:"type:varchar(40)" json:"above"`
	ID    string  `gorm:"type:varchar(40);primaryKey" json:"id"`
}

func (nodeV2) TableName() string { return "nodes_v2" }

type nodeMapping struct{}

func (nodeMapping) Version() int { return 1 }
func (nodeMapping) Upgrade(v nodeV1) (nodeV2, error) {
	return nodeV2{ID: v.ID, Above: v.Parent, Mail: v.Email}, nil
}

func (m nodeMapping) Merge(v nodeV1, from nodeV2) (nodeV2, error) {
	to, err := m.Upgrade(v)
	to.Extra = from.Extra
	return to, err
}

func (nodeMapping) Downgrade(v nodeV2) (nodeV1, error) {
	return nodeV1{ID: v.ID, Parent: v.Above, Email: v.Mail}, nil
}

// tree is the entity NODE.
type tree struct {
	*repo.Repository[nodeV1, nodeV2]
	t       *testing.T
	control *repo.Control
}

func openTree(t *testing.T, url string, references []repo.Reference, rows ...string) tree {
	t.Helper()
	repotest.Exec(t, repotest.Raw(t, url), append(
		[]string{"CREATE TABLE nodes (id varchar(40) NOT NULL PRIMARY KEY, parent varchar(40) REFERENCES nodes, email text NOT NULL)"}, rows...)...)
	return connectTree(t, url, references)
}

func connectTree(t *testing.T, url string, references []repo.Reference) tree {
	t.Helper()
	db, err := repo.Open(t.Context(), url, repo.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	r, err := repo.New(db, repo.Definition[nodeV1, nodeV2]{
		Name: "NODE", Mapping: nodeMapping{},
		InitialPhase: repo.Migrate, References: references,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	return tree{r, t, repo.NewControl(db)}
}

func (n tree) step(to repo.Phase) {
	n.t.Helper()
	if _, err := n.control.SetPhase(n.t.Context(), repo.PhaseRequest{
		Entity: "NODE", To: to, Actor: "test", Force: true,
		Reason: new("a test"),
	}); err != nil {
		n.t.Fatal(err)
	}
}

func (n tree) inContract() {
	n.t.Helper()
	run, err := n.control.StartSweep(n.t.Context(), repo.SweepRequest{Entity: "NODE", Actor: "test"})
	if err != nil {
		n.t.Fatal(err)
	}
	endedOf(n.t, n.control, run)
	n.step(repo.Cutover)
	n.step(repo.Contract)
}

// restored restores V1, goes back to CUTOVER, and verifies.
func (n tree) restored() {
	n.t.Helper()
	run, err := n.control.StartRestore(n.t.Context(), repo.RunRequest{Entity: "NODE", Actor: "test"})
	if err != nil {
		n.t.Fatal(err)
	}
	if run = endedOf(n.t, n.control, run); run.Faults > 0 || run.Status != repo.Succeeded {
		page, err := n.control.Findings(n.t.Context(), run.ID, 10, "")
		n.t.Fatalf("%+v: %+v, %v", run, page.Findings, err)
	}
	if _, err := n.control.SetPhase(n.t.Context(), repo.PhaseRequest{
		Entity: "NODE", To: repo.Cutover,
		Actor: "test",
	}); err != nil {
		n.t.Fatal(err)
	}
	if run, err = n.control.StartVerification(n.t.Context(), repo.VerificationRequest{
		Entity: "NODE",
		Actor:  "test",
	}); err != nil {
		n.t.Fatal(err)
	}
	if run = endedOf(n.t, n.control, run); run.Red() {
		n.t.Errorf("%+v", run)
	}
}

func (n tree) create(id string, parent *string) {
	n.t.Helper()
	if _, err := n.CreateV1(n.t.Context(), nodeV1{ID: id, Parent: parent, Email: id}); err != nil {
		n.t.Error(err)
	}
}

func (n tree) move(id string, parent *string) {
	n.t.Helper()
	if _, err := n.UpdateV2(n.t.Context(), id, nil,
		func(v *nodeV2) error { v.Above = parent; return nil }); err != nil {
		n.t.Error(err)
	}
}

// A restore brings V1's rows up in an order that V1's foreign keys from the table to itself allow: rows that others
// refer to first, those that refer to what goes before it, and circles. The guards are before and beforeDelete of
// restorer.
func TestARestoreOfATree(t *testing.T) {
	t.Parallel()
	for name, references := range map[string][]repo.Reference{
		"V1 alone says so": nil,
		"a reference":      {{Column: "parent", ColumnV2: "above", Table: "nodes", Key: "id"}},
	} {
		t.Run(name, func(t *testing.T) {
			repotest.Each(t, func(t *testing.T, url string) {
				n := openTree(t, url, references,
					"INSERT INTO nodes VALUES ('m', NULL, 'e'), ('q', 'm', 'e'), ('r', 'q', 'e')")
				n.inContract()
				for _, node := range []struct {
					id     string
					parent *string
				}{
					{"z", nil},
					{"y", new("z")},
					{"x", new("y")},
					{"a", new("z")},
					{"b", new("x")},
					{"c", nil},
					{"d", new("c")},
				} { // children whose keys come first
					n.create(node.id, node.parent)
				}
				n.move("c", new("d")) // a circle
				n.move("r", nil)
				n.move("q", new("z"))
				if err := n.Delete(t.Context(), "m", nil); err != nil { // q refers to it in V1
					t.Error(err)
				}
				n.restored()
				for id, want := range map[string]string{"a": "z", "b": "x", "c": "d", "d": "c", "q": "z"} {
					if v1, err := n.GetV1(t.Context(), id); err != nil || v1.Parent == nil || *v1.Parent != want {
						t.Errorf("%s: %+v, %v", id, v1, err)
					}
				}
			})
		})
	}
}

// Clients write while V1 is being rebuilt: what V1 lacks of what they refer to, or has of what refers to what they
// delete, comes first. The guard is whileRestoring.
func TestWritesToATreeDuringARestore(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		n := openTree(t, url, nil, "INSERT INTO nodes VALUES ('m', NULL, 'e'), ('q', 'm', 'e')")
		n.inContract()
		n.create("z", nil)
		n.create("y", new("z"))
		n.move("q", nil)
		// nobody works on it
		run, err := n.control.StartRestore(t.Context(), repo.RunRequest{Entity: "NODE", Actor: "test"})
		if err != nil {
			t.Fatal(err)
		}
		n.create("x", new("y"))
		if err := n.Delete(t.Context(), "m", nil); err != nil {
			t.Error(err)
		}
		if _, err := n.control.CancelRun(t.Context(), run.ID); err != nil {
			t.Fatal(err)
		}
		n.restored()
	})
}

// A foreign key of V1's from the table to itself guards V2's rows no more in CONTRACT, unless a Reference says that it
// shall: the gate names it. The guard is deletable. A row may be its own parent all along.
func TestATreeInContract(t *testing.T) {
	t.Parallel()
	for name, references := range map[string][]repo.Reference{
		"V1 alone says so": nil,
		"a reference":      {{Column: "parent", ColumnV2: "above", Table: "nodes", Key: "id"}},
	} {
		t.Run(name, func(t *testing.T) {
			repotest.Each(t, func(t *testing.T, url string) {
				n := openTree(t, url, references, "INSERT INTO nodes VALUES ('m', NULL, 'e'), ('q', 'm', 'e')")
				run, err := n.control.StartSweep(t.Context(), repo.SweepRequest{Entity: "NODE", Actor: "test"})
				if err != nil {
					t.Fatal(err)
				}
				endedOf(t, n.control, run)
				n.step(repo.Cutover)
				blockers, err := n.control.Gate(t.Context(), "NODE", repo.Contract)
				if err != nil {
					t.Fatal(err)
				}
				warned := slices.ContainsFunc(blockers, func(b repo.Blocker) bool {
					return b.Code == repo.V1Logic &&
						strings.Contains(b.Message, "foreign key")
				})
				if warned != (references == nil) {
					t.Errorf("the gate says %+v", blockers)
				}
				n.step(repo.Contract)
				if err := n.Delete(t.Context(), "m", nil); references != nil && !errors.Is(err, repo.ErrConflict) {
					t.Error(err)
				}
				// another field says the same
				_, err = n.CreateV1(t.Context(), nodeV1{ID: "p", Parent: new("none"), Email: "none"})
				wantField[*repo.InputError](t, err, "parent")
				n.create("self", new("self"))
				n.move("self", nil)
				n.move("self", new("self"))
				if err := n.Delete(t.Context(), "self", nil); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A key may hold what separates keys from each other on the way to the triggers. The guard is joinKeys.
func TestKeysWithSeparators(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		keys := []string{"d", "a\x1fb", "\x1ec", "\x1e*\x1e", "\x01"}
		n := openTree(t, url, nil)
		for _, key := range keys {
			n.create(key, nil)
			n.move(key, new("d"))
		}
		n.inContract()
		for _, key := range keys {
			n.move(key, nil)
		}
		n.restored()
		if marks := repotest.One[int64](t, repotest.Raw(t, url), "SELECT count(*) FROM coexist_node_mark"); marks != 0 {
			t.Errorf("own writes have left %d marks", marks)
		}
	})
}

// What SQLite would refuse with each row is refused at the start.
func TestForeignKeysThatSQLiteCannotCheck(t *testing.T) {
	t.Parallel()
	for _, broken := range []string{"nowhere(id)", "owners(name)"} {
		url := repotest.SQLite(t)
		_, err := bring(t, url, repo.Mapping[nodeV1, nodeV2](nodeMapping{}), nil,
			"CREATE TABLE owners (id text PRIMARY KEY, name text)",
			"CREATE TABLE nodes (id varchar(40) NOT NULL PRIMARY KEY, parent varchar(40) REFERENCES "+broken+
				", email text NOT NULL)")
		if err == nil || !strings.Contains(err.Error(), broken) {
			t.Error(err)
		}
	}
	url := repotest.SQLite(t)
	if _, err := bring(t, url, repo.Mapping[nodeV1, nodeV2](nodeMapping{}), nil,
		"CREATE TABLE owners (id text PRIMARY KEY, name text UNIQUE)",
		"CREATE TABLE nodes (id varchar(40) NOT NULL PRIMARY KEY, parent varchar(40) REFERENCES Owners(NAME), email text NOT NULL)"); err != nil {
		t.Error(err)
	}
}
