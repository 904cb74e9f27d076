package repo

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
)

// row is a table row, or a part of it, on its way to the database: column name to value.
type row map[string]any

// row returns v's columns.
func (t *table) row(v reflect.Value) row {
	r := make(row, len(t.columns)+8)
	for i := range t.columns {
		r[t.columns[i].name] = t.columns[i].toDatabase(v.FieldByIndex(t.columns[i].index))
	}
	return r
}

// toDatabase is what is written for a field of the model.
func (c *column) toDatabase(field reflect.Value) any {
	if number := reflect.Indirect(field); c.isNumber && number.IsValid() && typeFamily(c.declared) == "text" {
		return number.String() // a JSON number would be computed with on its way
	}
	return field.Interface()
}

// rows returns the child rows of the aggregate v, with its key; those that have no key of their own with their
// position.
func (c *child) rows(v reflect.Value, key any) []row {
	list := v.FieldByIndex(c.index)
	rows := make([]row, list.Len())
	for i := range list.Len() {
		rows[i] = c.row(list.Index(i))
		rows[i][c.parentKey] = key
		if len(c.own) == 0 {
			rows[i][positionColumn] = i
		}
	}
	return rows
}

// keyColumns are those that tell the rows of the table apart.
func (c *child) keyColumns(key column) []column {
	key.name = c.parentKey
	columns := []column{key}
	for _, i := range c.own {
		columns = append(columns, c.columns[i])
	}
	if len(c.own) == 0 {
		columns = append(columns, column{name: positionColumn, declared: "integer"})
	}
	return columns
}

// allColumns are the columns of a child table that the engine writes.
func (c *child) allColumns(key column) []column {
	columns := c.keyColumns(key)
	for i := range c.columns {
		if !slices.Contains(c.own, i) {
			columns = append(columns, c.columns[i])
		}
	}
	return columns
}

// path is a field in the JSON names of the model. prefix is that of a child row, such as "details[2].".
func (c *column) field(prefix string) string { return prefix + strings.Join(c.path, ".") }

// childChange is how the child rows of one table differ between two states of an aggregate.
type childChange struct {
	child             *child
	deleted, inserted []row
	updated           []row
	before            []row    // the updated ones, as they were
	updatedColumns    []column // those that differ in any updated row
}

// difference is what must be written to turn one state of a V1 aggregate into another.
type difference struct {
	columns  []column // of the root
	row      row
	children []childChange
}

func (d *difference) empty() bool { return len(d.columns) == 0 && len(d.children) == 0 }

// differ compares two states of a V1 aggregate, which v and w point to.
func (t *table) differ(before, after any) *difference {
	v, w := reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem()
	d := &difference{row: row{t.key.name: w.FieldByIndex(t.key.index).Interface()}}
	for i := range t.columns {
		c := &t.columns[i]
		if x, y := v.FieldByIndex(c.index), w.FieldByIndex(c.index); !identical(x, y) {
			d.columns = append(d.columns, *c)
			d.row[c.name] = c.toDatabase(y)
		}
	}
	for i := range t.children {
		if change := t.children[i].differ(v, w, w.FieldByIndex(t.key.index).Interface()); change != nil {
			d.children = append(d.children, *change)
		}
	}
	return d
}

func (c *child) differ(v, w reflect.Value, key any) *childChange {
	change := &childChange{child: c}
	before := map[string]reflect.Value{}
	were := map[string]row{}
	for i, list := 0, v.FieldByIndex(c.index); i < list.Len(); i++ {
		before[c.identity(list.Index(i))] = list.Index(i)
	}
	for i, r := range c.rows(v, key) {
		were[c.identity(v.FieldByIndex(c.index).Index(i))] = r
	}
	kept := map[string]bool{}
	rows := c.rows(w, key)
	differing := map[int]bool{}
	for i, list := 0, w.FieldByIndex(c.index); i < list.Len(); i++ {
		identity := c.identity(list.Index(i))
		kept[identity] = true
		old, found := before[identity]
		switch {
		case !found:
			change.inserted = append(change.inserted, rows[i])
		case !identical(old, list.Index(i)):
			change.updated = append(change.updated, rows[i])
			change.before = append(change.before, were[identity])
			for j := range c.columns {
				if !identical(old.FieldByIndex(c.columns[j].index), list.Index(i).FieldByIndex(c.columns[j].index)) {
					differing[j] = true
				}
			}
		}
	}
	for j := range c.columns {
		if differing[j] {
			change.updatedColumns = append(change.updatedColumns, c.columns[j])
		}
	}
	for i, old := range c.rows(v, key) {
		if !kept[c.identity(v.FieldByIndex(c.index).Index(i))] {
			change.deleted = append(change.deleted, old)
		}
	}
	if len(change.deleted)+len(change.inserted)+len(change.updated) == 0 {
		return nil
	}
	return change
}

// identity tells the rows of one parent apart.
func (c *child) identity(v reflect.Value) string {
	var b strings.Builder
	for _, i := range c.own {
		fmt.Fprintf(&b, "%v\x00", v.FieldByIndex(c.columns[i].index).Interface())
	}
	return b.String()
}

// checkLimits looks for the first value in v, which differs from before unless that is nil, that its column cannot
// hold. It returns nil or a *FieldError with the path in the model.
func (t *table) checkLimits(before, v any) error {
	w := reflect.ValueOf(v).Elem()
	old := reflect.Value{}
	if b := reflect.ValueOf(before); b.IsValid() && !b.IsNil() {
		old = b.Elem()
	}
	for i := range t.columns {
		c := &t.columns[i]
		if old.IsValid() && identical(old.FieldByIndex(c.index), w.FieldByIndex(c.index)) {
			continue
		}
		if err := c.checkValue(w.FieldByIndex(c.index), ""); err != nil {
			return err
		}
	}
	for i := range t.children {
		c := &t.children[i]
		list := w.FieldByIndex(c.index)
		if old.IsValid() && identical(old.FieldByIndex(c.index), list) {
			continue
		}
		if err := c.checkLimits(list); err != nil {
			return err
		}
	}
	return nil
}

func (c *child) checkLimits(list reflect.Value) error {
	seen := map[string]bool{}
	for i := range list.Len() {
		prefix := fmt.Sprintf("%s[%d].", c.json, i)
		for j := range c.columns {
			if err := c.columns[j].checkValue(list.Index(i).FieldByIndex(c.columns[j].index), prefix); err != nil {
				return err
			}
		}
		identity := c.identity(list.Index(i))
		if len(c.own) == 1 && list.Index(i).FieldByIndex(c.columns[c.own[0]].index).IsZero() &&
			(c.columns[c.own[0]].now().generator != "" || c.columns[c.own[0]].now().primary) {
			continue // the database draws it
		}
		if len(c.own) > 0 && seen[identity] {
			return Faulty(c.columns[c.own[0]].field(prefix), "is there twice")
		}
		seen[identity] = true
	}
	return nil
}

// checkValue holds a value against its column. Characters are counted, not bytes.
func (c *column) checkValue(v reflect.Value, prefix string) error {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	l := c.now().limits
	switch {
	case v.Kind() == reflect.String:
		s := v.String()
		switch {
		case !utf8.ValidString(s):
			return Faulty(c.field(prefix), "is not valid UTF-8")
		case strings.ContainsRune(s, 0):
			return Faulty(c.field(prefix), "contains a NUL character")
		case l.runes > 0 && utf8.RuneCountInString(s) > l.runes:
			return overLimit(c.field(prefix), "has %d characters, at most %d are possible",
				utf8.RuneCountInString(s), l.runes)
		}
	case v.CanInt() && l.ranged && (v.Int() < l.min || v.Int() > l.max):
		return overLimit(c.field(prefix), "is %d, possible is %d to %d", v.Int(), l.min, l.max)
	case v.CanUint() && l.ranged && v.Uint() > uint64(l.max):
		return overLimit(c.field(prefix), "is %d, at most %d is possible", v.Uint(), l.max)
	case v.CanFloat() && (math.IsNaN(v.Float()) || math.IsInf(v.Float(), 0)):
		return Faulty(c.field(prefix), "is %v, which JSON cannot say", v.Float())
	case v.Kind() == reflect.Struct || v.Kind() == reflect.Slice || v.Kind() == reflect.Map ||
		v.Kind() == reflect.Array:
		return c.checkDocument(v, prefix)
	}
	return nil
}

// checkDocument holds a value that is none of Go's basic types against what JSON can say of it, as which it is written.
func (c *column) checkDocument(v reflect.Value, prefix string) error {
	switch value := v.Interface().(type) {
	case time.Time:
		_, offset := value.Zone()
		switch year := value.Year(); {
		case year < 0 || year > 9999:
			return overLimit(c.field(prefix), "is in year %d, possible is 0 to 9999", year)
		case offset%60 != 0:
			return Faulty(c.field(prefix), "is in a time zone whose offset has seconds: give it in UTC")
		case value.Nanosecond()%1000 != 0:
			return overLimit(c.field(prefix), "is finer than a microsecond")
		}
		return nil
	case json.RawMessage:
		if value != nil && (!json.Valid(value) || !utf8.Valid(value)) {
			return Faulty(c.field(prefix), "is not valid JSON")
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
			if strings.HasSuffix(c.now().sqlType, "[]") && !isBlock(v) {
				return Faulty(c.field(prefix),
					"is an array whose parts are of different lengths, or empty, which V1 cannot hold")
			}
		}
	}
	if _, err := json.Marshal(v.Interface()); err != nil {
		return Faulty(c.field(prefix), "cannot be written: %s", firstLine(err))
	}
	return nil
}

// isBlock reports whether all parts of an array of several dimensions are equally long, at each depth, and hold
// something.
func isBlock(v reflect.Value) bool {
	parts := []reflect.Value{v}
	for range dimensionsOf(v.Type()) - 1 {
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

// checkElement is for those of an array.
func (c *column) checkElement(v reflect.Value, prefix string) error {
	switch {
	case v.Kind() == reflect.String && !utf8.ValidString(v.String()):
		return Faulty(c.field(prefix), "is not valid UTF-8")
	case v.Kind() == reflect.String && strings.ContainsRune(v.String(), 0):
		return Faulty(c.field(prefix), "contains a NUL character")
	case v.Kind() == reflect.Struct || v.Kind() == reflect.Slice || v.Kind() == reflect.Map ||
		v.Kind() == reflect.Array:
		return c.checkDocument(v, prefix)
	default:
		return nil
	}
}

// checkText holds a text that is no model's against limits.
func checkText(c *column, text string) error {
	if err := c.checkValue(reflect.ValueOf(text), ""); err != nil {
		return inputError(err)
	}
	return nil
}

// firstDifference is the path of the first field in which two aggregates differ, both pointed to, in their JSON names.
func firstDifference(before, after any) string {
	path, _ := differingField(reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem(), "")
	return path
}

func differingField(v, w reflect.Value, path string) (string, bool) {
	if identical(v, w) {
		return "", false
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name := joinPath(path, v.Type().Field(i))
			if found, differs := differingField(v.Field(i), w.Field(i), name); differs {
				return found, true
			}
		}
	case reflect.Slice:
		for i := range min(v.Len(), w.Len()) {
			if found, differs := differingField(v.Index(i), w.Index(i), fmt.Sprintf("%s[%d]", path, i)); differs {
				return found, true
			}
		}
		return fmt.Sprintf("%s[%d]", path, min(v.Len(), w.Len())), true
	case reflect.Pointer:
		if !v.IsNil() && !w.IsNil() {
			return differingField(v.Elem(), w.Elem(), path)
		}
	}
	return path, true
}

// joinPath is the path of a struct's field. What is embedded without a name of its own adds none.
func joinPath(path string, f reflect.StructField) string {
	switch {
	case f.Anonymous && f.Tag.Get("json") == "":
		return path
	case path == "":
		return jsonName(f)
	default:
		return path + "." + jsonName(f)
	}
}

// deepCopy returns a copy of an aggregate that shares nothing with it.
func deepCopy[T any](v T) (T, error) {
	var w T
	document, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(document, &w)
	}
	return w, err
}

func marshal(rows []row) (string, error) {
	document, err := json.Marshal(rows)
	return string(document), err
}
