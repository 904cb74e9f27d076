package repo

import (
	"context"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// dialect is all in which the databases differ, by who asks.
type dialect struct {
	database.Dialect
	transactor
	owner
	capturer
	markStore
	installer
}

func dialectOf(base database.Dialect, d interface {
	transactor
	owner
	capturer
	markStore
	installer
},
) dialect {
	return dialect{base, d, d, d, d, d}
}

// transactor is how transactions begin and end, and what they lock.
type transactor interface {
	// begin opens a transaction: fence, time-outs, locks. It fills the transaction's fence and seq.
	begin(ctx context.Context, t *tx, e *entity, o opening) error
	// alsoWrites tells the triggers of more keys that an open transaction writes. On PostgreSQL they are told of one
	// entity's at a time.
	alsoWrites(ctx context.Context, t *tx, e *entity, keys []string) error
	// commit ends the transaction, or fails when the database has rolled it back.
	commit(ctx context.Context, t *tx) error
	// afterDeferred is a query within a transaction once everything has happened there that V1's owner has put off
	// until COMMIT.
	afterDeferred(ctx context.Context, t *tx, scan func(database.Scanner) error, query string, args ...any) error
	// changePhase opens a transaction that no other transaction on the entity overlaps, nor an old program's on its V1
	// tables. It fails with a *busyError. It waits for them no longer than wait.
	changePhase(ctx context.Context, t *tx, e *entity, wait time.Duration) error
	// blockers names who is in the way of changePhase, as far as the database tells.
	blockers(ctx context.Context, s database.Session, e *tables) ([]Transaction, error)
	// shareFence keeps the phase of another entity as it is until the transaction ends.
	shareFence(ctx context.Context, t *tx, e *entity) error
	// stopWriters are statements that, if a condition holds, wait until no other transaction on the entity is open, and
	// keep others out until their own ends.
	stopWriters(e *tables, condition string) []string
	// waitFor are statements after which the transaction waits for a lock no longer than that.
	waitFor(wait time.Duration) []string
	// lockV1 are statements that keep other programs from writing to V1 until their transaction ends.
	lockV1(e *tables) []string
}

// owner is what V1's owner has V1's tables do by themselves.
type owner interface {
	// logic is what V1's tables do and enforce besides their keys and foreign keys.
	logic(ctx context.Context, s database.Session, e *entity) ([]logic, error)
	// logicElsewhere is what seems to write V1's tables when others than led, which are quoted, are written.
	logicElsewhere(ctx context.Context, s database.Session, e *entity, led []string) ([]logic, error)
	// guards says that a foreign key of V1's, there and at work now, keeps a reference of e's from what is not there;
	// with deleting, that it also keeps what the reference leads to from being deleted.
	guards(e *entity, reference Reference, deleting bool) string
}

// capturer is how bypass writes are captured.
type capturer interface {
	// capture are the statements that install the capture of bypass writes to e's V1 tables; they may run again and
	// again.
	capture(ctx context.Context, s database.Session, e capture, which captureParts) ([]string, error)
	// captureBehind reports whether V1 has got what its triggers do not know, although they are as they were.
	captureBehind(ctx context.Context, s database.Session, e capture) (bool, error)
	// captured reports whether the capture of e's V1 tables is installed and at work.
	captured(e capture) string
	// fingerprint is a text that is another one once a trigger, its function or a V1 table is not the one that it was.
	fingerprint(e capture) string
	// kept reports whether a fingerprint that has become another one means no gap in the capture.
	kept(recorded, now string) bool
	// capture6 are what captured and fingerprint were up to version 6 of the engine's own tables, and dropCapture6 the
	// statements that drop what captured then, none where that was not there.
	capture6(e capture) (captured, fingerprint string)
	dropCapture6(ctx context.Context, s database.Session, e capture) ([]string, error)
}

// markStore is how copies and marks are written where that is not the same for both.
type markStore interface {
	// insertNew inserts root rows whose key is not there, and adds the keys that were inserted to inserted. It returns
	// false where it leaves that to others.
	insertNew(ctx context.Context, t *tx, e statements, into *shape.Table, columns []shape.Column, rows []shape.Row,
		inserted map[string]bool) (bool, error)
	// insertMany inserts rows. It returns false where it leaves that to others.
	insertMany(ctx context.Context, t *tx, table string, columns []shape.Column, rows []shape.Row) (bool, error)
	// marks.remove is the statement that deletes the marks in its one argument, a JSON list of them.
	deleteMarks(e statements) string
	// deleteBypassMarks does so, logs those of bypass writes, and returns how many it has deleted.
	deleteBypassMarks(ctx context.Context, t *tx, e statements, marks string) (int64, error)
	// foldBypass are the statements that make one line of an entity's log of bypass writes.
	foldBypass(e statements) []string
}

// installer is how tables come.
type installer interface {
	// install runs the statements that build returns, in one transaction that no other instance runs at the same time.
	// Those that create what is there already it leaves out. build looks into the database from within the transaction.
	install(ctx context.Context, db *DB, build func(database.Session) ([]string, error)) error
	// sharedTables are the statements that create the engine's own tables that all entities share.
	sharedTables(db *DB) []string
	// entityTables are the statements that create the engine's own tables of one entity.
	entityTables(e statements) []string
	// looseKeys are statements that let the key columns of the engine's own tables hold whatever a wider column of V1's
	// may.
	looseKeys(e statements) []string
	// checkDatabase fails where the database does not hold every text, or where tables of the engine's are in strange
	// hands.
	checkDatabase(ctx context.Context, db *DB) error
	// checkRole fails where our role lacks a right that is none on a table.
	checkRole(ctx context.Context, db *DB) error
}
