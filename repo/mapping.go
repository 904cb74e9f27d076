package repo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"time"
)

// Mapping turns one shape of an entity into the other. The methods are pure and deterministic: no clock, no random
// number, no generated id, no database. They must keep five laws, byte for byte, with NULL different from the empty
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

// Remigrator is what a Mapping may offer besides, to repair copies that an older version of it made and that a
// V2-shaped write has refined since. Without it such copies are left as they are; copies that are not refined are
// upgraded anew.
type Remigrator[V1, V2 any] interface {
	Remigrate(v1 V1, v2 V2, fromVersion int) (V2, error)
}

// Validator is what a V1 or V2 model may offer to refuse bad input. Validate is called on what a client wants to write,
// never on rows that are already there, nor on what becomes of a write in the other shape: what must not get there, the
// mapping refuses. It returns nil or a *FieldError.
type Validator interface{ Validate() error }

// FieldError says which field of an aggregate is at fault and why. Field is a path in the JSON names of the model, such
// as "addresses[0].locality"; it is empty when the fault is not in one field.
type FieldError struct {
	Field, Reason string
	// FieldOfV2 is what Unconvertible was given, else empty.
	FieldOfV2 string

	overLimit bool // a column's declared limit says so
}

// Error returns "field: reason".
func (e *FieldError) Error() string {
	if e.Field == "" {
		return e.Reason
	}
	return e.Field + ": " + e.Reason
}

// overLimit is Faulty for a value that its column cannot hold.
func overLimit(field, format string, args ...any) error {
	return &FieldError{Field: field, Reason: fmt.Sprintf(format, args...), overLimit: true}
}

// Faulty returns a *FieldError for field, with the reason formatted as by fmt.Sprintf.
func Faulty(field, format string, args ...any) error {
	return &FieldError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

// Unconvertible is Faulty for a field of V1 that fieldOfV2 cannot be made of. A client that asks for V2 is told
// fieldOfV2; the quarantine, and a client that writes V1, are told field.
func Unconvertible(field, fieldOfV2, format string, args ...any) error {
	return &FieldError{Field: field, FieldOfV2: fieldOfV2, Reason: fmt.Sprintf(format, args...)}
}

// Identical reports whether a and b, of one type, hold the same value byte for byte: nil pointers differ from pointers
// to zero values, 0 differs from -0, a NaN equals a NaN with the same bits. A nil slice equals an empty one, and a time
// the same instant in another zone, since a database knows no difference between them.
func Identical[T any](a, b T) bool {
	return identical(reflect.ValueOf(&a).Elem(), reflect.ValueOf(&b).Elem())
}

func identical(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Float32:
		return math.Float32bits(float32(a.Float())) == math.Float32bits(float32(b.Float()))
	case reflect.Float64:
		return math.Float64bits(a.Float()) == math.Float64bits(b.Float())
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return identical(a.Elem(), b.Elem())
	case reflect.Slice, reflect.Array:
		if a.Type() == reflect.TypeFor[json.RawMessage]() && a.CanInterface() {
			return sameDocument(a.Bytes(), b.Bytes())
		}
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !identical(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Struct:
		if a.Type() == reflect.TypeFor[time.Time]() && a.CanInterface() {
			return a.Interface().(time.Time).Equal(b.Interface().(time.Time))
		}
		for i := range a.NumField() {
			if !identical(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	default:
		return a.Equal(b)
	}
}

// sameDocument reports whether two documents of JSON say the same, as jsonb sees it: spaces and the order of members
// say nothing, nor does how a number is written.
func sameDocument(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	read := func(document []byte) (value any, err error) {
		d := json.NewDecoder(bytes.NewReader(document))
		d.UseNumber()
		err = d.Decode(&value)
		return plain(value), err
	}
	v, errA := read(a)
	w, errB := read(b)
	return errA == nil && errB == nil && reflect.DeepEqual(v, w)
}

// plain is a value of JSON with its numbers in one spelling.
func plain(value any) any {
	switch v := value.(type) {
	case json.Number:
		const long = 400 // digits and exponents beyond that are compared as they are spelled
		if r, ok := new(big.Rat).SetString(string(v)); ok && len(v) < long && !longExponent(string(v)) {
			return r.RatString()
		}
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = plain(v[name])
		}
	}
	return value
}

// longExponent reports whether a number's exponent has more than three digits.
func longExponent(number string) bool {
	at := strings.IndexAny(number, "eE")
	return at >= 0 && len(number)-at > len("e+999")
}
