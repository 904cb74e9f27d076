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
	statement := Fill(`COPY {table} ({columnNames}) FROM STDIN`, "table", table,
		"columnNames", ColumnNames(columns))
	p.Observe(statement)
	return p.Classify(conn.Raw(func(c any) error {
		_, err := c.(*stdlib.Conn).Conn().PgConn().CopyFrom(ctx, &text, statement)
		return err
	}))
}

var copyEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

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
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if !v.IsValid() || v.Kind() == reflect.Pointer {
		w.WriteString(`\N`)
		return nil
	}
	if c.IsJSON() {
		return writeCopyDocument(w, c, v.Interface())
	}
	_, marshals := v.Interface().(json.Marshaler)
	_, isText := v.Interface().(encoding.TextMarshaler)
	switch {
	case marshals || isText:
	case v.Kind() == reflect.String:
		_, err := copyEscapes.WriteString(w, v.String())
		return err
	case v.CanInt():
		w.WriteString(strconv.FormatInt(v.Int(), 10))
		return nil
	case v.CanUint():
		w.WriteString(strconv.FormatUint(v.Uint(), 10))
		return nil
	case v.Kind() == reflect.Bool:
		w.WriteString(strconv.FormatBool(v.Bool()))
		return nil
	}
	document, err := json.Marshal(v.Interface())
	if err != nil {
		return err
	}
	if document[0] != '"' {
		if string(document) == "null" {
			w.WriteString(`\N`)
			return nil
		}
		_, err := copyEscapes.WriteString(w, string(document))
		return err
	}
	var text string
	if err := json.Unmarshal(document, &text); err != nil {
		return err
	}
	_, err = copyEscapes.WriteString(w, text)
	return err
}

func writeCopyDocument(w *bytes.Buffer, c *shape.Column, value any) error {
	document, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if string(document) == "null" && !c.HoldsJSONNull() {
		w.WriteString(`\N`)
		return nil
	}
	_, err = copyEscapes.WriteString(w, string(document))
	return err
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
