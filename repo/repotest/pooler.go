package repotest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// poolerVariable makes the engine of every test reach PostgreSQL through PgBouncer if it is 1.
const poolerVariable = "COEXIST_TEST_POOLER"

// Pooler starts PgBouncer in front of a database on PostgreSQL and returns the database's URL through it. The pool has
// two connections, and each transaction gets any of them. PgBouncer ends with the test. The test fails if PgBouncer is
// not installed.
func Pooler(t testing.TB, database string) string {
	t.Helper()
	p, err := startPooler(database, 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("PgBouncer's log:\n%s", p.guard.logTail(0))
		}
		if err := p.guard.end(); err != nil {
			t.Error(err)
		}
	})
	return p.through(database)
}

// EnginesURL returns the URL by which the engine has to reach a database, and whether that leads through a proxy that
// pools transactions. If COEXIST_TEST_POOLER is 1, there is such a proxy in front of each cluster. Its pool is large
// enough for tests in which transactions wait for each other.
func EnginesURL(t testing.TB, database string) (way string, pooled bool) {
	t.Helper()
	if os.Getenv(poolerVariable) != "1" || !strings.HasPrefix(database, "postgres") || poolers.known(database) {
		return database, false
	}
	p, err := poolers.before(database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("PgBouncer's log:\n%s", p.guard.logTail(0))
		}
	})
	return p.through(database), true
}

// superuser is the superuser of every cluster that we start.
const superuser = "coexist"

// pooler is a PgBouncer in front of a cluster.
type pooler struct{ guard *guard }

// through returns the URL of a database of the cluster that leads through the pooler.
func (p pooler) through(database string) string {
	u, err := url.Parse(database)
	if err != nil {
		return database
	}
	q := u.Query()
	q.Set("host", p.guard.dir)
	u.RawQuery = q.Encode()
	return u.String()
}

// poolers are the poolers that all tests of the process share, by the directory of their cluster.
var poolers sharedPoolers

type sharedPoolers struct {
	mu      sync.Mutex
	started map[string]pooler
}

func (s *sharedPoolers) before(database string) (pooler, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cluster := hostOf(database)
	p, ok := s.started[cluster]
	if ok {
		return p, nil
	}
	p, err := startPooler(database, 20)
	if err == nil {
		if s.started == nil {
			s.started = map[string]pooler{}
		}
		s.started[cluster] = p
	}
	return p, err
}

// known reports whether a URL already leads through one of the poolers.
func (s *sharedPoolers) known(database string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.started {
		if hostOf(database) == p.guard.dir {
			return true
		}
	}
	return false
}

func hostOf(database string) string {
	u, err := url.Parse(database)
	if err != nil {
		return ""
	}
	return u.Query().Get("host")
}

// startPooler starts PgBouncer in front of the cluster of a database. Its pool for each database and user has size
// connections.
func startPooler(database string, size int) (p pooler, err error) {
	program, err := findProgram("pgbouncer")
	if err != nil {
		return p, fmt.Errorf("%w: run scripts/ensure-postgres.sh, or install the package pgbouncer", err)
	}
	u, err := url.Parse(database)
	if err != nil {
		return p, err
	}
	q := u.Query()
	g, err := newGuard()
	if err != nil {
		return p, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.end())
		}
	}()
	// PgBouncer looks up in the cluster the roles that a test makes. It soon retries a cluster that was away. A client
	// that waits for the cluster gets an error before the test gives up.
	files := map[string]string{
		"users": fmt.Sprintf("%q \"\"\n", superuser),
		"pgbouncer.ini": fmt.Sprintf(
			"[databases]\n* = host=%s port=%s auth_user=%s\n[pgbouncer]\nlisten_addr =\nlisten_port = %s\nunix_socket_dir = %s\nauth_type = trust\nauth_file = %s\n"+
				"pool_mode = transaction\ndefault_pool_size = %d\nmax_db_connections = %d\nmax_client_conn = 1000\nlisten_backlog = 1000\nserver_login_retry = 1\nquery_wait_timeout = 10\n",
			q.Get("host"), q.Get("port"), superuser, q.Get("port"), g.dir, filepath.Join(g.dir, "users"), size, size),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(g.dir, name), []byte(content),
			0o644); err != nil { //nolint:gosec // another user reads it, and nothing in it is secret
			return p, err
		}
	}
	// PgBouncer 1.18 to 1.20 may end when a query is cancelled (github.com/pgbouncer/pgbouncer/issues/822). The loop
	// starts it again, as an init system does.
	order := "(trap 'kill $p; wait; exit' TERM; while :; do " + quote(program) + " " +
		quote(filepath.Join(g.dir, "pgbouncer.ini")) + " & p=$!; wait $p; done) & server=$!"
	if _, err := g.do(order); err != nil {
		return p, err
	}
	if err := await(func() (bool, error) {
		conn, err := net.Dial("unix", filepath.Join(g.dir, ".s.PGSQL."+q.Get("port")))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil, nil
	}); err != nil {
		return p, fmt.Errorf("PgBouncer does not answer: %w", err)
	}
	return pooler{g}, nil
}
