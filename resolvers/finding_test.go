package resolvers_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
)

// findings returns a run's findings, like "DIFFERENT A name repaired", and checks that pages of every size give the
// same.
func (s *server) findings(id string) []string {
	s.t.Helper()
	var whole []string
	for _, first := range []int{100, 1, 3} {
		var found []string
		var after *string
		for page := 0; ; page++ {
			var got struct {
				Run struct {
					Findings struct {
						Edges []struct {
							Cursor string
							Node   struct{ Key string }
						}
						Nodes []struct {
							Key, Kind string
							Fields    []string
							Repaired  bool
						}
						PageInfo struct {
							HasNextPage, HasPreviousPage bool
							StartCursor, EndCursor       *string
						}
						TotalCount int
					}
				}
			}
			s.into(&got, `query($id: ID!, $first: Int, $after: String) { run(id: $id) { findings(first: $first, after: $after) { edges { cursor node { key } }
				nodes { key kind fields repaired } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount } } }`, vars{"id": id, "first": first, "after": after})
			f := got.Run.Findings
			for i, n := range f.Nodes {
				if f.Edges[i].Node.Key != n.Key || n.Fields == nil {
					s.t.Errorf("edges and nodes differ, or fields are null: %+v", f)
				}
				line := strings.TrimSpace(fmt.Sprintf("%s %s %s", n.Kind, n.Key, strings.Join(n.Fields, ",")))
				if n.Repaired {
					line += " repaired"
				}
				found = append(found, line)
			}
			if f.PageInfo.HasPreviousPage != (page > 0) || whole != nil && f.TotalCount != len(whole) {
				s.t.Errorf("page %d of %d: %+v", page, first, f)
			}
			if after = f.PageInfo.EndCursor; !f.PageInfo.HasNextPage {
				break
			}
		}
		if whole == nil {
			whole = append([]string{}, found...)
		}
		if strings.Join(found, "\n") != strings.Join(whole, "\n") {
			s.t.Errorf("pages of %d: %v, want %v", first, found, whole)
		}
	}
	return whole
}

// verify verifies customers, and compares what was found.
func (s *server) verify(repair string, want ...string) run {
	s.t.Helper()
	r := s.succeed("startVerification", vars{"entity": "CUSTOMER", "repair": repair})
	got := s.findings(r.ID) // in the order in which they were made, which is not that of the keys
	slices.Sort(got)
	slices.Sort(want)
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		s.t.Errorf("the verification with repair %s found %q, want %q", repair, got, want)
	}
	return r
}

// A verification finds what differs on either side, names the fields, repairs it after the side that leads, and stays
// red.
func TestFindings(t *testing.T) {
	t.Parallel()
	eachWorking(t, func(t *testing.T, s *server) {
		s.phase(repo.Migrate)
		for _, key := range []string{"A", "B", "C", "D", "E"} {
			s.customers(models.CustomerV1{CustomerID: key, CompanyName: key, Country: new("UK"), City: new("Bath")})
		}
		s.customers(models.CustomerV1{CustomerID: "Q", CompanyName: "q", Country: new("Atlantis")})
		s.get(
			`mutation { updateCustomerV2(input: {customerId: "B", contacts: [{givenName: "Ana", familyName: "One"}, {givenName: "Eva", familyName: "Two"}]}) { customer { name } } }`, nil)
		s.succeed("startSweep", vars{"entity": "CUSTOMER"})
		s.exec(`UPDATE customers_v2 SET name = 'wrong' WHERE customer_id = 'A'`)
		s.exec(`UPDATE customer_v2_contacts SET display_name = 'wrong' WHERE customer_id = 'B' AND family_name = 'One'`)
		// V2's own
		s.exec(`UPDATE customer_v2_contacts SET family_name = 'Three' WHERE customer_id = 'B' AND family_name = 'Two'`)
		s.exec(`UPDATE customer_v2_addresses SET country_code = 'AT' WHERE customer_id = 'C'`)
		s.exec(`UPDATE customers SET company_name = 'D2' WHERE customer_id = 'D'`)
		// A V2 row that V1 never had.
		s.get(
			`mutation { createCustomerV1(input: {customerId: "O", companyName: "o"}) { customer { city } } setCapture(input: {entity: CUSTOMER, enabled: false}) { migration { id } } }`, nil)
		s.exec(`DELETE FROM customers WHERE customer_id = 'O'`)

		red := s.verify("NONE", "STALE D", "MISSING Q", "DIFFERENT A companyName", "DIFFERENT B contactName",
			"DIFFERENT C addresses[0].countryCode", "ORPHAN O")
		s.want(`query($id: ID!) { run(id: $id) { kind done faults migrated quarantined } }`, vars{"id": red.ID},
			`{"run":{"kind":"VERIFICATION","done":7,"faults":4,"migrated":0,"quarantined":0}}`)
		s.want(`{ a: customerV2(customerId: "A") { name } }`, nil, `{"a":{"name":"wrong"}}`) // nothing was touched
		repaired := s.verify("FROM_SOURCE_OF_TRUTH",
			"STALE D", "MISSING Q", "DIFFERENT A companyName repaired", "DIFFERENT B contactName repaired",
			"DIFFERENT C addresses[0].countryCode repaired", "ORPHAN O repaired")
		s.want(`query($id: ID!) { run(id: $id) { faults } }`, vars{"id": repaired.ID}, `{"run":{"faults":4}}`)
		s.want(`{ a: customerV2(customerId: "A") { name copy { origin } } b: customerV2(customerId: "B") { contacts { displayName familyName } } c: customerV2(customerId: "C") { addresses { countryCode } }
			d: customerV2(customerId: "D") { name } o: customerV2(customerId: "O") { name } }`, nil,
			`{"a":{"name":"A","copy":{"origin":"REPAIR"}},"b":{"contacts":[{"displayName":"Ana One","familyName":"One"},{"displayName":"Eva Two","familyName":"Three"}]},
			"c":{"addresses":[{"countryCode":"GB"}]},"d":{"name":"D2"},"o":null}`)
		s.want(`{ customerV2(customerId: "D") { copy { stored } } }`, nil, `{"customerV2":{"copy":{"stored":true}}}`)
		s.verify("NONE", "MISSING Q")

		// Where V2 leads V1 is repaired.
		s.get(
			`mutation { setCapture(input: {entity: CUSTOMER, enabled: true}) { migration { id } } updateCustomerV1(input: {customerId: "Q", country: "France"}) { customer { city } } }`, nil)
		s.enter(repo.Cutover)
		s.verify("NONE")
		s.get(`mutation { setCapture(input: {entity: CUSTOMER, enabled: false}) { migration { id } } }`, nil)
		s.exec(`UPDATE customers SET city = 'wrong', country = NULL WHERE customer_id = 'A'`)
		s.exec(`DELETE FROM customers WHERE customer_id = 'B'`)
		s.exec(`INSERT INTO customers (customer_id, company_name) VALUES ('N', 'n')`)
		s.verify("NONE", "DIFFERENT A city,country", "ORPHAN B", "MISSING N")
		s.want(`{ customersV1 { nodes { city } } }`, nil,
			`{"customersV1":{"nodes":[{"city":"Bath"},{"city":"Bath"},{"city":"Bath"},{"city":"Bath"},{"city":"Bath"},{"city":null}]}}`)
		// What V2 never had is not deleted from V1.
		s.verify("FROM_SOURCE_OF_TRUTH", "DIFFERENT A city,country repaired", "ORPHAN B repaired", "MISSING N")
		s.verify("NONE", "MISSING N")
		if rows := s.lines("SELECT customer_id FROM customers WHERE customer_id IN ('A', 'B', 'N')"); len(rows) != 3 {
			t.Errorf("V1 has %v", rows)
		}
		for field, arguments := range map[string]string{"first": "first: 101", "after": `after: "x"`} {
			s.fails(`query($id: ID!) { run(id: $id) { findings(`+arguments+`) { totalCount } } }`, vars{"id": red.ID},
				"BAD_USER_INPUT", field)
		}
		s.want(
			`query($id: ID!) { run(id: $id) { findings(first: 0) { edges { cursor } nodes { key } pageInfo { hasNextPage startCursor } totalCount } } }`, vars{"id": red.ID},
			`{"run":{"findings":{"edges":[],"nodes":[],"pageInfo":{"hasNextPage":true,"startCursor":null},"totalCount":6}}}`)
	})
}
