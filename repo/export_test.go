package repo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// ReplaceConnections makes the pools open a new connection for each statement from now on.
func (db *DB) ReplaceConnections() {
	db.pools.WriterDB.SetConnMaxLifetime(time.Nanosecond)
	db.pools.ReaderDB.SetConnMaxLifetime(time.Nanosecond)
}

// ShortenLeases sets how long a process looks at a lease that is not renewed before it takes that over.
func (db *DB) ShortenLeases(length time.Duration) { db.leases.length = length }

// CutInto sets how many rows a chunk has that this process cuts.
func (db *DB) CutInto(rows int) { db.chunkRows = rows }

// LimitBatches sets how many bytes the rows of a batch may have.
func (db *DB) LimitBatches(bytes int) { db.maxBytes = bytes }

// CaptureName is what the names of the triggers on a V1 table begin with, and the name of their function.
func CaptureName(name, table string) string {
	e := capture{statements{&tables{name: name, db: &DB{pools: &database.Pools{Schema: "public"}}}}}
	return e.triggerName(table)
}

// ReadAllWays reads everything up to a key as a verification does, as a range, by key from JSON, and by key in the
// cheapest form, and describes what it finds. It also returns the keys that the range read has left to the read by key.
func ReadAllWays[V1, V2 any](ctx context.Context, r *Repository[V1, V2], upper string,
	limit int,
) (byRange, fromJSON, byKey, unusual []string, err error) {
	c := chunk{Upper: &upper, Stage: stageRange}
	found, err := r.sweeping.readRange(ctx, r.sweeping.v1Keys(c, limit), nil, (*rangeRead).pairs)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	found.pair()
	_, ranged, err := r.readPairs(ctx, c, limit)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	_, read, err := r.readBatch(ctx, wantBoth, r.sweeping.bothKeys(c, limit), limit)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	keys := make([]string, len(read))
	for i, s := range read {
		keys[i] = s.key
	}
	looked, err := r.lookUp(ctx, r.db.pools.Answering(), wantBoth, keys)
	return described(ranged), described(read), described(slices.Collect(maps.Values(looked))), found.unusualKeys(), err
}

func described[V1, V2 any](read []*seen[V1, V2]) []string {
	var all []string
	for _, s := range read {
		v1, _ := json.Marshal(s.v1) // what was read from JSON can be written
		v2, _ := json.Marshal(s.v2)
		all = append(all, fmt.Sprintf("%s %s %s %v %v %v %v %v", s.key, v1, v2, s.v1Err, s.state.hasCopy,
			s.state.fresh(), s.copy.Refined, s.copy.MappingVersion))
	}
	slices.Sort(all)
	return all
}
