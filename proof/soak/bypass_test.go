package soak

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/mattn/go-sqlite3"

	"github.com/alwaysup/coexist/repo/repotest"
)

// oldProgram writes V1's tables in SQL, as if there was no server, until the round's work ends. Two old programs never
// write the same key at a time, so that what goes wrong with one is no other's fault.
func (r *round) oldProgram(ctx context.Context, name string, random *rand.Rand) {
	for ctx.Err() == nil {
		entity := "NOTE"
		if random.IntN(7) == 0 {
			entity = "COMMENT"
		}
		keys := keysOf(entity)
		if r.database.postgres && random.IntN(100) == 0 {
			r.truncate(ctx, name)
			continue
		}
		r.oldPrograms.RLock()
		key := keys[random.IntN(len(keys))]
		lock := r.keyLocks[entity+key]
		lock.Lock()
		r.bypass(name, entity, key, random)
		lock.Unlock()
		r.oldPrograms.RUnlock()
		time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
	}
}

// oldWrite is a transaction of an old program's.
type oldWrite struct {
	verb       verb
	set        set
	isolation  sql.IsolationLevel
	statements []oldStatement
	// counted is the statement whose rows say whether there was something to do.
	counted int
}

type oldStatement struct {
	sql  string
	args []any
}

func (r *round) bypass(name, entity, key string, random *rand.Rand) {
	w := r.oldWrite(entity, key, random)
	hold := func() {
		switch n := random.IntN(100); {
		case n < 3:
			time.Sleep(time.Duration(random.IntN(500)) * time.Millisecond)
		case n < 35:
			time.Sleep(time.Duration(random.IntN(15)) * time.Millisecond)
		}
	}
	call := r.now()
	rows, committing, err := r.transact(w, hold)
	ret := r.now()
	if took := time.Duration(ret - call); took > 5*time.Second && err == nil && r.quietChaos() {
		r.anomaly("an old program waited %v: %s %s %s", took, w.verb, entity, key)
	}
	out := output{rows: rows}
	switch outcome := oldOutcome(err); {
	case outcome == "" || outcome == rejected || outcome == alreadyExists:
		out.code = outcome
	case outcome == "DEADLOCK":
		r.anomaly("an old program is the victim of a dead-lock: %s %s %s: %s", w.verb, entity, key, r.deadlock(err))
		return
	case outcome == internal:
		r.anomaly("an old program fails: %s %s %s: %v", w.verb, entity, key, err)
		return
	case outcome == unavailable && committing:
		out.code, ret = unknown, never
	default:
		return // rolled back
	}
	r.count(&r.stats.bypass)
	if out.code == rejected {
		r.count(&r.stats.rejected)
	}
	if entity == "NOTE" && (w.verb == bypassDelete || w.verb == bypassReplace) {
		r.excuse(key)
	}
	r.add(event{
		who: name, in: input{entity: entity, key: key, verb: w.verb, set: w.set}, out: out,
		call: call, ret: ret,
	})
}

// excuse lets comments refer to a note that is not there: where comments are in CONTRACT and notes are not, V1's
// foreign keys do not keep an old program from deleting what comments in V2 alone refer to.
func (r *round) excuse(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.excused[key] = true
}

// deadlock says who waited for whom, and what they do now.
func (r *round) deadlock(err error) string {
	pg, _ := errors.AsType[*pgconn.PgError](err)
	activity := r.texts(
		"SELECT pid || ' ' || application_name || ' ' || state || ' ' || left(query, 200) FROM pg_stat_activity WHERE datname = current_database()")
	return pg.Error() + "\n" + pg.Detail + "\n" + strings.Join(activity, "\n")
}

// transact runs a write to its end. It says whether COMMIT had been sent when it failed.
func (r *round) transact(w oldWrite, hold func()) (rows int64, committing bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	options := &sql.TxOptions{Isolation: w.isolation}
	if !r.database.postgres {
		options = nil
	}
	tx, err := r.raw.BeginTx(ctx, options)
	if err != nil {
		return 0, false, err
	}
	for i, s := range w.statements {
		result, err := tx.ExecContext(ctx, s.sql, s.args...)
		if err != nil {
			return 0, false, errors.Join(err, tx.Rollback())
		}
		if i == w.counted {
			if rows, err = result.RowsAffected(); err != nil || rows == 0 {
				return 0, false, errors.Join(err, tx.Rollback())
			}
		}
		hold()
	}
	return rows, true, tx.Commit()
}

func (r *round) oldWrite(entity, key string, random *rand.Rand) oldWrite {
	all := r.allParts(random, entity)
	if entity == "NOTE" && random.IntN(20) == 0 {
		all.Prio = bad
	}
	all.Extra = 0
	// What is not READ COMMITTED changes root rows, or child rows, and never both: an old program that reads and writes
	// at different times is not one operation.
	isolation := sql.LevelReadCommitted
	if random.IntN(3) == 0 {
		isolation = []sql.IsolationLevel{sql.LevelRepeatableRead, sql.LevelSerializable}[random.IntN(2)]
	}
	v := value{}.with(all)
	if entity == "COMMENT" {
		c := v.commentV1(id(key))
		update := oldStatement{"UPDATE comments SET words = $1 WHERE id = $2", []any{c.Words, c.ID}}
		remove := oldStatement{"DELETE FROM comments WHERE id = $1", []any{c.ID}}
		insert := oldStatement{
			"INSERT INTO comments (id, note_id, words) VALUES ($1, $2, $3)",
			[]any{c.ID, c.NoteID, c.Words},
		}
		switch random.IntN(5) {
		case 0:
			return oldWrite{verb: bypassInsert, set: all, isolation: isolation, statements: []oldStatement{insert}}
		case 1:
			return oldWrite{verb: bypassDelete, set: keepAll, isolation: isolation, statements: []oldStatement{remove}}
		case 2:
			return oldWrite{
				verb: bypassReplace, set: all, isolation: isolation,
				statements: []oldStatement{remove, insert},
			}
		default:
			return oldWrite{
				verb: bypassUpdate, set: set{all.Title, kept, kept, kept}, isolation: isolation,
				statements: []oldStatement{update},
			}
		}
	}
	n := v.noteV1(key)
	insert := []oldStatement{{
		"INSERT INTO notes (id, title, body, priority) VALUES ($1, $2, $3, $4)",
		[]any{key, n.Title, n.Body, n.Priority},
	}}
	var tags []oldStatement
	for _, t := range n.Tags {
		tags = append(tags, oldStatement{
			"INSERT INTO note_tags (note_id, rank, name) VALUES ($1, $2, $3)",
			[]any{key, t.Rank, t.Name},
		})
	}
	noTags := oldStatement{"DELETE FROM note_tags WHERE note_id = $1", []any{key}}
	noRoot := oldStatement{"DELETE FROM notes WHERE id = $1", []any{key}}
	title := oldStatement{"UPDATE notes SET title = $1, body = $2 WHERE id = $3", []any{n.Title, n.Body, key}}
	prio := oldStatement{"UPDATE notes SET priority = $1 WHERE id = $2", []any{n.Priority, key}}
	switch random.IntN(12) {
	case 0, 1:
		return oldWrite{verb: bypassInsert, set: all, isolation: isolation, statements: append(insert, tags...)}
	case 2:
		return oldWrite{verb: bypassDelete, set: keepAll, isolation: isolation, statements: []oldStatement{
			noTags,
			noRoot,
		}, counted: 1}
	case 3:
		if r.late { // tags that come between the two deletes are the new row's: it locks the row first
			return oldWrite{
				verb: bypassReplace, set: all, isolation: sql.LevelReadCommitted,
				statements: append([]oldStatement{noRoot, noTags, insert[0]}, tags...),
			}
		}
		return oldWrite{
			verb: bypassReplace, set: all, isolation: isolation,
			statements: append([]oldStatement{noTags, noRoot, insert[0]}, tags...), counted: 1,
		}
	case 4, 5:
		return oldWrite{
			verb: bypassUpdate, set: set{all.Title, kept, kept, kept}, isolation: isolation,
			statements: []oldStatement{title},
		}
	case 6:
		return oldWrite{
			verb: bypassUpdate, set: set{all.Title, all.Prio, kept, kept}, isolation: isolation,
			statements: []oldStatement{title, prio},
		}
	case 7, 8, 9: // child rows alone
		name := v.tag()
		if all.Tags == 0 {
			all.Tags = r.number()
			name = value{Tags: all.Tags}.tag()
		}
		return oldWrite{
			verb: bypassUpdate, set: set{kept, kept, all.Tags, kept}, isolation: isolation,
			statements: []oldStatement{
				{"UPDATE note_tags SET name = $1 WHERE note_id = $2", []any{name, key}},
			},
		}
	default: // all of it, the root row first
		return oldWrite{
			verb: bypassUpdate, set: set{all.Title, all.Prio, all.Tags, kept},
			statements: append([]oldStatement{title, prio, noTags}, tags...), isolation: sql.LevelReadCommitted,
		}
	}
}

// truncate empties V1.
func (r *round) truncate(ctx context.Context, name string) {
	r.oldPrograms.Lock()
	defer r.oldPrograms.Unlock()
	call := r.now()
	tx, err := r.raw.BeginTx(ctx, nil)
	if err != nil {
		return
	}
	if _, err = tx.ExecContext(ctx, "SET LOCAL lock_timeout = '2s'"); err == nil {
		_, err = tx.ExecContext(ctx, "TRUNCATE notes, note_tags, comments")
	}
	if err != nil {
		_ = tx.Rollback() // it failed, and changed nothing
		return
	}
	out, ret := output{rows: 1}, int64(0)
	if err := tx.Commit(); err != nil {
		out, ret = output{code: unknown}, never
	}
	if ret == 0 {
		ret = r.now()
	}
	r.count(&r.stats.truncates)
	for _, entity := range []string{"NOTE", "COMMENT"} {
		for _, key := range keysOf(entity) {
			r.excuse(key)
			r.add(event{
				who: name, in: input{entity: entity, key: key, verb: bypassTruncate, set: keepAll}, out: out,
				call: call, ret: ret,
			})
		}
	}
}

// oldOutcome says how an old program's transaction ended: well, or in a way that it must live with anyway.
func oldOutcome(err error) code {
	if err == nil {
		return ""
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code {
		case "55000":
			return rejected
		case "23505":
			return alreadyExists
		case "23503", "40001":
			return refused
		case "40P01":
			return "DEADLOCK"
		}
		if pg.Code[:2] == "57" || pg.Code[:2] == "08" || pg.Code[:2] == "53" {
			return unavailable
		}
		return internal
	}
	if lite, ok := errors.AsType[sqlite3.Error](err); ok {
		switch {
		case strings.Contains(err.Error(), "no longer the truth"):
			return rejected
		case lite.ExtendedCode == sqlite3.ErrConstraintPrimaryKey || lite.ExtendedCode == sqlite3.ErrConstraintUnique:
			return alreadyExists
		case lite.ExtendedCode == sqlite3.ErrConstraintForeignKey:
			return refused
		case lite.Code == sqlite3.ErrBusy:
			return refused // somebody is slow, or stopped
		}
		return internal
	}
	return unavailable // the connection is gone
}

func openRaw(url string) (*sql.DB, bool, error) {
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		raw, err := sql.Open("sqlite3", fmt.Sprintf("file:%s?_foreign_keys=on&_busy_timeout=10000&_txlock=immediate",
			path))
		return raw, false, err
	}
	raw, err := sql.Open("pgx", repotest.Pinned(url)+"&application_name=old&target_session_attrs=primary")
	return raw, true, err
}
