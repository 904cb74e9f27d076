package repotest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// guard is a shell that owns a directory and the server in it. Its orders end when the process that gives them closes
// them, or dies for whatever reason. Then the guard stops the server and removes the directory. PostgreSQL refuses to
// run as root. So under root the guard and all its children run as another user.
type guard struct {
	dir     string
	cmd     *exec.Cmd
	orders  io.WriteCloser
	replies *bufio.Reader
	end     func() error // stops the server at once and removes the directory; later calls do nothing
}

// guardScript runs lines of shell. It answers each with its exit status and the server's process id. At the end it
// stops the server without a checkpoint. A killed postmaster leaves its pid file, which names its shared memory.
const guardScript = `
umask 077
server=0
clean() {
	exec >/dev/null 2>&1
	if [ "$server" -ne 0 ]; then
		kill -QUIT "$server"
		kill -TERM "$server" # for PgBouncer, which leaves QUIT ignored as a shell's background has it
		kill -CONT "$server"
		wait
		[ ! -f data/postmaster.pid ] || ipcrm -m "$(sed -n '7s/.* //p' data/postmaster.pid)"
	fi
	cd / && rm -rf "$dir" || exit 1
}
trap '' PIPE HUP INT TERM
dir=$(mktemp -d "$1/coexist-pg-XXXXXX") || exit
trap clean EXIT
cd "$dir" || exit
echo "$dir"
while IFS= read -r order; do
	eval "$order" </dev/null >>log 2>&1
	echo "$? $server"
done
`

// guards are the guards that have not ended.
var guards struct {
	sync.Mutex
	open map[*guard]struct{}
}

// endGuards ends all guards.
func endGuards() {
	guards.Lock()
	open := guards.open
	guards.open = nil
	guards.Unlock()
	for g := range open {
		if err := g.end(); err != nil {
			fmt.Fprintf(os.Stderr, "cannot remove a PostgreSQL cluster: %v\n", err)
		}
	}
}

// newGuard starts a guard with an empty directory.
func newGuard() (*guard, error) {
	g := new(guard)
	attributes := &syscall.SysProcAttr{Setsid: true} // so that Ctrl-C in the terminal does not reach the guard
	if os.Geteuid() == 0 {
		var err error
		if attributes.Credential, err = unprivileged(); err != nil {
			return nil, err
		}
	}
	parent, err := parentDir(attributes.Credential != nil)
	if err != nil {
		return nil, err
	}
	g.cmd = exec.Command("/bin/sh", "-c", guardScript, "coexist-pg-guard", parent)
	g.cmd.Dir = "/"
	g.cmd.SysProcAttr = attributes
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PG") {
			g.cmd.Env = append(g.cmd.Env, variable)
		}
	}
	if g.orders, err = g.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	replies, err := g.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	g.replies = bufio.NewReader(replies)
	if err := g.cmd.Start(); err != nil {
		return nil, err
	}
	g.end = sync.OnceValue(func() error {
		guards.Lock()
		delete(guards.open, g)
		guards.Unlock()
		return errors.Join(g.orders.Close(), g.cmd.Wait())
	})
	line, err := g.replies.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("cannot make a directory in %s: %w", parent, errors.Join(err, g.end()))
	}
	g.dir = strings.TrimSuffix(line, "\n")
	guards.Lock()
	defer guards.Unlock()
	if guards.open == nil {
		guards.open = make(map[*guard]struct{})
	}
	guards.open[g] = struct{}{}
	return g, nil
}

// do makes the guard run a line of shell in its directory, with the output in the log. It returns the process id of the
// server that was started last. If the order fails, the error includes what the order wrote to the log.
func (g *guard) do(order string) (server int, err error) {
	logStart := g.logSize()
	if _, err := fmt.Fprintln(g.orders, order); err != nil {
		return 0, err
	}
	line, err := g.replies.ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("the guard of %s has ended: %w", g.dir, err)
	}
	var status int
	if _, err := fmt.Sscan(line, &status, &server); err != nil {
		return 0, err
	}
	if status != 0 {
		return 0, fmt.Errorf("exit status %d:\n%s", status, g.logTail(logStart))
	}
	return server, nil
}

// logSize returns the size of the log in bytes.
func (g *guard) logSize() int64 {
	info, err := os.Stat(g.logFile())
	if err != nil {
		return 0 // nothing logged yet
	}
	return info.Size()
}

// logTail returns what was logged since the log had the size from, but only the last 8 KiB of that.
func (g *guard) logTail(from int64) string {
	const most = 8 << 10
	f, err := os.Open(g.logFile())
	if err != nil {
		return err.Error()
	}
	defer f.Close() //nolint:errcheck // it was only read
	from = max(from, g.logSize()-most)
	content, err := io.ReadAll(io.NewSectionReader(f, from, most))
	if err != nil {
		return err.Error()
	}
	return string(content)
}

func (g *guard) logFile() string { return filepath.Join(g.dir, "log") }

// quote quotes s as one word of shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// unprivileged returns the user that runs PostgreSQL if the tests run as root. The system has to know that user.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(uidErr, gidErr)
	}
	return nil, errors.New(
		"PostgreSQL does not run as root, and there is neither a user postgres nor nobody: run the tests as another user")
}

// parentDir returns a directory for clusters. It is short enough for the path of a socket in it. If others is set,
// other users may make directories in it. A test's own temporary directory is neither short nor open to others.
func parentDir(others bool) (string, error) {
	// This is the longest path of a socket that every system accepts. Linux would accept 107 bytes.
	const longest = 103 - len("/coexist-pg-123456/.s.PGSQL.5432")
	candidates := []string{filepath.Clean(os.TempDir()), "/tmp", "/var/tmp"}
	for _, dir := range candidates {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() || len(dir) > longest {
			continue
		}
		if !others || reachable(dir) {
			return dir, nil
		}
	}
	return "",
		fmt.Errorf(
			"no directory fit for a PostgreSQL cluster among %q: set TMPDIR to one with a short path that every user may write to", candidates)
}

// reachable reports whether every user may reach the directory and write to it.
func reachable(dir string) bool {
	for need := os.FileMode(0o003); ; need = 0o001 {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&need != need {
			return false
		}
		if filepath.Dir(dir) == dir {
			return true
		}
		dir = filepath.Dir(dir)
	}
}
