package resolvers_test

import (
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// Where V2 leads, what either shape cannot hold is refused through the other; in CONTRACT V2 need not fit into V1 any
// more.
func TestErrorsWhereV2Leads(t *testing.T) {
	t.Parallel()
	eachWorking(t, func(t *testing.T, s *server) {
		s.customers(sampleCustomers(2)...)
		s.orders(sampleOrders(2, 1)...)
		for _, phase := range []repo.Phase{repo.Cutover, repo.Contract, repo.Cutover} {
			s.enter(phase)
			for _, c := range []struct{ mutation, code, field string }{
				{
					`updateCustomerV1(input: {customerId: "ALFKI", country: "Atlantis"}) { customer { city } }`,
					"CONVERSION_FAILED", "country",
				},
				{`createCustomerV1(input: {customerId: "NEW", companyName: "x", country: "Atlantis"}) { customer { city } }`, "CONVERSION_FAILED", "country"},
				{`createOrderV1(input: {details: [{productId: 1, unitPrice: 9.805, quantity: 1}]}) { order { freight } }`, "CONVERSION_FAILED", "details[0].unitPrice"},
				{
					`updateOrderV1(input: {orderId: "10248", shipCountry: "Mu"}) { order { freight } }`,
					"CONVERSION_FAILED", "shipCountry",
				},
				{`updateCustomerV1(input: {customerId: "ALFKI", city: "a city beyond the column"}) { customer { city } }`, "BAD_USER_INPUT", "city"},
				{
					`updateCustomerV1(input: {customerId: "ALFKI", companyName: null}) { customer { city } }`,
					"BAD_USER_INPUT", "companyName",
				},
				{
					`updateCustomerV2(input: {customerId: "ALFKI", name: " "}) { customer { name } }`,
					"BAD_USER_INPUT", "name",
				},
				{`updateCustomerV2(input: {customerId: "NOONE", name: "x"}) { customer { name } }`, "NOT_FOUND", ""},
				{`updateOrderV1(input: {orderId: "7", shipName: "x"}) { order { shipName } }`, "NOT_FOUND", ""},
				{
					`createCustomerV2(input: {customerId: "ALFKI", name: "x"}) { customer { name } }`,
					"ALREADY_EXISTS", "",
				},
				{`createOrderV1(input: {orderId: "10248", details: []}) { order { orderId } }`, "ALREADY_EXISTS", ""},
				{`deleteCustomerV1(customerId: "ALFKI") { deletedKey }`, "CONFLICT", ""},
				{`deleteCustomerV2(customerId: "ALFKI") { deletedKey }`, "CONFLICT", ""},
				{`deleteCustomerV2(customerId: "ALFKI", expectedVersion: 77) { deletedKey }`, "STALE_VERSION", ""},
				{
					`updateOrderV2(input: {orderId: "10248", expectedVersion: 77, note: "x"}) { order { note } }`,
					"STALE_VERSION", "",
				},
			} {
				s.refused("mutation { "+c.mutation+" }", nil, c.code, c.field)
			}
			beyond := []struct{ mutation, field, undo string }{
				{
					`updateCustomerV2(input: {customerId: "S0001", addresses: [{locality: "a city beyond V1's column"}]}) { customer { customerId } }`, "addresses[0].locality",
					`updateCustomerV2(input: {customerId: "S0001", addresses: []}) { customer { customerId } }`,
				},
				{
					`createCustomerV2(input: {customerId: "LONG", name: "a company whose name is longer than V1's column for it"}) { customer { customerId } }`, "name",
					`deleteCustomerV2(customerId: "LONG") { deletedKey }`,
				},
				{
					`updateOrderV2(input: {orderId: "10249", lines: [{productId: 1, unitPrice: "12345678901234567.89", quantity: 1}]}) { order { orderId } }`, "lines[0].unitPrice",
					`updateOrderV2(input: {orderId: "10249", lines: []}) { order { orderId } }`,
				},
				{
					`createOrderV2(input: {orderId: "70", lines: [{productId: 1, unitPrice: "1", quantity: 40000}]}) { order { orderId } }`, "lines[0].quantity",
					`deleteOrderV1(orderId: "70") { deletedKey }`,
				},
			}
			for _, c := range beyond {
				if phase == repo.Cutover {
					s.refused("mutation { "+c.mutation+" }", nil, "NOT_REPRESENTABLE_IN_V1", c.field)
					continue
				}
				before := s.dump(v1Tables...)
				s.get("mutation { "+c.mutation+" }", nil)
				if after := s.dump(v1Tables...); after != before {
					t.Errorf("%s has written V1:\n%s", c.mutation, changes(before, after))
				}
			}
			if phase == repo.Cutover {
				continue
			}
			// V1 clients read what their shape has a place for, even where the column would be too short, and are told
			// of the rest.
			s.want(
				`{ a: customerV1(customerId: "S0001") { city } b: customerV1(customerId: "LONG") { companyName } c: orderV1(orderId: "70") { details { quantity } } }`, nil,
				`{"a":{"city":"a city beyond V1's column"},"b":{"companyName":"a company whose name is longer than V1's column for it"},"c":{"details":[{"quantity":40000}]}}`)
			s.want(`{ orderV1(orderId: "10249") { details { unitPrice } } }`, nil,
				`{"orderV1":{"details":[{"unitPrice":12345678901234567.89}]}}`)
			s.want(
				`mutation { updateOrderV1(input: {orderId: "10249", shipName: "x"}) { order { details { unitPrice } } } }`, nil, `{"updateOrderV1":{"order":{"details":[{"unitPrice":12345678901234567.89}]}}}`)
			// What was too long before is no fault of the client's who changes something else.
			s.want(`mutation { updateCustomerV1(input: {customerId: "LONG", phone: "1"}) { customer { phone } } }`, nil,
				`{"updateCustomerV1":{"customer":{"phone":"1"}}}`)
			for _, c := range beyond {
				s.get("mutation { "+c.undo+" }", nil)
			}
		}
	})
}

// V2 is closed for writes in EXPAND.
func TestV2IsNotOpen(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		s := newServer(t, url, repo.Expand)
		s.customers(sampleCustomers(1)...)
		s.orders(sampleOrders(1, 1)...)
		for _, mutation := range []string{
			`createCustomerV2(input: {name: "x"}) { customer { name } }`,
			`updateCustomerV2(input: {customerId: "ALFKI", name: "x"}) { customer { name } }`,
			`createOrderV2(input: {lines: []}) { order { note } }`,
			`updateOrderV2(input: {orderId: "10248", note: "x"}) { order { note } }`,
		} {
			s.refused("mutation { "+mutation+" }", nil, "V2_NOT_OPEN", "")
		}
		s.want(`mutation { deleteOrderV1(orderId: "10248") { deletedKey } }`, nil,
			`{"deleteOrderV1":{"deletedKey":"10248"}}`)
	})
}

// What nobody expected is logged with a reference, which is all that a client gets.
func TestInternalError(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *server) {
		s.Orders = nil // panics
		f := s.fails(`query Q { orderV2(orderId: "1") { note } }`, nil, "INTERNAL", "")
		_, reference, found := strings.Cut(f.Message, "internal error, reference ")
		if !found || len(reference) != 12 || len(f.Extensions) != 1 || !strings.Contains(s.log.String(), "reference="+
			reference+" operation=Q") {
			t.Errorf("got %+v", f)
		}
		if log := s.log.String(); !strings.Contains(log, "nil pointer") {
			t.Error("the log does not say what happened")
		}
	})
}

// A table that somebody has altered is for the operator to look at: the log names it, and a client is told that much.
func TestAlteredTable(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *server) {
		s.exec(`ALTER TABLE customers_v2 RENAME TO secret_table`)
		f := s.fails(`query Q { customerV2(customerId: "ALFKI") { name } }`, nil, "UNAVAILABLE", "")
		if !strings.Contains(f.Message, "altered") || strings.Contains(f.Message, "customers_v2") {
			t.Errorf("got %+v", f)
		}
		if log := s.log.String(); !strings.Contains(log, "customers_v2") || !strings.Contains(log, "operation=Q") {
			t.Error("the log does not say what happened")
		}
	})
}

// A database that is away is said to be unavailable. When it is back, so is the server.
func TestUnavailable(t *testing.T) {
	cluster := repotest.StartCluster(t)
	s := newServer(t, cluster.Database(t), repo.Migrate)
	s.customers(sampleCustomers(1)...)
	cluster.Kill()
	for _, operation := range []string{
		`{ customerV1(customerId: "ALFKI") { city } }`, `{ customersV2 { nodes { name } } }`,
		`{ migrations { phase } }`, `mutation { deleteOrderV1(orderId: "1") { deletedKey } }`,
	} {
		s.fails(operation, nil, "UNAVAILABLE", "")
	}
	cluster.Restart()
	back := `{ customerV2(customerId: "ALFKI") { name } }`
	repotest.Until(t, "the server is back", func() bool { return len(s.ask(back, nil).Errors) == 0 })
	s.want(back, nil, `{"customerV2":{"name":"Alfreds Futterkiste"}}`)
}
