package value

import (
	"fmt"
)

// FieldError says which field of an aggregate is at fault and why. Field is a path in the JSON names of the model, such
// as "addresses[0].locality"; it is empty when the fault is not in one field.
type FieldError struct {
	Field, Reason string
	// FieldOfV2 is the field of V2 that cannot be made of it, where a mapping has named one.
	FieldOfV2 string
	// OverLimit says that the value is refused by its column's declared limit.
	OverLimit bool
}

// Error returns "field: reason".
func (e *FieldError) Error() string {
	if e.Field == "" {
		return e.Reason
	}
	return e.Field + ": " + e.Reason
}

// OverLimit is Faulty for a value that its column cannot hold.
func OverLimit(field, format string, args ...any) error {
	return &FieldError{Field: field, Reason: fmt.Sprintf(format, args...), OverLimit: true}
}

// Faulty returns a *FieldError for field, with the reason formatted as by fmt.Sprintf.
func Faulty(field, format string, args ...any) error {
	return &FieldError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// OutputError is why a stored value cannot be said in GraphQL: its field is null, and the rest of the row is there.
type OutputError struct{ Reason string }

// Error returns the reason.
func (e *OutputError) Error() string { return e.Reason }
