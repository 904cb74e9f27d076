package database

import (
	"encoding/binary"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/alwaysup/coexist/repo/internal/shape"
)

// Record reads an aggregate that a statement selects as one value: a row of the columns of the root table, and of an
// array for each child table.
type Record struct {
	// Expression selects the aggregate.
	Expression string
	before     int // how many columns come before those of the table
	fields     []Field
	lists      []listField
}

// listField reads an array of rows into a slice of structs.
type listField struct {
	index  []int
	fields []Field
}

// RecordOf returns how aggregates of a table are read whose root has an alias. The child rows are in the order of their
// own keys, or of their position. before are other columns, which come first.
func RecordOf(d Expressions, t *shape.Table, alias string, before ...string) *Record {
	r := &Record{before: len(before), fields: FieldsOf(d, alias, t.Columns)}
	columns := slices.Concat(before, expressionsOf(r.fields))
	for i := range t.Children {
		c := &t.Children[i]
		fields := FieldsOf(d, "d", c.Columns)
		r.lists = append(r.lists, listField{c.Index, fields})
		columns = append(columns, Fill(`ARRAY(SELECT ROW({columns}) FROM {child} d WHERE d.{parentKey} = {alias}.{key}
			ORDER BY {order})`, "columns", strings.Join(expressionsOf(fields), ", "), "child", c.SQL,
			"parentKey", Quote(c.ParentKey), "alias", alias, "key", Quote(t.Key.Name), "order", orderOf(c, "d")))
	}
	r.Expression = Fill(`ROW({columns})`, "columns", strings.Join(columns, ", "))
	return r
}

// orderOf is the order of the rows of a child table with an alias.
func orderOf(c *shape.Child, alias string) string {
	if len(c.Own) == 0 {
		return alias + "." + Quote(shape.PositionColumn)
	}
	order := make([]string, len(c.Own))
	for i, own := range c.Own {
		order[i] = alias + "." + Quote(c.Columns[own].Name)
	}
	return strings.Join(order, ", ")
}

func expressionsOf(fields []Field) []string {
	columns := make([]string, len(fields))
	for i := range fields {
		columns[i] = fields[i].Expression
	}
	return columns
}

// Read reads an aggregate into the model v. It returns the values of the columns that come before those of the table.
// It fails with ErrUnusual.
func (r *Record) Read(value []byte, v reflect.Value) (before [][]byte, err error) {
	columns := reader{rest: value}
	if columns.integer() != r.before+len(r.fields)+len(r.lists) {
		return nil, ErrUnusual
	}
	before = make([][]byte, r.before)
	for i := range before {
		_, before[i] = columns.typed()
	}
	if err := columns.fields(r.fields, v); err != nil {
		return nil, err
	}
	for i := range r.lists {
		_, rows := columns.typed()
		if err := r.lists[i].read(rows, v); err != nil {
			return nil, err
		}
	}
	return before, unusualIf(columns.broken)
}

func (l *listField) read(value []byte, v reflect.Value) error {
	rows, err := elementsOf(value)
	if err != nil {
		return err
	}
	list := v.FieldByIndex(l.index)
	list.Set(reflect.MakeSlice(list.Type(), len(rows), len(rows)))
	for i, row := range rows {
		columns := reader{rest: row}
		if columns.integer() != len(l.fields) {
			return ErrUnusual
		}
		if err := columns.fields(l.fields, list.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

// reader takes a value in PostgreSQL's binary format apart.
type reader struct {
	rest   []byte
	broken bool
}

func (r *reader) integer() int {
	const size = 4
	if len(r.rest) < size {
		r.broken = true
		return 0
	}
	n := int32(binary.BigEndian.Uint32(r.rest)) //nolint:gosec // the sign is in the bits
	r.rest = r.rest[size:]
	return int(n)
}

// sized is a value behind its length; nil for NULL.
func (r *reader) sized() []byte {
	n := r.integer()
	if n > len(r.rest) {
		r.broken = true
	}
	if n < 0 || r.broken {
		return nil
	}
	value := r.rest[:n:n]
	r.rest = r.rest[n:]
	return value
}

// typed is a value of a row, with the object id of its type.
func (r *reader) typed() (oid uint32, value []byte) {
	oid = uint32(r.integer()) //nolint:gosec // object ids have no sign
	return oid, r.sized()
}

// fields reads values of a row into fields of the model v.
func (r *reader) fields(fields []Field, v reflect.Value) error {
	const usual = 32
	var someValues [usual][]byte
	var someOIDs [usual]uint32
	values, oids := someValues[:0], someOIDs[:0]
	for range fields {
		oid, value := r.typed()
		values, oids = append(values, value), append(oids, oid)
	}
	if r.broken {
		return ErrUnusual
	}
	return ReadRow(fields, values, oids, v)
}

// elementsOf are the elements of an array of at most one dimension.
func elementsOf(array []byte) ([][]byte, error) {
	r := reader{rest: array}
	dimensions := r.integer()
	r.integer() // whether there are NULLs
	r.integer() // the type
	if r.broken || dimensions == 0 {
		return nil, unusualIf(r.broken)
	}
	n := r.integer()
	r.integer() // where it begins
	if r.broken || dimensions != 1 || n < 0 || n > len(array) {
		return nil, ErrUnusual
	}
	values := make([][]byte, n)
	for i := range values {
		values[i] = r.sized()
	}
	return values, unusualIf(r.broken)
}

func unusualIf(broken bool) error {
	if broken {
		return ErrUnusual
	}
	return nil
}

// Instant is a value of type timestamptz.
func Instant(value []byte) time.Time {
	epoch := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	return epoch.Add(time.Duration(Integer(value)) * time.Microsecond)
}
