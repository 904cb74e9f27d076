package soak

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a server: this test binary, run again.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	ended chan struct{} // closed when it has
	log   logTail

	mu      sync.Mutex
	next    int
	waiting map[int]chan reply
	killed  bool
}

// startProcess returns once the process serves.
func startProcess(d database) (*process, error) {
	p := &process{cmd: exec.Command(os.Args[0]), ended: make(chan struct{}), waiting: map[int]chan reply{}}
	p.cmd.Env = append(os.Environ(), workerURL+"="+d.way, "GORACE=atexit_sleep_ms=0 halt_on_error=1")
	if d.pooled {
		p.cmd.Env = append(p.cmd.Env, workerPooler+"=1")
	}
	p.cmd.Stderr = &p.log
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	ready := make(chan reply, 1)
	p.waiting[0] = ready
	p.next = 1
	go p.listen(out)
	select {
	case <-ready:
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("a process does not start: %s", p.log.String())
	case <-time.After(time.Minute):
		p.kill()
		return nil, fmt.Errorf("a process has not started within a minute: %s", p.log.String())
	}
}

func (p *process) listen(out io.Reader) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r reply
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			continue // a line that kill -9 has cut off
		}
		p.mu.Lock()
		answer := p.waiting[r.ID]
		delete(p.waiting, r.ID)
		p.mu.Unlock()
		if answer != nil {
			answer <- r
		}
	}
	_ = p.cmd.Wait() // how it ended is looked at in fault
	close(p.ended)
}

// do sends a command and waits for the reply, which is unknown where the process ends first.
func (p *process) do(c command) reply {
	answer := make(chan reply, 1)
	p.mu.Lock()
	c.ID = p.next
	p.next++
	p.waiting[c.ID] = answer
	line, err := json.Marshal(c)
	if err == nil {
		_, err = p.in.Write(append(line, '\n'))
	}
	p.mu.Unlock()
	if err != nil {
		<-p.ended
		return reply{Code: unknown, Detail: "the process has ended"}
	}
	select {
	case r := <-answer:
		return r
	case <-p.ended:
	case <-time.After(2 * time.Minute):
		return reply{Code: internal, Detail: "a process has not answered for two minutes: " + p.log.String()}
	}
	select {
	case r := <-answer:
		return r
	default:
		return reply{Code: unknown, Detail: "the process has ended"}
	}
}

// kill is kill -9. It returns when the process is gone.
func (p *process) kill() {
	p.mu.Lock()
	p.killed = true
	p.mu.Unlock()
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.ended
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// stop lets the process end by itself.
func (p *process) stop() {
	p.mu.Lock()
	p.killed = true
	_ = p.in.Close()
	p.mu.Unlock()
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		p.kill()
	}
}

// fault says what is wrong with a process that nobody has killed and that has ended all the same, or that has logged a
// race.
func (p *process) fault() error {
	log := p.log.String()
	if strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic:") {
		return errors.New(log)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.ended:
		if !p.killed {
			return fmt.Errorf("a process has ended by itself (%s): %s", p.cmd.ProcessState, log)
		}
	default:
	}
	return nil
}

// logTail keeps the end of what is written to it.
type logTail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logTail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buf.Len() > 64<<10 {
		l.buf.Next(32 << 10)
	}
	return l.buf.Write(b)
}

func (l *logTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// fleet is the processes over one database. A place whose process was killed is empty until the next one serves.
type fleet struct {
	database database
	places   []*place
}

type place struct {
	mu      sync.RWMutex // held for writing while the place is empty
	process *process
}

func startFleet(d database) (*fleet, error) {
	f := &fleet{database: d}
	for range d.processes {
		p, err := startProcess(d) // one after another: the first one creates the tables
		if err != nil {
			return nil, errors.Join(err, f.stop())
		}
		f.places = append(f.places, &place{process: p})
	}
	return f, nil
}

// do sends a command to the process in a place, and waits for one where there is none.
func (f *fleet) do(i int, c command) reply {
	f.places[i].mu.RLock()
	p := f.places[i].process
	f.places[i].mu.RUnlock()
	return p.do(c)
}

// killAndRestart replaces the process in a place after a while.
func (f *fleet) killAndRestart(i int, after time.Duration) error {
	place := f.places[i]
	place.mu.Lock()
	defer place.mu.Unlock()
	fault := place.process.fault()
	place.process.kill()
	time.Sleep(after) // a server is away for a while
	for range 5 {     // on a machine that has much to do, or while the database is down
		p, err := startProcess(f.database)
		if err == nil {
			place.process = p
			return fault
		}
		fault = errors.Join(fault, err)
	}
	return fault
}

// stopAndContinue makes the process in a place a slow one.
func (f *fleet) stopAndContinue(i int, d time.Duration) {
	place := f.places[i]
	place.mu.RLock()
	p := place.process
	place.mu.RUnlock()
	p.signal(syscall.SIGSTOP)
	time.Sleep(d)
	p.signal(syscall.SIGCONT)
}

// faults are those of the processes that should serve now.
func (f *fleet) faults() error {
	var all []error
	for _, place := range f.places {
		place.mu.RLock()
		all = append(all, place.process.fault())
		place.mu.RUnlock()
	}
	return errors.Join(all...)
}

func (f *fleet) stop() error {
	err := f.faults()
	for _, place := range f.places {
		place.process.stop()
	}
	return err
}
