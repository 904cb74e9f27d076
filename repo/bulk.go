package repo

import (
	"context"
	"slices"
	"strconv"
)

// Many copies at once: what both dialects share.

// bulkRows is the number of rows from which statements of many rows are worth what they add: COPY on PostgreSQL, VALUES
// on SQLite.
const bulkRows = 200

// alike reports whether copies have the same in the engine's columns, apart from the version.
func alike(items []*pending) bool {
	first := items[0]
	return !slices.ContainsFunc(items, func(p *pending) bool {
		return p.mappingVersion != first.mappingVersion || p.refined != first.refined || p.state.all != first.state.all
	})
}

// inserted adds to stored the keys of the copies that a statement has inserted, n of those in items.
func (e copies) inserted(ctx context.Context, t *tx, items []*pending, n int64, stored map[string]bool) error {
	keys := make([]string, len(items))
	for i, p := range items {
		keys[i] = p.key
		if n == int64(len(items)) {
			stored[p.key] = true
		}
	}
	if n == int64(len(items)) {
		return nil
	}
	return e.returnKeysOf(ctx, t, stored, e.sql(`SELECT CAST(c.{v2.key} AS text) FROM {v2} c
		WHERE c.coexist_seq = {seq} AND c.{v2.key} IN (SELECT k.key FROM ({key list}) k)`, "seq", strconv.FormatInt(t.seq, 10),
		"key list", keyListGoesHere), keys)
}
