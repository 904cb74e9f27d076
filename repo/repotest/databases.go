// Package repotest helps to test the engine and programs that are built on it. It gives every test both databases: a
// SQLite file, and a database of its own in a throwaway PostgreSQL cluster that the test process starts by itself.
//
// A package that uses PostgreSQL has
//
//	func TestMain(m *testing.M) { repotest.Main(m) }
//
// and its tests run on both databases through Each. Nothing has to be running or configured. Only PostgreSQL's server
// programs have to be installed. Nothing is left behind, however the test process ends. The package needs a Unix.
package repotest

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

// skipVariable skips the tests that need PostgreSQL if it is 1. It has no effect if CI is set.
const skipVariable = "COEXIST_TEST_SKIP_POSTGRES"

// shared is the cluster of this process. The first test that needs it starts it.
var shared = sync.OnceValues(func() (*Cluster, error) {
	// JIT compilation takes longer than queries on a few rows.
	return newCluster("fsync=off", "full_page_writes=off", "jit=off")
})

// Main runs the tests of a package, and then stops every cluster that they started. Call it from TestMain. It starts
// nothing itself. Without it the clusters end a moment after the process.
func Main(m *testing.M) {
	defer endGuards()
	m.Run()
}

// Each runs f as the subtests "sqlite" and "postgres", each with the URL of a fresh database. The two run at the same
// time, after the test that calls Each has returned. So that test must do nothing after Each.
func Each(t *testing.T, f func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, SQLite(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f(t, Postgres(t))
	})
}

// SQLite returns the URL, "sqlite:PATH", of a file that does not exist yet. Its directory is removed with the test.
func SQLite(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "coexist.db")
}

// Postgres returns the URL of a fresh, empty database in the cluster that all tests of the process share. At the end of
// the test it is dropped, even if connections to it are still open.
//
// The shared cluster does not wait for the disk, so do not kill it: use StartCluster for that.
//
// The test fails if PostgreSQL's server programs are missing. On a laptop, COEXIST_TEST_SKIP_POSTGRES=1 skips it.
func Postgres(t testing.TB) string {
	t.Helper()
	skipIfAsked(t)
	c, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return c.Database(t)
}

// StartCluster starts a cluster for this test alone, which the test may kill and restart. It is as durable as
// PostgreSQL is by default. It is stopped and removed at the end of the test. Prefer Postgres, which costs much less
// time.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	skipIfAsked(t)
	c, err := newCluster()
	if err != nil {
		t.Fatal(err)
	}
	c.t = t
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("PostgreSQL's log:\n%s", c.guard.logTail(0))
		}
		c.Stop()
	})
	return c
}

// Database returns the URL of a fresh, empty UTF-8 database in the cluster. At the end of the test t it is dropped,
// even if connections to it are still open.
func (c *Cluster) Database(t testing.TB) string {
	t.Helper()
	logStart := c.guard.logSize()
	name := databaseName(t.Name())
	create := "CREATE DATABASE " + name + " TEMPLATE template0 ENCODING 'UTF8'"
	if c.major >= 15 {
		create += " STRATEGY file_copy" // as before 15: it takes 9 ms, a copy through the log 67 ms
	}
	if err := c.execute(create); err != nil {
		t.Fatalf("cannot create a database: %v\nPostgreSQL's log:\n%s", err, c.guard.logTail(logStart))
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("PostgreSQL's log since %s was created:\n%s", name, c.guard.logTail(logStart))
		}
		if !c.running() {
			return
		}
		if err := c.execute("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("cannot drop database %s: %v", name, err)
		}
	})
	if hostile() {
		return c.makeHostile(t, name)
	}
	return c.URL(name)
}

// makeHostile gives a database hostile settings. It returns the URL for the engine.
func (c *Cluster) makeHostile(t testing.TB, name string) string {
	t.Helper()
	for _, statement := range append([]string{"DO $$ BEGIN CREATE ROLE " + hostileRole +
		" LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"}, hostileSettings(name)...) {
		if err := c.execute(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	Exec(t, Raw(t, c.URL(name)), hostileRights...)
	return WithUser(t, c.URL(name), hostileRole)
}

// execute runs one statement outside of any test's database. It keeps its connection, since connecting takes longer
// than many tests.
func (c *Cluster) execute(sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c.adminMu.Lock()
	defer c.adminMu.Unlock()
	if c.admin == nil || c.admin.Ping(ctx) != nil { // the server may have been killed since
		admin, err := pgx.Connect(ctx, c.URL("postgres"))
		if err != nil {
			return err
		}
		c.admin = admin
	}
	_, err := c.admin.Exec(ctx, sql)
	return err
}

var (
	databases    atomic.Int64
	unfitForName = regexp.MustCompile(`[^a-z0-9]+`)
)

// databaseName makes a database name from the test's name, so that a line of the server's log says which test it
// belongs to. The name needs no quotes and is unique in the process.
func databaseName(test string) string {
	name := unfitForName.ReplaceAllString(strings.ToLower(test), "_")
	return fmt.Sprintf("t%d_%s", databases.Add(1), name[:min(len(name), 48)])
}

// skipIfAsked skips the test if a developer without PostgreSQL has asked for that. CI never skips.
func skipIfAsked(t testing.TB) {
	t.Helper()
	if skipAsked(os.Getenv) {
		fmt.Fprintf(os.Stderr, "WARNING: %s: not tested on PostgreSQL, because %s is set\n", t.Name(), skipVariable)
		t.Skipf("not tested on PostgreSQL, because %s is set", skipVariable)
	}
}

func skipAsked(getenv func(string) string) bool {
	return getenv(skipVariable) == "1" && getenv("CI") == ""
}

// findPrograms returns the directory with initdb and postgres. It looks in PATH first, then where pg_config says, then
// where packages install them, the newest version first.
func findPrograms() (string, error) {
	var candidates []string
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if target, err := filepath.EvalSymlinks(initdb); err == nil {
			candidates = append(candidates, filepath.Dir(target))
		}
	}
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		candidates = append(candidates, strings.TrimSpace(string(out)))
	}
	var installed []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",          // Debian, Ubuntu
		"/usr/pgsql-*/bin",                   // Fedora and its relatives, from postgresql.org
		"/opt/homebrew/opt/postgresql@*/bin", // Homebrew on Apple silicon
		"/usr/local/opt/postgresql@*/bin",    // Homebrew on Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		found, _ := filepath.Glob(pattern) // fails on a malformed pattern only
		installed = append(installed, found...)
	}
	sortNewestFirst(installed)
	for _, dir := range append(candidates, installed...) {
		if isProgram(filepath.Join(dir, "initdb")) && isProgram(filepath.Join(dir, "postgres")) {
			return dir, nil
		}
	}
	return "",
		fmt.Errorf(
			"the server programs of PostgreSQL, initdb and postgres, are not installed: run scripts/ensure-postgres.sh, "+
				"or install the package postgresql (Debian, Ubuntu), postgresql-server (Fedora) or postgresql@17 (Homebrew); "+
				"%s=1 skips the tests that need them", skipVariable)
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

var versionInPath = regexp.MustCompile(`[0-9]+`)

// sortNewestFirst sorts directories by the last number in their path, which is the version. 17 comes before 15, and 15
// before 9.6.
func sortNewestFirst(dirs []string) {
	version := func(dir string) int {
		numbers := versionInPath.FindAllString(dir, -1)
		if len(numbers) == 0 {
			return 0
		}
		n, _ := strconv.Atoi(numbers[len(numbers)-1]) // a number that is too large is not a version
		return n
	}
	slices.SortStableFunc(dirs, func(a, b string) int { return cmp.Compare(version(b), version(a)) })
}
