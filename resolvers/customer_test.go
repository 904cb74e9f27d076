package resolvers_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

const (
	allOfCustomerV1 = `{ customerId companyName contactName contactTitle address city region postalCode country phone fax }`
	allOfCustomerV2 = `{ customerId name contacts { displayName givenName familyName title }
	addresses { kind street locality region postalCode country countryCode } phones { kind number } version copy { stored refined origin mappingVersion } }`
)

// A customer's life through both shapes: each write is seen by the other.
func TestCustomer(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *server) {
		s.want(`mutation { createCustomerV1(input: {customerId: "ANTON", companyName: "Antonio Moreno", contactName: "Isabel de Castro", contactTitle: "Owner",
			address: "Mataderos  2312", city: "London", postalCode: "05023", country: "UK", phone: "(5) 555-3932"}) { customer `+allOfCustomerV1+` } }`, nil,
			`{"createCustomerV1":{"customer":{"customerId":"ANTON","companyName":"Antonio Moreno","contactName":"Isabel de Castro","contactTitle":"Owner",
			"address":"Mataderos  2312","city":"London","region":null,"postalCode":"05023","country":"UK","phone":"(5) 555-3932","fax":null}}}`)
		s.want(`{ customerV2(customerId: "ANTON") `+allOfCustomerV2+` }`, nil,
			`{"customerV2":{"customerId":"ANTON","name":"Antonio Moreno","contacts":[{"displayName":"Isabel de Castro","givenName":"Isabel","familyName":"de Castro","title":"Owner"}],
			"addresses":[{"kind":"MAIN","street":"Mataderos  2312","locality":"London","region":null,"postalCode":"05023","country":"UK","countryCode":"GB"}],
			"phones":[{"kind":"VOICE","number":"(5) 555-3932"}],"version":1,"copy":{"stored":true,"refined":false,"origin":"WRITE","mappingVersion":1}}}`)

		// V2 adds what V1 cannot say, and changes what it can.
		s.want(`mutation { updateCustomerV2(input: {customerId: "ANTON", expectedVersion: 1, name: "Antonio and Daughter",
			contacts: [{displayName: "Isabel de Castro", givenName: "Isabel", familyName: "de Castro", title: "Owner"}, {givenName: "Ana", familyName: "Moreno"}],
			phones: [{kind: VOICE, number: "1"}, {kind: MOBILE, number: "2"}, {kind: FAX, number: "3"}]})
			{ customer { version contacts { displayName } copy { refined origin } } } }`, nil,
			`{"updateCustomerV2":{"customer":{"version":2,"contacts":[{"displayName":"Isabel de Castro"},{"displayName":"Ana Moreno"}],"copy":{"refined":true,"origin":"WRITE"}}}}`)
		s.want(`{ customerV1(customerId: "ANTON") { companyName contactName phone fax address } }`, nil,
			`{"customerV1":{"companyName":"Antonio and Daughter","contactName":"Isabel de Castro","phone":"1","fax":"3","address":"Mataderos  2312"}}`)
		s.refused(
			`mutation { updateCustomerV2(input: {customerId: "ANTON", expectedVersion: 1, name: "Late"}) { customer { name } } }`, nil, "STALE_VERSION", "")

		// V1 leaves what is absent, clears what is null, and keeps what it cannot say.
		s.want(
			`mutation { updateCustomerV1(input: {customerId: "ANTON", contactName: "Isabel Castro"}) { customer { contactName contactTitle } } }`, nil,
			`{"updateCustomerV1":{"customer":{"contactName":"Isabel Castro","contactTitle":"Owner"}}}`)
		s.want(
			`mutation { updateCustomerV1(input: {customerId: "ANTON", contactTitle: null, region: null}) { customer { contactName contactTitle city } } }`, nil,
			`{"updateCustomerV1":{"customer":{"contactName":"Isabel Castro","contactTitle":null,"city":"London"}}}`)
		s.want(
			`{ customerV2(customerId: "ANTON") { contacts { displayName familyName title } phones { kind number } version copy { refined } } }`, nil,
			`{"customerV2":{"contacts":[{"displayName":"Isabel Castro","familyName":"Castro","title":null},{"displayName":"Ana Moreno","familyName":"Moreno","title":null}],
			"phones":[{"kind":"VOICE","number":"1"},{"kind":"MOBILE","number":"2"},{"kind":"FAX","number":"3"}],"version":4,"copy":{"refined":true}}}`)

		// In V2, too: absent leaves, null clears a list, an empty update changes nothing.
		s.want(
			`mutation { updateCustomerV2(input: {customerId: "ANTON", phones: null}) { customer { name phones { number } contacts { displayName } version } } }`, nil,
			`{"updateCustomerV2":{"customer":{"name":"Antonio and Daughter","phones":[],"contacts":[{"displayName":"Isabel Castro"},{"displayName":"Ana Moreno"}],"version":5}}}`)
		s.want(`mutation { updateCustomerV2(input: {customerId: "ANTON"}) { customer { version } } }`, nil,
			`{"updateCustomerV2":{"customer":{"version":5}}}`)
		s.want(`mutation { updateCustomerV1(input: {customerId: "ANTON"}) { customer { phone } } }`, nil,
			`{"updateCustomerV1":{"customer":{"phone":null}}}`)
		s.want(`{ customerV2(customerId: "ANTON") { version } }`, nil, `{"customerV2":{"version":5}}`)

		// A key that is free again starts above the version that it had.
		s.refused(`mutation { deleteCustomerV2(customerId: "ANTON", expectedVersion: 4) { deletedKey } }`, nil,
			"STALE_VERSION", "")
		s.want(`mutation { deleteCustomerV2(customerId: "ANTON", expectedVersion: 5) { deletedKey } }`, nil,
			`{"deleteCustomerV2":{"deletedKey":"ANTON"}}`)
		s.want(`{ customerV1(customerId: "ANTON") { city } customerV2(customerId: "ANTON") { name } }`, nil,
			`{"customerV1":null,"customerV2":null}`)
		s.want(`mutation { createCustomerV2(input: {customerId: "ANTON", name: "Again", addresses: [{kind: BILLING, countryCode: "GB"}, {countryCode: "US", locality: "Portland"}]})
			{ customer { name version addresses { kind country countryCode } copy { origin refined } } } }`, nil,
			`{"createCustomerV2":{"customer":{"name":"Again","version":6,"addresses":[{"kind":"BILLING","country":"UK","countryCode":"GB"},{"kind":"MAIN","country":"USA","countryCode":"US"}],
			"copy":{"origin":"WRITE","refined":true}}}}`)
		s.want(`{ customerV1(customerId: "ANTON") { city country contactName } }`, nil,
			`{"customerV1":{"city":"Portland","country":"USA","contactName":null}}`)
		s.want(`mutation { deleteCustomerV1(customerId: "ANTON") { deletedKey } }`, nil,
			`{"deleteCustomerV1":{"deletedKey":"ANTON"}}`)
		if rows := s.dump(v2Tables...); strings.Contains(rows, "ANTON") {
			t.Errorf("V2 keeps %s", rows)
		}
	})
}

// The server makes the key where none is given, one that V1 can hold.
func TestCustomerKeyIsMade(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *server) {
		var got struct {
			A, B struct{ Customer struct{ CustomerID string } }
		}
		s.into(&got,
			`mutation { a: createCustomerV1(input: {companyName: "A"}) { customer { customerId } } b: createCustomerV2(input: {name: "B"}) { customer { customerId } } }`, nil)
		a, b := got.A.Customer.CustomerID, got.B.Customer.CustomerID
		if len(a) == 0 || len(a) > 5 || len(b) == 0 || len(b) > 5 || a == b {
			t.Errorf("got keys %q and %q", a, b)
		}
		s.want(
			`query($a: ID!, $b: ID!) { a: customerV2(customerId: $a) { name } b: customerV1(customerId: $b) { companyName } }`, vars{"a": a, "b": b},
			`{"a":{"name":"A"},"b":{"companyName":"B"}}`)
	})
}

// Where a copy comes from is told with it, in each phase.
func TestCopy(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		s := newServer(t, url, repo.Expand)
		s.customers(sampleCustomers(4)...)
		const one = `{ customerV2(customerId: "ALFKI") { version copy { stored refined origin mappingVersion } } }`
		const converted = `{"customerV2":{"version":1,"copy":{"stored":false,"refined":false,"origin":null,"mappingVersion":1}}}`
		s.want(one, nil, converted)
		s.want(`{ customersV2 { nodes { copy { stored migratedAt } } } }`, nil,
			`{"customersV2":{"nodes":[`+strings.TrimSuffix(
				strings.Repeat(`{"copy":{"stored":false,"migratedAt":null}},`, 4), ",")+`]}}`)
		if rows := s.dump(v2Tables...); strings.Contains(rows, "ALFKI") {
			t.Errorf("EXPAND stored %s", rows)
		}
		s.phase(repo.Migrate)
		s.want(one, nil,
			`{"customerV2":{"version":1,"copy":{"stored":true,"refined":false,"origin":"READ","mappingVersion":1}}}`)
		s.get(`{ customersV2 { nodes { name } } }`, nil)
		var got struct {
			CustomersV2 struct {
				Nodes []struct {
					Copy struct{ Origin, MigratedAt string }
				}
			}
		}
		s.into(&got, `{ customersV2 { nodes { copy { origin migratedAt } } } }`, nil)
		for i, node := range got.CustomersV2.Nodes {
			want := "LIST"
			if i == 0 {
				want = "READ"
			}
			if node.Copy.Origin != want || !strings.HasSuffix(node.Copy.MigratedAt, "Z") {
				t.Errorf("row %d: %+v", i, node)
			}
		}
		// In EXPAND a copy that is there turns stale by a write, and what is read is V1's, with what V2 adds.
		s.get(
			`mutation { updateCustomerV2(input: {customerId: "ALFKI", contacts: [{givenName: "Maria", familyName: "Anders"}, {givenName: "Second", familyName: "One"}]}) { customer { name } } }`, nil)
		s.phase(repo.Expand)
		s.get(
			`mutation { updateCustomerV1(input: {customerId: "ALFKI", companyName: "Alfreds"}) { customer { city } } }`,
			nil)
		s.want(`{ customerV2(customerId: "ALFKI") { name contacts { displayName } copy { stored } } }`, nil,
			`{"customerV2":{"name":"Alfreds","contacts":[{"displayName":"Maria Anders"},{"displayName":"Second One"}],"copy":{"stored":false}}}`)
		s.phase(repo.Migrate)
		s.want(
			`{ customerV2(customerId: "ALFKI") { name contacts { displayName } copy { stored refined origin } version } }`, nil,
			`{"customerV2":{"name":"Alfreds","contacts":[{"displayName":"Maria Anders"},{"displayName":"Second One"}],"copy":{"stored":true,"refined":true,"origin":"READ"},"version":3}}`)
	})
}

// A customer without a name, as V1 may have been keeping it, can be changed in everything else. Nobody makes another.
func TestACustomerWithoutAName(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *server) {
		s.customers(models.CustomerV1{CustomerID: "OLD", CompanyName: ""})
		s.want(
			`mutation { updateCustomerV1(input: {customerId: "OLD", city: "Bonn"}) { customer { companyName city } } }`,
			nil,
			`{"updateCustomerV1":{"customer":{"companyName":"","city":"Bonn"}}}`)
		s.want(`{ customerV2(customerId: "OLD") { name addresses { locality } copy { stored } } }`, nil,
			`{"customerV2":{"name":"","addresses":[{"locality":"Bonn"}],"copy":{"stored":true}}}`)
		s.refused(`mutation { createCustomerV1(input: {customerId: "NEW", companyName: ""}) { customer { city } } }`,
			nil, "BAD_USER_INPUT", "companyName")
	})
}

// A contact with nothing but a title, as V1 may be keeping it, can be written as it was read.
func TestAContactWithoutAName(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *server) {
		s.customers(models.CustomerV1{CustomerID: "OLD", CompanyName: "Old", ContactTitle: new("Owner")})
		const contacts = `contacts { displayName givenName familyName title }`
		s.want(`{ customerV2(customerId: "OLD") { `+contacts+` } }`, nil,
			`{"customerV2":{"contacts":[{"displayName":"","givenName":"","familyName":"","title":"Owner"}]}}`)
		s.want(
			`mutation { updateCustomerV2(input: {customerId: "OLD", contacts: [{displayName: "", givenName: "", familyName: "", title: "Owner"}]}) { customer { `+contacts+` } } }`, nil,
			`{"updateCustomerV2":{"customer":{"contacts":[{"displayName":"","givenName":"","familyName":"","title":"Owner"}]}}}`)
		s.want(`{ customerV1(customerId: "OLD") { contactName contactTitle } }`, nil,
			`{"customerV1":{"contactName":null,"contactTitle":"Owner"}}`)
		s.refused(
			`mutation { updateCustomerV2(input: {customerId: "OLD", contacts: [{displayName: "", givenName: "", familyName: "", title: ""}]}) { customer { name } } }`, nil,
			"BAD_USER_INPUT", "contacts[0].displayName")
	})
}

// One list in both shapes and every phase: rows, order, filters, cursors and counts are the same.
func TestCustomerLists(t *testing.T) {
	t.Parallel()
	eachWorking(t, func(t *testing.T, s *server) {
		named := func(key, name string, country *string) models.CustomerV1 {
			return models.CustomerV1{CustomerID: key, CompanyName: name, Country: country}
		}
		s.customers(
			named("A", "Delta 50%", new("UK")), named("B", "Bravo", new("Germany")), named("C", "alpha", nil),
			named("D", "Charlie_x", new("United Kingdom")),
			named("E", "Bravo", new("UK")), named("F", `Back\slash`, new("USA")), named("G", "BRAVO", new("Germany")),
			named("H", "Ärger", new("Austria")),
		)
		for _, phase := range forthAndBack {
			s.enter(phase)
			for _, c := range []struct {
				arguments, keys string
				total           int
			}{
				{`first: 3`, "A B C", 8},
				{`last: 3`, "F G H", 8},
				{`first: 0`, "", 8},
				{``, "A B C D E F G H", 8},
				{`orderBy: {direction: DESC}, first: 3`, "H G F", 8},
				{`filter: {nameContains: "Brav"}`, "B E", 2},
				{`filter: {nameContains: "bravo"}`, "", 0},
				{`filter: {nameContains: "Ärg"}`, "H", 1},
				{`filter: {nameContains: ""}`, "A B C D E F G H", 8},
				{`filter: {nameContains: "%"}`, "A", 1},
				{`filter: {nameContains: "_"}`, "D", 1},
				{`filter: {nameContains: "\\"}`, "F", 1},
				{`filter: {nameContains: "nobody"}`, "", 0},
				{`filter: {countryCode: "GB"}`, "A D E", 3},
				{`filter: {countryCode: "US"}`, "F", 1},
				{`filter: {countryCode: "FR"}`, "", 0},
				{`filter: {countryCode: "GB", nameContains: "r"}`, "D E", 2},
				{`filter: {keys: ["H", "A", "A", "NOBODY"]}`, "A H", 2},
				{`filter: {keys: []}`, "", 0},
				{`filter: {keys: null, nameContains: null, countryCode: null}, last: 1`, "H", 8},
				{`orderBy: {field: NAME}, filter: {keys: ["B", "E", "A"]}`, "B E A", 3},
				{`orderBy: {field: NAME, direction: DESC}, filter: {keys: ["B", "E", "A"]}`, "A E B", 3},
			} {
				for _, shape := range []string{"V1", "V2"} {
					got := s.list("customers"+shape, "customerId", c.arguments)
					if got.keys() != c.keys || got.TotalCount != c.total {
						t.Errorf("%s in %s: customers%s(%s): got %s of %d, want %s of %d", s.t.Name(), phase, shape,
							c.arguments, got.keys(), got.TotalCount, c.keys, c.total)
					}
				}
			}
		}
		s.walk("customers", "customerId", "", `orderBy: {direction: DESC}`, `orderBy: {field: NAME}`,
			`orderBy: {field: NAME, direction: DESC}`)
		s.fails(`{ customersV2(filter: {countryCode: "UK"}) { totalCount } }`, nil, "BAD_USER_INPUT",
			"filter.countryCode")
		s.fails(`{ customersV1(filter: {countryCode: "gb"}) { totalCount } }`, nil, "BAD_USER_INPUT",
			"filter.countryCode")
		byKey, byName := s.list("customersV1", "customerId", ""), s.list("customersV1", "customerId",
			"orderBy: {field: NAME}")
		s.fails(fmt.Sprintf(`{ customersV2(orderBy: {field: NAME}, after: %q) { totalCount } }`, byKey.Edges[1].Cursor),
			nil, "BAD_USER_INPUT", "after")
		s.fails(fmt.Sprintf(`{ customersV2(before: %q) { totalCount } }`, byName.Edges[1].Cursor), nil,
			"BAD_USER_INPUT", "before")
		s.fails(fmt.Sprintf(`{ ordersV2(before: %q) { totalCount } }`, byKey.Edges[1].Cursor), nil,
			"BAD_USER_INPUT", "before")
	})
}

// page is a page of any connection, whose key has the alias key.
type page struct {
	Edges []struct {
		Cursor string
		Node   struct{ Key string }
	}
	Nodes    []struct{ Key string }
	PageInfo struct {
		HasNextPage, HasPreviousPage bool
		StartCursor, EndCursor       *string
	}
	TotalCount int
}

func (p *page) keys() string {
	keys := make([]string, len(p.Nodes))
	for i, n := range p.Nodes {
		keys[i] = n.Key
	}
	return strings.Join(keys, " ")
}

// list reads a page, and checks that its parts agree.
func (s *server) list(field, key, arguments string) *page {
	s.t.Helper()
	if arguments != "" {
		arguments = "(" + arguments + ")"
	}
	var got struct{ List page }
	s.into(&got,
		fmt.Sprintf(
			`{ list: %s%s { edges { cursor node { key: %s } } nodes { key: %s } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount } }`,
			field, arguments, key, key), nil)
	p := &got.List
	for i, e := range p.Edges {
		if len(p.Nodes) != len(p.Edges) || e.Node != p.Nodes[i] {
			s.t.Fatalf("edges and nodes differ: %+v", p)
		}
	}
	if n := len(p.Edges); n == 0 && (p.PageInfo.StartCursor != nil || p.PageInfo.EndCursor != nil) ||
		n > 0 && (*p.PageInfo.StartCursor != p.Edges[0].Cursor || *p.PageInfo.EndCursor != p.Edges[n-1].Cursor) {
		s.t.Errorf("the page's cursors are not those of its edges: %+v", p)
	}
	return p
}

// walk goes through a list page by page, forth and back, with another shape for each page, and through all phases while
// it does: what it sees is the list.
func (s *server) walk(list, key string, orders ...string) {
	s.t.Helper()
	shapes := []string{"V1", "V2"}
	step := 0
	for _, order := range orders {
		whole := s.list(list+"V1", key, order)
		var forth, back []string
		cursor, size := "", ""
		for i := 0; ; i++ {
			s.enter(forthAndBack[step%(len(forthAndBack)-1)])
			step++
			size = fmt.Sprintf("first: %d", 1+i%2)
			p := s.list(list+shapes[i%2], key, strings.TrimPrefix(strings.Join([]string{order, size, cursor}, ", "),
				", "))
			forth = append(forth, p.keys())
			if p.PageInfo.HasPreviousPage != (i > 0) || p.TotalCount != len(whole.Nodes) {
				s.t.Errorf("page %d of %s(%s): %+v", i, list, order, p)
			}
			if !p.PageInfo.HasNextPage {
				break
			}
			cursor = fmt.Sprintf("after: %q", *p.PageInfo.EndCursor)
		}
		cursor = ""
		for i := 0; ; i++ {
			s.enter(forthAndBack[step%(len(forthAndBack)-1)])
			step++
			size = fmt.Sprintf("last: %d", 1+i%2)
			p := s.list(list+shapes[i%2], key, strings.TrimPrefix(strings.Join([]string{order, size, cursor}, ", "),
				", "))
			back = append([]string{p.keys()}, back...)
			if p.PageInfo.HasNextPage != (i > 0) {
				s.t.Errorf("page %d back of %s(%s): %+v", i, list, order, p)
			}
			if !p.PageInfo.HasPreviousPage {
				break
			}
			cursor = fmt.Sprintf("before: %q", *p.PageInfo.StartCursor)
		}
		if strings.Join(forth, " ") != whole.keys() || strings.Join(back, " ") != whole.keys() {
			s.t.Errorf("%s(%s): forth %v, back %v, want %s", list, order, forth, back, whole.keys())
		}
		between := s.list(list+"V2", key, strings.TrimPrefix(fmt.Sprintf("%s, after: %q, before: %q", order,
			whole.Edges[0].Cursor, whole.Edges[len(whole.Edges)-1].Cursor), ", "))
		if len(between.Nodes) != len(whole.Nodes)-2 {
			s.t.Errorf("%s(%s) between its ends: %s", list, order, between.keys())
		}
	}
}
