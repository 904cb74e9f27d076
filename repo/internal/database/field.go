package database

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/alwaysup/coexist/repo/internal/shape"
	"github.com/alwaysup/coexist/value"
)

// Field reads a column of an answer in PostgreSQL's binary format into the field of a model. It reads what the field
// would be if it was read from JSON.
type Field struct {
	// Expression selects the column.
	Expression string
	index      []int
	nullable   bool
	list       reflect.Type // nil for what is no list or map, whose elements may be NULL
	read       func(value []byte, field reflect.Value) error
	oids       []uint32 // the types whose values read takes
	// plain is a text that is a string, or a pointer to one, and is read as it is: ReadRow reads it. withoutNUL means
	// that a text with a NUL is unusual.
	plain, withoutNUL bool
}

// ErrUnusual means that a value must be read from JSON, which also says what is wrong with it. ErrOtherType is an
// ErrUnusual that every value of a column has: it has another type than the catalog said, or a type of somebody's own.
var (
	ErrUnusual   = errors.New("a value is unusual")
	ErrOtherType = fmt.Errorf("%w: its type is another", ErrUnusual)
)

// FieldsOf returns how the columns of the table with an alias are read, in their order.
func FieldsOf(d Expressions, alias string, columns []shape.Column) []Field {
	fields := make([]Field, len(columns))
	for i := range columns {
		fields[i] = d.Field(alias, &columns[i])
	}
	return fields
}

func newField(alias string, c *shape.Column) Field {
	f := Field{
		Expression: alias + "." + Quote(c.Name), index: c.Index, nullable: c.Nullable,
	}
	if kind := c.GoType.Kind(); kind == reflect.Slice || kind == reflect.Array || kind == reflect.Map {
		f.list = c.GoType
	}
	return f
}

// readDocument is how a type is read from JSON.
func readDocument(t reflect.Type) func(value []byte, field reflect.Value) error {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return readItself
	}
	return readJSON
}

// Field reads plain columns as they are, and others from JSON.
func (postgres) Field(alias string, c *shape.Column) Field {
	f := newField(alias, c)
	sqlType := c.Now().SQLType
	family, kind := shape.TypeFamily(sqlType), c.GoType.Kind()
	switch {
	case c.IsNumber && family == "real":
		f.read, f.oids = readReal, []uint32{pgtype.Float4OID}
		return f
	case c.IsNumber && family == "double precision":
		f.read, f.oids = readDouble, []uint32{pgtype.Float8OID}
		return f
	case shape.ReadsItself(c.GoType):
	case family == "text" && kind == reflect.String:
		f.read, f.oids = readText, []uint32{pgtype.TextOID, pgtype.VarcharOID}
		f.plain = c.GoType == reflect.TypeFor[string]()
		if shape.IsPadded(sqlType) {
			f.Expression = Fill(`CAST({column} AS text)`, "column", f.Expression)
		}
		return f
	case family == "integer" && kind >= reflect.Int && kind <= reflect.Int64:
		f.read, f.oids = readInt, []uint32{pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID}
		return f
	case family == "boolean" && kind == reflect.Bool:
		f.read, f.oids = readBool, []uint32{pgtype.BoolOID}
		return f
	}
	f.read, f.oids = readDocument(c.GoType), []uint32{pgtype.TextOID}
	f.Expression = Fill(`CAST(to_json({value}) AS text)`, "value", postgres{}.Value(alias, c))
	return f
}

// Read reads a value of a type, by its object id, into the field of the model v. It fails with ErrUnusual.
func (f *Field) Read(value []byte, oid uint32, v reflect.Value) error {
	field := f.of(v)
	switch {
	case value == nil && f.nullable:
		field.SetZero()
		return nil
	case value == nil:
		return ErrUnusual
	case !f.takes(oid):
		return ErrOtherType
	case f.list != nil && shape.HoldsNull(value, f.list):
		return ErrUnusual
	case !f.nullable:
		return f.read(value, field)
	}
	held := reflect.New(field.Type().Elem())
	if held.Elem().Kind() == reflect.Pointer {
		return ErrUnusual
	}
	field.Set(held)
	return f.read(value, held.Elem())
}

func readText(value []byte, field reflect.Value) error {
	if !utf8.Valid(value) {
		return ErrUnusual
	}
	field.SetString(string(value))
	return nil
}

func readInt(value []byte, field reflect.Value) error {
	n := Integer(value)
	if len(value) == 0 || field.OverflowInt(n) {
		return ErrUnusual
	}
	field.SetInt(n)
	return nil
}

func readBool(value []byte, field reflect.Value) error {
	if len(value) != 1 {
		return ErrUnusual
	}
	field.SetBool(value[0] != 0)
	return nil
}

// readReal reads a real into a Number, with the digits that JSON has.
func readReal(raw []byte, field reflect.Value) error {
	const size = 4
	if len(raw) != size {
		return ErrUnusual
	}
	f := math.Float32frombits(binary.BigEndian.Uint32(raw))
	return setNumber(float64(f), value.OfReal, field)
}

// readDouble reads a double precision into a Number.
func readDouble(raw []byte, field reflect.Value) error {
	const size = 8
	if len(raw) != size {
		return ErrUnusual
	}
	f := math.Float64frombits(binary.BigEndian.Uint64(raw))
	return setNumber(f, value.OfDouble, field)
}

func setNumber(f float64, spell func(float64) (value.Number, error), field reflect.Value) error {
	switch {
	case math.IsNaN(f):
		field.SetString("NaN")
	case math.IsInf(f, 1):
		field.SetString("Infinity")
	case math.IsInf(f, -1):
		field.SetString("-Infinity")
	default:
		n, err := spell(f)
		if err != nil {
			return ErrUnusual
		}
		field.SetString(string(n))
	}
	return nil
}

// readItself reads JSON into a type that defines how it is read.
func readItself(document []byte, field reflect.Value) error {
	if !utf8.Valid(document) || field.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(
		bytes.TrimSpace(document)) != nil {
		return ErrUnusual
	}
	return nil
}

func readJSON(value []byte, field reflect.Value) error {
	if !utf8.Valid(value) || json.Unmarshal(value, field.Addr().Interface()) != nil {
		return ErrUnusual
	}
	return nil
}
