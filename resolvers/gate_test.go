package resolvers_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

const setPhase = `mutation($entity: Entity!, $to: Phase!, $force: Boolean, $reason: String) { setPhase(input: {entity: $entity, to: $to, force: $force, reason: $reason}) { migration { phase incomplete } } }`

// blocker is what blocks a step, as a client sees it.
type blocker struct {
	Code       string
	Count      int
	Message    string
	ExampleKey *string
}

// gate returns what blocks a step, like "UNMIGRATED 3 of ALFKI, DRIFT 1". Each message says what to do.
func (s *server) gate(entity string, to repo.Phase) string {
	s.t.Helper()
	var got struct{ Migration struct{ Gate []blocker } }
	s.into(&got,
		`query($entity: Entity!, $to: Phase!) { migration(entity: $entity) { gate(to: $to) { code count message exampleKey } } }`, vars{"entity": entity, "to": to})
	return s.summary(got.Migration.Gate)
}

func (s *server) summary(blockers []blocker) string {
	s.t.Helper()
	parts := make([]string, len(blockers))
	for i, b := range blockers {
		parts[i] = fmt.Sprintf("%s %d", b.Code, b.Count)
		if b.ExampleKey != nil {
			parts[i] += " of " + *b.ExampleKey
		}
		advice := false
		for _, what := range []string{
			"start one", "start a", "start another", "repair", "switch",
			"set the phase", "stop them",
		} {
			advice = advice || strings.Contains(b.Message, what)
		}
		if !advice || b.Count != 1 && !strings.Contains(b.Message, fmt.Sprint(b.Count)) {
			s.t.Errorf("%s does not say what to do, or about how many: %s", b.Code, b.Message)
		}
	}
	return strings.Join(parts, ", ")
}

// closed asks for a step that what is wanted blocks. The gate says it before, the error after, and nothing changes.
// forced says whether it has been tried by force.
func (s *server) closed(entity string, to repo.Phase, forced bool, want string) {
	s.t.Helper()
	if got := s.gate(entity, to); got != want {
		s.t.Errorf("the gate of %s to %s: got %s, want %s", entity, to, got, want)
	}
	v := vars{"entity": entity, "to": to, "force": forced}
	if forced {
		v["reason"] = "a test"
	}
	before := s.everything()
	f := s.fails(setPhase, v, "GATE_CLOSED", "")
	if after := s.everything(); after != before {
		s.t.Errorf("it wrote something:\n%s", changes(before, after))
	}
	document, err := json.Marshal(f.Extensions["blockers"])
	if err != nil {
		s.t.Fatal(err)
	}
	var blockers []blocker
	decode(s.t, string(document), &blockers)
	if got := s.summary(blockers); got != want {
		s.t.Errorf("extensions.blockers of %s to %s: got %s, want %s", entity, to, got, want)
	}
	for _, b := range blockers {
		if !strings.Contains(f.Message, b.Message) {
			s.t.Errorf("the error %q lacks %q", f.Message, b.Message)
		}
	}
}

// opens takes a step that nothing blocks.
func (s *server) opens(entity string, to repo.Phase) {
	s.t.Helper()
	if got := s.gate(entity, to); got != "" {
		s.t.Errorf("the gate of %s to %s: %s", entity, to, got)
	}
	s.want(setPhase, vars{"entity": entity, "to": to},
		fmt.Sprintf(`{"setPhase":{"migration":{"phase":%q,"incomplete":false}}}`, to))
}

// What blocks each step is told with what to do, and each goes when that is done. Nothing here is forced.
func TestGates(t *testing.T) {
	t.Parallel()
	eachWorking(t, func(t *testing.T, s *server) {
		s.customers(
			models.CustomerV1{CustomerID: "A", CompanyName: "a", Country: new("UK")}, models.CustomerV1{
				CustomerID:  "B",
				CompanyName: "b",
			}, models.CustomerV1{CustomerID: "C", CompanyName: "c", Country: new("Atlantis")},
		)
		s.orders(models.OrderV1{
			OrderID: 1, CustomerID: new("A"),
			Details: []models.OrderDetailV1{{ProductID: 1, UnitPrice: "1", Quantity: 1, Discount: "0"}},
		})
		const customer, order = "CUSTOMER", "ORDER"
		sweep := func(entity string) { t.Helper(); s.succeed("startSweep", vars{"entity": entity}) }
		verify := func(entity string, repair string) run {
			t.Helper()
			return s.succeed("startVerification", vars{"entity": entity, "repair": repair})
		}

		// To MIGRATE.
		s.fails(`{ migration(entity: CUSTOMER) { gate(to: CUTOVER) { code } } }`, nil, "BAD_USER_INPUT", "to")
		if got := s.gate(customer, repo.Expand); got != "" {
			t.Errorf("the phase in force is blocked by %s", got)
		}
		s.closed(customer, repo.Migrate, false, "NOT_REHEARSED 1")
		if r := s.succeed("startRehearsal", vars{"entity": customer}); r.Done != 3 ||
			r.Quarantined != 1 || r.Migrated != 0 {
			t.Errorf("the rehearsal ended as %+v", r)
		}
		s.succeed("startRehearsal", vars{"entity": order})
		s.opens(customer, repo.Migrate)
		s.opens(order, repo.Migrate)

		// To CUTOVER.
		s.closed(customer, repo.Cutover, false, "UNMIGRATED 2 of A, QUARANTINED 1 of C, NOT_VERIFIED 1")
		sweep(customer)
		s.closed(customer, repo.Cutover, false, "QUARANTINED 1 of C, NOT_VERIFIED 1")
		// a program of its owner's repairs it
		s.exec(`UPDATE customers SET country = 'Germany' WHERE customer_id = 'C'`)
		s.closed(customer, repo.Cutover, false, "QUARANTINED 1 of C, NOT_VERIFIED 1") // nobody has tried again
		s.exec(`UPDATE customers SET city = 'x' WHERE customer_id = 'B'`)
		s.closed(customer, repo.Cutover, false, "STALE 1 of B, QUARANTINED 1 of C, NOT_VERIFIED 1")
		if r := verify(customer, "NONE"); r.Done != 3 { // it finds no fault, but could not compare all
			t.Errorf("the verification ended as %+v", r)
		}
		s.closed(customer, repo.Cutover, false, "STALE 1 of B, QUARANTINED 1 of C, NOT_VERIFIED 2")
		sweep(customer)
		s.closed(customer, repo.Cutover, false, "NOT_VERIFIED 2")
		verify(customer, "NONE")
		if got := s.gate(customer, repo.Cutover); got != "" {
			t.Errorf("the gate is closed by %s", got)
		}
		s.exec(`UPDATE customers SET city = 'y' WHERE customer_id = 'B'`)
		s.exec(`UPDATE customers SET city = 'z' WHERE customer_id IN ('A', 'B')`)
		s.closed(customer, repo.Cutover, false, "STALE 2 of A, BYPASS_WRITES 3")
		// use migrates, too
		s.want(`{ customersV2 { nodes { copy { stored } } } }`, nil,
			`{"customersV2":{"nodes":[{"copy":{"stored":true}},{"copy":{"stored":true}},{"copy":{"stored":true}}]}}`)
		s.closed(customer, repo.Cutover, false, "BYPASS_WRITES 3")
		verify(customer, "NONE")
		s.get(`mutation { setCapture(input: {entity: CUSTOMER, enabled: false}) { migration { id } } }`, nil)
		s.closed(customer, repo.Cutover, false, "CAPTURE_OFF 1")
		s.get(`mutation { setCapture(input: {entity: CUSTOMER, enabled: true}) { migration { id } } }`, nil)
		s.closed(customer, repo.Cutover, false, "STALE 3, CAPTURE_OFF 1") // V1 may have changed meanwhile
		sweep(customer)
		s.closed(customer, repo.Cutover, false, "CAPTURE_OFF 1")
		verify(customer, "NONE")
		s.exec(`UPDATE customers_v2 SET name = 'drifted' WHERE customer_id = 'A'`)
		if got := s.gate(customer, repo.Cutover); got != "" {
			t.Errorf("nobody has looked, and the gate is closed by %s", got)
		}
		verify(customer, "NONE")
		s.closed(customer, repo.Cutover, false, "DRIFT 1 of A")
		verify(customer, "FROM_SOURCE_OF_TRUTH")
		s.closed(customer, repo.Cutover, false, "DRIFT 1 of A") // red until a newer one is clean
		sweep(customer)
		s.closed(customer, repo.Cutover, false, "DRIFT 1 of A")
		verify(customer, "NONE")
		s.opens(customer, repo.Cutover)

		// To CONTRACT: orders first. A verification of MIGRATE counts no more.
		s.closed(customer, repo.Contract, false, "NOT_VERIFIED 1, REFERENCE 1")
		verify(customer, "NONE")
		s.closed(customer, repo.Contract, true, "REFERENCE 1")
		sweep(order)
		verify(order, "NONE")
		s.opens(order, repo.Cutover)
		s.exec(`UPDATE order_v2_lines SET quantity = 99`)
		verify(order, "NONE")
		s.closed(order, repo.Contract, false, "DRIFT 1 of 1")
		verify(order, "FROM_SOURCE_OF_TRUTH") // V2 leads now
		s.want(`{ orderV1(orderId: "1") { details { quantity } } }`, nil, `{"orderV1":{"details":[{"quantity":99}]}}`)
		if got := s.lines("SELECT quantity FROM order_details"); len(got) != 1 || !strings.Contains(got[0], "99") {
			t.Errorf("V1 has %v", got)
		}
		verify(order, "NONE")
		s.opens(order, repo.Contract)
		s.opens(customer, repo.Contract)

		// Back to CUTOVER: customers first, and not before V1 is as V2.
		s.get(`mutation { updateCustomerV2(input: {customerId: "A", addresses: [{locality: "a city beyond V1's column", countryCode: "GB"}]}) { customer { name } }
			updateOrderV2(input: {orderId: "1", note: "n", employeeId: 7}) { order { note } } }`, nil)
		s.closed(order, repo.Cutover, true, "V1_NOT_RESTORED 1, REFERENCE 1")
		s.closed(customer, repo.Cutover, true, "V1_NOT_RESTORED 1")
		red := s.succeed("startRestore", vars{"entity": customer})
		if got := s.findings(red.ID); !slices.Equal(got, []string{"DIFFERENT A addresses[0].locality"}) {
			t.Errorf("the restore found %q", got)
		}
		s.want(`query($id: ID!) { run(id: $id) { kind faults done } }`, vars{"id": red.ID},
			`{"run":{"kind":"RESTORE","faults":1,"done":3}}`)
		s.closed(customer, repo.Cutover, true, "V1_NOT_RESTORED 1 of A")
		s.refused(
			`mutation { updateCustomerV2(input: {customerId: "B", addresses: [{locality: "another city beyond V1's column"}]}) { customer { name } } }`, nil, "NOT_REPRESENTABLE_IN_V1", "addresses[0].locality")
		s.get(
			`mutation { updateCustomerV2(input: {customerId: "A", addresses: [{locality: "Bath", countryCode: "GB"}]}) { customer { name } } }`, nil)
		s.closed(customer, repo.Cutover, true, "V1_NOT_RESTORED 1 of A") // until a restore says otherwise
		s.succeed("startRestore", vars{"entity": customer})
		s.succeed("startRestore", vars{"entity": order})
		s.closed(order, repo.Cutover, true, "REFERENCE 1")
		s.opens(customer, repo.Cutover)
		s.opens(order, repo.Cutover)
		s.opens(order, repo.Migrate)
		s.opens(customer, repo.Migrate)
		s.opens(order, repo.Expand)
		s.opens(customer, repo.Expand)
		if got := s.lines("SELECT city FROM customers WHERE customer_id = 'A'"); len(got) != 1 ||
			!strings.Contains(got[0], "Bath") {
			t.Errorf("V1 has %v", got)
		}
		if rows := s.lines("SELECT id FROM coexist_phase_change WHERE forced"); len(rows) > 0 {
			t.Errorf("something was forced: %v", rows)
		}
		s.want(`{ migration(entity: CUSTOMER) { phase incomplete history { from to forced reason actor } } }`, nil, `{"migration":{"phase":"EXPAND","incomplete":false,"history":[
			{"from":"MIGRATE","to":"EXPAND","forced":false,"reason":null,"actor":"operator"},{"from":"CUTOVER","to":"MIGRATE","forced":false,"reason":null,"actor":"operator"},
			{"from":"CONTRACT","to":"CUTOVER","forced":false,"reason":null,"actor":"operator"},{"from":"CUTOVER","to":"CONTRACT","forced":false,"reason":null,"actor":"operator"},
			{"from":"MIGRATE","to":"CUTOVER","forced":false,"reason":null,"actor":"operator"},{"from":"EXPAND","to":"MIGRATE","forced":false,"reason":null,"actor":"operator"}]}}`)
	})
}

// Force passes warnings and needs a reason. Rows that V2 lacks make the CUTOVER incomplete, and are never forced into
// CONTRACT.
func TestForce(t *testing.T) {
	t.Parallel()
	eachWorking(t, func(t *testing.T, s *server) {
		s.customers(
			models.CustomerV1{CustomerID: "A", CompanyName: "a"}, models.CustomerV1{CustomerID: "B", CompanyName: "b"},
			models.CustomerV1{CustomerID: "C", CompanyName: "c", Country: new("Atlantis")},
		)
		const customer = "CUSTOMER"
		s.setPhase(customer, repo.Migrate)
		s.get(`{ customerV2(customerId: "A") { name } }`, nil)
		s.get(`mutation { setCapture(input: {entity: CUSTOMER, enabled: false}) { migration { id } } }`, nil)
		s.fails(`{ customerV2(customerId: "C") { name } }`, nil, "CONVERSION_FAILED", "addresses[0].country")
		s.closed(customer, repo.Cutover, false, "UNMIGRATED 1 of B, QUARANTINED 1 of C, NOT_VERIFIED 1, CAPTURE_OFF 1")
		for _, reason := range []any{nil, "", " \n"} {
			s.refused(setPhase, vars{"entity": customer, "to": "CUTOVER", "force": true, "reason": reason},
				"BAD_USER_INPUT", "reason")
		}
		s.get(`mutation { setCapture(input: {entity: CUSTOMER, enabled: true}) { migration { id } } }`, nil)
		s.want(setPhase, vars{"entity": customer, "to": "CUTOVER", "force": true, "reason": "we know"},
			`{"setPhase":{"migration":{"phase":"CUTOVER","incomplete":true}}}`)
		s.want(`{ migration(entity: CUSTOMER) { incomplete history(first: 1) { from to forced reason } } }`, nil,
			`{"migration":{"incomplete":true,"history":[{"from":"MIGRATE","to":"CUTOVER","forced":true,"reason":"we know"}]}}`)

		// What V2 lacks is still led by V1; what it has, or gets by use, by V2.
		s.want(
			`{ customersV1 { nodes { companyName } } a: customerV2(customerId: "A") { name } b: customerV2(customerId: "B") { name copy { stored } } c: customerV1(customerId: "C") { country } }`, nil,
			`{"customersV1":{"nodes":[{"companyName":"a"},{"companyName":"b"},{"companyName":"c"}]},"a":{"name":"a"},"b":{"name":"b","copy":{"stored":true}},"c":{"country":"Atlantis"}}`)
		s.fails(`{ customerV2(customerId: "C") { name } }`, nil, "CONVERSION_FAILED", "addresses[0].country")
		s.refused(`mutation { updateCustomerV1(input: {customerId: "C", city: "x"}) { customer { city } } }`, nil,
			"CONVERSION_FAILED", "country")
		s.refused(`mutation { updateCustomerV2(input: {customerId: "C", name: "x"}) { customer { name } } }`, nil,
			"CONVERSION_FAILED", "addresses[0].country")
		s.want(`mutation { updateCustomerV1(input: {customerId: "A", city: "x"}) { customer { city } } }`, nil,
			`{"updateCustomerV1":{"customer":{"city":"x"}}}`)
		if _, err := s.raw.ExecContext(t.Context(), `UPDATE customers SET city = 'y'`); err == nil {
			t.Error("a program could write past the server in CUTOVER")
		}
		s.closed(customer, repo.Cutover, false, "QUARANTINED 1 of C, NOT_VERIFIED 1")
		s.closed(customer, repo.Contract, true, "QUARANTINED 1 of C, NOT_VERIFIED 1, REFERENCE 1")

		// Complete once the last is repaired, and asked for again.
		s.get(`mutation { updateCustomerV1(input: {customerId: "C", country: "Germany"}) { customer { city } } }`, nil)
		s.want(setPhase, vars{"entity": customer, "to": "CUTOVER", "force": true, "reason": "all there"},
			`{"setPhase":{"migration":{"phase":"CUTOVER","incomplete":false}}}`)
		// no change
		s.want(setPhase, vars{"entity": customer, "to": "CUTOVER"},
			`{"setPhase":{"migration":{"phase":"CUTOVER","incomplete":false}}}`)
		s.want(`{ migration(entity: CUSTOMER) { history { from to forced reason } } }`, nil, `{"migration":{"history":[{"from":"CUTOVER","to":"CUTOVER","forced":true,"reason":"all there"},
			{"from":"MIGRATE","to":"CUTOVER","forced":true,"reason":"we know"},{"from":"EXPAND","to":"MIGRATE","forced":true,"reason":"a test"}]}}`)
	})
}

// A step that an old program's transaction keeps waiting says who that is, has changed nothing, and goes once that has
// ended.
func TestBlockedStep(t *testing.T) {
	t.Parallel() // it waits for long
	url := repotest.Postgres(t)
	seesOthers := repotest.Pinned(url) == url // a role that is no superuser does not see what another's session does
	s := newServer(t, url, repo.Migrate)
	s.customers(sampleCustomers(2)...)
	s.orders(sampleOrders(2, 2)...)
	conn, err := s.raw.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // it only read
	for _, statement := range []string{
		"SET application_name = 'nightly job'", "BEGIN",
		"UPDATE customers SET city = city", "UPDATE orders SET freight = freight",
	} {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	before := s.everything()
	var both sync.WaitGroup
	for _, operation := range []string{
		`mutation { setPhase(input: {entity: CUSTOMER, to: EXPAND}) { migration { phase } } }`,
		`mutation { setCapture(input: {entity: ORDER, enabled: false}) { migration { phase } } }`,
	} {
		both.Go(func() {
			f := s.fails(operation, nil, "BUSY", "")
			by, _ := f.Extensions["blockedBy"].([]any)
			if len(by) != 1 {
				t.Errorf("%s: blocked by %v", operation, by)
			} else if it, _ := by[0].(map[string]any); it["application"] != "nightly job" || it["pid"] == nil ||
				seesOthers && (it["state"] != "idle in transaction" || it["since"] == nil) {
				t.Errorf("%s: blocked by %v", operation, it)
			}
			for _, part := range []string{"nightly job", "in a transaction", "end them"} {
				if !strings.Contains(f.Message, part) {
					t.Errorf("%s: %q does not say %q", operation, f.Message, part)
				}
			}
		})
	}
	// Users are served meanwhile.
	s.want(`{ customerV2(customerId: "ALFKI") { name } }`, nil, `{"customerV2":{"name":"Alfreds Futterkiste"}}`)
	both.Wait()
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if after := s.dump("coexist_entity", "coexist_phase_change"); !strings.Contains(before, after) {
		t.Errorf("it has changed something:\n%s", after)
	}
	s.want(`mutation { setPhase(input: {entity: CUSTOMER, to: EXPAND}) { migration { phase } } }`, nil,
		`{"setPhase":{"migration":{"phase":"EXPAND"}}}`)
}
