package main

import (
	"testing"

	"github.com/alwaysup/coexist/repo/repotest"
)

// An operation that is refused ends with its error: no message about it follows, and the socket goes on.
func TestARefusedOperationEndsOnce(t *testing.T) {
	t.Parallel()
	server := newTestServer(t, repotest.SQLite(t))
	socket := openSocket(t, server.URL, "bm8=")
	for m := socket.next(t); m.Type != "complete"; m = socket.next(t) {
		if m.ID != "1" || m.Type != "next" {
			t.Fatalf("got %+v", m)
		}
	}
	type step struct{ id, query, want string }
	for _, s := range []step{
		{"2", "{ nothing }", "error"},
		{"3", "{ __typename }", "next complete"},
		{"2", "{ __typename }", "next complete"}, // the id is free again
		{"2", "{ nothing }", "error"},
		{"2", "{ nothing }", "error"},
		{"4", "{ __typename }", "next complete"},
	} {
		socket.send(t, message{ID: s.id, Type: "subscribe", Payload: map[string]string{"query": s.query}})
		got := ""
		for got != s.want {
			m := socket.next(t)
			if got != "" {
				got += " "
			}
			got += m.Type
			if m.ID != s.id || len(got) > len(s.want) {
				t.Fatalf("%+v: got %s, last %+v", s, got, m)
			}
		}
	}
}
