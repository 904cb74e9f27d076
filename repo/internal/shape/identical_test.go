package shape

import (
	"encoding/json"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// kindly has a field of each kind that a model may have.
type kindly struct {
	drawn
	Next *kindly
	Raw  json.RawMessage
	At   time.Time
	Any  any
}

type drawn struct {
	Text   string
	Flag   bool
	Small  int16
	Large  uint64
	Single float32
	Double float64
	Maybe  *string
	Bytes  []byte
	Pair   [2]int
	Names  map[string]*int
	Below  []below
}

type below struct {
	Rank int
	Note *string
}

// The equality that is made once for each type is that which looks at each value's kind.
func TestEqualitiesAreMadeRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		documents := rapid.SampledFrom([]json.RawMessage{nil, {}, []byte("1"), []byte("1.0"), []byte(`{"a": 1}`), []byte(`{"a":1}`)})
		draw := func(label string) kindly {
			k := kindly{drawn: rapid.Make[drawn]().Draw(t, label), Raw: documents.Draw(t, label+" document")}
			k.At = time.Unix(int64(rapid.IntRange(0, 1).Draw(t, label+" time")), 0)
			k.Any = rapid.SampledFrom([]any{nil, 1, "1", 1.0, []any{nil}}).Draw(t, label+" any")
			if rapid.Bool().Draw(t, label+" next") {
				k.Next = &kindly{drawn: rapid.Make[drawn]().Draw(t, label+" below")}
			}
			return k
		}
		a, b := draw("a"), draw("b")
		if rapid.Bool().Draw(t, "same but for one") {
			c := a
			switch rapid.IntRange(0, 5).Draw(t, "one") {
			case 0:
				c.Text = b.Text
			case 1:
				c.Maybe = b.Maybe
			case 2:
				c.Below = b.Below
			case 3:
				c.Names = b.Names
			case 4:
				c.Double = math.Copysign(a.Double, -1)
			case 5:
				c.Next = b.Next
			}
			b = c
		}
		v, w := reflect.ValueOf(&a).Elem(), reflect.ValueOf(&b).Elem()
		if got, want := Identical(v, w), identicalByKind(v, w); got != want {
			t.Fatalf("%+v and %+v: %v, want %v", a, b, got, want)
		}
		if !Identical(v, v) {
			t.Fatalf("%+v is not itself", a)
		}
	})
}

// identicalByKind is Identical by looking at each value.
func identicalByKind(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Float32:
		return math.Float32bits(float32(a.Float())) == math.Float32bits(float32(b.Float()))
	case reflect.Float64:
		return math.Float64bits(a.Float()) == math.Float64bits(b.Float())
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return a.Elem().Type() == b.Elem().Type() && identicalByKind(a.Elem(), b.Elem())
	case reflect.Map:
		if a.IsNil() != b.IsNil() || a.Len() != b.Len() {
			return false
		}
		for _, key := range a.MapKeys() {
			if !b.MapIndex(key).IsValid() || !identicalByKind(a.MapIndex(key), b.MapIndex(key)) {
				return false
			}
		}
		return true
	case reflect.Slice, reflect.Array:
		if a.Type() == reflect.TypeFor[json.RawMessage]() {
			return sameDocument(a.Bytes(), b.Bytes())
		}
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !identicalByKind(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Struct:
		if a.Type() == reflect.TypeFor[time.Time]() {
			return a.Interface().(time.Time).Equal(b.Interface().(time.Time))
		}
		for i := range a.NumField() {
			if !identicalByKind(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	default:
		return a.Equal(b)
	}
}
