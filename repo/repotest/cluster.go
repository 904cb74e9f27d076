package repotest

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// patience bounds every wait for a process. Even a crash recovery on a slow and busy machine takes less.
const patience = 90 * time.Second

// settings are the settings of every cluster. A cluster listens only on a Unix socket, so clusters never get in each
// other's way. A crash leaves no dynamic shared memory outside of the cluster's directory.
var settings = []string{
	"listen_addresses=", "max_connections=400", "shared_buffers=32MB", "dynamic_shared_memory_type=mmap",
	"logging_collector=off", "log_min_messages=warning", "log_lock_waits=on", "log_line_prefix=%m [%p] %d ",
	"max_prepared_transactions=10",
}

// Cluster is a throwaway PostgreSQL cluster. Its methods may be called from any goroutine. A failure in them is an
// error of the test that started the cluster.
type Cluster struct {
	t        testing.TB // nil for the shared cluster, which only uses Database
	programs string
	settings []string
	guard    *guard
	major    int // PostgreSQL's version

	mu         sync.Mutex
	postmaster int // the server's process id, 0 while it is down

	adminMu sync.Mutex
	admin   *pgx.Conn // nil until first needed
}

// URL returns the URL of a database in the cluster. The database "postgres" always exists, and Database makes fresh
// ones. Kill and Restart do not change the URL.
func (c *Cluster) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.User("coexist"), Path: "/" + database}
	u.RawQuery = url.Values{"host": {c.guard.dir}, "port": {"5432"}, "sslmode": {"disable"}}.Encode()
	return u.String()
}

// Kill ends the server and all its children by SIGKILL, as a crash does: clients are not notified, and nothing is
// flushed. It returns when the processes have ended.
func (c *Cluster) Kill() { c.report("kill", c.kill) }

// Restart starts the server after Kill. If the server runs, Restart stops it first. It returns when the server accepts
// connections.
func (c *Cluster) Restart() { c.report("restart", c.restart) }

// Standby kills the server and starts it as a replica. It answers reads and follows no primary.
func (c *Cluster) Standby() {
	c.report("make a standby of", func() error {
		_, err := c.guard.do("touch data/standby.signal")
		return errors.Join(err, c.kill(), c.restart())
	})
}

// Stop ends the server and removes the cluster. The end of the test calls it anyway. The cluster cannot be used
// afterwards.
func (c *Cluster) Stop() { c.report("stop", c.stop) }

func (c *Cluster) report(verb string, do func() error) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := do(); err != nil {
		c.t.Errorf("cannot %s the PostgreSQL cluster: %v", verb, err)
	}
}

// template holds an initialised data directory. All clusters of the process are copies of it.
var template = sync.OnceValues(func() (*guard, error) {
	programs, err := findPrograms()
	if err != nil {
		return nil, err
	}
	g, err := newGuard()
	if err != nil {
		return nil, err
	}
	initdb := quote(filepath.Join(programs, "initdb")) +
		" -D data -U coexist -A trust -E UTF8 --no-sync --wal-segsize=1 --locale="
	// macOS has no C.UTF-8. An initdb that fails removes its files.
	if _, err := g.do(initdb + "C.UTF-8 || " + initdb + "C"); err != nil {
		return nil, fmt.Errorf("initdb: %w", errors.Join(err, g.end()))
	}
	return g, nil
})

// newCluster starts a cluster with these settings in addition to those of every cluster.
func newCluster(additional ...string) (*Cluster, error) {
	programs, err := findPrograms()
	if err != nil {
		return nil, err
	}
	original, err := template()
	if err != nil {
		return nil, err
	}
	g, err := newGuard()
	if err != nil {
		return nil, err
	}
	c := &Cluster{programs: programs, settings: append(additional, settings...), guard: g}
	if _, err = g.do("cp -R " + quote(original.dir+"/data") + " data"); err == nil {
		c.major, err = version(filepath.Join(g.dir, "data"))
	}
	if err == nil {
		err = c.restart()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot start a PostgreSQL cluster: %w", errors.Join(err, g.end()))
	}
	return c, nil
}

// version returns the major version of PostgreSQL to which a data directory belongs.
func version(data string) (int, error) {
	content, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(content)))
}

func (c *Cluster) running() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.postmaster != 0
}

func (c *Cluster) restart() error {
	if c.postmaster != 0 {
		// The order below waits until the server has ended.
		if err := syscall.Kill(c.postmaster, syscall.SIGINT); err != nil {
			return err
		}
		c.postmaster = 0
	}
	order := "wait; " + quote(filepath.Join(c.programs, "postgres")) + " -D " + quote(c.guard.dir+"/data") + " -k " +
		quote(c.guard.dir)
	for _, setting := range c.settings {
		order += " -c " + quote(setting)
	}
	pid, err := c.guard.do(order + " & server=$!")
	if err != nil {
		return err
	}
	if err := await(func() (bool, error) { return c.ready(pid) }); err != nil {
		return fmt.Errorf("%w; its log:\n%s", err, c.guard.logTail(0))
	}
	c.postmaster = pid
	return nil
}

// ready reports whether the server accepts connections. It fails if the server has ended. It reads the server's pid
// file, as pg_ctl does. A pid file of an earlier server may still be there.
func (c *Cluster) ready(postmaster int) (bool, error) {
	const pidLine, statusLine = 0, 7
	content, err := os.ReadFile(filepath.Join(c.guard.dir, "data", "postmaster.pid"))
	if lines := strings.Split(string(content), "\n"); err == nil && len(lines) > statusLine &&
		lines[pidLine] == strconv.Itoa(postmaster) && slices.Contains([]string{"ready", "standby"},
		strings.TrimSpace(lines[statusLine])) {
		return true, nil
	}
	all, err := processes()
	if err != nil {
		return false, err
	}
	if !all[postmaster].alive() {
		return false, errors.New("the server ended while it started")
	}
	return false, nil
}

func (c *Cluster) kill() error {
	if c.postmaster == 0 {
		return errors.New("it is not running")
	}
	err := killServer(c.postmaster)
	if err == nil {
		c.postmaster = 0
	}
	return err
}

// killServer kills a postmaster and its children, and returns when they have ended.
func killServer(postmaster int) error {
	// A stopped postmaster starts no more children, and does not react when its children die.
	if err := syscall.Kill(postmaster, syscall.SIGSTOP); err != nil {
		return err
	}
	var all map[int]process
	err := await(func() (_ bool, err error) {
		all, err = processes()
		return !all[postmaster].alive() || all[postmaster].state == 'T', err
	})
	if err != nil {
		return err
	}
	victims := []int{postmaster}
	for pid, p := range all {
		if p.parent == postmaster {
			victims = append(victims, pid)
		}
	}
	for _, pid := range victims {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
	}
	return await(func() (bool, error) {
		all, err := processes()
		for _, pid := range victims {
			if all[pid].alive() {
				return false, err
			}
		}
		return true, err
	})
}

func (c *Cluster) stop() error {
	c.postmaster = 0
	return c.guard.end()
}

// process is what the system says about a process. The zero process is a process that does not exist.
type process struct {
	parent int
	state  byte // 'T' is stopped, 'Z' has ended
}

func (p process) alive() bool { return p.state != 0 && p.state != 'Z' }

// processes returns the processes of the system by their ids.
func processes() (map[int]process, error) {
	all := make(map[int]process)
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // fails on a malformed pattern only
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		// "PID (NAME) STATE PARENT …", where the name may hold anything.
		pid, rest, _ := strings.Cut(string(content), " ")
		addProcess(all, pid, rest[strings.LastIndexByte(rest, ')')+1:])
	}
	if len(all) > 0 {
		return all, nil
	}
	// Not Linux.
	out, err := exec.Command("ps", "-A", "-o", "pid=,stat=,ppid=").Output()
	for line := range strings.Lines(string(out)) {
		pid, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		addProcess(all, pid, rest)
	}
	return all, err
}

// addProcess adds the process pid, whose state and parent are the first two fields of rest.
func addProcess(all map[int]process, pid, rest string) {
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		return
	}
	id, idErr := strconv.Atoi(pid)
	parent, parentErr := strconv.Atoi(fields[1])
	if idErr == nil && parentErr == nil {
		all[id] = process{parent: parent, state: fields[0][0]}
	}
}

// await calls done until it returns true or an error. It fails if that takes longer than patience.
func await(done func() (bool, error)) error {
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("no success within %v", patience)
		}
	}
}
