package database

import (
	"context"
	"database/sql"
	"reflect"
	"strconv"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/shape"
	"github.com/alwaysup/coexist/value"
)

// Binder turns the value of a field into an argument of a statement, as a row's JSON document would have it.
type Binder func(field reflect.Value) any

// BindersOf returns how the fields of columns are bound. It returns false where one of them must go through a document.
func BindersOf(columns []shape.Column) (binders []Binder, ok bool) {
	binders = make([]Binder, len(columns))
	for i := range columns {
		if binders[i] = binderOf(&columns[i]); binders[i] == nil {
			return nil, false
		}
	}
	return binders, true
}

func binderOf(c *shape.Column) Binder {
	family, kind := shape.TypeFamily(c.Now().SQLType), c.GoType.Kind()
	var bind Binder
	switch {
	case c.IsJSON(), marshalsItself(c.GoType), c.GoType == reflect.TypeFor[value.Number]():
		return nil
	case kind == reflect.String && family == "text":
		bind = func(field reflect.Value) any { return field.String() }
	case kind >= reflect.Int && kind <= reflect.Int64 && family == "integer":
		bind = func(field reflect.Value) any { return field.Int() }
	case kind == reflect.Bool && c.IsBool:
		bind = func(field reflect.Value) any { return field.Bool() }
	default:
		return nil
	}
	if !c.Nullable {
		return bind
	}
	return func(field reflect.Value) any {
		if field.IsNil() {
			return nil
		}
		return bind(field.Elem())
	}
}

// Insert is an INSERT of many rows.
type Insert struct {
	Before, After string
	Own           int   // how many values each row has of its own, which come first
	Same          []any // the values that all rows have
	Rows          int
	AtOnce        int // how many rows a statement has
}

// InsertValues inserts rows by prepared statements. row appends the own values of a row. InsertValues returns how many
// rows were inserted.
func InsertValues(ctx context.Context, s Session, conn *sql.Conn, i Insert,
	row func(row int, args []any) []any,
) (inserted int64, err error) {
	prepared := map[int]*sql.Stmt{}
	defer func() {
		for _, statement := range prepared {
			_ = statement.Close() // nothing depends on it
		}
	}()
	args := make([]any, 0, len(i.Same)+i.AtOnce*i.Own)
	for at := 0; at < i.Rows; at += i.AtOnce {
		n := min(i.AtOnce, i.Rows-at)
		statement := prepared[n]
		if statement == nil {
			text := i.statement(n)
			s.Pools.Observe(text)
			if statement, err = conn.PrepareContext(ctx, text); err != nil {
				return inserted, s.Pools.Classify(err)
			}
			prepared[n] = statement
		}
		args = append(args[:0], i.Same...)
		for k := range n {
			args = row(at+k, args)
		}
		result, err := statement.ExecContext(ctx, args...)
		if err != nil {
			return inserted, s.Pools.Classify(err)
		}
		written, err := result.RowsAffected()
		if err != nil {
			return inserted, s.Pools.Classify(err)
		}
		inserted += written
	}
	return inserted, nil
}

// statement inserts n rows. Its arguments are numbered: first those that all rows have.
func (i *Insert) statement(n int) string {
	var same strings.Builder
	for k := range i.Same {
		same.WriteString(", ?" + strconv.Itoa(k+1))
	}
	var text strings.Builder
	text.WriteString(i.Before)
	next := len(i.Same) + 1
	for r := range n {
		if r > 0 {
			text.WriteString(", ")
		}
		text.WriteString("(")
		for k := range i.Own {
			if k > 0 {
				text.WriteString(", ")
			}
			text.WriteString("?" + strconv.Itoa(next))
			next++
		}
		text.WriteString(same.String() + ")")
	}
	text.WriteString(i.After)
	return text.String()
}
