package repo_test

import (
	"database/sql"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
	"github.com/alwaysup/coexist/value"
)

type gaugeV1 struct {
	ID     int64         `gorm:"type:bigint;primaryKey" json:"id"`
	Single *value.Number `gorm:"type:real" json:"single"`
	Double *value.Number `gorm:"type:double precision" json:"double"`
	Exact  *value.Number `gorm:"type:numeric" json:"exact"`
	Float  *float64      `gorm:"type:double precision" json:"float"`
	At     *time.Time    `gorm:"type:timestamptz" json:"at"`
	Padded *string       `gorm:"type:char(9)" json:"padded"`
	Small  *int16        `gorm:"type:smallint" json:"small"`
	Flag   *bool         `gorm:"type:boolean" json:"flag"`
	Raw    *hexed        `gorm:"type:bytea" json:"raw"`
	Tags   *[]string     `gorm:"type:text[]" json:"tags"`
	Must   string        `gorm:"type:text" json:"must"`
	Reads  []gaugeReadV1 `gorm:"-" repo:"table:gauge_reads;key:gauge" json:"reads"`
	Other  others        `gorm:"type:jsonb;serializer:json" json:"other"`
}

// others is a document of any form.
type others map[string][]*float64

func (gaugeV1) TableName() string { return "gauges" }

type gaugeReadV1 struct {
	Nr   int16         `gorm:"type:smallint;primaryKey" json:"nr"`
	Unit string        `gorm:"type:varchar(10);primaryKey" json:"unit"`
	Read *value.Number `gorm:"type:real" json:"read"`
}

type gaugeV2 struct {
	ID     int64         `gorm:"type:bigint;primaryKey" json:"id"`
	Single *value.Number `gorm:"type:text" json:"single"`
	Double *value.Number `gorm:"type:text" json:"double"`
	Exact  *value.Number `gorm:"type:text" json:"exact"`
	Float  *float64      `gorm:"type:double precision" json:"float"`
	At     *time.Time    `gorm:"type:timestamptz" json:"at"`
	Padded *string       `gorm:"type:text" json:"padded"`
	Small  *int16        `gorm:"type:smallint" json:"small"`
	Flag   *bool         `gorm:"type:boolean" json:"flag"`
	Raw    *hexed        `gorm:"type:bytea" json:"raw"`
	Tags   *[]string     `gorm:"type:text[]" json:"tags"`
	Must   string        `gorm:"type:text" json:"must"`
	Reads  []gaugeReadV2 `gorm:"-" repo:"table:gauge_reads_v2;key:gauge" json:"reads"`
	Other  others        `gorm:"type:json;serializer:json" json:"other"`
}

func (gaugeV2) TableName() string { return "gauges_v2" }

type gaugeReadV2 struct {
	Nr   int16         `gorm:"type:smallint" json:"nr"`
	Unit string        `gorm:"type:text" json:"unit"`
	Read *value.Number `gorm:"type:text" json:"read"`
}

var gauges = functions[gaugeV1, gaugeV2]{
	up: func(v gaugeV1) gaugeV2 {
		w := gaugeV2{
			ID: v.ID, Single: v.Single, Double: v.Double, Exact: v.Exact, Float: v.Float, At: v.At, Padded: v.Padded,
			Small: v.Small, Flag: v.Flag, Raw: v.Raw, Tags: v.Tags, Must: v.Must, Other: v.Other, Reads: []gaugeReadV2{},
		}
		for _, r := range v.Reads {
			w.Reads = append(w.Reads, gaugeReadV2(r))
		}
		return w
	},
	down: func(v gaugeV2) gaugeV1 {
		w := gaugeV1{
			ID: v.ID, Single: v.Single, Double: v.Double, Exact: v.Exact, Float: v.Float, At: v.At, Padded: v.Padded,
			Small: v.Small, Flag: v.Flag, Raw: v.Raw, Tags: v.Tags, Must: v.Must, Other: v.Other, Reads: []gaugeReadV1{},
		}
		for _, r := range v.Reads {
			w.Reads = append(w.Reads, gaugeReadV1(r))
		}
		return w
	},
}

// A range read finds what the read by key finds, for random values of many types. Only what is unusual is left to the
// read by key.
func TestRangeReadsAreReadsByKey(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := broughtWell(t, url, gauges,
			`CREATE TABLE gauges (id bigint PRIMARY KEY, single real, "double" double precision, exact numeric,
				"float" double precision, at timestamptz, padded char(9), small smallint, flag boolean, raw bytea,
				tags text[], must text, other jsonb)`,
			`CREATE TABLE gauge_reads (gauge bigint REFERENCES gauges, nr smallint, unit varchar(10), read real,
				PRIMARY KEY (gauge, nr, unit))`)
		raw := repotest.Raw(t, url)
		const rows = 600
		insertGauges(t, raw, rows)
		repotest.Exec(t, raw, "UPDATE gauges SET must = NULL WHERE id = 7", "UPDATE gauges SET tags = '{a,NULL}' WHERE id = 8")
		compare := func(when string, unusual ...string) {
			t.Helper()
			compareReads(t, when, b.Repository, rows, unusual)
		}
		repotest.Exec(t, raw, "DELETE FROM coexist_thing_mark")
		compare("nothing is swept", "7", "8")
		b.run(func() (repo.Run, error) {
			return b.control.StartSweep(t.Context(), repo.SweepRequest{Entity: "THING", Actor: "test"})
		})
		compare("everything is swept", "7", "8")
		repotest.Exec(t, raw, "UPDATE gauges SET flag = NOT flag WHERE id = 9", "DELETE FROM gauges_v2 WHERE id = 10")
		compare("one was changed", "7", "8", "9")
	})
}

// compareReads holds the ways to read all rows against each other.
func compareReads[V1, V2 any](t *testing.T, when string, r *repo.Repository[V1, V2], rows int, unusual []string) {
	t.Helper()
	byRange, fromJSON, byKey, left, err := repo.ReadAllWays(t.Context(), r, "100000", 2*rows)
	if err != nil {
		t.Fatal(err)
	}
	if len(fromJSON) != rows || len(byRange) != rows || len(byKey) != rows {
		t.Fatalf("%s: %d by range, %d from JSON, %d by key", when, len(byRange), len(fromJSON), len(byKey))
	}
	for i := range fromJSON {
		if byRange[i] != fromJSON[i] {
			t.Errorf("%s: by range %s\nfrom JSON %s", when, byRange[i], fromJSON[i])
		}
		if byKey[i] != fromJSON[i] {
			t.Errorf("%s: by key %s\nfrom JSON %s", when, byKey[i], fromJSON[i])
		}
	}
	slices.Sort(unusual)
	if !slices.Equal(left, unusual) {
		t.Errorf("%s: left to the read by key: %v, want %v", when, left, unusual)
	}
}

// insertGauges inserts rows of random values, with the bits of their numbers at random.
func insertGauges(t *testing.T, raw *sql.DB, rows int) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same values each time
	maybe := func(v any) any {
		if r.IntN(8) == 0 {
			return nil
		}
		return v
	}
	for id := range rows {
		double := math.Float64frombits(r.Uint64())
		if r.IntN(3) == 0 {
			double = float64(r.IntN(100_000)) / 100
		}
		single := math.Float32frombits(r.Uint32())
		if r.IntN(3) == 0 {
			single = float32(r.IntN(100_000)) / 100
		}
		exact := []string{"0", "-0.00", "12.50", "NaN", "1e30", "0.000000000000000000001", strings.Repeat("9", 50)}
		at := time.Date(r.IntN(9000)+1, time.Month(r.IntN(12)+1), 5, 3, 4, 5, r.IntN(1_000_000)*1000, time.UTC)
		if _, err := raw.ExecContext(t.Context(), `INSERT INTO gauges VALUES ($1, $2, $3, CAST(CAST($4 AS text) AS numeric),
			$5, $6, $7, $8, $9, $10, CAST(CAST($11 AS text) AS text[]), $12, CAST(CAST($13 AS text) AS jsonb))`,
			id, maybe(single), maybe(double), maybe(exact[r.IntN(len(exact))]),
			maybe(float64(r.IntN(1_000_000))/1000), maybe(at), maybe("pad "+strings.Repeat("ä", r.IntN(4))),
			maybe(int16(r.IntN(65536)-32768)), maybe(r.IntN(2) == 0), maybe([]byte{byte(r.IntN(256)), 0, 255}),
			maybe([]string{`{}`, `{a,"b\"c"}`, `{"null"}`}[r.IntN(3)]), `t"'\`+"\t\n"+string(rune(r.IntN(0xd7ff)+1)),
			[]string{`{}`, `{"a": [1, null, 2.5], "b": null}`}[r.IntN(2)]); err != nil {
			t.Fatal(err)
		}
		for nr := range r.IntN(4) {
			if _, err := raw.ExecContext(t.Context(), `INSERT INTO gauge_reads VALUES ($1, $2, $3, $4)`, id, nr,
				[]string{"Zoll", "a b", "mm"}[r.IntN(3)], maybe(single*float32(nr))); err != nil {
				t.Fatal(err)
			}
		}
	}
}

type meterV1 struct {
	ID    int64         `gorm:"type:bigint;primaryKey" json:"id"`
	Name  string        `gorm:"type:varchar(40)" json:"name"`
	Note  *string       `gorm:"type:text" json:"note"`
	Count *int64        `gorm:"type:bigint" json:"count"`
	On    *bool         `gorm:"type:boolean" json:"on"`
	Exact *value.Number `gorm:"type:numeric" json:"exact"`
	Reads []meterRead   `gorm:"-" repo:"table:meter_reads;key:meter" json:"reads"`
}

func (meterV1) TableName() string { return "meters" }

type meterRead struct {
	Nr   int16   `gorm:"type:smallint;primaryKey" json:"nr"`
	Unit *string `gorm:"type:text" json:"unit"`
}

type meterV2 struct {
	ID    int64         `gorm:"type:bigint;primaryKey" json:"id"`
	Name  string        `gorm:"type:text" json:"name"`
	Note  *string       `gorm:"type:text" json:"note"`
	Count *int64        `gorm:"type:bigint" json:"count"`
	On    *bool         `gorm:"type:boolean" json:"on"`
	Exact *value.Number `gorm:"type:text" json:"exact"`
	Reads []meterReadV2 `gorm:"-" repo:"table:meter_reads_v2;key:meter" json:"reads"`
}

func (meterV2) TableName() string { return "meters_v2" }

type meterReadV2 struct {
	Nr   int16   `gorm:"type:smallint" json:"nr"`
	Unit *string `gorm:"type:text" json:"unit"`
}

// A column of SQLite may hold a value of any type, and each is read as the read by key reads it.
func TestRangeReadsOfAnyValue(t *testing.T) {
	t.Parallel()
	on(t, "sqlite", func(t *testing.T, url string) {
		b := broughtWell(t, url, functions[meterV1, meterV2]{
			up: func(v meterV1) meterV2 {
				w := meterV2{v.ID, v.Name, v.Note, v.Count, v.On, v.Exact, []meterReadV2{}}
				for _, r := range v.Reads {
					w.Reads = append(w.Reads, meterReadV2(r))
				}
				return w
			},
			down: func(v meterV2) meterV1 {
				w := meterV1{v.ID, v.Name, v.Note, v.Count, v.On, v.Exact, []meterRead{}}
				for _, r := range v.Reads {
					w.Reads = append(w.Reads, meterRead(r))
				}
				return w
			},
		}, `CREATE TABLE meters (id bigint PRIMARY KEY, name varchar(40), note text, count bigint, "on" boolean, exact numeric)`,
			`CREATE TABLE meter_reads (meter bigint REFERENCES meters, nr smallint, unit text, PRIMARY KEY (meter, nr))`)
		raw := repotest.Raw(t, url)
		values := []string{
			"'a'", "''", "NULL", "x'41'", "5", "-7.25", "1e300", "9e999", "'5'", "'5.50'", "char(0)", "'ä' || char(10) || '\"'",
			"CAST(x'ff' AS text)", "9007199254740993", "0", "1", "'true'", "3.0", "'NaN'", "123456789.123456789",
		}
		const rows = 400
		r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same values each time
		var meters, reads []string
		for id := range rows {
			some := func() string { return values[r.IntN(len(values))] }
			if id%2 == 0 { // only one odd value
				some = func() string { return "NULL" }
			}
			row := []string{"'n'", some(), some(), some(), some()}
			row[r.IntN(len(row))] = values[r.IntN(len(values))]
			meters = append(meters, fmt.Sprintf("(%d, %s)", id, strings.Join(row, ", ")))
			for nr := range r.IntN(3) {
				reads = append(reads, fmt.Sprintf("(%d, %d, %s)", id, nr, values[r.IntN(len(values))]))
			}
		}
		repotest.Exec(t, raw, "INSERT INTO meters VALUES "+strings.Join(meters, ", "),
			"INSERT INTO meter_reads VALUES "+strings.Join(reads, ", "))
		repotest.Exec(t, raw, "DELETE FROM coexist_thing_mark")
		_, _, _, unusual, err := repo.ReadAllWays(t.Context(), b.Repository, "100000", 2*rows)
		if err != nil || len(unusual) == 0 || len(unusual) > rows*3/4 {
			t.Errorf("%d of %d keys are unusual, %v", len(unusual), rows, err)
		}
		compareReads(t, "nothing is swept", b.Repository, rows, unusual)
		b.run(func() (repo.Run, error) {
			return b.control.StartSweep(t.Context(), repo.SweepRequest{Entity: "THING", Actor: "test"})
		})
		_, _, _, unusual, err = repo.ReadAllWays(t.Context(), b.Repository, "100000", 2*rows)
		if err != nil {
			t.Error(err)
		}
		compareReads(t, "everything is swept", b.Repository, rows, unusual)
	})
}
