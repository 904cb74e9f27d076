package repo

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// look is the answer to a read of one key.
type look struct {
	fence   fence
	answers []answer
}

// opening says how a transaction on an entity begins: fence, then the locks of the leading rows.
type opening struct {
	key      *string  // the aggregate whose V1 rows are locked; nil for none
	writes   []string // the keys whose V1 rows it writes, with key
	all      bool     // it may write the V1 rows of any key, and leaves no mark for them
	deleting bool     // lock against references too
	derived  bool     // writes only what can be derived again: its COMMIT need not reach the disk
	lazy     bool     // wait for no other transaction: give up at once
}

// keys returns the keys whose V1 rows the transaction writes.
func (o opening) keys() []string {
	if o.key != nil {
		return append([]string{*o.key}, o.writes...)
	}
	return o.writes
}

// tx is a transaction on one entity, under the phase that its fence gives: nobody can change the phase before it ends.
type tx struct {
	database.Session
	entity  *entity
	conn    *sql.Conn
	opening opening
	others  map[*entity]*opening // the other entities whose rows it also writes
	fence   fence
	seq     int64 // for the copies that this transaction writes; never used before or again
	// token is in the marks of whatever the transaction causes beyond its own writes.
	token string
	// locked says whether the leading root row was there to be locked.
	locked bool
	// looked is what there was of the key once its rows were locked, nil where that must still be read.
	looked *look
}

// transact runs fn in a transaction and commits it; an error of fn rolls it back. It fails with a *database.BusyError
// when another transaction was in the way, and with ErrOutcomeUnknown when the connection was lost during COMMIT.
func (e *entity) transact(ctx context.Context, o opening, fn func(context.Context, *tx) error) error {
	waiting := ctx
	if o.lazy {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, lazyLockTimeout)
		defer cancel()
	}
	leave, err := e.seat(waiting)
	if err != nil {
		return err
	}
	defer leave()
	if pool := e.db.pools.WriterDB.Stats(); pool.InUse < pool.MaxOpenConnections {
		waiting = ctx // wait as long as opening a connection takes, but not for one that others hold
	}
	conn, err := e.db.pools.WriterDB.Conn(waiting)
	if err != nil {
		return e.db.pools.Classify(err)
	}
	return e.transactOn(ctx, conn, func(ctx context.Context, t *tx, e *entity) error {
		t.opening = o
		if err := e.db.dialect.begin(ctx, t, e, o); err != nil {
			return e.noKey(o, e.db.pools.Classify(err))
		}
		return t.fence.check()
	}, fn)
}

// noKey returns ErrNotFound where the transaction could not begin because its key is no value of the column's type. It
// returns any other error as it is.
func (e *entity) noKey(o opening, err error) error {
	if database.IsRefused(err, database.BadValue) && o.key != nil {
		return ErrNotFound
	}
	return err
}

// transactOn is transact on a connection, which it gives back. begin opens the transaction.
func (e *entity) transactOn(ctx context.Context, conn *sql.Conn, begin func(context.Context, *tx, *entity) error,
	fn func(context.Context, *tx) error,
) (err error) {
	t := &tx{entity: e, conn: conn, Session: e.db.pools.OnConnection(conn), token: newToken()}
	done := false
	defer func() {
		if !done { // also when fn panics
			t.rollback(ctx)
		}
		// A connection that cannot be given back is closed: nothing is lost with it.
		_ = conn.Close()
	}()
	if err := begin(ctx, t, e); err != nil {
		return e.db.pools.Classify(err)
	}
	if err := fn(ctx, t); err != nil {
		return err
	}
	// Nothing may cut COMMIT short: its outcome would be unknown.
	commit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	e.db.pools.Observe("COMMIT")
	if err := e.db.dialect.commit(commit, t); err != nil {
		err = e.db.pools.Classify(err)
		if _, busy := errors.AsType[*database.BusyError](err); !busy && errors.Is(err, ErrUnavailable) {
			return ErrOutcomeUnknown
		}
		return err
	}
	done = true
	return nil
}

// newToken returns a UUID that no other transaction has.
func newToken() string {
	const version, variant = 0x4000, 0x8000
	a, b := rand.Uint64(), rand.Uint64()
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", a>>32, a>>16&0xffff, a&0x0fff|version,
		b>>48&0x3fff|variant, b&0xffffffffffff)
}

// rollback ends the transaction. If that fails, it throws the connection away.
func (t *tx) rollback(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	t.Pools.Observe("ROLLBACK")
	if _, err := t.conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		// Its state is unknown: throw it away. Whatever it had begun ends with it.
		_ = t.conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}

// write is transact for a user's write. It tries again, with back-off, while other transactions are in the way. It also
// tries once more where our knowledge of V1's columns refused the write and turns out to be out of date.
func (e *entity) write(ctx context.Context, o opening, fn func(context.Context, *tx) error) error {
	renewed := false
	return database.Retry(ctx, database.Patience{Tries: database.BusyTries}, database.IsBusy, func() error {
		err := e.transact(ctx, o, fn)
		if !renewed && refusedByLimit(err) {
			renewed = true
			changed, renewErr := e.fitting.renewColumns(ctx)
			if renewErr != nil {
				return renewErr
			}
			if changed {
				err = e.transact(ctx, o, fn)
			}
		}
		if errors.Is(err, database.ErrEarlierCapture) {
			if _, err := e.capture.mend(ctx, time.Second); err != nil {
				return err
			}
		}
		return err
	})
}

// renewColumns looks at V1's columns again, and brings V2's up to date with them. It reports whether any has changed.
func (e fitting) renewColumns(ctx context.Context) (bool, error) {
	changed, err := e.renew(ctx, e.db.pools.Reading())
	if err != nil {
		return false, err
	}
	altered, err := e.alignColumns(ctx)
	if err != nil {
		e.db.logger.WarnContext(ctx, "a write does not fit V2's tables", "entity", e.name, "error", err)
	}
	return changed || altered, nil
}

// refusedByLimit reports whether an error is about what a column can hold, by our own check or by the database's.
func refusedByLimit(err error) bool {
	if err == nil {
		return false
	}
	if _, ok := errors.AsType[*database.ConstraintError](err); ok {
		return database.IsRefused(err, database.BadValue)
	}
	return field(err).OverLimit
}

// autonomously runs a statement outside of a transaction, and tries again while others are in the way: the database's
// default isolation level may be one at which the statement fails rather than waits.
func (db *DB) autonomously(ctx context.Context, fn func(database.Session) error) error {
	return database.Retry(ctx, database.Patience{Tries: database.BusyTries}, database.IsBusy, func() error {
		return fn(db.pools.Once())
	})
}
