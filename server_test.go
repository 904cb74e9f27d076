package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"

	"github.com/alwaysup/coexist/repo/repotest"
)

type states struct {
	Migrations []struct {
		Entity, Phase string
		Progress      struct{ Total, Migrated int }
	}
}

const askStates = `{ migrations { entity phase progress { total migrated } } }`

type started struct {
	StartSweep struct{ Run struct{ ID string } }
}

type runState struct {
	Status                             string
	Done, Total, Migrated, Quarantined int
}

func (p *program) states() string {
	p.t.Helper()
	return fmt.Sprint(must[states](p.t, p.url, askStates).Migrations)
}

func TestFreshStartFillsOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for start := range 2 {
		p := serve(t, dir)
		if got, want := p.states(), "[{CUSTOMER MIGRATE {1000 0}} {ORDER MIGRATE {5000 0}}]"; got != want {
			t.Errorf("start %d: got %s, want %s", start, got, want)
		}
		if filled := strings.Contains(p.text(), "sample data"); filled != (start == 0) {
			t.Errorf("start %d: filled is %v", start, filled)
		}
		if !strings.Contains(p.text(), "operator") {
			t.Error("the log does not say who is an operator")
		}
		if got := p.stop(syscall.SIGTERM); got != 0 {
			t.Errorf("exits %d", got)
		}
	}
	onlyDatabase(t, dir)
}

func onlyDatabase(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "coexist.db" {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestInterruptedFirstFillLeavesNoDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := launch(t, dir, "seed", "--sample", "1000000")
	eventually(t, "the fill to begin", func() bool {
		found, _ := filepath.Glob(filepath.Join(dir, fillPrefix+"*", "coexist.db-wal"))
		return len(found) > 0
	})
	p.stop(syscall.SIGKILL)
	if _, err := os.Stat(filepath.Join(dir, embeddedFile)); !os.IsNotExist(err) {
		t.Fatalf("a half-filled database: %v", err)
	}
	s := serve(t, dir, "--sample", "3")
	if got, want := s.states(), "[{CUSTOMER MIGRATE {3 0}} {ORDER MIGRATE {15 0}}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	s.stop(syscall.SIGINT)
	onlyDatabase(t, dir)
}

// given makes sure that the database at the URL is there.
func given(t *testing.T, url string) string {
	t.Helper()
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return url
}

func TestGivenDatabaseIsNotFilledUnasked(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		dir := t.TempDir()
		flag := "--database-url=" + given(t, url)
		for range 2 { // the first leaves nothing behind that the second takes for a database
			p := launch(t, dir, "serve", "--addr=127.0.0.1:0", flag)
			if p.wait() != 1 || strings.Count(p.text(), "\n") != 1 || !strings.Contains(p.text(), "coexist seed") {
				t.Fatalf("an empty database: %s", p.text())
			}
		}
		execute(t, dir, "seed", flag, "--sample=20")
		again := launch(t, dir, "seed", flag, "--sample=21")
		if again.wait() != 0 || !strings.Contains(again.text(), `"customers":1,"orders":5,`) {
			t.Errorf("seeded again: %s", again.text())
		}
		p := serve(t, dir, flag)
		if got, want := p.states(), "[{CUSTOMER EXPAND {21 0}} {ORDER EXPAND {105 0}}]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if _, err := os.Stat(filepath.Join(dir, embeddedFile)); !os.IsNotExist(err) {
			t.Errorf("coexist.db beside a database that was given: %v", err)
		}
	})
}

// A sample that V1's key column has no room for is refused before anything is inserted.
func TestSampleThatIsTooLarge(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	raw := repotest.Raw(t, url)
	repotest.Exec(t, raw, stockTables...)
	p := launch(t, t.TempDir(), "seed", "--database-url="+url, "--sample=4505")
	if p.wait() != 1 || !strings.Contains(p.text(), "--sample is too large") || !strings.Contains(p.text(), "32767") {
		t.Errorf("seed: %s", p.text())
	}
	if n := repotest.One[int64](t, raw, "SELECT count(*) FROM customers"); n != 0 {
		t.Errorf("%d customers were inserted", n)
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		dir := t.TempDir()
		flag := "--database-url=" + url
		execute(t, dir, "seed", flag, "--sample=30")
		if ddl := execute(t, dir, "ddl", flag); !strings.Contains(ddl, "CREATE TABLE IF NOT EXISTS") {
			t.Errorf("ddl: %s", ddl)
		}
		if p := launch(t, dir, "sweep", "customer", flag); p.wait() != 1 || !strings.Contains(p.text(), "MIGRATE") {
			t.Errorf("a sweep in EXPAND: %s", p.text())
		}
		if p := launch(t, dir, "phase", "customer", "migrate", flag); p.wait() != 1 ||
			!strings.Contains(p.text(), "rehearsal") {
			t.Errorf("a phase whose gate is closed: %s", p.text())
		}
		for _, zero := range []string{"--workers", "--max-rows-per-second", "--older-than-mapping-version"} {
			if p := launch(t, dir, "sweep", "customer", zero+"=0", flag); p.wait() != 2 ||
				!strings.Contains(p.text(), zero) || !strings.Contains(p.text(), "is 0, ") {
				t.Errorf("%s=0: %s", zero, p.text())
			}
		}
		if p := launch(t, dir, "sweep", "customer", "--max-rows-per-second=99999999999999999999",
			flag); p.wait() != 2 || !strings.Contains(p.text(), "from 1 to 2147483647") {
			t.Errorf("a rate beyond all numbers: %s", p.text())
		}
		execute(t, dir, "rehearse", "customer", flag)
		if out := execute(t, dir, "phase", "customer", "migrate", "--reason=go", flag); !strings.Contains(out,
			"CUSTOMER is in MIGRATE") || !strings.Contains(out, "UNMIGRATED blocks the step to CUTOVER") {
			t.Errorf("phase: %s", out)
		}
		lines := strings.Split(strings.TrimSpace(execute(t, dir, "sweep", "CUSTOMER", "--json", flag)), "\n")
		var last runState
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Status != "SUCCEEDED" ||
			last.Done != 30 || last.Migrated != 30 {
			t.Errorf("sweep: %+v, %v", last, err)
		}
		if table := execute(t, dir, "status", flag); !strings.Contains(table, "100.0 %") ||
			!strings.Contains(table, "SUCCEEDED") {
			t.Errorf("status: %s", table)
		}
		var all []map[string]any
		if err := json.Unmarshal([]byte(execute(t, dir, "status", "--json", flag)), &all); err != nil ||
			len(all) != 2 || all[0]["migrated"] != 30.0 {
			t.Errorf("status: %v, %v", all, err)
		}
		for _, c := range []string{
			"rehearse ORDER", "phase ORDER MIGRATE", "sweep ORDER", "verify ORDER", "phase ORDER CUTOVER",
			"verify ORDER", "phase ORDER CONTRACT",
			"verify CUSTOMER", "phase CUSTOMER CUTOVER", "verify CUSTOMER", "phase CUSTOMER CONTRACT",
			"restore CUSTOMER", "phase CUSTOMER CUTOVER", "restore ORDER", "phase ORDER CUTOVER", "phase ORDER MIGRATE",
			"phase ORDER EXPAND",
		} {
			execute(t, dir, append(strings.Fields(c), flag)...)
		}
		if p := launch(t, dir, "phase", "nobody", flag); p.wait() != 1 ||
			!strings.Contains(p.text(), "CUSTOMER, ORDER") {
			t.Errorf("an unknown entity: %s", p.text())
		}
	})
}

func TestWhatCannotStartSaysSoInOneLine(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"unreachable": {[]string{
			"serve", "--addr=127.0.0.1:0", "--database-url=postgres://me:geheim@127.0.0.1:1/x",
			"--database-patience=0s",
		}, 1, "refused"},
		"unknown scheme": {
			[]string{"serve", "--addr=127.0.0.1:0", "--database-url=mysql://me:geheim@host/x"},
			1,
			"mysql",
		},
		"bad port": {
			[]string{"serve", "--addr=127.0.0.1:0", "--database-url=postgres://me:geheim@host:port/x"},
			1, "port",
		},
		"no such file": {
			[]string{"serve", "--addr=127.0.0.1:0", "--database-url=sqlite:nowhere/there.db"},
			1,
			"nowhere/there.db",
		},
		"half of OIDC":   {[]string{"serve", "--oidc-issuer=https://id.example"}, 2, "--oidc-audience"},
		"issuer by http": {[]string{"serve", "--oidc-issuer=http://id.example", "--oidc-audience=x"}, 2, "https"},
		"negative rate":  {[]string{"serve", "--client-rate=-1"}, 2, "--client-rate"},
		"no tokens":      {[]string{"serve", "--tokens-file=nowhere"}, 1, "nowhere"},
		"no such role":   {[]string{"token", "alice", "admin"}, 2, "operator"},
		"no name":        {[]string{"token", "a b", "reader"}, 1, "not a valid name"},
		"public address": {[]string{"serve", "--addr=0.0.0.0:0"}, 1, "loopback"},
		"all addresses":  {[]string{"serve", "--addr=:0"}, 1, "loopback"},
		"no port":        {[]string{"serve", "--addr=127.0.0.1"}, 1, "port"},
		"no database":    {[]string{"status"}, 1, "coexist.db"},
		"no path":        {[]string{"status", "--database-url=sqlite:"}, 1, "sqlite:PATH"},
		"unknown flag":   {[]string{"serve", "--nonsense"}, 2, "--nonsense"},
		"bad sample":     {[]string{"serve", "--sample=-1"}, 2, "--sample"},
		"bad sample-bad": {[]string{"serve", "--sample-bad=-1"}, 2, "--sample-bad"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p := launch(t, dir, c.args...)
			got := p.wait()
			if got != c.status || strings.Count(p.text(), "\n") != 1 || !strings.Contains(p.text(), c.says) ||
				strings.Contains(p.text(), "geheim") {
				t.Errorf("exits %d: %s", got, p.text())
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// A sample may have rows that no mapping can convert: V1 serves them, V2 says why not, and a sweep lists them and goes
// on.
func TestBadRowsOfTheSampleAreQuarantined(t *testing.T) {
	t.Parallel()
	p := serve(t, t.TempDir(), "--sample=5", "--sample-bad=2")
	run := must[started](t, p.url,
		`mutation { startSweep(input: {entity: CUSTOMER}) { run { id } } }`).StartSweep.Run.ID
	var last runState
	eventually(t, "the end of the sweep", func() bool {
		last = must[struct{ Run runState }](t, p.url, `{ run(id: "`+run+
			`") { status done total migrated quarantined } }`).Run
		return last.Status != "RUNNING"
	})
	if want := (runState{"SUCCEEDED", 7, 7, 5, 2}); last != want {
		t.Errorf("got %+v, want %+v", last, want)
	}
	for query, want := range map[string]string{
		`{ customerV1(customerId: "X0001") { country } }`:                                       `{"data":{"customerV1":{"country":"Atlantis"}}}`,
		`{ migration(entity: CUSTOMER) { quarantine(first: 5) { nodes { key code field } } } }`: `{"data":{"migration":{"quarantine":{"nodes":[{"key":"X0000","code":"CONVERSION_FAILED","field":"country"},{"key":"X0001","code":"CONVERSION_FAILED","field":"country"}]}}}}`,
	} {
		if got := rawAnswer(t, p.url, query); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", query, got, want)
		}
	}
	if code := ask[any](t, p.url, `{ customerV2(customerId: "X0001") { name } }`).code(); code != "CONVERSION_FAILED" {
		t.Errorf("V2 of a bad row: %s", code)
	}
}

// sweeping starts a server on n customers in MIGRATE, of which few have orders, and a sweep of them.
func sweeping(t *testing.T, url string, n, rate int) (p *program, run string) {
	t.Helper()
	dir := t.TempDir()
	flag := "--database-url=" + url
	const few = 20
	execute(t, dir, "seed", flag, fmt.Sprintf("--sample=%d", few))
	repotest.Exec(t, repotest.Raw(t, url), fmt.Sprintf(`INSERT INTO customers (customer_id, company_name, contact_name, city, country, phone)
WITH RECURSIVE n(i) AS (SELECT 10001 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
SELECT CAST(i AS varchar(5)), 'Customer ' || i, 'Ana Lima', 'Porto', 'Portugal', '(22) ' || i FROM n`, 10_000+n-few))
	execute(t, dir, "phase", "CUSTOMER", "MIGRATE", "--force", "--reason=a test", flag)
	p = serve(t, dir, flag)
	query := fmt.Sprintf(`mutation { startSweep(input: {entity: CUSTOMER, maxRowsPerSecond: %d}) { run { id } } }`,
		rate)
	return p, must[started](t, p.url, query).StartSweep.Run.ID
}

func TestStopsCleanlyWithSubscriptionAndSweep(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		p, run := sweeping(t, url, 500, 20)
		events := openStream(t, p.url, run)
		socket := openSocket(t, p.url, run)
		if e := events.next(t); e.Event != "next" {
			t.Errorf("got %+v", e)
		}
		if m := socket.next(t); m.Type != "next" {
			t.Errorf("got %+v", m)
		}
		closed := make(chan websocket.StatusCode)
		go func() { closed <- socket.closeCode(t) }()
		if got := p.stop(syscall.SIGTERM); got != 0 {
			t.Errorf("exits %d", got)
		}
		for e, open := events.read(t); open; e, open = events.read(t) {
			if e.Event == "complete" {
				t.Error("a stream that the server has cut off claims to be complete")
			}
		}
		if code := <-closed; code != websocket.StatusGoingAway {
			t.Errorf("the socket is closed with %d", code)
		}
	})
}

func TestKilledSweepGoesOn(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		const n = 5_000
		p, run := sweeping(t, url, n, 1_500)
		eventually(t, "some rows", func() bool {
			s := must[struct{ Run runState }](t, p.url, `{ run(id: "`+run+`") { status done total } }`).Run
			if s.Status != "RUNNING" {
				t.Fatalf("the sweep was too fast to be killed: %+v", s)
			}
			return s.Done > 0
		})
		p.stop(syscall.SIGKILL)
		p = serve(t, p.dir, "--database-url="+url)
		events := openStream(t, p.url, run)
		var last runState
		for e := events.next(t); e.Event != "complete"; e = events.next(t) {
			if e.State.Done < last.Done {
				t.Errorf("progress went back from %d to %d", last.Done, e.State.Done)
			}
			last = e.State
		}
		if want := (runState{"SUCCEEDED", n, n, n, 0}); last != want {
			t.Errorf("got %+v, want %+v", last, want)
		}
	})
}

func TestRecoversFromADatabaseThatWasAway(t *testing.T) {
	t.Parallel()
	cluster := repotest.StartCluster(t)
	dir := t.TempDir()
	flag := "--database-url=" + cluster.Database(t)
	execute(t, dir, "seed", flag, "--sample=5")
	p := serve(t, dir, flag)
	const query = `{ customerV2(customerId: "ALFKI") { name } }`
	type found struct{ CustomerV2 *struct{ Name string } }
	if must[found](t, p.url, query).CustomerV2 == nil {
		t.Fatal("there is no ALFKI")
	}
	cluster.Kill()
	if a := ask[found](t, p.url, query); a.code() != "UNAVAILABLE" {
		t.Errorf("without a database: %+v", a)
	}
	if got := status(t, p.url+"/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("readyz without a database: %d", got)
	}
	if got := status(t, p.url+"/healthz"); got != http.StatusOK {
		t.Errorf("healthz without a database: %d", got)
	}
	cluster.Restart()
	eventually(t, "readiness", func() bool { return status(t, p.url+"/readyz") == http.StatusOK })
	eventually(t, "an answer", func() bool { return ask[found](t, p.url, query).Errors == nil })
	if got := p.stop(syscall.SIGTERM); got != 0 {
		t.Errorf("exits %d", got)
	}
}
