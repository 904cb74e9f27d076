package value

import (
	"fmt"
)

// FieldError says which field of an aggregate is at fault, and why. Field is a path in the JSON names of the model,
// such as "addresses[0].locality". It is empty if the fault is not in one field.
type FieldError struct {
	Field, Reason string
	// FieldOfV2 is the field of V2 that cannot be made from this field, if a mapping has named one.
	FieldOfV2 string
	// OverLimit says that the declared limit of the value's column refuses it.
	OverLimit bool
}

// Error returns "field: reason", or only the reason if there is no field.
func (e *FieldError) Error() string {
	if e.Field == "" {
		return e.Reason
	}
	return e.Field + ": " + e.Reason
}

// OverLimit returns a *FieldError, as Faulty does, for a value that its column cannot hold.
func OverLimit(field, format string, args ...any) error {
	return &FieldError{Field: field, Reason: fmt.Sprintf(format, args...), OverLimit: true}
}

// Faulty returns a *FieldError for field, with the reason formatted as by fmt.Sprintf.
func Faulty(field, format string, args ...any) error {
	return &FieldError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// OutputError says why GraphQL cannot express a stored value. The value's field is null then, and the rest of the row
// is there.
type OutputError struct{ Reason string }

// Error returns the reason.
func (e *OutputError) Error() string { return e.Reason }
