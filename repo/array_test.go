package repo_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
	"github.com/alwaysup/coexist/value"
)

type listV1 struct {
	ID     string     `gorm:"type:varchar(40);primaryKey" json:"id"`
	Tags   []string   `gorm:"type:text[]" json:"tags"`
	Counts *[]int64   `gorm:"type:bigint[]" json:"counts"`
	Names  []*string  `gorm:"type:text[]" json:"names"`
	Items  []listItem `gorm:"-" repo:"table:list_items;key:list" json:"items"`
}

func (listV1) TableName() string { return "lists" }

type listItem struct {
	Nr    int32    `gorm:"type:integer;primaryKey" json:"nr"`
	Words []string `gorm:"type:text[]" json:"words"`
}

type listV2 struct {
	ID     string      `gorm:"type:varchar(40);primaryKey" json:"id"`
	Tags   []string    `gorm:"type:text[]" json:"tags"`
	Counts *[]int64    `gorm:"type:bigint[]" json:"counts"`
	Names  []*string   `gorm:"type:text[]" json:"names"`
	Items  []listItem2 `gorm:"-" repo:"table:list_items_v2;key:list" json:"items"`
}

func (listV2) TableName() string { return "lists_v2" }

type listItem2 struct {
	Nr    int32    `gorm:"type:integer" json:"nr"`
	Words []string `gorm:"type:text[]" json:"words"`
}

var lists = functions[listV1, listV2]{
	up: func(v listV1) listV2 {
		w := listV2{ID: v.ID, Tags: v.Tags, Counts: v.Counts, Names: v.Names, Items: []listItem2{}}
		for _, item := range v.Items {
			w.Items = append(w.Items, listItem2(item))
		}
		return w
	},
	down: func(v listV2) listV1 {
		w := listV1{ID: v.ID, Tags: v.Tags, Counts: v.Counts, Names: v.Names, Items: []listItem{}}
		for _, item := range v.Items {
			w.Items = append(w.Items, listItem(item))
		}
		return w
	},
}

// A NULL among the elements of an array is no empty text and no zero either. The guard is nullElement.
func TestNULLAmongElements(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		rows := []string{
			"('null', '{a,NULL}', NULL, '{}')", "('nulls', '{a}', '{1,NULL}', '{}')",
			"('item', '{a}', NULL, '{}')", "('kept', '{a,\"null\"}', '{1}', '{b,NULL}')",
		}
		statements := []string{
			"CREATE TABLE lists (id varchar(40) PRIMARY KEY, tags text[] NOT NULL, counts bigint[], names text[] NOT NULL)",
			"CREATE TABLE list_items (list varchar(40) NOT NULL REFERENCES lists, nr integer NOT NULL, words text[] NOT NULL, PRIMARY KEY (list, nr))",
		}
		for _, row := range rows {
			statements = append(statements, "INSERT INTO lists VALUES "+row)
		}
		b := broughtWell(t, url, lists, append(statements, "INSERT INTO list_items VALUES ('item', 1, '{NULL}')")...)
		for key, field := range map[string]string{
			"null": "tags[1]", "nulls": "counts[1]",
			"item": "items[0].words[0]",
		} {
			v1, err := b.GetV1(t.Context(), key)
			wantField[*repo.ConversionError](t, err, field)
			if whole, _ := errors.AsType[*repo.ConversionError](err); key == "nulls" &&
				(len(whole.Faults) != 1 || v1.Tags[0] != "a" || v1.Counts != nil) {
				t.Errorf("%+v, %+v", v1, whole)
			}
			_, err = b.GetV2(t.Context(), key)
			wantField[*repo.ConversionError](t, err, field)
			_, err = b.UpdateV1(t.Context(), key, func(v *listV1) error { v.Tags = append(v.Tags, "c"); return nil })
			wantField[*repo.ConversionError](t, err, field)
		}
		kept, err := b.UpdateV2(t.Context(), "kept", nil,
			func(v *listV2) error { v.Names = append(v.Names, new("c")); return nil })
		if err != nil || asJSON(kept.Value.Names) != `["b",null,"c"]` {
			t.Errorf("%s, %v", asJSON(kept), err)
		}
		if run := b.run(func() (repo.Run, error) {
			return b.control.StartSweep(t.Context(), repo.SweepRequest{Entity: "THING", Actor: "test"})
		}); run.Quarantined != 3 || run.Migrated != 0 {
			t.Errorf("%+v", run)
		}
	})
}

type gridV1 struct {
	ID    string         `gorm:"type:varchar(40);primaryKey" json:"id"`
	Cells [][]float64    `gorm:"type:double precision[]" json:"cells"`
	Times *[][]time.Time `gorm:"type:timestamp with time zone[]" json:"times"`
	Cube  *[][][]float32 `gorm:"type:real[]" json:"cube"`
	Words *[][]string    `gorm:"type:text[]" json:"words"`
	Text  string         `gorm:"type:text" json:"text"`
}

func (gridV1) TableName() string { return "grids" }

type gridV2 gridV1

func (gridV2) TableName() string { return "grids_v2" }

// Arrays of several dimensions are read as no setting has a say in. The guard is nested.
func TestArraysOfSeveralDimensions(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		raw := repotest.Raw(t, repotest.Pinned(url))
		repotest.Exec(t, raw, alterDatabase("SET extra_float_digits = -2"),
			alterDatabase(`SET timezone = "America/New_York"`))
		b := broughtWell(t, url, functions[gridV1, gridV2]{
			up:   func(v gridV1) gridV2 { return gridV2(v) },
			down: func(v gridV2) gridV1 { return gridV1(v) },
		},
			"CREATE TABLE grids (id varchar(40) PRIMARY KEY, cells double precision[] NOT NULL, times timestamptz[], cube real[], words text[], text text NOT NULL DEFAULT '')",
			`INSERT INTO grids VALUES ('a', '{{0.30000000000000004,1},{2,3},{4,5}}', '{{1850-06-01 12:00+00},{2026-01-31 12:00+00}}', '{{{1,2},{3,4},{5,6}},{{7,8},{9,10},{11.1234567,12}}}', '{{a,b},{c,"d\"]"}}')`,
			`INSERT INTO grids VALUES ('b', '{}', '{}', '[2:2][3:3][4:5]={{{1,2}}}', '{}')`)
		b.swept()
		v1, err := b.GetV1(t.Context(), "a")
		if want := `{"id":"a","cells":[[0.30000000000000004,1],[2,3],[4,5]],"times":[["1850-06-01T12:00:00Z"],["2026-01-31T07:00:00-05:00"]],` +
			`"cube":[[[1,2],[3,4],[5,6]],[[7,8],[9,10],[11.123457,12]]],"words":[["a","b"],["c","d\"]"]],"text":""}`; err != nil || asJSON(v1) != want {
			t.Errorf("%s, %v; want\n%s", asJSON(v1), err, want)
		}
		for _, cells := range [][][]float64{{{1}, {2, 3}}, {{}}, {nil}} {
			_, err := b.UpdateV1(t.Context(), "a", func(v *gridV1) error { v.Cells = cells; return nil })
			wantField[*repo.InputError](t, err, "cells")
			_, err = b.UpdateV2(t.Context(), "a", nil, func(v *gridV2) error { v.Cells = cells; return nil })
			wantField[*repo.InputError](t, err, "cells")
		}
		_, err = b.UpdateV1(t.Context(), "a", func(v *gridV1) error {
			v.Cube = &[][][]float32{
				{{1}, {2}},
				{{1, 2}, {3, 4}},
			}
			return nil
		})
		wantField[*repo.InputError](t, err, "cube")
		was := repotest.One[string](t, raw, "SELECT CAST(g AS text) FROM grids g WHERE id = 'a'")
		b.inContract()
		if _, err := b.UpdateV2(t.Context(), "a", nil,
			func(v *gridV2) error { v.Text = "changed"; return nil }); err != nil {
			t.Error(err)
		}
		b.restored()
		if is := repotest.One[string](t, raw,
			"SELECT CAST(g AS text) FROM grids g WHERE id = 'a'"); is != strings.Replace(was, `,"")`, ",changed)", 1) {
			t.Errorf("V1 has\n%s, and had\n%s", is, was)
		}
	})
}

type pricedV1 struct {
	ID     string            `gorm:"type:varchar(40);primaryKey" json:"id"`
	Prices []value.Number    `gorm:"type:numeric(10,2)[]" json:"prices"`
	Grid   *[][]value.Number `gorm:"type:numeric(10,2)[]" json:"grid"`
}

func (pricedV1) TableName() string { return "priced" }

type pricedV2 struct {
	ID     string            `gorm:"type:varchar(40);primaryKey" json:"id"`
	Prices []value.Number    `gorm:"type:text[]" json:"prices"`
	Grid   *[][]value.Number `gorm:"type:text[]" json:"grid"`
}

func (pricedV2) TableName() string { return "priced_v2" }

// Numbers in arrays become what their column makes of them, as single ones do. The guard is numbersIn.
func TestNumbersInArrays(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := broughtWell(t, url, functions[pricedV1, pricedV2]{
			up:   func(v pricedV1) pricedV2 { return pricedV2(v) },
			down: func(v pricedV2) pricedV1 { return pricedV1(v) },
		},
			"CREATE TABLE priced (id varchar(40) PRIMARY KEY, prices numeric(10,2)[] NOT NULL, grid numeric(10,2)[])",
			"INSERT INTO priced VALUES ('a', '{2.50}', '{{1.00,2},{3,4}}')")
		for _, phase := range []repo.Phase{repo.Migrate, repo.Cutover} {
			key := string(phase)
			v := pricedV1{ID: key, Prices: []value.Number{"2.50", "1.239"}, Grid: &[][]value.Number{{"1.00"}, {"7.125"}}}
			if phase == repo.Cutover {
				b.swept()
				b.step(phase)
			}
			if made, err := b.CreateV1(t.Context(), v); err != nil || asJSON(made.Prices) != "[2.5,1.24]" {
				t.Errorf("%+v, %v", made, err)
			}
			v1, err := b.UpdateV1(t.Context(), key, func(w *pricedV1) error { *w = v; return nil })
			if err != nil || asJSON(v1.Prices) != "[2.5,1.24]" || asJSON(v1.Grid) != "[[1],[7.13]]" {
				t.Errorf("%+v, %v", v1, err)
			}
			_, err = b.UpdateV1(t.Context(), key,
				func(w *pricedV1) error { w.Prices = []value.Number{"1", "123456789.5"}; return nil })
			wantField[*repo.InputError](t, err, "prices")
			v2, err := b.UpdateV2(t.Context(), key, nil,
				func(w *pricedV2) error { w.Prices = []value.Number{"3", "0.5"}; return nil })
			if err != nil || asJSON(v2.Value.Prices) != "[3,0.5]" {
				t.Errorf("%+v, %v", v2, err)
			}
			_, err = b.UpdateV2(t.Context(), key, nil,
				func(w *pricedV2) error { w.Prices = []value.Number{"3.125"}; return nil })
			wantField[*repo.NotRepresentableError](t, err, "prices")
		}
	})
}
