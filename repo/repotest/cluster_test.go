package repotest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func TestMain(m *testing.M) {
	if os.Getenv(ownerVariable) != "" {
		// The owner that TestNothingIsLeftBehind kills must not live on if that test is killed itself.
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(1)
		}()
	}
	Main(m)
}

func TestEachGivesFreshDatabases(t *testing.T) {
	for range 2 {
		Each(t, func(t *testing.T, url string) {
			if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
				if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
					t.Errorf("the file is there already: %v", err)
				}
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Error(err)
				}
				return
			}
			conn := connect(t, url)
			if got := one[string](t, conn, "SHOW server_encoding"); got != "UTF8" {
				t.Errorf("the encoding is %s, want UTF8", got)
			}
			if got := one[bool](t, conn, "SELECT to_regclass('trace') IS NULL"); !got {
				t.Error("the database is not empty")
			}
			execute(t, conn, "CREATE TABLE trace ()")
		})
	}
}

func TestPostgresIsDroppedWithTheTest(t *testing.T) {
	var url string
	t.Run("owner", func(t *testing.T) {
		url = Postgres(t)
		// A connection that nobody closes does not keep the database.
		if _, err := pgx.Connect(t.Context(), url); err != nil {
			t.Fatal(err)
		}
	})
	_, err := pgx.Connect(t.Context(), url)
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); !ok || pgErr.Code != "3D000" {
		t.Errorf("connecting afterwards: %v, want that the database does not exist", err)
	}
}

func TestKillAndRestart(t *testing.T) {
	cluster := StartCluster(t)
	url := cluster.Database(t)
	conn := connect(t, url)
	execute(t, conn, "CREATE TABLE kept (n int)")
	for round := range 2 {
		execute(t, conn, "INSERT INTO kept VALUES (1)")
		execute(t, conn, "BEGIN")
		execute(t, conn, "INSERT INTO kept VALUES (2)")
		asleep := make(chan error, 1)
		sleeper := connect(t, url)
		go func() {
			_, err := sleeper.Exec(t.Context(), "SELECT pg_sleep(600)")
			asleep <- err
		}()

		cluster.Kill()

		if err := <-asleep; err == nil {
			t.Error("a statement outlived the server")
		}
		if err := conn.Ping(t.Context()); err == nil {
			t.Error("a connection outlived the server")
		}
		if _, err := pgx.Connect(t.Context(), url); err == nil {
			t.Error("the server accepts connections after Kill")
		}

		cluster.Restart()

		conn = connect(t, url)
		if got := one[int](t, conn, "SELECT coalesce(sum(n), 0) FROM kept"); got != round+1 {
			t.Errorf("round %d: the committed rows add up to %d, want %d", round, got, round+1)
		}
	}
}

func TestRestartOfARunningServer(t *testing.T) {
	cluster := StartCluster(t)
	url := cluster.Database(t)
	conn := connect(t, url)
	cluster.Restart()
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a connection outlived the restart")
	}
	connect(t, url)
}

func TestStopRemovesAKilledCluster(t *testing.T) {
	cluster := StartCluster(t)
	dir := directory(t, cluster.URL("postgres"))
	pidFile, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	segment := strings.Fields(strings.Split(string(pidFile), "\n")[6])
	if !sharedMemoryHas(segment) {
		t.Logf("cannot see shared memory segment %v here", segment)
	}
	cluster.Kill()
	cluster.Stop()
	cluster.Stop() // does nothing
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", dir, err)
	}
	if sharedMemoryHas(segment) {
		t.Errorf("shared memory segment %v is still there", segment)
	}
}

// sharedMemoryHas reports whether the system lists the segment, given by key and id.
func sharedMemoryHas(segment []string) bool {
	list, err := os.ReadFile("/proc/sysvipc/shm")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(list)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == segment[0] && fields[1] == segment[1] {
			return true
		}
	}
	return false
}

func TestAFailedStartSaysWhy(t *testing.T) {
	_, err := newCluster("shared_buffers=nonsense")
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "shared_buffers"`) {
		t.Errorf("the error is %v, want one with the server's log", err)
	}
}

func TestSkipAsked(t *testing.T) {
	for _, c := range []struct {
		skip, ci string
		want     bool
	}{
		{"", "", false},
		{"1", "", true},
		{"0", "", false},
		{"1", "true", false},
		{"", "true", false},
	} {
		env := map[string]string{skipVariable: c.skip, "CI": c.ci}
		if got := skipAsked(func(key string) string { return env[key] }); got != c.want {
			t.Errorf("%v: %v, want %v", env, got, c.want)
		}
	}
}

func TestSortNewestFirst(t *testing.T) {
	dirs := []string{"/usr/lib/postgresql/9.6/bin", "/usr/lib/postgresql/15/bin", "/opt/none/bin", "/usr/pgsql-17/bin"}
	want := []string{"/usr/pgsql-17/bin", "/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/9.6/bin", "/opt/none/bin"}
	if sortNewestFirst(dirs); !slices.Equal(dirs, want) {
		t.Errorf("sorted to %q, want %q", dirs, want)
	}
}

func TestDatabaseName(t *testing.T) {
	long := databaseName("TestRead/in_phase_MIGRATE/'quoted'; DROP/" + strings.Repeat("ä", 99))
	if len(long) > 63 || unfitForName.ReplaceAllString(long, "_") != long {
		t.Errorf("%q is no name that can do without quotes", long)
	}
	if first, second := databaseName("Same"), databaseName("Same"); first == second {
		t.Error("two databases have the same name")
	}
}

func TestReachable(t *testing.T) {
	if !reachable("/tmp") {
		t.Error("/tmp is not reachable")
	}
	closed := t.TempDir()
	inside := filepath.Join(closed, "inside")
	if err := os.Mkdir(inside, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if reachable(inside) {
		t.Error("a directory inside of a private one counts as reachable")
	}
}

// ownerVariable makes the test binary the owner of a cluster, which waits to be killed.
const ownerVariable = "COEXIST_TEST_CLUSTER_OWNER"

func TestNothingIsLeftBehind(t *testing.T) {
	for _, killed := range []string{"while initdb runs", "while it serves"} {
		t.Run(killed, func(t *testing.T) {
			parent := openTempDir(t)
			entries := func() []string {
				list, err := filepath.Glob(parent + "/*")
				if err != nil {
					t.Fatal(err)
				}
				return list
			}
			owner := exec.Command(os.Args[0], "-test.run=^TestOwner$", "-test.v")
			owner.Env = append(os.Environ(), ownerVariable+"=1", "TMPDIR="+parent)
			if _, err := owner.StdinPipe(); err != nil {
				t.Fatal(err)
			}
			output, err := owner.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := owner.Start(); err != nil {
				t.Fatal(err)
			}
			if killed == "while initdb runs" {
				poll(t, "a data directory", func() bool {
					begun, err := filepath.Glob(parent + "/*/data/*")
					return err == nil && len(begun) > 0
				})
			} else {
				lines := bufio.NewScanner(output)
				for lines.Scan() && lines.Text() != "serving" {
				}
				if lines.Text() != "serving" {
					t.Fatal("the owner has not started a cluster")
				}
			}
			postmasters := postmasters(t, parent)
			if killed == "while it serves" && len(postmasters) != 2 {
				t.Fatalf("%d servers run, want the shared one and one more", len(postmasters))
			}

			if err := owner.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = owner.Wait() // "signal: killed"

			poll(t, "an empty directory", func() bool { return len(entries()) == 0 })
			all, err := processes()
			if err != nil {
				t.Fatal(err)
			}
			for _, pid := range postmasters {
				if all[pid].alive() {
					t.Errorf("the server %d still runs", pid)
				}
			}
		})
	}
}

// TestOwner is what the process runs that TestNothingIsLeftBehind kills.
func TestOwner(t *testing.T) {
	if os.Getenv(ownerVariable) == "" {
		return
	}
	connect(t, Postgres(t))
	connect(t, StartCluster(t).Database(t))
	fmt.Println("serving")
	select {}
}

// openTempDir returns a directory that every user may reach and write to, unlike t.TempDir, and with a short path.
func openTempDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/tmp", "coexist-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// postmasters returns the process ids of the servers whose directories are in parent.
func postmasters(t *testing.T, parent string) []int {
	files, err := filepath.Glob(parent + "/*/data/postmaster.pid")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, file := range files {
		content, err := os.ReadFile(file)
		line, _, whole := strings.Cut(string(content), "\n")
		if errors.Is(err, fs.ErrNotExist) || err == nil && !whole {
			continue // the server has just ended, or has made the file and not written it yet
		}
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(line)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func one[T any](t *testing.T, conn *pgx.Conn, sql string) T {
	t.Helper()
	var value T
	if err := conn.QueryRow(t.Context(), sql).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

// directory returns that of the cluster with the URL.
func directory(t *testing.T, url string) string {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	return config.Host
}

// poll waits until done is true.
func poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited a minute for %s", what)
		}
	}
}
