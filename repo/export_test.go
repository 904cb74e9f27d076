package repo

import "time"

// ReplaceConnections makes the pools open a new connection for each statement from now on.
func (db *DB) ReplaceConnections() {
	db.writerDB.SetConnMaxLifetime(time.Nanosecond)
	db.readerDB.SetConnMaxLifetime(time.Nanosecond)
}
