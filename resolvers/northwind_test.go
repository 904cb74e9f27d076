package resolvers_test

import (
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// The world's Northwind database, as it is: served in both shapes, migrated, and left as it was. COEXIST_NORTHWIND
// names the folder with the stock dump for PostgreSQL, northwind.sql, and its three tables as CSV.
func TestNorthwind(t *testing.T) {
	t.Parallel()
	folder := os.Getenv("COEXIST_NORTHWIND")
	if folder == "" {
		fmt.Fprintln(os.Stderr,
			"WARNING: TestNorthwind: COEXIST_NORTHWIND names no folder with northwind.sql: nothing is tested with the real data")
		t.Log("COEXIST_NORTHWIND names no folder with northwind.sql: nothing to test")
		return
	}
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		url := repotest.Postgres(t)
		restoreDump(t, url, filepath.Join(folder, "northwind.sql"))
		s := openServer(t, url, repo.Expand)
		catalog := s.dump(stockCatalog...)
		migrateNorthwind(t, s)
		if after := s.dump(stockCatalog...); after != catalog {
			t.Errorf("V1's definition has changed:\n%s", changes(catalog, after))
		}
		s.phase(repo.Migrate)
		// The stock key is a smallint.
		s.refused(`mutation { createOrderV1(input: {orderId: "32768", details: []}) { order { orderId } } }`, nil,
			"BAD_USER_INPUT", "orderId")
		s.refused(`mutation { createOrderV2(input: {orderId: "32768", lines: []}) { order { orderId } } }`, nil,
			"BAD_USER_INPUT", "orderId")
		s.want(`{ orderV2(orderId: "32768") { note } orderV1(orderId: "99999999999") { freight } }`, nil,
			`{"orderV2":null,"orderV1":null}`)
		// Tables that the server knows nothing of are referred to, too.
		s.refused(`mutation { createOrderV2(input: {employeeId: 99, lines: []}) { order { orderId } } }`, nil,
			"BAD_USER_INPUT", "employeeId")
		s.refused(`mutation { createOrderV2(input: {shipment: {carrierId: 99}, lines: []}) { order { orderId } } }`,
			nil, "BAD_USER_INPUT", "shipment.carrierId")
		s.refused(
			`mutation { createOrderV2(input: {lines: [{productId: 1, unitPrice: "1", quantity: 1}, {productId: 99, unitPrice: "1", quantity: 1}]}) { order { orderId } } }`, nil, "BAD_USER_INPUT", "lines[1].productId")
		s.refused(
			`mutation { updateOrderV1(input: {orderId: "10248", details: [{productId: 99, unitPrice: 1, quantity: 1}]}) { order { orderId } } }`, nil, "BAD_USER_INPUT", "details[0].productId")
		s.want(`mutation { createOrderV2(input: {customerId: "ALFKI", lines: []}) { order { customer { name } } } }`,
			nil, `{"createOrderV2":{"order":{"customer":{"name":"Alfreds Futterkiste"}}}}`)
	})
	t.Run("hostile postgres through a pooler", func(t *testing.T) {
		t.Parallel()
		url := repotest.HostilePostgres(t)
		restoreDump(t, url, filepath.Join(folder, "northwind.sql"))
		s := openServerThrough(t, url, repotest.Pooler(t, url), repo.Expand, repo.Config{Pooler: true})
		s.install()
		s.work()
		northwindInV2(t, s, false)
		s.phase(repo.Migrate)
		for _, entity := range []string{"CUSTOMER", "ORDER"} {
			s.clean("startSweep", entity)
		}
		s.writePast(t)
		northwindInV2(t, s, true)
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		s := openServer(t, repotest.SQLite(t), repo.Expand)
		if err := s.db.CreateV1Tables(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, table := range v1Tables {
			s.loadCSV(table, filepath.Join(folder, table+".csv"))
		}
		migrateNorthwind(t, s)
	})
}

// migrateNorthwind takes the real data from EXPAND to CONTRACT and back, as an operator does that forces nothing. V1
// clients read the same in every phase, and in the end V1 is what it was.
func migrateNorthwind(t *testing.T, s *server) {
	t.Helper()
	s.install()
	s.work()
	rows := s.v1Rows()
	const v1Order = `{ orderId customerId employeeId orderDate requiredDate shippedDate shipVia freight shipName shipAddress shipCity shipRegion shipPostalCode shipCountry
		details { productId unitPrice quantity discount } customer { companyName } }`
	v1 := func() []string {
		return append(s.readAll("customersV1", allOfCustomerV1), s.readAll("ordersV1", v1Order)...)
	}
	before := v1()
	// asBefore reads pages of both as V1, which must be what they were.
	asBefore := func(when string) {
		t.Helper()
		for i, list := range []string{"customersV1", "ordersV1"} {
			page := s.get(
				fmt.Sprintf(`{ list: %s(first: 100) { nodes %s pageInfo { hasNextPage endCursor } totalCount } }`, list,
					[]string{allOfCustomerV1, v1Order}[i]), nil)
			if !slices.Contains(before, page) {
				t.Errorf("V1 reads otherwise %s: %s", when, page)
			}
		}
	}
	// check reads everything through both shapes. stored says whether every row has its copy.
	check := func(stored bool) {
		t.Helper()
		phase := s.at()
		if now := v1(); !slices.Equal(now, before) {
			t.Errorf("V1 reads otherwise in %s", phase)
		}
		northwindInV2(t, s, stored)
		if after := s.v1Rows(); after != rows {
			t.Errorf("V1's rows have changed in %s:\n%s", phase, changes(rows, after))
		}
	}
	both := []string{"CUSTOMER", "ORDER"}
	northwindInV2(t, s, false)
	if after := s.v1Rows(); after != rows {
		t.Errorf("V1's rows have changed in EXPAND:\n%s", changes(rows, after))
	}
	for _, entity := range both {
		s.clean("startRehearsal", entity)
		s.opens(entity, repo.Migrate)
	}
	s.writePast(t) // to rows that have not migrated
	asBefore("in MIGRATE")
	for _, entity := range both {
		s.clean("startSweep", entity)
	}
	s.want(`{ customer: migration(entity: CUSTOMER, exact: true) { progress { total migrated fraction } quarantine { totalCount } }
		order: migration(entity: ORDER, exact: true) { progress { total migrated fraction } quarantine { totalCount } } }`, nil,
		`{"customer":{"progress":{"total":91,"migrated":91,"fraction":1},"quarantine":{"totalCount":0}},"order":{"progress":{"total":830,"migrated":830,"fraction":1},"quarantine":{"totalCount":0}}}`)
	check(true)
	past := s.writePast(t) // to rows that have
	for _, entity := range both {
		s.clean("startSweep", entity) // what is left of the rows that came and went
		s.clean("startVerification", entity)
		s.opens(entity, repo.Cutover)
	}
	check(true)
	for _, statement := range past {
		if _, err := s.raw.ExecContext(t.Context(), statement); err == nil || !strings.Contains(err.Error(),
			"is no longer the truth") {
			t.Errorf("%s in CUTOVER: %v", statement, err)
		}
	}
	for _, entity := range both {
		s.clean("startVerification", entity)
	}
	s.opens("ORDER", repo.Contract)
	s.opens("CUSTOMER", repo.Contract)
	check(true)
	noted := northwindInContract(t, s)

	// And back. In CONTRACT and EXPAND everything is read in both shapes, between them some in V1's.
	for _, entity := range both {
		s.clean("startRestore", entity)
		s.opens(entity, repo.Cutover)
	}
	asBefore("on the way back")
	for _, entity := range both {
		s.clean("startVerification", entity)
		s.opens(entity, repo.Migrate)
	}
	asBefore("on the way back")
	for _, entity := range both {
		s.opens(entity, repo.Expand)
	}
	check(true)
	s.want(noted, nil,
		`{"orderV2":{"note":"only V2 has it"},"customerV2":{"contacts":[{"displayName":"Maria Anders"},{"displayName":"Second One"}]}}`)
	if forced := s.lines("SELECT id FROM coexist_phase_change WHERE forced"); len(forced) > 0 {
		t.Errorf("something was forced: %v", forced)
	}
}

// clean has a run go over the real data, which is to find nothing.
func (s *server) clean(mutation, entity string) {
	s.t.Helper()
	r := s.succeed(mutation, vars{"entity": entity})
	want := map[string]int{"CUSTOMER": 91, "ORDER": 830}[entity]
	if r.Total != want || r.Done != want || r.Quarantined != 0 || len(s.findings(r.ID)) > 0 {
		s.t.Errorf("%s of %s ended as %+v", mutation, entity, r)
	}
}

// northwindInContract writes through both shapes in CONTRACT, and takes back what V1 can express. It returns the query
// of what stays.
func northwindInContract(t *testing.T, s *server) string {
	t.Helper()
	rows := s.v1Rows()
	for _, city := range []string{"Hamburg", "Berlin"} {
		s.get(
			`mutation($city: String) { updateCustomerV1(input: {customerId: "ALFKI", city: $city}) { customer { city } } }`, vars{"city": city})
	}
	s.get(`mutation { createOrderV2(input: {orderId: "20000", customerId: "ALFKI", lines: [{productId: 1, unitPrice: "18", quantity: 1}]}) { order { note } }
		updateOrderV2(input: {orderId: "10248", note: "only V2 has it"}) { order { note } }
		updateCustomerV2(input: {customerId: "ALFKI", contacts: [{displayName: "Maria Anders", givenName: "Maria", familyName: "Anders", title: "Sales Representative"}, {givenName: "Second", familyName: "One"}]}) { customer { name } }
		deleteOrderV1(orderId: "20000") { deletedKey } }`, nil)
	if after := s.v1Rows(); after != rows {
		t.Errorf("writes in CONTRACT have reached V1:\n%s", changes(rows, after))
	}
	return `{ orderV2(orderId: "10248") { note } customerV2(customerId: "ALFKI") { contacts { displayName } } }`
}

// writePast does to the real data what programs do that know nothing of the server, and takes each back with the next;
// V2 is read after all of them. It returns what was taken back.
func (s *server) writePast(t *testing.T) []string {
	t.Helper()
	const order = `{ orderV2(orderId: "10248") { shipment { recipient } lines { quantity } total { amount } } }`
	const customer = `{ customerV2(customerId: "ALFKI") { name } }`
	const vins, alfreds = `{"orderV2":{"shipment":{"recipient":"Vins et alcools Chevalier"},"lines":[{"quantity":12},{"quantity":10},{"quantity":5}],"total":{"amount":"440.00"}}}`, `{"customerV2":{"name":"Alfreds Futterkiste"}}`
	var past []string
	for i, c := range []struct{ statement, query, want string }{
		{
			`UPDATE customers SET company_name = 'Past' WHERE customer_id = 'ALFKI'`, customer,
			`{"customerV2":{"name":"Past"}}`,
		},
		{`UPDATE customers SET company_name = 'Alfreds Futterkiste' WHERE customer_id = 'ALFKI'`, customer, alfreds},
		{
			`UPDATE orders SET ship_name = 'Past' WHERE order_id = 10248`, order,
			strings.Replace(vins, "Vins et alcools Chevalier", "Past", 1),
		},
		{`UPDATE orders SET ship_name = 'Vins et alcools Chevalier' WHERE order_id = 10248`, order, vins},
		{
			`UPDATE order_details SET quantity = 13 WHERE order_id = 10248 AND product_id = 11`, order,
			strings.Replace(strings.Replace(vins, "12", "13", 1), "440.00", "454.00", 1),
		},
		{`UPDATE order_details SET quantity = 12 WHERE order_id = 10248 AND product_id = 11`, order, vins},
		{
			`DELETE FROM order_details WHERE order_id = 10248 AND product_id = 72`, order,
			strings.Replace(strings.Replace(vins, `,{"quantity":5}`, "", 1), "440.00", "266.00", 1),
		},
		{`INSERT INTO order_details (order_id, product_id, unit_price, quantity, discount) VALUES (10248, 72, 34.7999992, 5, 0)`, order, vins},
		{
			`INSERT INTO customers (customer_id, company_name) VALUES ('ZZZZZ', 'Past')`,
			`{ customerV2(customerId: "ZZZZZ") { name } }`, `{"customerV2":{"name":"Past"}}`,
		},
		{
			`DELETE FROM customers WHERE customer_id = 'ZZZZZ'`,
			`{ customerV2(customerId: "ZZZZZ") { name } list: customersV2(filter: {keys: ["ZZZZZ"]}) { totalCount } }`,
			`{"customerV2":null,"list":{"totalCount":0}}`,
		},
		{
			`INSERT INTO orders (order_id, customer_id) VALUES (20001, 'ALFKI')`,
			`{ orderV2(orderId: "20001") { customer { name } lines { quantity } } }`,
			`{"orderV2":{"customer":{"name":"Alfreds Futterkiste"},"lines":[]}}`,
		},
		{`DELETE FROM orders WHERE order_id = 20001`, `{ orderV2(orderId: "20001") { note } }`, `{"orderV2":null}`},
	} {
		s.exec(c.statement)
		s.want(c.query, nil, c.want)
		if i%2 == 0 {
			past = append(past, c.statement)
		}
	}
	return past
}

// northwindInV2 reads everything in the new shape.
func northwindInV2(t *testing.T, s *server, stored bool) {
	t.Helper()
	customers, orders, lines := 0, 0, 0
	for _, page := range s.readAll("customersV2", allOfCustomerV2) {
		var got struct {
			List struct {
				TotalCount int
				Nodes      []struct {
					Addresses []struct{ Country, CountryCode *string }
					Copy      struct{ Stored bool }
				}
			}
		}
		decode(t, page, &got)
		customers += len(got.List.Nodes)
		for _, c := range got.List.Nodes {
			if c.Copy.Stored != stored || len(c.Addresses) != 1 || c.Addresses[0].CountryCode == nil {
				t.Errorf("got %+v", c)
			}
		}
	}
	sum := new(big.Rat)
	for _, page := range s.readAll("ordersV2", allOfOrderV2) {
		var got struct {
			List struct {
				Nodes []struct {
					OrderID  string
					Customer struct{ Name string }
					Shipment struct{ Freight struct{ Amount string } }
					Lines    []struct{ UnitPrice struct{ Amount string } }
					Total    struct{ Amount string }
				}
			}
		}
		decode(t, page, &got)
		orders += len(got.List.Nodes)
		for _, o := range got.List.Nodes {
			lines += len(o.Lines)
			total, ok := new(big.Rat).SetString(o.Total.Amount)
			if !ok || o.Customer.Name == "" {
				t.Fatalf("got %+v", o)
			}
			sum.Add(sum, total)
			if o.OrderID == "10248" && (o.Shipment.Freight.Amount != "32.38" || o.Lines[1].UnitPrice.Amount != "9.80") {
				t.Errorf("10248 has freight %s and a second line of %s", o.Shipment.Freight.Amount,
					o.Lines[1].UnitPrice.Amount)
			}
		}
	}
	t.Logf("%d customers, %d orders, %d lines, sum %s", customers, orders, lines, sum.FloatString(6))
	if customers != 91 || orders != 830 || lines != 2155 || sum.Cmp(big.NewRat(12657930395, 10000)) != 0 {
		t.Errorf("got %d customers, %d orders, %d lines, and the sum %s", customers, orders, lines, sum.FloatString(6))
	}
}
