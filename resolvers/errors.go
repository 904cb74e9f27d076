package resolvers

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/alwaysup/coexist/repo"
)

// The codes in an error's extensions.code.
const (
	codeInput       = "BAD_USER_INPUT"
	codeForbidden   = "FORBIDDEN"
	codeUnavailable = "UNAVAILABLE"
	codeInternal    = "INTERNAL"
)

// PresentError returns the function that makes every error of an answer: it translates the engine's errors into codes, with
// the field at fault, and hides what it does not know. That is logged with a reference, which is all that the client gets. Why the database is
// unavailable it tells the client in one word, and troubles.
func PresentError(logger *slog.Logger, troubles *Troubles) graphql.ErrorPresenterFunc {
	return func(ctx context.Context, err error) *gqlerror.Error {
		presented := graphql.DefaultErrorPresenter(ctx, err)
		cause := errors.Unwrap(presented)
		if cause == nil {
			// Made by the GraphQL server itself: a request that cannot be read, is not valid, or asks for too much.
			extend(presented, codeInput, atVariable(presented))
			return presented
		}
		code, message, field := translate(cause)
		if at := argumentAt(ctx, presented); at != "" && code == codeInternal {
			code, message = codeInput, cause.Error() // a value that its type cannot read, such as a name that is none of an enum's
		}
		if code == codeInternal {
			reference := rand.Text()[:12]
			logger.ErrorContext(ctx, "internal error", "reference", reference, "operation", operationName(ctx), "path", presented.Path.String(), "error", cause)
			message = "internal error, reference " + reference
		}
		why := repo.CauseOf(cause)
		if code == codeUnavailable && why != "" {
			troubles.note(ctx, why, cause)
		}
		if code == codeInput && field == "" {
			field = atInput(ctx, presented)
		}
		presented.Message = message
		presented.Err = nil
		presented.Extensions = nil
		extend(presented, code, field)
		if code == codeUnavailable && why != "" {
			presented.Extensions["cause"] = why
		}
		if blocked, ok := errors.AsType[*repo.BlockedError](cause); ok {
			presented.Extensions["blockedBy"] = append([]repo.Transaction{}, blocked.By...)
		}
		if active, ok := errors.AsType[*repo.RunActiveError](cause); ok {
			presented.Extensions["run"] = runID(active.Run)
		}
		if errors.Is(cause, repo.ErrOutcomeUnknown) {
			presented.Extensions["outcome"] = "UNKNOWN"
		}
		if unknown, ok := errors.AsType[*repo.CreateUnknownError](cause); ok {
			presented.Extensions["key"] = unknown.Key
		}
		if closed, ok := errors.AsType[*repo.GateClosedError](cause); ok {
			presented.Extensions["blockers"] = blockersOf(closed.Blockers)
		}
		return presented
	}
}

// argumentAt names the argument of a field to which an error's path leads, "" for none.
func argumentAt(ctx context.Context, err *gqlerror.Error) string {
	field := graphql.GetFieldContext(ctx)
	if field == nil || field.Field.Field == nil || field.Field.Definition == nil || len(err.Path) <= len(field.Path()) {
		return ""
	}
	name, isName := err.Path[len(field.Path())].(ast.PathName)
	if !isName || field.Field.Definition.Arguments.ForName(string(name)) == nil {
		return ""
	}
	return string(name)
}

// atInput returns where in the arguments of a field the error's path ends, and cuts that off: a path leads to a place in the answer.
func atInput(ctx context.Context, err *gqlerror.Error) string {
	field := graphql.GetFieldContext(ctx)
	if field == nil {
		return ""
	}
	at := len(field.Path())
	if len(err.Path) <= at || field.Path().String() != err.Path[:at].String() {
		return ""
	}
	below := err.Path[at:]
	err.Path = err.Path[:at]
	return inputPath(below)
}

// atVariable is atInput for the error of a variable.
func atVariable(err *gqlerror.Error) string {
	if len(err.Path) < 2 || err.Path[0] != ast.PathName("variable") {
		return ""
	}
	below := err.Path[1:]
	err.Path = nil
	return inputPath(below)
}

// inputPath is a path within an argument, or a variable, in the form of a model's. The name "input" says nothing.
func inputPath(path ast.Path) string {
	if path[0] == ast.PathName("input") {
		path = path[1:]
	}
	return path.String()
}

func extend(err *gqlerror.Error, code, field string) {
	err.Extensions = map[string]any{"code": code}
	if field != "" {
		err.Extensions["field"] = field
	}
}

// errNoTime is what the GraphQL server says of a DateTime that it cannot read. It has no type.
var _, errNoTime = graphql.UnmarshalTime("no time")

// unavailable says what is wrong, and what to do, for the causes for which a client can be told more.
var unavailable = map[repo.Cause]string{
	repo.CauseReadOnly:  "the database is read-only, so that nothing can be written now: try again later",
	repo.CauseTimeout:   "the database took too long: ask for less, or try again later",
	repo.CauseRights:    "the server lacks a right in the database: its log says which",
	repo.CauseResources: "the database has run out of memory, disk or connections: try again later",
}

// errStreams is what the GraphQL server says of a subscription that does not ask for one field. It has no type.
const errStreams = "must subscribe to exactly one stream"

// translate is the one place where errors become codes.
func translate(err error) (code, message, field string) {
	if e, ok := errors.AsType[*repo.InputError](err); ok {
		return codeInput, e.Error(), e.Field
	}
	if e, ok := errors.AsType[*repo.NotRepresentableError](err); ok {
		return "NOT_REPRESENTABLE_IN_V1", e.Error(), e.Field
	}
	if e, ok := errors.AsType[*repo.ConversionError](err); ok {
		return "CONVERSION_FAILED", e.Error(), cmp.Or(e.FieldOfV2, e.Field)
	}
	if e, ok := errors.AsType[*repo.FieldError](err); ok { // a scalar's
		return codeInput, e.Error(), e.Field
	}
	if e, ok := errors.AsType[*repo.GateClosedError](err); ok {
		return "GATE_CLOSED", e.Error(), ""
	}
	if e, ok := errors.AsType[*repo.BlockedError](err); ok {
		return "BUSY", e.Error(), ""
	}
	if _, ok := errors.AsType[*graphql.IntegerError](err); ok {
		return codeInput, err.Error(), ""
	}
	if err.Error() == errStreams {
		return codeInput, "a subscription asks for one field, which no directive leaves out", ""
	}
	if err.Error() == errNoTime.Error() {
		return codeInput, "is no time: write it like 2026-01-31T12:00:00Z", ""
	}
	for sentinel, code := range map[error]string{
		repo.ErrNotFound: "NOT_FOUND", repo.ErrAlreadyExists: "ALREADY_EXISTS", repo.ErrConflict: "CONFLICT", repo.ErrStaleVersion: "STALE_VERSION",
		repo.ErrV2NotOpen: "V2_NOT_OPEN", repo.ErrPhaseChanged: "CONFLICT", repo.ErrWrongPhase: "WRONG_PHASE", repo.ErrRunAlreadyActive: "RUN_ALREADY_ACTIVE", repo.ErrRunEnded: "CONFLICT",
	} {
		if errors.Is(err, sentinel) {
			return code, err.Error(), ""
		}
	}
	switch {
	case errors.Is(err, errForbidden):
		return codeForbidden, err.Error(), ""
	case errors.Is(err, repo.ErrOutcomeUnknown):
		return codeUnavailable, "the connection to the database was lost while it committed: look whether it has happened before you try again", ""
	case errors.Is(err, repo.ErrAltered):
		return codeUnavailable, "a table in the database has been altered, and does not fit this version of the server: its log says which", ""
	case errors.Is(err, repo.ErrHiddenRows):
		return codeUnavailable, repo.ErrHiddenRows.Error(), ""
	case errors.Is(err, repo.ErrUnavailable):
		return codeUnavailable, cmp.Or(unavailable[repo.CauseOf(err)], "the database is unavailable: try again later"), ""
	case errors.Is(err, context.DeadlineExceeded):
		return codeUnavailable, "it took too long: ask for less, or try again later", ""
	case errors.Is(err, context.Canceled):
		return codeUnavailable, "the request was cancelled", ""
	default:
		return codeInternal, "", ""
	}
}

// Recover turns a panic of a resolver into an error that PresentError hides and logs.
func Recover(_ context.Context, panicked any) error {
	return fmt.Errorf("panic: %v\n%s", panicked, debug.Stack())
}

func operationName(ctx context.Context) string {
	if !graphql.HasOperationContext(ctx) {
		return ""
	}
	operation := graphql.GetOperationContext(ctx)
	if operation.OperationName == "" && operation.Operation != nil {
		return operation.Operation.Name
	}
	return operation.OperationName
}

// badInput is the error of an argument.
func badInput(field, format string, args ...any) error {
	return &repo.InputError{FieldError: repo.FieldError{Field: field, Reason: fmt.Sprintf(format, args...)}}
}

// absent turns ErrNotFound into the null that a query answers.
func absent[T any](v *T, err error) (*T, error) {
	if errors.Is(err, repo.ErrNotFound) {
		return nil, nil //nolint:nilnil // null is GraphQL's answer for what is not there
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}
