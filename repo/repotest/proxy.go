package repotest

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// Proxy passes on what clients and a PostgreSQL server say to each other, until it has to cut a connection.
type Proxy struct {
	// URL is the URL of the database through the proxy.
	URL string

	t      testing.TB
	cut    chan struct{} // gets a value for each connection that was cut
	server string
	next   atomic.Int32 // what to do at the next COMMIT
}

const (
	passOn int32 = iota
	cutAfterCommit
	cutBeforeCommit
)

// NewProxy starts a proxy in front of a database on PostgreSQL. It ends with the test.
func NewProxy(t testing.TB, database string) *Proxy {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	socket := ".s.PGSQL." + q.Get("port")
	p := &Proxy{t: t, cut: make(chan struct{}, 100), server: filepath.Join(q.Get("host"), socket)}
	dir, err := os.MkdirTemp("/tmp", "coexist-proxy-") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	p.URL = u.String()
	listener, err := net.Listen("unix", filepath.Join(dir, socket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return p
}

// CutNextCommit cuts the connection on which the next COMMIT comes. If committed is set, the proxy cuts it after the
// server has committed, before the client hears of that. Otherwise the server never gets the COMMIT.
func (p *Proxy) CutNextCommit(committed bool) {
	if committed {
		p.next.Store(cutAfterCommit)
	} else {
		p.next.Store(cutBeforeCommit)
	}
}

// AwaitCut waits until a connection has been cut. It ends the test if that takes more than 90 seconds.
func (p *Proxy) AwaitCut() {
	p.t.Helper()
	select {
	case <-p.cut:
	case <-time.After(patience):
		p.t.Fatal("no COMMIT has come")
	}
}

func (p *Proxy) serve(client net.Conn) {
	defer client.Close() //nolint:errcheck // it is cut
	server, err := net.Dial("unix", p.server)
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // it is cut
	var muted atomic.Bool
	answered := make(chan struct{}, 1)
	go func() {
		defer client.Close() //nolint:errcheck // it is cut
		buffer := make([]byte, 1<<16)
		for {
			n, err := server.Read(buffer)
			switch {
			case err != nil:
				return
			case muted.Load():
				answered <- struct{}{}
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	}()
	from := bufio.NewReader(client)
	for first := true; ; first = false {
		message, err := readMessage(from, first)
		if err != nil {
			return
		}
		if string(message) == "Q\x00\x00\x00\x0bCOMMIT\x00" {
			switch p.next.Swap(passOn) {
			case cutBeforeCommit:
				p.cut <- struct{}{}
				return
			case cutAfterCommit:
				muted.Store(true)
				if _, err := server.Write(message); err == nil {
					<-answered
				}
				p.cut <- struct{}{}
				return
			}
		}
		if _, err := server.Write(message); err != nil {
			return
		}
	}
}

// readMessage reads a message of PostgreSQL's frontend protocol
// (https://www.postgresql.org/docs/current/protocol-message-formats.html). The first message has no type.
func readMessage(from *bufio.Reader, first bool) ([]byte, error) {
	typed := 1
	if first {
		typed = 0
	}
	head, err := from.Peek(typed + 4)
	if err != nil {
		return nil, err
	}
	message := make([]byte, typed+int(binary.BigEndian.Uint32(head[typed:])))
	_, err = io.ReadFull(from, message)
	return message, err
}
