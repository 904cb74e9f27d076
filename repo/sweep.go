package repo

import (
	"context"
	"encoding/json"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// A sweep migrates what use did not: first the key range as it was at the start, then the marks that are left.

// swept is what a sweep decides to do with a batch.
type swept struct {
	within   *keyRange // of all items, nil where it is not known
	items    []pending
	failures []failure
	// newFailures counts the failures that were not in quarantine before.
	newFailures int
	vanished    []vanished
	// wrong are the keys whose copy an older mapping made and whose row this mapping cannot convert.
	wrong []vanished
}

// vanished is a key that has a copy or marks but no V1 row.
type vanished struct {
	key   string
	state state
}

// prepareSweep reads the next rows of a chunk with one statement, and converts those that have no fresh copy.
func (r *Repository[V1, V2]) prepareSweep(ctx context.Context, run Run, c chunk, limit int) (*batch, error) {
	b, read, err := r.readSweep(ctx, run, c, limit)
	if err != nil {
		return nil, err
	}
	do := swept{within: b.within}
	for _, s := range read {
		r.decide(&do, s, run.olderThan)
	}
	b.apply = func(ctx context.Context, t *tx) (outcome, error) {
		if t.fence.AllMarks != b.fence.AllMarks {
			return outcome{}, database.Busy(errOvertaken) // V1 was truncated since, or there was a gap in the capture
		}
		return r.sweeping.apply(ctx, t, c, do)
	}
	b.refuse = func(ctx context.Context, t *tx, refusal error) (outcome, error) {
		if len(do.items) != 1 {
			return outcome{}, refusal
		}
		p := do.items[0]
		fault := Faulty("", "V2 does not take it: %s", shape.FirstLine(refusal))
		failures := []failure{newFailure(p.key, p.state, fault)}
		return r.sweeping.apply(ctx, t, c, swept{newFailures: 1, failures: failures})
	}
	return b, nil
}

// readSweep reads the next keys of a chunk for a sweep.
func (r *Repository[V1, V2]) readSweep(ctx context.Context, run Run, c chunk,
	limit int,
) (*batch, []*seen[V1, V2], error) {
	switch {
	case c.Stage == stageMarks:
		return r.readBatch(ctx, wantBoth, r.sweeping.markedKeys(c, limit), limit)
	case run.olderThan > 0:
		return r.readBatch(ctx, wantBoth, r.sweeping.v1Keys(c, limit), limit)
	default:
		return r.readRange(ctx, c, limit)
	}
}

// readRange reads the next V1 keys of a chunk as a range, and those of them that are unusual by key.
func (r *Repository[V1, V2]) readRange(ctx context.Context, c chunk, limit int) (*batch, []*seen[V1, V2], error) {
	found, err := r.sweeping.readRange(ctx, r.sweeping.v1Keys(c, limit), c.Position, (*rangeRead).notCopied)
	if err != nil {
		return nil, nil, err
	}
	read, all := make([]*seen[V1, V2], 0, len(found.v1)+len(found.unusual)), make([]seen[V1, V2], len(found.v1))
	for i, row := range found.v1 {
		if !found.unusual[row.key] {
			all[i] = seen[V1, V2]{
				key: row.key, fence: found.fence, v1: row.value.Interface().(*V1),
				state: state{all: found.fence.AllMarks},
			}
			read = append(read, &all[i])
		}
	}
	b := found.batch(limit)
	unusual, err := r.readUnusual(ctx, b, found, wantV2)
	return b, append(read, unusual...), err
}

// batch is the batch of the range.
func (r *rangeRead) batch(limit int) *batch {
	return &batch{fence: r.fence, rows: r.rows, bytes: r.bytes, last: r.last, end: r.rows < limit, within: &r.keyRange}
}

// readUnusual reads by key what a range read has left.
func (r *Repository[V1, V2]) readUnusual(ctx context.Context, b *batch, found *rangeRead,
	w want,
) (read []*seen[V1, V2], err error) {
	keys := found.unusualKeys()
	if len(keys) == 0 {
		return nil, nil
	}
	unusual, err := r.lookUp(ctx, r.db.pools.Answering(), w, keys)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		s := unusual[key]
		if s == nil {
			continue // it has gone since
		}
		if s.fence.Epoch != b.fence.Epoch || s.fence.AllMarks != b.fence.AllMarks {
			return nil, database.Busy(ErrPhaseChanged)
		}
		read = append(read, s)
	}
	return read, nil
}

func (e sweeping) apply(ctx context.Context, t *tx, c chunk, do swept) (outcome, error) {
	stored, err := e.copies.storeWithin(ctx, t, do.items, OriginSweep, do.within)
	if err != nil {
		return outcome{}, err
	}
	for _, v := range do.vanished {
		if err := e.fold(ctx, t, v); err != nil {
			return outcome{}, err
		}
	}
	for _, w := range do.wrong {
		same, err := t.Number(ctx, e.sql(`SELECT 1 FROM {v2} c WHERE c.{v2.key} = {?}
			AND c.coexist_seq = ?{lock}`), w.key, w.state.seq)
		if err == nil && same == 0 {
			err = database.Busy(errOvertaken)
		}
		if err == nil {
			err = e.marks.add(ctx, t, w.key, markChange, 0)
		}
		if err != nil {
			return outcome{}, err
		}
	}
	if err := e.quarantine(ctx, t, do.failures); err != nil {
		return outcome{}, err
	}
	added := outcome{migrated: len(stored), quarantined: len(do.failures)}
	if c.Stage == stageMarks {
		added.quarantined = do.newFailures // the stage of the range has counted the others
	}
	return added, nil
}

// readBatch reads the keys of a keyQuery and what there is for each of them.
func (r *Repository[V1, V2]) readBatch(ctx context.Context, w want, keyQuery sqlText,
	limit int,
) (*batch, []*seen[V1, V2], error) {
	f, answers, err := r.read(ctx, r.db.pools.Answering(), r.readStatement(w, sideV1, formJSON, keyQuery.text.String(), "NULL").text,
		keyQuery.args...)
	if err != nil {
		return nil, nil, err
	}
	b := &batch{fence: f, rows: len(answers), end: len(answers) < limit}
	read := make([]*seen[V1, V2], len(answers))
	for i, a := range answers {
		b.last, b.bytes = a.key, b.bytes+len(a.v1)+len(a.copy)
		if read[i], err = r.decode(f, a); err != nil {
			return nil, nil, err
		}
	}
	return b, read, nil
}

// v1Keys is a query of the next V1 keys in a chunk.
func (e sweeping) v1Keys(c chunk, limit int) sqlText {
	var s sqlText
	s.add("SELECT p.key, row_number() OVER (ORDER BY p.key) AS ord FROM (")
	e.nextKeys(&s, e.v1, c, limit)
	s.add(") p")
	return s
}

// bothKeys is a query of the next keys of either shape in a chunk.
func (e sweeping) bothKeys(c chunk, limit int) sqlText {
	var s sqlText
	s.add("SELECT p.key, row_number() OVER (ORDER BY p.key) AS ord FROM (SELECT u.key FROM (SELECT a.key FROM (")
	e.nextKeys(&s, e.v1, c, limit)
	s.add(") a UNION SELECT b.key FROM (")
	e.nextKeys(&s, e.v2, c, limit)
	s.add(") b) u ORDER BY u.key LIMIT CAST(? AS integer)) p", limit)
	return s
}

func (e sweeping) nextKeys(s *sqlText, t *shape.Table, c chunk, limit int) {
	key := "t." + quote(t.Key.Name)
	s.add(fill(`SELECT {key} AS key FROM {table} t WHERE `, "key", key, "table", t.SQL))
	if c.Upper == nil {
		s.add("false")
	} else {
		s.add(key+" <= "+e.asKey("?"), *c.Upper)
	}
	if c.Position != nil {
		s.add(e.sql(` AND {key} > {?}`, "key", key), *c.Position)
	}
	s.add(fill(` ORDER BY {key} LIMIT CAST(? AS integer)`, "key", key), limit)
}

// marked is a query of the keys for a sweep's last stage: those with marks, those with a copy under a tombstone, and
// those with a copy that has had no V1 row since a gap in the capture.
func (e statements) marked() string {
	return e.sql(`SELECT m.key FROM {mark} m WHERE m.kind = 'CHANGE' UNION SELECT m.key FROM {mark} m JOIN {v2} c
		ON c.{v2.key} = m.key WHERE m.kind = 'GONE' UNION SELECT c.{v2.key} FROM {v2} c WHERE {underTruncate}
		UNION SELECT c.{v2.key} FROM {v2} c WHERE {orphaned}`, "underTruncate", e.underTruncate(),
		"orphaned", e.orphaned())
}

// markedKeys is a query of the next keys of marked, up to the last one that was there when the stage began. So the
// stage goes over the keys once, even if other programs leave new marks as fast as it works.
func (e sweeping) markedKeys(c chunk, limit int) sqlText {
	var s sqlText
	s.add(fill(`SELECT p.key, row_number() OVER (ORDER BY p.key) AS ord FROM (SELECT u.key FROM ({marked}) u
		WHERE `, "marked", e.marked()))
	if c.Upper == nil {
		s.add("false")
	} else {
		s.add("u.key <= "+e.asKey("?"), *c.Upper)
	}
	if c.Position != nil {
		s.add(e.sql(` AND u.key > {?}`), *c.Position)
	}
	s.add(" ORDER BY u.key LIMIT CAST(? AS integer)) p", limit)
	return s
}

// decide adds to do what a sweep does with a row.
func (r *Repository[V1, V2]) decide(do *swept, s *seen[V1, V2], olderThan int) {
	remigrate := s.state.fresh() && s.copy.MappingVersion < olderThan
	switch {
	case s.state.fresh() && (!remigrate || s.absent()), remigrate && s.copy.Refined && !r.mapping.remigrates():
		return
	case s.absent():
		if s.state.hasCopy || s.state.changed() {
			do.vanished = append(do.vanished, vanished{s.key, s.state})
		}
		return
	}
	s.again = remigrate
	c, err := r.internalRead(s)
	if err != nil {
		do.failures = append(do.failures, newFailure(s.key, s.state, err))
		if remigrate {
			do.wrong = append(do.wrong, vanished{s.key, s.state}) // the old copy must not answer any more
		}
		if !s.quarantined {
			do.newFailures++
		}
		return
	}
	p := r.pending(s, c)
	if remigrate && !Identical(c.Value, *s.v2) {
		p.version++
	}
	do.items = append(do.items, p)
}

// fold turns the marks of a key without a V1 row into one tombstone, and removes the copy.
func (e sweeping) fold(ctx context.Context, t *tx, v vanished) error {
	if v.state.hasCopy {
		n, err := e.copies.remove(ctx, t, v.key, v.state.seq)
		if err != nil {
			return err
		}
		if n == 0 {
			return database.Busy(errOvertaken)
		}
	}
	if len(v.state.marks) == 0 {
		// TRUNCATE left no mark of its own for this key.
		if err := e.marks.add(ctx, t, v.key, markGone, v.state.foldedFloor()); err != nil {
			return err
		}
		return e.release(ctx, t, []string{v.key})
	}
	if err := e.marks.lock(ctx, t, v.state.marks); err != nil {
		return err
	}
	// The tombstone gets an id of its own: under the id of one of these marks, a storer that had read that mark would
	// delete the tombstone with it.
	if err := e.marks.add(ctx, t, v.key, markGone, v.state.foldedFloor()); err != nil {
		return err
	}
	if _, err := e.marks.remove(ctx, t, v.state.marks); err != nil {
		return err
	}
	return e.release(ctx, t, []string{v.key})
}

// lock locks marks that were read. It is busy where one of them has gone: another transaction has written the key
// since.
func (e marks) lock(ctx context.Context, t *tx, marks []mark) error {
	document, err := json.Marshal(marks)
	if err != nil {
		return err
	}
	lock := e.db.dialect.Lock()
	if lock != "" {
		lock += " OF m"
	}
	from, match := e.markRecords(len(marks))
	n, err := t.Number(ctx, e.sql(`SELECT count(*) FROM (SELECT m.id FROM {from} CROSS JOIN {mark} m
		WHERE {match} ORDER BY m.id{lock}) l`, "from", from, "match", match, "lock", lock), string(document))
	if err == nil && n < int64(len(marks)) {
		return database.Busy(errOvertaken)
	}
	return err
}
