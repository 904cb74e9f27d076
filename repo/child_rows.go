package repo

import (
	"context"
	"database/sql"
	"reflect"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/shape"
)

// The child rows of a copy belong to whoever holds its root row: who writes the root row replaces them, and who deletes
// it deletes them too. No foreign key need do that. On PostgreSQL there is none before CUTOVER (child_keys.go), and
// child rows that a delete by hand has left there are not taken over by the next copy of their key.

// remove deletes a copy, with its child rows, if it is still of the seq that was read. It returns how many copies it
// has deleted: 1 or 0. Where it has deleted none, the transaction must not go on.
func (e copies) remove(ctx context.Context, t *tx, key string, seq int64) (int64, error) {
	changes := make([]command, 0, len(e.v2.Children)+1)
	for i := range e.v2.Children {
		c := &e.v2.Children[i]
		changes = append(changes, command{e.sql(`DELETE FROM {child} WHERE {parentKey} = {?}`, "child", c.SQL,
			"parentKey", quote(c.ParentKey)), []any{key}})
	}
	changes = append(changes, command{
		e.sql(`DELETE FROM {v2} WHERE {v2.key} = {?} AND coexist_seq = ?`),
		[]any{key, seq},
	})
	return e.db.dialect.execTogether(ctx, t, changes)
}

// keyRange are the keys behind one key, or from the first on, up to another.
type keyRange struct {
	after *string
	last  string
}

// contains is the condition that a key lies in the range, and its arguments.
func (r *keyRange) contains(e statements, key string) (condition string, args []any) {
	if r.after == nil {
		return e.sql(`{key} <= {?}`, "key", key), []any{r.last}
	}
	return e.sql(`{key} > {?} AND {key} <= {?}`, "key", key), []any{*r.after, r.last}
}

// childless returns which child tables have no rows in a range.
func (e copies) childless(ctx context.Context, t *tx, within *keyRange) ([]bool, error) {
	none := make([]bool, len(e.v2.Children))
	if within == nil || len(none) == 0 {
		return none, nil
	}
	looks, to := make([]string, len(none)), make([]any, len(none))
	var args []any
	for i := range e.v2.Children {
		c := &e.v2.Children[i]
		condition, more := within.contains(e.statements, "d."+quote(c.ParentKey))
		looks[i] = fill(`NOT EXISTS (SELECT 1 FROM {child} d WHERE {condition})`, "child", c.SQL, "condition", condition)
		args, to[i] = append(args, more...), &none[i]
	}
	return none, t.Query(ctx, func(rows *sql.Rows) error { return rows.Scan(to...) },
		"SELECT "+strings.Join(looks, ", "), args...)
}

// replaceChildren writes the child rows of copies whose root rows this transaction has written. It deletes what is
// there first: the rows of a copy that was updated, and what was left of one that is gone. New copies are within a
// range, unless that is nil: where it has no child rows, there is nothing to be looked for by key.
func (e copies) replaceChildren(ctx context.Context, t *tx, won []*pending, within *keyRange) error {
	if len(won) == 0 {
		return nil
	}
	childless, err := e.childless(ctx, t, within)
	if err != nil {
		return err
	}
	var changes []command
	for i := range e.v2.Children {
		c := &e.v2.Children[i]
		var keys []string
		for _, p := range won {
			if !p.keeps(c) && (p.state.hasCopy || !childless[i]) {
				keys = append(keys, p.key)
			}
		}
		if len(keys) == 0 {
			continue
		}
		document, err := e.keyDocument(keys)
		if err != nil {
			return err
		}
		changes = append(changes, command{fill(`DELETE FROM {child} WHERE {parentKey} IN (SELECT k.key
			FROM ({key list}) k)`, "child", c.SQL, "parentKey", quote(c.ParentKey),
			"key list", e.db.dialect.KeyList(e.v1.Key, len(keys))), []any{document}})
	}
	if _, err := e.db.dialect.execTogether(ctx, t, changes); err != nil {
		return err
	}
	changes = changes[:0]
	for i := range e.v2.Children {
		few, err := e.insertChildren(ctx, t, &e.v2.Children[i], won)
		if err != nil {
			return err
		}
		changes = append(changes, few...)
	}
	_, err = e.db.dialect.execTogether(ctx, t, changes)
	return err
}

// insertChildren inserts the child rows of copies that do not have them, or returns what inserts them where they are
// few.
func (e copies) insertChildren(ctx context.Context, t *tx, child *shape.Child, won []*pending) ([]command, error) {
	var values []reflect.Value
	for _, p := range won {
		if !p.keeps(child) {
			values = append(values, p.value)
		}
	}
	if done, err := e.db.dialect.insertLists(ctx, t, child, e.v2.Key, values); done || err != nil {
		return nil, err
	}
	var rows []shape.Row
	for _, v := range values {
		rows = append(rows, child.Rows(v, v.FieldByIndex(e.v2.Key.Index).Interface())...)
	}
	columns := child.AllColumns(*e.v1.Key)
	if done, err := e.db.dialect.insertMany(ctx, t, child.SQL, columns, rows); done || err != nil || len(rows) == 0 {
		return nil, err
	}
	document, err := shape.Marshal(rows)
	return []command{{e.insertStatement(child.SQL, columns, len(rows), ""), []any{document}}}, err
}

// command is a statement that changes a table, with its arguments.
type command struct {
	sql  string
	args []any
}
