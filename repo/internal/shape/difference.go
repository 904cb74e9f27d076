package shape

import (
	"fmt"
	"reflect"
	"strings"
)

// ChildChange is how the child rows of one table differ between two states of an aggregate.
type ChildChange struct {
	Child             *Child
	Deleted, Inserted []Row
	Updated           []Row
	Before            []Row    // the updated ones, as they were
	UpdatedColumns    []Column // those that differ in any updated row
}

// Difference is what must be written to turn one state of a V1 aggregate into another.
type Difference struct {
	Columns  []Column // of the root
	Row      Row
	Children []ChildChange
}

// Empty reports whether nothing must be written.
func (d *Difference) Empty() bool { return len(d.Columns) == 0 && len(d.Children) == 0 }

// Differ compares two states of a V1 aggregate, which before and after point to.
func (t *Table) Differ(before, after any) *Difference {
	v, w := reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem()
	d := &Difference{Row: Row{t.Key.Name: w.FieldByIndex(t.Key.Index).Interface()}}
	for i := range t.Columns {
		c := &t.Columns[i]
		if x, y := v.FieldByIndex(c.Index), w.FieldByIndex(c.Index); !Identical(x, y) {
			d.Columns = append(d.Columns, *c)
			d.Row[c.Name] = c.toDatabase(y)
		}
	}
	for i := range t.Children {
		if change := t.Children[i].differ(v, w, w.FieldByIndex(t.Key.Index).Interface()); change != nil {
			d.Children = append(d.Children, *change)
		}
	}
	return d
}

func (c *Child) differ(v, w reflect.Value, key any) *ChildChange {
	change := &ChildChange{Child: c}
	before := map[string]reflect.Value{}
	were := map[string]Row{}
	for i, list := 0, v.FieldByIndex(c.Index); i < list.Len(); i++ {
		before[c.identity(list.Index(i))] = list.Index(i)
	}
	for i, r := range c.Rows(v, key) {
		were[c.identity(v.FieldByIndex(c.Index).Index(i))] = r
	}
	kept := map[string]bool{}
	rows := c.Rows(w, key)
	differing := map[int]bool{}
	for i, list := 0, w.FieldByIndex(c.Index); i < list.Len(); i++ {
		identity := c.identity(list.Index(i))
		kept[identity] = true
		old, found := before[identity]
		switch {
		case !found:
			change.Inserted = append(change.Inserted, rows[i])
		case !Identical(old, list.Index(i)):
			change.Updated = append(change.Updated, rows[i])
			change.Before = append(change.Before, were[identity])
			for j := range c.Columns {
				if !Identical(old.FieldByIndex(c.Columns[j].Index), list.Index(i).FieldByIndex(c.Columns[j].Index)) {
					differing[j] = true
				}
			}
		}
	}
	for j := range c.Columns {
		if differing[j] {
			change.UpdatedColumns = append(change.UpdatedColumns, c.Columns[j])
		}
	}
	for i, old := range c.Rows(v, key) {
		if !kept[c.identity(v.FieldByIndex(c.Index).Index(i))] {
			change.Deleted = append(change.Deleted, old)
		}
	}
	if len(change.Deleted)+len(change.Inserted)+len(change.Updated) == 0 {
		return nil
	}
	return change
}

// identity tells the rows of one parent apart.
func (c *Child) identity(v reflect.Value) string {
	var b strings.Builder
	for _, i := range c.Own {
		fmt.Fprintf(&b, "%v\x00", v.FieldByIndex(c.Columns[i].Index).Interface())
	}
	return b.String()
}

// FirstDifference returns the path, in JSON names, of the first field in which two aggregates differ. before and after
// point to them.
func FirstDifference(before, after any) string {
	path, _ := DifferingField(reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem(), "")
	return path
}

// DifferingField is FirstDifference below a path. It also reports whether there is a difference.
func DifferingField(v, w reflect.Value, path string) (string, bool) {
	if Identical(v, w) {
		return "", false
	}
	if ReadsItself(v.Type()) {
		return path, true // a value with a form of its own, such as a time, has no fields to a reader
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name := JoinPath(path, v.Type().Field(i))
			if found, differs := DifferingField(v.Field(i), w.Field(i), name); differs {
				return found, true
			}
		}
	case reflect.Slice:
		for i := range min(v.Len(), w.Len()) {
			if found, differs := DifferingField(v.Index(i), w.Index(i), fmt.Sprintf("%s[%d]", path, i)); differs {
				return found, true
			}
		}
		return fmt.Sprintf("%s[%d]", path, min(v.Len(), w.Len())), true
	case reflect.Pointer:
		if !v.IsNil() && !w.IsNil() {
			return DifferingField(v.Elem(), w.Elem(), path)
		}
	}
	return path, true
}

// JoinPath returns the path of a struct's field. An embedded field without a JSON name of its own adds nothing.
func JoinPath(path string, f reflect.StructField) string {
	switch {
	case f.Anonymous && f.Tag.Get("json") == "":
		return path
	case path == "":
		return JSONName(f)
	default:
		return path + "." + JSONName(f)
	}
}

// Said returns the places that a client has changed in an aggregate, or has filled in a new one.
func (t *Table) Said(before, after any) map[string]bool {
	said := map[string]bool{}
	w := reflect.ValueOf(after).Elem()
	if b := reflect.ValueOf(before); !b.IsNil() {
		for place := range t.Changes(b.Elem(), w) {
			said[place] = true
		}
		return said
	}
	for i := range t.Columns {
		if !w.FieldByIndex(t.Columns[i].Index).IsZero() {
			said[t.Columns[i].Name] = true
		}
	}
	for i := range t.Children {
		c := &t.Children[i]
		for list, j := w.FieldByIndex(c.Index), 0; j < list.Len(); j++ {
			row := c.place(list.Index(j))
			said[row] = true
			for k := range c.Columns {
				if !list.Index(j).FieldByIndex(c.Columns[k].Index).IsZero() {
					said[row+c.Columns[k].Name] = true
				}
			}
		}
	}
	return said
}

// Changes returns the places in which two states of an aggregate differ, each with its field in the first state. A
// place is a column, a child row that only one state has, or a column of a child row that both have.
func (t *Table) Changes(v, w reflect.Value) map[string]string {
	changes := map[string]string{}
	for i := range t.Columns {
		c := &t.Columns[i]
		if !Identical(v.FieldByIndex(c.Index), w.FieldByIndex(c.Index)) {
			changes[c.Name] = c.Field("")
		}
	}
	for i := range t.Children {
		c := &t.Children[i]
		before, after := v.FieldByIndex(c.Index), w.FieldByIndex(c.Index)
		others := map[string]reflect.Value{}
		for j := range after.Len() {
			others[c.place(after.Index(j))] = after.Index(j)
		}
		for j := range before.Len() {
			row := c.place(before.Index(j))
			other, there := others[row]
			delete(others, row)
			if !there {
				changes[row] = fmt.Sprintf("%s[%d]", c.JSON, j)
				continue
			}
			for k := range c.Columns {
				if at := c.Columns[k].Index; !Identical(before.Index(j).FieldByIndex(at), other.FieldByIndex(at)) {
					changes[row+c.Columns[k].Name] = c.Columns[k].Field(fmt.Sprintf("%s[%d].", c.JSON, j))
				}
			}
		}
		for row := range others {
			changes[row] = c.JSON
		}
	}
	return changes
}

// place tells a child row from all others, and from columns.
func (c *Child) place(row reflect.Value) string { return c.Name + "\x00" + c.identity(row) }
