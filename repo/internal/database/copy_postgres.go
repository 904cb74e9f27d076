package database

import (
	"bytes"
	"context"
	"database/sql"
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/alwaysup/coexist/repo/internal/shape"
	"github.com/alwaysup/coexist/value"
)

// CopyRows copies rows to a table over a connection. The table's name is quoted.
func CopyRows(ctx context.Context, p *Pools, conn *sql.Conn, table string, columns []shape.Column,
	rows []shape.Row,
) error {
	var text bytes.Buffer
	for _, r := range rows {
		for i := range columns {
			if i > 0 {
				text.WriteByte('\t')
			}
			if err := writeCopyValue(&text, &columns[i], r[columns[i].Name]); err != nil {
				return err
			}
		}
		text.WriteByte('\n')
	}
	return copyText(ctx, p, conn, table, columns, &text)
}

// Copied reports whether COPY takes the values of columns in the form that they have in a row's JSON document. An array
// or a composite has another form in COPY.
func Copied(columns []shape.Column) bool {
	for i := range columns {
		if _, plain := samples[shape.TypeFamily(columns[i].Now().SQLType)]; !plain {
			return false
		}
	}
	return true
}

// writeCopyValue writes a value in COPY's text format, as the JSON document of the same row would have it.
func writeCopyValue(w *bytes.Buffer, c *shape.Column, value any) error {
	v := reflect.ValueOf(value)
	if !v.IsValid() {
		w.WriteString(`\N`)
		return nil
	}
	text, null, err := textOf(c, v.Type())(nil, v)
	if null {
		w.WriteString(`\N`)
		return err
	}
	writeEscaped(w, text)
	return err
}

// writeEscaped writes a text in COPY's text format.
func writeEscaped(w *bytes.Buffer, text []byte) {
	if !bytes.ContainsAny(text, "\\\n\r\t") {
		w.Write(text)
		return
	}
	for _, b := range text {
		switch b {
		case '\\':
			w.WriteString(`\\`)
		case '\n':
			w.WriteString(`\n`)
		case '\r':
			w.WriteString(`\r`)
		case '\t':
			w.WriteString(`\t`)
		default:
			w.WriteByte(b)
		}
	}
}

// textWriter appends a value as PostgreSQL reads it from text, which is as the JSON document of the same row would have
// it. null means that the value is NULL.
type textWriter func(to []byte, v reflect.Value) (text []byte, null bool, err error)

// textOf returns how the values of a Go type are written to a column.
func textOf(c *shape.Column, t reflect.Type) textWriter {
	kind := t.Kind()
	switch {
	case kind == reflect.Pointer:
		within := textOf(c, t.Elem())
		return func(to []byte, v reflect.Value) ([]byte, bool, error) {
			if v.IsNil() {
				return to, true, nil
			}
			return within(to, v.Elem())
		}
	case c.IsJSON():
		return func(to []byte, v reflect.Value) ([]byte, bool, error) {
			document, err := json.Marshal(v.Interface())
			return append(to, document...), string(document) == "null" && !c.HoldsJSONNull(), err
		}
	case t == reflect.TypeFor[value.Number](), kind == reflect.String && !marshalsItself(t):
		return func(to []byte, v reflect.Value) ([]byte, bool, error) { return append(to, v.String()...), false, nil }
	case marshalsItself(t):
		return appendSpelled
	case kind >= reflect.Int && kind <= reflect.Int64:
		return func(to []byte, v reflect.Value) ([]byte, bool, error) {
			return strconv.AppendInt(to, v.Int(), 10), false, nil
		}
	case kind >= reflect.Uint && kind <= reflect.Uint64:
		return func(to []byte, v reflect.Value) ([]byte, bool, error) {
			return strconv.AppendUint(to, v.Uint(), 10), false, nil
		}
	case kind == reflect.Bool:
		return func(to []byte, v reflect.Value) ([]byte, bool, error) {
			return strconv.AppendBool(to, v.Bool()), false, nil
		}
	default:
		return appendSpelled
	}
}

// appendSpelled appends a value as its JSON has it.
func appendSpelled(to []byte, v reflect.Value) (text []byte, null bool, err error) {
	document, err := json.Marshal(v.Interface())
	if err != nil || len(document) == 0 || document[0] != '"' {
		return append(to, document...), string(document) == "null", err
	}
	var spelled string
	err = json.Unmarshal(document, &spelled)
	return append(to, spelled...), false, err
}

// marshalsItself reports whether a type defines how it is written.
func marshalsItself(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[json.Marshaler]()) || t.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

// CopyLists copies the child rows of aggregates to their table over a connection.
func CopyLists(ctx context.Context, p *Pools, conn *sql.Conn, child *shape.Child, key *shape.Column,
	aggregates []reflect.Value,
) error {
	var text bytes.Buffer
	var scratch []byte
	write := func(field textWriter, v reflect.Value) (err error) {
		var null bool
		if scratch, null, err = field(scratch[:0], v); null {
			text.WriteString(`\N`)
		} else {
			writeEscaped(&text, scratch)
		}
		return err
	}
	keyField := textOf(key, fieldType(aggregates[0].Type(), key.Index))
	fields := make([]textWriter, len(child.Columns))
	for i := range fields {
		fields[i] = textOf(&child.Columns[i], fieldType(child.GoType, child.Columns[i].Index))
	}
	columns := append([]shape.Column{*key, {Name: shape.PositionColumn}}, child.Columns...)
	columns[0].Name = child.ParentKey
	for _, v := range aggregates {
		list := v.FieldByIndex(child.Index)
		for i := range list.Len() {
			if err := write(keyField, v.FieldByIndex(key.Index)); err != nil {
				return err
			}
			text.WriteByte('\t')
			text.WriteString(strconv.Itoa(i))
			for j := range child.Columns {
				text.WriteByte('\t')
				if err := write(fields[j], list.Index(i).FieldByIndex(child.Columns[j].Index)); err != nil {
					return err
				}
			}
			text.WriteByte('\n')
		}
	}
	if text.Len() == 0 {
		return nil
	}
	return copyText(ctx, p, conn, child.SQL, columns, &text)
}

// fieldType is the type of a field of a struct.
func fieldType(t reflect.Type, index []int) reflect.Type { return t.FieldByIndex(index).Type }

// copyText copies rows in COPY's text format to a table.
func copyText(ctx context.Context, p *Pools, conn *sql.Conn, table string, columns []shape.Column,
	text *bytes.Buffer,
) error {
	statement := Fill(`COPY {table} ({columnNames}) FROM STDIN`, "table", table,
		"columnNames", ColumnNames(columns))
	p.Observe(statement)
	return p.Classify(conn.Raw(func(c any) error {
		_, err := c.(*stdlib.Conn).Conn().PgConn().CopyFrom(ctx, text, statement)
		return err
	}))
}

// Overriding lets an INSERT give a value to a column that is GENERATED ALWAYS.
func Overriding(columns []shape.Column) string {
	if slices.ContainsFunc(columns, func(c shape.Column) bool { return c.Now().Always }) {
		return "OVERRIDING SYSTEM VALUE "
	}
	return ""
}

// ColumnNames returns the names of columns as a statement lists them.
func ColumnNames(columns []shape.Column) string {
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = Quote(columns[i].Name)
	}
	return strings.Join(names, ", ")
}
