package shape

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"reflect"
	"strings"
	"time"
)

// Identical reports whether two values of one type are the same, byte for byte, as repo.Identical has it.
func Identical(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Float32:
		return math.Float32bits(float32(a.Float())) == math.Float32bits(float32(b.Float()))
	case reflect.Float64:
		return math.Float64bits(a.Float()) == math.Float64bits(b.Float())
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return a.Elem().Type() == b.Elem().Type() && Identical(a.Elem(), b.Elem())
	case reflect.Map:
		if a.IsNil() != b.IsNil() || a.Len() != b.Len() {
			return false
		}
		for members := a.MapRange(); members.Next(); {
			if other := b.MapIndex(members.Key()); !other.IsValid() || !Identical(members.Value(), other) {
				return false
			}
		}
		return true
	case reflect.Slice, reflect.Array:
		if a.Type() == reflect.TypeFor[json.RawMessage]() && a.CanInterface() {
			return sameDocument(a.Bytes(), b.Bytes())
		}
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !Identical(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Struct:
		if a.Type() == reflect.TypeFor[time.Time]() && a.CanInterface() {
			return a.Interface().(time.Time).Equal(b.Interface().(time.Time))
		}
		for i := range a.NumField() {
			if !Identical(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	default:
		return a.Equal(b)
	}
}

// sameDocument reports whether two JSON documents are equal as jsonb sees it: spaces, the order of members and the
// spelling of numbers do not matter.
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

// plain returns a JSON value with its numbers in one spelling.
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
