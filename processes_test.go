package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/alwaysup/coexist/repo/repotest"
)

// codeOf asks a server that may be gone. It returns the code of the first error, "" for none, and "GONE" where there is
// no answer.
func codeOf(url, query string) string {
	request, _ := json.Marshal(map[string]string{"query": query}) // a string can be marshalled
	response, err := http.Post(url+"/graphql", "application/json", bytes.NewReader(request))
	if err != nil {
		return "GONE"
	}
	defer response.Body.Close() //nolint:errcheck // only read
	var a answerOf[any]
	if json.NewDecoder(response.Body).Decode(&a) != nil {
		return "GONE"
	}
	if code := a.code(); code == "" && len(a.Errors) > 0 {
		return a.Errors[0].Message
	}
	return a.code()
}

// testClient writes its own customer through any of the servers, and knows what may have become of it.
type testClient struct {
	key    string
	names  map[string]bool // those that it may have now: one, but where an answer has not come
	orders int             // made, as far as answered
}

func (c *testClient) live(t *testing.T, servers []*program, rounds int, killed *atomic.Bool) {
	for round := range rounds {
		url := servers[round%len(servers)].url
		name := fmt.Sprintf("name %d", round)
		for _, operation := range []string{
			fmt.Sprintf(
				`mutation { updateCustomerV1(input: {customerId: "%s", companyName: "%s of V1"}) { customer { city } } }`, c.key, name),
			fmt.Sprintf(
				`mutation { updateCustomerV2(input: {customerId: "%s", name: "%s of V2", contacts: [{givenName: "Ana", familyName: "Lima"}, {givenName: "Second", familyName: "Contact"}]}) { customer { name } } }`, c.key, name),
			fmt.Sprintf(
				`{ customerV1(customerId: "%s") { city } customerV2(customerId: "%s") { contacts { displayName } } customersV2(first: 50) { nodes { name } } }`, c.key, c.key),
			fmt.Sprintf(
				`mutation { createOrderV2(input: {customerId: "%s", lines: [{productId: 1, unitPrice: "1.25", quantity: 2}]}) { order { orderId } } }`, c.key),
		} {
			written := ""
			for _, shape := range []string{"V1", "V2"} {
				if strings.Contains(operation, "updateCustomer"+shape) {
					written = name + " of " + shape
				}
			}
			switch code := codeOf(url, operation); {
			case code == "":
				if written != "" {
					c.names = map[string]bool{written: true}
				}
				if strings.Contains(operation, "createOrder") {
					c.orders++
				}
			case code == "GONE" && killed.Load():
				if written != "" {
					c.names[written] = true
				}
			default:
				t.Errorf("%s: %s", operation, code)
			}
		}
	}
}

// Three server processes on one database start at once, serve both shapes and sweep. One is killed. Afterwards nothing
// is lost, nothing appears twice, and both shapes agree.
func TestThreeProcesses(t *testing.T) {
	t.Parallel()
	t.Run("direct", func(t *testing.T) {
		t.Parallel()
		url := repotest.Postgres(t)
		threeProcesses(t, url, "--database-url="+url)
	})
	// PgBouncer has two connections for all of them, and gives each transaction any.
	t.Run("through a pooler", func(t *testing.T) {
		t.Parallel()
		url := repotest.Postgres(t)
		threeProcesses(t, url, "--database-url="+repotest.Pooler(t, url), "--pooler")
	})
}

func threeProcesses(t *testing.T, url string, flags ...string) {
	raw := repotest.Raw(t, url)
	repotest.Exec(t, raw, stockTables...)
	const n, clients, rounds = 1000, 6, 8
	repotest.Exec(t, raw, fmt.Sprintf(`INSERT INTO customers (customer_id, company_name, contact_name, city, country)
		SELECT CAST(i AS varchar(5)), 'Customer ' || i, 'Ana Lima', 'Porto', 'Portugal' FROM generate_series(10001, %d) i`, 10_000+n))
	dir := t.TempDir()
	run := func(args ...string) { execute(t, dir, append(args, flags...)...) }
	var servers []*program
	for range 3 {
		servers = append(servers, start(t, dir, append([]string{"serve", "--addr", "127.0.0.1:0"}, flags...)...))
	}
	for _, p := range servers {
		if p.awaitURL(); p.url == "" {
			t.Fatal(p.text())
		}
	}
	for _, entity := range []string{"CUSTOMER", "ORDER"} {
		run("phase", entity, "MIGRATE", "--force", "--reason=a test")
	}
	sweep := must[started](t, servers[1].url,
		`mutation { startSweep(input: {entity: CUSTOMER, workers: 2, maxRowsPerSecond: 300}) { run { id } } }`).StartSweep.Run.ID
	all := make([]*testClient, clients)
	var working sync.WaitGroup
	var killed atomic.Bool
	for i := range all {
		c := &testClient{key: fmt.Sprint(10_001 + i*n/clients), names: map[string]bool{}}
		all[i] = c
		working.Go(func() { c.live(t, servers, rounds, &killed) })
	}
	eventually(t, "some rows", func() bool {
		return must[struct{ Run runState }](t, servers[0].url, `{ run(id: "`+sweep+
			`") { status done total } }`).Run.Done > 200
	})
	killed.Store(true)
	servers[1].stop(syscall.SIGKILL)
	working.Wait()
	eventually(t, "the end of the sweep", func() bool {
		return must[struct{ Run runState }](t, servers[2].url, `{ run(id: "`+sweep+
			`") { status done total } }`).Run.Status != "RUNNING"
	})
	if last := must[struct{ Run runState }](t, servers[2].url, `{ run(id: "`+sweep+
		`") { status done total migrated quarantined } }`).Run; last.Status != "SUCCEEDED" || last.Done != n ||
		last.Total != n || last.Quarantined != 0 {
		t.Errorf("the sweep ends %+v", last)
	}
	for _, c := range all {
		var v1, v2 string
		if err := raw.QueryRow(
			"SELECT c.company_name, v.name FROM customers c JOIN customers_v2 v USING (customer_id) WHERE customer_id = $1", c.key).Scan(&v1, &v2); err != nil || v1 != v2 || !c.names[v1] {
			t.Errorf("%s is %q in V1 and %q in V2, %v; it was written as %v", c.key, v1, v2, err, c.names)
		}
		if orders := repotest.One[int64](t, raw, "SELECT count(*) FROM orders WHERE customer_id = $1",
			c.key); orders < int64(c.orders) || orders > rounds {
			t.Errorf("%s has %d orders of %d that were made", c.key, orders, c.orders)
		}
	}
	for query, want := range map[string]int64{
		"SELECT count(*) FROM customers":    n,
		"SELECT count(*) FROM customers_v2": n,
		"SELECT count(*) FROM orders o FULL JOIN orders_v2 v USING (order_id) WHERE o.order_id IS NULL OR v.order_id IS NULL":                                                       0,
		"SELECT count(*) FROM order_details d FULL JOIN order_v2_lines v ON v.order_id = d.order_id AND v.product_id = d.product_id WHERE d.order_id IS NULL OR v.order_id IS NULL": 0,
		"SELECT count(*) FROM coexist_customer_mark":                                             0,
		"SELECT count(*) FROM customer_v2_contacts WHERE position = 1 AND given_name = 'Second'": clients,
	} {
		if got := repotest.One[int64](t, raw, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	for _, entity := range []string{"CUSTOMER", "ORDER"} {
		run("verify", entity) // exits with 0 where every fresh copy is its V1 row
	}
}

// Two server processes and another program write the same fifty customers of one SQLite file. Nobody sees more than
// what it has earned, and no lock.
func TestTwoProcessesOnOneFile(t *testing.T) {
	t.Parallel()
	url := repotest.SQLite(t)
	dir, flag := t.TempDir(), "--database-url="+url
	execute(t, dir, "seed", flag, "--sample=50")
	execute(t, dir, "phase", "CUSTOMER", "MIGRATE", "--force", "--reason=a test", flag)
	servers := []*program{serve(t, dir, flag), serve(t, dir, flag)}
	raw := repotest.Raw(t, url)
	keys := must[struct {
		CustomersV1 struct{ Nodes []struct{ CustomerID string } }
	}](t, servers[0].url, `{ customersV1(first: 50) { nodes { customerId } } }`).CustomersV1.Nodes
	stop := make(chan struct{})
	var old sync.WaitGroup
	var wrote int
	old.Go(func() {
		// deferred transactions
		program, err := sql.Open("sqlite3", "file:"+strings.TrimPrefix(url, "sqlite:")+"?_busy_timeout=5000")
		if err != nil {
			t.Error(err)
			return
		}
		defer program.Close() //nolint:errcheck // the test is over
		program.SetMaxOpenConns(1)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			tx, err := program.Begin()
			if err != nil {
				t.Error(err)
				return
			}
			var city sql.NullString
			key := keys[i%len(keys)].CustomerID
			err = tx.QueryRow("SELECT city FROM customers WHERE customer_id = ?", key).Scan(&city)
			if err == nil {
				_, err = tx.Exec("UPDATE customers SET fax = ? WHERE customer_id = ?", fmt.Sprint(i), key)
			}
			if err == nil {
				err = tx.Commit()
			}
			if err == nil {
				wrote++
				continue
			}
			_ = tx.Rollback()
			if !strings.Contains(err.Error(), "locked") { // as beside any other writer: it tries again
				t.Errorf("the old program: %v", err)
			}
		}
	})
	var clients sync.WaitGroup
	for i := range 25 {
		clients.Go(func() {
			for round := range 6 {
				key, address := keys[(i*2+round*7)%len(keys)].CustomerID, servers[(i+round)%2].url
				for _, operation := range []string{
					`{ customerV2(customerId: "` + key + `") { name copy { stored } } }`,
					fmt.Sprintf(
						`mutation { updateCustomerV1(input: {customerId: "%s", phone: "%d-%d"}) { customer { city } } }`, key, i, round),
					fmt.Sprintf(
						`mutation { updateCustomerV2(input: {customerId: "%s", name: "client %d round %d"}) { customer { name } } }`, key, i, round),
				} {
					if code := codeOf(address, operation); code != "" && code != "STALE_VERSION" && code != "CONFLICT" {
						t.Errorf("%s: %s", operation, code)
					}
				}
			}
		})
	}
	clients.Wait()
	close(stop)
	old.Wait()
	if wrote == 0 {
		t.Error("the old program has written nothing")
	}
	for _, p := range servers {
		if strings.Contains(p.text(), "locked") {
			t.Errorf("a lock is seen: %s", p.text())
		}
	}
	execute(t, dir, "sweep", "CUSTOMER", flag)
	execute(t, dir, "verify", "CUSTOMER", flag)
	if n := repotest.One[int64](t, raw,
		"SELECT count(*) FROM customers c JOIN customers_v2 v USING (customer_id) WHERE v.name = c.company_name AND v.name LIKE 'client%'"); n != 50 {
		t.Errorf("%d of 50 customers agree", n)
	}
}

func onSQLite(t *testing.T, f func(*testing.T, string))   { t.Helper(); f(t, repotest.SQLite(t)) }
func onPostgres(t *testing.T, f func(*testing.T, string)) { t.Helper(); f(t, repotest.Postgres(t)) }

// A run whose holder was killed obeys its operator: on another process, and after a restart of the only one.
func TestARunWhoseHolderDied(t *testing.T) {
	t.Parallel()
	type changed struct{ M struct{ Run runState } }
	for name, c := range map[string]struct {
		on               func(*testing.T, func(*testing.T, string))
		n                int
		mutation, status string
	}{
		"cancel": {repotest.Each, 5_000, `m: cancelRun(id: "RUN")`, "CANCELLED"},
		"pause":  {onSQLite, 2_500, `m: pauseRun(id: "RUN")`, "PAUSED"},
		"tune": {
			onPostgres, 2_500, `m: tuneRun(input: {id: "RUN", workers: 2, maxRowsPerSecond: 100000})`,
			"RUNNING",
		},
	} {
		n := c.n
		t.Run(name, func(t *testing.T) {
			c.on(t, func(t *testing.T, url string) {
				p, run := sweeping(t, url, n, n/5)
				eventually(t, "some rows", func() bool {
					return must[struct{ Run runState }](t, p.url, `{ run(id: "`+run+
						`") { status done total } }`).Run.Done > 0
				})
				flag := "--database-url=" + url
				var other *program
				if name == "cancel" {
					p.stop(syscall.SIGKILL) // the only one
					other = serve(t, p.dir, flag)
				} else {
					other = serve(t, p.dir, flag)
					p.stop(syscall.SIGKILL)
				}
				if a := ask[any](t, other.url,
					`mutation { startSweep(input: {entity: CUSTOMER}) { run { id } } }`); a.code() != "RUN_ALREADY_ACTIVE" || a.Errors[0].Extensions.Run != run {
					t.Errorf("another sweep: %+v", a)
				}
				stream := openStream(t, other.url, run)
				got := must[changed](t, other.url, `mutation { `+strings.ReplaceAll(c.mutation, "RUN", run)+
					` { run { status done total migrated quarantined } } }`).M.Run
				if got.Status != c.status {
					t.Errorf("it is %+v", got)
				}
				if name != "tune" {
					// Nobody is at work on it any more.
					raw := repotest.Raw(t, url)
					if copies := repotest.One[int64](t, raw, "SELECT count(*) FROM customers_v2"); copies != int64(
						got.Migrated) || got.Done != got.Migrated {
						t.Errorf("%+v, and %d copies", got, copies)
					}
				}
				if name == "pause" {
					must[changed](t, other.url, `mutation { m: resumeRun(id: "`+run+`") { run { status } } }`)
					must[changed](t, other.url, `mutation { m: tuneRun(input: {id: "`+run+
						`", maxRowsPerSecond: 100000}) { run { status } } }`)
				}
				for e := stream.next(t); e.Event != "complete"; e = stream.next(t) {
				}
				if name != "cancel" {
					last := must[struct{ Run runState }](t, other.url, `{ run(id: "`+run+
						`") { status done total migrated quarantined } }`).Run
					if want := (runState{"SUCCEEDED", n, n, n, 0}); last != want {
						t.Errorf("got %+v, want %+v", last, want)
					}
				}
				next := must[started](t, other.url,
					`mutation { startSweep(input: {entity: CUSTOMER}) { run { id } } }`).StartSweep.Run.ID
				var last runState
				eventually(t, "the end of the next sweep", func() bool {
					last = must[struct{ Run runState }](t, other.url, `{ run(id: "`+next+
						`") { status done total migrated quarantined } }`).Run
					return last.Status != "RUNNING"
				})
				if last.Status != "SUCCEEDED" || last.Done != n {
					t.Errorf("the next sweep: %+v", last)
				}
				if copies := repotest.One[int64](t, repotest.Raw(t, url),
					"SELECT count(*) FROM customers_v2"); copies != int64(n) {
					t.Errorf("%d copies", copies)
				}
			})
		})
	}
}

// Three server processes make keys beside a program that makes its own: all get one, and none is given twice.
func TestKeysFromThreeProcesses(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	raw := repotest.Raw(t, url)
	repotest.Exec(t, raw, stockTables...)
	repotest.Exec(t, raw, "INSERT INTO orders (order_id) VALUES (11077)")
	dir, flag := t.TempDir(), "--database-url="+url
	execute(t, dir, "phase", "ORDER", "MIGRATE", "--force", "--reason=a test", flag)
	var servers []*program
	for range 3 {
		servers = append(servers, serve(t, dir, flag))
	}
	stop := repotest.Repeat(t, raw, "INSERT INTO orders (order_id) SELECT max(order_id) + 1 FROM orders")
	var clients sync.WaitGroup
	const creates, perClient = 200, 20
	type payload struct{ Order struct{ OrderID string } }
	var mu sync.Mutex
	keys := map[string]bool{}
	for i := range creates / perClient {
		clients.Go(func() {
			for j := range perClient {
				mutation := `mutation { made: createOrderV1(input: {details: []}) { order { orderId } } }`
				if j%2 == 0 {
					mutation = `mutation { made: createOrderV2(input: {lines: []}) { order { orderId } } }`
				}
				made := must[struct{ Made payload }](t, servers[(i+j)%len(servers)].url, mutation).Made.Order.OrderID
				mu.Lock()
				if keys[made] {
					t.Errorf("%s is made twice", made)
				}
				keys[made] = true
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	inserted := stop()
	if n := repotest.One[int64](t, raw, "SELECT count(*) FROM orders"); n != int64(1+creates+inserted) {
		t.Errorf("there are %d orders, %d made and %d inserted", n, len(keys), inserted)
	}
}
