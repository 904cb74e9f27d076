package repo_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
)

type rootV1 struct {
	ID   int64   `gorm:"type:bigint;primaryKey" json:"id"`
	Code int64   `gorm:"type:bigint" json:"code"`
	Legs []legV1 `gorm:"-" repo:"table:legs;key:root" json:"legs"`
}

func (rootV1) TableName() string { return "roots" }

type legV1 struct {
	Nr   int64  `gorm:"type:bigint;primaryKey" json:"nr"`
	Name string `gorm:"type:text" json:"name"`
}

type rootV2 struct {
	ID   int64   `gorm:"type:bigint;primaryKey" json:"id"`
	Code int64   `gorm:"type:bigint" json:"code"`
	Legs []legV2 `gorm:"-" repo:"table:legs_v2;key:root" json:"legs"`
}

func (rootV2) TableName() string { return "roots_v2" }

type legV2 struct {
	Nr   int64  `gorm:"type:bigint" json:"nr"`
	Name string `gorm:"type:text" json:"name"`
}

var rootMap = functions[rootV1, rootV2]{
	up: func(v rootV1) rootV2 {
		w := rootV2{ID: v.ID, Code: v.Code, Legs: []legV2{}}
		for _, l := range v.Legs {
			w.Legs = append(w.Legs, legV2(l))
		}
		return w
	},
	down: func(v rootV2) rootV1 {
		w := rootV1{ID: v.ID, Code: v.Code, Legs: []legV1{}}
		for _, l := range v.Legs {
			w.Legs = append(w.Legs, legV1(l))
		}
		return w
	},
}

type twoV1 struct {
	ID int64   `gorm:"type:bigint;primaryKey" json:"id"`
	A  []legV1 `gorm:"-" repo:"table:legs;key:root" json:"a"`
	B  []legV1 `gorm:"-" repo:"table:legs;key:root" json:"b"`
}

func (twoV1) TableName() string { return "roots" }

type twoV2 struct {
	ID int64   `gorm:"type:bigint;primaryKey" json:"id"`
	A  []legV2 `gorm:"-" repo:"table:legs_v2;key:root" json:"a"`
	B  []legV2 `gorm:"-" repo:"table:legs_v2b;key:root" json:"b"`
}

func (twoV2) TableName() string { return "roots_v2" }

type oneV1 struct {
	ID int64   `gorm:"type:bigint;primaryKey" json:"id"`
	A  []legV1 `gorm:"-" repo:"table:legs;key:root" json:"a"`
	B  []legV1 `gorm:"-" repo:"table:legsb;key:root" json:"b"`
}

func (oneV1) TableName() string { return "roots" }

type oneV2 struct {
	ID int64   `gorm:"type:bigint;primaryKey" json:"id"`
	A  []legV2 `gorm:"-" repo:"table:legs_v2;key:root" json:"a"`
	B  []legV2 `gorm:"-" repo:"table:legs_v2;key:root" json:"b"`
}

func (oneV2) TableName() string { return "roots_v2" }

func legsUp(legs []legV1) []legV2 {
	w := []legV2{}
	for _, l := range legs {
		w = append(w, legV2(l))
	}
	return w
}

func legsDown(legs []legV2) []legV1 {
	w := []legV1{}
	for _, l := range legs {
		w = append(w, legV1(l))
	}
	return w
}

type nullV1 struct {
	ID   int64    `gorm:"type:bigint;primaryKey" json:"id"`
	Legs []nlegV1 `gorm:"-" repo:"table:legs;key:root" json:"legs"`
}

func (nullV1) TableName() string { return "roots" }

type nlegV1 struct {
	Nr   *int64 `gorm:"type:bigint;primaryKey" json:"nr"`
	Name string `gorm:"type:text" json:"name"`
}

type nullV2 struct {
	ID   int64    `gorm:"type:bigint;primaryKey" json:"id"`
	Legs []nlegV2 `gorm:"-" repo:"table:legs_v2;key:root" json:"legs"`
}

func (nullV2) TableName() string { return "roots_v2" }

type nlegV2 struct {
	Nr   *int64 `gorm:"type:bigint" json:"nr"`
	Name string `gorm:"type:text" json:"name"`
}

type arrV1 struct {
	ID string `gorm:"type:text;primaryKey" json:"id"`
}

func (arrV1) TableName() string { return "arrs" }

type arrV2 struct {
	ID  string     `gorm:"type:text;primaryKey" json:"id"`
	Num *[]float64 `gorm:"type:numeric(10,2)[]" json:"num"`
	Ch  *[]string  `gorm:"type:char(3)[]" json:"ch"`
	Rl  *[]float64 `gorm:"type:real[]" json:"rl"`
	Day *[]string  `gorm:"type:date[]" json:"day"`
}

func (arrV2) TableName() string { return "arrs_v2" }

type idnV1 struct {
	ID   int64   `gorm:"type:bigint;primaryKey" json:"id"`
	Seq  int64   `gorm:"type:bigint;default:0" json:"seq"`
	Legs []legV1 `gorm:"-" repo:"table:legs;key:root" json:"legs"`
}

func (idnV1) TableName() string { return "roots" }

type idnV2 struct {
	ID   int64   `gorm:"type:bigint;primaryKey" json:"id"`
	Seq  int64   `gorm:"type:bigint" json:"seq"`
	Legs []legV2 `gorm:"-" repo:"table:legs_v2;key:root" json:"legs"`
}

func (idnV2) TableName() string { return "roots_v2" }

var idnMap = functions[idnV1, idnV2]{
	up:   func(v idnV1) idnV2 { return idnV2{v.ID, v.Seq, legsUp(v.Legs)} },
	down: func(v idnV2) idnV1 { return idnV1{v.ID, v.Seq, legsDown(v.Legs)} },
}

type compV1 struct {
	ID   string           `gorm:"type:text;primaryKey" json:"id"`
	Addr *json.RawMessage `gorm:"type:addr" json:"addr"`
}

func (compV1) TableName() string { return "comps" }

type compV2 struct {
	ID   string           `gorm:"type:text;primaryKey" json:"id"`
	Addr *json.RawMessage `gorm:"type:addr" json:"addr"`
	More *json.RawMessage `gorm:"type:addr" json:"more"`
}

func (compV2) TableName() string { return "comps_v2" }

// refusedWith fails where tables are not refused at the start, in one line that has the parts.
func refusedWith[V1, V2 any](t *testing.T, database string, m repo.Mapping[V1, V2], part string, statements ...string) {
	t.Helper()
	on(t, database, func(t *testing.T, url string) {
		_, err := bring(t, url, m, nil, statements...)
		if err == nil || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v does not say %q", err, part)
		}
	})
}

// Tables and models with which writes would be lost, or answers wrong, are refused at the start.
func TestTablesThatAreRefused(t *testing.T) {
	t.Parallel()
	const oneRoot = "CREATE TABLE roots (id bigint NOT NULL PRIMARY KEY)"
	legs := "CREATE TABLE legs (root bigint NOT NULL REFERENCES roots, nr bigint NOT NULL, name text NOT NULL, PRIMARY KEY (root, nr))"
	t.Run("a child that refers by another column", func(t *testing.T) { // the guard is checkParents
		refusedWith(t, "", rootMap, "refers to code of roots, which is not its key id",
			"CREATE TABLE roots (id bigint NOT NULL PRIMARY KEY, code bigint NOT NULL UNIQUE)",
			"CREATE TABLE legs (root bigint NOT NULL REFERENCES roots (code), nr bigint NOT NULL, name text NOT NULL, PRIMARY KEY (root, nr))")
	})
	t.Run("two lists of one table", func(t *testing.T) {
		refusedWith(t, "", functions[twoV1, twoV2]{}, "another list of the rows of table legs", oneRoot, legs)
	})
	t.Run("two lists of one table of V2", func(t *testing.T) {
		refusedWith(t, "", functions[oneV1, oneV2]{}, "another list of the rows of table legs_v2", oneRoot, legs)
	})
	t.Run("a key that may be NULL", func(t *testing.T) {
		refusedWith(t, "", functions[nullV1, nullV2]{}, "nr is a key, which is never NULL", oneRoot, legs)
	})
	t.Run("an identity column that no update can set", func(t *testing.T) {
		refusedWith(t, "postgres", idnMap, "column seq of table roots is GENERATED ALWAYS AS IDENTITY",
			"CREATE TABLE roots (id bigint PRIMARY KEY, seq bigint GENERATED ALWAYS AS IDENTITY)", legs)
	})
	t.Run("arrays of V2 that round", func(t *testing.T) {
		refusedWith(t, "postgres", functions[arrV1, arrV2]{}, "rounds", "CREATE TABLE arrs (id text PRIMARY KEY)")
	})
	t.Run("composite types of V2", func(t *testing.T) {
		refusedWith(t, "postgres", functions[compV1, compV2]{}, "column addr of",
			"CREATE TYPE addr AS (city text, zip integer)", "CREATE TABLE comps (id text PRIMARY KEY, addr addr)")
	})
	t.Run("a key of a domain over an enum", func(t *testing.T) {
		refusedWith(t, "postgres", functions[moodV1, moodV2]{}, "is of a domain over",
			"CREATE TYPE mood AS ENUM ('sad', 'ok')", "CREATE DOMAIN dmood AS mood",
			"CREATE TABLE moods (id dmood PRIMARY KEY, at mood)")
	})
	t.Run("names of what is in the database", func(t *testing.T) {
		refusedWith(t, "postgres", functions[namedV1, namedV2]{}, "follows search_path",
			"CREATE TABLE named (id text PRIMARY KEY, at regclass)")
	})
}

type moodV1 struct {
	ID string  `gorm:"type:mood;primaryKey" json:"id"`
	At *string `gorm:"type:mood" json:"at"`
}

func (moodV1) TableName() string { return "moods" }

type moodV2 struct {
	ID string  `gorm:"type:mood;primaryKey" json:"id"`
	At *string `gorm:"type:text" json:"at"`
}

func (moodV2) TableName() string { return "moods_v2" }

type namedV1 struct {
	ID string  `gorm:"type:text;primaryKey" json:"id"`
	At *string `gorm:"type:regclass" json:"at"`
}

func (namedV1) TableName() string { return "named" }

type namedV2 struct {
	ID string  `gorm:"type:text;primaryKey" json:"id"`
	At *string `gorm:"type:text" json:"at"`
}

func (namedV2) TableName() string { return "named_v2" }

type queryV1 struct {
	ID    string  `gorm:"type:text;primaryKey" json:"id"`
	Query *string `gorm:"type:tsquery" json:"query"`
}

func (queryV1) TableName() string { return "queries" }

type queryV2 struct {
	ID    string  `gorm:"type:text;primaryKey" json:"id"`
	Query *string `gorm:"type:text" json:"query"`
}

func (queryV2) TableName() string { return "queries_v2" }

// Domains are what they are made of, to the last. A value of bad syntax is the client's fault.
func TestDomainsAndBadSyntax(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := broughtWell(t, url, functions[queryV1, queryV2]{
			up:   func(v queryV1) queryV2 { return queryV2(v) },
			down: func(v queryV2) queryV1 { return queryV1(v) },
		},
			"CREATE DOMAIN short AS varchar(5)", "CREATE DOMAIN shorter AS short CHECK (VALUE <> 'bad')",
			"CREATE TABLE queries (id shorter PRIMARY KEY, query tsquery)", "INSERT INTO queries VALUES ('a', 'x & y')")
		b.swept()
		_, err := b.UpdateV1(t.Context(), "a", func(v *queryV1) error { v.Query = new("a b"); return nil })
		wantField[*repo.InputError](t, err, "")
		_, err = b.CreateV1(t.Context(), queryV1{ID: "longer"})
		wantField[*repo.InputError](t, err, "id")
		_, err = b.CreateV1(t.Context(), queryV1{ID: "bad"})
		wantField[*repo.InputError](t, err, "")
	})
}
