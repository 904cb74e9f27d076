package repo

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/alwaysup/coexist/repo/internal/shape"
)

// Predicate is one condition in two forms: on V1's root table and on V2's. Both must pick the same keys: a test of
// yours should show that, as TestPredicatePairs does for the sample. The form of the shape that leads is used.
type Predicate struct{ V1, V2 Condition }

// Condition is a test of a root row, or of a child row within FirstChild. Make one with the functions below; the zero
// value is met by every row. Columns are named as in the table. Values are what the driver takes for the column:
// strings, integers, Booleans, and dates as text, YYYY-MM-DD. A column that holds NULL meets only IsNull. A list fails
// where its table has no such column.
type Condition struct {
	test   test
	column string
	values []any
	of     []Condition // of anyOf; of firstChild: where and is
	table  string      // of firstChild
}

type test int

const (
	testNothing test = iota
	testIn
	testAtLeast
	testAtMost
	testContains
	testNull
	testNotNull
	testAnyOf
	testFirstChild
)

// In is met where the column holds one of the values. Without values no row meets it.
func In[T any](column string, values ...T) Condition {
	c := Condition{test: testIn, column: column}
	for _, v := range values {
		c.values = append(c.values, v)
	}
	return c
}

// AtLeast is met where the column holds the value or one after it, in the database's order.
func AtLeast[T any](column string, value T) Condition {
	return Condition{test: testAtLeast, column: column, values: []any{value}}
}

// AtMost is met where the column holds the value or one before it, in the database's order.
func AtMost[T any](column string, value T) Condition {
	return Condition{test: testAtMost, column: column, values: []any{value}}
}

// Contains is met where the column's text contains part as it is spelled: upper and lower case differ, even where the
// column's collation takes them for the same. Every text contains an empty part.
func Contains(column, part string) Condition {
	return Condition{test: testContains, column: column, values: []any{part}}
}

// IsNull is met where the column holds NULL.
func IsNull(column string) Condition { return Condition{test: testNull, column: column} }

// IsNotNull is met where the column holds a value.
func IsNotNull(column string) Condition { return Condition{test: testNotNull, column: column} }

// AnyOf is met where one of the conditions is. Without conditions no row meets it.
func AnyOf(conditions ...Condition) Condition { return Condition{test: testAnyOf, of: conditions} }

// FirstChild takes the first of the aggregate's child rows in a table that meets all of where. It is met where that row
// meets is, too.
func FirstChild(table string, is Condition, where ...Condition) Condition {
	return Condition{test: testFirstChild, table: table, of: append([]Condition{is}, where...)}
}

// conditionOn writes a condition on a row of t, or of one of its child tables, under an alias.
func (e *entity) conditionOn(s *sqlText, t *shape.Table, alias string, c Condition) error {
	switch c.test {
	case testNothing:
		s.add("true")
		return nil
	case testAnyOf:
		s.add("(false")
		for _, one := range nestedAnyOf(c.of) {
			s.add(" OR ")
			if err := e.conditionOn(s, t, alias, one); err != nil {
				return err
			}
		}
		s.add(")")
		return nil
	case testFirstChild:
		return e.firstChild(s, t, alias, c)
	}
	if t.Column(c.column) == nil {
		return fmt.Errorf("entity %s: a condition is on column %q, which table %s has not", e.name, c.column, t.Name)
	}
	column, ordered := alias+"."+quote(c.column), e.db.dialect.Ordered(alias, t.Column(c.column))
	at := within
	if len(c.values) > 0 {
		c.values = whole(t.Column(c.column), c.test, c.values)
		at = placeOf(t.Column(c.column), c.values[0])
	}
	switch {
	case c.test == testIn:
		held := slices.DeleteFunc(slices.Clone(c.values),
			func(v any) bool { return placeOf(t.Column(c.column), v) != within })
		switch {
		case len(held) == 0:
			s.add("false")
		case len(held) > manyValues:
			list, err := json.Marshal(held)
			if err != nil {
				return fmt.Errorf("entity %s: a condition on column %q: %w", e.name, c.column, err)
			}
			s.add(fill(`{column} IN (SELECT l.key FROM ({keyList}) l)`, "column", column,
				"keyList", e.db.dialect.KeyList(t.Column(c.column), 0)), string(list))
		default:
			s.add(fill(`{column} IN ({list})`, "column", column, "list", strings.Repeat("?, ", len(held)-1)+"?"), held...)
		}
	case c.test == testAtLeast && at == below, c.test == testAtMost && at == above:
		s.add(fill(`{column} IS NOT NULL`, "column", column))
	case at != within:
		s.add("false")
	case c.test == testAtLeast:
		s.add(ordered+" >= ?", c.values...)
	case c.test == testAtMost:
		s.add(ordered+" <= ?", c.values...)
	case c.test == testContains:
		s.add(e.db.dialect.Contains(column), c.values...)
	case c.test == testNull:
		s.add(fill(`{column} IS NULL`, "column", column))
	default:
		s.add(fill(`{column} IS NOT NULL`, "column", column))
	}
	return nil
}

// nestedAnyOf returns conditions, grouped in nested AnyOf conditions where there are many: SQLite counts each OR of a
// chain as one level of nesting.
func nestedAnyOf(conditions []Condition) []Condition {
	const most = 100
	for len(conditions) > most {
		var groups []Condition
		for group := range slices.Chunk(conditions, most) {
			groups = append(groups, AnyOf(group...))
		}
		conditions = groups
	}
	return conditions
}

// manyValues is the number of values above which In passes them as one argument: databases take only some thousands of
// arguments.
const manyValues = 500

// whole returns the values of a condition, without fractions where the column holds integers. In a range, a value with
// a fraction becomes the next integer that the range contains. Other values that are no integers stay as they are.
func whole(c *shape.Column, test test, values []any) []any {
	if !c.IsInt {
		return values
	}
	values = slices.Clone(values)
	for i, value := range values {
		v := reflect.ValueOf(value)
		if !v.CanFloat() {
			continue
		}
		f := v.Float()
		switch test {
		case testAtLeast:
			f = math.Ceil(f)
		case testAtMost:
			f = math.Floor(f)
		}
		if f == math.Trunc(f) && math.Abs(f) < 1<<63 {
			values[i] = int64(f)
		} else {
			values[i] = f
		}
	}
	return values
}

// standing says where a value lies among those that a column can hold.
type standing int

const (
	within  standing = iota
	below            // before all of them
	above            // after all of them
	nowhere          // no column holds such a value
)

// placeOf is the standing of a condition's value: it finds a text that the database cannot hold, and a number beyond
// the column's limits.
func placeOf(c *shape.Column, value any) standing {
	v := reflect.ValueOf(value)
	l := c.Now().Limits
	var n int64
	switch {
	case v.Kind() == reflect.String:
		if text := v.String(); !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return nowhere
		}
		if !c.IsInt {
			return within
		}
		var err error
		if n, err = strconv.ParseInt(v.String(), 10, 64); err != nil {
			return nowhere
		}
	case v.CanInt():
		n = v.Int()
	case v.CanUint() && c.IsInt:
		if v.Uint() > math.MaxInt64 {
			return above
		}
		n = int64(v.Uint())
	case v.CanFloat() && c.IsInt: // whole has left it: it is no integer, or beyond all of them
		switch f := v.Float(); {
		case f >= 1<<63:
			return above
		case f <= -1<<63:
			return below
		default:
			return nowhere
		}
	default:
		return within
	}
	switch {
	case !c.IsInt || !l.Ranged || c.Now().Wide:
		return within
	case n < l.Min:
		return below
	case n > l.Max:
		return above
	default:
		return within
	}
}

func (e *entity) firstChild(s *sqlText, t *shape.Table, alias string, c Condition) error {
	for i := range t.Children {
		child := &t.Children[i]
		if child.Name != c.table {
			continue
		}
		s.add("(SELECT ")
		if err := e.conditionOn(s, &child.Table, "d", c.of[0]); err != nil {
			return err
		}
		s.add(fill(` FROM {child} d WHERE d.{parentKey} = {alias}.{key}`, "child", child.SQL,
			"parentKey", quote(child.ParentKey), "alias", alias, "key", quote(t.Key.Name)))
		for _, where := range c.of[1:] {
			s.add(" AND ")
			if err := e.conditionOn(s, &child.Table, "d", where); err != nil {
				return err
			}
		}
		order := "d." + quote(shape.PositionColumn)
		if t == e.v1 {
			var own []string
			for _, i := range child.Own {
				own = append(own, "d."+quote(child.Columns[i].Name))
			}
			order = strings.Join(own, ", ")
		}
		s.add(fill(` ORDER BY {order} LIMIT 1)`, "order", order))
		return nil
	}
	return fmt.Errorf("entity %s: a condition is on child table %q, which table %s has not", e.name, c.table, t.Name)
}

// sqlPart is SQL that is written once and used in several statements.
type sqlPart struct {
	text string
	args []any
}

// and adds a condition on the root table t.
func (p *sqlPart) and(e *entity, t *shape.Table, c Condition) error {
	var s sqlText
	s.add(" AND ")
	err := e.conditionOn(&s, t, "t", c)
	p.text, p.args = p.text+s.text.String(), append(p.args, s.args...)
	return err
}
