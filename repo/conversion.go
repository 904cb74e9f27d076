package repo

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/shape"
	"github.com/alwaysup/coexist/value"
)

// The conversions between the shapes: what calls the mapping, and what proves what comes of it.

// guarded is a mapping whose panics are errors.
type guarded[V1, V2 any] struct{ mapping Mapping[V1, V2] }

func (g guarded[V1, V2]) Upgrade(v1 V1) (v2 V2, err error) {
	defer recovered(&err)
	return g.mapping.Upgrade(v1)
}

func (g guarded[V1, V2]) Merge(v1 V1, v2 V2) (_ V2, err error) {
	defer recovered(&err)
	return g.mapping.Merge(v1, v2)
}

func (g guarded[V1, V2]) Downgrade(v2 V2) (v1 V1, err error) {
	defer recovered(&err)
	return g.mapping.Downgrade(v2)
}

// Remigrate may be called if remigrates says so.
func (g guarded[V1, V2]) Remigrate(v1 V1, v2 V2, fromVersion int) (_ V2, err error) {
	defer recovered(&err)
	return g.mapping.(Remigrator[V1, V2]).Remigrate(v1, v2, fromVersion)
}

func (g guarded[V1, V2]) remigrates() bool {
	_, can := g.mapping.(Remigrator[V1, V2])
	return can
}

// recovered is deferred by what calls a mapping.
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

// prove holds a conversion against law 1 or 2: V1 clients cannot tell when their rows come from V2. V2's columns must
// hold it, too.
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

// conversionError wraps err. The field of a FieldError that is wrapped in other words is of another shape, and is left
// in the words.
func (r *Repository[V1, V2]) conversionError(key string, err error) *ConversionError {
	fault := FieldError{Reason: err.Error()}
	if direct, ok := err.(*FieldError); ok { //nolint:errorlint // only an error that is not wrapped
		fault = *direct
	}
	return &ConversionError{Entity: r.name, Key: key, FieldError: fault}
}

// holdable says what of a V1 aggregate the columns of V1 cannot hold as it is, but for what they already hold.
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

// downgrade converts back, with a *NotRepresentableError for what V1 has no place for.
func (r *Repository[V1, V2]) downgrade(v2 V2) (v1 V1, err error) {
	if v1, err = r.mapping.Downgrade(v2); err != nil {
		return v1, notRepresentable(err)
	}
	return v1, nil
}

func notRepresentable(err error) error { return &NotRepresentableError{field(err)} }

// fieldOfV2 finds the field of v2 that a field of v1, which is its Downgrade, comes from: by law 4 it is what Merge
// changes when v1 changes in that field only. It returns the field of v1 when that tells nothing.
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

// change changes the field at a path, such as "details[2].quantity", to what value makes of it.
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

// noValue takes a value away.
func noValue(f reflect.Value) bool {
	if f.Kind() != reflect.Pointer || f.IsNil() {
		return false
	}
	f.SetZero()
	return true
}
