package resolvers_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo/repotest"
)

// Every filter and every order has a form for either shape's tables. Both pick the same rows in the same order,
// whatever is in them: MIGRATE uses V1's, CUTOVER V2's.
func TestPredicatePairs(t *testing.T) {
	t.Parallel()
	// Each of rapid's checks is many lists in two phases of a database, and no other test here uses rapid.
	if err := flag.Set("rapid.checks", "25"); err != nil {
		t.Fatal(err)
	}
	eachServer(t, func(t *testing.T, s *server) {
		rapid.Check(t, func(rt *rapid.T) {
			s.exec(`UPDATE coexist_entity SET phase = 'MIGRATE', epoch = epoch + 1`)
			// children first
			for _, table := range slices.Backward(slices.Concat([]string{"coexist_customer_mark", "coexist_order_mark"},
				v1Tables, v2Tables)) {
				s.exec(`DELETE FROM ` + table)
			}
			names := s.drawRows(rt)
			query, v := drawFilters(rt, names)
			// a reader that would have to wait for a writer stores none
			repotest.Until(t, "every copy is stored", func() bool {
				return !strings.Contains(s.get(
					`{ customersV2(first: 100) { nodes { copy { stored } } } ordersV2(first: 100) { nodes { copy { stored } } } }`, nil), "false")
			})
			byV1 := s.ask(query, v)
			if len(byV1.Errors) > 0 {
				rt.Fatalf("%s: %+v", query, byV1.Errors)
			}
			// What a phase change does, without its checks.
			s.exec(`UPDATE coexist_entity SET phase = 'CUTOVER', epoch = epoch + 1`)
			byV2 := s.ask(query, v)
			if len(byV2.Errors) > 0 {
				rt.Fatalf("%s: %+v", query, byV2.Errors)
			}
			var one, other map[string]json.RawMessage
			decode(t, string(byV1.Data), &one)
			decode(t, string(byV2.Data), &other)
			for alias := range one {
				if string(one[alias]) != string(other[alias]) {
					rt.Errorf("%s with %v picks from V1 %s\nand from V2 %s", alias, v["f"+alias[1:]],
						one[alias], other[alias])
				}
				if strings.HasPrefix(alias, "a") && string(one[alias]) != string(one["b"+alias[1:]]) {
					rt.Errorf("%s with %v picks %s through V1\nand %s through V2", alias[1:], v["f"+alias[1:]],
						one[alias], one["b"+alias[1:]])
				}
			}
		})
	})
}

var (
	oddName = rapid.OneOf(rapid.SampledFrom([]string{
		"", " ", "%", "_", `\`, `50%_off\`, "Ärger", "ärger", "STRASSE",
		"straße", "İstanbul", "ΣΊΣΥΦΟΣ", "bravo", "BRAVO", "Bon  app'", "😀", "a\tb",
	}), rapid.StringN(0, 12, 40))
	oddCountry = rapid.SampledFrom([]string{
		"", "UK", "Great Britain", "United Kingdom", "USA", "United States",
		"Germany", "Holland", "Netherlands", "Turkey", "Türkiye", "Côte d’Ivoire", "Ivory Coast",
	})
	oddDay = rapid.SampledFrom([]models.Date{
		"1996-07-04", "1996-07-05", "1996-12-31", "1997-01-01", "0001-01-01",
		"9999-12-31", "1900-02-28",
	})
	customers = rapid.SampledFrom([]string{"A", "B", "ab", "AB", "Ä", "A B", "99999"})
)

func drawCountry(rt *rapid.T) *string {
	country := rapid.Ptr(oddCountry, true).Draw(rt, "country")
	if _, err := (models.CustomerMapping{}).Upgrade(models.CustomerV1{Country: country}); err != nil {
		return nil // the table of countries knows another spelling
	}
	return country
}

// drawRows fills V1, has V2 refine some customers, and returns the customers' names.
func (s *server) drawRows(rt *rapid.T) []string {
	s.t.Helper()
	var names []string
	taken := map[string]bool{}
	for _, key := range rapid.SliceOfNDistinct(customers, 1, 6, rapid.ID).Draw(rt, "keys") {
		taken[key] = true
		c := models.CustomerV1{
			CustomerID: key, CompanyName: strings.ReplaceAll(oddName.Draw(rt, "name"), "\x00", ""),
			Country: drawCountry(rt),
		}
		if rapid.Bool().Draw(rt, "has a city") {
			c.City = new("Bath")
		}
		names = append(names, c.CompanyName)
		s.customers(c)
	}
	const address = `mutation($k: ID!, $a: [AddressInput!]) { updateCustomerV2(input: {customerId: $k, addresses: $a}) { customer { name } } }`
	for key := range taken {
		if !rapid.Bool().Draw(rt, "refined "+key) {
			continue
		}
		var addresses []vars
		for range rapid.IntRange(0, 3).Draw(rt, "addresses") {
			a := vars{
				"kind":    rapid.SampledFrom([]string{"MAIN", "MAIN", "BILLING"}).Draw(rt, "kind"),
				"country": drawCountry(rt),
			}
			if rapid.Bool().Draw(rt, "code only") {
				a = vars{"kind": a["kind"], "countryCode": rapid.SampledFrom([]string{"GB", "US", "DE", "TR"}).Draw(rt,
					"code")}
			}
			addresses = append(addresses, a)
		}
		s.ask(address, vars{"k": key, "a": addresses}) // an empty name is refused, which is as well
		if rapid.Bool().Draw(rt, "cleared") {          // V1 loses its address, and V2 keeps the others
			s.get(
				`mutation($k: ID!) { updateCustomerV1(input: {customerId: $k, address: null, city: null, region: null, postalCode: null, country: null}) { customer { city } } }`, vars{"k": key})
		}
	}
	for i := range rapid.IntRange(0, 6).Draw(rt, "orders") {
		o := models.OrderV1{
			OrderID: models.OrderID(i + 1), OrderDate: rapid.Ptr(oddDay, true).Draw(rt, "orderDate"),
			ShippedDate: rapid.Ptr(oddDay, true).Draw(rt, "shippedDate"),
		}
		if customer := customers.Draw(rt, "customer"); taken[customer] {
			o.CustomerID = &customer
		}
		s.orders(o)
	}
	return names
}

// drawFilters is a query of many lists, each through both shapes: a1 and b1, and so on.
func drawFilters(rt *rapid.T, names []string) (query string, v vars) {
	v = vars{}
	var declared, lists []string
	add := func(list, key, order string, filter vars) {
		n := len(v)
		name := fmt.Sprintf("f%d", n)
		v[name] = filter
		declared = append(declared, fmt.Sprintf("$%s: %sFilter", name, map[string]string{
			"customers": "Customer",
			"orders":    "Order",
		}[list]))
		for alias, shape := range map[string]string{"a": "V1", "b": "V2"} {
			lists = append(lists, fmt.Sprintf(
				"%s%d: %s%s(first: 100, filter: $%s%s) { edges { cursor node { key: %s } } totalCount }", alias, n,
				list, shape, name, order, key))
		}
	}
	part := func() string {
		name := []rune(rapid.OneOf(rapid.SampledFrom(names), oddName).Draw(rt, "part"))
		from := rapid.IntRange(0, len(name)).Draw(rt, "from")
		to := rapid.IntRange(from, len(name)).Draw(rt, "to")
		return strings.ReplaceAll(strings.ToUpper(string(name[from:to])), "\x00", "")
	}
	code := rapid.SampledFrom([]string{"GB", "US", "DE", "NL", "TR", "CI", "FR"})
	byName, byDate := ", orderBy: {field: NAME}", ", orderBy: {field: DATE, direction: DESC}"
	add("customers", "customerId", "", vars{})
	add("customers", "customerId", byName, vars{"nameContains": part()})
	add("customers", "customerId", "", vars{"nameContains": part()})
	add("customers", "customerId", byName, vars{"countryCode": code.Draw(rt, "code")})
	add("customers", "customerId", "", vars{
		"countryCode": code.Draw(rt, "code"), "nameContains": part(),
		"keys": rapid.SliceOfN(customers, 0, 4).Draw(rt, "picked"),
	})
	add("customers", "customerId", ", orderBy: {direction: DESC}",
		vars{"keys": rapid.SliceOfN(rapid.OneOf(customers, rapid.SampledFrom([]string{"", " ", "a", "TOO LONG"})), 0,
			4).Draw(rt, "picked")})
	add("orders", "orderId", byDate, vars{})
	add("orders", "orderId", "", vars{"customerId": rapid.OneOf(customers, oddName).Draw(rt, "of")})
	add("orders", "orderId", byDate, vars{"placedFrom": oddDay.Draw(rt, "placedFrom")})
	add("orders", "orderId", "", vars{
		"placedTo": oddDay.Draw(rt, "placedTo"),
		"shipped":  rapid.Bool().Draw(rt, "shipped"),
	})
	add("orders", "orderId", byDate, vars{
		"placedFrom": oddDay.Draw(rt, "placedFrom"),
		"placedTo":   oddDay.Draw(rt, "placedTo"), "shipped": rapid.Bool().Draw(rt, "shipped"),
		"customerId": customers.Draw(rt, "of"),
	})
	for _, f := range v {
		if of, ok := f.(vars)["customerId"].(string); ok {
			f.(vars)["customerId"] = strings.ReplaceAll(of, "\x00", "")
		}
	}
	return "query(" + strings.Join(declared, ", ") + ") { " + strings.Join(lists, " ") + " }", v
}
