package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// events is a stream of server-sent events.
type events struct{ lines *bufio.Scanner }

type event struct {
	Event string
	State runState
}

func openStream(t *testing.T, url, run string) *events {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/graphql",
		strings.NewReader(watchRun(run)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "text/event-stream")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeBody(response) })
	if got := response.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/event-stream") {
		t.Fatalf("got %d, %s", response.StatusCode, got)
	}
	return &events{bufio.NewScanner(response.Body)}
}

func watchRun(run string) string {
	return fmt.Sprintf(
		`{"query": "subscription($id: ID!) { runProgress(id: $id) { status done total migrated quarantined } }", "variables": {"id": %q}}`, run)
}

// read returns the next event, false at the end of the stream.
func (s *events) read(t *testing.T) (event, bool) {
	t.Helper()
	var e event
	for s.lines.Scan() {
		name, value, _ := strings.Cut(s.lines.Text(), ":")
		value = strings.TrimSpace(value)
		switch {
		case name == "event":
			e.Event = value
		case name == "data" && value != "":
			var a answerOf[struct{ RunProgress runState }]
			if err := json.Unmarshal([]byte(value), &a); err != nil || a.Errors != nil {
				t.Fatalf("event %s: %v", value, err)
			}
			e.State = a.Data.RunProgress
		case s.lines.Text() == "" && e.Event != "":
			return e, true
		}
	}
	return e, false
}

func (s *events) next(t *testing.T) event {
	t.Helper()
	e, ok := s.read(t)
	if !ok {
		t.Fatalf("the stream has ended: %v", s.lines.Err())
	}
	return e
}

// socket is a WebSocket with one subscription.
type testSocket struct{ conn *websocket.Conn }

type message struct {
	ID      string `json:"id,omitempty"`
	Type    string `json:"type"`
	Payload any    `json:"payload,omitempty"`
}

func dial(t *testing.T, url string, o *websocket.DialOptions) (*websocket.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, strings.Replace(url, "http", "ws", 1)+"/graphql", o)
	return conn, err
}

func openSocket(t *testing.T, url, run string) *testSocket {
	t.Helper()
	conn, err := dial(t, url, &websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	s := &testSocket{conn}
	s.send(t, message{Type: "connection_init"})
	if m := s.next(t); m.Type != "connection_ack" {
		t.Fatalf("got %+v", m)
	}
	s.send(t, message{ID: "1", Type: "subscribe", Payload: json.RawMessage(watchRun(run))})
	return s
}

func (s *testSocket) send(t *testing.T, m message) {
	t.Helper()
	if err := wsjson.Write(t.Context(), s.conn, m); err != nil {
		t.Fatal(err)
	}
}

// next returns the next message that is not a ping or a pong.
func (s *testSocket) next(t *testing.T) message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		var m message
		if err := wsjson.Read(ctx, s.conn, &m); err != nil {
			t.Fatal(err)
		}
		if m.Type != "ping" && m.Type != "pong" {
			return m
		}
	}
}

func (s *testSocket) closeCode(t *testing.T) websocket.StatusCode {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		var m message
		if err := wsjson.Read(ctx, s.conn, &m); err != nil {
			return websocket.CloseStatus(err)
		}
		if m.Type == "complete" {
			t.Error("a subscription that the server has cut off claims to be complete")
		}
	}
}
