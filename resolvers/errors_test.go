package resolvers_test

import (
	"math"
	"strings"
	"testing"
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
			{
				`createCustomerV1(input: {customerId: "ALFKI", companyName: "x"}) { customer { city } }`,
				"ALREADY_EXISTS", "",
			},
			{`createCustomerV2(input: {customerId: "ALFKI", name: "x"}) { customer { name } }`, "ALREADY_EXISTS", ""},
			{`createOrderV1(input: {orderId: "10248", details: []}) { order { orderId } }`, "ALREADY_EXISTS", ""},
			{`createOrderV2(input: {orderId: 10248, lines: []}) { order { orderId } }`, "ALREADY_EXISTS", ""},
			{`deleteCustomerV1(customerId: "ALFKI") { deletedKey }`, "CONFLICT", ""},
			{`deleteCustomerV2(customerId: "ALFKI") { deletedKey }`, "CONFLICT", ""},
			{
				`createCustomerV1(input: {customerId: "", companyName: "x"}) { customer { city } }`,
				"BAD_USER_INPUT", "customerId",
			},
			{
				`createCustomerV2(input: {customerId: "", name: "x"}) { customer { name } }`,
				"BAD_USER_INPUT", "customerId",
			},
			{
				`createCustomerV1(input: {customerId: "TOOLONG", companyName: "x"}) { customer { city } }`,
				"BAD_USER_INPUT", "customerId",
			},
			{
				`createCustomerV2(input: {customerId: "TOOLONG", name: "x"}) { customer { name } }`,
				"BAD_USER_INPUT", "customerId",
			},
			{
				`createCustomerV2(input: {customerId: "A\u0000", name: "x"}) { customer { name } }`,
				"BAD_USER_INPUT", "customerId",
			},
			{
				`createCustomerV1(input: {customerId: " A", companyName: "x"}) { customer { city } }`,
				"BAD_USER_INPUT", "customerId",
			},
			{
				`createCustomerV2(input: {customerId: "A ", name: "x"}) { customer { name } }`,
				"BAD_USER_INPUT", "customerId",
			},
			{`createOrderV1(input: {orderId: "", details: []}) { order { orderId } }`, "BAD_USER_INPUT", "orderId"},
			{`createOrderV1(input: {orderId: "x", details: []}) { order { orderId } }`, "BAD_USER_INPUT", "orderId"},
			{`createOrderV2(input: {orderId: "0", lines: []}) { order { orderId } }`, "BAD_USER_INPUT", "orderId"},
			{`createOrderV2(input: {orderId: "-1", lines: []}) { order { orderId } }`, "BAD_USER_INPUT", "orderId"},
			{`createOrderV2(input: {orderId: "007", lines: []}) { order { orderId } }`, "BAD_USER_INPUT", "orderId"},
			{
				`createOrderV2(input: {orderId: "2147483648", lines: []}) { order { orderId } }`,
				"BAD_USER_INPUT", "orderId",
			},
			{
				`createOrderV1(input: {orderId: "99999999999999999999", details: []}) { order { orderId } }`,
				"BAD_USER_INPUT", "orderId",
			},

			// Customers in the old shape.
			{
				`updateCustomerV1(input: {customerId: "ALFKI", companyName: null}) { customer { city } }`,
				"BAD_USER_INPUT", "companyName",
			},
			{
				`updateCustomerV1(input: {customerId: "ALFKI", companyName: ""}) { customer { city } }`,
				"BAD_USER_INPUT", "companyName",
			},
			{
				`createCustomerV1(input: {customerId: "NEW", companyName: " "}) { customer { city } }`,
				"BAD_USER_INPUT", "companyName",
			},
			{
				`updateCustomerV1(input: {customerId: "ALFKI", companyName: "` + long(41) + `"}) { customer { city } }`,
				"BAD_USER_INPUT", "companyName",
			},
			{
				`updateCustomerV1(input: {customerId: "ALFKI", city: "` + long(16) + `"}) { customer { city } }`,
				"BAD_USER_INPUT", "city",
			},
			{
				`createCustomerV1(input: {companyName: "x", phone: "` + long(25) + `"}) { customer { city } }`,
				"BAD_USER_INPUT", "phone",
			},
			{
				`updateCustomerV1(input: {customerId: "ALFKI", contactName: "a\u0000b"}) { customer { city } }`,
				"BAD_USER_INPUT", "contactName",
			},

			// Customers in the new shape.
			{
				`updateCustomerV2(input: {customerId: "ALFKI", name: null}) { customer { name } }`,
				"BAD_USER_INPUT", "name",
			},
			{
				`updateCustomerV2(input: {customerId: "ALFKI", name: " "}) { customer { name } }`,
				"BAD_USER_INPUT", "name",
			},
			{
				`updateCustomerV2(input: {customerId: "ALFKI", name: "a\u0000b"}) { customer { name } }`,
				"BAD_USER_INPUT", "name",
			},
			{`updateCustomerV2(input: {customerId: "ALFKI", contacts: [{givenName: "", familyName: "x"}, {givenName: "", familyName: ""}]}) { customer { name } }`, "BAD_USER_INPUT", "contacts[1].displayName"},
			{`updateCustomerV2(input: {customerId: "ALFKI", contacts: [{givenName: "a", familyName: "b\u0000"}]}) { customer { name } }`, "BAD_USER_INPUT", "contacts[0].displayName"},
			{`updateCustomerV2(input: {customerId: "ALFKI", addresses: [{country: "Germany"}, {kind: BILLING, countryCode: "UK"}]}) { customer { name } }`, "BAD_USER_INPUT", "addresses[1].countryCode"},
			{
				`updateCustomerV2(input: {customerId: "ALFKI", addresses: [{countryCode: "de"}]}) { customer { name } }`,
				"BAD_USER_INPUT", "addresses[0].countryCode",
			},
			{
				`updateCustomerV2(input: {customerId: "ALFKI", addresses: [{countryCode: "DEU"}]}) { customer { name } }`,
				"BAD_USER_INPUT", "addresses[0].countryCode",
			},
			{
				`updateCustomerV2(input: {customerId: "ALFKI", addresses: [{country: "Atlantis"}]}) { customer { name } }`,
				"BAD_USER_INPUT", "addresses[0].country",
			},
			{`updateCustomerV2(input: {customerId: "ALFKI", addresses: [{country: "Germany", countryCode: "FR"}]}) { customer { name } }`, "BAD_USER_INPUT", "addresses[0].countryCode"},
			{`updateCustomerV2(input: {customerId: "ALFKI", phones: [{kind: VOICE, number: "1"}, {kind: MOBILE, number: " "}]}) { customer { name } }`, "BAD_USER_INPUT", "phones[1].number"},
			{
				`updateCustomerV2(input: {customerId: "ALFKI", name: "` + long(41) + `"}) { customer { name } }`,
				"NOT_REPRESENTABLE_IN_V1", "name",
			},
			{
				`createCustomerV2(input: {name: "` + long(41) + `"}) { customer { name } }`,
				"NOT_REPRESENTABLE_IN_V1", "name",
			},
			{`updateCustomerV2(input: {customerId: "ALFKI", addresses: [{locality: "` + long(16) +
				`"}]}) { customer { name } }`, "NOT_REPRESENTABLE_IN_V1", "addresses[0].locality"},
			{
				`updateCustomerV2(input: {customerId: "ALFKI", addresses: [{kind: BILLING, locality: "` + long(16) +
					`"}, {postalCode: "` + long(11) + `"}]}) { customer { name } }`, "NOT_REPRESENTABLE_IN_V1",
				"addresses[1].postalCode",
			},
			{`updateCustomerV2(input: {customerId: "ALFKI", contacts: [{givenName: "` + long(15) + `", familyName: "` +
				long(15) + `"}]}) { customer { name } }`, "NOT_REPRESENTABLE_IN_V1", "contacts[0].displayName"},
			{`updateCustomerV2(input: {customerId: "ALFKI", contacts: [{givenName: "a", familyName: "b", title: "` +
				long(31) + `"}]}) { customer { name } }`, "NOT_REPRESENTABLE_IN_V1", "contacts[0].title"},
			{
				`updateCustomerV2(input: {customerId: "ALFKI", phones: [{kind: MOBILE, number: "` + long(25) +
					`"}, {kind: FAX, number: "` + long(25) + `"}]}) { customer { name } }`, "NOT_REPRESENTABLE_IN_V1",
				"phones[1].number",
			},

			// Orders in the old shape.
			{
				`updateOrderV1(input: {orderId: "10248", customerId: "NOONE"}) { order { orderId } }`,
				"BAD_USER_INPUT", "customerId",
			},
			{
				`createOrderV1(input: {customerId: "MUCH TOO LONG", details: []}) { order { orderId } }`,
				"BAD_USER_INPUT", "customerId",
			},
			{
				`updateOrderV1(input: {orderId: "10248", freight: -0.01}) { order { orderId } }`,
				"BAD_USER_INPUT", "freight",
			},
			{
				`updateOrderV1(input: {orderId: "10248", employeeId: 32768}) { order { orderId } }`,
				"BAD_USER_INPUT", "employeeId",
			},
			{`updateOrderV1(input: {orderId: "10248", details: [{productId: 1, unitPrice: 1, quantity: 1}, {productId: 2, unitPrice: 1, quantity: 0}]}) { order { orderId } }`, "BAD_USER_INPUT", "details[1].quantity"},
			{`updateOrderV1(input: {orderId: "10248", details: [{productId: 1, unitPrice: -1, quantity: 1}]}) { order { orderId } }`, "BAD_USER_INPUT", "details[0].unitPrice"},
			{`updateOrderV1(input: {orderId: "10248", details: [{productId: 1, unitPrice: 1, quantity: 1, discount: 1.5}]}) { order { orderId } }`, "BAD_USER_INPUT", "details[0].discount"},
			{`updateOrderV1(input: {orderId: "10248", details: [{productId: 1, unitPrice: 1, quantity: 40000}]}) { order { orderId } }`, "BAD_USER_INPUT", "details[0].quantity"},
			{`createOrderV1(input: {details: [{productId: 1, unitPrice: 1, quantity: 1}, {productId: 1, unitPrice: 1, quantity: 1}]}) { order { orderId } }`, "BAD_USER_INPUT", "details[1].productId"},

			// Orders in the new shape.
			{
				`updateOrderV2(input: {orderId: "10248", customerId: "NOONE"}) { order { orderId } }`,
				"BAD_USER_INPUT", "customerId",
			},
			{
				`createOrderV2(input: {customerId: "NOONE", lines: []}) { order { orderId } }`,
				"BAD_USER_INPUT", "customerId",
			},
			{
				`updateOrderV2(input: {orderId: "10248", employeeId: 32768}) { order { orderId } }`,
				"NOT_REPRESENTABLE_IN_V1", "employeeId",
			},
			{`updateOrderV2(input: {orderId: "10248", lines: [{productId: 1, unitPrice: "1", quantity: -1}]}) { order { orderId } }`, "BAD_USER_INPUT", "lines[0].quantity"},
			{`updateOrderV2(input: {orderId: "10248", lines: [{productId: 1, unitPrice: "-1", quantity: 1}]}) { order { orderId } }`, "BAD_USER_INPUT", "lines[0].unitPrice"},
			{`updateOrderV2(input: {orderId: "10248", lines: [{productId: 1, unitPrice: "1", quantity: 1, discount: "1.01"}]}) { order { orderId } }`, "BAD_USER_INPUT", "lines[0].discount"},
			{`updateOrderV2(input: {orderId: "10248", lines: [{productId: 1, unitPrice: "1", quantity: 1}, {productId: 1, unitPrice: "1", quantity: 1}]}) { order { orderId } }`, "BAD_USER_INPUT", "lines[1].productId"},
			{
				`updateOrderV2(input: {orderId: "10248", shipment: {freight: "-0.01"}}) { order { orderId } }`,
				"BAD_USER_INPUT", "shipment.freight",
			},
			{
				`updateOrderV2(input: {orderId: "10248", shipment: {address: {countryCode: "XX"}}}) { order { orderId } }`,
				"BAD_USER_INPUT", "shipment.address.countryCode",
			},
			{
				`updateOrderV2(input: {orderId: "10248", note: "a\u0000b"}) { order { orderId } }`,
				"BAD_USER_INPUT", "note",
			},
			{`updateOrderV2(input: {orderId: "10248", shipment: {recipient: "` + long(41) +
				`"}}) { order { orderId } }`, "NOT_REPRESENTABLE_IN_V1", "shipment.recipient"},
			{`updateOrderV2(input: {orderId: "10248", shipment: {address: {locality: "` + long(16) +
				`"}}}) { order { orderId } }`, "NOT_REPRESENTABLE_IN_V1", "shipment.address.locality"},
			{`updateOrderV2(input: {orderId: "10248", lines: [{productId: 1, unitPrice: "12345678901234567.89", quantity: 1}]}) { order { orderId } }`, "NOT_REPRESENTABLE_IN_V1", "lines[0].unitPrice"},
			{`updateOrderV2(input: {orderId: "10248", lines: [{productId: 1, unitPrice: "1", quantity: 1, discount: "0.12345678901234567891"}]}) { order { orderId } }`, "NOT_REPRESENTABLE_IN_V1", "lines[0].discount"},
			{`updateOrderV2(input: {orderId: "10248", lines: [{productId: 2, unitPrice: "1", quantity: 1}, {productId: 1, unitPrice: "1", quantity: 40000}]}) { order { orderId } }`, "NOT_REPRESENTABLE_IN_V1", "lines[1].quantity"},

			// Values that are none of their type: the field is where the value stands.
			{
				`updateOrderV1(input: {orderId: "10248", orderDate: "1996-02-30"}) { order { orderId } }`,
				"BAD_USER_INPUT", "orderDate",
			},
			{
				`updateOrderV2(input: {orderId: "10248", placedOn: "4.7.1996"}) { order { orderId } }`,
				"BAD_USER_INPUT", "placedOn",
			},
			{
				`updateOrderV2(input: {orderId: "10248", shipment: {freight: "1e3"}}) { order { orderId } }`,
				"BAD_USER_INPUT", "shipment.freight",
			},
			{`updateOrderV2(input: {orderId: "10248", lines: [{productId: 1, unitPrice: "1", quantity: 1}, {productId: 2, unitPrice: "9.805", quantity: 1}]}) { order { orderId } }`, "BAD_USER_INPUT", "lines[1].unitPrice"},
			{`updateOrderV2(input: {orderId: "10248", lines: [{productId: 1, unitPrice: "1", quantity: 1, discount: "5."}]}) { order { orderId } }`, "BAD_USER_INPUT", "lines[0].discount"},
			{
				`updateOrderV2(input: {orderId: "10248", employeeId: 99999999999}) { order { orderId } }`,
				"BAD_USER_INPUT", "employeeId",
			},

			// Requests that are no requests.
			{`updateOrderV2(input: {orderId: true}) { order { orderId } }`, "BAD_USER_INPUT", ""},
			{`updateOrderV2(input: {}) { order { orderId } }`, "BAD_USER_INPUT", ""},
			{
				`updateOrderV2(input: {orderId: "10248", lines: null, nothing: 1}) { order { orderId } }`,
				"BAD_USER_INPUT", "",
			},
			{
				`createCustomerV2(input: {name: "x", phones: [{kind: PAGER, number: "1"}]}) { customer { name } }`,
				"BAD_USER_INPUT", "",
			},
			{`dropTables`, "BAD_USER_INPUT", ""},
			{`{`, "BAD_USER_INPUT", ""},
		} {
			s.refused("mutation { "+c.mutation+" }", nil, c.code, c.field)
		}
		// The same in variables.
		const update = `mutation($input: UpdateOrderV2Input!) { updateOrderV2(input: $input) { order { note } } }`
		for field, input := range map[string]vars{
			"placedOn":         {"placedOn": "1996-13-01"},
			"requiredBy":       {"requiredBy": 19960704},
			"shipment.freight": {"shipment": vars{"freight": 0.1}},
			"lines[1].unitPrice": {"lines": []vars{
				{"productId": 1, "unitPrice": "1", "quantity": 1},
				{"productId": 2, "unitPrice": "x", "quantity": 1},
			}},
			"employeeId": {"employeeId": math.MaxInt64},
			"note":       {"note": "a\x00b"},
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
			{"lines[0].quantity", vars{
				"orderId": "10248",
				"lines":   []vars{{"productId": 1, "unitPrice": "1", "quantity": 1.5}},
			}},
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
		for _, key := range []string{
			"NOONE", "", "MUCH TOO LONG", "alfki", "\u0000", "0", "-1", "01",
			"99999999999999999999", "x", "\uFFFD",
		} {
			s.want(
				`query($k: ID!) { customerV1(customerId: $k) { city } customerV2(customerId: $k) { name } orderV1(orderId: $k) { freight } orderV2(orderId: $k) { note } }`, vars{"k": key},
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
			// {"e":"ORDER","k":"10248"}: a key that a customer could have
			{`customersV2(after: "eyJlIjoiT1JERVIiLCJrIjoiMTAyNDgifQ") { totalCount }`, "after"},
			{`run(id: "x") { id }`, "id"},
			{`run(id: "UnVuOng=") { id }`, "id"},
			{`run(id: "Q3VzdG9tZXJWMjpBTEZLSQ==") { id }`, "id"},
			{`migration(entity: ORDER) { quarantine(after: "\u0000") { totalCount } }`, "after"},
		} {
			s.fails("{ "+c.query+" }", nil, "BAD_USER_INPUT", c.field)
		}
	})
}
