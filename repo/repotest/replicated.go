package repotest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Replicated is a PostgreSQL database on three servers with synchronous replication. Patroni keeps one of them the
// primary, by etcd, and HAProxy leads clients to it. Its methods must not be called at the same time. A failure in them
// is an error of the test that started it. Everything listens on ports of 127.0.0.1.
type Replicated struct {
	t     testing.TB
	proxy int // the port of HAProxy
	nodes []*replica
	dead  *replica
}

// replica is one server, with the Patroni that manages it.
type replica struct {
	name     string
	guard    *guard
	pid      int // Patroni's process id
	pg, rest int // the ports of PostgreSQL and of Patroni's REST API
}

// StartReplicated starts the servers, and returns when they replicate. They are stopped and removed at the end of the
// test. The test fails if a program is missing: scripts/ensure-failover.sh installs them.
func StartReplicated(t testing.TB) *Replicated {
	t.Helper()
	for _, program := range []string{"patroni", "etcd", "haproxy"} {
		if _, err := findProgram(program); err != nil {
			t.Fatalf("%v: run scripts/ensure-failover.sh, or install the packages patroni, etcd-server and haproxy",
				err)
		}
	}
	c, err := startReplicated(t)
	if err != nil {
		t.Fatalf("cannot start three PostgreSQL servers under Patroni: %v", err)
	}
	return c
}

func findProgram(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	if path := "/usr/sbin/" + name; isProgram(path) { // Debian puts servers there, which may not be in PATH
		return path, nil
	}
	return "", fmt.Errorf("%s is not installed", name)
}

func startReplicated(t testing.TB) (*Replicated, error) {
	programs, err := findPrograms()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(9)
	if err != nil {
		return nil, err
	}
	c := &Replicated{t: t, proxy: ports[0]}
	start := func(order string, files map[string]string) (*guard, int, error) {
		g, err := newGuard()
		if err != nil {
			return nil, 0, err
		}
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("the log of %s:\n%s", order, g.logTail(0))
			}
			if err := g.end(); err != nil {
				t.Error(err)
			}
		})
		for name, content := range files {
			content = strings.ReplaceAll(content, "{dir}", g.dir)
			if err := os.WriteFile(filepath.Join(g.dir, name), []byte(content),
				0o644); err != nil { //nolint:gosec // another user reads it, and nothing in it is secret
				return nil, 0, err
			}
		}
		pid, err := g.do(order)
		return g, pid, err
	}
	etcd, peer := fmt.Sprintf("http://127.0.0.1:%d", ports[1]), fmt.Sprintf("http://127.0.0.1:%d", ports[2])
	if _, _, err := start(
		fmt.Sprintf(
			"etcd --data-dir etcd --listen-client-urls %s --advertise-client-urls %s --listen-peer-urls %s --initial-advertise-peer-urls %s --initial-cluster default=%s --log-level warn & server=$!",
			etcd, etcd, peer, peer, peer), nil); err != nil {
		return nil, err
	}
	var servers strings.Builder
	for i := range 3 {
		n := &replica{name: fmt.Sprintf("node%d", i+1), pg: ports[3+2*i], rest: ports[4+2*i]}
		fmt.Fprintf(&servers, "\tserver %s 127.0.0.1:%d check port %d\n", n.name, n.pg, n.rest)
		if n.guard, n.pid, err = start(patroniOrder,
			map[string]string{"patroni.yml": n.config(programs, ports[1])}); err != nil {
			return nil, err
		}
		c.nodes = append(c.nodes, n)
	}
	haproxy, err := findProgram("haproxy")
	if err != nil {
		return nil, err
	}
	if _, _, err := start("(trap - TERM; exec "+quote(haproxy)+" -db -f haproxy.cfg) & server=$!",
		map[string]string{"haproxy.cfg": fmt.Sprintf(haproxyConfig, c.proxy, servers.String())}); err != nil {
		return nil, err
	}
	return c, c.awaitReplicas(3)
}

const patroniOrder = "PYTHONUNBUFFERED=1 patroni patroni.yml & server=$!"

// haproxyConfig leads to the server whose Patroni says that it is the primary. It cuts the connections to a server that
// no longer is.
const haproxyConfig = `defaults
	mode tcp
	timeout connect 2s
	timeout client 1h
	timeout server 1h
listen primary
	bind 127.0.0.1:%d
	option httpchk GET /primary
	http-check expect status 200
	default-server inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
%s`

// config returns the configuration of Patroni. The time to live of the primary's key is the least that Patroni accepts.
func (n *replica) config(programs string, etcd int) string {
	return fmt.Sprintf(`scope: coexist
name: %[1]s
restapi: {listen: "127.0.0.1:%[2]d", connect_address: "127.0.0.1:%[2]d"}
etcd3: {host: "127.0.0.1:%[4]d"}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 2
    retry_timeout: 3
    synchronous_mode: true
    postgresql: {use_pg_rewind: true, use_slots: true}
  initdb: [{encoding: UTF8}, {locale: C.UTF-8}, data-checksums]
  pg_hba: [host all all 127.0.0.1/32 trust, host replication all 127.0.0.1/32 trust]
postgresql:
  listen: "127.0.0.1:%[3]d"
  connect_address: "127.0.0.1:%[3]d"
  data_dir: "{dir}/data"
  bin_dir: "%[5]s"
  pgpass: "{dir}/pgpass"
  authentication: {superuser: {username: coexist, password: x}, replication: {username: replicator, password: x}}
  parameters: {unix_socket_directories: "{dir}", shared_buffers: 32MB, max_connections: 150, log_min_messages: warning}
`, n.name, n.rest, n.pg, etcd, programs)
}

// freePorts returns n ports of 127.0.0.1 on which nobody listens.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() //nolint:errcheck // nobody has connected to it
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// URL returns the URL of a database on the server that is the primary at the time. It stays the same over a failover.
func (c *Replicated) URL(database string) string {
	return fmt.Sprintf("postgres://coexist@127.0.0.1:%d/%s?sslmode=disable&connect_timeout=3", c.proxy, database)
}

// Database creates a database and returns its URL.
func (c *Replicated) Database(name string) string {
	c.t.Helper()
	conn, err := pgx.Connect(c.t.Context(), c.URL("postgres"))
	if err == nil {
		_, err = conn.Exec(c.t.Context(), "CREATE DATABASE "+name)
		err = errors.Join(err, conn.Close(c.t.Context()))
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return c.URL(name)
}

// KillPrimary ends the primary and its Patroni by SIGKILL, as the loss of a machine does. The others have to find out
// by themselves.
func (c *Replicated) KillPrimary() {
	c.t.Helper()
	if err := c.killPrimary(); err != nil {
		c.t.Errorf("cannot kill the primary: %v", err)
	}
}

func (c *Replicated) killPrimary() error {
	primary, _, err := c.members()
	if err != nil || primary == nil {
		return errors.Join(err, errors.New("there is none"))
	}
	content, err := os.ReadFile(filepath.Join(primary.guard.dir, "data", "postmaster.pid"))
	if err != nil {
		return err
	}
	line, _, _ := strings.Cut(string(content), "\n")
	postmaster, err := strconv.Atoi(line)
	if err != nil {
		return err
	}
	if err := syscall.Kill(primary.pid, syscall.SIGKILL); err != nil {
		return err
	}
	c.dead = primary
	return killServer(postmaster)
}

// Recover starts the killed server again. It returns when there is a primary, all servers run, and they replicate.
func (c *Replicated) Recover() {
	c.t.Helper()
	if err := c.AwaitPrimary(); err != nil {
		c.t.Errorf("there is no primary: %v", err)
		return
	}
	if c.dead != nil {
		pid, err := c.dead.guard.do("wait; " + patroniOrder)
		if err != nil {
			c.t.Errorf("cannot start %s again: %v", c.dead.name, err)
			return
		}
		c.dead.pid, c.dead = pid, nil
	}
	if err := c.awaitReplicas(3); err != nil {
		c.t.Error(err)
	}
}

// AwaitPrimary returns once a client can write. It fails if that takes more than 90 seconds.
func (c *Replicated) AwaitPrimary() error {
	return await(func() (bool, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, c.URL("postgres"))
		if err != nil {
			return false, nil // not yet
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, "CREATE TEMPORARY TABLE writable ()")
		return err == nil, nil
	})
}

// awaitReplicas returns when this many servers run. One of them is the primary then, and another one is its synchronous
// replica.
func (c *Replicated) awaitReplicas(servers int) error {
	if err := await(func() (bool, error) {
		primary, running, err := c.members()
		return err == nil && primary != nil && running == servers, nil
	}); err != nil {
		return fmt.Errorf("not all servers replicate: %w", err)
	}
	return c.AwaitPrimary()
}

// members returns the primary, or nil if there is none, and how many servers run. The number is 0 while there is no
// synchronous replica.
func (c *Replicated) members() (primary *replica, running int, err error) {
	var answer struct {
		Members []struct{ Name, Role, State string }
	}
	for _, n := range c.nodes {
		if n == c.dead {
			continue
		}
		client := http.Client{Timeout: 3 * time.Second}
		var response *http.Response
		if response, err = client.Get(fmt.Sprintf("http://127.0.0.1:%d/cluster", n.rest)); err != nil {
			continue
		}
		err = errors.Join(json.NewDecoder(response.Body).Decode(&answer), response.Body.Close())
		if err == nil {
			break
		}
	}
	if err != nil {
		return nil, 0, err
	}
	synchronous := false
	for _, m := range answer.Members {
		for _, n := range c.nodes {
			if n.name == m.Name && m.Role == "leader" {
				primary = n
			}
		}
		synchronous = synchronous || m.Role == "sync_standby"
		if m.State == "running" || m.State == "streaming" {
			running++
		}
	}
	if !synchronous {
		running = 0
	}
	return primary, running, nil
}
