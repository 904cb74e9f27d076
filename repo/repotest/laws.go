package repotest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/alwaysup/coexist/repo"
)

// Laws checks the laws of a mapping on random rows, which rapid makes. All fields are required.
type Laws[V1, V2 any] struct {
	Mapping repo.Mapping[V1, V2]
	// V1 makes rows. Some of them cannot be converted.
	V1 func(*rapid.T) V1
	// V2 makes aggregates as clients write them. V1 cannot hold some of them.
	V2 func(*rapid.T) V2
	// Refines says, for each field of V1 by its JSON name, which fields of V2 may change when only that field changes.
	Refines map[string][]string
}

// Check runs the laws as property tests.
func (l Laws[V1, V2]) Check(t *testing.T) {
	t.Run("upgrade and back", rapid.MakeCheck(l.upgrade))
	t.Run("merge and back", rapid.MakeCheck(l.merge))
	t.Run("merge of what it says already", rapid.MakeCheck(l.mergeSame))
	t.Run("locality", rapid.MakeCheck(l.locality))
	t.Run("merge into what nobody refined", rapid.MakeCheck(l.mergeUnrefined))
}

// Fuzz runs the laws as a fuzz target.
func (l Laws[V1, V2]) Fuzz(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		l.upgrade(t)
		l.merge(t)
		l.mergeSame(t)
		l.locality(t)
		l.mergeUnrefined(t)
	}))
}

// upgrade is law 1: Downgrade(Upgrade(v1)) = v1.
func (l Laws[V1, V2]) upgrade(t *rapid.T) {
	v1 := l.V1(t)
	v2, err := l.Mapping.Upgrade(v1)
	if err != nil {
		return // a mapping may refuse a row: the refusal loses nothing
	}
	back, err := l.Mapping.Downgrade(v2)
	if err != nil || !repo.Identical(back, v1) {
		t.Fatalf("law 1 is broken: Downgrade(Upgrade(v1)) is not v1\nv1   %s\nv2   %s\nback %s %v", show(v1),
			show(v2), show(back), err)
	}
}

// merge is law 2: Downgrade(Merge(v1, v2)) = v1.
func (l Laws[V1, V2]) merge(t *rapid.T) {
	v1, v2 := l.V1(t), l.V2(t)
	if _, err := l.Mapping.Downgrade(v2); err != nil {
		return
	}
	merged, err := l.Mapping.Merge(v1, v2)
	if err != nil {
		return
	}
	back, err := l.Mapping.Downgrade(merged)
	if err != nil || !repo.Identical(back, v1) {
		t.Fatalf("law 2 is broken: Downgrade(Merge(v1, v2)) is not v1\nv1     %s\nv2     %s\nmerged %s\nback   %s %v",
			show(v1), show(v2), show(merged), show(back), err)
	}
}

// mergeSame is law 3: Merge(Downgrade(v2), v2) = v2.
func (l Laws[V1, V2]) mergeSame(t *rapid.T) {
	v2 := l.V2(t)
	v1, err := l.Mapping.Downgrade(v2)
	if err != nil {
		return
	}
	if _, err := l.Mapping.Upgrade(v1); err != nil {
		return // the engine refuses to write such a v2
	}
	merged, err := l.Mapping.Merge(v1, v2)
	if err != nil || !repo.Identical(merged, v2) {
		t.Fatalf("law 3 is broken: Merge(Downgrade(v2), v2) is not v2\nv2     %s\nv1     %s\nmerged %s %v", show(v2),
			show(v1), show(merged), err)
	}
}

// locality is law 4: a change of one field of V1 changes only the parts of V2 that refine that field.
func (l Laws[V1, V2]) locality(t *rapid.T) {
	v2, other := l.V2(t), l.V1(t)
	v1, err := l.Mapping.Downgrade(v2)
	if err != nil {
		return
	}
	v := reflect.ValueOf(&v1).Elem()
	i := rapid.IntRange(0, v.NumField()-1).Draw(t, "field")
	v.Field(i).Set(reflect.ValueOf(other).Field(i))
	merged, err := l.Mapping.Merge(v1, v2)
	if err != nil {
		return
	}
	field := jsonName(v.Type().Field(i))
	allowed, known := l.Refines[field]
	if !known {
		t.Fatalf("Refines does not say what field %s of V1 may change", field)
	}
	for _, path := range changed(reflect.ValueOf(v2), reflect.ValueOf(merged), "") {
		if !slices.ContainsFunc(allowed, func(a string) bool { return path == a || strings.HasPrefix(path, a+".") }) {
			t.Fatalf("law 4 is broken: V1's %s has changed V2's %s\nv1     %s\nv2     %s\nmerged %s", field, path,
				show(v1), show(v2), show(merged))
		}
	}
}

// mergeUnrefined is law 5: Merge(v1, Upgrade(w)) = Upgrade(v1) for any w.
func (l Laws[V1, V2]) mergeUnrefined(t *rapid.T) {
	v1, w := l.V1(t), l.V1(t)
	want, err := l.Mapping.Upgrade(v1)
	if err != nil {
		return
	}
	copied, err := l.Mapping.Upgrade(w)
	if err != nil {
		return
	}
	merged, err := l.Mapping.Merge(v1, copied)
	if err != nil || !repo.Identical(merged, want) {
		t.Fatalf(
			"law 5 is broken: Merge(v1, Upgrade(w)) is not Upgrade(v1)\nv1      %s\nw       %s\nupgrade %s\nmerged  %s %v", show(v1), show(w), show(want), show(merged), err)
	}
}

// changed lists the paths in which two structs differ.
func changed(a, b reflect.Value, prefix string) []string {
	var paths []string
	for i := range a.NumField() {
		name := prefix + jsonName(a.Type().Field(i))
		switch {
		case a.Type().Field(i).Anonymous:
			paths = append(paths, changed(a.Field(i), b.Field(i), prefix)...)
		case a.Field(i).Kind() == reflect.Struct && isPlain(a.Field(i).Type()):
			paths = append(paths, changed(a.Field(i), b.Field(i), name+".")...)
		case show(a.Field(i).Interface()) != show(b.Field(i).Interface()):
			paths = append(paths, name)
		}
	}
	return paths
}

// isPlain reports whether a struct is nothing more than its fields, unlike a time or a decimal.
func isPlain(t reflect.Type) bool {
	for i := range t.NumField() {
		if !t.Field(i).IsExported() {
			return false
		}
	}
	return !t.Implements(reflect.TypeFor[json.Marshaler]()) &&
		!reflect.PointerTo(t).Implements(reflect.TypeFor[json.Marshaler]())
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "" {
		return f.Name
	}
	return name
}

func show(v any) string {
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Slice && rv.Len() == 0 {
		return "[]" // a database does not tell nil from empty
	}
	document, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%+v", v)
	}
	return string(document)
}
