package resolvers_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// customersOf is DDL of triggers that an owner of customers has made: on PostgreSQL the body of a function, and on
// SQLite that of a trigger.
var customersOf = map[string]struct{ when, postgres, sqliteWhen, sqlite string }{
	"upper case": {
		"BEFORE INSERT OR UPDATE", "NEW.city := upper(NEW.city); RETURN NEW;",
		"AFTER UPDATE ON customers", "UPDATE customers SET city = upper(city) WHERE customer_id = NEW.customer_id;",
	},
	"a row stays": {
		"BEFORE DELETE", "IF OLD.customer_id = 'STAY' THEN RETURN NULL; END IF; RETURN OLD;",
		"BEFORE DELETE ON customers WHEN OLD.customer_id = 'STAY'", "SELECT RAISE(IGNORE);",
	},
	"a refusal": {
		"BEFORE INSERT OR UPDATE",
		"IF NEW.city = 'Atlantis' THEN RAISE EXCEPTION 'no such city' USING HINT = 'ask a sailor'; END IF; RETURN NEW;",
		"BEFORE UPDATE ON customers WHEN NEW.city = 'Atlantis'", "SELECT RAISE(ABORT, 'no such city');",
	},
	"another row": {
		"AFTER UPDATE",
		"IF pg_trigger_depth() < 2 THEN UPDATE customers SET phone = '0' WHERE customer_id = 'STAY'; END IF; RETURN NULL;", "AFTER UPDATE ON customers WHEN NEW.customer_id <> 'STAY'", "UPDATE customers SET phone = '0' WHERE customer_id = 'STAY';",
	},
	"its orders": {
		"AFTER UPDATE",
		"UPDATE orders SET ship_city = NEW.city WHERE customer_id = NEW.customer_id; RETURN NULL;",
		"AFTER UPDATE ON customers", "UPDATE orders SET ship_city = NEW.city WHERE customer_id = NEW.customer_id;",
	},
	"an own fault": {
		"BEFORE UPDATE", "IF NEW.city = 'Atlantis' THEN EXECUTE 'garbage'; END IF; RETURN NEW;",
		"BEFORE UPDATE ON customers WHEN NEW.city = 'Atlantis'", "SELECT RAISE(FAIL, 'garbage');",
	},
	"nothing at all": {},
}

// Whatever the owner of customers has made of them: over GraphQL, too, no answer is INTERNAL, and both shapes say the
// same.
func TestCharactersOfCustomers(t *testing.T) {
	t.Parallel()
	for name, c := range customersOf {
		t.Run(name, func(t *testing.T) {
			repotest.Each(t, func(t *testing.T, url string) {
				s := newServer(t, url, repo.Migrate)
				s.work()
				s.customers(models.CustomerV1{CustomerID: "A", CompanyName: "a", City: new("Porto")},
					models.CustomerV1{CustomerID: "STAY", CompanyName: "s", City: new("Lyon")})
				s.orders(models.OrderV1{OrderID: 1, CustomerID: new("A"), ShipCity: new("Porto")})
				switch {
				case c.when == "":
				case s.sqlite:
					s.exec("CREATE TRIGGER own " + c.sqliteWhen + " BEGIN " + c.sqlite + " END")
				default:
					s.exec(
						"CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN " + c.postgres + " END $$")
					s.exec("CREATE TRIGGER own " + c.when + " ON customers FOR EACH ROW EXECUTE FUNCTION own()")
				}
				for i, phase := range []string{"MIGRATE", "CUTOVER"} {
					if phase == "CUTOVER" {
						for _, entity := range []repo.SweepRequest{
							{Entity: "CUSTOMER", Actor: "test"},
							{Entity: "ORDER", Actor: "test"},
						} {
							run, err := s.Control.StartSweep(t.Context(), entity)
							if err != nil {
								t.Fatal(err)
							}
							states, err := s.Control.WatchRun(t.Context(), run.ID)
							if err != nil {
								t.Fatal(err)
							}
							for run = range states {
							}
							if _, err := s.Control.SetPhase(t.Context(), repo.PhaseRequest{
								Entity: entity.Entity,
								To:     repo.Cutover, Actor: "test", Force: true, Reason: new("a test"),
							}); err != nil ||
								run.Status != repo.Succeeded {
								t.Fatalf("%+v, %v", run, err)
							}
						}
					}
					for _, operation := range []string{
						fmt.Sprintf(
							`mutation { updateCustomerV1(input: {customerId: "A", city: "Bergen%d"}) { customer { city } } }`, i),
						fmt.Sprintf(
							`mutation { updateCustomerV2(input: {customerId: "A", name: "name %d"}) { customer { name } } }`, i),
						`mutation { updateCustomerV2(input: {customerId: "A", addresses: [{kind: MAIN, locality: "Oslo"}]}) { customer { name } } }`,
						`mutation { updateCustomerV1(input: {customerId: "A", city: "Atlantis"}) { customer { city } } }`,
						fmt.Sprintf(
							`mutation { createCustomerV1(input: {customerId: "N%d", companyName: "n", city: "Faro"}) { customer { city } } }`, i),
						fmt.Sprintf(
							`mutation { createCustomerV2(input: {customerId: "M%d", name: "m"}) { customer { name } } }`, i),
						`mutation { deleteCustomerV2(customerId: "STAY") { deletedKey } }`,
						fmt.Sprintf(`mutation { deleteCustomerV1(customerId: "N%d") { deletedKey } }`, i),
						`mutation { updateOrderV2(input: {orderId: 1, note: "x"}) { order { note } } }`,
					} {
						for _, e := range s.ask(operation, nil).Errors {
							if e.code() == "INTERNAL" || strings.Contains(e.Message, "UPDATE ") {
								t.Errorf("%s, %s: %+v", phase, operation, e)
							}
						}
					}
					old := s.ask(
						`{ customersV1(orderBy: {field: NAME}) { nodes { customerId companyName city phone } } ordersV1 { nodes { shipCity } } }`, nil)
					now := s.ask(
						`{ customersV2(orderBy: {field: NAME}) { nodes { customerId name addresses { locality } phones { number } } } ordersV2 { nodes { shipment { address { locality } } } } }`, nil)
					if len(old.Errors)+len(now.Errors) > 0 {
						t.Fatalf("%s: %+v %+v", phase, old.Errors, now.Errors)
					}
					for _, key := range []string{"A", "STAY"} {
						v1, err1 := s.Customers.GetV1(t.Context(), key)
						v2, err2 := s.Customers.GetV2(t.Context(), key)
						if key == "STAY" && err1 != nil && err2 != nil {
							continue // it is gone in both
						}
						back, err := models.CustomerMapping{}.Downgrade(v2.Value)
						if err1 != nil || err2 != nil || err != nil || !repo.Identical(v1, back) {
							t.Errorf("%s: the shapes of %s disagree (%v, %v, %v)\nV1 %+v\nV2 %+v", phase, key, err1,
								err2, err, v1, back)
						}
					}
				}
			})
		})
	}
}
