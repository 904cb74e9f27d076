package shape

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"reflect"
	"strings"
	"sync"
	"time"
)

// equality reports whether two values of one type are the same, byte for byte, as repo.Identical has it. It is made
// once for each type, since each conversion is proven by comparing whole aggregates.
type equality func(a, b reflect.Value) bool

var equalities sync.Map // from reflect.Type to equality

// Identical reports whether two values of one type are the same, byte for byte, as repo.Identical has it.
func Identical(a, b reflect.Value) bool { return equalityOf(a.Type())(a, b) }

func equalityOf(t reflect.Type) equality {
	if known, ok := equalities.Load(t); ok {
		return known.(equality)
	}
	made := *makeEquality(t, map[reflect.Type]*equality{})
	equalities.Store(t, made)
	return made
}

// makeEquality makes the equality of a type, and of all types within it. A type within itself is already in begun.
func makeEquality(t reflect.Type, begun map[reflect.Type]*equality) *equality {
	if known := begun[t]; known != nil {
		return known
	}
	made := new(equality)
	begun[t] = made
	switch t.Kind() {
	case reflect.String:
		*made = func(a, b reflect.Value) bool { return a.String() == b.String() }
	case reflect.Bool:
		*made = func(a, b reflect.Value) bool { return a.Bool() == b.Bool() }
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		*made = func(a, b reflect.Value) bool { return a.Int() == b.Int() }
	case reflect.Float32:
		*made = func(a, b reflect.Value) bool {
			return math.Float32bits(float32(a.Float())) == math.Float32bits(float32(b.Float()))
		}
	case reflect.Float64:
		*made = func(a, b reflect.Value) bool { return math.Float64bits(a.Float()) == math.Float64bits(b.Float()) }
	case reflect.Pointer:
		within := makeEquality(t.Elem(), begun)
		*made = func(a, b reflect.Value) bool {
			if a.IsNil() || b.IsNil() {
				return a.IsNil() == b.IsNil()
			}
			return (*within)(a.Elem(), b.Elem())
		}
	case reflect.Interface:
		*made = func(a, b reflect.Value) bool {
			if a.IsNil() || b.IsNil() {
				return a.IsNil() == b.IsNil()
			}
			return a.Elem().Type() == b.Elem().Type() && Identical(a.Elem(), b.Elem())
		}
	case reflect.Map:
		*made = sameMaps(makeEquality(t.Elem(), begun))
	case reflect.Slice, reflect.Array:
		*made = sameLists(t, makeEquality(t.Elem(), begun))
	case reflect.Struct:
		*made = sameStructs(t, begun)
	default:
		*made = reflect.Value.Equal
	}
	return made
}

func sameMaps(within *equality) equality {
	return func(a, b reflect.Value) bool {
		if a.IsNil() != b.IsNil() || a.Len() != b.Len() {
			return false
		}
		for members := a.MapRange(); members.Next(); {
			if other := b.MapIndex(members.Key()); !other.IsValid() || !(*within)(members.Value(), other) {
				return false
			}
		}
		return true
	}
}

func sameLists(t reflect.Type, within *equality) equality {
	isDocument := t == reflect.TypeFor[json.RawMessage]()
	isBytes := t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8
	return func(a, b reflect.Value) bool {
		if isDocument && a.CanInterface() {
			return sameDocument(a.Bytes(), b.Bytes())
		}
		if isBytes {
			return bytes.Equal(a.Bytes(), b.Bytes())
		}
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !(*within)(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	}
}

func sameStructs(t reflect.Type, begun map[reflect.Type]*equality) equality {
	fields := make([]*equality, t.NumField())
	for i := range fields {
		fields[i] = makeEquality(t.Field(i).Type, begun)
	}
	isTime := t == reflect.TypeFor[time.Time]()
	return func(a, b reflect.Value) bool {
		if isTime && a.CanInterface() {
			return a.Interface().(time.Time).Equal(b.Interface().(time.Time))
		}
		for i, same := range fields {
			if !(*same)(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
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
