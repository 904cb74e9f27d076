package shape

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alwaysup/coexist/value"
)

// Row is a table row, or a part of it, on its way to the database: column name to value.
type Row map[string]any

// Row returns v's columns.
func (t *Table) Row(v reflect.Value) Row {
	r := make(Row, len(t.Columns)+8)
	for i := range t.Columns {
		r[t.Columns[i].Name] = t.Columns[i].toDatabase(v.FieldByIndex(t.Columns[i].Index))
	}
	return r
}

// toDatabase returns what is written for a field of the model.
func (c *Column) toDatabase(field reflect.Value) any {
	if number := reflect.Indirect(field); c.IsNumber && number.IsValid() && TypeFamily(c.Declared) == "text" {
		return number.String() // a JSON number would be computed with on its way
	}
	return field.Interface()
}

// Rows returns the child rows of the aggregate v, with its key. Rows that have no key of their own also get their
// position.
func (c *Child) Rows(v reflect.Value, key any) []Row {
	list := v.FieldByIndex(c.Index)
	rows := make([]Row, list.Len())
	for i := range list.Len() {
		rows[i] = c.Row(list.Index(i))
		rows[i][c.ParentKey] = key
		if len(c.Own) == 0 {
			rows[i][PositionColumn] = i
		}
	}
	return rows
}

// KeyColumns returns the columns that tell the rows of the table apart.
func (c *Child) KeyColumns(key Column) []Column {
	key.Name = c.ParentKey
	columns := []Column{key}
	for _, i := range c.Own {
		columns = append(columns, c.Columns[i])
	}
	if len(c.Own) == 0 {
		columns = append(columns, Column{Name: PositionColumn, Declared: "integer"})
	}
	return columns
}

// AllColumns returns the columns of a child table that the engine writes.
func (c *Child) AllColumns(key Column) []Column {
	columns := c.KeyColumns(key)
	for i := range c.Columns {
		if !slices.Contains(c.Own, i) {
			columns = append(columns, c.Columns[i])
		}
	}
	return columns
}

// Field is the column's field in the JSON names of the model. prefix is that of a child row, such as "details[2].".
func (c *Column) Field(prefix string) string { return prefix + strings.Join(c.Path, ".") }

// CheckLimits looks for the first value in v that its column cannot hold. It skips values that are the same in before,
// unless before is nil. It returns nil or a *FieldError with the path in the model.
func (t *Table) CheckLimits(before, v any) error {
	w := reflect.ValueOf(v).Elem()
	old := reflect.Value{}
	if b := reflect.ValueOf(before); b.IsValid() && !b.IsNil() {
		old = b.Elem()
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		if old.IsValid() && Identical(old.FieldByIndex(c.Index), w.FieldByIndex(c.Index)) {
			continue
		}
		if at := w.FieldByIndex(c.Index); !c.holds(at) {
			if err := c.CheckValue(at, ""); err != nil {
				return err
			}
		}
	}
	for i := range t.Children {
		c := &t.Children[i]
		list := w.FieldByIndex(c.Index)
		if old.IsValid() && Identical(old.FieldByIndex(c.Index), list) {
			continue
		}
		if err := c.checkLimits(list); err != nil {
			return err
		}
	}
	return nil
}

func (c *Child) checkLimits(list reflect.Value) error {
	var seen map[string]bool
	if len(c.Own) > 0 {
		seen = make(map[string]bool, list.Len())
	}
	for i := range list.Len() {
		row := list.Index(i)
		for j := range c.Columns {
			at := row.FieldByIndex(c.Columns[j].Index)
			if !c.Columns[j].holds(at) {
				if err := c.Columns[j].CheckValue(at, fmt.Sprintf("%s[%d].", c.JSON, i)); err != nil {
					return err
				}
			}
		}
		if len(c.Own) == 0 {
			continue
		}
		prefix := fmt.Sprintf("%s[%d].", c.JSON, i)
		identity := c.identity(row)
		if len(c.Own) == 1 && list.Index(i).FieldByIndex(c.Columns[c.Own[0]].Index).IsZero() &&
			(c.Columns[c.Own[0]].Now().Generator != "" || c.Columns[c.Own[0]].Now().Primary) {
			continue // the database draws it
		}
		if seen[identity] {
			return value.Faulty(c.Columns[c.Own[0]].Field(prefix), "appears twice")
		}
		seen[identity] = true
	}
	return nil
}

// holds reports whether a column surely holds a value: CheckValue would find nothing. It is the short way for the
// values that most columns have.
func (c *Column) holds(v reflect.Value) bool {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return true
		}
		v = v.Elem()
	}
	l := c.limits()
	switch {
	case v.Kind() == reflect.String:
		s := v.String()
		return (l.Runes == 0 || len(s) <= l.Runes) && strings.IndexByte(s, 0) < 0 && utf8.ValidString(s)
	case v.CanInt():
		return !l.Ranged || v.Int() >= l.Min && v.Int() <= l.Max
	default:
		return v.Kind() == reflect.Bool
	}
}

// CheckValue checks a value against its column. It counts characters, not bytes.
func (c *Column) CheckValue(v reflect.Value, prefix string) error {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	l := c.Now().Limits
	switch {
	case v.Kind() == reflect.String:
		s := v.String()
		switch {
		case !utf8.ValidString(s):
			return value.Faulty(c.Field(prefix), "is not valid UTF-8")
		case strings.ContainsRune(s, 0):
			return value.Faulty(c.Field(prefix), "contains a NUL character")
		case l.Runes > 0 && utf8.RuneCountInString(s) > l.Runes:
			return value.OverLimit(c.Field(prefix), "has %d characters, but at most %d are allowed",
				utf8.RuneCountInString(s), l.Runes)
		}
	case v.CanInt() && l.Ranged && (v.Int() < l.Min || v.Int() > l.Max):
		return value.OverLimit(c.Field(prefix), "is %d, but must be from %d to %d", v.Int(), l.Min, l.Max)
	case v.CanUint() && l.Ranged && v.Uint() > uint64(l.Max):
		return value.OverLimit(c.Field(prefix), "is %d, but must be at most %d", v.Uint(), l.Max)
	case v.CanFloat() && (math.IsNaN(v.Float()) || math.IsInf(v.Float(), 0)):
		return value.Faulty(c.Field(prefix), "is %v, which JSON cannot say", v.Float())
	case v.Kind() == reflect.Struct || v.Kind() == reflect.Slice || v.Kind() == reflect.Map ||
		v.Kind() == reflect.Array:
		return c.checkDocument(v, prefix)
	}
	return nil
}

// checkDocument checks a value that is not of a basic Go type. It is written as JSON, which must be able to express it.
func (c *Column) checkDocument(v reflect.Value, prefix string) error {
	switch held := v.Interface().(type) {
	case time.Time:
		_, offset := held.Zone()
		switch year := held.Year(); {
		case year < 0 || year > 9999:
			return value.OverLimit(c.Field(prefix), "is in year %d, but must be from 0 to 9999", year)
		case offset%60 != 0:
			return value.Faulty(c.Field(prefix), "is in a time zone whose offset has seconds: give it in UTC")
		case held.Nanosecond()%1000 != 0:
			return value.OverLimit(c.Field(prefix), "is finer than a microsecond")
		}
		return nil
	case json.RawMessage:
		if held != nil && (!json.Valid(held) || !utf8.Valid(held)) {
			return value.Faulty(c.Field(prefix), "is not valid JSON")
		}
		return nil
	case json.Marshaler, encoding.TextMarshaler, []byte:
	default:
		if v.Kind() == reflect.Slice || v.Kind() == reflect.Array {
			for i := range v.Len() {
				if err := c.checkElement(reflect.Indirect(v.Index(i)), prefix); err != nil {
					return err
				}
			}
			if strings.HasSuffix(c.Now().SQLType, "[]") && !isBlock(v) {
				return value.Faulty(c.Field(prefix),
					"is an array whose parts are of different lengths, or empty, which V1 cannot hold")
			}
		}
	}
	if _, err := json.Marshal(v.Interface()); err != nil {
		return value.Faulty(c.Field(prefix), "cannot be written: %s", FirstLine(err))
	}
	return nil
}

// isBlock reports whether all parts of an array of several dimensions are equally long at each depth, and not empty.
func isBlock(v reflect.Value) bool {
	parts := []reflect.Value{v}
	for range DimensionsOf(v.Type()) - 1 {
		var below []reflect.Value
		for _, part := range parts {
			for i := range part.Len() {
				below = append(below, part.Index(i))
			}
		}
		for _, part := range below {
			if part.Len() == 0 || part.Len() != below[0].Len() {
				return false
			}
		}
		parts = below
	}
	return true
}

// checkElement is CheckValue for an element of an array.
func (c *Column) checkElement(v reflect.Value, prefix string) error {
	switch {
	case v.Kind() == reflect.String && !utf8.ValidString(v.String()):
		return value.Faulty(c.Field(prefix), "is not valid UTF-8")
	case v.Kind() == reflect.String && strings.ContainsRune(v.String(), 0):
		return value.Faulty(c.Field(prefix), "contains a NUL character")
	case v.Kind() == reflect.Struct || v.Kind() == reflect.Slice || v.Kind() == reflect.Map ||
		v.Kind() == reflect.Array:
		return c.checkDocument(v, prefix)
	default:
		return nil
	}
}

// DeepCopy returns a copy of an aggregate that shares nothing with it.
func DeepCopy[T any](v T) (T, error) {
	var w T
	document, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(document, &w)
	}
	return w, err
}

// Marshal returns a list of rows as an argument of a statement.
func Marshal(rows []Row) (string, error) {
	document, err := json.Marshal(rows)
	return string(document), err
}

// FirstLine returns the first line of an error's message.
func FirstLine(err error) string {
	line, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	return line
}
