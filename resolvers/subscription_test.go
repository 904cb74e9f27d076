package resolvers_test

import (
	"encoding/json"
	"strings"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// subscription is one that is open.
type subscription struct {
	s    *server
	conn *websocket.Conn
}

type message struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

// subscribe opens a subscription over graphql-transport-ws.
func (s *server) subscribe(query string, v vars) *subscription {
	s.t.Helper()
	conn, response, err := websocket.Dial(s.t.Context(), strings.Replace(s.http.URL, "http", "ws", 1)+"/graphql",
		&websocket.DialOptions{Subprotocols: []string{"graphql-transport-ws"}})
	if err != nil {
		s.t.Fatal(err)
	}
	if response.Body != nil {
		_ = response.Body.Close() // there is none after a switch of protocols
	}
	s.t.Cleanup(func() { _ = conn.CloseNow() })
	sub := &subscription{s, conn}
	sub.send(message{Type: "connection_init"})
	if m := sub.receive(); m.Type != "connection_ack" {
		s.t.Fatalf("got %s, want connection_ack", m.Type)
	}
	payload, err := json.Marshal(map[string]any{"query": query, "variables": v})
	if err != nil {
		s.t.Fatal(err)
	}
	sub.send(message{ID: "1", Type: "subscribe", Payload: payload})
	return sub
}

func (u *subscription) send(m message) {
	u.s.t.Helper()
	if err := wsjson.Write(u.s.t.Context(), u.conn, m); err != nil {
		u.s.t.Fatal(err)
	}
}

// receive returns the next message, and answers those that ask whether the client is alive.
func (u *subscription) receive() message {
	u.s.t.Helper()
	for {
		var m message
		if err := wsjson.Read(u.s.t.Context(), u.conn, &m); err != nil {
			u.s.t.Fatal(err)
		}
		if m.Type != "ping" {
			return m
		}
		u.send(message{Type: "pong"})
	}
}

// next waits for the next answer; false once the subscription is complete.
func (u *subscription) next() (answer, bool) {
	u.s.t.Helper()
	a := answer{t: u.s.t}
	switch m := u.receive(); m.Type {
	case "next":
		if err := json.Unmarshal(m.Payload, &a); err != nil {
			u.s.t.Fatal(err)
		}
		return a, true
	case "error":
		if err := json.Unmarshal(m.Payload, &a.Errors); err != nil {
			u.s.t.Fatal(err)
		}
		return a, true
	case "complete":
		return a, false
	default:
		u.s.t.Fatalf("got a message of type %s", m.Type)
		return a, false
	}
}
