package repo

import (
	"fmt"
	"reflect"
	"slices"
)

// What V1 holds after a write, against what was written.

// takeOver returns the V2 aggregate that a client has written with what V1 has made of it: wanted is what was written
// to V1, held what V1 holds, before what it held, nil for a new row. It fails with a *NotRepresentableError where V1
// does not keep what the client has said.
func (r *Repository[V1, V2]) takeOver(before *V1, wanted, held V1, v2 V2) (V2, error) {
	if Identical(held, wanted) {
		return v2, nil
	}
	said := r.v1.said(before, &wanted)
	for place, path := range r.v1.changes(reflect.ValueOf(&wanted).Elem(), reflect.ValueOf(&held).Elem()) {
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

// notBroughtBack fails with a *ConflictError where V1 does not hold what was written to it in a place that differs from
// stale, the row as it was before CONTRACT: what V1's owner makes of such a row is no newer than what V2 has.
func (r *Repository[V1, V2]) notBroughtBack(stale, wanted, held *V1) error {
	led := r.v1.changes(reflect.ValueOf(stale).Elem(), reflect.ValueOf(wanted).Elem())
	for place, path := range r.v1.changes(reflect.ValueOf(wanted).Elem(), reflect.ValueOf(held).Elem()) {
		if _, changed := led[place]; changed {
			return &ConflictError{"V1 is being rebuilt, and its own triggers or rules do not keep " + path + " of " +
				r.name + " " + r.keyOf(r.v1, wanted) + " as V2 has it"}
		}
	}
	return nil
}

// sameRows reports whether two V1 aggregates are the same rows. V1 knows no order of child rows but that of their keys,
// whatever V2's is.
func (r *Repository[V1, V2]) sameRows(a, b *V1) bool {
	if Identical(*a, *b) {
		return true
	}
	keyed := !slices.ContainsFunc(r.v1.children, func(c child) bool { return len(c.own) == 0 })
	return keyed && len(r.v1.changes(reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem())) == 0
}

// said are the places of an aggregate in which a client has changed it, or which it has filled in a new one.
func (t *table) said(before, after any) map[string]bool {
	said := map[string]bool{}
	w := reflect.ValueOf(after).Elem()
	if b := reflect.ValueOf(before); !b.IsNil() {
		for place := range t.changes(b.Elem(), w) {
			said[place] = true
		}
		return said
	}
	for i := range t.columns {
		if !w.FieldByIndex(t.columns[i].index).IsZero() {
			said[t.columns[i].name] = true
		}
	}
	for i := range t.children {
		c := &t.children[i]
		for list, j := w.FieldByIndex(c.index), 0; j < list.Len(); j++ {
			row := c.place(list.Index(j))
			said[row] = true
			for k := range c.columns {
				if !list.Index(j).FieldByIndex(c.columns[k].index).IsZero() {
					said[row+c.columns[k].name] = true
				}
			}
		}
	}
	return said
}

// changes are the places in which two states of an aggregate differ, and the fields that they are in the first:
// columns, child rows that are in one of them alone, and columns of child rows that are in both.
func (t *table) changes(v, w reflect.Value) map[string]string {
	changes := map[string]string{}
	for i := range t.columns {
		c := &t.columns[i]
		if !identical(v.FieldByIndex(c.index), w.FieldByIndex(c.index)) {
			changes[c.name] = c.field("")
		}
	}
	for i := range t.children {
		c := &t.children[i]
		before, after := v.FieldByIndex(c.index), w.FieldByIndex(c.index)
		others := map[string]reflect.Value{}
		for j := range after.Len() {
			others[c.place(after.Index(j))] = after.Index(j)
		}
		for j := range before.Len() {
			row := c.place(before.Index(j))
			other, there := others[row]
			delete(others, row)
			if !there {
				changes[row] = fmt.Sprintf("%s[%d]", c.json, j)
				continue
			}
			for k := range c.columns {
				if at := c.columns[k].index; !identical(before.Index(j).FieldByIndex(at), other.FieldByIndex(at)) {
					changes[row+c.columns[k].name] = c.columns[k].field(fmt.Sprintf("%s[%d].", c.json, j))
				}
			}
		}
		for row := range others {
			changes[row] = c.json
		}
	}
	return changes
}

// place tells a child row from all others, and from columns.
func (c *child) place(row reflect.Value) string { return c.name + "\x00" + c.identity(row) }
