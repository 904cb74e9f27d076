package repo_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
	"github.com/alwaysup/coexist/value"
)

// Values of PostgreSQL's other types: documents, arrays, bytes.

type hexed []byte

func (h hexed) MarshalJSON() ([]byte, error) { return json.Marshal(`\x` + hex.EncodeToString(h)) }

func (h *hexed) UnmarshalJSON(document []byte) error {
	var text string
	if err := json.Unmarshal(document, &text); err != nil {
		return err
	}
	digits, ok := strings.CutPrefix(text, `\x`)
	if !ok {
		return fmt.Errorf("%q is not hexadecimal", text)
	}
	decoded, err := hex.DecodeString(digits)
	*h = decoded
	return err
}

type boxV1 struct {
	ID     string           `gorm:"type:varchar(40);primaryKey" json:"id"`
	Fixed  json.RawMessage  `gorm:"type:jsonb" json:"fixed"`
	Doc    *json.RawMessage `gorm:"type:json" json:"doc"`
	Tags   *[]string        `gorm:"type:text[]" json:"tags"`
	Floats *[]float64       `gorm:"type:double precision[]" json:"floats"`
	Reals  *[]float32       `gorm:"type:real[]" json:"reals"`
	Times  *[]time.Time     `gorm:"type:timestamp with time zone[]" json:"times"`
	Raw    *hexed           `gorm:"type:bytea" json:"raw"`
	Num    *value.Number    `gorm:"type:numeric" json:"num"`
	Flag   *bool            `gorm:"type:boolean" json:"flag"`
	Text   *string          `gorm:"type:text" json:"text"`
	Items  []boxItem        `gorm:"-" repo:"table:box_items;key:box" json:"items"`
}

func (boxV1) TableName() string { return "boxes" }

type boxItem struct {
	Nr   int32            `gorm:"type:integer;primaryKey" json:"nr"`
	Doc  *json.RawMessage `gorm:"type:json" json:"doc"`
	Tags *[]string        `gorm:"type:text[]" json:"tags"`
}

type boxV2 struct {
	ID     string           `gorm:"type:varchar(40);primaryKey" json:"id"`
	Fixed  json.RawMessage  `gorm:"type:json" json:"fixed"`
	Doc    *json.RawMessage `gorm:"type:json" json:"doc"`
	Tags   *[]string        `gorm:"type:text[]" json:"tags"`
	Floats *[]float64       `gorm:"type:double precision[]" json:"floats"`
	Reals  *[]float32       `gorm:"type:real[]" json:"reals"`
	Times  *[]time.Time     `gorm:"type:timestamp with time zone[]" json:"times"`
	Raw    *hexed           `gorm:"type:bytea" json:"raw"`
	Num    *value.Number    `gorm:"type:text" json:"num"`
	Flag   *bool            `gorm:"type:boolean" json:"flag"`
	Text   *string          `gorm:"type:text" json:"text"`
	Items  []boxItemV2      `gorm:"-" repo:"table:box_items_v2;key:box" json:"items"`
}

func (boxV2) TableName() string { return "boxes_v2" }

type boxItemV2 struct {
	Nr   int32            `gorm:"type:integer" json:"nr"`
	Doc  *json.RawMessage `gorm:"type:json" json:"doc"`
	Tags *[]string        `gorm:"type:text[]" json:"tags"`
}

var boxes = functions[boxV1, boxV2]{
	up: func(v boxV1) boxV2 {
		w := boxV2{
			ID: v.ID, Fixed: v.Fixed, Doc: v.Doc, Tags: v.Tags, Floats: v.Floats, Reals: v.Reals, Times: v.Times,
			Raw: v.Raw, Num: v.Num, Flag: v.Flag, Text: v.Text, Items: []boxItemV2{},
		}
		for _, item := range v.Items {
			w.Items = append(w.Items, boxItemV2(item))
		}
		return w
	},
	down: func(v boxV2) boxV1 {
		w := boxV1{
			ID: v.ID, Fixed: v.Fixed, Doc: v.Doc, Tags: v.Tags, Floats: v.Floats, Reals: v.Reals, Times: v.Times,
			Raw: v.Raw, Num: v.Num, Flag: v.Flag, Text: v.Text, Items: []boxItem{},
		}
		for _, item := range v.Items {
			w.Items = append(w.Items, boxItem(item))
		}
		return w
	},
}

var boxTables = []string{
	"CREATE TABLE boxes (id varchar(40) PRIMARY KEY, fixed jsonb NOT NULL DEFAULT '{}', doc json, tags text[], floats double precision[], reals real[], times timestamptz[], raw bytea, num numeric, flag boolean, text text)",
	"CREATE TABLE box_items (box varchar(40) NOT NULL REFERENCES boxes, nr integer NOT NULL, doc json, tags text[], PRIMARY KEY (box, nr))",
}

func openBoxes(t *testing.T, url string, statements ...string) brought[boxV1, boxV2] {
	t.Helper()
	return broughtWell(t, url, boxes, append(slices.Clone(boxTables), statements...)...)
}

func asJSON(v any) string {
	document, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(document)
}

// swept fails where a sweep does not migrate every row.
func (b brought[V1, V2]) swept() {
	b.t.Helper()
	run := b.run(func() (repo.Run, error) {
		return b.control.StartSweep(b.t.Context(), repo.SweepRequest{Entity: "THING", Actor: "test"})
	})
	if run.Status != repo.Succeeded || run.Quarantined > 0 {
		page, err := b.control.Quarantine(b.t.Context(), "THING", 3, "")
		b.t.Errorf("%+v: %+v, %v", run, page, err)
	}
}

// What goes by COPY is the same as what goes as a document. The guard is copied.
func TestDocumentsAndArraysInBulk(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := openBoxes(t, url, "INSERT INTO boxes (id, fixed) VALUES ('number', '{}'), ('text', '{}'), ('tags', '{}')",
			`INSERT INTO boxes (id, fixed) SELECT 'null' || i, 'null' FROM generate_series(1, 900) i`,
			`INSERT INTO boxes (id, fixed) SELECT 'digits' || i, '"1"' FROM generate_series(1, 900) i`,
			`INSERT INTO box_items SELECT 'number', i, '"123"', NULL FROM generate_series(1, 300) i`,
			`INSERT INTO box_items SELECT 'text', i, '"x"', NULL FROM generate_series(1, 300) i`,
			`INSERT INTO box_items SELECT 'tags', i, NULL, '{a,"b c","NULL"}' FROM generate_series(1, 300) i`)
		b.swept()
		for _, key := range []string{"number", "text", "tags", "null1", "digits1"} {
			v1, err := b.GetV1(t.Context(), key)
			v2, err2 := b.GetV2(t.Context(), key)
			if err != nil || err2 != nil || !v2.Copy.Stored || asJSON(v1) != asJSON(boxes.down(v2.Value)) {
				t.Errorf("%s: %.300s\n%.300s, %v, %v", key, asJSON(v1), asJSON(v2.Value), err, err2)
			}
		}
	})
}

type pageV1 struct {
	ID    string           `gorm:"type:varchar(40);primaryKey" json:"id"`
	Fixed json.RawMessage  `gorm:"type:jsonb" json:"fixed"`
	Doc   *json.RawMessage `gorm:"type:json" json:"doc"`
	Lines []pageLine       `gorm:"-" repo:"table:page_lines;key:page" json:"lines"`
}

func (pageV1) TableName() string { return "pages" }

type pageLine struct {
	Nr  int32            `gorm:"type:integer;primaryKey" json:"nr"`
	Doc *json.RawMessage `gorm:"type:json" json:"doc"`
}

type pageV2 struct {
	ID    string           `gorm:"type:varchar(40);primaryKey" json:"id"`
	Fixed json.RawMessage  `gorm:"type:json" json:"fixed"`
	Doc   *json.RawMessage `gorm:"type:json" json:"doc"`
	Lines []pageLineV2     `gorm:"-" repo:"table:page_lines_v2;key:page" json:"lines"`
}

func (pageV2) TableName() string { return "pages_v2" }

type pageLineV2 struct {
	Nr  int32            `gorm:"type:integer" json:"nr"`
	Doc *json.RawMessage `gorm:"type:json" json:"doc"`
}

// So it is where COPY takes the documents. The guard is writeCopyDocument.
func TestDocumentsInBulk(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		pages := functions[pageV1, pageV2]{
			up: func(v pageV1) pageV2 {
				w := pageV2{ID: v.ID, Fixed: v.Fixed, Doc: v.Doc, Lines: []pageLineV2{}}
				for _, l := range v.Lines {
					w.Lines = append(w.Lines, pageLineV2(l))
				}
				return w
			},
			down: func(v pageV2) pageV1 {
				w := pageV1{ID: v.ID, Fixed: v.Fixed, Doc: v.Doc, Lines: []pageLine{}}
				for _, l := range v.Lines {
					w.Lines = append(w.Lines, pageLine(l))
				}
				return w
			},
		}
		b := broughtWell(t, url, pages,
			"CREATE TABLE pages (id varchar(40) PRIMARY KEY, fixed jsonb NOT NULL, doc json)",
			"CREATE TABLE page_lines (page varchar(40) NOT NULL REFERENCES pages, nr integer NOT NULL, doc json, PRIMARY KEY (page, nr))",
			`INSERT INTO pages SELECT 'null' || i, 'null', NULL FROM generate_series(1, 900) i`,
			`INSERT INTO pages SELECT 'digits' || i, '"1"', '"\\ttab"' FROM generate_series(1, 900) i`,
			`INSERT INTO pages VALUES ('lines', '{"a": [1, null]}', '{"a": "b"}')`,
			`INSERT INTO page_lines SELECT 'lines', i, (ARRAY['"123"', '"x"', '{"a":1}', 'true'])[1 + i % 4]::json FROM generate_series(1, 800) i`)
		b.swept()
		for _, key := range []string{"null1", "digits1", "lines"} {
			v1, err := b.GetV1(t.Context(), key)
			v2, err2 := b.GetV2(t.Context(), key)
			if err != nil || err2 != nil || !v2.Copy.Stored || asJSON(v1) != asJSON(pages.down(v2.Value)) {
				t.Errorf("%s: %.300s\n%.300s, stored: %t, %v, %v", key, asJSON(v1), asJSON(v2.Value),
					v2.Copy.Stored, err, err2)
			}
		}
	})
}

// No setting of the database changes a value. The guard is spelledIn.
func TestValuesUnderOtherSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ setting, column, value, want string }{
		"double precision[]": {"extra_float_digits = 0", "floats", "'{0.30000000000000004}'", `[0.30000000000000004]`},
		"empty":              {"extra_float_digits = 0", "floats", "'{}'", `[]`},
		"real[]":             {"extra_float_digits = -2", "reals", "'{9.8765432}'", `[9.876543]`},
		"bytea":              {"bytea_output = escape", "raw", `'\x00ff5c'`, `"\\x00ff5c"`},
		"timestamptz[]": {
			`timezone = "America/New_York"`, "times", "'{1850-06-01 12:00+00}'",
			`["1850-06-01T12:00:00Z"]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, "postgres", func(t *testing.T, url string) {
				raw := repotest.Raw(t, repotest.Pinned(url))
				repotest.Exec(t, raw, alterDatabase("SET "+c.setting))
				b := openBoxes(t, url, fmt.Sprintf("INSERT INTO boxes (id, %s) VALUES ('a', %s)", c.column, c.value))
				b.swept()
				v1, err := b.GetV1(t.Context(), "a")
				v2, err2 := b.GetV2(t.Context(), "a")
				var fields map[string]json.RawMessage
				if err := json.Unmarshal([]byte(asJSON(v2.Value)), &fields); err != nil {
					t.Fatal(err)
				}
				if err != nil || err2 != nil || !v2.Copy.Stored || asJSON(v1) != asJSON(boxes.down(v2.Value)) ||
					string(fields[c.column]) != c.want {
					t.Errorf("%s, %s, %v, %v; want %s", asJSON(v1), asJSON(v2.Value), err, err2, c.want)
				}
				was := repotest.One[string](t, raw, "SELECT CAST("+c.column+" AS text) FROM boxes")
				b.inContract()
				if _, err := b.UpdateV2(t.Context(), "a", nil,
					func(v *boxV2) error { v.Text = new("changed"); return nil }); err != nil {
					t.Error(err)
				}
				b.restored()
				if is := repotest.One[string](t, raw, "SELECT CAST("+c.column+" AS text) FROM boxes"); is != was {
					t.Errorf("V1 has %s, and had %s", is, was)
				}
			})
		})
	}
}

// A null of JSON's is a value, where the column may not be NULL. The guard is holdsJSONNull.
func TestJSONNull(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := openBoxes(t, url, "INSERT INTO boxes (id, fixed) VALUES ('a', 'null'), ('b', '{}')")
		b.swept()
		if _, err := b.CreateV1(t.Context(), boxV1{ID: "c", Fixed: json.RawMessage("null")}); err != nil {
			t.Error(err)
		}
		if _, err := b.UpdateV2(t.Context(), "b", nil,
			func(v *boxV2) error { v.Fixed = json.RawMessage("null"); return nil }); err != nil {
			t.Error(err)
		}
		for _, key := range []string{"a", "b", "c"} {
			if r, err := b.GetV2(t.Context(), key); err != nil || string(r.Value.Fixed) != "null" || !r.Copy.Stored {
				t.Errorf("%s: %+v, %v", key, r, err)
			}
		}
		b.inContract()
		b.restored()
		if n := repotest.One[int64](t, repotest.Raw(t, repotest.Pinned(url)),
			"SELECT count(*) FROM boxes WHERE fixed = 'null'"); n != 3 {
			t.Errorf("V1 has %d", n)
		}
	})
}

type measuredV1 struct {
	ID   string  `gorm:"type:varchar(40);primaryKey" json:"id"`
	Rate float64 `gorm:"type:double precision" json:"rate"`
}

func (measuredV1) TableName() string { return "measured" }

type measuredV2 struct {
	ID   string  `gorm:"type:varchar(40);primaryKey" json:"id"`
	Rate float64 `gorm:"type:double precision" json:"rate"`
}

func (measuredV2) TableName() string { return "measured_v2" }

type ratedV1 struct {
	ID    string            `gorm:"type:varchar(40);primaryKey" json:"id"`
	Rate  float64           `gorm:"type:double precision" json:"rate"`
	Notes []json.RawMessage `gorm:"type:jsonb[]" json:"notes"`
}

func (ratedV1) TableName() string { return "rated" }

type ratedV2 struct {
	ID   string  `gorm:"type:varchar(40);primaryKey" json:"id"`
	Rate float64 `gorm:"type:double precision" json:"rate"`
}

func (ratedV2) TableName() string { return "rated_v2" }

// Lists are sorted by columns of other types. The guards are in decodeCursor; arrays and documents are refused at the
// start.
func TestSortsByOtherTypes(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		raw := repotest.Raw(t, url)
		repotest.Exec(t, raw, boxTables...)
		repotest.Exec(t, raw,
			"INSERT INTO boxes (id, flag, num, text) VALUES ('a', true, 1e400, repeat('b', 30000)), ('b', false, 1.0, 'x'), ('c', NULL, 1.00, repeat('b', 5000)), ('d', true, -5, NULL)")
		sortedBy := func(column string) (brought[boxV1, boxV2], error) {
			db, err := repo.Open(t.Context(), url, repo.Config{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			r, err := repo.New(db, repo.Definition[boxV1, boxV2]{
				Name: "THING", Mapping: boxes,
				InitialPhase: repo.Migrate, Sorts: map[string]repo.Sort{column: {V1: column, V2: column}},
			})
			if err != nil {
				t.Fatal(err)
			}
			return brought[boxV1, boxV2]{r, t, repo.NewControl(db)}, errors.Join(db.Install(t.Context()),
				db.Check(t.Context()))
		}
		for _, column := range []string{"tags", "fixed", "doc", "times"} {
			if _, err := sortedBy(column); err == nil || !strings.Contains(err.Error(),
				"by which no list can be sorted") {
				t.Errorf("%s: %v", column, err)
			}
		}
		for column, want := range map[string]string{"flag": "badc", "num": "dbca", "text": "cabd"} {
			b, err := sortedBy(column)
			if err != nil {
				t.Fatal(err)
			}
			var forth, back string
			for q := (repo.Query{Sort: column, First: new(1)}); ; {
				page, err := b.ListV1(t.Context(), q)
				if err != nil {
					t.Fatalf("%s after %s: %v", column, forth, err)
				}
				if len(page.Items) == 0 {
					break
				}
				forth += page.Items[0].Key
				q.After = &page.Items[0].Cursor
			}
			for q := (repo.Query{Sort: column, Last: new(1)}); ; {
				page, err := b.ListV1(t.Context(), q)
				if err != nil {
					t.Fatalf("%s before %s: %v", column, back, err)
				}
				if len(page.Items) == 0 {
					break
				}
				back = page.Items[0].Key + back
				q.Before = &page.Items[0].Cursor
			}
			if forth != want || back != want {
				t.Errorf("%s: %s, and back %s, want %s", column, forth, back, want)
			}
		}
	})
}
