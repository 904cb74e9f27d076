package shape

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/alwaysup/coexist/value"
)

// Decoding documents into aggregates, and finding the field that a model cannot hold.

// nullIn finds a NULL for which the model's field has no place: the field would read it as an empty text or a zero. It
// returns nil where there is none. It skips the document where the database allows no such NULL.
func (t *Table) nullIn(document []byte, prefix string) error {
	if !t.mayBeNull() {
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(document, &members); err != nil {
		return err
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		member := valueAt(members[c.Path[0]], c.Path[1:])
		if c.unexpectedNull() && (len(member) == 0 || string(member) == "null") { // NULLs may be left out
			return value.Faulty(c.Field(prefix), "is NULL, which the model has no place for")
		}
		if at, holds := nullElement(member, c.GoType); c.isList && holds {
			return value.Faulty(c.Field(prefix)+at, "is NULL, which the model has no place for")
		}
	}
	for i := range t.Children {
		var rows []json.RawMessage
		if json.Unmarshal(members[t.Children[i].JSON], &rows) != nil {
			continue
		}
		for j, row := range rows {
			if err := t.Children[i].nullIn(row, fmt.Sprintf("%s[%d].", t.Children[i].JSON, j)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Table) mayBeNull() bool {
	for i := range t.Columns {
		if t.Columns[i].unexpectedNull() || t.Columns[i].isList {
			return true
		}
	}
	for i := range t.Children {
		if t.Children[i].mayBeNull() {
			return true
		}
	}
	return false
}

// unexpectedNull reports whether the database lets the column be NULL, and the model does not.
func (c *Column) unexpectedNull() bool { return !c.Nullable && !c.IsKey && !c.Now().NotNull }

// valueAt returns what a document holds at a path, nil for nothing. What is not an object holds nothing.
func valueAt(document []byte, path []string) []byte {
	for _, name := range path {
		var members map[string]json.RawMessage
		if json.Unmarshal(document, &members) != nil {
			return nil
		}
		document = members[name]
	}
	return document
}

// nullElement finds a NULL among the elements of a list or a map, at any depth, that the Go type would read as a zero,
// and returns its place. It does not look into structs, which decide for themselves how to read their members.
func nullElement(document []byte, t reflect.Type) (at string, holds bool) {
	if !isList(t) || !bytes.Contains(document, []byte("null")) {
		return "", false
	}
	elements, err := elementsOf(document)
	if err != nil {
		return "", false
	}
	for _, at := range slices.Sorted(maps.Keys(elements)) {
		element := elements[at]
		if string(element) == "null" && !hasNull(t.Elem()) {
			return "[" + at + "]", true
		}
		if below, holds := nullElement(element, t.Elem()); holds {
			return "[" + at + "]" + below, true
		}
	}
	return "", false
}

// HoldsNull reports whether a list or a map has a NULL among its elements that the Go type would read as a zero.
func HoldsNull(document []byte, t reflect.Type) bool {
	_, holds := nullElement(document, t)
	return holds
}

func elementsOf(document []byte) (map[string]json.RawMessage, error) {
	elements := map[string]json.RawMessage{}
	if !bytes.HasPrefix(document, []byte("[")) {
		return elements, json.Unmarshal(document, &elements)
	}
	var list []json.RawMessage
	err := json.Unmarshal(document, &list)
	for i, element := range list {
		elements[strconv.Itoa(i)] = element
	}
	return elements, err
}

// isList reports whether a type is a list or a map, whose elements encoding/json reads one by one.
func isList(t reflect.Type) bool {
	kind := t.Kind()
	return (kind == reflect.Slice || kind == reflect.Array || kind == reflect.Map) && !ReadsItself(t)
}

// hasNull reports whether a type has a value that is read from null, and written as null.
func hasNull(t reflect.Type) bool {
	v := reflect.New(t)
	if json.Unmarshal([]byte("null"), v.Interface()) != nil {
		return true // it fails by itself
	}
	document, err := json.Marshal(v.Interface())
	return err == nil && string(document) == "null"
}

// Decode decodes a V1 aggregate. Its error is that of DecodeDocument, or a *FieldError that names a NULL for which the
// model has no place.
func Decode[T any](t *Table, document []byte) (*T, error) {
	v, err := DecodeDocument[T](document)
	if err == nil {
		err = t.nullIn(document, "")
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// DecodeDocument decodes an aggregate. Its error is a *FieldError that names the first field which the model cannot
// hold.
func DecodeDocument[T any](document []byte) (*T, error) {
	v := new(T)
	err := json.Unmarshal(document, v)
	if err == nil && utf8.Valid(document) {
		return v, nil
	}
	if err == nil {
		err = errors.New("text that is not UTF-8")
	}
	return nil, faultyField(document, reflect.TypeFor[T](), "", err)
}

// faultyField finds the first field of an object whose value cannot be decoded on its own.
func faultyField(document []byte, t reflect.Type, path string, err error) *value.FieldError {
	var members map[string]json.RawMessage
	if t.Kind() != reflect.Struct || json.Unmarshal(document, &members) != nil {
		return &value.FieldError{Field: path, Reason: err.Error()}
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name := JoinPath(path, f)
		member, ok := members[JSONName(f)]
		if name == path {
			member, ok = document, true // embedded: its members are among ours
		}
		if !ok {
			continue
		}
		var elements []json.RawMessage
		if f.Type.Kind() == reflect.Slice && json.Unmarshal(member, &elements) == nil {
			for i, element := range elements {
				if fieldErr := undecodable(element, f.Type.Elem()); fieldErr != nil {
					return faultyField(element, f.Type.Elem(), fmt.Sprintf("%s[%d]", name, i), fieldErr)
				}
			}
		} else if fieldErr := undecodable(member, f.Type); fieldErr != nil {
			return faultyField(member, f.Type, name, fieldErr)
		}
	}
	return &value.FieldError{Field: path, Reason: err.Error()}
}

func undecodable(document []byte, t reflect.Type) error {
	if !utf8.Valid(document) {
		return errors.New("text that is not UTF-8")
	}
	return json.Unmarshal(document, reflect.New(t).Interface())
}

// Salvage decodes a V1 aggregate without the fields that its model cannot hold, and returns the faults of these fields.
// It returns nil where one of the fields may not be nil.
func Salvage[T any](t *Table, document []byte) (*T, []value.FieldError) {
	var members map[string]json.RawMessage
	if json.Unmarshal(document, &members) != nil {
		return nil, nil
	}
	var faults []value.FieldError
	for range t.Columns {
		v, err := Decode[T](t, document)
		fault, ok := errors.AsType[*value.FieldError](err)
		if err == nil {
			return v, faults
		}
		if !ok {
			return nil, nil
		}
		field, _, _ := strings.Cut(fault.Field, "[")
		at := slices.IndexFunc(t.Columns, func(c Column) bool {
			return len(c.Path) == 1 && c.Nullable &&
				c.Field("") == field
		})
		if at < 0 {
			return nil, nil
		}
		faults = append(faults, *fault)
		members[field] = json.RawMessage("null")
		if document, err = json.Marshal(members); err != nil {
			return nil, nil
		}
	}
	return nil, nil
}
