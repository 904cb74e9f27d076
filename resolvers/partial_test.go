package resolvers_test

import (
	"slices"
	"testing"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// C14. Bytes that are no text in V1, which SQLite lets be in any column: that field is null with an error at its path,
// where it is asked for, and all others are served: by key, in lists, and of who refers to it. V2 of the row stays an
// error. The guard is salvage.
func TestBytesThatAreNoText(t *testing.T) {
	t.Parallel()
	s := newServer(t, repotest.SQLite(t), repo.Migrate)
	s.customers(models.CustomerV1{CustomerID: "A", CompanyName: "a", City: new("Porto"), Country: new("Portugal")},
		models.CustomerV1{CustomerID: "B", CompanyName: "b", City: new("Lyon")})
	s.orders(models.OrderV1{OrderID: 1, CustomerID: new("A")})
	s.exec("UPDATE customers SET city = x'00ff', address = CAST(x'4de9' AS TEXT) WHERE customer_id = 'A'")
	for query, c := range map[string]struct {
		data  string
		paths []string
	}{
		`{ customerV1(customerId: "A") { companyName town: city address country } }`: {
			`{"customerV1":{"companyName":"a","town":null,"address":null,"country":"Portugal"}}`,
			[]string{"customerV1.address", "customerV1.town"},
		},
		`{ customerV1(customerId: "A") { companyName country } }`: {`{"customerV1":{"companyName":"a","country":"Portugal"}}`, nil},
		`{ customersV1 { nodes { customerId city } } }`: {
			`{"customersV1":{"nodes":[{"customerId":"A","city":null},{"customerId":"B","city":"Lyon"}]}}`,
			[]string{"customersV1.nodes.0.city"},
		},
		`{ customersV1 { edges { who: node { customerId address } } } }`: {
			`{"customersV1":{"edges":[{"who":{"customerId":"A","address":null}},{"who":{"customerId":"B","address":null}}]}}`, []string{"customersV1.edges.0.who.address"},
		},
		`{ orderV1(orderId: 1) { customer { companyName city } } }`: {`{"orderV1":{"customer":{"companyName":"a","city":null}}}`, []string{"orderV1.customer.city"}},
		`{ customerV2(customerId: "A") { name } }`:                  {`{"customerV2":null}`, []string{"customerV2"}},
	} {
		a := s.ask(query, nil)
		var paths []string
		for _, e := range a.Errors {
			paths = append(paths, e.path())
			if e.code() != "CONVERSION_FAILED" {
				t.Errorf("%s: %+v", query, e)
			}
		}
		slices.Sort(paths)
		if string(a.Data) != c.data || !slices.Equal(paths, c.paths) {
			t.Errorf("%s: %s with errors at %v, want %s and %v", query, a.Data, paths, c.data, c.paths)
		}
	}
	s.exec("UPDATE customers SET company_name = x'00ff' WHERE customer_id = 'B'") // which may not be null
	s.fails(`{ customerV1(customerId: "B") { companyName } }`, nil, "CONVERSION_FAILED", "companyName")
}
