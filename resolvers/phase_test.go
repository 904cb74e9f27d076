package resolvers_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// forthAndBack are all phases, in the order of a migration that is taken back.
var forthAndBack = []repo.Phase{
	repo.Expand, repo.Migrate, repo.Cutover, repo.Contract, repo.Cutover,
	repo.Migrate, repo.Expand,
}

// at is the phase that both entities are in.
func (s *server) at() repo.Phase {
	s.t.Helper()
	migrations, err := s.Control.Migrations(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if migrations[0].Phase != migrations[1].Phase {
		s.t.Fatalf("the entities are apart: %+v", migrations)
	}
	return migrations[0].Phase
}

// enter takes both entities to a phase, step by step, as an operator does: with a sweep before CUTOVER, in the order of
// their references into CONTRACT, and with restores on the way back. Rehearsals and verifications it passes by force.
func (s *server) enter(to repo.Phase) {
	s.t.Helper()
	order := []repo.Phase{repo.Expand, repo.Migrate, repo.Cutover, repo.Contract}
	for at := s.at(); at != to; at = s.at() {
		step := 1
		if slices.Index(order, at) > slices.Index(order, to) {
			step = -1
		}
		next := order[slices.Index(order, at)+step]
		switch {
		case next == repo.Cutover && step > 0:
			s.succeed("startSweep", vars{"entity": "CUSTOMER"})
			s.succeed("startSweep", vars{"entity": "ORDER"})
			s.phase(next)
		case next == repo.Contract:
			s.setPhase("ORDER", next)
			s.setPhase("CUSTOMER", next)
		case next == repo.Cutover:
			// Orders that are gone let go of their customers, and those that are new need theirs.
			s.succeed("startRestore", vars{"entity": "ORDER"})
			s.succeed("startRestore", vars{"entity": "CUSTOMER"})
			s.setPhase("CUSTOMER", next)
			s.succeed("startRestore", vars{"entity": "ORDER"})
			s.setPhase("ORDER", next)
		default:
			s.phase(next)
		}
	}
	if rows := s.lines("SELECT name FROM coexist_entity WHERE incomplete"); len(rows) > 0 {
		s.t.Errorf("%s is incomplete: %v", to, rows)
	}
}

func (s *server) setPhase(entity string, to repo.Phase) {
	s.t.Helper()
	s.get(
		`mutation($e: Entity!, $to: Phase!) { setPhase(input: {entity: $e, to: $to, force: true, reason: "a test"}) { migration { id } } }`, vars{"e": entity, "to": to})
}

// start starts a run by the mutation with the name.
func (s *server) start(mutation string, input vars) run {
	s.t.Helper()
	kind := map[string]string{"startSweep": "StartSweepInput", "startVerification": "StartVerificationInput"}[mutation]
	if kind == "" {
		kind = "StartRunInput"
	}
	var got struct{ M struct{ Run run } }
	s.into(&got, `mutation($input: `+kind+`!) { m: `+mutation+`(input: $input) { run `+allOfRun+` } }`,
		vars{"input": input})
	return got.M.Run
}

// finish starts a run and returns how it has ended.
func (s *server) finish(mutation string, input vars) run {
	s.t.Helper()
	started := s.start(mutation, input)
	var got struct{ Run run }
	repotest.Until(s.t, mutation, func() bool {
		s.into(&got, `query($id: ID!) { run(id: $id) `+allOfRun+` }`, vars{"id": started.ID})
		return got.Run.FinishedAt != nil
	})
	return got.Run
}

// succeed is finish for a run that ends well, whatever it finds.
func (s *server) succeed(mutation string, input vars) run {
	s.t.Helper()
	r := s.finish(mutation, input)
	if r.Status != "SUCCEEDED" {
		s.t.Errorf("%s of %v ended as %+v", mutation, input, r)
	}
	return r
}

// eachWorking is eachServer in EXPAND, with a worker for runs.
func eachWorking(t *testing.T, f func(t *testing.T, s *server)) {
	t.Helper()
	repotest.Each(t, func(t *testing.T, url string) {
		s := newServer(t, url, repo.Expand)
		s.work()
		f(t, s)
	})
}

// An entity's life is the same in every phase, forth and back: through V1, through V2, and through both.
func TestEveryPhase(t *testing.T) {
	t.Parallel()
	eachWorking(t, func(t *testing.T, s *server) {
		// Two that live through all phases: one is only read, the other changes, and what V2 alone knows of it stays.
		s.get(`mutation {
			a: createCustomerV1(input: {customerId: "STILL", companyName: "Still", contactName: "Isabel  de Castro", address: "Mataderos  2312", city: "London", country: "UK", phone: "1"}) { customer { city } }
			b: createCustomerV1(input: {customerId: "KEEP", companyName: "Keep", contactName: "Maria Anders", contactTitle: "Owner", city: "Berlin", country: "Germany", fax: "9"}) { customer { city } }
			c: createOrderV1(input: {orderId: "1", customerId: "STILL", orderDate: "1996-07-04", freight: 32.38, shipCountry: "UK", details: [{productId: 42, unitPrice: 9.8, quantity: 10, discount: 0.15}]}) { order { orderId } }
			d: createOrderV1(input: {orderId: "2", customerId: "KEEP", shipName: "Keep", details: [{productId: 1, unitPrice: 18, quantity: 1}, {productId: 2, unitPrice: 19, quantity: 2}]}) { order { orderId } } }`, nil)
		const still = `{ customerV1(customerId: "STILL") ` + allOfCustomerV1 + `
			customerV2(customerId: "STILL") { name contacts { displayName givenName familyName title } addresses { kind street locality country countryCode } phones { kind number } orders { nodes { orderId } totalCount } }
			orderV1(orderId: "1") { orderId freight orderDate details { productId unitPrice quantity discount } customer { companyName } }
			orderV2(orderId: "1") { status placedOn shipment { freight { amount } address { countryCode } } lines { productId unitPrice { amount } discount total { amount } } total { amount } note customer { name orders { totalCount } } }
			node(id: "` // and the id
		id := globalID("OrderV2", "1")
		before := s.get(still+id+`") { ... on OrderV2 { total { amount } } } }`, nil)
		for i, phase := range forthAndBack {
			s.enter(phase)
			if now := s.get(still+id+`") { ... on OrderV2 { total { amount } } } }`, nil); now != before {
				t.Errorf("%s reads %s, was %s", phase, now, before)
			}
			s.keeps(i, phase)
			s.lives(i, phase)
			if t.Failed() {
				t.Fatalf("in %s, step %d", phase, i)
			}
		}
		for _, table := range slices.Concat(v1Tables, v2Tables) {
			if rows := s.dump(table); table != "customers" && table != "orders" && len(rows) == 0 {
				t.Errorf("%s is empty", table)
			}
		}
		if got := s.list("customersV1", "customerId", "").keys() + ", " + s.list("ordersV2", "orderId",
			"").keys(); got != "KEEP STILL, 1 2" {
			t.Errorf("what is left is %s", got)
		}
		if got := s.lines("SELECT customer_id FROM customers"); len(got) != 2 {
			t.Errorf("V1 has %v", got)
		}
	})
}

// keeps changes what lives through all phases, each shape a part of it, and sees that neither loses what the other
// wrote.
func (s *server) keeps(step int, phase repo.Phase) {
	s.t.Helper()
	v := vars{
		"city": fmt.Sprintf("City %d", step), "mobile": fmt.Sprintf("+49 %d", step),
		"note": fmt.Sprintf("note %d", step), "ship": fmt.Sprintf("ship %d", step),
	}
	const v1 = `mutation($city: String, $ship: String) { updateCustomerV1(input: {customerId: "KEEP", city: $city}) { customer { city contactName } }
		updateOrderV1(input: {orderId: "2", shipName: $ship}) { order { shipName details { productId } } } }`
	const v2 = `mutation($mobile: String!, $note: String) { updateCustomerV2(input: {customerId: "KEEP", phones: [{kind: MOBILE, number: $mobile}, {kind: FAX, number: "9"}],
		contacts: [{displayName: "Maria Anders", givenName: "Maria", familyName: "Anders", title: "Owner"}, {givenName: "Ana", familyName: "Moreno"}]}) { customer { copy { refined } } }
		updateOrderV2(input: {orderId: "2", note: $note, lines: [{productId: 2, unitPrice: "19", quantity: 2}, {productId: 1, unitPrice: "18", quantity: 1}]}) { order { note } } }`
	last := v
	switch phase {
	case repo.Expand:
		for _, f := range s.ask(v2, v).Errors {
			if f.code() != "V2_NOT_OPEN" {
				s.t.Errorf("got %+v", f)
			}
		}
		last = vars{"mobile": fmt.Sprintf("+49 %d", step-1), "note": fmt.Sprintf("note %d", step-1)} // those of MIGRATE
	default:
		s.want(v2, v,
			fmt.Sprintf(
				`{"updateCustomerV2":{"customer":{"copy":{"refined":true}}},"updateOrderV2":{"order":{"note":%q}}}`,
				v["note"]))
	}
	s.want(v1, v, fmt.Sprintf(`{"updateCustomerV1":{"customer":{"city":%q,"contactName":"Maria Anders"}},
		"updateOrderV1":{"order":{"shipName":%q,"details":[{"productId":1},{"productId":2}]}}}`, v["city"], v["ship"]))
	phones, contacts, note, lines := fmt.Sprintf(`[{"kind":"MOBILE","number":%q},{"kind":"FAX","number":"9"}]`,
		last["mobile"]), `[{"displayName":"Maria Anders"},{"displayName":"Ana Moreno"}]`,
		fmt.Sprintf("%q", last["note"]), `[{"productId":2},{"productId":1}]`
	if step == 0 { // V2 has written nothing yet
		phones, contacts, note, lines = `[{"kind":"FAX","number":"9"}]`, `[{"displayName":"Maria Anders"}]`, "null",
			`[{"productId":1},{"productId":2}]`
	}
	s.want(`{ customerV2(customerId: "KEEP") { phones { kind number } contacts { displayName } addresses { locality countryCode } }
		orderV2(orderId: "2") { note lines { productId } shipment { recipient } customer { addresses { locality } } }
		orderV1(orderId: "2") { shipName customer { city fax } } }`, nil, fmt.Sprintf(
		`{"customerV2":{"phones":%s,"contacts":%s,"addresses":[{"locality":%q,"countryCode":"DE"}]},
		"orderV2":{"note":%s,"lines":%s,"shipment":{"recipient":%q},"customer":{"addresses":[{"locality":%q}]}},
		"orderV1":{"shipName":%q,"customer":{"city":%q,"fax":"9"}}}`, phones, contacts, v["city"], note, lines, v["ship"], v["city"], v["ship"], v["city"]))
}

// lives makes customers and orders through both shapes, with keys and without, changes and deletes them.
func (s *server) lives(step int, phase repo.Phase) {
	s.t.Helper()
	a, b, o, p := fmt.Sprintf("A%d", step), fmt.Sprintf("B%d", step), fmt.Sprint(1000+100*step),
		fmt.Sprint(1050+100*step)
	v := vars{"a": a, "b": b, "o": o, "p": p}
	s.want(`mutation($a: ID!, $o: ID!) { createCustomerV1(input: {customerId: $a, companyName: "A", contactName: "Ana Trujillo", country: "Mexico"}) { customer { customerId country city } }
		createOrderV1(input: {orderId: $o, customerId: $a, freight: 0.1, details: [{productId: 3, unitPrice: 10, quantity: 2, discount: 0.05}]}) { order { freight customer { companyName } } } }`, v, fmt.Sprintf(
		`{"createCustomerV1":{"customer":{"customerId":%q,"country":"Mexico","city":null}},"createOrderV1":{"order":{"freight":0.1,"customer":{"companyName":"A"}}}}`, a))
	s.refused(`mutation($a: ID!) { createCustomerV1(input: {customerId: $a, companyName: "A"}) { customer { city } } }`,
		v, "ALREADY_EXISTS", "")
	s.refused(`mutation($o: ID!) { createOrderV1(input: {orderId: $o, details: []}) { order { freight } } }`, v,
		"ALREADY_EXISTS", "")
	s.want(`query($a: ID!, $o: ID!) { customerV2(customerId: $a) { name contacts { familyName } addresses { countryCode } orders { nodes { orderId } } }
		orderV2(orderId: $o) { total { amount } customerId } customerV1(customerId: $a) { orders { nodes { orderId } } } }`, v, fmt.Sprintf(
		`{"customerV2":{"name":"A","contacts":[{"familyName":"Trujillo"}],"addresses":[{"countryCode":"MX"}],"orders":{"nodes":[{"orderId":%q}]}},
		"orderV2":{"total":{"amount":"19.00"},"customerId":%q},"customerV1":{"orders":{"nodes":[{"orderId":%q}]}}}`, o, a, o))

	const createV2 = `mutation($b: ID, $p: ID, $a: ID!) { createCustomerV2(input: {customerId: $b, name: "B", addresses: [{kind: BILLING, countryCode: "US"}, {countryCode: "GB"}]}) { customer { customerId version addresses { country } } }
		createOrderV2(input: {orderId: $p, customerId: $a, note: "n", lines: [{productId: 5, unitPrice: "0.10", quantity: 3}]}) { order { orderId version total { amount } } } }`
	if phase != repo.Expand {
		made := fmt.Sprintf(
			`{"createCustomerV2":{"customer":{"customerId":%q,"version":1,"addresses":[{"country":"USA"},{"country":"UK"}]}},"createOrderV2":{"order":{"orderId":%q,"version":1,"total":{"amount":"0.30"}}}}`, b, p)
		s.want(createV2, v, made)
		s.refused(`mutation($b: ID!) { createCustomerV2(input: {customerId: $b, name: "B"}) { customer { name } } }`, v,
			"ALREADY_EXISTS", "")
		s.want(
			`query($b: ID!, $p: ID!) { customerV1(customerId: $b) { companyName country contactName } orderV1(orderId: $p) { details { unitPrice } customer { country } } }`, v,
			`{"customerV1":{"companyName":"B","country":"UK","contactName":null},"orderV1":{"details":[{"unitPrice":0.1}],"customer":{"country":"Mexico"}}}`)
		s.refused(
			`mutation($b: ID!) { updateCustomerV2(input: {customerId: $b, expectedVersion: 7, name: "x"}) { customer { name } } }`, v, "STALE_VERSION", "")
		s.refused(
			`mutation($p: ID!) { updateOrderV2(input: {orderId: $p, expectedVersion: 7, note: "x"}) { order { note } } }`, v, "STALE_VERSION", "")
		s.want(
			`mutation($b: ID!, $p: ID!) { updateCustomerV2(input: {customerId: $b, expectedVersion: 1, name: "B!"}) { customer { version } } updateOrderV2(input: {orderId: $p, expectedVersion: 1, customerId: "KEEP"}) { order { version customer { name } } } }`, v,
			`{"updateCustomerV2":{"customer":{"version":2}},"updateOrderV2":{"order":{"version":2,"customer":{"name":"Keep"}}}}`)
	} else {
		for _, f := range s.ask(createV2, v).Errors {
			if f.code() != "V2_NOT_OPEN" {
				s.t.Errorf("got %+v", f)
			}
		}
	}
	s.unkeyed(phase)
	s.references(v, phase)

	// Deletes, through the shape that did not make it where that is possible.
	var is struct{ C, O struct{ Version int } }
	s.into(&is,
		`query($o: ID!, $a: ID!) { c: customerV2(customerId: $a) { version } o: orderV2(orderId: $o) { version } }`, v)
	v["va"], v["vo"] = is.C.Version, is.O.Version
	s.refused(`mutation($a: ID!) { deleteCustomerV2(customerId: $a, expectedVersion: 77) { deletedKey } }`, v,
		"STALE_VERSION", "")
	s.want(
		`mutation($o: ID!, $a: ID!, $vo: Int, $va: Int) { deleteOrderV2(orderId: $o, expectedVersion: $vo) { deletedKey } deleteCustomerV2(customerId: $a, expectedVersion: $va) { deletedKey } }`, v,
		fmt.Sprintf(`{"deleteOrderV2":{"deletedKey":%q},"deleteCustomerV2":{"deletedKey":%q}}`, o, a))
	if phase != repo.Expand {
		s.want(
			`mutation($p: ID!, $b: ID!) { deleteOrderV1(orderId: $p) { deletedKey } deleteCustomerV1(customerId: $b) { deletedKey } }`, v, fmt.Sprintf(`{"deleteOrderV1":{"deletedKey":%q},"deleteCustomerV1":{"deletedKey":%q}}`, p, b))
	}
	s.want(
		`query($a: ID!, $b: ID!, $o: ID!, $p: ID!) { customerV1(customerId: $a) { city } customerV2(customerId: $b) { name } orderV1(orderId: $p) { freight } orderV2(orderId: $o) { note } }`, v,
		`{"customerV1":null,"customerV2":null,"orderV1":null,"orderV2":null}`)
	for _, gone := range []string{
		`updateCustomerV1(input: {customerId: $a, city: "x"}) { customer { city } }`,
		`deleteCustomerV1(customerId: $a) { deletedKey }`, `deleteCustomerV2(customerId: $a) { deletedKey }`,
	} {
		s.refused(`mutation($a: ID!) { `+gone+` }`, v, "NOT_FOUND", "")
	}
	// A key that is free again starts above its versions, in V1 and in V2 alike.
	s.get(`mutation($a: ID!) { createCustomerV1(input: {customerId: $a, companyName: "Again"}) { customer { city } } }`,
		v)
	var again struct {
		CustomerV2 struct {
			Name     string
			Version  int
			Contacts []struct{ DisplayName string }
		}
	}
	s.into(&again, `query($a: ID!) { customerV2(customerId: $a) { name version contacts { displayName } } }`, v)
	if c := again.CustomerV2; c.Name != "Again" || c.Version <= is.C.Version || len(c.Contacts) > 0 {
		s.t.Errorf("after version %d it came back as %+v", is.C.Version, c)
	}
	s.get(`mutation($a: ID!) { deleteCustomerV1(customerId: $a) { deletedKey } }`, v)
}

// unkeyed makes what gets its key from the server, and removes it.
func (s *server) unkeyed(phase repo.Phase) {
	s.t.Helper()
	made := map[string]bool{}
	for _, shape := range []struct{ customer, order string }{
		{
			`createCustomerV1(input: {companyName: "x"}) { customer { customerId } }`,
			`createOrderV1(input: {details: []}) { order { orderId } }`,
		},
		{
			`createCustomerV2(input: {name: "x"}) { customer { customerId } }`,
			`createOrderV2(input: {lines: []}) { order { orderId } }`,
		},
	} {
		if phase == repo.Expand && len(made) > 0 {
			break // V2 is not open
		}
		var got struct {
			C struct{ Customer struct{ CustomerID string } }
			O struct{ Order struct{ OrderID string } }
		}
		s.into(&got, "mutation { c: "+shape.customer+" o: "+shape.order+" }", nil)
		c, o := got.C.Customer.CustomerID, got.O.Order.OrderID
		if len(c) == 0 || len(c) > 5 || made[c] || made[o] || len(o) < 4 {
			s.t.Errorf("the server made %q and %q besides %v", c, o, made)
		}
		made[c], made[o] = true, true
		v := vars{"c": c, "o": o}
		s.want(
			`query($c: ID!, $o: ID!) { customerV1(customerId: $c) { companyName } customerV2(customerId: $c) { name } orderV1(orderId: $o) { details { quantity } } orderV2(orderId: $o) { lines { quantity } } }`, v,
			`{"customerV1":{"companyName":"x"},"customerV2":{"name":"x"},"orderV1":{"details":[]},"orderV2":{"lines":[]}}`)
		s.get(
			`mutation($c: ID!, $o: ID!) { deleteCustomerV2(customerId: $c) { deletedKey } deleteOrderV1(orderId: $o) { deletedKey } }`, v)
	}
}

// references guard in every phase, CONTRACT too, where the database does not: to nobody there is no order, and who has
// orders stays.
func (s *server) references(v vars, phase repo.Phase) {
	s.t.Helper()
	s.refused(`mutation { createOrderV1(input: {customerId: "NOONE", details: []}) { order { orderId } } }`, nil,
		"BAD_USER_INPUT", "customerId")
	s.refused(`mutation($o: ID!) { updateOrderV1(input: {orderId: $o, customerId: "NOONE"}) { order { orderId } } }`, v,
		"BAD_USER_INPUT", "customerId")
	if phase != repo.Expand {
		s.refused(`mutation { createOrderV2(input: {customerId: "NOONE", lines: []}) { order { orderId } } }`, nil,
			"BAD_USER_INPUT", "customerId")
		s.refused(
			`mutation($o: ID!) { updateOrderV2(input: {orderId: $o, customerId: "NOONE"}) { order { orderId } } }`, v,
			"BAD_USER_INPUT", "customerId")
	}
	s.refused(`mutation($a: ID!) { deleteCustomerV1(customerId: $a) { deletedKey } }`, v, "CONFLICT", "")
	s.refused(`mutation($a: ID!) { deleteCustomerV2(customerId: $a) { deletedKey } }`, v, "CONFLICT", "")
}
