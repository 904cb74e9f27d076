package resolvers

import (
	"errors"
	"fmt"

	"github.com/alwaysup/coexist/repo"
)

// badInput returns an *InputError for an argument.
func badInput(field, format string, args ...any) error {
	return &repo.InputError{FieldError: repo.FieldError{Field: field, Reason: fmt.Sprintf(format, args...)}}
}

// absent turns ErrNotFound into null, which is what a query answers then.
func absent[T any](v *T, err error) (*T, error) {
	if errors.Is(err, repo.ErrNotFound) {
		return nil, nil //nolint:nilnil // null is GraphQL's answer for what is not there
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// extendedError is an error of the engine with extensions, which say what its code does not.
type extendedError struct {
	error
	extensions map[string]any
}

// Unwrap returns the engine's error.
func (e extendedError) Unwrap() error { return e.error }

// Extensions is part of server.Extended.
func (e extendedError) Extensions() map[string]any { return e.extensions }

// extended adds to an error of the engine the run that is already active, or the blockers of a gate, if the error is
// about these.
func extended(err error) error {
	if active, ok := errors.AsType[*repo.RunActiveError](err); ok {
		return extendedError{err, map[string]any{"run": runID(active.Run)}}
	}
	if closed, ok := errors.AsType[*repo.GateClosedError](err); ok {
		return extendedError{err, map[string]any{"blockers": closed.Blockers}}
	}
	return err
}
