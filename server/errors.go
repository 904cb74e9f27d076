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

// The codes in an error's extensions.code, with what a client should do.
const (
	// CodeAlreadyExists means: The key is taken: choose another, or update.
	CodeAlreadyExists = "ALREADY_EXISTS"
	// CodeBusy means: Transactions of others keep a phase from changing: end them, or try again. extensions.blockedBy
	// lists them.
	CodeBusy = "BUSY"
	// CodeConflict means: Other rows, or the owner of V1, do not let it be: the message says which. Change that first.
	CodeConflict = "CONFLICT"
	// CodeConversionFailed means: The V1 row cannot be converted: extensions.field names the field. Repair it through
	// V1.
	CodeConversionFailed = "CONVERSION_FAILED"
	// CodeForbidden means: The caller lacks the role: use a token that has it.
	CodeForbidden = "FORBIDDEN"
	// CodeGateClosed means: Something blocks the step: extensions.blockers lists it. Do what each says.
	CodeGateClosed = "GATE_CLOSED"
	// CodeInput means: What was sent makes no sense: extensions.field says where. Correct it.
	CodeInput = "BAD_USER_INPUT"
	// CodeInternal means: A fault of the server: the message has a reference, under which its log has more. Report it.
	CodeInternal = "INTERNAL"
	// CodeNotFound means: There is nothing with that key: a mutation has nothing to change.
	CodeNotFound = "NOT_FOUND"
	// CodeNotRepresentable means: V1 cannot hold the value, and must be able to still: send another, or wait for
	// CONTRACT.
	CodeNotRepresentable = "NOT_REPRESENTABLE_IN_V1"
	// CodeRunAlreadyActive means: A run of that kind is running or paused: resume it, or cancel it. extensions.run is
	// its id.
	CodeRunAlreadyActive = "RUN_ALREADY_ACTIVE"
	// CodeStaleVersion means: Somebody else has written since: read again, then decide.
	CodeStaleVersion = "STALE_VERSION"
	// CodeUnauthenticated means: There are no credentials, or they are not good: get new ones.
	CodeUnauthenticated = "UNAUTHENTICATED"
	// CodeUnavailable means: The database, or the server, cannot do it now: try again later. extensions.cause says why;
	// with extensions.outcome UNKNOWN a write may have happened: read first, by extensions.key of a create.
	CodeUnavailable = "UNAVAILABLE"
	// CodeV2NotOpen means: The entity is in EXPAND, where V2 cannot be written: write through V1.
	CodeV2NotOpen = "V2_NOT_OPEN"
	// CodeWrongPhase means: The phase does not allow a run of this kind: change it first.
	CodeWrongPhase = "WRONG_PHASE"
)

// Extended is an error of a resolver that adds to the extensions of its answer, besides the code that the engine's
// error in it has.
type Extended interface {
	error
	Extensions() map[string]any
}

// presentError returns the function that makes every error of an answer: it translates the engine's errors into codes,
// with the field at fault, and hides what it does not know. That is logged with a reference, which is all that the
// client gets. Why the database is unavailable it tells the client in one word, and troubles.
func presentError(logger *slog.Logger, troubles *troubles) graphql.ErrorPresenterFunc {
	return func(ctx context.Context, err error) *gqlerror.Error {
		presented := graphql.DefaultErrorPresenter(ctx, err)
		cause := errors.Unwrap(presented)
		if cause == nil {
			// Made by the GraphQL server itself: a request that cannot be read, is not valid, or asks for too much.
			extend(presented, CodeInput, atVariable(presented))
			return presented
		}
		code, message, field := translate(cause)
		if at := argumentAt(ctx, presented); at != "" && code == CodeInternal {
			// a value that its type cannot read, such as a name that is none of an enum's
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

// atInput returns where in the arguments of a field the error's path ends, and cuts that off: a path leads to a place
// in the answer.
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

// codes are those of the engine's errors whose message says all.
var codes = map[error]string{
	repo.ErrNotFound: CodeNotFound, repo.ErrAlreadyExists: CodeAlreadyExists, repo.ErrConflict: CodeConflict,
	repo.ErrStaleVersion: CodeStaleVersion,
	repo.ErrV2NotOpen:    CodeV2NotOpen, repo.ErrPhaseChanged: CodeConflict, repo.ErrWrongPhase: CodeWrongPhase,
	repo.ErrRunAlreadyActive: CodeRunAlreadyActive, repo.ErrRunEnded: CodeConflict,
}

// translate is the one place where errors become codes.
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
	if e, ok := errors.AsType[*value.FieldError](err); ok { // of an argument
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
		return CodeInput, "a subscription asks for one field, which no directive leaves out", ""
	}
	if err.Error() == errNoTime.Error() {
		return CodeInput, "is no time: write it like 2026-01-31T12:00:00Z", ""
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
		return CodeUnavailable, "the connection to the database was lost while it committed: look whether it has happened before you try again", ""
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

// recoverPanic turns a panic of a resolver into an error that presentError hides and logs.
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
