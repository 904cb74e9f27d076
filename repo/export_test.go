package repo

import (
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

// CaptureName is what the names of the triggers on a V1 table begin with, and the name of their function.
func CaptureName(name, table string) string {
	e := capture{statements{&tables{name: name, db: &DB{pools: &database.Pools{Schema: "public"}}}}}
	return e.triggerName(table)
}
