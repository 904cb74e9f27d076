package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo/repotest"
)

// stockTables are V1's tables as somebody else has made them.
var stockTables = []string{
	`CREATE TABLE customers (customer_id varchar(5) PRIMARY KEY, company_name varchar(40) NOT NULL, contact_name varchar(30), contact_title varchar(30),
	address varchar(60), city varchar(15), region varchar(15), postal_code varchar(10), country varchar(15), phone varchar(24), fax varchar(24))`,
	`CREATE TABLE orders (order_id smallint PRIMARY KEY, customer_id varchar(5) REFERENCES customers, employee_id smallint, order_date date, required_date date,
	shipped_date date, ship_via smallint, freight real, ship_name varchar(40), ship_address varchar(60), ship_city varchar(15), ship_region varchar(15),
	ship_postal_code varchar(10), ship_country varchar(15))`,
	`CREATE TABLE order_details (order_id smallint REFERENCES orders, product_id smallint, unit_price real NOT NULL, quantity smallint NOT NULL,
	discount real NOT NULL, PRIMARY KEY (order_id, product_id))`,
}

// A PostgreSQL database that cannot be served: one line that says what to do, exit 1, and nothing is created.
func TestPostgresThatCannotBeServed(t *testing.T) {
	t.Parallel()
	const granted = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ROLE"
	for name, c := range map[string]struct {
		made   []string // ROLE is a role
		asRole bool
		args   []string
		says   []string
	}{
		"no right to connect": {[]string{"ALTER ROLE ROLE NOLOGIN"}, true, nil, []string{"ROLE", "not permitted to log in"}},
		"an empty database":   {[]string{"DROP TABLE customers, orders, order_details"}, false, nil, []string{"empty", "coexist seed"}},
		"a missing table":     {[]string{"DROP TABLE order_details"}, false, nil, []string{"there is no table public.order_details"}},
		"another schema":      {[]string{"CREATE SCHEMA legacy", "ALTER TABLE customers SET SCHEMA legacy"}, false, nil, []string{"no table", "customers", "schema legacy has one", "--v1-schema"}},
		"no such schema":      {nil, false, []string{"--v1-schema=legacy"}, []string{"schema legacy", "empty", "--v1-schema"}},
		"a missing column":    {[]string{"ALTER TABLE customers DROP COLUMN fax"}, false, nil, []string{"customers has no column fax"}},
		"nothing of ours":     {nil, false, []string{"--no-auto-migrate"}, []string{"missing", "--auto-migrate", "coexist ddl"}},
		"a strange type":      {[]string{"ALTER TABLE orders ALTER freight TYPE money USING 0::money"}, false, nil, []string{"column freight of table orders is money"}},
		"a view":              {[]string{"ALTER TABLE customers RENAME TO clients", "CREATE VIEW customers AS SELECT * FROM clients"}, false, nil, []string{"customers is a view"}},
		"heirs":               {[]string{"CREATE TABLE more_customers () INHERITS (customers)"}, false, nil, []string{"from which others inherit"}},
		"no right to create":  {[]string{granted}, true, nil, []string{"permission denied for schema public", "coexist ddl"}},
		"no right to write": {
			[]string{"GRANT USAGE, CREATE ON SCHEMA public TO ROLE", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO ROLE"},
			true, nil,
			[]string{"role ROLE lacks the rights INSERT, UPDATE, DELETE on table customers"},
		},
		"no right to read": {
			[]string{"GRANT USAGE, CREATE ON SCHEMA public TO ROLE"},
			true, nil,
			[]string{"role ROLE lacks the rights SELECT, INSERT, UPDATE, DELETE on table customers"},
		},
		"hidden rows": {[]string{
			"GRANT USAGE, CREATE ON SCHEMA public TO ROLE", granted, "ALTER TABLE customers ENABLE ROW LEVEL SECURITY",
			"CREATE POLICY p ON customers USING (country = 'Germany')",
		}, true, nil, []string{"row-level security", "customers", "ROLE", "HIDDEN_ROWS"}},
	} {
		t.Run(name, func(t *testing.T) {
			url := repotest.Postgres(t)
			raw := repotest.Raw(t, url)
			role := repotest.NewRole(t, url)
			inName := strings.NewReplacer("ROLE ROLE", "ROLE "+role, "ROLE", role, "ROW LEVEL", "ROW LEVEL")
			for _, statement := range append(slices.Clone(stockTables), c.made...) {
				repotest.Exec(t, raw, inName.Replace(statement))
			}
			served := url
			if c.asRole {
				served = repotest.WithUser(t, url, role)
			}
			const tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
			before := repotest.One[int64](t, raw, tables)
			p := launch(t, t.TempDir(), append([]string{"serve", "--addr=127.0.0.1:0", "--database-url=" + served}, c.args...)...)
			if status := p.wait(); status != 1 || strings.Count(p.text(), "\n") != 1 {
				t.Errorf("exits %d: %s", status, p.text())
			}
			for _, part := range c.says {
				if !strings.Contains(p.text(), inName.Replace(part)) {
					t.Errorf("%s does not say %s", p.text(), part)
				}
			}
			if after := repotest.One[int64](t, raw, tables); after != before {
				t.Errorf("of %d tables and indexes %d were made", after, after-before)
			}
		})
	}
}

// The schema of V1's tables is the one that was given, whatever the role's or the database's search_path says.
func TestV1Schema(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	raw := repotest.Raw(t, url)
	conn, err := raw.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // the test is over
	for _, statement := range append(append([]string{`CREATE SCHEMA "old shop"`, `SET search_path = "old shop"`}, stockTables...),
		"INSERT INTO customers (customer_id, company_name, country) VALUES ('ALFKI', 'Alfreds Futterkiste', 'Germany')",
		`GRANT ALL ON SCHEMA "old shop" TO PUBLIC`, `GRANT ALL ON ALL TABLES IN SCHEMA "old shop" TO PUBLIC`, "CREATE TABLE public.customers (nothing text)",
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = nowhere, public', current_database()); END $$") {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	dir, flags := t.TempDir(), []string{"--database-url=" + url, "--v1-schema=old shop"}
	if script := execute(t, dir, append([]string{"ddl"}, flags...)...); strings.Contains(script, `"public"`) {
		t.Errorf("the DDL is for another schema:\n%s", script)
	}
	execute(t, dir, append([]string{"phase", "CUSTOMER", "MIGRATE", "--force", "--reason=a test"}, flags...)...)
	p := serve(t, dir, flags...)
	const query = `{ customerV1(customerId: "ALFKI") { companyName } customerV2(customerId: "ALFKI") { name } }`
	const want = `{"data":{"customerV1":{"companyName":"Alfreds Futterkiste"},"customerV2":{"name":"Alfreds Futterkiste"}}}`
	if got := rawAnswer(t, p.url, query); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	execute(t, dir, append([]string{"sweep", "CUSTOMER"}, flags...)...)
	execute(t, dir, append([]string{"verify", "CUSTOMER"}, flags...)...)
	if n := repotest.One[int64](t, raw, `SELECT count(*) FROM "old shop".customers_v2`); n != 1 {
		t.Errorf("%d copies", n)
	}
}

// A server that starts before its database waits for it.
func TestStartsBeforeItsDatabase(t *testing.T) {
	t.Parallel()
	cluster := repotest.StartCluster(t)
	url := cluster.Database(t)
	repotest.Exec(t, repotest.Raw(t, url), stockTables...)
	cluster.Kill()
	p := start(t, t.TempDir(), "serve", "--addr=127.0.0.1:0", "--database-url="+url, "--database-patience=1m")
	cluster.Restart()
	p.awaitURL()
	if got := status(t, p.url+"/readyz"); got != http.StatusOK {
		t.Errorf("readyz: %d", got)
	}
}
