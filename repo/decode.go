package repo

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"unicode/utf8"
)

// Documents to aggregates, and which field it is that a model cannot hold.

// nullIn finds a value that is NULL although the model's field cannot be: it would pass for an empty text or a zero. It
// returns nil where there is none, without a look at the document where the database does not let it be.
func (t *table) nullIn(document []byte, prefix string) error {
	if !t.mayBeNull() {
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(document, &members); err != nil {
		return err
	}
	for i := range t.columns {
		c := &t.columns[i]
		if c.unexpectedNull() && isNull(document, c.path) {
			return Faulty(c.field(prefix), "is NULL, which the model has no place for")
		}
	}
	for i := range t.children {
		var rows []json.RawMessage
		if json.Unmarshal(members[t.children[i].json], &rows) != nil {
			continue
		}
		for j, row := range rows {
			if err := t.children[i].nullIn(row, fmt.Sprintf("%s[%d].", t.children[i].json, j)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *table) mayBeNull() bool {
	for i := range t.columns {
		if t.columns[i].unexpectedNull() {
			return true
		}
	}
	for i := range t.children {
		if t.children[i].mayBeNull() {
			return true
		}
	}
	return false
}

// unexpectedNull reports whether the database lets the column be NULL, and the model does not.
func (c *column) unexpectedNull() bool { return !c.nullable && !c.isKey && !c.now().notNull }

// isNull reports whether there is nothing at a path of a document. NULLs may be left out.
func isNull(document []byte, path []string) bool {
	for _, name := range path {
		var members map[string]json.RawMessage
		if json.Unmarshal(document, &members) != nil {
			return false
		}
		document = members[name]
		if len(document) == 0 {
			return true
		}
	}
	return string(document) == "null"
}

// decodeDocument decodes an aggregate. Its error is a *FieldError that names the first field which the model cannot hold.
func decodeDocument[T any](document []byte) (*T, error) {
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

// faultyField looks for the field of an object that cannot be decoded on its own.
func faultyField(document []byte, t reflect.Type, path string, err error) *FieldError {
	var members map[string]json.RawMessage
	if t.Kind() != reflect.Struct || json.Unmarshal(document, &members) != nil {
		return &FieldError{Field: path, Reason: err.Error()}
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name := joinPath(path, f)
		value, ok := members[jsonName(f)]
		if name == path {
			value, ok = document, true // embedded: its members are among ours
		}
		if !ok {
			continue
		}
		var elements []json.RawMessage
		if f.Type.Kind() == reflect.Slice && json.Unmarshal(value, &elements) == nil {
			for i, element := range elements {
				if fieldErr := undecodable(element, f.Type.Elem()); fieldErr != nil {
					return faultyField(element, f.Type.Elem(), fmt.Sprintf("%s[%d]", name, i), fieldErr)
				}
			}
		} else if fieldErr := undecodable(value, f.Type); fieldErr != nil {
			return faultyField(value, f.Type, name, fieldErr)
		}
	}
	return &FieldError{Field: path, Reason: err.Error()}
}

func undecodable(document []byte, t reflect.Type) error {
	if !utf8.Valid(document) {
		return errors.New("text that is not UTF-8")
	}
	return json.Unmarshal(document, reflect.New(t).Interface())
}

// salvage decodes a V1 aggregate without the fields that its model cannot hold, and returns these. It returns nil where one of them may not be nil.
func salvage[T any](t *table, document []byte) (*T, []FieldError) {
	var members map[string]json.RawMessage
	if json.Unmarshal(document, &members) != nil {
		return nil, nil
	}
	var faults []FieldError
	for range t.columns {
		v, err := decodeDocument[T](document)
		fault, ok := errors.AsType[*FieldError](err)
		if err == nil {
			return v, faults
		}
		if !ok {
			return nil, nil
		}
		at := slices.IndexFunc(t.columns, func(c column) bool { return len(c.path) == 1 && c.nullable && c.field("") == fault.Field })
		if at < 0 {
			return nil, nil
		}
		faults = append(faults, *fault)
		members[fault.Field] = json.RawMessage("null")
		if document, err = json.Marshal(members); err != nil {
			return nil, nil
		}
	}
	return nil, nil
}
