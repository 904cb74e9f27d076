package resolvers_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// Each bad input gets its code and names its field, and nothing is written.
func TestBadInput(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *server) {
		s.customers(sampleCustomers(2)...)
		s.orders(sampleOrders(1, 1)...)
		s.get(`{ customersV2 { nodes { name } } ordersV2 { nodes { note } } }`, nil) // all have migrated
		long := func(n int) string { return strings.Repeat("ä", n) }
		for _, c := range []struct{ mutation, code, field string }{
			// Keys.
			{`updateCustomerV1(input: {customerId: "NOONE", city: "x"}) { customer { city } }`, "NOT_FOUND", ""},
			{`updateCustomerV2(input: {customerId: "NOONE", name: "x"}) { customer { name } }`, "NOT_FOUND", ""},
			{`deleteCustomerV1(customerId: "NOONE") { deletedKey }`, "NOT_FOUND", ""},
			{`deleteCustomerV2(customerId: "MUCH TOO LONG") { deletedKey }`, "NOT_FOUND", ""},
			{`updateOrderV1(input: {orderId: "1", shipName: "x"}) { order { shipName } }`, "NOT_FOUND", ""},
			{`updateOrderV2(input: {orderId: "x", note: "x"}) { order { note } }`, "NOT_FOUND", ""},
			{`deleteOrderV1(orderId: "99999999999999999999") { deletedKey }`, "NOT_FOUND", ""},
			{`deleteOrderV2(orderId: "01") { deletedKey }`, "NOT_FOUND", ""},
			{`createCustomerV1(input: {customerId: "ALFKI", companyName: "x"}) { customer { city } }`, "ALREADY_EXISTS", ""},
			{`createCustomerV2(input: {customerId: "ALFKI", name: "x"}) { customer { name } }`, "ALREADY_EXISTS", ""},
			{`createOrderV1(input: {orderId: "10248", details: []}) { order { orderId } }`, "ALREADY_EXISTS", ""},
			{`createOrderV2(input: {orderId: 10248, lines: []}) { order { orderId } }`, "ALREADY_EXISTS", ""},
			{`deleteCustomerV1(customerId: "ALFKI") { deletedKey }`, "CONFLICT", ""},
			{`deleteCustomerV2(customerId: "ALFKI") { deletedKey }`, "CONFLICT", ""},
			{`createCustomerV1(input: {customerId: "", companyName: "x"}) { customer { city } }`, "BAD_USER_INPUT", "customerId"},
			{`createCustomerV2(input: {customerId: "", name: "x"}) { customer { name } }`, "BAD_USER_INPUT", "customerId"},
			{`createCustomerV1(input: {customerId: "TOOLONG", companyName: "x"}) { customer { city } }`, "BAD_USER_INPUT", "customerId"},
			{`createCustomerV2(input: {customerId: "TOOLONG", name: "x"}) { customer { name } }`, "BAD_USER_INPUT", "customerId"},
			{`createCustomerV2(input: {customerId: "A\u0000", name: "x"}) { customer { name } }`, "BAD_USER_INPUT", "customerId"},
			{`createCustomerV1(input: {customerId: " A", companyName: "x"}) { customer { city } }`, "BAD_USER_INPUT", "customerId"},
			{`createCustomerV2(input: {customerId: "A ", name: "x"}) { customer { name } }`, "BAD_USER_INPUT", "customerId"},
			{`createOrderV1(input: {orderId: "", details: []}) { order { orderId } }`, "BAD_USER_INPUT", "orderId"},
			{`createOrderV1(input: {orderId: "x", details: []}) { order { orderId } }`, "BAD_USER_INPUT", "orderId"},
			{`createOrderV2(input: {orderId: "0", lines: []}) { order { orderId } }`, "BAD_USER_INPUT", "orderId"},
			{`createOrderV2(input: {orderId: "-1", lines: []}) { order { orderId } }`, "BAD_USER_INPUT", "orderId"},
			{`createOrderV2(input: {orderId: "007", lines: []}) { order { orderId } }`, "BAD_USER_INPUT", "orderId"},
			{`createOrderV2(input: {orderId: "2147483648", lines: []}) { order { orderId } }`, "BAD_USER_INPUT", "orderId"},
			{`createOrderV1(input: {orderId: "99999999999999999999", details: []}) { order { orderId } }`, "BAD_USER_INPUT", "orderId"},

			// Customers in the old shape.
			{`updateCustomerV1(input: {customerId: "ALFKI", companyName: null}) { customer { city } }`, "BAD_USER_INPUT", "companyName"},
			{`updateCustomerV1(input: {customerId: "ALFKI", companyName: ""}) { customer { city } }`, "BAD_USER_INPUT", "companyName"},
			{`createCustomerV1(input: {customerId: "NEW", companyName: " "}) { customer { city } }`, "BAD_USER_INPUT", "companyName"},
			{`updateCustomerV1(input: {customerId: "ALFKI", companyName: "` + long(41) + `"}) { customer { city } }`, "BAD_USER_INPUT", "companyName"},
			{`updateCustomerV1(input: {customerId: "ALFKI", city: "` + long(16) + `"}) { customer { city } }`, "BAD_USER_INPUT", "city"},
			{`createCustomerV1(input: {companyName: "x", phone: "` + long(25) + `"}) { customer { city } }`, "BAD_USER_INPUT", "phone"},
			{`updateCustomerV1(input: {customerId: "ALFKI", contactName: "a\u0000b"}) { customer { city } }`, "BAD_USER_INPUT", "contactName"},

			// Customers in the new shape.
			{`updateCustomerV2(input: {customerId: "ALFKI", name: null}) { customer { name } }`, "BAD_USER_INPUT", "name"},
			{`updateCustomerV2(input: {customerId: "ALFKI", name: " "}) { customer { name } }`, "BAD_USER_INPUT", "name"},
			{`updateCustomerV2(input: {customerId: "ALFKI", name: "a\u0000b"}) { customer { name } }`, "BAD_USER_INPUT", "name"},
			{`updateCustomerV2(input: {customerId: "ALFKI", contacts: [{givenName: "", familyName: "x"}, {givenName: "", familyName: ""}]}) { customer { name } }`, "BAD_USER_INPUT", "contacts[1].displayName"},
			{`updateCustomerV2(input: {customerId: "ALFKI", contacts: [{givenName: "a", familyName: "b\u0000"}]}) { customer { name } }`, "BAD_USER_INPUT", "contacts[0].displayName"},
			{`updateCustomerV2(input: {customerId: "ALFKI", addresses: [{country: "Germany"}, {kind: BILLING, countryCode: "UK"}]}) { customer { name } }`, "BAD_USER_INPUT", "addresses[1].countryCode"},
			{`updateCustomerV2(input: {customerId: "ALFKI", addresses: [{countryCode: "de"}]}) { customer { name } }`, "BAD_USER_INPUT", "addresses[0].countryCode"},
			{`updateCustomerV2(input: {customerId: "ALFKI", addresses: [{countryCode: "DEU"}]}) { customer { name } }`, "BAD_USER_INPUT", "addresses[0].countryCode"},
			{`updateCustomerV2(input: {customerId: "ALFKI", addresses: [{country: "Atlantis"}]}) { customer { name } }`, "BAD_USER_INPUT", "addresses[0].country"},
			{`updateCustomerV2(input: {customerId: "ALFKI", addresses: [{country: "Germany", countryCode: "FR"}]}) { customer { name } }`, "BAD_USER_INPUT", "addresses[0].countryCode"},
			{`updateCustomerV2(input: {customerId: "ALFKI", phones: [{kind: VOICE, number: "1"}, {kind: MOBILE, number: " "}]}) { customer { name } }`, "BAD_USER_INPUT", "phones[1].number"},
			{`updateCustomerV2(input: {customerId: "ALFKI", name: "` + long(41) + `"}) { customer { name } }`, "NOT_REPRESENTABLE_IN_V1", "name"},
			{`createCustomerV2(input: {name: "` + long(41) + `"}) { customer { name } }`, "NOT_REPRESENTABLE_IN_V1", "name"},
			{`updateCustomerV2(input: {customerId: "ALFKI", addresses: [{locality: "` + long(16) + `"}]}) { customer { name } }`, "NOT_REPRESENTABLE_IN_V1", "addresses[0].locality"},
			{`updateCustomerV2(input: {customerId: "ALFKI", addresses: [{kind: BILLING, locality: "` + long(16) + `"}, {postalCode: "` + long(11) + `"}]}) { customer { name } }`, "NOT_REPRESENTABLE_IN_V1", "addresses[1].postalCode"},
			{`updateCustomerV2(input: {customerId: "ALFKI", contacts: [{givenName: "` + long(15) + `", familyName: "` + long(15) + `"}]}) { customer { name } }`, "NOT_REPRESENTABLE_IN_V1", "contacts[0].displayName"},
			{`updateCustomerV2(input: {customerId: "ALFKI", contacts: [{givenName: "a", familyName: "b", title: "` + long(31) + `"}]}) { customer { name } }`, "NOT_REPRESENTABLE_IN_V1", "contacts[0].title"},
			{`updateCustomerV2(input: {customerId: "ALFKI", phones: [{kind: MOBILE, number: "` + long(25) + `"}, {kind: FAX, number: "` + long(25) + `"}]}) { customer { name } }`, "NOT_REPRESENTABLE_IN_V1", "phones[1].number"},

			// Orders in the old shape.
			{`updateOrderV1(input: {orderId: "10248", customerId: "NOONE"}) { order { orderId } }`, "BAD_USER_INPUT", "customerId"},
			{`createOrderV1(input: {customerId: "MUCH TOO LONG", details: []}) { order { orderId } }`, "BAD_USER_INPUT", "customerId"},
			{`updateOrderV1(input: {orderId: "10248", freight: -0.01}) { order { orderId } }`, "BAD_USER_INPUT", "freight"},
			{`updateOrderV1(input: {orderId: "10248", employeeId: 32768}) { order { orderId } }`, "BAD_USER_INPUT", "employeeId"},
			{`updateOrderV1(input: {orderId: "10248", details: [{productId: 1, unitPrice: 1, quantity: 1}, {productId: 2, unitPrice: 1, quantity: 0}]}) { order { orderId } }`, "BAD_USER_INPUT", "details[1].quantity"},
			{`updateOrderV1(input: {orderId: "10248", details: [{productId: 1, unitPrice: -1, quantity: 1}]}) { order { orderId } }`, "BAD_USER_INPUT", "details[0].unitPrice"},
			{`updateOrderV1(input: {orderId: "10248", details: [{productId: 1, unitPrice: 1, quantity: 1, discount: 1.5}]}) { order { orderId } }`, "BAD_USER_INPUT", "details[0].discount"},
			{`updateOrderV1(input: {orderId: "10248", details: [{productId: 1, unitPrice: 1, quantity: 40000}]}) { order { orderId } }`, "BAD_USER_INPUT", "details[0].quantity"},
			{`createOrderV1(input: {details: [{productId: 1, unitPrice: 1, quantity: 1}, {productId: 1, unitPrice: 1, quantity: 1}]}) { order { orderId } }`, "BAD_USER_INPUT", "details[1].productId"},

			// Orders in the new shape.
			{`updateOrderV2(input: {orderId: "10248", customerId: "NOONE"}) { order { orderId } }`, "BAD_USER_INPUT", "customerId"},
			{`createOrderV2(input: {customerId: "NOONE", lines: []}) { order { orderId } }`, "BAD_USER_INPUT", "customerId"},
			{`updateOrderV2(input: {orderId: "10248", employeeId: 32768}) { order { orderId } }`, "NOT_REPRESENTABLE_IN_V1", "employeeId"},
			{`updateOrderV2(input: {orderId: "10248", lines: [{productId: 1, unitPrice: "1", quantity: -1}]}) { order { orderId } }`, "BAD_USER_INPUT", "lines[0].quantity"},
			{`updateOrderV2(input: {orderId: "10248", lines: [{productId: 1, unitPrice: "-1", quantity: 1}]}) { order { orderId } }`, "BAD_USER_INPUT", "lines[0].unitPrice"},
			{`updateOrderV2(input: {orderId: "10248", lines: [{productId: 1, unitPrice: "1", quantity: 1, discount: "1.01"}]}) { order { orderId } }`, "BAD_USER_INPUT", "lines[0].discount"},
			{`updateOrderV2(input: {orderId: "10248", lines: [{productId: 1, unitPrice: "1", quantity: 1}, {productId: 1, unitPrice: "1", quantity: 1}]}) { order { orderId } }`, "BAD_USER_INPUT", "lines[1].productId"},
			{`updateOrderV2(input: {orderId: "10248", shipment: {freight: "-0.01"}}) { order { orderId } }`, "BAD_USER_INPUT", "shipment.freight"},
			{`updateOrderV2(input: {orderId: "10248", shipment: {address: {countryCode: "XX"}}}) { order { orderId } }`, "BAD_USER_INPUT", "shipment.address.countryCode"},
			{`updateOrderV2(input: {orderId: "10248", note: "a\u0000b"}) { order { orderId } }`, "BAD_USER_INPUT", "note"},
			{`updateOrderV2(input: {orderId: "10248", shipment: {recipient: "` + long(41) + `"}}) { order { orderId } }`, "NOT_REPRESENTABLE_IN_V1", "shipment.recipient"},
			{`updateOrderV2(input: {orderId: "10248", shipment: {address: {locality: "` + long(16) + `"}}}) { order { orderId } }`, "NOT_REPRESENTABLE_IN_V1", "shipment.address.locality"},
			{`updateOrderV2(input: {orderId: "10248", lines: [{productId: 1, unitPrice: "12345678901234567.89", quantity: 1}]}) { order { orderId } }`, "NOT_REPRESENTABLE_IN_V1", "lines[0].unitPrice"},
			{`updateOrderV2(input: {orderId: "10248", lines: [{productId: 1, unitPrice: "1", quantity: 1, discount: "0.12345678901234567891"}]}) { order { orderId } }`, "NOT_REPRESENTABLE_IN_V1", "lines[0].discount"},
			{`updateOrderV2(input: {orderId: "10248", lines: [{productId: 2, unitPrice: "1", quantity: 1}, {productId: 1, unitPrice: "1", quantity: 40000}]}) { order { orderId } }`, "NOT_REPRESENTABLE_IN_V1", "lines[1].quantity"},

			// Values that are none of their type: the field is where the value stands.
			{`updateOrderV1(input: {orderId: "10248", orderDate: "1996-02-30"}) { order { orderId } }`, "BAD_USER_INPUT", "orderDate"},
			{`updateOrderV2(input: {orderId: "10248", placedOn: "4.7.1996"}) { order { orderId } }`, "BAD_USER_INPUT", "placedOn"},
			{`updateOrderV2(input: {orderId: "10248", shipment: {freight: "1e3"}}) { order { orderId } }`, "BAD_USER_INPUT", "shipment.freight"},
			{`updateOrderV2(input: {orderId: "10248", lines: [{productId: 1, unitPrice: "1", quantity: 1}, {productId: 2, unitPrice: "9.805", quantity: 1}]}) { order { orderId } }`, "BAD_USER_INPUT", "lines[1].unitPrice"},
			{`updateOrderV2(input: {orderId: "10248", lines: [{productId: 1, unitPrice: "1", quantity: 1, discount: "5."}]}) { order { orderId } }`, "BAD_USER_INPUT", "lines[0].discount"},
			{`updateOrderV2(input: {orderId: "10248", employeeId: 99999999999}) { order { orderId } }`, "BAD_USER_INPUT", "employeeId"},

			// Requests that are no requests.
			{`updateOrderV2(input: {orderId: true}) { order { orderId } }`, "BAD_USER_INPUT", ""},
			{`updateOrderV2(input: {}) { order { orderId } }`, "BAD_USER_INPUT", ""},
			{`updateOrderV2(input: {orderId: "10248", lines: null, nothing: 1}) { order { orderId } }`, "BAD_USER_INPUT", ""},
			{`createCustomerV2(input: {name: "x", phones: [{kind: PAGER, number: "1"}]}) { customer { name } }`, "BAD_USER_INPUT", ""},
			{`dropTables`, "BAD_USER_INPUT", ""},
			{`{`, "BAD_USER_INPUT", ""},
		} {
			s.refused("mutation { "+c.mutation+" }", nil, c.code, c.field)
		}
		// The same in variables.
		const update = `mutation($input: UpdateOrderV2Input!) { updateOrderV2(input: $input) { order { note } } }`
		for field, input := range map[string]vars{
			"placedOn":           {"placedOn": "1996-13-01"},
			"requiredBy":         {"requiredBy": 19960704},
			"shipment.freight":   {"shipment": vars{"freight": 0.1}},
			"lines[1].unitPrice": {"lines": []vars{{"productId": 1, "unitPrice": "1", "quantity": 1}, {"productId": 2, "unitPrice": "x", "quantity": 1}}},
			"employeeId":         {"employeeId": math.MaxInt64},
			"note":               {"note": "a\x00b"},
		} {
			input["orderId"] = "10248"
			s.refused(update, vars{"input": input}, "BAD_USER_INPUT", field)
		}
		for _, c := range []struct {
			field string
			input vars
		}{
			{"", nil},
			{"orderId", vars{}},
			{"orderId", vars{"orderId": nil}},
			{"lines[0]", vars{"orderId": "10248", "lines": "none"}},
			{"lines[0].quantity", vars{"orderId": "10248", "lines": []vars{{"productId": 1, "unitPrice": "1", "quantity": 1.5}}}},
			{"employeeId", vars{"orderId": "10248", "employeeId": "many"}},
			{"unknown", vars{"orderId": "10248", "unknown": 1}},
		} {
			s.refused(update, vars{"input": c.input}, "BAD_USER_INPUT", c.field)
		}
		// Half of a surrogate pair is no text. The server says so before it knows the field.
		for _, request := range []string{
			`{"query": "mutation { updateOrderV2(input: {orderId: \"10248\", note: \"a\\uD800b\"}) { order { note } } }"}`,
			`{"query": "mutation($n: String) { updateOrderV2(input: {orderId: \"10248\", note: $n}) { order { note } } }", "variables": {"n": "a\uDC00b"}}`,
		} {
			s.post([]byte(request)).failed("BAD_USER_INPUT", "")
		}
	})
}

// The answer to a question that makes no sense is an error; to one that finds nothing it is null.
func TestQueriesForNothing(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *server) {
		for _, key := range []string{"NOONE", "", "MUCH TOO LONG", "alfki", "\u0000", "0", "-1", "01", "99999999999999999999", "x", "\uFFFD"} {
			s.want(`query($k: ID!) { customerV1(customerId: $k) { city } customerV2(customerId: $k) { name } orderV1(orderId: $k) { freight } orderV2(orderId: $k) { note } }`, vars{"k": key},
				`{"customerV1":null,"customerV2":null,"orderV1":null,"orderV2":null}`)
		}
		for _, c := range []struct{ query, field string }{
			{`ordersV2(filter: {placedFrom: "1996-02-30"}) { totalCount }`, "filter.placedFrom"},
			{`ordersV1(filter: {placedTo: "today"}) { totalCount }`, "filter.placedTo"},
			{`ordersV1(filter: {customerId: "\u0000"}) { totalCount }`, "filter.customerId"},
			{`customersV1(filter: {nameContains: "\u0000"}) { totalCount }`, "filter.nameContains"},
			{`customersV2(filter: {keys: ["A", "\u0000"]}) { totalCount }`, "filter.keys"},
			{`customersV2(filter: {countryCode: ""}) { totalCount }`, "filter.countryCode"},
			{`customersV2(first: 99999999999) { totalCount }`, "first"},
			{`customersV2(after: "") { totalCount }`, "after"},
			{`customersV2(after: "eyJlIjoiQ1VTVE9NRVIiLCJrIjoiQSIsInYiOnt9fQ") { totalCount }`, "after"},
			{`customersV2(after: "eyJlIjoiQ1VTVE9NRVIiLCJzIjoiREFURSIsImsiOiJBIn0") { totalCount }`, "after"},
			{`customersV2(after: "AAAA") { totalCount }`, "after"},
			{`customersV2(after: "eyJlIjoiT1JERVIiLCJrIjoiMTAyNDgifQ") { totalCount }`, "after"}, // {"e":"ORDER","k":"10248"}: a key that a customer could have
			{`run(id: "x") { id }`, "id"},
			{`run(id: "UnVuOng=") { id }`, "id"},
			{`run(id: "Q3VzdG9tZXJWMjpBTEZLSQ==") { id }`, "id"},
			{`migration(entity: ORDER) { quarantine(after: "\u0000") { totalCount } }`, "after"},
		} {
			s.fails("{ "+c.query+" }", nil, "BAD_USER_INPUT", c.field)
		}
	})
}

// A row that cannot be converted is an error of its own place, with its reason, and goes to quarantine. V1 serves and repairs it.
func TestConversionFailure(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		s := newServer(t, url, repo.Expand)
		s.customers(
			models.CustomerV1{CustomerID: "A", CompanyName: "a", Country: new("Germany")}, models.CustomerV1{CustomerID: "B", CompanyName: "b", Country: new("Atlantis")},
			models.CustomerV1{CustomerID: "C", CompanyName: "c"},
		)
		s.orders(
			models.OrderV1{OrderID: 1, CustomerID: new("B")}, models.OrderV1{OrderID: 2, CustomerID: new("A"), Freight: new(repo.Number("0.005")), Details: []models.OrderDetailV1{{ProductID: 1, UnitPrice: "0.005", Quantity: 1, Discount: "0"}}},
			models.OrderV1{OrderID: 3, CustomerID: new("A"), Details: []models.OrderDetailV1{{ProductID: 1, UnitPrice: "1", Quantity: 1, Discount: "0"}, {ProductID: 2, UnitPrice: "9.805", Quantity: 1, Discount: "0"}}},
			models.OrderV1{OrderID: 4, CustomerID: new("A"), ShippedDate: nil},
		)
		for _, phase := range []repo.Phase{repo.Expand, repo.Migrate} {
			s.phase(phase)
			failure := s.fails(`{ customerV2(customerId: "B") { name } }`, nil, "CONVERSION_FAILED", "addresses[0].country")
			if !strings.Contains(failure.Message, "Atlantis") || failure.path() != "customerV2" {
				t.Errorf("got %+v", failure)
			}
			s.fails(`{ orderV2(orderId: "2") { note } }`, nil, "CONVERSION_FAILED", "lines[0].unitPrice")
			s.fails(`{ orderV2(orderId: "3") { note } }`, nil, "CONVERSION_FAILED", "lines[1].unitPrice")
			s.fails(`{ node(id: "Q3VzdG9tZXJWMjpC") { id } }`, nil, "CONVERSION_FAILED", "addresses[0].country")
			for _, c := range []struct{ query, data, paths string }{
				{`{ customersV2 { nodes { name } } }`, `{"customersV2":{"nodes":[{"name":"a"},null,{"name":"c"}]}}`, "customersV2.nodes.1"},
				{
					`{ x: customersV2 { y: nodes { name orders { nodes { status } } } } }`,
					`{"x":{"y":[{"name":"a","orders":{"nodes":[null,null,{"status":"PLACED"}]}},null,{"name":"c","orders":{"nodes":[]}}]}}`,
					"x.y.0.orders.nodes.0 x.y.0.orders.nodes.1 x.y.1",
				},
				{`{ customersV2 { edges { node { name } } } }`, `{"customersV2":{"edges":[{"node":{"name":"a"}},{"node":null},{"node":{"name":"c"}}]}}`, "customersV2.edges.1.node"},
				{
					`{ customersV2 { nodes { name } e: edges { a: node { name } b: node { name } } } }`,
					`{"customersV2":{"nodes":[{"name":"a"},null,{"name":"c"}],"e":[{"a":{"name":"a"},"b":{"name":"a"}},{"a":null,"b":null},{"a":{"name":"c"},"b":{"name":"c"}}]}}`,
					"customersV2.e.1.a customersV2.e.1.b customersV2.nodes.1",
				},
				{`{ customersV2 { edges { cursor: __typename } totalCount } }`, `{"customersV2":{"edges":[{"cursor":"CustomerV2Edge"},{"cursor":"CustomerV2Edge"},{"cursor":"CustomerV2Edge"}],"totalCount":3}}`, ""},
				{
					`{ ordersV2 { nodes { customer { name } } } }`, `{"ordersV2":{"nodes":[{"customer":null},null,null,{"customer":{"name":"a"}}]}}`,
					"ordersV2.nodes.0.customer ordersV2.nodes.1 ordersV2.nodes.2",
				},
				{`{ nodes(ids: ["Q3VzdG9tZXJWMjpC", "Q3VzdG9tZXJWMjpD"]) { id } }`, `{"nodes":[null,{"id":"Q3VzdG9tZXJWMjpD"}]}`, "nodes.0"},
				{
					`{ customersV1 { nodes { country } } ordersV1 { nodes { freight } } }`,
					`{"customersV1":{"nodes":[{"country":"Germany"},{"country":"Atlantis"},{"country":null}]},"ordersV1":{"nodes":[{"freight":null},{"freight":0.005},{"freight":null},{"freight":null}]}}`, "",
				},
			} {
				a := s.ask(c.query, nil)
				same(t, string(a.Data), c.data)
				var paths []string
				for _, f := range a.Errors {
					if f.code() != "CONVERSION_FAILED" || f.field() == "" {
						t.Errorf("%s: %+v", c.query, f)
					}
					paths = append(paths, f.path())
				}
				slices.Sort(paths)
				if got := strings.Join(paths, " "); got != c.paths {
					t.Errorf("%s has errors at %s, want %s", c.query, got, c.paths)
				}
			}
		}
		s.want(`{ migration(entity: CUSTOMER) { quarantine { totalCount nodes { key code field message mappingVersion attempts } } progress { total migrated quarantined fraction } } }`, nil,
			`{"migration":{"quarantine":{"totalCount":1,"nodes":[{"key":"B","code":"CONVERSION_FAILED","field":"country","message":"unknown country \"Atlantis\"","mappingVersion":1,"attempts":1}]},
			"progress":{"total":3,"migrated":2,"quarantined":1,"fraction":0.6666666666666666}}}`)
		s.want(`{ migration(entity: ORDER) { quarantine { nodes { key field } } } }`, nil,
			`{"migration":{"quarantine":{"nodes":[{"key":"2","field":"details[0].unitPrice"},{"key":"3","field":"details[1].unitPrice"}]}}}`)
		s.refused(`mutation { updateCustomerV2(input: {customerId: "B", name: "x"}) { customer { name } } }`, nil, "CONVERSION_FAILED", "addresses[0].country")

		// V1 changes it, makes others like it, deletes them and repairs it.
		s.want(`mutation { updateCustomerV1(input: {customerId: "B", city: "x"}) { customer { city country } } }`, nil, `{"updateCustomerV1":{"customer":{"city":"x","country":"Atlantis"}}}`)
		s.want(`mutation { createCustomerV1(input: {customerId: "D", companyName: "d", country: "Mu"}) { customer { country } } }`, nil, `{"createCustomerV1":{"customer":{"country":"Mu"}}}`)
		s.want(`{ migration(entity: CUSTOMER) { quarantine { nodes { key message } } } }`, nil,
			`{"migration":{"quarantine":{"nodes":[{"key":"B","message":"unknown country \"Atlantis\""},{"key":"D","message":"unknown country \"Mu\""}]}}}`)
		s.want(`mutation { deleteCustomerV2(customerId: "D") { deletedKey } }`, nil, `{"deleteCustomerV2":{"deletedKey":"D"}}`)
		s.get(`mutation { updateCustomerV1(input: {customerId: "B", country: "Austria"}) { customer { city } } }`, nil)
		s.want(`{ customerV2(customerId: "B") { addresses { locality countryCode } copy { origin } } migration(entity: CUSTOMER) { quarantine { totalCount } progress { fraction } } }`, nil,
			`{"customerV2":{"addresses":[{"locality":"x","countryCode":"AT"}],"copy":{"origin":"WRITE"}},"migration":{"quarantine":{"totalCount":0},"progress":{"fraction":1}}}`)
	})
}

// Where V2 leads, what either shape cannot hold is refused through the other; in CONTRACT V2 need not fit into V1 any more.
func TestErrorsWhereV2Leads(t *testing.T) {
	t.Parallel()
	eachWorking(t, func(t *testing.T, s *server) {
		s.customers(sampleCustomers(2)...)
		s.orders(sampleOrders(2, 1)...)
		for _, phase := range []repo.Phase{repo.Cutover, repo.Contract, repo.Cutover} {
			s.enter(phase)
			for _, c := range []struct{ mutation, code, field string }{
				{`updateCustomerV1(input: {customerId: "ALFKI", country: "Atlantis"}) { customer { city } }`, "CONVERSION_FAILED", "country"},
				{`createCustomerV1(input: {customerId: "NEW", companyName: "x", country: "Atlantis"}) { customer { city } }`, "CONVERSION_FAILED", "country"},
				{`createOrderV1(input: {details: [{productId: 1, unitPrice: 9.805, quantity: 1}]}) { order { freight } }`, "CONVERSION_FAILED", "details[0].unitPrice"},
				{`updateOrderV1(input: {orderId: "10248", shipCountry: "Mu"}) { order { freight } }`, "CONVERSION_FAILED", "shipCountry"},
				{`updateCustomerV1(input: {customerId: "ALFKI", city: "a city beyond the column"}) { customer { city } }`, "BAD_USER_INPUT", "city"},
				{`updateCustomerV1(input: {customerId: "ALFKI", companyName: null}) { customer { city } }`, "BAD_USER_INPUT", "companyName"},
				{`updateCustomerV2(input: {customerId: "ALFKI", name: " "}) { customer { name } }`, "BAD_USER_INPUT", "name"},
				{`updateCustomerV2(input: {customerId: "NOONE", name: "x"}) { customer { name } }`, "NOT_FOUND", ""},
				{`updateOrderV1(input: {orderId: "7", shipName: "x"}) { order { shipName } }`, "NOT_FOUND", ""},
				{`createCustomerV2(input: {customerId: "ALFKI", name: "x"}) { customer { name } }`, "ALREADY_EXISTS", ""},
				{`createOrderV1(input: {orderId: "10248", details: []}) { order { orderId } }`, "ALREADY_EXISTS", ""},
				{`deleteCustomerV1(customerId: "ALFKI") { deletedKey }`, "CONFLICT", ""},
				{`deleteCustomerV2(customerId: "ALFKI") { deletedKey }`, "CONFLICT", ""},
				{`deleteCustomerV2(customerId: "ALFKI", expectedVersion: 77) { deletedKey }`, "STALE_VERSION", ""},
				{`updateOrderV2(input: {orderId: "10248", expectedVersion: 77, note: "x"}) { order { note } }`, "STALE_VERSION", ""},
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
			// V1 clients read what their shape has a place for, even where the column would be too short, and are told of the rest.
			s.want(`{ a: customerV1(customerId: "S0001") { city } b: customerV1(customerId: "LONG") { companyName } c: orderV1(orderId: "70") { details { quantity } } }`, nil,
				`{"a":{"city":"a city beyond V1's column"},"b":{"companyName":"a company whose name is longer than V1's column for it"},"c":{"details":[{"quantity":40000}]}}`)
			s.want(`{ orderV1(orderId: "10249") { details { unitPrice } } }`, nil, `{"orderV1":{"details":[{"unitPrice":12345678901234567.89}]}}`)
			s.want(`mutation { updateOrderV1(input: {orderId: "10249", shipName: "x"}) { order { details { unitPrice } } } }`, nil, `{"updateOrderV1":{"order":{"details":[{"unitPrice":12345678901234567.89}]}}}`)
			// What was too long before is no fault of the client's who changes something else.
			s.want(`mutation { updateCustomerV1(input: {customerId: "LONG", phone: "1"}) { customer { phone } } }`, nil, `{"updateCustomerV1":{"customer":{"phone":"1"}}}`)
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
			`createCustomerV2(input: {name: "x"}) { customer { name } }`, `updateCustomerV2(input: {customerId: "ALFKI", name: "x"}) { customer { name } }`,
			`createOrderV2(input: {lines: []}) { order { note } }`, `updateOrderV2(input: {orderId: "10248", note: "x"}) { order { note } }`,
		} {
			s.refused("mutation { "+mutation+" }", nil, "V2_NOT_OPEN", "")
		}
		s.want(`mutation { deleteOrderV1(orderId: "10248") { deletedKey } }`, nil, `{"deleteOrderV1":{"deletedKey":"10248"}}`)
	})
}

// What nobody expected is logged with a reference, which is all that a client gets.
func TestInternalError(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *server) {
		s.Orders = nil // panics
		f := s.fails(`query Q { orderV2(orderId: "1") { note } }`, nil, "INTERNAL", "")
		_, reference, found := strings.Cut(f.Message, "internal error, reference ")
		if !found || len(reference) != 12 || len(f.Extensions) != 1 || !strings.Contains(s.log.String(), "reference="+reference+" operation=Q") {
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
		`{ customerV1(customerId: "ALFKI") { city } }`, `{ customersV2 { nodes { name } } }`, `{ migrations { phase } }`, `mutation { deleteOrderV1(orderId: "1") { deletedKey } }`,
	} {
		s.fails(operation, nil, "UNAVAILABLE", "")
	}
	cluster.Restart()
	back := `{ customerV2(customerId: "ALFKI") { name } }`
	repotest.Until(t, "the server is back", func() bool { return len(s.ask(back, nil).Errors) == 0 })
	s.want(back, nil, `{"customerV2":{"name":"Alfreds Futterkiste"}}`)
}
