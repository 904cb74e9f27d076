package repo

import (
	"context"
	"reflect"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// dialect is everything in which the databases differ, grouped by who uses it.
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
	// alsoWrites tells the triggers about more keys that an open transaction writes. On PostgreSQL, the triggers know
	// the keys of one entity at a time.
	alsoWrites(ctx context.Context, t *tx, e *entity, keys []string) error
	// commit ends the transaction, or fails when the database has rolled it back.
	commit(ctx context.Context, t *tx) error
	// afterDeferred runs a query within a transaction, after everything that V1's owner has deferred to COMMIT.
	afterDeferred(ctx context.Context, t *tx, scan func(database.Scanner) error, query string, args ...any) error
	// changePhase opens a transaction that overlaps no other transaction on the entity, and none of an old program's on
	// its V1 tables. It waits for them no longer than wait, then fails with a *database.BusyError.
	changePhase(ctx context.Context, t *tx, e *entity, wait time.Duration) error
	// blockers returns the transactions that hold the entity's fence or have written to the tables, as far as the
	// database names them.
	blockers(ctx context.Context, s database.Session, e *tables, names []string) ([]Transaction, error)
	// shareFence keeps the phase of another entity as it is until the transaction ends.
	shareFence(ctx context.Context, t *tx, e *entity) error
	// stopWriters returns statements that, if condition holds, wait until no other transaction on the entity is open,
	// and keep others out until their own transaction ends.
	stopWriters(e *tables, condition string) []string
	// waitFor returns statements after which the transaction waits for a lock no longer than wait.
	waitFor(wait time.Duration) []string
	// lockV1 returns statements that keep other programs from writing to V1 until their transaction ends.
	lockV1(e *tables) []string
}

// owner finds what V1's owner has made V1's tables do by themselves.
type owner interface {
	// logic is what V1's tables do and enforce besides their keys and foreign keys.
	logic(ctx context.Context, s database.Session, e *entity) ([]logic, error)
	// logicElsewhere is what seems to write V1's tables when tables other than led are written. The names in led are
	// quoted.
	logicElsewhere(ctx context.Context, s database.Session, e *entity, led []string) ([]logic, error)
	// guards is the condition that a foreign key of V1's exists, is at work now, and keeps a reference of e's from a
	// missing target; with deleting, that it also keeps the target from being deleted.
	guards(e *entity, reference Reference, deleting bool) string
}

// capturer is how bypass writes are captured.
type capturer interface {
	// capture returns the statements that install the capture of bypass writes to e's V1 tables. They may run
	// repeatedly.
	capture(ctx context.Context, s database.Session, e capture, which captureParts) ([]string, error)
	// captureBehind reports whether V1 has changed in a way that its triggers do not cover, although they are as they
	// were.
	captureBehind(ctx context.Context, s database.Session, e capture) (bool, error)
	// captured is the condition that the capture of e's V1 tables is installed and at work.
	captured(e capture) string
	// fingerprint is an expression of a text that changes once a trigger, its function or a V1 table is not the one
	// that it was.
	fingerprint(e capture) string
	// kept reports whether a fingerprint that has changed means no gap in the capture.
	kept(recorded, now string) bool
	// capture6 returns what captured and fingerprint were up to version 6 of the engine's own tables. dropCapture6
	// returns the statements that drop the triggers of that time, none where they are not there.
	capture6(e capture) (captured, fingerprint string)
	dropCapture6(ctx context.Context, s database.Session, e capture) ([]string, error)
}

// markStore is how copies and marks are written, where the databases differ in that.
type markStore interface {
	// insertNew inserts root rows whose key does not exist yet, and adds the keys that it has inserted to inserted. It
	// returns false where it leaves the work to the caller.
	insertNew(ctx context.Context, t *tx, e statements, into *shape.Table, columns []shape.Column, rows []shape.Row,
		inserted map[string]bool) (bool, error)
	// insertCopies inserts copies of rows that had none, unless there are some by now, and adds the keys that it has
	// inserted to stored. It returns false where it leaves the work to the caller.
	insertCopies(ctx context.Context, t *tx, e copies, items []*pending, origin Origin, stored map[string]bool) (bool,
		error)
	// insertLists inserts the child rows of copies. It returns false where it leaves the work to the caller.
	insertLists(ctx context.Context, t *tx, child *shape.Child, key *shape.Column, aggregates []reflect.Value) (bool,
		error)
	// insertMany inserts rows. It returns false where it leaves the work to the caller.
	insertMany(ctx context.Context, t *tx, table string, columns []shape.Column, rows []shape.Row) (bool, error)
	// execTogether makes changes to different tables, on PostgreSQL as one statement: they do not see each
	// other's changes. It returns how many rows the last one has changed, 0 where there is none.
	execTogether(ctx context.Context, t *tx, changes []command) (int64, error)
	// deleteMarks returns the statement that deletes the marks in its one argument, a JSON list of n of them.
	deleteMarks(e statements, n int) string
	// deleteBypassMarks deletes n marks, logs those of bypass writes, and returns how many it has deleted.
	deleteBypassMarks(ctx context.Context, t *tx, e statements, n int, marks string) (int64, error)
	// foldBypass returns the statements that fold an entity's log of bypass writes into one line.
	foldBypass(e statements) []string
}

// installer is how tables are created.
type installer interface {
	// install runs the statements that build returns, in one transaction that no other instance runs at the same time.
	// It leaves out statements that create what exists already. build reads the database from within the transaction.
	install(ctx context.Context, db *DB, build func(database.Session) ([]string, error)) error
	// sharedTables returns the statements that create the engine's own tables that all entities share.
	sharedTables(db *DB) []string
	// entityTables returns the statements that create the engine's own tables of one entity.
	entityTables(e statements) []string
	// looseKeys returns statements that let the key columns of the engine's own tables hold whatever a wider column of
	// V1's may hold.
	looseKeys(e statements) []string
	// checkDatabase fails where the database does not hold every text, or where tables of the engine's belong to a
	// stranger.
	checkDatabase(ctx context.Context, db *DB) error
	// checkRole fails where our role lacks a right other than one on a table.
	checkRole(ctx context.Context, db *DB) error
}
