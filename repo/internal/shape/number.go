package shape

import (
	"fmt"
	"reflect"

	"github.com/alwaysup/coexist/value"
)

// CanonicalizeNumbers calls settle for each Number of the aggregate that v points to, with the number that its column
// would hold according to hold. It skips what is the same in before, unless before is nil. It fails with a *FieldError
// for what a column cannot hold.
func (t *Table) CanonicalizeNumbers(hold func(*Column, value.Number) (value.Number, error), before, v any,
	settle func(number reflect.Value, held value.Number, field string) error,
) error {
	w, old := reflect.ValueOf(v).Elem(), reflect.Value{}
	if b := reflect.ValueOf(before); b.IsValid() && !b.IsNil() {
		old = b.Elem()
	}
	each := func(t *Table, v reflect.Value, prefix string, same func(*Column) bool) error {
		for i := range t.Columns {
			c := &t.Columns[i]
			if !c.IsNumber && !c.isList || same(c) {
				continue
			}
			for _, number := range numbersIn(v.FieldByIndex(c.Index)) {
				if !value.Number(number.String()).IsDecimal() {
					continue
				}
				held, err := hold(c, value.Number(number.String()))
				if err != nil {
					return value.OverLimit(c.Field(prefix), "%v", err)
				}
				if err := settle(number, held, c.Field(prefix)); err != nil {
					return err
				}
			}
		}
		return nil
	}
	err := each(t, w, "", func(c *Column) bool {
		return old.IsValid() && Identical(old.FieldByIndex(c.Index), w.FieldByIndex(c.Index))
	})
	for i := range t.Children {
		c := &t.Children[i]
		list := w.FieldByIndex(c.Index)
		if old.IsValid() && Identical(old.FieldByIndex(c.Index), list) {
			continue
		}
		for j := 0; err == nil && j < list.Len(); j++ {
			err = each(&c.Table, list.Index(j), fmt.Sprintf("%s[%d].", c.JSON, j), func(*Column) bool { return false })
		}
	}
	return err
}

// numbersIn returns the Numbers of a field: the field itself, or those in an array.
func numbersIn(v reflect.Value) (numbers []reflect.Value) {
	v = reflect.Indirect(v)
	switch {
	case !v.IsValid():
	case v.Type() == reflect.TypeFor[value.Number]():
		numbers = append(numbers, v)
	case isList(v.Type()) && v.Kind() != reflect.Map && v.Type().Elem().Kind() != reflect.Uint8:
		for i := range v.Len() {
			numbers = append(numbers, numbersIn(v.Index(i))...)
		}
	}
	return numbers
}
