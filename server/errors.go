package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/alwaysup/coexist/auth"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/value"
)

// The codes in an error's extensions.code. Each says what a client should do.
const (
	// CodeAlreadyExists means: The key is taken: choose another key, or update the row.
	CodeAlreadyExists = "ALREADY_EXISTS"
	// CodeBusy means: Other transactions keep a phase from changing: end them, or try again. extensions.blockedBy lists
	// them.
	CodeBusy = "BUSY"
	// CodeConflict means: Other rows, or triggers and constraints of V1's owner, prevent it: the message says which.
	// Change that first. A phase that has just changed, and a run that has ended, give this code too.
	CodeConflict = "CONFLICT"
	// CodeConversionFailed means: The V1 row cannot be converted: extensions.field names the field. Correct it through
	// V1.
	CodeConversionFailed = "CONVERSION_FAILED"
	// CodeForbidden means: The caller may not do this: the message says what it takes, such as a token with another
	// role.
	CodeForbidden = "FORBIDDEN"
	// CodeGateClosed means: Something blocks the step: extensions.blockers lists what. Do what each blocker says.
	CodeGateClosed = "GATE_CLOSED"
	// CodeInput means: The input is not valid: extensions.field says where, if it is in one field. Correct it.
	CodeInput = "BAD_USER_INPUT"
	// CodeInternal means: The server has a fault: the message has a reference, under which the server's log has the
	// details. Report it.
	CodeInternal = "INTERNAL"
	// CodeNotFound means: Nothing has that key, so a mutation has nothing to change.
	CodeNotFound = "NOT_FOUND"
	// CodeNotRepresentable means: V1 cannot hold the value, but every value must fit V1 until CONTRACT: send another
	// value, or wait for CONTRACT.
	CodeNotRepresentable = "NOT_REPRESENTABLE_IN_V1"
	// CodeRunAlreadyActive means: A run of that kind is running or paused: resume it or cancel it. extensions.run is
	// its id.
	CodeRunAlreadyActive = "RUN_ALREADY_ACTIVE"
	// CodeStaleVersion means: Somebody else has written since you read: read again, then decide.
	CodeStaleVersion = "STALE_VERSION"
	// CodeUnauthenticated means: The credentials are missing or not valid: get new ones.
	CodeUnauthenticated = "UNAUTHENTICATED"
	// CodeUnavailable means: The database or the server cannot do it now: try again later. extensions.cause says why,
	// if the database is the reason. If extensions.outcome is UNKNOWN, a write may have happened: read first. For a
	// create, extensions.key is the key to read.
	CodeUnavailable = "UNAVAILABLE"
	// CodeV2NotOpen means: The entity is in EXPAND, where nobody can write through V2: write through V1.
	CodeV2NotOpen = "V2_NOT_OPEN"
	// CodeWrongPhase means: The phase does not allow a run of this kind: change the phase first.
	CodeWrongPhase = "WRONG_PHASE"
)

// Extended is an error of a resolver that adds to the extensions of the answer. Its code comes from the engine's error
// that it wraps.
type Extended interface {
	error
	// Extensions returns what to add. An extension replaces one of the same name that the server has set.
	Extensions() map[string]any
}

// presentError returns the function that makes every error of an answer. It translates the engine's errors into codes
// and names the field at fault. It hides an error that it does not know: it logs that error with a reference, and the
// client gets only the reference. If the database is unavailable, the client gets the cause in one word, and troubles
// counts it.
func presentError(logger *slog.Logger, troubles *troubles) graphql.ErrorPresenterFunc {
	return func(ctx context.Context, err error) *gqlerror.Error {
		presented := graphql.DefaultErrorPresenter(ctx, err)
		cause := errors.Unwrap(presented)
		if cause == nil {
			// The GraphQL server made this error itself: the request cannot be read, is not valid, or asks for too
			// much.
			extend(presented, CodeInput, atVariable(presented))
			return presented
		}
		code, message, field := translate(cause)
		if at := argumentAt(ctx, presented); at != "" && code == CodeInternal {
			// Its type cannot read the value, such as a name that an enum does not have.
			code, message = CodeInput, cause.Error()
		}
		if code == CodeInternal {
			reference := rand.Text()[:12]
			logger.ErrorContext(ctx, "internal error", "reference", reference, "operation", operationName(ctx), "path",
				presented.Path.String(), "error", cause)
			message = "internal error, reference " + reference
		}
		why := repo.CauseOf(cause)
		if code == CodeUnavailable && why != "" {
			troubles.note(ctx, why, cause)
		}
		if code == CodeInput && field == "" {
			field = atInput(ctx, presented)
		}
		presented.Message = message
		presented.Err = nil
		presented.Extensions = nil
		extend(presented, code, field)
		if code == CodeUnavailable && why != "" {
			presented.Extensions["cause"] = why
		}
		if blocked, ok := errors.AsType[*repo.BlockedError](cause); ok {
			presented.Extensions["blockedBy"] = append([]repo.Transaction{}, blocked.By...)
		}
		if errors.Is(cause, repo.ErrOutcomeUnknown) {
			presented.Extensions["outcome"] = "UNKNOWN"
		}
		if unknown, ok := errors.AsType[*repo.CreateUnknownError](cause); ok {
			presented.Extensions["key"] = unknown.Key
		}
		if extended, ok := errors.AsType[Extended](cause); ok {
			maps.Copy(presented.Extensions, extended.Extensions())
		}
		return presented
	}
}

// argumentAt returns the argument of a field to which an error's path leads, or "" if it leads to none.
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

// atInput returns where in the arguments of a field the error's path ends, or "". It cuts that part off the path, since
// the path of a GraphQL error leads to a place in the answer.
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

// atVariable does what atInput does, for an error in a variable.
func atVariable(err *gqlerror.Error) string {
	if len(err.Path) < 2 || err.Path[0] != ast.PathName("variable") {
		return ""
	}
	below := err.Path[1:]
	err.Path = nil
	return inputPath(below)
}

// inputPath returns a path within an argument or a variable in the form of a model's paths. It leaves out the name
// "input" at the start, which says nothing.
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

// errNoTime is the error of the GraphQL server for a DateTime that it cannot read. That error has no type of its own,
// so translate compares its text.
var _, errNoTime = graphql.UnmarshalTime("no time")

// unavailable tells a client what is wrong and what to do, for those causes about which there is more to say.
var unavailable = map[repo.Cause]string{
	repo.CauseReadOnly:  "the database is read-only, so that nothing can be written now: try again later",
	repo.CauseTimeout:   "the database took too long: ask for less, or try again later",
	repo.CauseRights:    "the server lacks a right in the database: its log says which",
	repo.CauseResources: "the database has run out of memory, disk or connections: try again later",
}

// errStreams is the error of the GraphQL server for a subscription that does not ask for exactly one field. That error
// has no type of its own, so translate compares its text.
const errStreams = "must subscribe to exactly one stream"

// codes maps the engine's errors whose message says everything to their codes.
var codes = map[error]string{
	repo.ErrNotFound: CodeNotFound, repo.ErrAlreadyExists: CodeAlreadyExists, repo.ErrConflict: CodeConflict,
	repo.ErrStaleVersion: CodeStaleVersion,
	repo.ErrV2NotOpen:    CodeV2NotOpen, repo.ErrPhaseChanged: CodeConflict, repo.ErrWrongPhase: CodeWrongPhase,
	repo.ErrRunAlreadyActive: CodeRunAlreadyActive, repo.ErrRunEnded: CodeConflict,
}

// translate turns an error into a code, a message and the field at fault. It is the one place that does. The order
// matters: a BlockedError, ErrOutcomeUnknown, ErrAltered and ErrHiddenRows are an ErrUnavailable too, so they come
// first. An error that translate does not know gets CodeInternal.
func translate(err error) (code, message, field string) {
	if e, ok := errors.AsType[*repo.InputError](err); ok {
		return CodeInput, e.Error(), e.Field
	}
	if e, ok := errors.AsType[*repo.NotRepresentableError](err); ok {
		return CodeNotRepresentable, e.Error(), e.Field
	}
	if e, ok := errors.AsType[*repo.ConversionError](err); ok {
		return CodeConversionFailed, e.Error(), cmp.Or(e.FieldOfV2, e.Field)
	}
	if e, ok := errors.AsType[*value.OutputError](err); ok {
		return CodeConversionFailed, e.Error(), ""
	}
	if e, ok := errors.AsType[*value.FieldError](err); ok { // a fault in an argument
		return CodeInput, e.Error(), e.Field
	}
	if e, ok := errors.AsType[*repo.GateClosedError](err); ok {
		return CodeGateClosed, e.Error(), ""
	}
	if e, ok := errors.AsType[*repo.BlockedError](err); ok {
		return CodeBusy, e.Error(), ""
	}
	if _, ok := errors.AsType[*graphql.IntegerError](err); ok {
		return CodeInput, err.Error(), ""
	}
	if err.Error() == errStreams {
		return CodeInput, "a subscription must select exactly one field, without @skip or @include", ""
	}
	if err.Error() == errNoTime.Error() {
		return CodeInput, "is not a time: write it like 2026-01-31T12:00:00Z", ""
	}
	for sentinel, code := range codes {
		if errors.Is(err, sentinel) {
			return code, err.Error(), ""
		}
	}
	switch {
	case errors.Is(err, auth.ErrForbidden):
		return CodeForbidden, err.Error(), ""
	case errors.Is(err, repo.ErrOutcomeUnknown):
		return CodeUnavailable, "the connection to the database was lost while it committed: check whether the write happened before you try again", ""
	case errors.Is(err, repo.ErrAltered):
		return CodeUnavailable,
			"a table in the database has been altered, and does not fit this version of the server: its log says which",
			""
	case errors.Is(err, repo.ErrHiddenRows):
		return CodeUnavailable, repo.ErrHiddenRows.Error(), ""
	case errors.Is(err, repo.ErrUnavailable):
		return CodeUnavailable, cmp.Or(unavailable[repo.CauseOf(err)], "the database is unavailable: try again later"),
			""
	case errors.Is(err, context.DeadlineExceeded):
		return CodeUnavailable, "it took too long: ask for less, or try again later", ""
	case errors.Is(err, context.Canceled):
		return CodeUnavailable, "the request was cancelled", ""
	default:
		return CodeInternal, "", ""
	}
}

// recoverPanic turns a panic of a resolver into an error, which presentError hides and logs.
func recoverPanic(_ context.Context, panicked any) error {
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
