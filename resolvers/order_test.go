package resolvers_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

const allOfOrderV2 = `{ orderId customerId customer { name } employeeId status placedOn requiredBy shippedOn
	shipment { carrierId recipient address { kind street locality region postalCode country countryCode } freight { amount currencyCode } }
	lines { productId unitPrice { amount } quantity discount total { amount } } total { amount currencyCode } note version copy { origin refined } }`

// An order's life through both shapes: each write is seen by the other, and money is exact.
func TestOrder(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *server) {
		s.customers(sampleCustomers(2)...)
		s.want(`mutation { createOrderV1(input: {orderId: "7", customerId: "ALFKI", employeeId: 5, orderDate: "1996-07-04", requiredDate: "1996-08-01", shipVia: 3, freight: 32.38,
			shipName: "Vins", shipAddress: "59 rue de l'Abbaye", shipCity: "Reims",
			shipPostalCode: "51100", shipCountry: "France",
			details: [{productId: 42, unitPrice: 9.8, quantity: 10, discount: 0.15}, {productId: 11, unitPrice: 14, quantity: 12}]})
			{ order { orderId freight shippedDate shipRegion details { productId unitPrice quantity discount } customer { companyName } } } }`, nil,
			`{"createOrderV1":{"order":{"orderId":"7","freight":32.38,"shippedDate":null,"shipRegion":null,
			"details":[{"productId":11,"unitPrice":14,"quantity":12,"discount":0},{"productId":42,"unitPrice":9.8,"quantity":10,"discount":0.15}],"customer":{"companyName":"Alfreds Futterkiste"}}}}`)
		s.want(`{ orderV2(orderId: "7") `+allOfOrderV2+` }`, nil,
			`{"orderV2":{"orderId":"7","customerId":"ALFKI","customer":{"name":"Alfreds Futterkiste"},"employeeId":5,"status":"PLACED","placedOn":"1996-07-04","requiredBy":"1996-08-01","shippedOn":null,
			"shipment":{"carrierId":3,"recipient":"Vins","address":{"kind":"SHIPPING","street":"59 rue de l'Abbaye","locality":"Reims","region":null,"postalCode":"51100","country":"France","countryCode":"FR"},
			"freight":{"amount":"32.38","currencyCode":"USD"}},
			"lines":[{"productId":11,"unitPrice":{"amount":"14.00"},"quantity":12,"discount":"0","total":{"amount":"168.00"}},
			{"productId":42,"unitPrice":{"amount":"9.80"},"quantity":10,"discount":"0.15","total":{"amount":"83.30"}}],
			"total":{"amount":"251.30","currencyCode":"USD"},"note":null,"version":1,"copy":{"origin":"WRITE","refined":false}}}`)

		// V2 adds a note and another order of the lines; V1 then changes what it can say, and both stay.
		s.want(`mutation { updateOrderV2(input: {orderId: "7", expectedVersion: 1, note: "ring twice", shippedOn: "1996-07-16",
			lines: [{productId: 42, unitPrice: "9.80", quantity: 1, discount: "0.150"}, {productId: 11, unitPrice: 14, quantity: 12}]})
			{ order { note status lines { productId discount } version copy { refined } } } }`, nil,
			`{"updateOrderV2":{"order":{"note":"ring twice","status":"SHIPPED","lines":[{"productId":42,"discount":"0.15"},{"productId":11,"discount":"0"}],"version":2,"copy":{"refined":true}}}}`)
		s.want(`{ orderV1(orderId: "7") { shippedDate details { productId quantity } } }`, nil,
			`{"orderV1":{"shippedDate":"1996-07-16","details":[{"productId":11,"quantity":12},{"productId":42,"quantity":1}]}}`)
		s.want(`mutation { updateOrderV1(input: {orderId: "7", employeeId: null, shipVia: null, details: [{productId: 1, unitPrice: 1, quantity: 1}, {productId: 42, unitPrice: 9.8, quantity: 2, discount: 0.15}]})
			{ order { employeeId shipVia shipName customerId } } }`, nil, `{"updateOrderV1":{"order":{"employeeId":null,"shipVia":null,"shipName":"Vins","customerId":"ALFKI"}}}`)
		s.want(
			`{ orderV2(orderId: "7") { note lines { productId quantity } shipment { carrierId freight { amount } } version } }`, nil,
			`{"orderV2":{"note":"ring twice","lines":[{"productId":42,"quantity":2},{"productId":1,"quantity":1}],"shipment":{"carrierId":null,"freight":{"amount":"32.38"}},"version":3}}`)

		// A shipment given replaces the whole shipment; null clears it.
		s.want(`mutation { updateOrderV2(input: {orderId: "7", shipment: {recipient: "Vins", address: {kind: BILLING, countryCode: "FR"}, freight: "0.10"}})
			{ order { shipment { carrierId recipient address { kind street country countryCode } freight { amount } } customerId note } } }`, nil,
			`{"updateOrderV2":{"order":{"shipment":{"carrierId":null,"recipient":"Vins","address":{"kind":"SHIPPING","street":null,"country":"France","countryCode":"FR"},"freight":{"amount":"0.10"}},
			"customerId":"ALFKI","note":"ring twice"}}}`)
		s.want(`{ orderV1(orderId: "7") { freight shipName shipAddress shipCountry } }`, nil,
			`{"orderV1":{"freight":0.1,"shipName":"Vins","shipAddress":null,"shipCountry":"France"}}`)
		s.want(
			`mutation { updateOrderV2(input: {orderId: "7", shipment: null, customerId: null, note: null}) { order { shipment { recipient address { street } freight { amount } } customer { name } note } } }`, nil,
			`{"updateOrderV2":{"order":{"shipment":{"recipient":null,"address":null,"freight":null},"customer":null,"note":null}}}`)
		s.want(`{ orderV1(orderId: "7") { customerId customer { city } shipName freight } }`, nil,
			`{"orderV1":{"customerId":null,"customer":null,"shipName":null,"freight":null}}`)
		s.want(
			`mutation { updateOrderV2(input: {orderId: "7", lines: null}) { order { lines { quantity } version } } }`,
			nil, `{"updateOrderV2":{"order":{"lines":[],"version":6}}}`)

		s.refused(`mutation { deleteOrderV2(orderId: "7", expectedVersion: 1) { deletedKey } }`, nil,
			"STALE_VERSION", "")
		s.want(`mutation { deleteOrderV2(orderId: "7", expectedVersion: 6) { deletedKey } }`, nil,
			`{"deleteOrderV2":{"deletedKey":"7"}}`)
		s.want(`{ orderV1(orderId: "7") { freight } orderV2(orderId: "7") { note } }`, nil,
			`{"orderV1":null,"orderV2":null}`)
		if rows := s.lines("SELECT order_id FROM order_details UNION ALL SELECT order_id FROM order_v2_lines"); len(
			rows) > 0 {
			t.Errorf("child rows are left: %v", rows)
		}
		s.want(
			`mutation { createOrderV2(input: {orderId: "7", customerId: "ALFKI", lines: []}) { order { version total { amount } lines { productId } shipment { address { street } } } } }`, nil,
			`{"createOrderV2":{"order":{"version":7,"total":{"amount":"0.00"},"lines":[],"shipment":{"address":null}}}}`)
		s.want(`mutation { deleteOrderV1(orderId: "7") { deletedKey } }`, nil, `{"deleteOrderV1":{"deletedKey":"7"}}`)
		// The server goes on above the highest key.
		s.orders(models.OrderV1{OrderID: 40})
		s.want(
			`mutation { a: createOrderV1(input: {details: []}) { order { orderId } } b: createOrderV2(input: {lines: []}) { order { orderId } } }`, nil,
			`{"a":{"order":{"orderId":"41"}},"b":{"order":{"orderId":"42"}}}`)
	})
}

// One list in both shapes and every phase.
func TestOrderLists(t *testing.T) {
	t.Parallel()
	eachWorking(t, func(t *testing.T, s *server) {
		s.customers(models.CustomerV1{CustomerID: "A"}, models.CustomerV1{CustomerID: "B"},
			models.CustomerV1{CustomerID: "C"})
		placed := func(id int, customer string, on, shipped *models.Date) models.OrderV1 {
			return models.OrderV1{
				OrderID: models.OrderID(id), CustomerID: &customer, OrderDate: on,
				ShippedDate: shipped,
			}
		}
		s.orders(
			placed(2, "A", new(models.Date("1996-07-05")), nil), placed(9, "A", new(models.Date("1996-07-04")),
				new(models.Date("1996-07-09"))),
			placed(10, "B", new(models.Date("1996-07-04")), nil), placed(11, "A", nil, nil),
			placed(100, "B", new(models.Date("1997-01-01")), new(models.Date("1997-01-02"))),
			models.OrderV1{OrderID: 101},
		)
		for _, phase := range forthAndBack {
			s.enter(phase)
			for _, c := range []struct {
				arguments, keys string
				total           int
			}{
				{``, "2 9 10 11 100 101", 6},
				{`last: 2`, "100 101", 6},
				{`orderBy: {field: DATE}`, "9 10 2 100 11 101", 6},
				{`orderBy: {field: DATE, direction: DESC}`, "100 2 10 9 101 11", 6},
				{`filter: {customerId: "A"}`, "2 9 11", 3},
				{`filter: {customerId: "C"}`, "", 0},
				{`filter: {customerId: "NOBODY AT ALL"}`, "", 0},
				{`filter: {placedFrom: "1996-07-05"}`, "2 100", 2},
				{`filter: {placedTo: "1996-07-04"}`, "9 10", 2},
				{`filter: {placedFrom: "1996-07-04", placedTo: "1996-12-31", shipped: false}`, "2 10", 2},
				{`filter: {shipped: true}`, "9 100", 2},
				{`filter: {shipped: false, customerId: "B"}, orderBy: {field: DATE}`, "10", 1},
				{`filter: {shipped: null, customerId: null, placedFrom: null}, first: 1`, "2", 6},
			} {
				for _, shape := range []string{"V1", "V2"} {
					got := s.list("orders"+shape, "orderId", c.arguments)
					if got.keys() != c.keys || got.TotalCount != c.total {
						t.Errorf("in %s: orders%s(%s): got %s of %d, want %s of %d", phase, shape, c.arguments,
							got.keys(), got.TotalCount, c.keys, c.total)
					}
				}
			}
			// A customer's orders, in pages, under either shape.
			for _, shape := range []string{"V1", "V2"} {
				const orders = `{ nodes { orderId } pageInfo { hasNextPage } totalCount }`
				s.want(fmt.Sprintf(`{ customers%s { nodes { customerId orders(first: 2) %s } } }`, shape, orders), nil, fmt.Sprintf(`{"customers%s":{"nodes":[
					{"customerId":"A","orders":{"nodes":[{"orderId":"2"},{"orderId":"9"}],"pageInfo":{"hasNextPage":true},"totalCount":3}},
					{"customerId":"B","orders":{"nodes":[{"orderId":"10"},{"orderId":"100"}],"pageInfo":{"hasNextPage":false},"totalCount":2}},
					{"customerId":"C","orders":{"nodes":[],"pageInfo":{"hasNextPage":false},"totalCount":0}}]}}`, shape))
				cursor := s.list("ordersV1", "orderId", "").Edges[1].Cursor
				s.want(fmt.Sprintf(`{ customer%s(customerId: "A") { after: orders(after: %q) %s last: orders(last: 1) %s } }`, shape, cursor, orders, orders), nil, fmt.Sprintf(`{"customer%s":{
					"after":{"nodes":[{"orderId":"11"}],"pageInfo":{"hasNextPage":false},"totalCount":3},"last":{"nodes":[{"orderId":"11"}],"pageInfo":{"hasNextPage":false},"totalCount":3}}}`, shape))
			}
		}
		s.walk("orders", "orderId", "", `orderBy: {direction: DESC}`, `orderBy: {field: DATE}`,
			`orderBy: {field: DATE, direction: DESC}`)
	})
}

// What a request costs in statements depends on its shape, not on the number of rows.
func TestStatements(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		s := newServer(t, url, repo.Migrate)
		s.customers(sampleCustomers(120)...)
		s.orders(sampleOrders(400, 120)...)
		// send returns the statements of a query, and whether it has stored copies, or has run out of the patience for
		// it.
		send := func(query string) (n int, stored, gaveUp bool) {
			t.Helper()
			statements := s.counted(func() { s.get(query, nil) })
			return len(statements), slices.Contains(statements, "COMMIT"), slices.Contains(statements, "ROLLBACK")
		}
		// costCold is the number of statements of a query while nothing has migrated, and cost when all has that it
		// reads.
		costCold := func(query string) (n int) {
			t.Helper()
			repotest.Until(t, "all is stored", func() bool {
				for _, table := range slices.Backward(v2Tables) {
					s.exec("DELETE FROM " + table)
				}
				var gaveUp bool
				n, _, gaveUp = send(query)
				return !gaveUp
			})
			return n
		}
		cost := func(query string) (n int) {
			t.Helper()
			repotest.Until(t, "all is stored", func() bool {
				var stored, gaveUp bool
				n, stored, gaveUp = send(query)
				return !stored && !gaveUp
			})
			return n
		}
		// Nothing has migrated yet: the first read of each must convert and store, at a constant number of statements.
		for _, list := range []struct {
			name, cold, fresh string
			most              int
		}{
			{
				"orders with customers", `ordersV2(%s) { nodes { orderId total { amount } customer { name } } }`,
				`ordersV2(first: %d) { nodes { orderId total { amount } customer { name } } }`, 2,
			},
			{
				"customers with orders with customers",
				`customersV2(%s) { nodes { name orders { nodes { orderId customer { name } } } } }`,
				`customersV2(first: %d) { nodes { name orders { nodes { orderId customer { name } } } } }`, 3,
			},
			{
				"V1 orders with customers", "",
				`ordersV1(first: %d) { nodes { orderId details { productId } customer { companyName } } }`, 2,
			},
			{
				"V1 customers with orders", "",
				`customersV1(first: %d) { nodes { city orders { nodes { orderId customer { city } } } } }`, 3,
			},
			{
				"edges", "",
				`customersV2(first: %d) { edges { node { orders { edges { node { customer { name } } } } } } }`, 3,
			},
			{
				"deeper", "",
				`ordersV2(first: %d) { nodes { customer { orders(last: 3) { nodes { customer { orders { totalCount } } } } } } }`, 6,
			},
			{"counts", "", `customersV2(first: %d) { totalCount nodes { orders { totalCount } } }`, 4},
		} {
			if list.cold != "" {
				few := costCold("{ " + fmt.Sprintf(list.cold, "first: 10") + " }")
				many := costCold("{ " + fmt.Sprintf(list.cold, "last: 100") + " }")
				t.Logf("%s, to migrate: %d statements for 10 rows, %d for 100", list.name, few, many)
				if many > few+2 { // many root rows go through a table of their own
					t.Errorf("%s, to migrate: %d statements for 10 rows, %d for 100", list.name, few, many)
				}
			}
			few, many := cost("{ "+fmt.Sprintf(list.fresh, 10)+" }"), cost("{ "+fmt.Sprintf(list.fresh, 100)+" }")
			t.Logf("%s: %d statements for 10 rows, %d for 100", list.name, few, many)
			if few != many || many > list.most {
				t.Errorf("%s: %d statements for 10 rows, %d for 100, want %d", list.name, few, many, list.most)
			}
		}
		for query, want := range map[string]int{
			`{ customerV2(customerId: "ALFKI") { name contacts { title } version copy { stored } } }`:          1,
			`{ customerV1(customerId: "ALFKI") { companyName } }`:                                              1,
			`{ orderV2(orderId: "10248") { lines { total { amount } } } }`:                                     1,
			`{ orderV2(orderId: "10248") { lines { total { amount } } customer { name } } }`:                   2,
			`{ customerV2(customerId: "NOBODY") { name } }`:                                                    1,
			`{ customerV2(customerId: "NOONE") { name } }`:                                                     1,
			`{ customersV2(first: 100) { edges { node { name } } pageInfo { hasNextPage hasPreviousPage } } }`: 1,
		} {
			if got := cost(query); got != want {
				t.Errorf("%s takes %d statements, want %d", query, got, want)
			}
		}
	})
}
