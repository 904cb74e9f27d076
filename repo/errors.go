package repo

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// The errors of the engine tell the caller what to do. Compare them with errors.Is.
var (
	// ErrNotFound means that there is no entity with the key: a mutation has nothing to change.
	ErrNotFound = errors.New("not found")
	// ErrAlreadyExists means that the key is taken: choose another, or update.
	ErrAlreadyExists = errors.New("already exists")
	// ErrConflict means that other rows still refer to this one: remove them first. A *UniqueError is an ErrConflict
	// too.
	ErrConflict = errors.New("other rows still refer to it")
	// ErrStaleVersion means that another write came after the caller's read: read again, then decide.
	ErrStaleVersion = errors.New("stale version")
	// ErrV2NotOpen means that the entity is in EXPAND, where V2-shaped writes are refused: write through V1, or set the
	// phase MIGRATE.
	ErrV2NotOpen = errors.New("V2 is not open for writes in phase EXPAND")
	// ErrPhaseChanged means that the phase is not the one that the caller expected: look at it again.
	ErrPhaseChanged = errors.New("the phase has changed")
	// ErrWrongPhase means that the phase does not allow a run of this kind: set the phase first.
	ErrWrongPhase = errors.New("set the phase first")
	// ErrRunAlreadyActive means that a run of this kind is running or paused for the entity: resume or cancel it.
	ErrRunAlreadyActive = errors.New("a run of this kind is already active")
	// ErrRunEnded means that a run has ended, so it cannot be paused, resumed, tuned or cancelled: start a new one.
	ErrRunEnded = errors.New("the run has ended")
	// ErrUnavailable means that the database could not be reached or was too busy, and nothing was written: try again
	// later.
	ErrUnavailable = database.ErrUnavailable
	// ErrAltered means that a table or a column is missing, or has a type that does not fit the model: the table was
	// altered after Check. Undo that, or run a version whose model fits. Nothing was written. It is an ErrUnavailable
	// too.
	ErrAltered = database.ErrAltered
	// ErrHiddenRows means that row-level security may hide rows of V1, of V2 or of the engine's tables from our role:
	// it was switched on after Check. Switch it off there, or connect as a role to which it does not apply. Nothing was
	// read or written. It is an ErrUnavailable too.
	ErrHiddenRows = database.ErrHiddenRows
	// ErrOutcomeUnknown means that the connection was lost while a transaction was committing: read before you try
	// again. It is an ErrUnavailable too.
	ErrOutcomeUnknown = database.ErrOutcomeUnknown
)

// UniqueError is an ErrConflict: a unique constraint of V1's, other than the key's, allows no second row with the same
// values.
type UniqueError struct {
	// Constraint is its name, or on SQLite its columns.
	Constraint string
}

// Error names the constraint.
func (e *UniqueError) Error() string {
	return "another row has the same values, which the unique constraint " + e.Constraint + " does not allow"
}

// Is reports that target is ErrConflict.
func (e *UniqueError) Is(target error) bool { return target == ErrConflict }

// ConflictError is an ErrConflict: something that V1's owner has added to V1, such as a trigger, does not allow the
// write. Nothing was written.
type ConflictError struct{ Reason string }

// Error returns the reason.
func (e *ConflictError) Error() string { return e.Reason }

// Is reports that target is ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// RefusedError is an ErrConflict: a trigger or a function of V1's owner has raised an error. Nothing was written.
type RefusedError struct {
	// Code is the error's code, such as "P0001" on PostgreSQL; "" on SQLite. Message and Hint are the owner's.
	Code, Message, Hint string
}

// Error returns what V1's owner says.
func (e *RefusedError) Error() string {
	said := "V1 refuses it: " + e.Message
	if e.Hint != "" {
		said += " (" + e.Hint + ")"
	}
	return said
}

// Is reports that target is ErrConflict.
func (e *RefusedError) Is(target error) bool { return target == ErrConflict }

// CreateUnknownError is an ErrOutcomeUnknown of a create. To learn whether the create has happened, read Key, or create
// with it again.
type CreateUnknownError struct{ Key string }

// Error names the key.
func (e *CreateUnknownError) Error() string {
	return fmt.Sprintf("%v: look for the key %s", ErrOutcomeUnknown, e.Key)
}

// Unwrap returns ErrOutcomeUnknown.
func (e *CreateUnknownError) Unwrap() error { return ErrOutcomeUnknown }

// RunActiveError is returned by the start of a run while Run, of the same kind and entity, is running or paused: resume
// or cancel that run. It is an ErrRunAlreadyActive.
type RunActiveError struct{ Run int64 }

// Error names the run.
func (e *RunActiveError) Error() string {
	return fmt.Sprintf("%v: run %d; resume it where it is paused, or cancel it", ErrRunAlreadyActive, e.Run)
}

// Unwrap returns ErrRunAlreadyActive.
func (e *RunActiveError) Unwrap() error { return ErrRunAlreadyActive }

// BlockedError is returned by a phase change that transactions in flight have kept waiting for too long. Nothing has
// changed: end the transactions, or try again. By lists them, the oldest first, where the database can tell; SQLite
// cannot. It is an ErrUnavailable.
type BlockedError struct {
	Entity string
	By     []Transaction
}

// Transaction is a transaction of some program that has not ended yet.
type Transaction struct {
	PID int `json:"pid"` // the database process that serves it, 0 for a prepared transaction
	// Prepared is the name of a transaction that was prepared for a two-phase commit; "" for any other. No process
	// serves such a transaction, and only the second phase ends it.
	Prepared    string `json:"prepared,omitempty"`
	Application string `json:"application"` // as the program calls itself, "" where it gives no name
	// what it does, in PostgreSQL's words: active, idle in transaction, …; "" where our role may not see it
	State string     `json:"state"`
	Since *time.Time `json:"since"` // when it began, nil where our role may not see it
	// Maintains says which table it vacuums, analyzes or makes an index on, such as "VACUUM of orders"; "" where it
	// does none of these.
	Maintains string `json:"maintains"`
	// Autovacuum is true for a worker of PostgreSQL's own, and Wraparound for one that must not be stopped.
	Autovacuum bool `json:"autovacuum"`
	Wraparound bool `json:"wraparound"`
}

// String describes the transaction to an operator, with its age in seconds where that is known.
func (t Transaction) String() string {
	if t.Prepared != "" {
		return fmt.Sprintf(
			"transaction %s, prepared for %.0f s, which COMMIT PREPARED or ROLLBACK PREPARED %s ends, as its coordinator would",
			literal(t.Prepared), time.Since(*t.Since).Seconds(), literal(t.Prepared))
	}
	said := fmt.Sprintf("process %d", t.PID)
	if t.Application != "" {
		said += " (" + t.Application + ")"
	}
	doing := cmp.Or(t.Maintains, "in a transaction")
	if t.Since != nil {
		doing = fmt.Sprintf("%s for %.0f s", doing, time.Since(*t.Since).Seconds())
	}
	switch {
	case t.Wraparound:
		doing += ", an autovacuum against wraparound, which must end by itself"
	case t.Maintains != "":
		doing += fmt.Sprintf(", which SELECT pg_cancel_backend(%d) ends", t.PID)
	}
	return said + ", " + doing
}

// Error names the transactions that are in the way.
func (e *BlockedError) Error() string {
	by := "transactions in flight"
	if len(e.By) > 0 {
		said := make([]string, len(e.By))
		for i, t := range e.By {
			said[i] = t.String()
		}
		by = strings.Join(said, "; ")
	}
	return fmt.Sprintf("%s is kept from changing by %s: end them, or try again later", e.Entity, by)
}

// Unwrap returns ErrUnavailable.
func (e *BlockedError) Unwrap() error { return ErrUnavailable }

// GateClosedError is returned by a phase change while something blocks it. Nothing has changed.
type GateClosedError struct {
	To       Phase
	Blockers []Blocker
}

// Error names the blockers and what to do about them.
func (e *GateClosedError) Error() string {
	messages := make([]string, len(e.Blockers))
	for i, b := range e.Blockers {
		messages[i] = b.Message
	}
	return fmt.Sprintf("the gate to %s is closed: %s", e.To, strings.Join(messages, "; "))
}

// InputError is returned for a value that no phase would accept. Nothing was written.
type InputError struct{ FieldError }

// NotRepresentableError is returned by a V2-shaped write whose result V1 cannot hold, in a phase in which V1 must still
// hold it. Nothing was written. Field is the field of V2.
type NotRepresentableError struct{ FieldError }

// PhaseUnknownError is returned by every operation while the entity is in a phase that this version of the engine does
// not know: an instance of a newer version has moved it on. It is an ErrUnavailable.
type PhaseUnknownError struct{ Phase Phase }

// Error names the phase and what to do.
func (e *PhaseUnknownError) Error() string {
	return fmt.Sprintf("the entity is in phase %s, which this version does not know: use a newer one", e.Phase)
}

// Unwrap returns ErrUnavailable.
func (e *PhaseUnknownError) Unwrap() error { return ErrUnavailable }

// ConversionError is returned for a V1 row that cannot be converted. Field is the field of V1. FieldOfV2 is that of V2,
// if the mapping named it and the caller asked in the V2 shape. The row is in quarantine, and can still be read and
// repaired through the V1 shape.
type ConversionError struct {
	Entity, Key string // empty where only a single value is at fault, for which its shape has no place
	FieldError
	// Faults are all fields at fault in a V1 row that is read in the V1 shape, provided the model lets each of them be
	// nil: the value that comes with the error then has all the other fields. Else there are no Faults, and no value.
	Faults []FieldError
}

// Error names the row, if one is known, and the reason.
func (e *ConversionError) Error() string {
	if e.Entity == "" {
		return e.FieldError.Error()
	}
	return fmt.Sprintf("%s %s cannot be converted: %s", e.Entity, e.Key, e.FieldError.Error())
}

// field returns err as a FieldError: err's own if it is one or wraps one, else one with the whole message as the
// reason.
func field(err error) FieldError {
	if nr, ok := errors.AsType[*NotRepresentableError](err); ok {
		return nr.FieldError
	}
	if fe, ok := errors.AsType[*FieldError](err); ok {
		return *fe
	}
	return FieldError{Reason: err.Error()}
}

// inputError makes an *InputError of a FieldError.
func inputError(err error) error { return &InputError{field(err)} }

// refusedError returns what V1's owner has said as a *RefusedError.
func refusedError(said *database.OwnerError) *RefusedError {
	return &RefusedError{Code: said.Code, Message: said.Message, Hint: said.Hint}
}

// Cause says why the database is unavailable.
type Cause = database.Cause

// The causes.
const (
	CauseConnection = database.CauseConnection // it cannot be reached, or the connection was lost
	// a time limit or a cancellation ended it: statement_timeout, our own limit, or a cancel request
	CauseTimeout   = database.CauseTimeout
	CauseReadOnly  = database.CauseReadOnly  // the database, the role or the file allows no writes
	CauseStandby   = database.CauseStandby   // a replica answered
	CauseResources = database.CauseResources // memory, disk, connections or locks ran out
	CauseShutdown  = database.CauseShutdown  // it is starting or stopping
	CauseBusy      = database.CauseBusy      // other transactions were in the way for too long
	CauseRights    = database.CauseRights    // our role may not do that
	CauseAltered   = database.CauseAltered   // a table is not as it was at the start
	CauseHidden    = database.CauseHidden    // row-level security may hide rows
	CauseStorage   = database.CauseStorage   // the disk or the file is damaged or cannot be read
	CauseSetting   = database.CauseSetting   // a setting of the database or of a proxy stops us
	CauseOther     = database.CauseOther     // see the log
)

// CauseOf says why an error is an ErrUnavailable; it returns "" for an error that is none.
func CauseOf(err error) database.Cause {
	cause := database.CauseOf(err)
	if _, blocked := errors.AsType[*BlockedError](err); blocked && cause == database.CauseOther {
		return database.CauseBusy
	}
	return cause
}
