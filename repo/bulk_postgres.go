package repo

import (
	"bytes"
	"context"
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/alwaysup/coexist/repo/internal/shape"
)

// Many rows at once go to PostgreSQL by COPY, which costs it much less than a document that it has to take apart.
// Conflicts are the parent's alone: parents go through a table of the transaction's own, child rows straight to where
// they belong.

// bulkRows is from how many rows on COPY is worth its additional statements.
const bulkRows = 200

// insertNew inserts root rows whose key is not there, and adds the keys that were inserted to inserted.
func (postgres) insertNew(ctx context.Context, t *tx, e *entity, into *shape.Table, columns []shape.Column,
	rows []shape.Row,
	inserted map[string]bool,
) (bool, error) {
	if len(rows) < bulkRows || !copied(columns) {
		return false, nil
	}
	stage := "pg_temp." + quote("coexist_stage") // in no other schema, whatever search_path says
	names := columnNames(columns)
	if _, err := t.exec(ctx, fill(`CREATE TEMPORARY TABLE {stage} ON COMMIT DROP AS SELECT {names}
		FROM {into} WITH NO DATA`, "stage", stage, "names", names, "into", into.SQL)); err != nil {
		return true, err
	}
	if err := copyRows(ctx, t, stage, columns, rows); err != nil {
		return true, err
	}
	key := quote(into.Key.Name)
	// In the order of the keys, so that two storers never wait for each other in a circle.
	return true, e.returnKeysOf(ctx, t, inserted, fill(`INSERT INTO {into} ({names}) {overriding}SELECT {names}
		FROM {stage} s ORDER BY s.{key} ON CONFLICT ({key}) DO NOTHING RETURNING CAST({key} AS text)`,
		"into", into.SQL, "names", names, "overriding", overriding(columns), "stage", stage, "key", key), nil)
}

// insertMany inserts rows.
func (postgres) insertMany(ctx context.Context, t *tx, table string, columns []shape.Column,
	rows []shape.Row,
) (bool, error) {
	if len(rows) < bulkRows || !copied(columns) {
		return false, nil
	}
	return true, copyRows(ctx, t, table, columns, rows)
}

// copyRows copies rows to a table, whose name is quoted.
func copyRows(ctx context.Context, t *tx, table string, columns []shape.Column, rows []shape.Row) error {
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
	statement := fill(`COPY {table} ({columnNames}) FROM STDIN`, "table", table,
		"columnNames", columnNames(columns))
	t.db.observe(statement)
	return t.db.classify(t.conn.Raw(func(c any) error {
		_, err := c.(*stdlib.Conn).Conn().PgConn().CopyFrom(ctx, &text, statement)
		return err
	}))
}

var copyEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

// copied reports whether COPY takes the values of columns as the document of a row has them: an array or a composite
// has another form there.
func copied(columns []shape.Column) bool {
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
