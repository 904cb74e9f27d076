package resolvers_test

import (
	"fmt"
	"testing"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// A connection that dies between COMMIT and its answer: the client is told that nobody knows, and how to look; nothing
// is tried again behind its back, and nothing is there in one shape only, or twice.
func TestCommitWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for _, committed := range []bool{true, false} {
		t.Run(fmt.Sprintf("committed=%v", committed), func(t *testing.T) {
			t.Parallel() // it waits for leases
			url := repotest.Postgres(t)
			newServer(t, url, repo.Migrate)
			proxy := repotest.NewProxy(t, url)
			s := openServer(t, proxy.URL, repo.Migrate)
			s.install()
			s.customers(models.CustomerV1{
				CustomerID: "ALFKI", CompanyName: "Alfreds Futterkiste",
				Country: new("Germany"),
			})

			// fails sends a mutation whose COMMIT gets no answer. It returns the key that the client is told.
			fails := func(mutation string) string {
				t.Helper()
				proxy.CutNextCommit(committed)
				a := s.ask(mutation, nil)
				if len(a.Errors) == 0 {
					t.Fatalf("%s succeeds", mutation)
				}
				if len(a.Errors) > 1 || a.Errors[0].code() != "UNAVAILABLE" ||
					a.Errors[0].Extensions["outcome"] != "UNKNOWN" {
					t.Fatalf("%s: %+v", mutation, a)
				}
				proxy.AwaitCut()
				key, _ := a.Errors[0].Extensions["key"].(string)
				return key
			}
			// there says that both shapes of an entity are there if it was committed, and else neither.
			there := func(entity, query string) {
				t.Helper()
				want := `{"v1":null,"v2":null}`
				if committed {
					want = `{"v1":{"__typename":"` + entity + `V1"},"v2":{"__typename":"` + entity + `V2"}}`
				}
				s.want(query, nil, want)
			}
			// retried sends a mutation once more.
			retried := func(mutation, code string) {
				t.Helper()
				if committed {
					s.fails(mutation, nil, code, "")
				} else {
					s.get(mutation, nil)
				}
			}

			const create = `mutation { createCustomerV1(input: {customerId: "ZZTOP", companyName: "x"}) { customer { customerId } } }`
			if key := fails(create); key != "ZZTOP" {
				t.Errorf("the key is %q", key)
			}
			there("Customer",
				`{ v1: customerV1(customerId: "ZZTOP") { __typename } v2: customerV2(customerId: "ZZTOP") { __typename } }`)
			retried(create, "ALREADY_EXISTS")

			order := fails(
				`mutation { createOrderV2(input: {customerId: "ALFKI", lines: [{productId: 1, unitPrice: "1.00", quantity: 1}]}) { order { orderId } } }`)
			if order == "" {
				t.Error("no key is told")
			}
			there("Order", `{ v1: orderV1(orderId: "`+order+`") { __typename } v2: orderV2(orderId: "`+order+
				`") { __typename } }`)

			s.want(`{ customerV2(customerId: "ALFKI") { version } }`, nil, `{"customerV2":{"version":1}}`)
			const update = `mutation { updateCustomerV2(input: {customerId: "ALFKI", expectedVersion: 1, name: "Alfreds"}) { customer { name } } }`
			if key := fails(update); key != "" {
				t.Errorf("an update tells the key %q", key)
			}
			retried(update, "STALE_VERSION")
			s.want(`{ customerV1(customerId: "ALFKI") { companyName } customerV2(customerId: "ALFKI") { version } }`,
				nil,
				`{"customerV1":{"companyName":"Alfreds"},"customerV2":{"version":2}}`)

			const n = 300
			var rows []models.CustomerV1
			for i := range n {
				rows = append(rows, models.SampleCustomer(1, i))
			}
			s.customers(rows...)
			total := len(s.lines("SELECT customer_id FROM customers"))
			left := len(
				s.lines(
					"SELECT customer_id FROM customers WHERE customer_id NOT IN (SELECT customer_id FROM customers_v2)"))
			started := s.sweep(vars{"entity": "CUSTOMER"})
			proxy.CutNextCommit(committed)
			s.work()
			proxy.AwaitCut()
			states := s.follow(started.ID)
			if last := states[len(states)-1]; last.Status != "SUCCEEDED" || last.Total != total || last.Done != total ||
				last.Migrated != left {
				t.Errorf("%d of %d are to be migrated: %+v", left, total, last)
			}
		})
	}
}
