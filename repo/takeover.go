package repo

import (
	"reflect"
	"slices"

	"github.com/alwaysup/coexist/repo/internal/shape"
)

// Comparing what V1 holds after a write with what was written.

// takeOver returns the V2 aggregate v2 that a client has written, changed by what V1 has made of it. wanted is what was
// written to V1, and held is what V1 holds now. before is what V1 held, nil for a new row. takeOver fails with a
// *NotRepresentableError where V1 does not keep what the client has said.
func (r *Repository[V1, V2]) takeOver(before *V1, wanted, held V1, v2 V2) (V2, error) {
	if Identical(held, wanted) {
		return v2, nil
	}
	said := r.v1.Said(before, &wanted)
	for place, path := range r.v1.Changes(reflect.ValueOf(&wanted).Elem(), reflect.ValueOf(&held).Elem()) {
		if said[place] {
			return v2, notRepresentable(Faulty(r.fieldOfV2(wanted, path, v2),
				"the V1 database does not keep it as it was written"))
		}
	}
	merged, err := r.merged(held, v2)
	if err != nil {
		return v2, notRepresentable(err)
	}
	return merged, nil
}

// notBroughtBack fails with a *ConflictError where V1 does not hold what was written to it, in a place where that
// differs from stale, the row as it was before CONTRACT. What V1's owner makes of such an old row is no newer than what
// V2 has.
func (r *Repository[V1, V2]) notBroughtBack(stale, wanted, held *V1) error {
	led := r.v1.Changes(reflect.ValueOf(stale).Elem(), reflect.ValueOf(wanted).Elem())
	for place, path := range r.v1.Changes(reflect.ValueOf(wanted).Elem(), reflect.ValueOf(held).Elem()) {
		if _, changed := led[place]; changed {
			return &ConflictError{"V1 is being rebuilt, and its own triggers or rules do not keep " + path + " of " +
				r.name + " " + r.keyOf(r.v1, wanted) + " as V2 has it"}
		}
	}
	return nil
}

// sameRows reports whether two V1 aggregates are the same rows. V1 orders child rows only by their keys, whatever their
// order is in V2.
func (r *Repository[V1, V2]) sameRows(a, b *V1) bool {
	if Identical(*a, *b) {
		return true
	}
	keyed := !slices.ContainsFunc(r.v1.Children, func(c shape.Child) bool { return len(c.Own) == 0 })
	return keyed && len(r.v1.Changes(reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem())) == 0
}
