package repotest

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Pooler starts PgBouncer before a database on PostgreSQL, with a pool of two connections that each transaction gets anew, and
// returns the database's URL through it. It ends with the test. The test fails where PgBouncer is not installed.
func Pooler(t testing.TB, database string) string {
	t.Helper()
	program := "/usr/sbin/pgbouncer" // where Debian puts it, which may not be in PATH
	if found, err := exec.LookPath("pgbouncer"); err == nil {
		program = found
	} else if !isProgram(program) {
		t.Fatal("PgBouncer is not installed: run scripts/ensure-postgres.sh, or install the package pgbouncer")
	}
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	g, err := newGuard()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("PgBouncer's log:\n%s", g.logTail(0))
		}
		if err := g.end(); err != nil {
			t.Error(err)
		}
	})
	for name, content := range map[string]string{
		"users": fmt.Sprintf("%q \"\"\n", u.User.Username()),
		"pgbouncer.ini": fmt.Sprintf("[databases]\n* = host=%s port=%s\n[pgbouncer]\nlisten_addr =\nlisten_port = %s\nunix_socket_dir = %s\nauth_type = trust\nauth_file = %s\n"+
			"pool_mode = transaction\ndefault_pool_size = 2\nmax_client_conn = 200\nmax_db_connections = 2\n", q.Get("host"), q.Get("port"), q.Get("port"), g.dir, filepath.Join(g.dir, "users")),
	} {
		if err := os.WriteFile(filepath.Join(g.dir, name), []byte(content), 0o644); err != nil { //nolint:gosec // another user reads it, and nothing in it is secret
			t.Fatal(err)
		}
	}
	if _, err := g.do(quote(program) + " " + quote(filepath.Join(g.dir, "pgbouncer.ini")) + " & server=$!"); err != nil {
		t.Fatal(err)
	}
	if err := await(func() (bool, error) {
		conn, err := net.Dial("unix", filepath.Join(g.dir, ".s.PGSQL."+q.Get("port")))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil, nil
	}); err != nil {
		t.Fatalf("PgBouncer does not answer: %v", err)
	}
	q.Set("host", g.dir)
	u.RawQuery = q.Encode()
	return u.String()
}
