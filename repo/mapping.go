package repo

import (
	"fmt"
	"reflect"

	"github.com/alwaysup/coexist/repo/internal/shape"
	"github.com/alwaysup/coexist/value"
)

// Mapping turns one shape of an entity into the other. The methods are pure and deterministic: no clock, no random
// number, no generated id, no database. They change nothing of what they get, except that Merge and Remigrate may
// change v2, which is a copy of their own. They must keep five laws, byte for byte, with NULL different from the empty
// string:
//
//  1. Downgrade(Upgrade(v1)) = v1
//  2. Downgrade(Merge(v1, v2)) = v1
//  3. Merge(Downgrade(v2), v2) = v2
//  4. locality: where v1 differs from Downgrade(v2) in one field only, Merge changes only the parts of v2 that refine that field
//  5. Merge(v1, Upgrade(w)) = Upgrade(v1) for any w: a copy that nobody refined is what Upgrade makes of the newest V1
//
// The engine proves law 1 or 2 on every conversion before it stores or answers it. Package repotest offers all five as
// property tests and fuzz targets.
//
// A conversion that is impossible returns a *FieldError that names the field of the shape it was given and the reason:
// Upgrade and Merge by Unconvertible, which names V2's too, Downgrade by Faulty.
type Mapping[V1, V2 any] interface {
	// Version numbers the mapping, from 1. Raise it when a bug in the conversion is fixed: copies remember the version
	// that made them.
	Version() int
	// Upgrade converts a V1 aggregate that has no copy yet.
	Upgrade(v1 V1) (V2, error)
	// Merge brings a copy up to a V1 aggregate that has changed, and keeps what V1 cannot express.
	Merge(v1 V1, v2 V2) (V2, error)
	// Downgrade converts back. The *FieldError of a v2 that V1 cannot hold names the field of v2.
	Downgrade(v2 V2) (V1, error)
}

// Remigrator is what a Mapping may also implement, to repair refined copies that an older version of the mapping made.
// Without it such copies are left as they are; copies that are not refined are upgraded anew.
type Remigrator[V1, V2 any] interface {
	Remigrate(v1 V1, v2 V2, fromVersion int) (V2, error)
}

// Validator is what a V1 or V2 model may implement to refuse bad input. The engine calls Validate on what a client
// wants to write. It never calls it on rows that are already there, nor on the other shape of a write: the mapping
// refuses what must not get there. Validate returns nil or a *FieldError.
type Validator interface{ Validate() error }

// FieldError says which field of an aggregate is at fault and why: Field and Reason.
type FieldError = value.FieldError

// Faulty returns a *FieldError for field, with the reason formatted as by fmt.Sprintf.
func Faulty(field, format string, args ...any) error { return value.Faulty(field, format, args...) }

// Unconvertible is Faulty for a field of V1 from which fieldOfV2 cannot be made. A client that asks for V2 is told
// fieldOfV2; the quarantine, and a client that writes V1, are told field.
func Unconvertible(field, fieldOfV2, format string, args ...any) error {
	return &FieldError{Field: field, FieldOfV2: fieldOfV2, Reason: fmt.Sprintf(format, args...)}
}

// Identical reports whether a and b, of one type, hold the same value byte for byte: nil pointers differ from pointers
// to zero values, a nil map differs from an empty one, 0 differs from -0, and a NaN equals a NaN with the same bits. A
// nil slice equals an empty one, and a time equals the same instant in another zone, since a database does not
// distinguish them.
func Identical[T any](a, b T) bool {
	return shape.Identical(reflect.ValueOf(&a).Elem(), reflect.ValueOf(&b).Elem())
}
