package resolvers_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// A restore switches all triggers of the table off, writes, and switches them on again; on SQLite a schema tool makes
// the table anew, with a column that no model knows. Nobody is told, and CUTOVER never comes with what was before.
func TestAGapInStock(t *testing.T) {
	t.Parallel()
	eachStock(t, nil, func(t *testing.T, s *server) {
		s.clean("startSweep", "CUSTOMER")
		s.clean("startVerification", "CUSTOMER")
		const gate = `{ migration(entity: CUSTOMER) { capture { enabled } gate(to: CUTOVER) { code } } }`
		s.want(gate, nil, `{"migration":{"capture":{"enabled":true},"gate":[]}}`)
		const bergen = "UPDATE customers SET city = 'Bergen' WHERE customer_id = 'ALFKI'"
		statements := []string{
			"BEGIN", "ALTER TABLE customers DISABLE TRIGGER ALL", bergen,
			"ALTER TABLE customers ENABLE TRIGGER ALL", "COMMIT",
		}
		if s.sqlite {
			statements = []string{
				"PRAGMA foreign_keys = OFF", "BEGIN",
				"CREATE TABLE customers_n (customer_id varchar(5) NOT NULL PRIMARY KEY, company_name varchar(40) NOT NULL, contact_name varchar(30), contact_title varchar(30), address varchar(60)," +
					" city varchar(15), region varchar(15), postal_code varchar(10), country varchar(15), phone varchar(24), fax varchar(24), vat text)",
				"INSERT INTO customers_n SELECT customer_id, company_name, contact_name, contact_title, address, city, region, postal_code, country, phone, fax, 'DE' || customer_id FROM customers",
				"DROP TABLE customers", "ALTER TABLE customers_n RENAME TO customers", bergen, "COMMIT",
			}
		}
		tool, err := s.raw.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range statements {
			if _, err := tool.ExecContext(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		if err := tool.Close(); err != nil {
			t.Fatal(err)
		}
		const cutover = `mutation { setPhase(input: {entity: CUSTOMER, to: CUTOVER}) { migration { phase } } }`
		s.fails(cutover, nil, "GATE_CLOSED", "")
		if codes := s.get(gate, nil); !strings.Contains(codes, `"enabled":true`) ||
			!strings.Contains(codes, "NOT_VERIFIED") && !strings.Contains(codes, "CAPTURE_OFF") {
			t.Errorf("the gate says %s", codes)
		}
		found := s.findings(s.succeed("startVerification", vars{"entity": "CUSTOMER"}).ID)
		if !slices.Contains(found, "STALE ALFKI") {
			t.Errorf("the verification finds %+v", found)
		}
		s.want(`{ customerV2(customerId: "ALFKI") { addresses { locality } } }`, nil,
			`{"customerV2":{"addresses":[{"locality":"Bergen"}]}}`)
		s.fails(cutover, nil, "GATE_CLOSED", "")
		s.get(`mutation { updateCustomerV1(input: {customerId: "ALFKI", fax: "1"}) { customer { fax } } }`, nil)
		if s.sqlite {
			if vat := s.lines("SELECT vat FROM customers WHERE customer_id = 'ALFKI'"); len(vat) != 1 ||
				!strings.Contains(vat[0], `"DEALFKI"`) {
				t.Errorf("the column that no model knows has %v", vat)
			}
		}
		s.clean("startSweep", "CUSTOMER")
		s.clean("startVerification", "CUSTOMER")
		s.want(cutover, nil, `{"setPhase":{"migration":{"phase":"CUTOVER"}}}`)
		s.want(`{ customerV2(customerId: "ALFKI") { addresses { locality } } }`, nil,
			`{"customerV2":{"addresses":[{"locality":"Bergen"}]}}`)
	})
}

// A table of the stock that is no entity's refers to a customer: it guards V1 as long as that is written; the gate to
// CONTRACT warns of it.
func TestReferrersOutsideInStock(t *testing.T) {
	t.Parallel()
	eachStock(t, []string{
		"INSERT INTO customer_demographics VALUES ('A')",
		"INSERT INTO customer_customer_demo VALUES ('FISSA', 'A')",
	}, func(t *testing.T, s *server) {
		const remove = `mutation { deleteCustomerV2(customerId: "FISSA") { deletedKey } }`
		s.refused(remove, nil, "CONFLICT", "")
		s.clean("startSweep", "CUSTOMER")
		s.clean("startSweep", "ORDER")
		s.phase(repo.Cutover)
		s.refused(remove, nil, "CONFLICT", "")
		s.get(
			`mutation { setPhase(input: {entity: ORDER, to: CONTRACT, force: true, reason: "a test"}) { migration { id } } }`, nil)
		if gate := s.get(`{ migration(entity: CUSTOMER) { gate(to: CONTRACT) { code message } } }`,
			nil); !strings.Contains(gate, "REFERENCE") || !strings.Contains(gate, "customer_customer_demo") {
			t.Errorf("the gate says %s", gate)
		}
		s.get(
			`mutation { setPhase(input: {entity: CUSTOMER, to: CONTRACT, force: true, reason: "a test"}) { migration { id } } }`, nil)
		s.want(remove, nil, `{"deleteCustomerV2":{"deletedKey":"FISSA"}}`)
		s.get(`mutation { createCustomerV2(input: {customerId: "NEWCO", name: "new"}) { customer { name } } }`, nil)
		if _, err := s.raw.ExecContext(t.Context(),
			"INSERT INTO customer_customer_demo VALUES ('NEWCO', 'A')"); err == nil {
			t.Error("an old program refers to what V1 has not")
		}
		found := s.findings(s.succeed("startRestore", vars{"entity": "CUSTOMER"}).ID)
		if len(found) != 1 || found[0] != "DIFFERENT FISSA" {
			t.Errorf("the restore finds %+v", found)
		}
		if f := s.fails(`mutation { setPhase(input: {entity: CUSTOMER, to: CUTOVER}) { migration { phase } } }`, nil,
			"GATE_CLOSED", ""); !strings.Contains(f.Message, "restore") {
			t.Errorf("%+v", f)
		}
	})
}

// A policy is switched on after the verification, and hides 80 customers from the server's role: no step forward then,
// with force neither.
func TestHiddenRowsInStock(t *testing.T) {
	t.Parallel()
	eachStock(t, []string{}, func(t *testing.T, owner *server) {
		role := repotest.NewRole(t, owner.url)
		owner.exec("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO " + role)
		owner.exec("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO " + role)
		s := openServerThrough(t, owner.url, repotest.WithUser(t, owner.url, role), repo.Migrate, repo.Config{})
		s.work()
		s.clean("startSweep", "CUSTOMER")
		s.clean("startVerification", "CUSTOMER")
		script, err := s.db.ChildKeyDDL(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		owner.exec(script)
		const gate = `{ migration(entity: CUSTOMER) { gate(to: CUTOVER) { code count message } } }`
		s.want(gate, nil, `{"migration":{"gate":[]}}`)
		owner.exec("ALTER TABLE customers ENABLE ROW LEVEL SECURITY")
		owner.exec("CREATE POLICY p ON customers USING (country = 'Germany')")
		if got := s.get(gate, nil); !strings.Contains(got,
			`"code":"HIDDEN_ROWS","count":1,"message":"row-level security may hide rows of `) ||
			!strings.Contains(got, "customers from the server's role") {
			t.Errorf("the gate says %s", got)
		}
		for _, force := range []string{"", `, force: true, reason: "a test"`} {
			s.fails(`mutation { setPhase(input: {entity: CUSTOMER, to: CUTOVER`+force+`}) { migration { phase } } }`,
				nil, "GATE_CLOSED", "")
		}
		owner.exec("ALTER TABLE customers DISABLE ROW LEVEL SECURITY")
		s.want(`mutation { setPhase(input: {entity: CUSTOMER, to: CUTOVER}) { migration { phase } } }`, nil,
			`{"setPhase":{"migration":{"phase":"CUTOVER"}}}`)
	})
}
