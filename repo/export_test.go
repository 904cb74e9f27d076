package repo

import "time"

// ReplaceConnections makes the pools open a new connection for each statement from now on.
func (db *DB) ReplaceConnections() {
	db.writerDB.SetConnMaxLifetime(time.Nanosecond)
	db.readerDB.SetConnMaxLifetime(time.Nanosecond)
}

// ShortenLeases sets how long a process looks at a lease that is not renewed before it takes that over.
func (db *DB) ShortenLeases(length time.Duration) { db.leases.length = length }

// CaptureName is what the names of the triggers on a V1 table begin with, and the name of their function.
func CaptureName(name, table string) string {
	e := &entity{name: name, db: &DB{schema: "public"}}
	return e.triggerName(table)
}
