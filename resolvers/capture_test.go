package resolvers_test

import (
	"strings"
	"testing"
	"time"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// captured is Capture as a client sees it.
type captured struct {
	Enabled           bool
	BypassWrites      int
	LastBypassWriteAt *time.Time
}

func (s *server) captured(entity string) captured {
	s.t.Helper()
	var got struct{ Migration struct{ Capture captured } }
	s.into(&got, `query($e: Entity!) { migration(entity: $e) { capture { enabled lastBypassWriteAt bypassWrites } } }`,
		vars{"e": entity})
	return got.Migration.Capture
}

const setCapture = `mutation($e: Entity!, $enabled: Boolean!) { setCapture(input: {entity: $e, enabled: $enabled}) { migration { entity capture { enabled } } } }`

// Writes past the server are counted per entity, and seen by the next read of V2; the server's own are not counted.
func TestCapture(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		s := newServer(t, url, repo.Migrate)
		s.customers(models.CustomerV1{CustomerID: "A", CompanyName: "a"}, models.CustomerV1{
			CustomerID:  "B",
			CompanyName: "b",
		})
		s.orders(models.OrderV1{
			OrderID: 1, CustomerID: new("A"),
			Details: []models.OrderDetailV1{{ProductID: 1, UnitPrice: "1", Quantity: 1, Discount: "0"}},
		})
		s.get(`mutation { updateCustomerV1(input: {customerId: "A", city: "x"}) { customer { city } } updateCustomerV2(input: {customerId: "A", name: "a2"}) { customer { name } }
			createCustomerV2(input: {customerId: "D", name: "d"}) { customer { name } } deleteCustomerV1(customerId: "D") { deletedKey } }`, nil)
		for _, entity := range []string{"CUSTOMER", "ORDER"} {
			if c := s.captured(entity); c != (captured{Enabled: true}) {
				t.Errorf("before any bypass write of %s: %+v", entity, c)
			}
		}
		// Before a row migrates, and after.
		for range 2 {
			s.exec(`UPDATE customers SET company_name = company_name || '!' WHERE customer_id = 'B'`)
			var got struct{ A, B struct{ Name string } }
			s.into(&got, `{ a: customerV2(customerId: "A") { name } b: customerV2(customerId: "B") { name } }`, nil)
			if !strings.HasPrefix(got.B.Name, "b!") || got.A.Name != "a2" {
				t.Errorf("V2 reads %+v", got)
			}
		}
		s.want(`{ customerV2(customerId: "B") { name } customersV2 { nodes { name } } }`, nil,
			`{"customerV2":{"name":"b!!"},"customersV2":{"nodes":[{"name":"a2"},{"name":"b!!"}]}}`)
		first := s.captured("CUSTOMER")
		if first.BypassWrites != 2 || first.LastBypassWriteAt == nil || first.LastBypassWriteAt.Location() != time.UTC {
			t.Errorf("after two updates: %+v", first)
		}
		s.exec(`INSERT INTO customers (customer_id, company_name) VALUES ('E', 'e')`)
		s.exec(`DELETE FROM customers WHERE customer_id = 'B'`)
		s.want(
			`{ e: customerV2(customerId: "E") { name } b: customerV2(customerId: "B") { name } list: customersV1 { totalCount } }`, nil, `{"e":{"name":"e"},"b":null,"list":{"totalCount":2}}`)
		if c := s.captured("CUSTOMER"); c.BypassWrites != 4 || c.LastBypassWriteAt.Before(*first.LastBypassWriteAt) {
			t.Errorf("after an insert and a delete: %+v", c)
		}
		// Rows of children, before the order migrates and after.
		s.exec(
			`INSERT INTO order_details (order_id, product_id, unit_price, quantity, discount) VALUES (1, 2, 2, 2, 0)`)
		s.want(`{ orderV2(orderId: "1") { total { amount } lines { productId } } }`, nil,
			`{"orderV2":{"total":{"amount":"5.00"},"lines":[{"productId":1},{"productId":2}]}}`)
		s.exec(`UPDATE order_details SET quantity = 3 WHERE product_id = 2`)
		s.want(`{ orderV2(orderId: "1") { total { amount } } }`, nil, `{"orderV2":{"total":{"amount":"7.00"}}}`)
		s.exec(`DELETE FROM order_details WHERE product_id = 1`)
		s.want(
			`{ orderV2(orderId: "1") { total { amount } } customerV2(customerId: "A") { orders { nodes { total { amount } } } } }`, nil,
			`{"orderV2":{"total":{"amount":"6.00"}},"customerV2":{"orders":{"nodes":[{"total":{"amount":"6.00"}}]}}}`)
		if c := s.captured("ORDER"); c.BypassWrites != 3 {
			t.Errorf("after three writes of lines: %+v", c)
		}
		if c := s.captured("CUSTOMER"); c.BypassWrites != 4 {
			t.Errorf("those of orders count for customers: %+v", c)
		}

		repotest.Until(t, "E is stored", func() bool { // a reader that would have to wait for long stores none
			return strings.Contains(s.get(`{ customerV2(customerId: "E") { copy { stored } } }`, nil), "true")
		})
		// Off: nothing is noticed. On again: no copy is believed. The order is left as it is.
		s.want(setCapture, vars{"e": "CUSTOMER", "enabled": false},
			`{"setCapture":{"migration":{"entity":"CUSTOMER","capture":{"enabled":false}}}}`)
		s.exec(`UPDATE customers SET company_name = 'unseen' WHERE customer_id = 'E'`)
		s.want(`{ customerV2(customerId: "E") { name } customerV1(customerId: "E") { companyName } }`, nil,
			`{"customerV2":{"name":"e"},"customerV1":{"companyName":"unseen"}}`)
		for range 2 { // the second is no change
			s.want(setCapture, vars{"e": "CUSTOMER", "enabled": true},
				`{"setCapture":{"migration":{"entity":"CUSTOMER","capture":{"enabled":true}}}}`)
		}
		s.want(`{ customerV2(customerId: "E") { name } migration(entity: ORDER) { capture { enabled bypassWrites } } }`,
			nil, `{"customerV2":{"name":"unseen"},"migration":{"capture":{"enabled":true,"bypassWrites":3}}}`)
		if c := s.captured("CUSTOMER"); c.BypassWrites != 4 {
			t.Errorf("what was not noticed is counted: %+v", c)
		}
		s.refused(setCapture, vars{"e": "PRODUCT", "enabled": true}, "BAD_USER_INPUT", "e")
	})
}

// From CUTOVER on programs that write past the server are refused, and told why. The server's own writes are not.
func TestBypassIsRejected(t *testing.T) {
	t.Parallel()
	eachWorking(t, func(t *testing.T, s *server) {
		s.customers(models.CustomerV1{CustomerID: "A", CompanyName: "a"})
		s.orders(models.OrderV1{
			OrderID: 1, CustomerID: new("A"),
			Details: []models.OrderDetailV1{{ProductID: 1, UnitPrice: "1", Quantity: 1, Discount: "0"}},
		})
		statements := []string{
			`UPDATE customers SET city = 'bypass'`,
			`INSERT INTO customers (customer_id, company_name) VALUES ('Z', 'bypass')`, `DELETE FROM order_details`,
			`INSERT INTO order_details (order_id, product_id, unit_price, quantity, discount) VALUES (1, 9, 1, 1, 0)`,
			`UPDATE orders SET freight = 1`, `UPDATE order_details SET quantity = 7`,
		}
		if !s.sqlite {
			statements = append(statements, `TRUNCATE order_details`, `TRUNCATE customers CASCADE`)
		}
		for _, phase := range forthAndBack[1:] {
			s.enter(phase)
			before, counted := s.dump(v1Tables...), s.captured("CUSTOMER").BypassWrites
			if phase == repo.Migrate || phase == repo.Expand {
				s.exec(`UPDATE customers SET region = 'bypass'`)
				s.want(`{ customerV2(customerId: "A") { addresses { region } } }`, nil,
					`{"customerV2":{"addresses":[{"region":"bypass"}]}}`)
				if now := s.captured("CUSTOMER").BypassWrites; now != counted+1 {
					t.Errorf("%s counts %d after %d", phase, now, counted)
				}
				continue
			}
			for _, statement := range statements {
				_, err := s.raw.ExecContext(t.Context(), statement)
				if err == nil || !strings.Contains(err.Error(), "is no longer the truth") {
					t.Errorf("%s in %s: %v", statement, phase, err)
				}
			}
			if after := s.dump(v1Tables...); after != before {
				t.Errorf("%s has changed V1:\n%s", phase, changes(before, after))
			}
			s.want(
				`mutation { updateCustomerV1(input: {customerId: "A", city: "x"}) { customer { city } } updateOrderV2(input: {orderId: "1", lines: [{productId: 1, unitPrice: "1", quantity: 1}]}) { order { note } } }`, nil,
				`{"updateCustomerV1":{"customer":{"city":"x"}},"updateOrderV2":{"order":{"note":null}}}`)
			if now := s.captured("CUSTOMER").BypassWrites; now != counted {
				t.Errorf("%s counts %d after %d", phase, now, counted)
			}
		}
	})
}
