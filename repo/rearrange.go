package repo

import (
	"encoding/json"
	"reflect"
	"slices"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// V1's tables have constraints of their owner's that the model does not know: foreign keys between child rows, and
// columns in which no two rows may have the same value. A change of several rows must be written in an order, and in
// steps, that these constraints allow.

// uniqueKey is a unique index of one of V1's tables.
type uniqueKey struct {
	database.UniqueIndex
	on      *shape.Table
	columns []shape.Column // the columns that the index needs and the model knows
	own     bool           // it identifies the rows of the table, as the model does
}

// known reports whether the engine can compute the index's values from what the model knows.
func (u uniqueKey) known() bool {
	return len(u.Terms) > 0 && len(u.columns) > 0 && len(u.columns) == len(u.Needs) && !slices.Contains(u.Operators, "")
}

// uniques returns the unique keys of V1's tables.
func (e foreignKeys) uniques() []uniqueKey {
	var all []uniqueKey
	add := func(on *shape.Table, known []shape.Column, own []string) {
		for _, index := range e.constraints.Unique(on.Name) {
			key := uniqueKey{UniqueIndex: index, on: on, own: slices.Equal(slices.Sorted(slices.Values(index.Plain())),
				own)}
			for _, c := range known {
				if slices.Contains(index.Needs, c.Name) {
					key.columns = append(key.columns, c)
				}
			}
			all = append(all, key)
		}
	}
	add(e.v1, e.v1.Columns, []string{e.v1.Key.Name})
	for i := range e.v1.Children {
		c := &e.v1.Children[i]
		var own []string
		for _, column := range c.KeyColumns(*e.v1.Key) {
			own = append(own, column.Name)
		}
		slices.Sort(own)
		add(&c.Table, c.AllColumns(*e.v1.Key), own)
	}
	return all
}

// insertsFirst reports whether a change of child rows must begin with its inserts and end with its deletes. That is so
// where a row that stays has referred to a row that goes, or will refer to a row that comes. Otherwise deletes come
// first, to make room.
func (e v1Rows) insertsFirst(changes []shape.ChildChange) bool {
	for i := range changes {
		for _, key := range e.constraints.Foreign(changes[i].Child.Name) {
			for j := range changes {
				if changes[j].Child.SQL == key.Target && !bool(key.Acts) &&
					(refer(changes[i].Before, key, changes[j].Deleted) || refer(changes[i].Updated, key,
						changes[j].Inserted)) {
					return true
				}
			}
		}
	}
	return false
}

func refer(rows []shape.Row, key database.ForeignKey, targets []shape.Row) bool {
	there := map[string]bool{}
	for _, target := range targets {
		if value, whole := spelled(target, key.TargetColumns); whole {
			there[value] = true
		}
	}
	return slices.ContainsFunc(rows, func(r shape.Row) bool {
		value, whole := spelled(r, key.Columns)
		return whole && there[value]
	})
}

// spelled turns the values of columns of a row into a text that no other values have. whole is false where one value is
// NULL, which refers to nothing and equals nothing.
func spelled(r shape.Row, columns []string) (value string, whole bool) {
	list := make([]any, len(columns))
	for i, name := range columns {
		v := reflect.Indirect(reflect.ValueOf(r[name]))
		if !v.IsValid() {
			return "", false
		}
		list[i] = v.Interface()
	}
	document, err := json.Marshal(list)
	return string(document), err == nil
}

// inOrder splits the rows that a change updates into steps. V1 checks each row by itself, so a row that takes over a
// unique value of another row, such as its place in a list, must come after that row. Rows that exchange values have no
// such order; V1 refuses them.
func (e v1Rows) inOrder(c *shape.ChildChange) [][]shape.Row {
	var uniques [][]string
	for _, unique := range e.foreignKeys.uniques() {
		names := unique.Plain()
		if unique.on == &c.Child.Table && !unique.own && slices.ContainsFunc(names, func(name string) bool {
			return slices.ContainsFunc(c.UpdatedColumns,
				func(updated shape.Column) bool { return updated.Name == name })
		}) {
			uniques = append(uniques, names)
		}
	}
	waitsFor := make([][]int, len(c.Updated)) // for each row, the rows that hold what it takes over
	for _, names := range uniques {
		holders := map[string]int{}
		for i, r := range c.Before {
			if value, whole := spelled(r, names); whole {
				holders[value] = i
			}
		}
		for i, r := range c.Updated {
			value, whole := spelled(r, names)
			if holder, held := holders[value]; whole && held && holder != i {
				waitsFor[i] = append(waitsFor[i], holder)
			}
		}
	}
	var steps [][]shape.Row
	done := make([]bool, len(c.Updated))
	for left := len(c.Updated); left > 0; {
		var step []int
		for i := range c.Updated {
			if !done[i] && !slices.ContainsFunc(waitsFor[i], func(j int) bool { return !done[j] }) {
				step = append(step, i)
			}
		}
		if step == nil { // the rest are in circles
			for i := range c.Updated {
				if !done[i] {
					step = append(step, i)
				}
			}
		}
		rows := make([]shape.Row, len(step))
		for n, i := range step {
			rows[n], done[i] = c.Updated[i], true
		}
		steps, left = append(steps, rows), left-len(step)
	}
	return steps
}

// childrenInOrder returns V1's child tables, each after the tables to which it refers.
func (e v1Rows) childrenInOrder() []*shape.Child {
	var left, ordered []*shape.Child
	for i := range e.v1.Children {
		left = append(left, &e.v1.Children[i])
	}
	for len(left) > 0 {
		next := slices.IndexFunc(left, func(c *shape.Child) bool {
			return !slices.ContainsFunc(left, func(other *shape.Child) bool {
				return other != c && slices.ContainsFunc(e.constraints.Foreign(c.Name),
					func(key database.ForeignKey) bool { return key.Target == other.SQL })
			})
		})
		next = max(next, 0) // the rest are in a circle
		ordered = append(ordered, left[next])
		left = slices.Delete(left, next, next+1)
	}
	return ordered
}

// insertsInOrder returns the changes of child rows, each after the changes of tables to which its own table refers.
func (e v1Rows) insertsInOrder(changes []shape.ChildChange) []*shape.ChildChange {
	var ordered []*shape.ChildChange
	for _, c := range e.childrenInOrder() {
		for i := range changes {
			if changes[i].Child == c {
				ordered = append(ordered, &changes[i])
			}
		}
	}
	return ordered
}

// deletesInOrder returns the changes of child rows, each before the changes of tables to which its own table refers.
func (e v1Rows) deletesInOrder(changes []shape.ChildChange) []*shape.ChildChange {
	ordered := e.insertsInOrder(changes)
	slices.Reverse(ordered)
	return ordered
}
