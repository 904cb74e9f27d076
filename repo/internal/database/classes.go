package database

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Each error code of a database has a class, which says how the error is handled: whose fault it is, and whether to try
// again.

type errorClass string

const (
	classInput       errorClass = "the client's fault"
	classUnique      errorClass = "a row with the same values"
	classForeignKey  errorClass = "a reference"
	classNotNull     errorClass = "a value that is missing"
	classCheck       errorClass = "a constraint"
	classRefusal     errorClass = "the owner's refusal"
	classConflict    errorClass = "a conflict"
	classBusy        errorClass = "busy"
	classAltered     errorClass = "a table was altered"
	classHidden      errorClass = "rows are hidden"
	classDenied      errorClass = "a right is missing"
	classUnavailable errorClass = "unavailable"
	classFault       errorClass = "a fault of ours"
)

// Cause says why the database is unavailable. Package repo says what each of them means.
type Cause string

// The causes.
const (
	CauseConnection Cause = "CONNECTION"
	CauseTimeout    Cause = "TIMEOUT"
	CauseReadOnly   Cause = "READ_ONLY"
	CauseStandby    Cause = "STANDBY"
	CauseResources  Cause = "RESOURCES"
	CauseShutdown   Cause = "SHUTDOWN"
	CauseBusy       Cause = "BUSY"
	CauseRights     Cause = "RIGHTS"
	CauseAltered    Cause = "ALTERED"
	CauseHidden     Cause = "HIDDEN_ROWS"
	CauseStorage    Cause = "STORAGE"
	CauseSetting    Cause = "SETTING"
	CauseOther      Cause = "OTHER"
)

// unavailableError is an ErrUnavailable with its cause.
type unavailableError struct {
	cause Cause
	err   error
}

func (e *unavailableError) Error() string { return fmt.Sprintf("%v: %v", ErrUnavailable, e.err) }

// Unwrap returns ErrUnavailable too.
func (e *unavailableError) Unwrap() []error { return []error{ErrUnavailable, e.err} }

// Unavailable returns an ErrUnavailable with its cause.
func Unavailable(cause Cause, err error) error { return &unavailableError{cause, err} }

// CauseOf returns why an error is an ErrUnavailable, "" where it is not one.
func CauseOf(err error) Cause {
	if !errors.Is(err, ErrUnavailable) {
		return ""
	}
	if e, ok := errors.AsType[*unavailableError](err); ok {
		return e.cause
	}
	_, busy := errors.AsType[*BusyError](err)
	switch {
	case errors.Is(err, ErrAltered):
		return CauseAltered
	case errors.Is(err, ErrHiddenRows):
		return CauseHidden
	case errors.Is(err, ErrStandby):
		return CauseStandby
	case errors.Is(err, ErrDenied):
		return CauseRights
	case errors.Is(err, ErrOutcomeUnknown):
		return CauseConnection
	case busy:
		return CauseBusy
	default:
		return CauseOther
	}
}

// codeClass is a line of a table of codes. Of the lines that match a code, the one with the longest prefix counts.
type codeClass struct {
	codes   string // or their prefixes, separated by blanks
	class   errorClass
	cause   Cause // of unavailable
	meaning string
}

// classOf looks a code up. For a code that the table does not know, it returns other.
func classOf(table []codeClass, code string, other codeClass) codeClass {
	best, length := other, 0
	for _, line := range table {
		for _, known := range strings.Fields(line.codes) {
			if strings.HasPrefix(code, known) && len(known) > length {
				best, length = line, len(known)
			}
		}
	}
	return best
}

// sortedCodes returns a table sorted by its codes, for the reference.
func sortedCodes(table []codeClass) []codeClass {
	return slices.SortedFunc(slices.Values(table), func(a, b codeClass) int { return cmp.Compare(a.codes, b.codes) })
}

// classified turns an error of the driver into the error of its class, nil where the class has none. In a refusal,
// refused is what V1's owner has said.
func (c codeClass) classified(err error, refused *OwnerError, at ConstraintError) error {
	at.Err = err
	switch c.class {
	case classBusy:
		return Busy(err)
	case classInput:
		at.Kind = BadValue
	case classUnique:
		at.Kind = UniqueViolation
	case classForeignKey:
		at.Kind = ForeignKeyViolation
	case classNotNull:
		at.Kind = notNullViolation
	case classCheck:
		at.Kind = checkViolation
	case classRefusal:
		at.Kind, at.Refused = Refusal, refused
	case classConflict:
		at.Kind, at.Refused = Refusal, refused
	case classAltered:
		return fmt.Errorf("%w: %w", ErrAltered, err)
	case classHidden:
		return fmt.Errorf("%w: %w", ErrHiddenRows, err)
	case classDenied:
		return fmt.Errorf("%w: %w", ErrDenied, err)
	case classUnavailable:
		return Unavailable(c.cause, err)
	default:
		return nil
	}
	return &at
}
