package repo_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
	"github.com/alwaysup/coexist/value"
)

// priceV1 has columns that owners of such tables choose among for money.
type priceV1 struct {
	ID       int32         `gorm:"type:integer;primaryKey" json:"id"`
	Narrow   *value.Number `gorm:"type:real" json:"narrow"`
	Wide     *value.Number `gorm:"type:double precision" json:"wide"`
	Exact    *value.Number `gorm:"type:numeric" json:"exact"`
	InCents  *value.Number `gorm:"type:numeric(10,2)" json:"inCents"`
	Anything *string       `gorm:"type:text" json:"anything"`
}

func (priceV1) TableName() string { return "prices" }

type priceV2 struct {
	ID    int32  `gorm:"type:integer;primaryKey" json:"id"`
	Whole string `gorm:"type:text" json:"whole"`
}

func (priceV2) TableName() string { return "prices_v2" }

type priceMapping struct{}

func (priceMapping) Version() int { return 1 }

func (priceMapping) Upgrade(v1 priceV1) (priceV2, error) {
	document, err := json.Marshal(v1)
	return priceV2{ID: v1.ID, Whole: string(document)}, err
}

func (m priceMapping) Merge(v1 priceV1, _ priceV2) (priceV2, error) { return m.Upgrade(v1) }

func (priceMapping) Downgrade(v2 priceV2) (v1 priceV1, err error) {
	return v1, json.Unmarshal([]byte(v2.Whole), &v1)
}

func openPrices(t *testing.T, url string) (*repo.Repository[priceV1, priceV2], *repo.Control) {
	t.Helper()
	_, prices, control := openEntity(t, url, "PRICE", priceMapping{})
	return prices, control
}

// openEntity opens a database with one entity in MIGRATE, whose tables it creates where they are not there.
func openEntity[V1, V2 any](t *testing.T, url, name string,
	mapping repo.Mapping[V1, V2],
) (*repo.DB, *repo.Repository[V1, V2], *repo.Control) {
	t.Helper()
	way, pooled := repotest.EnginesURL(t, url)
	db, err := repo.Open(t.Context(), way, repo.Config{Pooler: pooled})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	r, err := repo.New(db, repo.Definition[V1, V2]{Name: name, Mapping: mapping, InitialPhase: repo.Migrate})
	empty := false
	if err == nil {
		empty, err = db.Empty(t.Context())
	}
	if empty {
		err = db.CreateV1Tables(t.Context())
	}
	if err == nil {
		err = db.Install(t.Context())
	}
	if err == nil {
		err = db.Check(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return db, r, repo.NewControl(db)
}

// A number comes out of each type with the fewest digits that give its bits back, and what is written back has the same
// bits.
func TestNumbersKeepTheirBits(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		raw := repotest.Raw(t, url)
		prices, _ := openPrices(t, url)
		floats := []float64{
			0, math.Copysign(0, -1), 9.8, 9.80000019, 9.800000190734863, 0.1 + 0.2, 1234567.89, 1.0 / 3,
			5e-324, 1e-300, math.MaxFloat64, math.SmallestNonzeroFloat32, math.MaxFloat32, 16777217, 1 << 53,
			9007199254740993, 1e22, 1e23, 5e-5, 123456789.125,
		}
		random := rand.New(rand.NewPCG(1, 2))
		for range 600 {
			floats = append(floats, float64(random.IntN(10_000_000))/100, math.Float64frombits(random.Uint64()),
				float64(math.Float32frombits(random.Uint32())))
		}
		floats = slices.DeleteFunc(floats, func(f float64) bool { return math.IsNaN(f) || math.IsInf(f, 0) })
		insert := "INSERT INTO prices (id, wide, narrow) VALUES ($1, $2, $3)"
		var keys []string
		for i, f := range floats {
			narrow := any(float32(f))
			if math.IsInf(float64(float32(f)), 0) {
				narrow = nil
			}
			if _, err := raw.ExecContext(t.Context(), insert, i, f, narrow); err != nil {
				t.Fatal(err)
			}
			keys = append(keys, fmt.Sprint(i))
		}
		for at := 0; at < len(keys); at += 100 {
			list, err := prices.GetManyV1(t.Context(), keys[at:min(at+100, len(keys))])
			if err != nil {
				t.Fatal(err)
			}
			for j, r := range list {
				f := floats[at+j]
				n := r.Value.Wide
				if strings.HasPrefix(url, "sqlite") && f == 0 {
					f = 0 // it stores no minus zero
				}
				if r.Err != nil || n == nil || math.Float64bits(float(t, *n, 64)) != math.Float64bits(f) ||
					len(strings.Trim(string(*n), "-0.")) > 18 {
					t.Errorf("the double %.17g is %v, %v", f, *n, r.Err)
				}
				if narrow := r.Value.Narrow; narrow != nil && strings.HasPrefix(url, "postgres") &&
					(math.Float32bits(float32(float(t, *narrow, 32))) != math.Float32bits(float32(f)) ||
						len(strings.Trim(string(*narrow), "-0.")) > 10) {
					t.Errorf("the real %.9g is %v", float32(f), *narrow)
				}
			}
		}
		for i := range 200 { // the way there
			key := fmt.Sprint(i)
			before, err := prices.GetV1(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := prices.UpdateV1(t.Context(), key, func(v1 *priceV1) error {
				v1.Wide, v1.Narrow = nil,
					nil
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			after, err := prices.UpdateV1(t.Context(), key, func(v1 *priceV1) error { *v1 = before; return nil })
			if err != nil || !repo.Identical(after, before) {
				t.Errorf("%s became %s, %v", *before.Wide, *after.Wide, err)
			}
		}
	})
}

// Where V2 leads, V1 gets what its columns can hold, and the answer is that: nobody reads it back.
func TestNumbersAreAsTheirColumnsHaveThem(t *testing.T) {
	t.Parallel()
	written := priceV1{
		ID: 1, Narrow: new(value.Number("1234567.89")), Wide: new(value.Number("12345678901234567.89")),
		Exact: new(value.Number("12345678901234567.89")), InCents: new(value.Number("9.805")),
	}
	want := map[string][4]value.Number{
		"postgres": {"1234567.9", "12345678901234568", "12345678901234567.89", "9.81"},
		"sqlite":   {"1234567.89", "12345678901234568", "12345678901234568", "9.805"},
	}
	repotest.Each(t, func(t *testing.T, url string) {
		prices, _ := openPrices(t, url)
		database, _, _ := strings.Cut(url, ":")
		got, err := prices.CreateV1(t.Context(), written)
		if w := want[database]; err != nil || [4]value.Number{*got.Narrow, *got.Wide, *got.Exact, *got.InCents} != w {
			t.Errorf("got %s, %s, %s, %s, %v, want %v", *got.Narrow, *got.Wide, *got.Exact, *got.InCents, err, w)
		}
		v2 := priceV2{
			ID:    2,
			Whole: `{"id": 2, "narrow": null, "wide": null, "exact": null, "inCents": 12345678901234567.89, "anything": null}`,
		}
		_, err = prices.CreateV2(t.Context(), v2)
		wantField[*repo.NotRepresentableError](t, err, "whole")
		if database == "postgres" {
			for field, value := range map[string]string{"narrow": "1e39", "inCents": "100000000"} {
				_, err := prices.CreateV1(t.Context(), func() (v1 priceV1) {
					if err := json.Unmarshal([]byte(fmt.Sprintf(`{"id": 3, %q: %s}`, field, value)), &v1); err != nil {
						t.Fatal(err)
					}
					return v1
				}())
				wantField[*repo.InputError](t, err, field)
			}
		}
	})
}

func float(t *testing.T, n value.Number, bits int) (f float64) {
	t.Helper()
	if bits == 32 {
		var narrow float32
		if err := json.Unmarshal([]byte(n), &narrow); err != nil {
			t.Fatal(err)
		}
		return float64(narrow)
	}
	if err := json.Unmarshal([]byte(n), &f); err != nil {
		t.Fatal(err)
	}
	return f
}
