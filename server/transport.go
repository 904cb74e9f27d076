package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/alwaysup/coexist/auth"
)

const (
	// operationTime is how long a query or a mutation may take.
	operationTime = time.Minute
	// transferTime is how long a client may take to send a body, or to receive an answer or an event.
	transferTime = 30 * time.Second
)

// httpTransport answers GraphQL over HTTP (https://graphql.github.io/graphql-over-http/draft/), in the form that the
// client prefers: application/json, application/graphql-response+json, or server-sent events. Only server-sent events
// can answer a subscription.
type httpTransport struct {
	streams *streams
	clients *clients
}

var _ graphql.Transport = httpTransport{}

// Supports is part of gqlgen's interface. This is the last transport, so Do itself refuses what it does not support.
func (httpTransport) Supports(*http.Request) bool { return true }

// Do is part of gqlgen's interface.
func (t httpTransport) Do(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor) {
	setHeaders(w.Header())
	who, known := auth.CallerOf(r.Context())
	if !known {
		refuseCaller(w, auth.ErrNoCredentials)
		return
	}
	client := t.clients.of(who.Client)
	if !client.rate.Allow() {
		refuseClient(w, errTooFast)
		return
	}
	place, err := client.begin(ast.Query) // or a mutation, which is known only once the request is read
	if err != nil {
		refuseClient(w, err)
		return
	}
	defer func() { place.Release(1) }()
	form, acceptable := negotiate(r.Header.Values("Accept"))
	if !acceptable {
		refuse(w, http.StatusNotAcceptable, CodeInput,
			"accept application/graphql-response+json, application/json or text/event-stream")
		return
	}
	params, refused := readParams(w, r)
	if refused != nil {
		refuse(w, refused.status, CodeInput, refused.message)
		return
	}
	params.Headers = r.Header
	operation, errs := exec.CreateOperationContext(r.Context(), params)
	ctx := graphql.WithOperationContext(r.Context(), operation)
	switch {
	case errs == nil && r.Method == http.MethodGet && operation.Operation.Operation == ast.Mutation:
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, CodeInput, "send mutations by POST")
	case form == eventStream:
		if errs == nil && operation.Operation.Operation == ast.Subscription {
			// It takes a place as a subscription, and gives back the one that it took as a query.
			subscription, err := client.begin(ast.Subscription)
			if err != nil {
				refuseClient(w, err)
				return
			}
			place.Release(1)
			place = subscription
		}
		t.stream(w, r, exec, operation, errs)
	case errs != nil:
		status := http.StatusOK // as clients of application/json expect
		if form == responseJSON {
			status = http.StatusBadRequest
		}
		response := exec.DispatchError(ctx, errs)
		writeJSON(w, form, status, refusal{response.Errors, response.Extensions})
	case operation.Operation.Operation == ast.Subscription:
		refuse(w, http.StatusBadRequest, CodeInput,
			"a subscription needs a stream: open a WebSocket with the subprotocol graphql-transport-ws, or send the header Accept: text/event-stream")
	default:
		ctx, cancel := context.WithTimeout(ctx, operationTime)
		defer cancel()
		writeJSON(w, form, http.StatusOK, answer(ctx, exec, operation))
	}
}

// answer executes a query or a mutation. It always returns a response.
func answer(ctx context.Context, exec graphql.GraphExecutor, operation *graphql.OperationContext) *graphql.Response {
	responses, ctx := exec.DispatchOperation(ctx, operation)
	if response := responses(ctx); response != nil {
		return response
	}
	// The time is over, or the client has gone.
	return exec.DispatchError(context.WithoutCancel(ctx), gqlerror.List{gqlerror.Wrap(ctx.Err())})
}

func setHeaders(h http.Header) {
	if !slices.Contains(h.Values("Vary"), "Accept") {
		h.Add("Vary", "Accept")
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
}

// badRequest says why a request cannot be read. The message never repeats parts of the request.
type badRequest struct {
	status  int
	message string
}

// readParams reads a request's parameters, or returns why it cannot.
func readParams(w http.ResponseWriter, r *http.Request) (*graphql.RawParams, *badRequest) {
	params := &graphql.RawParams{ReadTime: graphql.TraceTiming{Start: graphql.Now()}}
	var refused *badRequest
	switch r.Method {
	case http.MethodGet:
		refused = readURL(r.URL.RawQuery, params)
	case http.MethodPost:
		refused = readBody(w, r, params)
	default:
		w.Header().Set("Allow", "GET, POST")
		refused = &badRequest{http.StatusMethodNotAllowed, "use POST or GET"}
	}
	params.ReadTime.End = graphql.Now()
	if refused == nil && params.Query == "" && params.Extensions["persistedQuery"] == nil {
		message := "there is no query"
		if r.Header.Get("Upgrade") != "" {
			message = "a WebSocket must speak the subprotocol graphql-transport-ws"
		}
		refused = &badRequest{http.StatusBadRequest, message}
	}
	return params, refused
}

// limitBodyTime limits how long a client may take to send a body. readBody lifts the deadline once it has read the
// whole body. Otherwise the deadline stays, since Go's server reads the rest of the body before it sends the answer.
func limitBodyTime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			// A connection that does not support deadlines needs none.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(transferTime))
		}
		next.ServeHTTP(w, r)
	})
}

func readURL(query string, params *graphql.RawParams) *badRequest {
	values, err := url.ParseQuery(query)
	if err != nil {
		return &badRequest{http.StatusBadRequest, "the URL cannot be read"}
	}
	params.Query, params.OperationName = values.Get("query"), values.Get("operationName")
	for name, target := range map[string]*map[string]any{
		"variables":  &params.Variables,
		"extensions": &params.Extensions,
	} {
		if hasLoneSurrogate(values.Get(name)) {
			return &badRequest{http.StatusBadRequest, loneSurrogate}
		}
		if text := values.Get(name); text != "" && decodeJSON(text, target) != nil {
			return &badRequest{http.StatusBadRequest, name + " must be a JSON object"}
		}
	}
	return nil
}

func readBody(w http.ResponseWriter, r *http.Request, params *graphql.RawParams) *badRequest {
	mediaType, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := parameters["charset"]
	if err != nil || mediaType != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return &badRequest{http.StatusUnsupportedMediaType, "send Content-Type: application/json, in UTF-8"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err == nil {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // lifts the deadline of limitBodyTime
	}
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return &badRequest{http.StatusRequestEntityTooLarge, "the body is too large: at most 1 MiB is allowed"}
	}
	if err != nil || !utf8.Valid(body) {
		return &badRequest{http.StatusBadRequest, "the body cannot be read: send JSON in UTF-8"}
	}
	if hasLoneSurrogate(string(body)) {
		return &badRequest{http.StatusBadRequest, loneSurrogate}
	}
	var fields struct {
		Query         string         `json:"query"`
		OperationName string         `json:"operationName"`
		Variables     map[string]any `json:"variables"`
		Extensions    map[string]any `json:"extensions"`
	}
	if decodeJSON(string(body), &fields) != nil {
		return &badRequest{
			http.StatusBadRequest,
			"the body must be one JSON object, with query and operationName as strings, variables and extensions as objects",
		}
	}
	params.Query, params.OperationName, params.Variables, params.Extensions = fields.Query, fields.OperationName,
		fields.Variables, fields.Extensions
	return nil
}

// decodeJSON reads a text that holds exactly one JSON value. Numbers keep their digits.
func decodeJSON(text string, into any) error {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// refusal is the answer to a request that is not executed. It has no data.
type refusal struct {
	Errors     gqlerror.List  `json:"errors"`
	Extensions map[string]any `json:"extensions,omitempty"`
}

// refuse answers a request that is not a GraphQL request, or that is not allowed.
func refuse(w http.ResponseWriter, status int, code, message string) {
	setHeaders(w.Header())
	if status != http.StatusBadRequest {
		// The body may not have been read. Without this header Go's server would read it before it answers, at the
		// client's pace.
		w.Header().Set("Connection", "close")
	}
	// Clients read an answer of this type whatever its status is. Some throw away an answer of type application/json.
	writeJSON(w, responseJSON, status, refusal{Errors: gqlerror.List{{
		Message:    message,
		Extensions: map[string]any{"code": code},
	}}})
}

// marshal marshals an answer. The data of a response has been marshalled already, and json.Marshal would read all of it
// again.
func marshal(v any) ([]byte, error) {
	response, ok := v.(*graphql.Response)
	if !ok || len(response.Errors) > 0 || len(response.Data) == 0 || response.Label != "" || response.Path != nil ||
		response.HasNext != nil {
		return json.Marshal(v)
	}
	body := slices.Concat([]byte(`{"data":`), response.Data)
	if len(response.Extensions) > 0 {
		extensions, err := json.Marshal(response.Extensions)
		if err != nil {
			return nil, err
		}
		body = slices.Concat(body, []byte(`,"extensions":`), extensions)
	}
	return append(body, '}'), nil
}

func writeJSON(w http.ResponseWriter, form answerForm, status int, v any) {
	body, err := marshal(v)
	if err != nil { // cannot happen with what resolvers return
		status, body = http.StatusInternalServerError,
			[]byte(`{"errors":[{"message":"internal error","extensions":{"code":"INTERNAL"}}]}`)
	}
	w.Header().Set("Content-Type", form.mediaType()+"; charset=utf-8")
	// A client that hangs up, or that does not read, is not our problem.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(transferTime))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
