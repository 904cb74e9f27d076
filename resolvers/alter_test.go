package resolvers_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// V1's owner widens a column and adds another while clients read and write: none of them sees an error, the new limit
// is the database's at once, and the new column is left alone. The guard is renew in write. That no prepared statement
// fails comes of answers that are documents: their types never change.
func TestV1IsAlteredUnderLoad(t *testing.T) {
	t.Parallel()
	s := newServer(t, repotest.Postgres(t), repo.Migrate)
	const n = 40
	for i := range n {
		s.customers(models.CustomerV1{
			CustomerID: fmt.Sprintf("C%03d", i), CompanyName: "x", City: new("Berlin"),
			Country: new("Germany"),
		})
	}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var began sync.WaitGroup
	for i := range 50 {
		began.Add(1)
		clients.Go(func() {
			key := fmt.Sprintf("C%03d", i%n)
			for round := 0; ; round++ {
				for _, query := range []string{
					`{ customerV1(customerId: "` + key + `") { city } customerV2(customerId: "` + key +
						`") { addresses { locality } } }`,
					`{ customersV1(first: 20) { nodes { city } } customersV2(first: 20) { nodes { name } } }`,
					fmt.Sprintf(
						`mutation { updateCustomerV1(input: {customerId: "%s", companyName: "v1 %d"}) { customer { city } } }`, key, round),
					fmt.Sprintf(
						`mutation { updateCustomerV2(input: {customerId: "%s", name: "v2 %d"}) { customer { name } } }`,
						key, round),
				} {
					if a := s.ask(query, nil); len(a.Errors) > 0 {
						t.Errorf("%s: %+v", query, a.Errors)
					}
				}
				if round == 0 {
					began.Done()
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	began.Wait()
	s.exec("ALTER TABLE customers ALTER city TYPE varchar(40)")
	s.exec("ALTER TABLE customers ADD COLUMN vat text NOT NULL DEFAULT 'DE1'")
	s.exec("ALTER TABLE customers ALTER postal_code TYPE text")
	close(stop)
	clients.Wait()

	const long = "Llanfairpwllgwyngyll" // 20 characters
	s.get(`mutation { updateCustomerV2(input: {customerId: "C001", addresses: [{kind: MAIN, locality: "`+long+
		`", country: "Germany"}]}) { customer { name } } }`, nil)
	s.want(`{ customerV1(customerId: "C001") { city } customerV2(customerId: "C001") { addresses { locality } } }`, nil,
		`{"customerV1":{"city":"`+long+`"},"customerV2":{"addresses":[{"locality":"`+long+`"}]}}`)
	s.get(`mutation { updateCustomerV1(input: {customerId: "C002", city: "`+long+
		`", postalCode: "more than ten characters"}) { customer { city } } }`, nil)
	s.fails(`mutation { updateCustomerV1(input: {customerId: "C002", city: "`+long+long+`!"}) { customer { city } } }`,
		nil, "BAD_USER_INPUT", "city")
	if vat := s.lines("SELECT DISTINCT vat FROM customers"); len(vat) != 1 {
		t.Errorf("vat is %v", vat)
	}
	// Narrower again: what the database refuses is looked up too.
	s.exec("UPDATE customers SET city = 'Berlin'")
	s.exec("ALTER TABLE customers ALTER city TYPE varchar(10)")
	s.refused(`mutation { updateCustomerV1(input: {customerId: "C003", city: "Llanfairpwll"}) { customer { city } } }`,
		nil, "BAD_USER_INPUT", "city")
}
