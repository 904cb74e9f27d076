package resolvers_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "github.com/mattn/go-sqlite3"    // the driver "sqlite3"

	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
	"github.com/alwaysup/coexist/resolvers"
	httpserver "github.com/alwaysup/coexist/server"
)

func TestMain(m *testing.M) { repotest.Main(m) }

// vars are an operation's variables.
type vars map[string]any

// server is the GraphQL server of one test, over a database of its own.
type server struct {
	*resolvers.Resolver
	t      *testing.T
	url    string
	db     *repo.DB
	raw    *sql.DB // the same database, past the engine
	sqlite bool
	http   *httptest.Server
	log    syncBuffer

	mu         sync.Mutex
	statements []string
}

// newServer makes the V1 tables, empty, and serves them in a phase.
func newServer(t *testing.T, url string, phase repo.Phase) *server {
	t.Helper()
	s := openServer(t, url, phase)
	if !repotest.WithoutV1() {
		if err := s.db.CreateV1Tables(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.install()
	return s
}

// openServer serves a database whose V1 tables are there, or come before install.
func openServer(t *testing.T, url string, phase repo.Phase) *server {
	t.Helper()
	way, pooled := repotest.EnginesURL(t, url)
	return openServerThrough(t, url, way, phase, repo.Config{Pooler: pooled})
}

// openServerThrough is openServer for a server that reaches the database at url by another way.
func openServerThrough(t *testing.T, url, way string, phase repo.Phase, options repo.Config) *server {
	t.Helper()
	s := &server{t: t, url: url}
	logger := slog.New(slog.NewTextHandler(&s.log, nil))
	options.Logger, options.OnStatement, options.PhasePatience = logger, s.count, 3*time.Second
	var err error
	if s.db, err = repo.Open(t.Context(), way, options); err != nil {
		t.Fatal(err)
	}
	if s.Resolver, err = resolvers.New(s.db, phase); err != nil {
		t.Fatal(err)
	}
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		s.sqlite = true
		s.raw, err = sql.Open("sqlite3", "file:"+path+"?_busy_timeout=10000")
	} else {
		s.raw, err = sql.Open("pgx", repotest.Pinned(url))
	}
	if err != nil {
		t.Fatal(err)
	}
	schema := graph.NewExecutableSchema(graph.Config{
		Resolvers: s.Resolver, Directives: resolvers.Directives(),
		Complexity: resolvers.Costs(),
	})
	web, err := httpserver.New(schema, s.db, s.Control, httpserver.Options{Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	s.http = httptest.NewServer(web)
	t.Cleanup(func() {
		s.http.Close()
		if err := s.db.Close(); err != nil {
			t.Error(err)
		}
		if err := s.raw.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.log.String())
		}
	})
	return s
}

func (s *server) install() {
	s.t.Helper()
	if err := s.db.Install(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	if err := s.db.Check(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// work does background runs until the test ends, as a server does.
func (s *server) work() {
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := s.Control.Work(ctx); err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(func() { cancel(); done.Wait() })
}

func (s *server) customers(rows ...models.CustomerV1) {
	s.t.Helper()
	if _, err := s.Customers.InsertV1(s.t.Context(), rows); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) orders(rows ...models.OrderV1) {
	s.t.Helper()
	if _, err := s.Orders.InsertV1(s.t.Context(), rows); err != nil {
		s.t.Fatal(err)
	}
}

// exec runs SQL past the engine.
func (s *server) exec(statement string) {
	s.t.Helper()
	if _, err := s.raw.ExecContext(s.t.Context(), statement); err != nil {
		s.t.Fatalf("%v in %s", err, statement)
	}
}

// lines are the rows that a query past the engine selects, sorted, as text.
func (s *server) lines(query string) []string {
	s.t.Helper()
	rows, err := s.raw.QueryContext(s.t.Context(), query)
	if err != nil {
		s.t.Fatalf("%v in %s", err, query)
	}
	columns, err := rows.Columns()
	if err != nil {
		s.t.Fatal(err)
	}
	lines := []string{}
	for rows.Next() {
		values := make([]any, len(columns))
		places := make([]any, len(columns))
		for i := range values {
			places[i] = &values[i]
		}
		if err := rows.Scan(places...); err != nil {
			s.t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%#v", values))
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

// v1Tables and v2Tables are those of the sample.
var (
	v1Tables = []string{"customers", "orders", "order_details"}
	v2Tables = []string{
		"customers_v2", "customer_v2_contacts", "customer_v2_addresses", "customer_v2_phones",
		"orders_v2", "order_v2_lines",
	}
)

// dump is what tables hold.
func (s *server) dump(tables ...string) string {
	s.t.Helper()
	var all strings.Builder
	for _, table := range tables {
		fmt.Fprintf(&all, "%s:\n%s\n", table, strings.Join(s.lines("SELECT * FROM "+table), "\n"))
	}
	return all.String()
}

// everything is what all tables hold that a write may change. A lease is not in it: a worker gives its last one back a
// moment after its run has ended.
func (s *server) everything() string {
	s.t.Helper()
	chunks := s.lines(
		"SELECT run_id, number, stage, position, finished, done, migrated, quarantined, behind, faults FROM coexist_chunk")
	return s.dump(slices.Concat(v1Tables, v2Tables, []string{
		"coexist_customer_mark", "coexist_order_mark",
		"coexist_customer_quarantine", "coexist_order_quarantine", "coexist_entity", "coexist_phase_change",
		"coexist_run",
	})...) +
		"coexist_chunk:\n" + strings.Join(chunks, "\n") + "\n"
}

func (s *server) count(statement string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.statements = append(s.statements, statement)
}

// counted returns the statements that f sends. Nothing else may be going on.
func (s *server) counted(f func()) []string {
	s.mu.Lock()
	s.statements = nil
	s.mu.Unlock()
	f()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.statements)
}

// ask sends an operation.
func (s *server) ask(query string, v vars) answer {
	s.t.Helper()
	request, err := json.Marshal(map[string]any{"query": query, "variables": v})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.post(request)
}

// post sends a request as it is.
func (s *server) post(request []byte) answer {
	s.t.Helper()
	response, err := s.http.Client().Post(s.http.URL+"/graphql", "application/json", bytes.NewReader(request))
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // only read
	a := answer{t: s.t}
	if err := json.NewDecoder(response.Body).Decode(&a); err != nil {
		s.t.Fatal(err)
	}
	return a
}

// get sends an operation that must not fail, and returns its data.
func (s *server) get(query string, v vars) string {
	s.t.Helper()
	a := s.ask(query, v)
	if len(a.Errors) > 0 {
		s.t.Fatalf("%s: %+v", query, a.Errors)
	}
	return string(a.Data)
}

// into is get, decoded.
func (s *server) into(target any, query string, v vars) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.get(query, v)), target); err != nil {
		s.t.Fatal(err)
	}
}

// want sends an operation that must not fail, and compares its data. A read that would have to wait for long stores no
// copy: where one is to be stored it reads until that is so.
func (s *server) want(query string, v vars, want string) {
	s.t.Helper()
	got := s.get(query, v)
	for range 50 {
		if !strings.Contains(want, `"stored":true`) || !strings.Contains(got, `"stored":false`) ||
			strings.HasPrefix(query, "mutation") {
			break
		}
		got = s.get(query, v)
	}
	same(s.t, got, want)
}

// refused sends an operation that must fail with one error, and leave every table as it was.
func (s *server) refused(query string, v vars, code, field string) {
	s.t.Helper()
	before := s.everything()
	s.fails(query, v, code, field)
	if after := s.everything(); after != before {
		s.t.Errorf("%s wrote something:\n%s", query, changes(before, after))
	}
}

// fails sends an operation that must fail with one error.
func (s *server) fails(query string, v vars, code, field string) failure {
	s.t.Helper()
	return s.ask(query, v).failed(code, field)
}

// phase sets the phase of both entities.
func (s *server) phase(to repo.Phase) {
	s.t.Helper()
	s.get(
		`mutation($to: Phase!) { a: setPhase(input: {entity: CUSTOMER, to: $to, force: true, reason: "a test"}) { migration { id } } b: setPhase(input: {entity: ORDER, to: $to, force: true, reason: "a test"}) { migration { id } } }`,
		vars{"to": to})
}

// eachServer runs f on both databases, in MIGRATE.
func eachServer(t *testing.T, f func(t *testing.T, s *server)) {
	t.Helper()
	repotest.Each(t, func(t *testing.T, url string) { f(t, newServer(t, url, repo.Migrate)) })
}
