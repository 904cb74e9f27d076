package repo

import (
	"encoding/json"
	"reflect"
	"slices"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// V1's tables hold keys of their owner's besides those that the model knows: foreign keys between child rows, and
// columns that no two rows share. A change of several rows has to be written in an order, and by steps, that these
// allow.

// uniqueKey is a unique index of one of V1's tables.
type uniqueKey struct {
	database.UniqueIndex
	on      *shape.Table
	columns []shape.Column // those that it needs and that the model knows
	own     bool           // it tells the rows of the table apart, as the model does
}

// known reports whether it can be computed from what the model knows.
func (u uniqueKey) known() bool {
	return len(u.Terms) > 0 && len(u.columns) > 0 && len(u.columns) == len(u.Needs) && !slices.Contains(u.Operators, "")
}

// uniques are the unique keys of V1's tables.
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

// insertsFirst reports whether a change of child rows has to begin with what it inserts, and to end with what it
// deletes: where a row that stays referred to one that goes, or will refer to one that comes. Else what goes makes room
// first.
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

// spelled tells the values of columns of a row from all others. It is not whole where one is NULL, which refers to
// nothing and is like nothing.
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

// inOrder splits the rows that a change updates: V1 checks each row by itself, so one that takes over what another of
// them holds alone, such as its place in a list, comes after that. Rows that change places have no such order; V1
// refuses them.
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
	waitsFor := make([][]int, len(c.Updated)) // rows that hold what a row takes over
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

// childrenInOrder are V1's child tables, each after those to which its own refers.
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

// insertsInOrder are changes of child rows, each after those to whose tables its own refers.
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

// deletesInOrder are changes of child rows, each before those to whose tables its own refers.
func (e v1Rows) deletesInOrder(changes []shape.ChildChange) []*shape.ChildChange {
	ordered := e.insertsInOrder(changes)
	slices.Reverse(ordered)
	return ordered
}
