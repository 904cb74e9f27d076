package server

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"sync"

	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// The codes by which the protocol closes a socket for what a client sends.
const (
	closeBadMessage = 4400
	closeSameID     = 4409
)

// strictConn is a connection on which a client keeps to the protocol, or is told so by a close frame: gqlgen takes an
// id that is in use for another operation, whose streams nobody could end then, and ends a socket without a word for
// what is no message.
type strictConn struct {
	endOnce
	ids *operationIDs
}

// operationIDs are those of the operations that run on a socket.
type operationIDs struct {
	mu      sync.Mutex
	ended   *sync.Cond
	running map[string]bool // true once the client has ended it
	closed  bool
}

func newStrictConn(conn fullConn) strictConn {
	ids := &operationIDs{running: map[string]bool{}}
	ids.ended = sync.NewCond(&ids.mu)
	return strictConn{newEndOnce(conn), ids}
}

// clientMessage is what a client sends.
type clientMessage struct {
	ID      *string         `json:"id"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload"`
}

var clientMessages = []string{"connection_init", "subscribe", "complete", "ping", "pong"}

// NextReader is part of gqlgen's interface.
func (c strictConn) NextReader() (int, io.Reader, error) {
	for {
		kind, reader, err := c.endOnce.NextReader()
		if err != nil {
			return kind, reader, err
		}
		text, err := io.ReadAll(reader)
		if err != nil {
			return kind, nil, err
		}
		var m clientMessage
		ofOperation := func() bool { return m.Type == "subscribe" || m.Type == "complete" }
		if json.Unmarshal(text, &m) != nil || !slices.Contains(clientMessages, m.Type) || ofOperation() && m.ID == nil {
			return kind, nil, c.closeFor(closeBadMessage, "Invalid message")
		}
		switch {
		case m.Type == "complete":
			c.ids.completed(*m.ID)
		case m.Type == "subscribe" && !c.ids.begin(*m.ID):
			return kind, nil, c.closeFor(closeSameID, "Subscriber for "+shortened(*m.ID)+" already exists")
		case m.Type == "subscribe" && hasLoneSurrogate(string(m.Payload)):
			c.ids.end(*m.ID)
			refusal := map[string]any{
				"id": *m.ID, "type": "error",
				"payload": gqlerror.List{{Message: loneSurrogate, Extensions: map[string]any{"code": CodeInput}}},
			}
			if err := c.fullConn.WriteJSON(refusal); err != nil {
				return kind, nil, err
			}
			continue
		}
		return kind, bytes.NewReader(text), nil
	}
}

// shortened is an id in a close frame, whose reason has 123 bytes at most.
func shortened(id string) string {
	const most = 60
	if len(id) > most {
		return id[:most] + "..."
	}
	return id
}

func (c strictConn) closeFor(code int, reason string) error {
	c.ids.close()
	_ = c.WriteClose(code, reason) // a client that has gone needs no reason
	return transport.ErrWebsocketClosed
}

// WriteJSON is part of gqlgen's interface.
func (c strictConn) WriteJSON(v any) error {
	if kind := messageField(v, "Type"); kind == "complete" || kind == "error" {
		c.ids.end(messageField(v, "ID")) // before the client hears of it, and takes the id for another operation
	}
	return c.endOnce.WriteJSON(v)
}

// begin takes an id for an operation. It returns false where it is in use; where its client has ended that, it waits
// until it has ended.
func (o *operationIDs) begin(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		completed, running := o.running[id]
		switch {
		case !running:
			o.running[id] = false
			return true
		case !completed || o.closed:
			return false
		}
		o.ended.Wait()
	}
}

func (o *operationIDs) completed(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, running := o.running[id]; running {
		o.running[id] = true
	}
}

func (o *operationIDs) end(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.running, id)
	o.ended.Broadcast()
}

func (o *operationIDs) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.ended.Broadcast()
}
