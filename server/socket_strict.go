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

// The codes by which the protocol closes a socket on which a client has broken the rules.
const (
	closeBadMessage = 4400
	closeSameID     = 4409
)

// strictConn is a connection that closes with a code and a reason when a client breaks the protocol. gqlgen alone
// accepts the id of a running operation for another one, which nobody could end then, and ends a socket without a
// reason after an invalid message.
type strictConn struct {
	endOnce
	ids *operationIDs
}

// operationIDs are the ids of the operations that run on a socket.
type operationIDs struct {
	mu      sync.Mutex
	ended   *sync.Cond
	running map[string]bool // true once the client has asked to end the operation
	closed  bool
}

func newStrictConn(conn fullConn) strictConn {
	ids := &operationIDs{running: map[string]bool{}}
	ids.ended = sync.NewCond(&ids.mu)
	return strictConn{newEndOnce(conn), ids}
}

// clientMessage is a message that a client sends.
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

// shortened cuts an id for the reason of a close frame, which has at most 123 bytes.
func shortened(id string) string {
	const most = 60
	if len(id) > most {
		return id[:most] + "..."
	}
	return id
}

func (c strictConn) closeFor(code int, reason string) error {
	c.ids.close()
	_ = c.WriteClose(code, reason) // a client that has gone does not need the reason
	return transport.ErrWebsocketClosed
}

// WriteJSON is part of gqlgen's interface.
func (c strictConn) WriteJSON(v any) error {
	if kind := messageField(v, "Type"); kind == "complete" || kind == "error" {
		c.ids.end(messageField(v, "ID")) // before the client hears of it and uses the id again
	}
	return c.endOnce.WriteJSON(v)
}

// begin takes an id for an operation. It returns false if another operation uses the id. If the client has asked to end
// that operation, begin first waits until it has ended. It returns false if the socket closes in the meantime.
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
