package resolvers_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// Three spellings of one price, long numbers, and minus zero: V2 says what they mean, V1 keeps its bits.
func TestSpellingsOfMoney(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		s := newServer(t, url, repo.Migrate)
		s.work()
		s.exec(`INSERT INTO customers (customer_id, company_name) VALUES ('VINET', 'Vins et alcools Chevalier')`)
		s.exec(
			`INSERT INTO orders (order_id, customer_id, freight) VALUES (10248, 'VINET', 32.38), (10249, 'VINET', 1234567.89), (10250, 'VINET', ` +
				map[bool]string{true: "0.1+0.2", false: "'-0'"}[s.sqlite] + `)`)
		s.exec(`INSERT INTO order_details (order_id, product_id, unit_price, quantity, discount) VALUES
			(10248, 11, 9.8, 1, 0.150000006), (10248, 42, 9.80000019, 1, 0), (10248, 72, 9.800000190734863, 1, 0)`)
		bits := func() string {
			if s.sqlite {
				return strings.Join(
					s.lines(
						`SELECT quote(unit_price) || ' ' || quote(discount) FROM order_details UNION ALL SELECT quote(freight) FROM orders ORDER BY 1`), "\n")
			}
			return strings.Join(
				s.lines(
					`SELECT encode(float4send(unit_price), 'hex') || encode(float4send(discount), 'hex') FROM order_details UNION ALL SELECT encode(float4send(freight), 'hex') FROM orders ORDER BY 1`), "\n")
		}
		before := bits()
		read := func() {
			t.Helper()
			// 1234567.89 is no float32: a real has 1234567.9.
			long, third, v1 := "1234567.90", "0.00", "-0"
			if s.sqlite {
				long, third, v1 = "1234567.89", "0.30000000000000004", "0.30000000000000004"
			}
			s.want(
				`{ orderV2(orderId: "10248") { lines { unitPrice { amount } discount } total { amount } } a: orderV2(orderId: "10249") { shipment { freight { amount } } } b: orderV2(orderId: "10250") { shipment { freight { amount } } } }`, nil,
				`{"orderV2":{"lines":[{"unitPrice":{"amount":"9.80"},"discount":"0.15"},{"unitPrice":{"amount":"9.80"},"discount":"0"},{"unitPrice":{"amount":"9.80"},"discount":"0"}],"total":{"amount":"27.93"}},`+
					`"a":{"shipment":{"freight":{"amount":"`+long+`"}}},"b":{"shipment":{"freight":{"amount":"`+third+
					`"}}}}`)
			s.want(`{ orderV1(orderId: "10250") { freight } }`, nil, `{"orderV1":{"freight":`+v1+`}}`)
		}
		read()
		for _, entity := range []string{"CUSTOMER", "ORDER"} {
			if r := s.succeed("startSweep", vars{"entity": entity}); r.Quarantined != 0 {
				t.Errorf("the sweep of %s is %+v", entity, r)
			}
		}
		rename := func(name string) {
			t.Helper()
			s.want(
				`mutation($n: String) { updateOrderV1(input: {orderId: "10248", shipName: $n}) { order { shipName } } a: updateOrderV1(input: {orderId: "10250", shipName: $n}) { order { shipName } } }`,
				vars{"n": name}, fmt.Sprintf(
					`{"updateOrderV1":{"order":{"shipName":%q}},"a":{"order":{"shipName":%[1]q}}}`, name))
			// A client of V2 that gives all lines again has not changed them.
			s.get(
				`mutation($n: String) { updateOrderV2(input: {orderId: "10248", note: $n, lines: [{productId: 11, unitPrice: "9.8", quantity: 1, discount: "0.15"}, {productId: 42, unitPrice: "9.80", quantity: 1}, {productId: 72, unitPrice: "9.80", quantity: 1}]}) { order { note } } }`, vars{"n": name})
			read()
			if after := bits(); after != before {
				t.Errorf("V1's numbers have changed in %s:\n%s", s.at(), changes(before, after))
			}
		}
		rename("in MIGRATE")
		for _, entity := range []string{"CUSTOMER", "ORDER"} {
			if r := s.succeed("startVerification", vars{"entity": entity}); len(s.findings(r.ID)) > 0 {
				t.Errorf("the verification of %s finds %+v", entity, s.findings(r.ID))
			}
		}
		s.phase(repo.Cutover)
		rename("in CUTOVER")
		s.phase(repo.Migrate)
		rename("in MIGRATE again")
	})
}

// What a V2 client writes is an exact decimal, however many digits it has, and its totals are exact.
func TestExactDecimals(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		s := newServer(t, url, repo.Migrate)
		s.work()
		s.customers(sampleCustomers(1)...)
		create := func(price string) string {
			return `mutation { createOrderV2(input: {customerId: "ALFKI", lines: [{productId: 11, unitPrice: ` + price +
				`, quantity: 3, discount: "0.15"}]}) { order { orderId total { amount } lines { unitPrice { amount } total { amount } } } } }`
		}
		s.refused(create(`"12345678901234567.89"`), nil, "NOT_REPRESENTABLE_IN_V1", "lines[0].unitPrice")
		s.enter(repo.Contract)
		const long = `"total":{"amount":"31481481198148148.1195"},"lines":[{"unitPrice":{"amount":"12345678901234567.89"},"total":{"amount":"31481481198148148.1195"}}]`
		s.want(create(`"12345678901234567.89"`), nil, `{"createOrderV2":{"order":{"orderId":"2",`+long+`}}}`)
		s.want(
			`{ orderV2(orderId: "2") { total { amount } lines { unitPrice { amount } total { amount } } } ordersV2(first: 100) { nodes { total { amount } lines { unitPrice { amount } total { amount } } } } }`, nil,
			`{"orderV2":{`+long+`},"ordersV2":{"nodes":[{`+long+`}]}}`)
		for price, want := range map[string]string{
			`"+1.50"`: "1.50", `".5"`: "0.50", `"-0"`: "0.00",
			`"00014.00"`: "14.00", "7": "7.00",
		} {
			answer := s.get(create(price), nil)
			if !strings.Contains(answer, `"unitPrice":{"amount":"`+want+`"}`) {
				t.Errorf("%s is %s", price, answer)
			}
		}
		for _, price := range []string{
			`"1e2"`, `"1,5"`, `" 1.5"`, `"NaN"`, "1.5", `"0.005"`, `"-1"`, `""`, `"5."`,
			`"` + strings.Repeat("9", 61) + `"`,
		} {
			s.refused(create(price), nil, "BAD_USER_INPUT", "lines[0].unitPrice")
		}
	})
}

// Columns of dates in SQLite files hold what a program put there.
func TestDatesThatAreNone(t *testing.T) {
	t.Parallel()
	s := newServer(t, repotest.SQLite(t), repo.Migrate)
	s.work()
	s.exec(
		`INSERT INTO orders (order_id, order_date) VALUES (1, '1996-07-04 00:00:00'), (2, '2014-03-02 11:08:41'), (3, '7/4/1996'), (4, 35250), (5, ''), (6, '1996-7-4'), (7, '0000-00-00'), (8, '1996-07-03'), (9, '1996-07-05'), (10, NULL)`)
	dates := func() string {
		return strings.Join(s.lines(`SELECT quote(order_date) FROM orders ORDER BY order_id`), "\n")
	}
	before := dates()
	for range 2 {
		a := s.ask(`{ ordersV1(first: 100) { nodes { orderId orderDate } } }`, nil)
		same(t, string(a.Data),
			`{"ordersV1":{"nodes":[{"orderId":"1","orderDate":"1996-07-04"},{"orderId":"2","orderDate":null},{"orderId":"3","orderDate":null},{"orderId":"4","orderDate":null},{"orderId":"5","orderDate":null},`+
				`{"orderId":"6","orderDate":null},{"orderId":"7","orderDate":null},{"orderId":"8","orderDate":"1996-07-03"},{"orderId":"9","orderDate":"1996-07-05"},{"orderId":"10","orderDate":null}]}}`)
		if len(a.Errors) != 6 {
			t.Errorf("%d errors: %+v", len(a.Errors), a.Errors)
		}
		s.want(`{ orderV2(orderId: "1") { placedOn } }`, nil, `{"orderV2":{"placedOn":"1996-07-04"}}`)
		for key := 2; key <= 7; key++ {
			s.fails(fmt.Sprintf(`{ orderV2(orderId: "%d") { placedOn } }`, key), nil, "CONVERSION_FAILED", "placedOn")
		}
		ids := func(arguments string) string {
			t.Helper()
			var got struct {
				List struct{ Nodes []struct{ OrderID string } }
			}
			s.into(&got, `{ list: ordersV1(`+arguments+`) { nodes { orderId } } }`, nil)
			var list []string
			for _, n := range got.List.Nodes {
				list = append(list, n.OrderID)
			}
			return strings.Join(list, " ")
		}
		for arguments, want := range map[string]string{
			`orderBy: {field: DATE}`:                  "8 1 9 2 3 4 5 6 7 10",
			`orderBy: {field: DATE, direction: DESC}`: "9 1 8 10 7 6 5 4 3 2",
			`filter: {placedFrom: "1996-07-04"}`:      "1 9", `filter: {placedTo: "1996-07-04"}`: "1 8",
			`filter: {placedFrom: "1996-07-04", placedTo: "1996-07-04"}`: "1",
		} {
			if got := ids(arguments); got != want {
				t.Errorf("ordersV1(%s) are %s, want %s", arguments, got, want)
			}
		}
		if r := s.succeed("startSweep", vars{"entity": "ORDER"}); r.Quarantined != 6 {
			t.Errorf("the sweep is %+v", r)
		}
		s.get(`mutation { updateOrderV1(input: {orderId: "1", shipName: "x"}) { order { shipName } } }`, nil)
		s.want(`mutation { updateOrderV2(input: {orderId: "1", note: "x"}) { order { placedOn } } }`, nil,
			`{"updateOrderV2":{"order":{"placedOn":"1996-07-04"}}}`)
		if after := dates(); after != before {
			t.Errorf("V1's dates have changed:\n%s", changes(before, after))
		}
	}
}

// Northwinds of other makes: what their owners chose for keys, money, numbers and texts comes back as it was, in every
// phase.
func TestNorthwindsOfOtherMakes(t *testing.T) {
	t.Parallel()
	money := func(sqlType string) []string {
		return []string{
			"ALTER TABLE orders ALTER freight TYPE " + sqlType, "ALTER TABLE order_details ALTER unit_price TYPE " +
				sqlType + ", ALTER discount TYPE " + sqlType,
		}
	}
	for name, made := range map[string][]string{
		"char(5) keys and a column of the owner's": {
			"ALTER TABLE orders DROP CONSTRAINT fk_orders_customers",
			"ALTER TABLE customer_customer_demo DROP CONSTRAINT fk_customer_customer_demo_customers",
			"ALTER TABLE customers ALTER customer_id TYPE char(5)", "ALTER TABLE orders ALTER customer_id TYPE char(5)",
			"ALTER TABLE orders ADD FOREIGN KEY (customer_id) REFERENCES customers",
			"INSERT INTO customers (customer_id, company_name) VALUES ('AB', 'short')",
			"ALTER TABLE customers ADD extra text NOT NULL DEFAULT 'the owner''s'",
			"UPDATE orders SET customer_id = 'AB' WHERE order_id = 10250",
		},
		"numeric money and integer ids": append(money("numeric(10,2)"),
			"ALTER TABLE order_details DROP CONSTRAINT fk_order_details_orders",
			"ALTER TABLE orders ALTER order_id TYPE integer, ALTER employee_id TYPE integer",
			"ALTER TABLE order_details ALTER order_id TYPE integer, ALTER product_id TYPE integer, ALTER quantity TYPE integer",
			"ALTER TABLE order_details ADD FOREIGN KEY (order_id) REFERENCES orders"),
		"texts and doubles": append(money("double precision"),
			"ALTER TABLE customers ALTER company_name TYPE text, ALTER contact_name TYPE text, ALTER country TYPE text",
			"ALTER TABLE orders ALTER ship_name TYPE text, ALTER ship_country TYPE text"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachStock(t, made, func(t *testing.T, s *server) {
				rows, customers := s.v1Rows(), "91"
				if strings.HasPrefix(name, "char") {
					customers = "92"
				}
				read := func() string {
					return strings.Join(append(s.readAll("customersV1",
						`{ customerId companyName orders { nodes { orderId } } }`),
						s.readAll("ordersV1",
							`{ orderId customerId freight details { productId unitPrice quantity discount } customer { customerId } }`)...), "\n")
				}
				before := read()
				for _, entity := range []string{"CUSTOMER", "ORDER"} {
					if r := s.succeed("startSweep", vars{"entity": entity}); r.Quarantined != 0 {
						t.Errorf("the sweep of %s is %+v", entity, r)
					}
				}
				s.want(
					`{ customersV2 { totalCount } orderV2(orderId: "10248") { shipment { freight { amount } } lines { unitPrice { amount } } customer { customerId name } } }`, nil,
					`{"customersV2":{"totalCount":`+customers+
						`},"orderV2":{"shipment":{"freight":{"amount":"32.38"}},"lines":[{"unitPrice":{"amount":"14.00"}},{"unitPrice":{"amount":"9.80"}},{"unitPrice":{"amount":"34.80"}}],"customer":{"customerId":"VINET","name":"Vins et alcools Chevalier"}}}`)
				if strings.HasPrefix(name, "char") {
					s.want(
						`{ customerV2(customerId: "AB") { name orders { nodes { orderId customerId customer { name } } } } a: ordersV2(filter: {customerId: "AB"}) { nodes { orderId } } b: orderV1(orderId: "10250") { customerId customer { companyName } } }`, nil,
						`{"customerV2":{"name":"short","orders":{"nodes":[{"orderId":"10250","customerId":"AB","customer":{"name":"short"}}]}},"a":{"nodes":[{"orderId":"10250"}]},"b":{"customerId":"AB","customer":{"companyName":"short"}}}`)
				}
				for _, phase := range []repo.Phase{repo.Migrate, repo.Cutover, repo.Migrate} {
					s.phase(phase)
					for _, title := range []string{"x", "Sales Representative"} {
						s.get(`mutation($t: String) { updateCustomerV1(input: {customerId: "ALFKI", contactTitle: $t}) { customer { city } }
							updateOrderV2(input: {orderId: "10248", lines: [{productId: 11, unitPrice: "14", quantity: 12}, {productId: 42, unitPrice: "9.8", quantity: 10}, {productId: 72, unitPrice: "34.80", quantity: 5}]}) { order { note } } }`, vars{"t": title})
					}
					if now := read(); now != before {
						t.Errorf("V1 reads otherwise in %s:\n%s", phase, changes(before, now))
					}
					if after := s.v1Rows(); after != rows {
						t.Errorf("V1's rows have changed in %s:\n%s", phase, changes(rows, after))
					}
				}
			})
		})
	}
}
