package server

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
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

// operationIDs are the ids of the operations that run on a socket. gqlgen knows an operation by an id that is never
// used again: it forgets an operation only after it has told the client of its end, when the client may already use the
// id for another one, and would forget that one instead.
type operationIDs struct {
	mu      sync.Mutex
	ended   *sync.Cond
	running map[string]bool   // true once the client has asked to end the operation
	number  int               // of the operations so far
	inner   map[string]string // the ids by which gqlgen knows what runs, by the client's
	closed  bool
}

func newStrictConn(conn fullConn) strictConn {
	ids := &operationIDs{running: map[string]bool{}, inner: map[string]string{}}
	ids.ended = sync.NewCond(&ids.mu)
	return strictConn{newEndOnce(conn), ids}
}

// clientMessage is a message that a client sends.
type clientMessage struct {
	ID      *string         `json:"id"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
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
		case m.Type == "complete" && !c.ids.completed(*m.ID):
			continue // nothing runs that could end
		case m.Type == "subscribe" && !c.ids.begin(*m.ID):
			return kind, nil, c.closeFor(closeSameID, "Subscriber for "+shortened(*m.ID)+" already exists")
		case m.Type == "subscribe" && hasLoneSurrogate(string(m.Payload)):
			c.ids.end(c.ids.innerID(*m.ID))
			refusal := map[string]any{
				"id": *m.ID, "type": "error",
				"payload": gqlerror.List{{Message: loneSurrogate, Extensions: map[string]any{"code": CodeInput}}},
			}
			if err := c.fullConn.WriteJSON(refusal); err != nil {
				return kind, nil, err
			}
			continue
		}
		if ofOperation() {
			inner := c.ids.innerID(*m.ID)
			m.ID = &inner
			if text, err = json.Marshal(m); err != nil {
				return kind, nil, err
			}
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
			o.number++
			o.inner[id] = strconv.Itoa(o.number) + " " + id
			return true
		case !completed || o.closed:
			return false
		}
		o.ended.Wait()
	}
}

// innerID is the id by which gqlgen knows the running operation with a client's id.
func (o *operationIDs) innerID(id string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.inner[id]
}

// clientID is the client's id of the operation that gqlgen knows by an id.
func clientID(inner string) string {
	_, id, _ := strings.Cut(inner, " ")
	return id
}

// completed notes that the client has asked to end an operation. It returns false if no operation has the id.
func (o *operationIDs) completed(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, running := o.running[id]
	if running {
		o.running[id] = true
	}
	return running
}

// end frees the client's id of the operation that gqlgen knows by an id, unless another operation has it by now.
func (o *operationIDs) end(inner string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	id := clientID(inner)
	if o.inner[id] != inner {
		return
	}
	delete(o.running, id)
	delete(o.inner, id)
	o.ended.Broadcast()
}

func (o *operationIDs) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.ended.Broadcast()
}
