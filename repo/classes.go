package repo

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Each code of a database's errors has a class, which says what becomes of it: whose fault it is, and whether to try
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

// Cause says why the database is unavailable.
type Cause string

// The causes.
const (
	CauseConnection Cause = "CONNECTION" // it cannot be reached, or the connection was lost
	// a time limit has ended it: statement_timeout, our own, or a cancellation by somebody
	CauseTimeout   Cause = "TIMEOUT"
	CauseReadOnly  Cause = "READ_ONLY" // the database, the role or the file does not let anybody write
	CauseStandby   Cause = "STANDBY"   // a replica has answered
	CauseResources Cause = "RESOURCES" // memory, disk, connections or locks have run out
	CauseShutdown  Cause = "SHUTDOWN"  // it is starting or stopping
	CauseBusy      Cause = "BUSY"      // other transactions were in the way for too long
	CauseRights    Cause = "RIGHTS"    // our role may not do that
	CauseAltered   Cause = "ALTERED"   // a table is not as it was at the start
	CauseHidden    Cause = "HIDDEN_ROWS"
	CauseStorage   Cause = "STORAGE" // the disk or the file is damaged or cannot be read
	CauseSetting   Cause = "SETTING" // a setting of the database or of a proxy does not let us
	CauseOther     Cause = "OTHER"   // see the log
)

// unavailableError is an ErrUnavailable with its cause.
type unavailableError struct {
	cause Cause
	err   error
}

func (e *unavailableError) Error() string { return fmt.Sprintf("%v: %v", ErrUnavailable, e.err) }

// Unwrap returns ErrUnavailable too.
func (e *unavailableError) Unwrap() []error { return []error{ErrUnavailable, e.err} }

func unavailable(cause Cause, err error) error { return &unavailableError{cause, err} }

// CauseOf says why an error is an ErrUnavailable; "" for one that is none.
func CauseOf(err error) Cause {
	if !errors.Is(err, ErrUnavailable) {
		return ""
	}
	if e, ok := errors.AsType[*unavailableError](err); ok {
		return e.cause
	}
	_, busy := errors.AsType[*busyError](err)
	_, blocked := errors.AsType[*BlockedError](err)
	switch {
	case errors.Is(err, ErrAltered):
		return CauseAltered
	case errors.Is(err, ErrHiddenRows):
		return CauseHidden
	case errors.Is(err, errStandby):
		return CauseStandby
	case errors.Is(err, errDenied):
		return CauseRights
	case errors.Is(err, ErrOutcomeUnknown):
		return CauseConnection
	case busy, blocked:
		return CauseBusy
	default:
		return CauseOther
	}
}

// codeClass is a line of a table of codes: the more of a code it names, the more it counts.
type codeClass struct {
	codes   string // or what they begin with, apart by blanks
	class   errorClass
	cause   Cause // of unavailable
	meaning string
}

// classOf looks a code up. A code that the table does not know is of the class other.
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

// sortedCodes is a table by its codes, for the reference.
func sortedCodes(table []codeClass) []codeClass {
	return slices.SortedFunc(slices.Values(table), func(a, b codeClass) int { return cmp.Compare(a.codes, b.codes) })
}

// classified is an error of the driver as what its class makes of it. refused is what V1's owner has said, of a
// refusal.
func (c codeClass) classified(err error, refused *RefusedError, at constraintError) error {
	at.err = err
	switch c.class {
	case classBusy:
		return &busyError{err}
	case classInput:
		at.kind = badValue
	case classUnique:
		at.kind = uniqueViolation
	case classForeignKey:
		at.kind = foreignKeyViolation
	case classNotNull:
		at.kind = notNullViolation
	case classCheck:
		at.kind = checkViolation
	case classRefusal:
		at.kind, at.refused = refusal, refused
	case classConflict:
		at.kind, at.refused = refusal, refused
	case classAltered:
		return fmt.Errorf("%w: %w", ErrAltered, err)
	case classHidden:
		return fmt.Errorf("%w: %w", ErrHiddenRows, err)
	case classDenied:
		return fmt.Errorf("%w: %w", errDenied, err)
	case classUnavailable:
		return unavailable(c.cause, err)
	default:
		return nil
	}
	return &at
}
