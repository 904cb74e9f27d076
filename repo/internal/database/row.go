package database

import (
	"bytes"
	"reflect"
	"strings"
	"unicode/utf8"
)

// ReadRow reads the values of a row, with the object ids of their types, into the model v. Its plain texts share the
// memory of one string, since a string of its own for each is what costs most. It fails with ErrUnusual.
func ReadRow(fields []Field, values [][]byte, oids []uint32, v reflect.Value) error {
	size, nullable := 0, 0
	for i := range fields {
		if fields[i].plain && values[i] != nil {
			size += len(values[i])
			if fields[i].nullable {
				nullable++
			}
		}
	}
	var all strings.Builder
	all.Grow(size)
	for i := range fields {
		if fields[i].plain {
			all.Write(values[i])
		}
	}
	rest, held := all.String(), make([]string, 0, nullable)
	for i := range fields {
		f, value := &fields[i], values[i]
		if !f.plain || value == nil || !f.takes(oids[i]) {
			if err := f.Read(value, oids[i], v); err != nil {
				return err
			}
			continue
		}
		if !utf8.Valid(value) || f.withoutNUL && bytes.IndexByte(value, 0) >= 0 {
			return ErrUnusual
		}
		text := rest[:len(value)]
		rest = rest[len(value):]
		if !f.nullable {
			f.of(v).SetString(text)
			continue
		}
		held = append(held, text)
		f.of(v).Set(reflect.ValueOf(&held[len(held)-1]))
	}
	return nil
}

// of returns the field of the model v.
func (f *Field) of(v reflect.Value) reflect.Value {
	if len(f.index) == 1 {
		return v.Field(f.index[0])
	}
	return v.FieldByIndex(f.index)
}

// takes reports whether values of a type are those of the column.
func (f *Field) takes(oid uint32) bool {
	for _, known := range f.oids {
		if known == oid {
			return true
		}
	}
	return false
}
