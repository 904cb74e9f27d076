package database

import (
	"bytes"
	"reflect"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/alwaysup/coexist/repo/internal/shape"
)

// Field reads plain columns as they are, and others from JSON. Each value says its own type, so a column can hold
// unusual ones.
func (d sqlite) Field(alias string, c *shape.Column) Field {
	f := newField(alias, c)
	family, kind := shape.TypeFamily(c.Now().SQLType), c.GoType.Kind()
	switch {
	case shape.ReadsItself(c.GoType):
	case kind == reflect.String && family == "text":
		f.read, f.oids = readPlainText, []uint32{pgtype.TextOID}
		f.plain, f.withoutNUL = c.GoType == reflect.TypeFor[string](), true
	case kind >= reflect.Int && kind <= reflect.Int64 && family == "integer":
		f.read, f.oids = readInt, []uint32{pgtype.Int8OID}
	case c.IsBool && kind == reflect.Bool:
		f.read, f.oids = readBit, []uint32{pgtype.Int8OID}
	}
	if f.read != nil {
		f.Expression = "+" + f.Expression // an expression has no declared type, which the driver would go by
		return f
	}
	f.read, f.oids = readDocument(c.GoType), []uint32{pgtype.TextOID}
	f.Expression = Fill(`CASE WHEN {v} IS NOT NULL THEN json_quote({value}) END`, "v", f.Expression,
		"value", d.Value(alias, c))
	return f
}

// readPlainText reads a text that a document holds too.
func readPlainText(value []byte, field reflect.Value) error {
	if bytes.IndexByte(value, 0) >= 0 {
		return ErrUnusual
	}
	return readText(value, field)
}

func readBit(value []byte, field reflect.Value) error {
	n := Integer(value)
	if n != 0 && n != 1 {
		return ErrUnusual
	}
	field.SetBool(n == 1)
	return nil
}
