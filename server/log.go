package server

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"regexp"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/alwaysup/coexist/auth"
)

// requestIDHeader is the header with the id of a request, which all servers on its way can write to their logs.
const requestIDHeader = "X-Request-Id"

// requestID matches the ids that are taken from a client: those that cannot be misread in a log.
var requestID = regexp.MustCompile(`^[\w.:/+=@-]{1,128}$`)

type requestIDKey struct{}

// withRequestID gives each request an id: the one in its header if requestID matches that, else a new one. The answer
// has the id too.
func withRequestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(requestIDHeader)
		if !requestID.MatchString(id) {
			id = rand.Text()
		}
		w.Header().Set(requestIDHeader, id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
	})
}

// LogHandler returns a handler that adds the id of the request to each record that was logged with the request's
// context.
func LogHandler(next slog.Handler) slog.Handler { return requestLog{next} }

type requestLog struct{ slog.Handler }

// Handle is part of slog.Handler.
func (l requestLog) Handle(ctx context.Context, record slog.Record) error {
	if id, known := ctx.Value(requestIDKey{}).(string); known {
		record.AddAttrs(slog.String("request_id", id))
	}
	return l.Handler.Handle(ctx, record)
}

// WithAttrs is part of slog.Handler.
func (l requestLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestLog{l.Handler.WithAttrs(attrs)}
}

// WithGroup is part of slog.Handler.
func (l requestLog) WithGroup(name string) slog.Handler { return requestLog{l.Handler.WithGroup(name)} }

// operationLog is an extension that logs operations. It logs a mutation that only operators may send at level info, and
// everything else at level debug, for people who look for a fault. It logs neither documents nor variables, since they
// may hold private data.
type operationLog struct{ logger *slog.Logger }

// ExtensionName is part of gqlgen's interface.
func (operationLog) ExtensionName() string { return "OperationLog" }

// Validate is part of gqlgen's interface.
func (operationLog) Validate(graphql.ExecutableSchema) error { return nil }

// InterceptResponse logs an answer or, for a subscription, each event.
func (l operationLog) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	request := graphql.GetOperationContext(ctx)
	level := slog.LevelDebug
	if request.Operation != nil && request.Operation.Operation == ast.Mutation &&
		forOperators(request.Operation.SelectionSet) {
		level = slog.LevelInfo
	}
	if !l.logger.Enabled(ctx, level) {
		return next(ctx)
	}
	response := next(ctx)
	if response == nil {
		return nil
	}
	kind := "invalid"
	if request.Operation != nil {
		kind = string(request.Operation.Operation)
	}
	codes := []string{}
	for _, err := range response.Errors {
		code, _ := err.Extensions["code"].(string)
		codes = append(codes, code)
	}
	name := request.OperationName
	if name == "" && request.Operation != nil {
		name = request.Operation.Name
	}
	client, version := nameOfClient(ctx, request)
	l.logger.LogAttrs(ctx, level, "operation", slog.String("kind", kind), slog.String("name", name),
		slog.Any("fields", rootNames(request)),
		slog.String("actor", auth.IdentityOf(ctx).Name), slog.String("client", client),
		slog.String("client_version", version),
		slog.Duration("took", time.Since(request.Stats.OperationStart)), slog.Any("errors", codes))
	return response
}

// forOperators reports whether one of the fields needs the role operator. It looks into fragments, but not below the
// top.
func forOperators(set ast.SelectionSet) bool {
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			if s.Definition != nil && s.Definition.Directives.ForName("operator") != nil {
				return true
			}
		case *ast.InlineFragment:
			if forOperators(s.SelectionSet) {
				return true
			}
		case *ast.FragmentSpread:
			if s.Definition != nil && forOperators(s.Definition.SelectionSet) {
				return true
			}
		}
	}
	return false
}

// rootNames returns the names of the fields at the top of an operation, without those in fragments.
func rootNames(request *graphql.OperationContext) []string {
	names := []string{}
	if request.Operation == nil {
		return names
	}
	for _, selection := range request.Operation.SelectionSet {
		if f, isField := selection.(*ast.Field); isField {
			names = append(names, f.Name)
		}
	}
	return names
}
