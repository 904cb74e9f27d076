package server

import "testing"

func TestNegotiate(t *testing.T) {
	for accept, want := range map[string]answerForm{
		"": plainJSON, "*/*": plainJSON, "application/*": plainJSON, "application/json": plainJSON,
		"application/graphql-response+json":                                       responseJSON,
		"application/graphql-response+json; charset=utf-8, application/json;q=.9": responseJSON,
		"application/json, application/graphql-response+json":                     plainJSON,
		"application/json;q=0.5, application/graphql-response+json":               responseJSON,
		"text/event-stream":                         eventStream,
		"text/event-stream, multipart/mixed":        eventStream,
		"application/json, text/event-stream":       plainJSON,
		"application/json;q=0.1, text/event-stream": eventStream,
		"image/png, */*;q=0.1":                      plainJSON,
		"application/json;q=0, */*":                 responseJSON,
	} {
		if got, ok := negotiate([]string{accept}); !ok || got != want {
			t.Errorf("%q: got %v, %v, want %v", accept, got, ok, want)
		}
	}
	for _, accept := range []string{"image/png", "application/json;q=0", "text/html, multipart/mixed", "nonsense"} {
		if got, ok := negotiate([]string{accept}); ok {
			t.Errorf("%q: got %v", accept, got)
		}
	}
}
