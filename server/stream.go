package server

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/alwaysup/coexist/auth"
)

// streams are the answers that end only when somebody ends them: subscriptions and sockets.
type streams struct {
	ctx  context.Context
	stop context.CancelFunc // ends all streams, and admits no more
	mu   sync.Mutex
	open int
	none chan struct{} // closed once stop was called and no stream is left
}

func newStreams() *streams {
	s := &streams{none: make(chan struct{})}
	s.ctx, s.stop = context.WithCancel(context.Background())
	context.AfterFunc(s.ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.closeIfNone()
	})
	return s
}

// join adds a stream. It returns a context for the stream, which ends with ctx and with stop, and a function to call at
// the stream's end. It returns false after stop.
func (s *streams) join(ctx context.Context) (context.Context, func(), bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil, nil, false
	}
	s.open++
	ctx, cancel := context.WithCancel(ctx)
	unlink := context.AfterFunc(s.ctx, cancel)
	return ctx, func() {
		unlink()
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open--
		s.closeIfNone()
	}, true
}

func (s *streams) closeIfNone() {
	if s.open > 0 || s.ctx.Err() == nil {
		return
	}
	select {
	case <-s.none:
	default:
		close(s.none)
	}
}

// wait returns nil once all streams have ended after stop, or ctx's error.
func (s *streams) wait(ctx context.Context) error {
	select {
	case <-s.none:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// heartbeat is how often a stream without events shows the client, and proxies on the way, that it is alive.
const heartbeat = 15 * time.Second

// stream answers by server-sent events, in the "distinct connections mode" of https://github.com/enisdenjo/graphql-sse.
// A stream that ends because the server stops, or because the caller's credentials have ended, sends no event
// "complete", so that clients connect again.
func (t httpTransport) stream(w http.ResponseWriter, r *http.Request, exec graphql.GraphExecutor,
	operation *graphql.OperationContext, errs gqlerror.List,
) {
	ctx, leave, ok := t.streams.join(graphql.WithOperationContext(r.Context(), operation))
	if !ok {
		refuse(w, http.StatusServiceUnavailable, CodeUnavailable, "the server is stopping")
		return
	}
	defer leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy that buffers events would delay them
	events := &eventWriter{w: w, control: http.NewResponseController(w), failed: cancel}
	events.write(":\n\n")
	// Deferred calls run in reverse order: the context ends first, and then the goroutines that watch it.
	var beating sync.WaitGroup
	defer beating.Wait()
	defer cancel()
	beating.Go(func() { events.beat(ctx) })
	if who, known := auth.CallerOf(ctx); known {
		beating.Go(func() { who.Watch(ctx, cancel) })
	}
	switch {
	case errs != nil:
		events.next(exec.DispatchError(ctx, errs))
	case operation.Operation.Operation != ast.Subscription:
		limited, cancel := context.WithTimeout(ctx, operationTime)
		events.next(answer(limited, exec, operation))
		cancel()
	default:
		responses, ctx := exec.DispatchOperation(ctx, operation)
		for response := responses(ctx); response != nil; response = responses(ctx) {
			events.next(response)
		}
	}
	if ctx.Err() == nil {
		events.write("event: complete\ndata:\n\n")
	}
}

// eventWriter writes events. It is safe for concurrent use.
type eventWriter struct {
	mu      sync.Mutex
	w       io.Writer
	control *http.ResponseController
	failed  func() // called if an event cannot be sent
}

func (e *eventWriter) next(response *graphql.Response) {
	data, err := json.Marshal(response)
	if err != nil { // cannot happen with what resolvers return
		e.failed()
		return
	}
	e.write("event: next\ndata: " + string(data) + "\n\n")
}

func (e *eventWriter) write(event string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.control.SetWriteDeadline(time.Now().Add(transferTime)) // a connection without deadlines needs none
	if _, err := io.WriteString(e.w, event); err != nil || e.control.Flush() != nil {
		e.failed()
	}
}

func (e *eventWriter) beat(ctx context.Context) {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			e.write(":\n\n")
		}
	}
}
