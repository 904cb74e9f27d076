package resolvers_test

import (
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// V2 in CONTRACT through GraphQL: reads, lists, writes and relations. scripts/check-end.sh runs it once more on an
// engine without the coexistence steps, and without V1's tables.
func TestV2Alone(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		s := newServer(t, url, repo.Contract)
		if _, err := s.raw.Exec("SELECT 1 FROM customers"); (err != nil) != repotest.WithoutV1() {
			t.Fatalf("V1's table is not as it should be: %v", err)
		}
		s.want(`mutation {
			a: createCustomerV2(input: {customerId: "ALFKI", name: "Alfreds Futterkiste", contacts: [{givenName: "Maria", familyName: "Anders"}, {givenName: "Hanna", familyName: "Moos"}], addresses: [{kind: MAIN, locality: "Berlin", country: "Germany"}]}) { customer { version contacts { familyName } } }
			b: createCustomerV2(input: {customerId: "BONAP", name: "Bon app'"}) { customer { version } }
			c: createOrderV2(input: {orderId: "1", customerId: "ALFKI", lines: [{productId: 42, unitPrice: "9.80", quantity: 10, discount: "0.15"}]}) { order { total { amount } } }
			d: createOrderV2(input: {orderId: "2", customerId: "ALFKI", note: "only V2 has it", lines: []}) { order { note } }
		}`, nil, `{"a":{"customer":{"version":1,"contacts":[{"familyName":"Anders"},{"familyName":"Moos"}]}},"b":{"customer":{"version":1}},`+
			`"c":{"order":{"total":{"amount":"83.30"}}},"d":{"order":{"note":"only V2 has it"}}}`)
		s.want(`{
			one: customerV2(customerId: "ALFKI") { name copy { stored origin } orders(first: 1) { totalCount pageInfo { hasNextPage } nodes { orderId lines { total { amount } } customer { name } } } }
			none: customerV2(customerId: "NOONE") { name }
			all: customersV2(orderBy: {field: NAME, direction: DESC}, first: 5) { totalCount nodes { customerId } }
			some: customersV2(filter: {nameContains: "app"}) { totalCount nodes { customerId } }
			orders: ordersV2(filter: {customerId: "ALFKI"}) { nodes { orderId customer { customerId } } }
		}`, nil, `{"one":{"name":"Alfreds Futterkiste","copy":{"stored":true,"origin":"WRITE"},"orders":{"totalCount":2,"pageInfo":{"hasNextPage":true},`+
			`"nodes":[{"orderId":"1","lines":[{"total":{"amount":"83.30"}}],"customer":{"name":"Alfreds Futterkiste"}}]}},"none":null,`+
			`"all":{"totalCount":2,"nodes":[{"customerId":"BONAP"},{"customerId":"ALFKI"}]},"some":{"totalCount":1,"nodes":[{"customerId":"BONAP"}]},`+
			`"orders":{"nodes":[{"orderId":"1","customer":{"customerId":"ALFKI"}},{"orderId":"2","customer":{"customerId":"ALFKI"}}]}}`)
		s.want(
			`mutation { updateCustomerV2(input: {customerId: "ALFKI", expectedVersion: 1, name: "a name of more than the forty characters that V1 had room for"}) { customer { version } } }`, nil,
			`{"updateCustomerV2":{"customer":{"version":2}}}`)
		s.fails(
			`mutation { updateCustomerV2(input: {customerId: "ALFKI", expectedVersion: 1, name: "late"}) { customer { version } } }`, nil, "STALE_VERSION", "")
		s.fails(`mutation { createCustomerV2(input: {customerId: "ALFKI", name: "again"}) { customer { version } } }`,
			nil, "ALREADY_EXISTS", "")
		s.fails(`mutation { createOrderV2(input: {customerId: "NOONE", lines: []}) { order { orderId } } }`, nil,
			"BAD_USER_INPUT", "customerId")
		s.fails(`mutation { deleteCustomerV2(customerId: "ALFKI") { deletedKey } }`, nil, "CONFLICT", "")
		s.want(
			`mutation { c: deleteOrderV2(orderId: "1") { deletedKey } d: deleteOrderV2(orderId: "2") { deletedKey } a: deleteCustomerV2(customerId: "ALFKI") { deletedKey } }`, nil,
			`{"c":{"deletedKey":"1"},"d":{"deletedKey":"2"},"a":{"deletedKey":"ALFKI"}}`)
		s.want(`{ customersV2 { totalCount } customerV2(customerId: "ALFKI") { name } }`, nil,
			`{"customersV2":{"totalCount":1},"customerV2":null}`)
	})
}
