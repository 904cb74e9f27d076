package database

import (
	"context"
	"database/sql"
	"encoding/binary"
	"reflect"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/alwaysup/coexist/repo/internal/shape"
)

// Array is an argument of a statement: the values of one column in many rows, as an array in PostgreSQL's binary
// format.
type Array struct {
	// Type is the array's SQL type.
	Type   string
	write  textWriter
	oid    uint32 // of an element
	values []byte
	text   []byte // of the last value
	length uint32
	nulls  uint32
}

// NewArray returns an empty array for n values of a column.
func NewArray(c *shape.Column, n int) *Array {
	kind, family := c.GoType.Kind(), shape.TypeFamily(c.Now().SQLType)
	a := &Array{Type: "text[]", write: textOf(c, c.GoType), oid: pgtype.TextOID}
	switch {
	case shape.ReadsItself(c.GoType):
	case family == "integer" && kind >= reflect.Int && kind <= reflect.Int64:
		a.Type, a.oid = "bigint[]", pgtype.Int8OID
	case family == "boolean" && kind == reflect.Bool:
		a.Type, a.oid = "boolean[]", pgtype.BoolOID
	}
	const average = 16
	a.values = make([]byte, 0, n*average)
	return a
}

// Append appends the value of a field of the model.
func (a *Array) Append(field reflect.Value) (err error) {
	a.length++
	if field.Kind() == reflect.Pointer {
		if field.IsNil() {
			a.null()
			return nil
		}
		field = field.Elem()
	}
	switch a.oid {
	case pgtype.Int8OID:
		const size = 8
		a.values = binary.BigEndian.AppendUint32(a.values, size)
		bits := uint64(field.Int()) //nolint:gosec // with the sign
		a.values = binary.BigEndian.AppendUint64(a.values, bits)
	case pgtype.BoolOID:
		a.values = binary.BigEndian.AppendUint32(a.values, 1)
		a.values = append(a.values, bit(field.Bool()))
	default:
		var null bool
		if a.text, null, err = a.write(a.text[:0], field); null {
			a.null()
			return err
		}
		length := uint32(len(a.text)) //nolint:gosec // shorter than a gigabyte
		a.values = binary.BigEndian.AppendUint32(a.values, length)
		a.values = append(a.values, a.text...)
	}
	return err
}

func (a *Array) null() {
	a.nulls++
	const none = 0xffffffff
	a.values = binary.BigEndian.AppendUint32(a.values, none)
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// Argument returns the array in PostgreSQL's binary format.
func (a *Array) Argument() []byte {
	header := make([]byte, 0, 20+len(a.values))
	const dimensions, first = 1, 1
	header = binary.BigEndian.AppendUint32(header, dimensions)
	header = binary.BigEndian.AppendUint32(header, min(a.nulls, 1))
	header = binary.BigEndian.AppendUint32(header, a.oid)
	header = binary.BigEndian.AppendUint32(header, a.length)
	header = binary.BigEndian.AppendUint32(header, first)
	return append(header, a.values...)
}

// ExecArrays runs a statement on a connection, and returns how many rows it wrote. Arguments are $1, $2 …: first the
// arrays, then the texts.
func ExecArrays(ctx context.Context, p *Pools, conn *sql.Conn, statement string, arrays []*Array,
	texts ...string,
) (n int64, err error) {
	args, formats := make([][]byte, 0, len(arrays)+len(texts)), make([]int16, len(arrays)+len(texts))
	for i, a := range arrays {
		args, formats[i] = append(args, a.Argument()), binaryFormat
	}
	for _, text := range texts {
		args = append(args, []byte(text))
	}
	p.Observe(statement)
	err = conn.Raw(func(c any) error {
		done := c.(*stdlib.Conn).Conn().PgConn().ExecParams(ctx, statement, args, nil, formats, nil).Read()
		n = done.CommandTag.RowsAffected()
		return done.Err
	})
	return n, p.Classify(err)
}
