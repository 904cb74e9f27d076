package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// raw speaks HTTP by hand, and reads the answer; none is the status 0.
// transferTime is how long a client may take to send a body.
const transferTime = 30 * time.Second

func (v *victim) raw(text string) outcome {
	v.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(v.url, "http://"))
	if err != nil {
		v.t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // nothing is lost with it
	_ = conn.SetDeadline(time.Now().Add(3 * transferTime))
	if _, err := io.WriteString(conn, text); err != nil {
		return outcome{}
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return outcome{}
	}
	defer closeBody(response)
	return v.read(response)
}

// socket opens a socket, says what it is told to, and returns with which code the socket is closed, or the code of the
// first error.
func (v *victim) socket(origin string, say ...message) outcome {
	v.t.Helper()
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	conn, response, err := websocket.Dial(v.t.Context(), strings.Replace(v.url, "http", "ws", 1)+"/graphql",
		&websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}, HTTPHeader: header})
	if err != nil {
		return v.read(response)
	}
	defer conn.CloseNow() //nolint:errcheck // nothing is lost with it
	for _, m := range say {
		if err := wsjson.Write(v.t.Context(), conn, m); err != nil {
			break // the socket is closed, and why can be read
		}
	}
	ctx, cancel := context.WithTimeout(v.t.Context(), 3*transferTime)
	defer cancel()
	for {
		_, data, err := conn.Read(ctx)
		if err != nil {
			return outcome{max(0, int(websocket.CloseStatus(err))), ""}
		}
		var m struct {
			Payload answerOf[any]
		}
		if json.Unmarshal(data, &m) == nil && m.Payload.code() != "" {
			return outcome{0, m.Payload.code()}
		}
	}
}

func initialise(token string) message {
	return message{Type: "connection_init", Payload: map[string]string{"Authorization": "Bearer " + token}}
}

func subscribe(id int, query string) message {
	return message{ID: fmt.Sprint(id), Type: "subscribe", Payload: map[string]string{"query": query}}
}

// flood does the same in several connections until something else comes than at first.
func (v *victim) flood(n int, one func() outcome) outcome {
	first := one()
	var mu sync.Mutex
	other := first
	var busy sync.WaitGroup
	for range 8 {
		busy.Go(func() {
			for range n / 8 {
				got := one()
				mu.Lock()
				if got != first {
					other = got
				}
				done := other != first
				mu.Unlock()
				if done {
					return
				}
			}
		})
	}
	busy.Wait()
	return other
}

// holdSockets opens sockets until one is refused.
func (v *victim) holdSockets(n int) outcome {
	for range n {
		conn, response, err := websocket.Dial(v.t.Context(), strings.Replace(v.url, "http", "ws", 1)+"/graphql",
			&websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
		if err != nil {
			return v.read(response)
		}
		defer conn.CloseNow() //nolint:errcheck // nothing is lost with it
	}
	return outcome{}
}

func subscriptions(n int) []message {
	all := []message{}
	for i := range n {
		all = append(all, subscribe(i, "subscription { migrationProgress(entity: CUSTOMER) { phase } }"))
	}
	return all
}

func repeatf(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}
