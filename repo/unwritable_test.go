package repo_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// What no document can say is refused, by the field's name, in each phase. The guard is checkDocument.
func TestDocumentsThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := openBoxes(t, url)
		refuse := func() {
			t.Helper()
			for field, v := range map[string]boxV1{
				"tags": {ID: "a", Tags: &[]string{"ok", "a\xff"}}, "doc": {ID: "b", Doc: new(json.RawMessage(`{"a":`))},
				"fixed":  {ID: "c", Fixed: json.RawMessage{}},
				"times":  {ID: "d", Times: &[]time.Time{time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}},
				"floats": {ID: "e", Floats: &[]float64{math.NaN()}},
			} {
				if v.Fixed == nil {
					v.Fixed = json.RawMessage("{}")
				}
				wantField[*repo.InputError](t, errOf(b.CreateV1(t.Context(), v)), field)
				wantField[*repo.InputError](t, errOf(b.CreateV2(t.Context(), boxes.up(v))), field)
			}
			wantField[*repo.InputError](t, errOf(b.CreateV2(t.Context(), boxV2{
				ID: "e", Fixed: json.RawMessage("1"),
				Tags: &[]string{"a\x00"},
			})), "tags")
		}
		refuse()
		b.inContract()
		refuse()
	})
}

// So are floats that are no numbers.
func TestFloatsThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := broughtWell(t, url, functions[measuredV1,
			measuredV2]{
			up:   func(v measuredV1) measuredV2 { return measuredV2(v) },
			down: func(v measuredV2) measuredV1 { return measuredV1(v) },
		},
			"CREATE TABLE measured (id varchar(40) NOT NULL PRIMARY KEY, rate double precision NOT NULL)")
		for _, rate := range []float64{math.NaN(), math.Inf(1)} {
			wantField[*repo.InputError](t, errOf(b.CreateV1(t.Context(), measuredV1{"a", rate})), "rate")
			wantField[*repo.InputError](t, errOf(b.CreateV2(t.Context(), measuredV2{"a", rate})), "rate")
		}
	})
}

// Times that RFC 3339 cannot say are refused on both databases.
func TestTimesThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		i := openInvoices(t, url)
		for _, phase := range []repo.Phase{repo.Migrate, repo.Cutover, repo.Contract} {
			if phase != repo.Migrate {
				if _, err := i.control.SetPhase(t.Context(), repo.PhaseRequest{
					Entity: "INVOICE", To: phase,
					Actor: "test", Force: true, Reason: new("a test"),
				}); err != nil {
					t.Fatal(err)
				}
			}
			for _, at := range []time.Time{
				time.Date(1850, 6, 1, 12, 0, 0, 0, time.FixedZone("", -(4*3600+56*60+2))), time.Date(-1, 1, 1, 0, 0, 0,
					0, time.UTC), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC),
			} {
				wantField[*repo.InputError](t, errOf(i.CreateV1(t.Context(), invoiceV1{ID: 1, State: "x", Placed: at})),
					"placed")
				wantField[*repo.InputError](t, errOf(i.CreateV2(t.Context(), invoiceV2{ID: 1, State: "x", Placed: at})),
					"placed")
			}
		}
	})
}

// An array of documents is refused at the start: JSON does not tell its elements from its dimensions.
func TestArraysOfDocuments(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		_, err := bring(t, url, functions[ratedV1, ratedV2]{up: func(v ratedV1) ratedV2 {
			return ratedV2{
				v.ID,
				v.Rate,
			}
		}, down: func(v ratedV2) ratedV1 { return ratedV1{ID: v.ID, Rate: v.Rate} }}, nil,
			"CREATE TABLE rated (id varchar(40) PRIMARY KEY, rate double precision NOT NULL, notes jsonb[])")
		if err == nil || !strings.Contains(err.Error(), "cannot be told from further dimensions") {
			t.Errorf("the error is %v", err)
		}
	})
}
