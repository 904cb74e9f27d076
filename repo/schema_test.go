package repo_test

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// Keys of many types, in the database's own order.
func TestKeyTypes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		database, keyType string
		keys              []string // in order
	}{
		{"postgres", "character(5)", []string{"A", "AB", "ABCDE", "a b"}},
		{"postgres", "bpchar", []string{"A", "AB", "ABCDEFGH"}},
		{"postgres", `varchar(12) COLLATE "en-x-icu"`, []string{"a", "A", "ä", "B", "z"}},
		{"postgres", `text COLLATE "C"`, []string{"A", "B", "a", "z", "ä"}},
		{"sqlite", "TEXT COLLATE NOCASE", []string{"a", "B", "c", "ä"}},
		{"sqlite", "NVARCHAR(12)", []string{"B", "a", "ä"}},
	} {
		t.Run(c.keyType, func(t *testing.T) {
			url := repotest.SQLite(t)
			if c.database == "postgres" {
				url = repotest.Postgres(t)
			}
			createV1(t, url, c.keyType+" NOT NULL", "")
			repotest.Exec(t, repotest.Raw(t, url), "CREATE UNIQUE INDEX notes_key ON notes (id)")
			b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
			shuffled := slices.Clone(c.keys)
			slices.Reverse(shuffled)
			for i, key := range shuffled {
				if _, err := b.Notes.InsertV1(t.Context(), []repotest.NoteV1{note(key, key)}); err != nil {
					t.Fatalf("%d: %v", i, err)
				}
			}
			updateV2(t, b, c.keys[1], pin)
			for _, key := range []string{"A ", "ab", "D", "Z", strings.Repeat("x", 20)} {
				if _, err := b.Notes.GetV2(t.Context(), key); !slices.Contains(c.keys, key) {
					wantErr(t, err, repo.ErrNotFound)
				}
			}
			if run := sweep(t, b, repo.SweepRequest{}); run.Done != int64(len(c.keys)) ||
				run.Migrated != int64(len(c.keys)-1) || run.Quarantined != 0 {
				t.Errorf("the sweep is %+v", run)
			}
			if p := progress(t, b); p.Fraction() != 1 {
				t.Errorf("progress is %+v", p)
			}
			for shape, list := range shapes(t, b) {
				var keys []string
				q := repo.Query{First: new(2)}
				for {
					page, err := list(q)
					if err != nil {
						t.Fatal(err)
					}
					keys = append(keys, page.keys...)
					if !page.next {
						break
					}
					q.After = &page.cursors[len(page.cursors)-1]
				}
				if !slices.Equal(keys, c.keys) {
					t.Errorf("%s lists %q, want %q", shape, keys, c.keys)
				}
			}
			results, err := b.Notes.GetManyV2(t.Context(), c.keys)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range results {
				if r.Err != nil || !r.Value.Copy.Stored || len(r.Value.Value.Labels) < 2 || r.Value.Key != c.keys[i] {
					t.Errorf("%q is %+v", c.keys[i], r)
				}
			}
			updateV1(t, b, c.keys[0], func(n *repotest.NoteV1) { n.Tags = n.Tags[:1] })
			agree(t, b, c.keys[0])
			deleteNote(t, b, c.keys[0])
			if _, err := b.Notes.CreateV1(t.Context(), note(c.keys[0], "again")); err != nil {
				t.Error(err)
			}
			if r := agree(t, b, c.keys[0]); r.Version != 3 {
				t.Errorf("created again: %+v", r)
			}
		})
	}
}

// A key that the column would keep in another spelling is refused.
func TestKeysThatTheColumnChanges(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	createV1(t, url, "character(5)", "PRIMARY KEY")
	b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
	_, err := b.Notes.CreateV1(t.Context(), note("A ", "x"))
	wantField[*repo.InputError](t, err, "id")
	_, err = b.Notes.CreateV2(t.Context(), repotest.NoteV2{ID: "A ", Headline: "x"})
	wantField[*repo.InputError](t, err, "id")
}

// day fails on what is no day.
type day string

func (d *day) UnmarshalJSON(document []byte) error {
	var s string
	if err := json.Unmarshal(document, &s); err != nil {
		return err
	}
	if len(s) != len("2006-01-02") || s[4] != '-' || s[7] != '-' {
		return fmt.Errorf("%q is no day", s)
	}
	*d = day(s)
	return nil
}

type oddV1 struct {
	ID     int32    `gorm:"type:integer;primaryKey" json:"id"`
	Amount *float32 `gorm:"type:real" json:"amount"`
	Ratio  *float64 `gorm:"type:double precision" json:"ratio"`
	Due    *day     `gorm:"type:date" json:"due"`
	Open   *bool    `gorm:"type:boolean" json:"open"`
	Size   *int64   `gorm:"type:bigint" json:"size"`
	Text   *string  `gorm:"type:text" json:"text"`
}

func (oddV1) TableName() string { return "odd" }

type oddV2 struct {
	ID int32 `gorm:"type:integer;primaryKey" json:"id"`
	// Whole is the V1 row as it is.
	Whole string `gorm:"type:text" json:"whole"`
}

func (oddV2) TableName() string { return "odd_v2" }

type oddMapping struct{}

func (oddMapping) Version() int { return 1 }

func (oddMapping) Upgrade(v1 oddV1) (oddV2, error) {
	document, err := json.Marshal(v1)
	return oddV2{ID: v1.ID, Whole: string(document)}, err
}

func (m oddMapping) Merge(v1 oddV1, _ oddV2) (oddV2, error) { return m.Upgrade(v1) }

func (oddMapping) Downgrade(v2 oddV2) (v1 oddV1, err error) {
	return v1, json.Unmarshal([]byte(v2.Whole), &v1)
}

type eventV1 struct {
	ID int32     `gorm:"type:integer;primaryKey" json:"id"`
	At time.Time `json:"at"`
	N  uint64    `json:"n"`
}

func (eventV1) TableName() string { return "events" }

type eventV2 eventV1

func (eventV2) TableName() string { return "events_v2" }

type eventMapping struct{}

func (eventMapping) Version() int                                 { return 1 }
func (eventMapping) Upgrade(v1 eventV1) (eventV2, error)          { return eventV2(v1), nil }
func (eventMapping) Merge(v1 eventV1, _ eventV2) (eventV2, error) { return eventV2(v1), nil }
func (eventMapping) Downgrade(v2 eventV2) (eventV1, error)        { return eventV1(v2), nil }

// What a database would round or cannot hold is refused; the same instant in another zone is the same.
func TestTimesAndLargeNumbersAreKept(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		_, events, _ := openEntity(t, url, "EVENT", eventMapping{})
		at := time.Date(2026, 11, 27, 12, 0, 0, 123456000, time.FixedZone("", 2*60*60))
		written, err := events.CreateV2(t.Context(), eventV2{ID: 1, At: at, N: math.MaxInt64})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := events.GetV2(t.Context(), "1"); err != nil || !repo.Identical(got.Value, written.Value) ||
			!got.Value.At.Equal(at) || !got.Copy.Stored {
			t.Errorf("%+v was written, and read %+v, %v", written, got, err)
		}
		for field, v := range map[string]eventV1{
			"at": {ID: 2, At: at.Add(1)},
			"n":  {ID: 2, At: at, N: math.MaxInt64 + 1},
		} {
			wantField[*repo.InputError](t, errOf(events.CreateV1(t.Context(), v)), field)
			wantField[*repo.InputError](t, errOf(events.CreateV2(t.Context(), eventV2(v))), field)
		}
	})
}

func TestARowThatCannotBeScannedFailsAlone(t *testing.T) {
	t.Parallel()
	good := []string{
		"9.80000019, 0.1, '1996-07-04', true, 9007199254740993, 'x'",
		"-0.0, 1e-300, NULL, false, -9223372036854775808, ''", "NULL, NULL, NULL, NULL, NULL, NULL",
		"3.4028235e38, 1.7976931348623157e308, '0001-01-01', true, 9223372036854775807, '\"\\ 😀'",
	}
	bad := map[string]map[string]string{
		"postgres": {"amount": "'NaN'", "ratio": "'-Infinity'", "due": "'infinity'"},
		"sqlite": {
			"amount": "'9,80'", "ratio": "9e999", "due": "'1996-7-4'", "open": "7", "size": "1.5",
			"text": "x'00ff'",
		},
	}
	repotest.Each(t, func(t *testing.T, url string) {
		ctx := t.Context()
		db, err := repo.Open(ctx, url, repo.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close() //nolint:errcheck // the test is over
		odd, err := repo.New(db, repo.Definition[oddV1, oddV2]{
			Name: "ODD", Mapping: oddMapping{},
			InitialPhase: repo.Migrate,
		})
		if err != nil {
			t.Fatal(err)
		}
		raw := repotest.Raw(t, url)
		repotest.Exec(t, raw,
			"CREATE TABLE odd (id integer PRIMARY KEY, amount real, ratio double precision, due date, open boolean, size bigint, text text)")
		if err := db.Install(ctx); err != nil {
			t.Fatal(err)
		}
		if err := db.Check(ctx); err != nil {
			t.Fatal(err)
		}
		var keys, fields []string
		for i, values := range good {
			repotest.Exec(t, raw, fmt.Sprintf("INSERT INTO odd VALUES (%d, %s)", i+1, values))
			keys, fields = append(keys, fmt.Sprint(i+1)), append(fields, "")
		}
		database, _, _ := strings.Cut(url, ":")
		for field, value := range bad[database] {
			key := fmt.Sprint(len(keys) + 1)
			repotest.Exec(t, raw, fmt.Sprintf("INSERT INTO odd (id, %s) VALUES (%s, %s)", field, key, value))
			keys, fields = append(keys, key), append(fields, field)
		}
		for range 2 {
			v1, err := odd.GetManyV1(ctx, keys)
			if err != nil {
				t.Fatal(err)
			}
			v2, err := odd.GetManyV2(ctx, keys)
			if err != nil {
				t.Fatal(err)
			}
			page, err := odd.ListV2(ctx, repo.Query{First: new(100)})
			if err != nil || len(page.Items) != len(keys) {
				t.Fatalf("%+v, %v", page, err)
			}
			for i, field := range fields {
				if field == "" {
					back, err := oddMapping{}.Downgrade(v2[i].Value.Value)
					if v1[i].Err != nil || v2[i].Err != nil || err != nil || !repo.Identical(back, v1[i].Value) ||
						!v2[i].Value.Copy.Stored || page.Items[i].Err != nil {
						t.Errorf("%s: %+v, %+v", good[i], v1[i], v2[i])
					}
					continue
				}
				wantField[*repo.ConversionError](t, v1[i].Err, field)
				wantField[*repo.ConversionError](t, v2[i].Err, field)
				wantField[*repo.ConversionError](t, page.Items[i].Err, field)
				_, err := odd.UpdateV1(ctx, keys[i], func(*oddV1) error { return nil })
				wantField[*repo.ConversionError](t, err, field)
			}
		}
		// It can be deleted, for which nothing has to be read.
		if err := odd.Delete(ctx, keys[len(keys)-1], nil); err != nil {
			t.Error(err)
		}
		if v1, err := odd.GetV1(ctx, "1"); err != nil || *v1.Amount != float32(9.8) || *v1.Size != 9007199254740993 ||
			*v1.Ratio != 0.1 {
			t.Errorf("%+v, %v", v1, err)
		}
		if v1, err := odd.UpdateV1(ctx, "1", func(v *oddV1) error {
			v.Amount, v.Open = new(float32(0.15000001)),
				nil
			return nil
		}); err != nil || *v1.Amount != 0.15000001 || v1.Open != nil {
			t.Errorf("%+v, %v", v1, err)
		}
	})
}
