package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo/repotest"
)

// The V2 half of writes fails because a right was revoked. Reads are answered, writes are in both shapes or in none, a
// sweep fails instead of putting rows in quarantine; the log, the metrics and the readiness say so, until the right is
// there again.
func TestCopiesThatCannotBeStored(t *testing.T) {
	t.Parallel()
	owner := repotest.Postgres(t)
	raw := repotest.Raw(t, owner)
	dir := t.TempDir()
	flag := "--database-url=" + owner
	execute(t, dir, "seed", flag, "--sample=20")
	execute(t, dir, "phase", "CUSTOMER", "MIGRATE", "--force", "--reason=a test", flag)
	role := repotest.NewRole(t, owner)
	repotest.Exec(t, raw, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "+role,
		"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "+role)
	p := serve(t, dir, "--database-url="+repotest.WithUser(t, owner, role))
	type customer struct {
		CustomerV2 struct{ Copy struct{ Stored bool } }
	}
	const lazy = `{ customerV2(customerId: "ALFKI") { copy { stored } } }`
	told := func(healthy bool) {
		t.Helper()
		const degraded = "\ndegraded: copies of CUSTOMER cannot be stored since "
		ready, metrics := get(t, p.url+"/readyz"), get(t, p.url+"/metrics")
		if !strings.HasPrefix(ready, "ok\n") || strings.Contains(ready, degraded) == healthy {
			t.Errorf("readyz says %q", ready)
		}
		failing := map[bool]int{false: 1, true: 0}[healthy]
		if !strings.Contains(metrics, fmt.Sprintf("coexist_copy_store_failing{entity=\"CUSTOMER\"} %d\n", failing)) ||
			!strings.Contains(metrics, "coexist_copy_store_failures_total{entity=\"ORDER\"} 0\n") {
			t.Errorf("the metrics are\n%s", metrics)
		}
	}
	told(true)

	repotest.Exec(t, raw, "REVOKE INSERT, UPDATE ON customers_v2 FROM "+role)
	if must[customer](t, p.url, lazy).CustomerV2.Copy.Stored {
		t.Error("a copy is stored")
	}
	told(false)
	for _, mutation := range []string{
		`updateCustomerV1(input: {customerId: "ALFKI", city: "Bergen"})`,
		`createCustomerV1(input: {customerId: "NEW", companyName: "New"})`,
		`updateCustomerV2(input: {customerId: "ALFKI", name: "Lost"})`,
		`createCustomerV2(input: {customerId: "NEW", name: "New"})`,
	} {
		if a := ask[any](t, p.url, "mutation { "+mutation+
			" { customer { customerId } } }"); a.code() != "UNAVAILABLE" ||
			strings.Contains(fmt.Sprint(a), "customers_v2") {
			t.Errorf("%s: %+v", mutation, a)
		}
	}
	if n := repotest.One[int](t, raw,
		"SELECT count(*) FROM customers WHERE city = 'Bergen' OR company_name IN ('Lost', 'New')"); n > 0 {
		t.Errorf("half a write is in %d rows", n)
	}
	sweep := func() (run struct {
		ID, Status, Error     string
		Migrated, Quarantined int
	},
	) {
		id := must[started](t, p.url,
			`mutation { startSweep(input: {entity: CUSTOMER}) { run { id } } }`).StartSweep.Run.ID
		eventually(t, "the end of the sweep", func() bool {
			run = must[struct {
				Run struct {
					ID, Status, Error     string
					Migrated, Quarantined int
				}
			}](t, p.url, `{ run(id: "`+id+`") { id status error migrated quarantined } }`).Run
			return run.Status != "RUNNING"
		})
		return run
	}
	if run := sweep(); run.Status != "FAILED" || run.Quarantined != 0 || run.Error == "" {
		t.Errorf("the sweep is %+v", run)
	}
	told(false)
	if log := p.text(); strings.Count(log, `"msg":"copies cannot be stored","entity":"CUSTOMER"`) != 1 {
		t.Errorf("the log does not tell once: %s", log)
	}

	repotest.Exec(t, raw, "GRANT INSERT, UPDATE ON customers_v2 TO "+role)
	eventually(t, "a copy that is stored", func() bool { return must[customer](t, p.url, lazy).CustomerV2.Copy.Stored })
	told(true)
	if run := sweep(); run.Status != "SUCCEEDED" || run.Migrated != 19 || run.Quarantined != 0 {
		t.Errorf("the next sweep is %+v", run)
	}
}

// get returns an answer of status 200.
func get(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer closeBody(response)
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v", url, response.StatusCode, err)
	}
	return string(body)
}

// A database that may only be read: the answer, the log, the metrics and the readiness say why nothing can be written.
func TestADatabaseThatIsReadOnly(t *testing.T) {
	t.Parallel()
	owner := repotest.Postgres(t)
	raw := repotest.Raw(t, repotest.Pinned(owner))
	dir := t.TempDir()
	execute(t, dir, "seed", "--database-url="+owner, "--sample=5")
	p := serve(t, dir, "--database-url="+owner)
	repotest.Exec(t, raw,
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on', current_database()); END $$",
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	const mutation = `mutation { updateCustomerV1(input: {customerId: "ALFKI", city: "Bergen"}) { customer { city } } }`
	for range 3 {
		eventually(t, "the cause", func() bool { // the first may meet a connection that was cut
			a := ask[any](t, p.url, mutation)
			return a.code() == "UNAVAILABLE" && a.Errors[0].Extensions.Cause == "READ_ONLY" &&
				strings.Contains(a.Errors[0].Message, "read-only")
		})
	}
	if ready := get(t, p.url+"/readyz"); !strings.HasPrefix(ready, "ok\ndegraded: the database is read-only") ||
		!strings.Contains(ready, "cause READ_ONLY") {
		t.Errorf("readyz says %q", ready)
	}
	if metrics := get(t, p.url+"/metrics"); !strings.Contains(metrics,
		`coexist_unavailable_total{cause="READ_ONLY"} `) {
		t.Errorf("the metrics are\n%s", metrics)
	}
	if n := strings.Count(p.text(), `"cause":"READ_ONLY","times":`); n != 1 {
		t.Errorf("the log says it %d times:\n%s", n, p.text())
	}
}
