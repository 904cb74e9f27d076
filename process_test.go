package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo/repotest"
)

// asProgram makes the test binary behave as the program, so that the tests run the real one.
const asProgram = "COEXIST_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
	}
	repotest.Main(m)
}

const patience = 90 * time.Second

// eventually polls until check is true.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !check() {
		select {
		case <-deadline:
			t.Fatalf("waited %v for %s", patience, what)
		case <-tick.C:
		}
	}
}

// program is a process of ours.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	dir    string
	url    string
	urls   chan string
	mu     sync.Mutex
	log    bytes.Buffer
	stdout bytes.Buffer
	read   chan struct{} // closed when the log has ended
}

// launch starts a process, and waits until it serves if that is what it is for.
func launch(t *testing.T, dir string, args ...string) *program {
	t.Helper()
	p := start(t, dir, args...)
	if strings.HasPrefix(args[0], "serve") {
		p.awaitURL()
	}
	return p
}

// start starts a process.
func start(t *testing.T, dir string, args ...string) *program {
	t.Helper()
	p := &program{
		t: t, dir: dir, cmd: exec.Command(os.Args[0], args...), read: make(chan struct{}),
		urls: make(chan string, 1),
	}
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), asProgram+"=1", "DATABASE_URL=", "COEXIST_LOG_FORMAT=json",
		"GORACE=atexit_sleep_ms=0") // the race detector would hold each exit up for a second
	p.cmd.Stdout = &p.stdout
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.follow(stderr)
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("coexist %s:\n%s", strings.Join(args, " "), p.text())
		}
	})
	return p
}

// awaitURL waits until the process serves, or has ended.
func (p *program) awaitURL() {
	p.t.Helper()
	select {
	case p.url = <-p.urls:
	case <-p.read:
	case <-time.After(patience):
		p.t.Fatal("the server has not said that it serves")
	}
}

// follow keeps the log, and looks for the server's address in it.
func (p *program) follow(stderr io.Reader) {
	defer close(p.read)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		p.mu.Lock()
		p.log.WriteString(lines.Text() + "\n")
		p.mu.Unlock()
		var entry struct{ URL string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.URL != "" {
			p.urls <- entry.URL
		}
	}
}

func (p *program) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// serve starts a server and waits until it serves.
func serve(t *testing.T, dir string, args ...string) *program {
	t.Helper()
	p := launch(t, dir, append([]string{"serve", "--addr", "127.0.0.1:0"}, args...)...)
	if p.url == "" {
		t.Fatalf("the server has ended: %s", p.text())
	}
	return p
}

// wait returns the exit status.
func (p *program) wait() int {
	p.t.Helper()
	select {
	case <-p.read:
	case <-time.After(patience):
		p.t.Fatal("the process does not end")
	}
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

func (p *program) stop(signal syscall.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatal(err)
	}
	return p.wait()
}

// execute runs a command to its end, and returns its standard output.
func execute(t *testing.T, dir string, args ...string) string {
	t.Helper()
	p := launch(t, dir, args...)
	if status := p.wait(); status != 0 {
		t.Fatalf("coexist %s exits %d: %s", strings.Join(args, " "), status, p.text())
	}
	return p.stdout.String()
}

// answerOf is a GraphQL answer.
type answerOf[T any] struct {
	Data   T
	Errors []struct {
		Message    string
		Path       []any
		Extensions struct{ Code, Run, Cause string }
	}
}

func (a answerOf[T]) code() string {
	if len(a.Errors) == 0 {
		return ""
	}
	return a.Errors[0].Extensions.Code
}

// ask posts a query.
func ask[T any](t *testing.T, url, query string) answerOf[T] {
	t.Helper()
	var a answerOf[T]
	if err := json.Unmarshal([]byte(rawAnswer(t, url, query)), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// must is ask, and fails on errors.
func must[T any](t *testing.T, url, query string) T {
	t.Helper()
	a := ask[T](t, url, query)
	if a.Errors != nil {
		t.Fatalf("%s: %+v", query, a.Errors)
	}
	return a.Data
}

func status(t *testing.T, url string) int {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	closeBody(response)
	return response.StatusCode
}

// closeBody lets go of an answer that was read.
func closeBody(response *http.Response) { _ = response.Body.Close() }
