package repo_test

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// A document that V1 spells in its own way says the same.
func TestADocumentThatV1SpellsAnew(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := broughtWell(t, url, functions[docV1, docV2]{
			up:   func(v docV1) docV2 { return docV2{ID: v.ID, Doc: v.Doc} },
			down: func(v docV2) docV1 { return docV1{v.ID, v.Doc} },
			keep: func(to *docV2, from docV2) { to.Extra = from.Extra },
		}, "CREATE TABLE docs (id varchar(40) PRIMARY KEY, doc jsonb NOT NULL)")
		const document = `{"b":1e2,"a":[2,{"d":1,"c":null}]}`
		for _, key := range []string{"a", "b"} {
			told, err := b.CreateV2(t.Context(), docV2{ID: key, Doc: json.RawMessage(document), Extra: new("e")})
			if err != nil {
				t.Fatal(err)
			}
			read, err := b.GetV2(t.Context(), key)
			if err != nil || string(read.Value.Doc) != string(told.Value.Doc) || read.Value.Extra == nil {
				t.Errorf("told %s, read %s, %v", told.Value.Doc, read.Value.Doc, err)
			}
			if key == "a" {
				b.inContract()
			}
		}
		b.restored()
	})
}

// What cannot work is refused in one line that says what to do.
func TestModelsThatAreRefused(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	refused := func(err error, parts ...string) {
		t.Helper()
		for _, part := range append(parts, "THING") {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%v does not say %q", err, part)
			}
		}
	}
	_, err := bring(t, url, functions[tsV1, tsV2]{}, nil,
		"CREATE TABLE tss (id varchar(40) PRIMARY KEY, at timestamptz NOT NULL)")
	refused(err, "rounds", "timestamptz")
	_, err = bring(t, url, functions[docV1, rawV2]{}, nil,
		"CREATE TABLE docs (id varchar(40) PRIMARY KEY, doc jsonb NOT NULL)")
	refused(err, "declare it as json")
	_, err = bring(t, url, functions[docV1, posV2]{}, nil)
	refused(err, "position", "another column")
	_, err = bring(t, url, functions[docV1, seqV2]{}, nil)
	refused(err, "coexist_seq", "another column")
	_, err = bring(t, url, functions[docV1, readSeqV2]{}, nil)
	refused(err, "read_seq", "another column")
	_, err = bring(t, url, functions[docV1, docV1]{}, nil)
	refused(err, "docs", "also a table of THING's V1", "another name")
	_, err = bring(t, url, functions[hiddenV1, docV2]{}, nil)
	refused(err, "Secret", "read as zero")
	_, err = bring(t, url, functions[spelledV1, docV2]{}, nil)
	refused(err, "N", "string")
	_, err = bring(t, url, functions[quotedV1, docV2]{}, nil)
	refused(err, "it's", "encoding/json")
	_, err = bring(t, url, functions[doubledV1, docV2]{}, nil)
	refused(err, "columns id and other", "one JSON name")
	_, err = bring(t, url, functions[pointedV1, docV2]{}, nil)
	refused(err, "embedded as a pointer")
	_, err = bring(t, url, functions[anyV1, docV2]{}, nil)
	refused(err, "Doc", "json.RawMessage")
	_, err = bring(t, url, functions[bytesV1, docV2]{}, nil, "CREATE TABLE byteses (id varchar(40) PRIMARY KEY, raw uuid NOT NULL)")
	refused(err, "column raw", "UnmarshalJSON")
	url = repotest.SQLite(t)
	_, err = bring(t, url, functions[bytesV1, docV2]{}, nil, "CREATE TABLE byteses (id varchar(40) PRIMARY KEY, raw text NOT NULL)")
	refused(err, "column raw", "UnmarshalJSON")
	_, err = bring(t, url, functions[slashedV1, docV2]{}, nil)
	refused(err, `a"b`, "quote")
	_, err = bring(t, url, functions[docV1, docV2]{}, nil, "CREATE TABLE docs (id varchar(40) PRIMARY KEY, doc text NOT NULL)")
	refused(err, "column doc", "UnmarshalJSON")
}

// Two entities that share a table of V2 would read and delete each other's rows.
func TestAV2TableOfTwoEntities(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := repotest.DescribeNotes(t, url, repotest.Setup{})
		for name, err := range map[string]error{
			"V2 as V2": describe[repotest.CommentV1, repotest.NoteV2](b.DB),
			"V2 as V1": describe[repotest.CommentV1, repotest.NoteV1](b.DB),
			"V1 as V2": describe[repotest.NoteV2, docV2](b.DB),
		} {
			if err == nil || !strings.Contains(err.Error(), "is also a table of NOTE's V") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func describe[V1, V2 any](db *repo.DB) error {
	_, err := repo.New(db, repo.Definition[V1, V2]{Name: "THING", Mapping: functions[V1, V2]{}})
	return err
}

type readSeqV2 struct {
	ID  string `gorm:"type:varchar(40);primaryKey" json:"id"`
	Seq int64  `gorm:"column:read_seq;type:bigint" json:"seq"`
}

func (readSeqV2) TableName() string { return "seqs_v2" }

// bytesV1 holds a UUID as bytes that do not know its text.
type bytesV1 struct {
	ID  string   `gorm:"type:varchar(40);primaryKey" json:"id"`
	Raw [16]byte `gorm:"type:uuid" json:"raw"`
}

func (bytesV1) TableName() string { return "byteses" }

type hiddenV1 struct {
	ID     string `gorm:"type:varchar(40);primaryKey" json:"id"`
	Secret string `gorm:"type:text" json:"-"`
}

type spelledV1 struct {
	ID string `gorm:"type:varchar(40);primaryKey" json:"id"`
	N  int64  `gorm:"type:bigint" json:"n,string"`
}

type quotedV1 struct {
	ID string `gorm:"type:varchar(40);primaryKey" json:"id"`
	N  int64  `gorm:"type:bigint" json:"it's"` //nolint:staticcheck // that is the point
}

type doubledV1 struct {
	ID string `gorm:"type:varchar(40);primaryKey" json:"id"`
	OtherOf
}

// OtherOf is embedded, so it has to be exported.
type OtherOf struct {
	Other string `gorm:"type:text" json:"id"`
}

type placeOf struct {
	City string `gorm:"type:text" json:"city"`
}

type pointedV1 struct {
	ID    string   `gorm:"type:varchar(40);primaryKey" json:"id"`
	Place *placeOf `gorm:"embedded" json:"place"`
}

type anyV1 struct {
	ID  string         `gorm:"type:varchar(40);primaryKey" json:"id"`
	Doc map[string]any `gorm:"type:json;serializer:json" json:"doc"`
}

type slashedV1 struct {
	ID string `gorm:"type:varchar(40);primaryKey" json:"id"`
	N  int64  `gorm:"column:a\"b;type:bigint" json:"n"`
}

// Names of tables and columns that look like arguments and placeholders are names.
func TestNamesLikePlaceholders(t *testing.T) {
	t.Parallel()
	mapping := functions[trickyV1, trickyV2]{
		up: func(v trickyV1) trickyV2 {
			w := trickyV2{ID: v.ID, Paid: v.Paid, Lines: []trickyLineV2{}}
			for _, l := range v.Lines {
				w.Lines = append(w.Lines, trickyLineV2(l))
			}
			return w
		},
		down: func(v trickyV2) trickyV1 {
			w := trickyV1{ID: v.ID, Paid: v.Paid, Lines: []trickyLineV1{}}
			for _, l := range v.Lines {
				w.Lines = append(w.Lines, trickyLineV1(l))
			}
			return w
		},
	}
	repotest.Each(t, func(t *testing.T, url string) {
		b := broughtWell(t, url, mapping,
			`CREATE TABLE "a{key}z %s ?" ("id? %s {marks}" bigint PRIMARY KEY, "paid? %d {v2}" boolean NOT NULL)`,
			`CREATE TABLE "lines %s? {key}" ("of %s?" bigint NOT NULL REFERENCES "a{key}z %s ?", "nr?" integer NOT NULL,
				"what %s {?}" text, PRIMARY KEY ("of %s?", "nr?"))`,
			`INSERT INTO "a{key}z %s ?" VALUES (1, true), (2, false)`,
			`INSERT INTO "lines %s? {key}" VALUES (1, 1, 'x')`)
		b.swept()
		made, err := b.CreateV1(t.Context(), trickyV1{Paid: true, Lines: []trickyLineV1{{Nr: 1, What: new("y")}}})
		if err != nil {
			t.Fatal(err)
		}
		b.inContract()
		for _, key := range []string{"1", strconv.FormatInt(made.ID, 10)} {
			if _, err := b.UpdateV2(t.Context(), key, nil, func(v *trickyV2) error {
				v.Paid, v.Lines[0].What = false, new("z")
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Delete(t.Context(), "2", nil); err != nil {
			t.Fatal(err)
		}
		b.restored()
		v1, err := b.GetV1(t.Context(), "1")
		if err != nil || v1.Paid || len(v1.Lines) != 1 || *v1.Lines[0].What != "z" {
			t.Errorf("%+v, %v", v1, err)
		}
	})
}

type trickyV1 struct {
	ID    int64          `gorm:"column:id? %s {marks};type:bigint;primaryKey" json:"id"`
	Paid  bool           `gorm:"column:paid? %d {v2};type:boolean" json:"paid"`
	Lines []trickyLineV1 `gorm:"-" repo:"table:lines %s? {key};key:of %s?" json:"lines"`
}

func (trickyV1) TableName() string { return "a{key}z %s ?" }

type trickyLineV1 struct {
	Nr   int32   `gorm:"column:nr?;type:integer;primaryKey" json:"nr"`
	What *string `gorm:"column:what %s {?};type:text" json:"what"`
}

type trickyV2 struct {
	ID    int64          `gorm:"column:id %s ?{key};type:bigint;primaryKey" json:"id"`
	Paid  bool           `gorm:"column:paid? {v1} %s;type:boolean" json:"paid"`
	Lines []trickyLineV2 `gorm:"-" repo:"table:v2 lines %s? {mark};key:of? %s" json:"lines"`
}

func (trickyV2) TableName() string { return "v2 {key list} %s ?" }

type trickyLineV2 struct {
	Nr   int32   `gorm:"column:nr %s?;type:integer" json:"nr"`
	What *string `gorm:"column:what {name}?;type:text" json:"what"`
}
