package resolvers_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
	"github.com/alwaysup/coexist/value"
)

// A row that cannot be converted is an error of its own place, with its reason, and goes to quarantine. V1 serves and
// repairs it.
func TestConversionFailure(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		s := newServer(t, url, repo.Expand)
		s.customers(
			models.CustomerV1{CustomerID: "A", CompanyName: "a", Country: new("Germany")},
			models.CustomerV1{CustomerID: "B", CompanyName: "b", Country: new("Atlantis")},
			models.CustomerV1{CustomerID: "C", CompanyName: "c"},
		)
		s.orders(
			models.OrderV1{OrderID: 1, CustomerID: new("B")}, models.OrderV1{
				OrderID: 2, CustomerID: new("A"),
				Freight: new(value.Number("0.005")), Details: []models.OrderDetailV1{{
					ProductID: 1, UnitPrice: "0.005",
					Quantity: 1, Discount: "0",
				}},
			},
			models.OrderV1{
				OrderID: 3, CustomerID: new("A"),
				Details: []models.OrderDetailV1{
					{ProductID: 1, UnitPrice: "1", Quantity: 1, Discount: "0"},
					{ProductID: 2, UnitPrice: "9.805", Quantity: 1, Discount: "0"},
				},
			},
			models.OrderV1{OrderID: 4, CustomerID: new("A"), ShippedDate: nil},
		)
		for _, phase := range []repo.Phase{repo.Expand, repo.Migrate} {
			s.phase(phase)
			failure := s.fails(`{ customerV2(customerId: "B") { name } }`, nil, "CONVERSION_FAILED",
				"addresses[0].country")
			if !strings.Contains(failure.Message, "Atlantis") || failure.path() != "customerV2" {
				t.Errorf("got %+v", failure)
			}
			s.fails(`{ orderV2(orderId: "2") { note } }`, nil, "CONVERSION_FAILED", "lines[0].unitPrice")
			s.fails(`{ orderV2(orderId: "3") { note } }`, nil, "CONVERSION_FAILED", "lines[1].unitPrice")
			s.fails(`{ node(id: "Q3VzdG9tZXJWMjpC") { id } }`, nil, "CONVERSION_FAILED", "addresses[0].country")
			for _, c := range []struct{ query, data, paths string }{
				{
					`{ customersV2 { nodes { name } } }`, `{"customersV2":{"nodes":[{"name":"a"},null,{"name":"c"}]}}`,
					"customersV2.nodes.1",
				},
				{
					`{ x: customersV2 { y: nodes { name orders { nodes { status } } } } }`,
					`{"x":{"y":[{"name":"a","orders":{"nodes":[null,null,{"status":"PLACED"}]}},null,{"name":"c","orders":{"nodes":[]}}]}}`,
					"x.y.0.orders.nodes.0 x.y.0.orders.nodes.1 x.y.1",
				},
				{
					`{ customersV2 { edges { node { name } } } }`,
					`{"customersV2":{"edges":[{"node":{"name":"a"}},{"node":null},{"node":{"name":"c"}}]}}`,
					"customersV2.edges.1.node",
				},
				{
					`{ customersV2 { nodes { name } e: edges { a: node { name } b: node { name } } } }`,
					`{"customersV2":{"nodes":[{"name":"a"},null,{"name":"c"}],"e":[{"a":{"name":"a"},"b":{"name":"a"}},{"a":null,"b":null},{"a":{"name":"c"},"b":{"name":"c"}}]}}`,
					"customersV2.e.1.a customersV2.e.1.b customersV2.nodes.1",
				},
				{
					`{ customersV2 { edges { cursor: __typename } totalCount } }`,
					`{"customersV2":{"edges":[{"cursor":"CustomerV2Edge"},{"cursor":"CustomerV2Edge"},{"cursor":"CustomerV2Edge"}],"totalCount":3}}`, "",
				},
				{
					`{ ordersV2 { nodes { customer { name } } } }`,
					`{"ordersV2":{"nodes":[{"customer":null},null,null,{"customer":{"name":"a"}}]}}`,
					"ordersV2.nodes.0.customer ordersV2.nodes.1 ordersV2.nodes.2",
				},
				{
					`{ nodes(ids: ["Q3VzdG9tZXJWMjpC", "Q3VzdG9tZXJWMjpD"]) { id } }`,
					`{"nodes":[null,{"id":"Q3VzdG9tZXJWMjpD"}]}`, "nodes.0",
				},
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
		s.want(
			`{ migration(entity: CUSTOMER) { quarantine { totalCount nodes { key code field message mappingVersion attempts } } progress { total migrated quarantined fraction } } }`, nil,
			`{"migration":{"quarantine":{"totalCount":1,"nodes":[{"key":"B","code":"CONVERSION_FAILED","field":"country","message":"unknown country \"Atlantis\"","mappingVersion":1,"attempts":1}]},
			"progress":{"total":3,"migrated":2,"quarantined":1,"fraction":0.6666666666666666}}}`)
		s.want(`{ migration(entity: ORDER) { quarantine { nodes { key field } } } }`, nil,
			`{"migration":{"quarantine":{"nodes":[{"key":"2","field":"details[0].unitPrice"},{"key":"3","field":"details[1].unitPrice"}]}}}`)
		s.refused(`mutation { updateCustomerV2(input: {customerId: "B", name: "x"}) { customer { name } } }`, nil,
			"CONVERSION_FAILED", "addresses[0].country")

		// V1 changes it, makes others like it, deletes them and repairs it.
		s.want(`mutation { updateCustomerV1(input: {customerId: "B", city: "x"}) { customer { city country } } }`, nil,
			`{"updateCustomerV1":{"customer":{"city":"x","country":"Atlantis"}}}`)
		s.want(
			`mutation { createCustomerV1(input: {customerId: "D", companyName: "d", country: "Mu"}) { customer { country } } }`, nil, `{"createCustomerV1":{"customer":{"country":"Mu"}}}`)
		s.want(`{ migration(entity: CUSTOMER) { quarantine { nodes { key message } } } }`, nil,
			`{"migration":{"quarantine":{"nodes":[{"key":"B","message":"unknown country \"Atlantis\""},{"key":"D","message":"unknown country \"Mu\""}]}}}`)
		s.want(`mutation { deleteCustomerV2(customerId: "D") { deletedKey } }`, nil,
			`{"deleteCustomerV2":{"deletedKey":"D"}}`)
		s.get(`mutation { updateCustomerV1(input: {customerId: "B", country: "Austria"}) { customer { city } } }`, nil)
		s.want(
			`{ customerV2(customerId: "B") { addresses { locality countryCode } copy { origin } } migration(entity: CUSTOMER) { quarantine { totalCount } progress { fraction } } }`, nil,
			`{"customerV2":{"addresses":[{"locality":"x","countryCode":"AT"}],"copy":{"origin":"WRITE"}},"migration":{"quarantine":{"totalCount":0},"progress":{"fraction":1}}}`)
	})
}
