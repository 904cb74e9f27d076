package repo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// V1's tables hold keys of their owner's besides those that the model knows: foreign keys between child rows, and columns that no two rows share. A
// change of several rows has to be written in an order, and by steps, that these allow.

// uniqueKey are columns of a V1 table whose values no two rows share.
type uniqueKey struct {
	on      *table
	columns []column
}

// uniques are the unique keys of V1's tables whose columns the model knows all, but for those by which it tells the rows apart.
func (e *entity) uniques() []uniqueKey {
	var all []uniqueKey
	add := func(on *table, known []column, own []string) {
		for _, names := range e.keys.unique(on.name) {
			key := uniqueKey{on: on}
			for _, name := range names {
				if i := slices.IndexFunc(known, func(c column) bool { return c.name == name }); i >= 0 {
					key.columns = append(key.columns, known[i])
				}
			}
			slices.Sort(names)
			if len(key.columns) == len(names) && !slices.Equal(names, own) {
				all = append(all, key)
			}
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

// columnLists are the answer to a query of JSON lists.
func columnLists(ctx context.Context, s session, query, table string) (lists [][]string, err error) {
	documents, err := texts(ctx, s, query, table)
	for _, document := range documents {
		var names []string
		err = errors.Join(err, json.Unmarshal([]byte(document), &names))
		lists = append(lists, names)
	}
	return lists, err
}

// insertsFirst reports whether a change of child rows has to begin with what it inserts, and to end with what it deletes: where a row that stays referred to
// one that goes, or will refer to one that comes. Else what goes makes room first.
func (e *entity) insertsFirst(changes []childChange) bool {
	for i := range changes {
		for _, key := range e.keys.foreign(changes[i].child.name) {
			for j := range changes {
				if changes[j].child.sql == key.Target && (refer(changes[i].before, key, changes[j].deleted) || refer(changes[i].updated, key, changes[j].inserted)) {
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
		there[values(target, key.TargetColumns)] = true
	}
	return slices.ContainsFunc(rows, func(r row) bool { return there[values(r, key.Columns)] })
}

// values spells the values of columns of a row.
func values(r row, columns []string) string {
	list := make([]any, len(columns))
	for i, name := range columns {
		if v := reflect.Indirect(reflect.ValueOf(r[name])); v.IsValid() {
			list[i] = v.Interface()
		}
	}
	return fmt.Sprintf("%q", list)
}

// park gives child rows that take over each other's unique numbers, such as positions in a list, numbers that none of them has or is to have. It returns
// nil where none do. V1 checks each row by itself. Where what goes goes last, its numbers may be taken over, too.
func (e *entity) park(c *childChange, insertsFirst bool) (column, []row) {
	leaving, taking := c.before, c.updated
	if insertsFirst {
		leaving, taking = slices.Concat(c.before, c.deleted), slices.Concat(c.updated, c.inserted)
	}
	var own []string
	for _, column := range c.child.keyColumns(*e.v1.key) {
		own = append(own, column.name)
	}
	for _, unique := range e.uniques() {
		if unique.on != &c.child.table {
			continue
		}
		i := slices.IndexFunc(unique.columns, func(in column) bool {
			return in.isInt && !slices.Contains(own, in.name)
		})
		if i < 0 {
			continue
		}
		parked := unique.columns[i]
		var names []string
		for _, column := range unique.columns {
			names = append(names, column.name)
		}
		held := map[string]row{}
		highest := int64(0)
		for _, r := range leaving {
			held[values(r, names)] = r
			highest = max(highest, whole(r[parked.name]))
		}
		takes := func(r row) bool {
			holder, taken := held[values(r, names)]
			return taken && values(holder, own) != values(r, own)
		}
		for _, r := range taking {
			highest = max(highest, whole(r[parked.name]))
		}
		if l := parked.now().limits; l.ranged && highest > l.max-int64(len(leaving)) || !slices.ContainsFunc(taking, takes) {
			continue
		}
		rows := make([]row, len(leaving))
		for j, r := range leaving {
			rows[j] = row{parked.name: highest + int64(j) + 1}
			for _, name := range own {
				rows[j][name] = r[name]
			}
		}
		return parked, rows
	}
	return column{}, nil
}

// whole is a value of an integer column, 0 for NULL.
func whole(value any) int64 {
	switch v := reflect.Indirect(reflect.ValueOf(value)); {
	case v.IsValid() && v.CanInt():
		return v.Int()
	case v.IsValid() && v.CanUint():
		return int64(v.Uint()) //nolint:gosec // V1's integers are signed
	default:
		return 0
	}
}
