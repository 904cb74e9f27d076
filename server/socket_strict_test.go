package server

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
)

// script is a connection whose client sends messages one after another.
type script struct {
	fullConn
	messages []string
}

func (s *script) NextReader() (int, io.Reader, error) {
	if len(s.messages) == 0 {
		return 0, nil, io.EOF
	}
	next := s.messages[0]
	s.messages = s.messages[1:]
	return 1, strings.NewReader(next), nil
}

func (*script) WriteJSON(any) error { return nil }

// gqlgen forgets an operation only after it has told the client of its end. If the client has used the id again by
// then, gqlgen would forget the new operation, and nobody could end that. So gqlgen must never see an id twice.
func TestGqlgenSeesNoIDTwice(t *testing.T) {
	t.Parallel()
	const subscribe = `{"id":"1","type":"subscribe","payload":{"query":"{ a }"}}`
	conn := newStrictConn(&script{messages: []string{subscribe, subscribe, `{"id":"1","type":"complete"}`}})
	seen := map[string]bool{}
	for _, kind := range []string{"subscribe", "subscribe", "complete"} {
		_, reader, err := conn.NextReader()
		if err != nil {
			t.Fatal(err)
		}
		var m struct{ ID, Type string }
		if err := json.NewDecoder(reader).Decode(&m); err != nil || m.Type != kind {
			t.Fatalf("gqlgen gets %+v, %v", m, err)
		}
		if seen[m.ID] != (kind == "complete") {
			t.Errorf("gqlgen gets a %s of %q", kind, m.ID)
		}
		if seen[m.ID] = true; kind == "subscribe" && len(seen) == 1 {
			ended := struct{ ID, Type string }{m.ID, "complete"}
			if err := conn.WriteJSON(&ended); err != nil || ended.ID != "1" {
				t.Errorf("the client hears of the end of %q, %v", ended.ID, err)
			}
		}
	}
}
