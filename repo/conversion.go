package repo

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/shape"
	"github.com/alwaysup/coexist/value"
)

// The conversions between the shapes: the calls of the mapping, and the proofs of their results.

// guarded is a mapping whose panics are errors, and which may change a copy that it gets: what was read stays as it is,
// since storers and proofs compare with it.
type guarded[V1, V2 any] struct{ mapping Mapping[V1, V2] }

func (g guarded[V1, V2]) Upgrade(v1 V1) (v2 V2, err error) {
	defer recovered(&err)
	return g.mapping.Upgrade(v1)
}

func (g guarded[V1, V2]) Merge(v1 V1, v2 V2) (_ V2, err error) {
	defer recovered(&err)
	if v2, err = shape.DeepCopy(v2); err != nil {
		return v2, err
	}
	return g.mapping.Merge(v1, v2)
}

func (g guarded[V1, V2]) Downgrade(v2 V2) (v1 V1, err error) {
	defer recovered(&err)
	return g.mapping.Downgrade(v2)
}

// Remigrate may be called only if remigrates returns true.
func (g guarded[V1, V2]) Remigrate(v1 V1, v2 V2, fromVersion int) (_ V2, err error) {
	defer recovered(&err)
	if v2, err = shape.DeepCopy(v2); err != nil {
		return v2, err
	}
	return g.mapping.(Remigrator[V1, V2]).Remigrate(v1, v2, fromVersion)
}

func (g guarded[V1, V2]) remigrates() bool {
	_, can := g.mapping.(Remigrator[V1, V2])
	return can
}

// recovered turns a panic into an error. Each call of a mapping defers it.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the mapping panics: %v", p)
	}
}

// upgraded converts a V1 aggregate without a copy, and proves it.
func (r *Repository[V1, V2]) upgraded(v1 V1) (v2 V2, err error) {
	if v2, err = r.mapping.Upgrade(v1); err == nil {
		err = r.prove(v1, v2)
	}
	return v2, err
}

// merged brings a V2 aggregate up to a V1 aggregate, and proves it.
func (r *Repository[V1, V2]) merged(v1 V1, v2 V2) (V2, error) {
	merged, err := r.mapping.Merge(v1, v2)
	if err == nil {
		err = r.prove(v1, merged)
	}
	return merged, err
}

// prove checks a conversion against law 1 or 2: V1 clients cannot tell whether their rows come from V2. V2's columns
// must be able to hold the conversion, too.
func (r *Repository[V1, V2]) prove(v1 V1, v2 V2) error {
	if err := r.v2.CheckLimits(nil, &v2); err != nil {
		return fmt.Errorf("V2 cannot hold it: %w", err)
	}
	back, err := r.mapping.Downgrade(v2)
	if err != nil {
		return fmt.Errorf("its conversion cannot be converted back: %w", err)
	}
	if !Identical(back, v1) {
		return Faulty(shape.FirstDifference(&v1, &back), "would not survive the conversion to V2 and back")
	}
	if r.keyOf(r.v2, &v2) != r.keyOf(r.v1, &v1) {
		return Faulty("", "the mapping changes the key")
	}
	return nil
}

// conversionError wraps err. A FieldError that is wrapped in another error names a field of another shape. That field
// stays in the message only.
func (r *Repository[V1, V2]) conversionError(key string, err error) *ConversionError {
	fault := FieldError{Reason: err.Error()}
	if direct, ok := err.(*FieldError); ok { //nolint:errorlint // only an error that is not wrapped
		fault = *direct
	}
	return &ConversionError{Entity: r.name, Key: key, FieldError: fault}
}

// holdable fails where V1's columns cannot hold a value of a V1 aggregate unchanged. Values that they already hold, as
// held has them, pass.
func (r *Repository[V1, V2]) holdable(held, v1 *V1) error {
	if err := r.v1.CheckLimits(held, v1); err != nil {
		return err
	}
	return r.v1.CanonicalizeNumbers(r.db.dialect.Held, held, v1, func(number reflect.Value, settled value.Number,
		path string,
	) error {
		if string(settled) != number.String() {
			return value.OverLimit(path, "has more digits than there is room for")
		}
		return nil
	})
}

// represent converts a V2 aggregate that a client wants to write to V1, and proves that V1 holds it: what is read back
// through V1 must be what was written. before is the V1 row as it is, or nil. It fails with a *NotRepresentableError.
func (r *Repository[V1, V2]) represent(before *V1, v2 V2) (v1 V1, err error) {
	if v1, err = r.downgrade(v2); err != nil {
		return v1, err
	}
	if err = r.holdable(before, &v1); err != nil {
		fault := field(err)
		fault.Field = r.fieldOfV2(v1, fault.Field, v2)
		fault.Reason = "V1 cannot hold it: it " + fault.Reason
		return v1, notRepresentable(&fault)
	}
	merged, err := r.mapping.Merge(v1, v2)
	if err != nil {
		return v1, notRepresentable(err)
	}
	if !Identical(merged, v2) {
		return v1, notRepresentable(Faulty(shape.FirstDifference(&v2, &merged), "V1 would not give it back"))
	}
	if _, err := r.mapping.Upgrade(v1); err != nil {
		fault := field(err)
		if fault.Field = fault.FieldOfV2; fault.Field == "" {
			fault.Field = r.fieldOfV2(v1, field(err).Field, v2)
		}
		return v1, notRepresentable(&fault)
	}
	return v1, nil
}

// downgrade converts v2 to V1. It fails with a *NotRepresentableError for what V1 has no place for.
func (r *Repository[V1, V2]) downgrade(v2 V2) (v1 V1, err error) {
	if v1, err = r.mapping.Downgrade(v2); err != nil {
		return v1, notRepresentable(err)
	}
	return v1, nil
}

func notRepresentable(err error) error { return &NotRepresentableError{field(err)} }

// fieldOfV2 finds the field of v2 that a field of v1 comes from, where v1 is the Downgrade of v2. By law 4, it is the
// field that Merge changes when v1 changes in that field only. Where that shows none, it returns the field of v1.
func (r *Repository[V1, V2]) fieldOfV2(v1 V1, v1Field string, v2 V2) string {
	for _, value := range []func(reflect.Value) bool{shortValue, noValue} {
		changed, err := shape.DeepCopy(v1)
		if err != nil || !change(reflect.ValueOf(&changed).Elem(), v1Field, value) {
			continue
		}
		merged, err := r.mapping.Merge(changed, v2)
		if err == nil && !Identical(merged, v2) {
			return shape.FirstDifference(&v2, &merged)
		}
	}
	return v1Field
}

// change applies value to the field at a path, such as "details[2].quantity", and reports whether that has changed it.
func change(v reflect.Value, path string, value func(reflect.Value) bool) bool {
	name, rest, nested := strings.Cut(path, ".")
	name, index, indexed := strings.Cut(name, "[")
	for i := range v.NumField() {
		if t := v.Type().Field(i); t.Anonymous && shape.JoinPath("", t) == "" && change(v.Field(i), path, value) {
			return true
		}
		if shape.JSONName(v.Type().Field(i)) != name {
			continue
		}
		f := v.Field(i)
		if indexed {
			var n int
			if _, err := fmt.Sscanf(index, "%d]", &n); err != nil || n >= f.Len() {
				return false
			}
			f = f.Index(n)
		}
		if nested {
			return f.Kind() == reflect.Struct && change(f, rest, value)
		}
		return value(f)
	}
	return false
}

// shortValue changes a value to one that is valid nearly everywhere.
func shortValue(f reflect.Value) bool {
	if f.Kind() == reflect.Pointer && !f.IsNil() {
		f = f.Elem()
	}
	switch {
	case f.Type() == reflect.TypeFor[value.Number]():
		f.SetString("1")
	case f.Kind() == reflect.String && f.Len() > 1:
		f.SetString("x")
	case f.CanInt():
		f.SetInt(1)
	case f.CanFloat():
		f.SetFloat(1)
	default:
		return false
	}
	return true
}

// noValue sets an optional value to nil.
func noValue(f reflect.Value) bool {
	if f.Kind() != reflect.Pointer || f.IsNil() {
		return false
	}
	f.SetZero()
	return true
}
