package repo

import (
	"encoding/json"
	"reflect"
	"slices"
)

// V1's tables hold keys of their owner's besides those that the model knows: foreign keys between child rows, and
// columns that no two rows share. A change of several rows has to be written in an order, and by steps, that these
// allow.

// uniqueKey is a unique index of one of V1's tables.
type uniqueKey struct {
	uniqueIndex
	on      *table
	columns []column // those that it needs and that the model knows
	own     bool     // it tells the rows of the table apart, as the model does
}

// known reports whether it can be computed from what the model knows.
func (u uniqueKey) known() bool {
	return len(u.Terms) > 0 && len(u.columns) > 0 && len(u.columns) == len(u.Needs) && !slices.Contains(u.Operators, "")
}

// uniques are the unique keys of V1's tables.
func (e *entity) uniques() []uniqueKey {
	var all []uniqueKey
	add := func(on *table, known []column, own []string) {
		for _, index := range e.keys.unique(on.name) {
			key := uniqueKey{uniqueIndex: index, on: on, own: slices.Equal(slices.Sorted(slices.Values(index.plain())),
				own)}
			for _, c := range known {
				if slices.Contains(index.Needs, c.name) {
					key.columns = append(key.columns, c)
				}
			}
			all = append(all, key)
		}
	}
	add(e.v1, e.v1.columns, []string{e.v1.key.name})
	for i := range e.v1.children {
		c := &e.v1.children[i]
		var own []string
		for _, column := range c.keyColumns(*e.v1.key) {
			own = append(own, column.name)
		}
		slices.Sort(own)
		add(&c.table, c.allColumns(*e.v1.key), own)
	}
	return all
}

// insertsFirst reports whether a change of child rows has to begin with what it inserts, and to end with what it
// deletes: where a row that stays referred to one that goes, or will refer to one that comes. Else what goes makes room
// first.
func (e *entity) insertsFirst(changes []childChange) bool {
	for i := range changes {
		for _, key := range e.keys.foreign(changes[i].child.name) {
			for j := range changes {
				if changes[j].child.sql == key.Target && !bool(key.Acts) &&
					(refer(changes[i].before, key, changes[j].deleted) || refer(changes[i].updated, key,
						changes[j].inserted)) {
					return true
				}
			}
		}
	}
	return false
}

func refer(rows []row, key foreignKey, targets []row) bool {
	there := map[string]bool{}
	for _, target := range targets {
		if value, whole := spelled(target, key.TargetColumns); whole {
			there[value] = true
		}
	}
	return slices.ContainsFunc(rows, func(r row) bool {
		value, whole := spelled(r, key.Columns)
		return whole && there[value]
	})
}

// spelled tells the values of columns of a row from all others. It is not whole where one is NULL, which refers to
// nothing and is like nothing.
func spelled(r row, columns []string) (value string, whole bool) {
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
func (e *entity) inOrder(c *childChange) [][]row {
	var uniques [][]string
	for _, unique := range e.uniques() {
		names := unique.plain()
		if unique.on == &c.child.table && !unique.own && slices.ContainsFunc(names, func(name string) bool {
			return slices.ContainsFunc(c.updatedColumns, func(updated column) bool { return updated.name == name })
		}) {
			uniques = append(uniques, names)
		}
	}
	waitsFor := make([][]int, len(c.updated)) // rows that hold what a row takes over
	for _, names := range uniques {
		holders := map[string]int{}
		for i, r := range c.before {
			if value, whole := spelled(r, names); whole {
				holders[value] = i
			}
		}
		for i, r := range c.updated {
			value, whole := spelled(r, names)
			if holder, held := holders[value]; whole && held && holder != i {
				waitsFor[i] = append(waitsFor[i], holder)
			}
		}
	}
	var steps [][]row
	done := make([]bool, len(c.updated))
	for left := len(c.updated); left > 0; {
		var step []int
		for i := range c.updated {
			if !done[i] && !slices.ContainsFunc(waitsFor[i], func(j int) bool { return !done[j] }) {
				step = append(step, i)
			}
		}
		if step == nil { // the rest are in circles
			for i := range c.updated {
				if !done[i] {
					step = append(step, i)
				}
			}
		}
		rows := make([]row, len(step))
		for n, i := range step {
			rows[n], done[i] = c.updated[i], true
		}
		steps, left = append(steps, rows), left-len(step)
	}
	return steps
}

// childrenInOrder are V1's child tables, each after those to which its own refers.
func (e *entity) childrenInOrder() []*child {
	var left, ordered []*child
	for i := range e.v1.children {
		left = append(left, &e.v1.children[i])
	}
	for len(left) > 0 {
		next := slices.IndexFunc(left, func(c *child) bool {
			return !slices.ContainsFunc(left, func(other *child) bool {
				return other != c && slices.ContainsFunc(e.keys.foreign(c.name),
					func(key foreignKey) bool { return key.Target == other.sql })
			})
		})
		next = max(next, 0) // the rest are in a circle
		ordered = append(ordered, left[next])
		left = slices.Delete(left, next, next+1)
	}
	return ordered
}

// insertsInOrder are changes of child rows, each after those to whose tables its own refers.
func (e *entity) insertsInOrder(changes []childChange) []*childChange {
	var ordered []*childChange
	for _, c := range e.childrenInOrder() {
		for i := range changes {
			if changes[i].child == c {
				ordered = append(ordered, &changes[i])
			}
		}
	}
	return ordered
}

// deletesInOrder are changes of child rows, each before those to whose tables its own refers.
func (e *entity) deletesInOrder(changes []childChange) []*childChange {
	ordered := e.insertsInOrder(changes)
	slices.Reverse(ordered)
	return ordered
}
