package repo_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// Tables as adopters have brought them.

// functions is a mapping of three functions.
type functions[V1, V2 any] struct {
	up   func(V1) V2
	down func(V2) V1
	keep func(to *V2, from V2)
}

func (functions[V1, V2]) Version() int { return 1 }

func (m functions[V1, V2]) Upgrade(v1 V1) (V2, error) { return m.up(v1), nil }

func (m functions[V1, V2]) Downgrade(v2 V2) (V1, error) { return m.down(v2), nil }

func (m functions[V1, V2]) Merge(v1 V1, v2 V2) (V2, error) {
	r := m.up(v1)
	if m.keep != nil {
		m.keep(&r, v2)
	}
	return r, nil
}

// brought is an entity of an adopter's.
type brought[V1, V2 any] struct {
	*repo.Repository[V1, V2]
	t       *testing.T
	control *repo.Control
}

func bring[V1, V2 any](t *testing.T, url string, m repo.Mapping[V1, V2], references []repo.Reference,
	statements ...string,
) (b brought[V1, V2], err error) {
	t.Helper()
	repotest.Exec(t, repotest.Raw(t, url), statements...)
	db, err := repo.Open(t.Context(), url, repo.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	r, err := repo.New(db, repo.Definition[V1, V2]{
		Name: "THING", Mapping: m, InitialPhase: repo.Migrate,
		References: references,
	})
	if err == nil {
		err = db.Install(t.Context())
	}
	if err == nil {
		err = db.Check(t.Context())
	}
	return brought[V1, V2]{r, t, repo.NewControl(db)}, err
}

func broughtWell[V1, V2 any](t *testing.T, url string, m repo.Mapping[V1, V2], statements ...string) brought[V1, V2] {
	t.Helper()
	b, err := bring(t, url, m, nil, statements...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b brought[V1, V2]) step(to repo.Phase) {
	b.t.Helper()
	if _, err := b.control.SetPhase(b.t.Context(), repo.PhaseRequest{
		Entity: "THING", To: to, Actor: "test",
		Force: true, Reason: new("a test"),
	}); err != nil {
		b.t.Fatal(err)
	}
}

func (b brought[V1, V2]) run(start func() (repo.Run, error)) repo.Run {
	b.t.Helper()
	run, err := start()
	if err != nil {
		b.t.Fatal(err)
	}
	return endedOf(b.t, b.control, run)
}

func (b brought[V1, V2]) inContract() {
	b.t.Helper()
	b.run(func() (repo.Run, error) {
		return b.control.StartSweep(b.t.Context(), repo.SweepRequest{Entity: "THING", Actor: "test"})
	})
	b.step(repo.Cutover)
	b.step(repo.Contract)
}

// restored restores V1, goes back to CUTOVER, and verifies.
func (b brought[V1, V2]) restored() {
	b.t.Helper()
	run := b.run(func() (repo.Run, error) {
		return b.control.StartRestore(b.t.Context(), repo.RunRequest{Entity: "THING", Actor: "test"})
	})
	if run.Faults > 0 || run.Status != repo.Succeeded {
		page, err := b.control.Findings(b.t.Context(), run.ID, 10, "")
		b.t.Fatalf("%+v: %+v, %v", run, page.Findings, err)
	}
	if _, err := b.control.SetPhase(b.t.Context(), repo.PhaseRequest{
		Entity: "THING", To: repo.Cutover,
		Actor: "test",
	}); err != nil {
		b.t.Fatal(err)
	}
	if run := b.run(func() (repo.Run, error) {
		return b.control.StartVerification(b.t.Context(), repo.VerificationRequest{Entity: "THING", Actor: "test"})
	}); run.Red() {
		b.t.Errorf("%+v", run)
	}
}

type bagV1 struct {
	ID    int64   `gorm:"type:bigint;primaryKey" json:"id"`
	Name  string  `gorm:"type:varchar(8)" json:"name"`
	Items []itmV1 `gorm:"-" repo:"table:Bag Items;key:Bag Id" json:"items"`
}

func (bagV1) TableName() string { return "Bags" }

type itmV1 struct {
	K1  string `gorm:"column:select;type:varchar(20);primaryKey" json:"k1"`
	K2  int16  `gorm:"column:we ird;type:smallint;primaryKey" json:"k2"`
	Pos int32  `gorm:"column:Unit Price;type:integer" json:"pos"`
}

type bagV2 struct {
	ID    int64   `gorm:"type:bigint;primaryKey" json:"id"`
	Name  string  `gorm:"type:text" json:"name"`
	Items []itmV2 `gorm:"-" repo:"table:Bag V2 Items;key:Bag Id" json:"items"`
}

func (bagV2) TableName() string { return "Bags V2" }

type itmV2 struct {
	K1    string  `gorm:"column:select;type:text" json:"k1"`
	K2    int16   `gorm:"column:we ird;type:smallint" json:"k2"`
	Pos   int32   `gorm:"column:Unit Price;type:integer" json:"pos"`
	Extra *string `gorm:"column:ord" json:"extra"`
}

var bagMap = functions[bagV1, bagV2]{
	up: func(v bagV1) bagV2 {
		r := bagV2{ID: v.ID, Name: v.Name}
		for _, i := range v.Items {
			r.Items = append(r.Items, itmV2{K1: i.K1, K2: i.K2, Pos: i.Pos})
		}
		return r
	},
	down: func(v bagV2) bagV1 {
		r := bagV1{ID: v.ID, Name: v.Name}
		for _, i := range v.Items {
			r.Items = append(r.Items, itmV1{K1: i.K1, K2: i.K2, Pos: i.Pos})
		}
		return r
	},
	keep: func(to *bagV2, from bagV2) {
		for i := range to.Items {
			for _, o := range from.Items {
				if o.K1 == to.Items[i].K1 && o.K2 == to.Items[i].K2 {
					to.Items[i].Extra = o.Extra
				}
			}
		}
	},
}

func openBags(t *testing.T, url string) brought[bagV1, bagV2] {
	t.Helper()
	return broughtWell(t, url, bagMap, `CREATE TABLE "Bags" (id bigint NOT NULL PRIMARY KEY, name varchar(8) NOT NULL)`,
		`CREATE TABLE "Bag Items" ("Bag Id" bigint NOT NULL REFERENCES "Bags", "select" varchar(20) NOT NULL, "we ird" smallint NOT NULL, "Unit Price" integer NOT NULL, PRIMARY KEY ("Bag Id", "select", "we ird"))`,
		`INSERT INTO "Bags" VALUES (1, 'one')`,
		`INSERT INTO "Bag Items" VALUES (1, 'a', 1, 1), (1, 'a', 2, 2), (1, 'b', 1, 3)`)
}

// Two fields tell the child rows of a parent apart.
func TestChildRowsWithAKeyOfTwoFields(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := openBags(t, url)
		if _, err := b.UpdateV2(t.Context(), "1", nil, func(v *bagV2) error {
			v.Items[1].Pos, v.Items[1].Extra = 9,
				new("kept")
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if v1, err := b.UpdateV1(t.Context(), "1", func(v *bagV1) error {
			v.Items = append(v.Items[:0:0], v.Items[1],
				v.Items[2])
			return nil
		}); err != nil || len(v1.Items) != 2 || v1.Items[0].Pos != 9 {
			t.Errorf("%+v, %v", v1, err)
		}
		v2, err := b.GetV2(t.Context(), "1")
		if err != nil || len(v2.Value.Items) != 2 || v2.Value.Items[0].Extra == nil {
			t.Errorf("%+v, %v", v2, err)
		}
		b.inContract()
		b.restored()
	})
}

// V1 knows no order of child rows but that of their keys: what V2 has put in another order is restored, and is no
// difference.
func TestARestoreOfChildRowsInAnotherOrder(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := openBags(t, url)
		b.inContract()
		if _, err := b.UpdateV2(t.Context(), "1", nil, func(v *bagV2) error {
			v.Items[0], v.Items[2] = v.Items[2],
				v.Items[0]
			v.Name = "two"
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		b.restored()
		if v2, err := b.GetV2(t.Context(), "1"); err != nil || v2.Value.Items[0].K1 != "b" {
			t.Errorf("%+v, %v", v2, err)
		}
	})
}

// Nothing comes after the last number.
func TestNoKeyComesAfterTheLast(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := openBags(t, url)
		repotest.Exec(t, repotest.Raw(t, url), `INSERT INTO "Bags" VALUES (9223372036854775807, 'max')`)
		_, err := b.CreateV1(t.Context(), bagV1{Name: "x"})
		if _, ok := errors.AsType[*repo.InputError](err); !ok && !errors.Is(err, repo.ErrUnavailable) {
			t.Error(err)
		}
	})
}

// A condition with a value that no row can hold is met by none, or by all that come after it or before.
func TestConditionsWithValuesThatNoRowHolds(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := openBags(t, url)
		list := func(v1, v2 repo.Condition) int {
			t.Helper()
			page, err := b.ListV1(t.Context(), repo.Query{Where: []repo.Predicate{{V1: v1, V2: v2}}})
			if err != nil {
				t.Error(err)
				return -1
			}
			return len(page.Items)
		}
		for _, c := range []repo.Condition{
			repo.Contains("name", "a\x00"), repo.In("name", "a\xff"), repo.In("id", "x"),
			repo.In("id", uint64(1)<<63), repo.AtLeast("id", uint64(1)<<63),
		} {
			if n := list(c, c); n != 0 {
				t.Errorf("%d rows meet %+v", n, c)
			}
		}
		for n, c := range map[int]func(string) repo.Condition{
			0: func(column string) repo.Condition { return repo.AtLeast(column, int64(1)<<40) },
			1: func(column string) repo.Condition { return repo.AtMost(column, int64(1)<<40) },
		} {
			if found := list(repo.FirstChild("Bag Items", c("Unit Price")), repo.FirstChild("Bag V2 Items",
				c("Unit Price"))); found != n {
				t.Errorf("%d rows, want %d", found, n)
			}
		}
	})
}

type tsV1 struct {
	ID string    `gorm:"type:varchar(40);primaryKey" json:"id"`
	At time.Time `gorm:"type:timestamptz" json:"at"`
}

func (tsV1) TableName() string { return "tss" }

type tsV2 struct {
	ID string    `gorm:"type:varchar(40);primaryKey" json:"id"`
	At time.Time `gorm:"type:timestamptz(0)" json:"at"`
}

func (tsV2) TableName() string { return "tss_v2" }

type docV1 struct {
	ID  string          `gorm:"type:varchar(40);primaryKey" json:"id"`
	Doc json.RawMessage `gorm:"type:jsonb" json:"doc"`
}

func (docV1) TableName() string { return "docs" }

type docV2 struct {
	ID    string          `gorm:"type:varchar(40);primaryKey" json:"id"`
	Doc   json.RawMessage `gorm:"type:json" json:"doc"`
	Extra *string         `gorm:"type:text" json:"extra"`
}

func (docV2) TableName() string { return "docs_v2" }

type posV2 struct {
	ID    string    `gorm:"type:varchar(40);primaryKey" json:"id"`
	Items []posItem `gorm:"-" repo:"table:pos_items;key:node" json:"items"`
}

func (posV2) TableName() string { return "pos_v2" }

type posItem struct {
	Position int32 `gorm:"type:integer" json:"position"`
}

type seqV2 struct {
	ID  string `gorm:"type:varchar(40);primaryKey" json:"id"`
	Seq int64  `gorm:"column:coexist_seq;type:bigint" json:"seq"`
}

func (seqV2) TableName() string { return "seqs_v2" }

type rawV2 struct {
	ID  string          `gorm:"type:varchar(40);primaryKey" json:"id"`
	Doc json.RawMessage `gorm:"type:jsonb" json:"doc"`
}

func (rawV2) TableName() string { return "raws_v2" }

// A role that may read no more of V1's table than the model knows is told what blocks a step.
func TestAGateWithRightsOnColumns(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	openTree(t, url, nil, "ALTER TABLE nodes ADD COLUMN salary numeric", "INSERT INTO nodes VALUES ('m', NULL, 'e')")
	raw, role := repotest.Raw(t, url), repotest.NewRole(t, url)
	repotest.Exec(t, raw, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "+role,
		"REVOKE SELECT, INSERT, UPDATE ON nodes FROM "+role,
		"GRANT SELECT (id, parent, email), INSERT (id, parent, email), UPDATE (id, parent, email) ON nodes TO "+role)
	n := connectTree(t, repotest.WithUser(t, repotest.Pinned(url), role), nil)
	if _, err := n.control.Gate(t.Context(), "NODE", repo.Cutover); err != nil {
		t.Error(err)
	}
}
