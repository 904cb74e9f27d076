package main

import (
	"compress/gzip"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"

	"github.com/alwaysup/coexist/console"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/resolvers"
)

// newRoutes returns the handler of all paths.
func newRoutes(db *database, logger *slog.Logger, streams *streams, access access) http.Handler {
	telemetry := newTelemetry()
	troubles := resolvers.NewTroubles(logger)
	telemetry.registry.MustRegister(v1Operations{db.control()}, storeFailures{db.control()}, unavailable{troubles})
	auth, playground := access.auth, console.Playground()
	mux := http.NewServeMux()
	mux.Handle("/graphql", guardHost(auth.open(), access.origins.guard(compress(auth.handler(newGraphQL(db.resolver, logger, telemetry, troubles, streams, access))))))
	mux.Handle("/playground", playground)
	mux.Handle("/playground/", playground)
	mux.Handle("GET /{$}", http.RedirectHandler("/playground", http.StatusFound)) // until there is a console
	mux.Handle("GET /schema.graphqls", access.origins.guard(compress(text(printSchema(loadSchema())))))
	mux.Handle("GET /healthz", text("ok\n"))
	mux.Handle("GET /readyz", readiness(db, troubles, logger))
	mux.Handle("GET /metrics", auth.handler(telemetry.handler()))
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
	_, _ = w.Write([]byte(content)) // a client that hangs up is none of our business
}

// readiness answers 200 when the database answers and knows the entities, else 503. With copies that cannot be stored the server
// is ready, since it answers reads; so it is where the database lets nobody write, or requests for an entity wait for its tables. What is wrong
// stands in the answer.
func readiness(db *database, troubles *resolvers.Troubles, logger *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
		defer cancel()
		if err := ready(ctx, db); err != nil {
			logger.WarnContext(ctx, "not ready", "error", err)
			writeText(w, http.StatusServiceUnavailable, "the database is unavailable\n")
			return
		}
		readOnly, err := db.ReadOnly(ctx)
		if err != nil {
			logger.WarnContext(ctx, "cannot tell whether the database is read-only", "error", err)
		}
		writeText(w, http.StatusOK, "ok\n"+degraded(db.control(), readOnly, troubles)+behind(ctx, db.control()))
	})
}

// degraded has a line for each thing that is wrong.
func degraded(control *repo.Control, readOnly bool, troubles *resolvers.Troubles) string {
	var lines strings.Builder
	if readOnly {
		lines.WriteString("degraded: the database is read-only for this server, so that nothing can be written\n")
	}
	for _, crowd := range control.Crowds() {
		fmt.Fprintf(&lines, "degraded: %d requests wait for tables of %s, the first for %.0f s\n", crowd.Waiting, crowd.Entity, crowd.Longest.Seconds())
	}
	for _, cause := range troubles.Recent() {
		fmt.Fprintf(&lines, "degraded: requests were UNAVAILABLE in the last minute, cause %s, see the log\n", cause)
	}
	for _, f := range control.StoreFailures() {
		if f.FailingSince != nil {
			fmt.Fprintf(&lines, "degraded: copies of %s cannot be stored since %s, see the log\n", f.Entity, f.FailingSince.UTC().Format(time.RFC3339))
		}
	}
	return lines.String()
}

func ready(ctx context.Context, db interface {
	Ping(context.Context) error
	control() *repo.Control
},
) error {
	if err := db.Ping(ctx); err != nil {
		return err
	}
	_, err := db.control().Migrations(ctx)
	return err
}

// behind has a line for each entity whose mapping is older here than the one in use.
func behind(ctx context.Context, control *repo.Control) string {
	entities, err := control.Behind(ctx)
	if err != nil {
		return ""
	}
	var lines strings.Builder
	for _, entity := range entities {
		fmt.Fprintf(&lines, "degraded: a newer version of the mapping of %s is in use than this server has: replace it\n", entity)
	}
	return lines.String()
}

// access says who may use the server, from where, and how much.
type access struct {
	auth    *authenticator
	origins origins
	clients *clients
}

// compress compresses answers of some size for clients that take that. Streams are sent as they come.
var compress = func() func(http.Handler) http.HandlerFunc {
	wrap, err := gzhttp.NewWrapper(gzhttp.MinSize(1400), gzhttp.CompressionLevel(gzip.BestSpeed), gzhttp.EnableZstd(false),
		gzhttp.ContentTypes([]string{"application/json", "application/graphql-response+json", "text/plain"}))
	if err != nil {
		panic(err) // only for options that make no sense
	}
	return wrap
}()

// guardHost refuses host names that are not loopback ones where everyone who reaches a loopback address is an operator: a page of
// another site may have had its own name point here.
func guardHost(open bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if open && !isLoopbackHost(r.Host) {
			refuse(w, http.StatusForbidden, codeForbidden, "without credentials this server answers only to loopback names, such as 127.0.0.1 and localhost")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopbackHost judges a Host header.
func isLoopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	return net.ParseIP(strings.Trim(host, "[]")).IsLoopback()
}
