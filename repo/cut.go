package repo

import (
	"context"
	"database/sql"
)

// A run's key range is cut into chunks one at a time, as workers ask for them.

// chunkRows is how many rows a chunk has: enough that cutting costs nothing, and few enough that several workers end at
// about the same time.
const chunkRows = 50_000

// roomForWorker is the condition that a run, given as an SQL expression, is running and has fewer workers than it may
// have.
func (db *DB) roomForWorker(run string) string {
	return db.sql(`EXISTS (SELECT 1 FROM {coexist_run} r WHERE r.id = {run} AND r.status = 'RUNNING'
		AND r.workers > (SELECT count(*) FROM {coexist_chunk} k WHERE k.run_id = r.id AND NOT k.finished
		AND k.leased_until > {leaseless}))`, "run", run, "leaseless", leaseless)
}

// cut makes a chunk from what is left of the range. Once all of the range is cut and done, a sweep gets one more chunk,
// for the marks.
func (e runs) cut(ctx context.Context, t *tx, run Run) (*chunk, error) {
	c := &chunk{RunID: run.ID, Stage: stageRange, Token: 1}
	var whole, room, open bool
	var bound sql.NullString
	found := false
	err := t.Query(ctx, func(rows *sql.Rows) error {
		found = true
		var position sql.NullString
		err := rows.Scan(&position, &bound, &whole, &c.Number)
		if position.Valid {
			c.Position = &position.String
		}
		return err
	}, e.sql(`SELECT c.position, c.upper, c.whole, c.next_number FROM {coexist_cut} c WHERE c.run_id = ?{lock}`),
		run.ID)
	if err != nil || !found {
		return nil, err
	}
	// A later statement than the lock, so that it sees what other workers have committed.
	err = t.Query(ctx, func(rows *sql.Rows) error { return rows.Scan(&room, &open, &c.Workers, &c.MaxRows) },
		e.db.sql(`SELECT {roomForWorker}, EXISTS (SELECT 1 FROM {coexist_chunk} k WHERE k.run_id = r.id
			AND (NOT k.finished OR k.stage = 'MARKS')), r.workers, coalesce(r.max_rows_per_second, 0)
			FROM {coexist_run} r WHERE r.id = ?`, "roomForWorker", e.db.roomForWorker("r.id")), run.ID)
	switch {
	case err != nil || !room:
		return nil, err
	case !whole:
		err = e.cutRange(ctx, t, run, c, bound)
	case run.Kind == Sweep && !open:
		err = e.cutMarks(ctx, t, c)
	default:
		return nil, nil //nolint:nilnil // there is nothing to cut
	}
	if err != nil {
		return nil, err
	}
	_, err = t.Exec(ctx, e.db.sql(`INSERT INTO {coexist_chunk} (run_id, number, upper, position, stage, token,
		leased_until) VALUES (?, ?, ?, ?, ?, 1, {later})`, "later", e.db.dialect.Later("?")),
		c.RunID, c.Number, c.Upper, c.Position, string(c.Stage), e.db.leases.length.Milliseconds())
	return c, err
}

func (e runs) cutRange(ctx context.Context, t *tx, run Run, c *chunk, bound sql.NullString) error {
	root := e.v1
	if run.Kind == Restore || t.fence.leader() == sideV2 {
		root = e.v2
	}
	var upper *string
	if bound.Valid {
		var s sqlText
		s.add("SELECT CAST(n.key AS text) FROM (")
		e.sweeping.nextKeys(&s, root, chunk{Upper: &bound.String, Position: c.Position}, e.db.chunkRows)
		s.add(") n ORDER BY n.key LIMIT 1 OFFSET CAST(? AS integer)", e.db.chunkRows-1)
		if err := scanText(ctx, t.Session, &upper, s.text.String(), s.args...); err != nil {
			return err
		}
	}
	last := upper == nil
	if c.Upper = upper; last && bound.Valid {
		c.Upper = &bound.String
	}
	_, err := t.Exec(ctx, e.db.sql(`UPDATE {coexist_cut} SET position = ?, whole = ?, next_number = next_number +
		1 WHERE run_id = ?`), c.Upper, last, c.RunID)
	return err
}

func (e runs) cutMarks(ctx context.Context, t *tx, c *chunk) error {
	c.Stage, c.Position = stageMarks, nil
	if err := scanText(ctx, t.Session, &c.Upper, fill(`SELECT CAST(u.key AS text) FROM ({marked}) u
		ORDER BY u.key DESC LIMIT 1`, "marked", e.marked())); err != nil {
		return err
	}
	_, err := t.Exec(ctx, e.db.sql(`UPDATE {coexist_cut} SET next_number = next_number + 1 WHERE run_id = ?`), c.RunID)
	return err
}
