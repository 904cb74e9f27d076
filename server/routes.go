package server

import (
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/klauspost/compress/gzhttp"

	"github.com/alwaysup/coexist/playground"
	"github.com/alwaysup/coexist/repo"
)

// routes returns the handler of all paths.
func (s *Server) routes(schema graphql.ExecutableSchema) http.Handler {
	telemetry := newTelemetry()
	telemetry.registry.MustRegister(v1Operations{s.control}, storeFailures{s.control}, unavailableTotal{s.troubles})
	open, origins, playground := s.options.Auth.Open(), origins(s.options.Origins), playground.Handler()
	callers := func(next http.Handler) http.Handler { return guardCallers(s.options.Auth, next) }
	mux := http.NewServeMux()
	mux.Handle("/graphql", guardHost(open, origins.guard(compress(callers(s.graphQL(schema, telemetry))))))
	mux.Handle("/playground", playground)
	mux.Handle("/playground/", playground)
	mux.Handle("GET /{$}", http.RedirectHandler("/playground", http.StatusFound)) // until there is a console
	mux.Handle("GET /schema.graphqls", origins.guard(compress(text(PrintSchema(schema.Schema())))))
	mux.Handle("GET /healthz", text("ok\n"))
	mux.Handle("GET /readyz", http.HandlerFunc(s.readiness))
	mux.Handle("GET /metrics", callers(telemetry.handler()))
	return limitBodyTime(withRequestID(telemetry.count(mux)))
}

func text(content string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, content) })
}

func writeText(w http.ResponseWriter, status int, content string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(content)) // a client that hangs up is not our problem
}

// readiness answers 200 if the database answers and knows the entities, else 503. Reads work even if copies cannot be
// stored, if nobody can write to the database, or if requests wait for the tables of an entity. The server is ready
// then, and the answer says what is wrong.
func (s *Server) readiness(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	logger := s.options.Logger
	if err := s.ready(ctx); err != nil {
		logger.WarnContext(ctx, "not ready", "error", err)
		writeText(w, http.StatusServiceUnavailable, "the database is unavailable\n")
		return
	}
	readOnly, err := s.db.ReadOnly(ctx)
	if err != nil {
		logger.WarnContext(ctx, "cannot tell whether the database is read-only", "error", err)
	}
	writeText(w, http.StatusOK, "ok\n"+s.degraded(readOnly)+behind(ctx, s.control))
}

// degraded returns a line for each thing that is wrong.
func (s *Server) degraded(readOnly bool) string {
	var lines strings.Builder
	if readOnly {
		lines.WriteString("degraded: the database is read-only for this server, so that nothing can be written\n")
	}
	for _, crowd := range s.control.Crowds() {
		fmt.Fprintf(&lines, "degraded: %d requests wait for tables of %s, the first for %.0f s\n", crowd.Waiting,
			crowd.Entity, crowd.Longest.Seconds())
	}
	for _, cause := range s.troubles.recent() {
		fmt.Fprintf(&lines, "degraded: requests were UNAVAILABLE in the last minute, cause %s, see the log\n", cause)
	}
	for _, f := range s.control.StoreFailures() {
		if f.FailingSince != nil {
			fmt.Fprintf(&lines, "degraded: copies of %s cannot be stored since %s, see the log\n", f.Entity,
				f.FailingSince.UTC().Format(time.RFC3339))
		}
	}
	return lines.String()
}

func (s *Server) ready(ctx context.Context) error {
	if err := s.db.Ping(ctx); err != nil {
		return err
	}
	_, err := s.control.Migrations(ctx)
	return err
}

// behind returns a line for each entity whose mapping here is older than the one in use.
func behind(ctx context.Context, control *repo.Control) string {
	entities, err := control.Behind(ctx)
	if err != nil {
		return ""
	}
	var lines strings.Builder
	for _, entity := range entities {
		fmt.Fprintf(&lines,
			"degraded: a newer version of the mapping of %s is in use than this server has: replace it\n", entity)
	}
	return lines.String()
}

// compress compresses answers above a minimum size for clients that accept gzip. It leaves streams alone, so that their
// events are sent at once.
var compress = func() func(http.Handler) http.HandlerFunc {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(1400), gzhttp.CompressionLevel(gzip.BestSpeed),
		gzhttp.EnableZstd(false),
		gzhttp.ContentTypes([]string{"application/json", "application/graphql-response+json", "text/plain"}))
	if err != nil {
		panic(err) // only for options that make no sense
	}
	return wrap
}()
