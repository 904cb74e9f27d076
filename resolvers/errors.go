package resolvers

import (
	"errors"
	"fmt"

	"github.com/alwaysup/coexist/repo"
)

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

// extendedError is an error of the engine with what its code does not say, in the extensions of the answer.
type extendedError struct {
	error
	extensions map[string]any
}

// Unwrap returns the engine's error.
func (e extendedError) Unwrap() error { return e.error }

// Extensions is part of server.Extended.
func (e extendedError) Extensions() map[string]any { return e.extensions }

// extended adds the run that is active already, or what blocks the gate, to an error that says so.
func extended(err error) error {
	if active, ok := errors.AsType[*repo.RunActiveError](err); ok {
		return extendedError{err, map[string]any{"run": runID(active.Run)}}
	}
	if closed, ok := errors.AsType[*repo.GateClosedError](err); ok {
		return extendedError{err, map[string]any{"blockers": closed.Blockers}}
	}
	return err
}
