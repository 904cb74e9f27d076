package repo

import (
	"context"
	"reflect"

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

// replaceChildren writes the child rows of copies whose root rows this transaction has written. It deletes what is
// there first: the rows of a copy that was updated, and what was left of one that is gone.
func (e copies) replaceChildren(ctx context.Context, t *tx, won []*pending) error {
	if len(won) == 0 {
		return nil
	}
	var changes []command
	for i := range e.v2.Children {
		c := &e.v2.Children[i]
		var keys []string
		for _, p := range won {
			if !p.keeps(c) {
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
	for i := range e.v2.Children {
		if err := e.insertChildren(ctx, t, &e.v2.Children[i], won); err != nil {
			return err
		}
	}
	return nil
}

// insertChildren inserts the child rows of copies that do not have them.
func (e copies) insertChildren(ctx context.Context, t *tx, child *shape.Child, won []*pending) error {
	var values []reflect.Value
	for _, p := range won {
		if !p.keeps(child) {
			values = append(values, p.value)
		}
	}
	if done, err := e.db.dialect.insertLists(ctx, t, child, e.v2.Key, values); done || err != nil {
		return err
	}
	var rows []shape.Row
	for _, v := range values {
		rows = append(rows, child.Rows(v, v.FieldByIndex(e.v2.Key.Index).Interface())...)
	}
	return e.insertRows(ctx, t, child.SQL, child.AllColumns(*e.v1.Key), rows)
}

// command is a statement that changes a table, with its arguments.
type command struct {
	sql  string
	args []any
}
