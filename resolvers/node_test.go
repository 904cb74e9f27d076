package resolvers_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
)

func globalID(kind, key string) string {
	return base64.StdEncoding.EncodeToString([]byte(kind + ":" + key))
}

// Whatever has a global id is found again by it.
func TestNodes(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *server) {
		s.customers(sampleCustomers(3)...)
		s.orders(sampleOrders(3, 3)...)
		var run struct {
			StartSweep struct{ Run struct{ ID string } }
		}
		s.into(&run, `mutation { startSweep(input: {entity: ORDER}) { run { id } } }`, nil)
		var ids struct {
			CustomerV2, OrderV2 struct{ ID string }
			Migration           struct{ ID string }
			Customers           struct {
				Nodes []struct{ ID, CustomerID string }
			}
		}
		s.into(&ids,
			`{ customerV2(customerId: "ALFKI") { id } orderV2(orderId: "10248") { id } migration(entity: CUSTOMER) { id } customers: customersV2 { nodes { id customerId } } }`, nil)
		seen := map[string]bool{}
		for id, want := range map[string]string{
			ids.CustomerV2.ID:     `{"__typename":"CustomerV2","id":"%s","customerId":"ALFKI"}`,
			ids.OrderV2.ID:        `{"__typename":"OrderV2","id":"%s","orderId":"10248","customer":{"name":"Alfreds Futterkiste"}}`,
			ids.Migration.ID:      `{"__typename":"Migration","id":"%s","phase":"MIGRATE"}`,
			run.StartSweep.Run.ID: `{"__typename":"Run","id":"%s","kind":"SWEEP","entity":"ORDER"}`,
		} {
			const fields = `{ __typename id ... on CustomerV2 { customerId } ... on OrderV2 { orderId customer { name } } ... on Migration { phase } ... on Run { kind entity } }`
			want = fmt.Sprintf(want, id)
			s.want(`query($id: ID!) { node(id: $id) `+fields+` }`, vars{"id": id}, `{"node":`+want+`}`)
			nobody := globalID("CustomerV2", "NOONE")
			s.want(`query($ids: [ID!]!) { nodes(ids: $ids) `+fields+` }`, vars{"ids": []string{nobody, id, nobody, id}},
				`{"nodes":[null,`+want+`,null,`+want+`]}`)
			seen[id] = true
		}
		if len(seen) != 4 || ids.Customers.Nodes[0].ID != ids.CustomerV2.ID {
			t.Errorf("ids are not unique or not stable: %v", seen)
		}
		s.want(`{ nodes(ids: []) { id } }`, nil, `{"nodes":[]}`)
		// Well-formed ids of nothing.
		for _, id := range []string{
			globalID("CustomerV2", "NOONE"), globalID("CustomerV2", ""), globalID("CustomerV2", "\x00"),
			globalID("OrderV2", "1"), globalID("OrderV2", "x"), globalID("OrderV2", "010248"),
			globalID("Migration", "PRODUCT"), globalID("Run", "99"), globalID("Run", "-1"), globalID("Run", "x"),
			globalID("Run", "99999999999999999999"),
		} {
			s.want(`query($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } }`, vars{"id": id},
				`{"node":null,"nodes":[null]}`)
		}
		s.want(`query($id: ID!) { run(id: $id) { id } }`, vars{"id": globalID("Run", "99")}, `{"run":null}`)
		// What is no global id at all.
		for _, id := range []string{
			"", "ALFKI", "10248", "*", globalID("CustomerV1", "ALFKI"), globalID("", "ALFKI"),
			globalID("customerv2", "ALFKI"), base64.StdEncoding.EncodeToString([]byte("CustomerV2")),
			strings.TrimRight(globalID("CustomerV2", "ALFKI"), "=") + "!",
			base64.StdEncoding.EncodeToString([]byte("CustomerV2:\xff")), strings.Repeat("A", 100_000),
		} {
			s.fails(`query($id: ID!) { node(id: $id) { id } }`, vars{"id": id}, "BAD_USER_INPUT", "id")
			s.fails(`query($id: ID!) { nodes(ids: ["`+ids.OrderV2.ID+`", $id]) { id } }`, vars{"id": id},
				"BAD_USER_INPUT", "ids")
		}
		for _, mutation := range []string{"pauseRun", "resumeRun", "cancelRun"} {
			s.refused(`mutation($id: ID!) { m: `+mutation+`(id: $id) { run { id } } }`,
				vars{"id": globalID("Run", "99")}, "NOT_FOUND", "")
			s.refused(`mutation($id: ID!) { m: `+mutation+`(id: $id) { run { id } } }`, vars{"id": ids.OrderV2.ID},
				"BAD_USER_INPUT", "id")
		}
	})
}
