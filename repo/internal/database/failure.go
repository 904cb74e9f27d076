package database

import (
	"errors"
	"fmt"
)

// Failures of the database, as the errors that callers compare with. Package repo says what each of them means.
var (
	ErrUnavailable = errors.New("the database is unavailable")
	ErrAltered     = fmt.Errorf("%w: a table has been altered, and does not fit this version", ErrUnavailable)
	ErrHiddenRows  = fmt.Errorf(
		"%w: row-level security may hide rows from the server's role (HIDDEN_ROWS): switch it off, or let the server connect as a role with BYPASSRLS", ErrUnavailable)
	ErrOutcomeUnknown = fmt.Errorf("%w: the connection was lost during COMMIT, so the write may have happened",
		ErrUnavailable)
)

// ErrDenied means that our role lacks a right. The database says which. It is an ErrUnavailable, since nothing is wrong
// with what was asked.
var ErrDenied error = deniedError{}

type deniedError struct{}

func (deniedError) Error() string        { return "our role may not do that" }
func (deniedError) Is(target error) bool { return target == ErrUnavailable }

// ErrStandby means that a replica has answered.
var ErrStandby = Unavailable(CauseStandby, errors.New(
	"a standby has answered: let Coexist reach the primary alone, past any proxy that spreads reads"))

// ErrEarlierCapture means that a trigger takes our write for another program's, because an instance of an earlier
// version has created that trigger again.
var ErrEarlierCapture = errors.New("a trigger of an earlier version rejects the write")

// BusyError means that another transaction was in the way: roll back and try again. It is an ErrUnavailable when tries
// run out.
type BusyError struct{ err error }

// Busy returns a *BusyError: another transaction was in the way.
func Busy(err error) error { return &BusyError{err} }

func (e *BusyError) Error() string   { return "busy: " + e.err.Error() }
func (e *BusyError) Unwrap() []error { return []error{ErrUnavailable, e.err} }

// ConstraintError means that the database refused a row.
type ConstraintError struct {
	Kind                      ConstraintKind
	Table, Constraint, Column string      // as far as the database says
	Refused                   *OwnerError // of a refusal
	Err                       error
}

// IsRefused reports whether the database refused a row for a reason of that kind.
func IsRefused(err error, kind ConstraintKind) bool {
	refused, ok := errors.AsType[*ConstraintError](err)
	return ok && refused.Kind == kind
}

// ConstraintKind says what a row is refused for.
type ConstraintKind int

// The constraints, and what else a row is refused for.
const (
	UniqueViolation ConstraintKind = iota
	ForeignKeyViolation
	notNullViolation
	checkViolation
	BadValue // out of range, too long, not of the column's type
	Refusal  // V1's owner has raised an error of its own
)

func (e *ConstraintError) Error() string { return e.Err.Error() }
func (e *ConstraintError) Unwrap() error { return e.Err }

// OwnerError is an error that V1's owner has raised.
type OwnerError struct{ Code, Message, Hint string }
