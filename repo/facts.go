package repo

import (
	"context"
	"database/sql"
	"errors"
)

// Gate returns what blocks the step of an entity from the phase in force to another: nothing where the gate is open, where
// the entity is in that phase already, or where the step goes back and needs nothing. On large tables of PostgreSQL counts
// are estimates; SetPhase counts exactly. It fails with ErrNotFound for an unknown entity, and with an *InputError for a
// phase that is not next.
func (c *Control) Gate(ctx context.Context, entity string, to Phase) ([]Blocker, error) {
	e, err := c.entity(entity)
	if err != nil {
		return nil, err
	}
	f, err := e.fenceNow(ctx, c.db.answering())
	if err != nil && !errors.Is(err, ErrHiddenRows) {
		return nil, err
	}
	if err := nextPhase(f.Phase, to); err != nil {
		return nil, inputError(err)
	}
	found, _, err := c.facts(ctx, e, f, to, false)
	return found.blockers(), err
}

// facts gathers what the gate to a phase decides on, and the marks of all keys that were there before it counted.
func (c *Control) facts(ctx context.Context, e *entity, f fence, to Phase, exact bool) (found facts, before allMarks, err error) {
	found = facts{entity: e.name, from: f.Phase, to: to, incomplete: f.Incomplete}
	s := c.db.reading()
	if f.Hidden { // and so is what else there is to know
		found.hidden, err = e.hiddenTables(ctx, s)
		return found, before, err
	}
	if err := e.checkCapture(ctx); err != nil {
		return found, before, err
	}
	if before, err = e.readAllMarks(ctx, s); err != nil {
		return found, before, err
	}
	if found.seeds, found.generation, err = e.unmarked(ctx, s); err != nil {
		return found, before, err
	}
	if f.leader() == sideV1 && f.Phase != Expand {
		if err := c.rowFacts(ctx, e, &found, exact); err != nil {
			return found, before, err
		}
	}
	if err := e.cheapFacts(ctx, s, &found); err != nil {
		return found, before, err
	}
	if err := e.catalogFacts(ctx, s, &found); err != nil {
		return found, before, err
	}
	state, err := e.captureState(ctx, s)
	if err != nil {
		return found, before, err
	}
	found.capture = state.Kept && state.Whole
	if err := e.runFacts(ctx, s, &found); err != nil {
		return found, before, err
	}
	return found, before, e.orphanFacts(ctx, s, &found, exact)
}

// orphanFacts counts the copies without a V1 row that no mark tells of: V1 lost it in a gap, or while capture is off. Where V2 led, they would be rows
// again.
func (e *entity) orphanFacts(ctx context.Context, s session, f *facts, exact bool) error {
	if f.from != Migrate && !f.incomplete {
		return nil
	}
	some, orphaned := "", e.orphaned()
	if !exact {
		some = " LIMIT 10000"
	}
	if !f.capture {
		orphaned = e.lacksV1()
	}
	query := "SELECT CAST(c." + quote(e.v2.key.name) + " AS text) AS key FROM (SELECT * FROM " + e.v2.sql + some + ") c WHERE " + orphaned
	var err error
	if f.orphans, err = number(ctx, s, "SELECT count(*) FROM ("+query+") o"); err != nil || f.orphans == 0 {
		return err
	}
	return scanText(ctx, s, &f.orphanExample, "SELECT o.key FROM ("+query+") o ORDER BY o.key LIMIT 1")
}

// readAllMarks counts the marks of all keys.
func (e *entity) readAllMarks(ctx context.Context, s session) (all allMarks, err error) {
	err = s.query(ctx, func(rows *sql.Rows) error { return rows.Scan(&all.Gone, &all.Stale) }, "SELECT "+e.countAll(markAllGone)+", "+e.countAll(markAllStale))
	return all, err
}

// unmarked says how often V1 may have changed without marks: by seeds, and while capture was off.
func (e *entity) unmarked(ctx context.Context, s session) (seeds, generation int64, err error) {
	err = s.query(ctx, func(rows *sql.Rows) error { return rows.Scan(&seeds, &generation) },
		"SELECT seeds, capture_generation FROM "+e.db.own.entity+" WHERE name = ?", e.name)
	return seeds, generation, err
}

// rowFacts counts the rows that V2 lacks, and gives an example of each kind.
func (c *Control) rowFacts(ctx context.Context, e *entity, f *facts, exact bool) error {
	p, err := c.Progress(ctx, e.name, exact)
	if err != nil {
		return err
	}
	s := c.db.reading()
	f.remaining, f.stale, f.quarantined = p.Remaining, p.Stale, p.Quarantined
	key, some := "CAST(t."+quote(e.v1.key.name)+" AS text)", ""
	if !p.Exact {
		some = " LIMIT 10000" // where an example is looked for, in constant time
	}
	for _, example := range []struct {
		n     int64
		to    **string
		query string
	}{
		{f.remaining, &f.remainingExample, "SELECT " + key + " FROM (SELECT " + quote(e.v1.key.name) + " FROM " + e.v1.sql + some + ") t WHERE NOT EXISTS (SELECT 1 FROM " + e.v2.sql +
			" c WHERE c." + quote(e.v2.key.name) + " = t." + quote(e.v1.key.name) + ") AND NOT " + e.quarantined("t."+quote(e.v1.key.name)) + " LIMIT 1"},
		{f.stale, &f.staleExample, "SELECT CAST(m.key AS text) FROM (SELECT m.key FROM " + e.markTable + " m WHERE m.kind = 'CHANGE' ORDER BY m.key" + some +
			") m JOIN " + e.v2.sql + " c ON c." + quote(e.v2.key.name) + " = m.key WHERE NOT " + e.quarantined("m.key") + " ORDER BY m.key LIMIT 1"},
		{f.quarantined, &f.quarantinedExample, "SELECT CAST(q.key AS text) FROM " + e.quarantineTable + " q WHERE " + e.unresolved() + " ORDER BY q.key LIMIT 1"},
	} {
		if example.n == 0 {
			continue
		}
		if err := scanText(ctx, s, example.to, example.query); err != nil {
			return err
		}
	}
	return nil
}

// scanText sets to to the one text that a query selects, nil where there is none.
func scanText(ctx context.Context, s session, to **string, query string, args ...any) error {
	return s.query(ctx, func(rows *sql.Rows) error {
		var text sql.NullString
		err := rows.Scan(&text)
		if text.Valid {
			*to = &text.String
		}
		return err
	}, query, args...)
}

// cheapFacts are those that are looked at again under the locks of a phase change: they take constant time but for tombstones
// and quarantine.
func (e *entity) cheapFacts(ctx context.Context, s session, f *facts) error {
	if f.from != Migrate && !f.incomplete {
		return e.orderFacts(ctx, s, f)
	}
	tombstoned := "SELECT CAST(m.key AS text) AS key FROM " + e.markTable + " m JOIN " + e.v2.sql + " c ON c." + quote(e.v2.key.name) + " = m.key" +
		" WHERE m.key IS NOT NULL AND m.kind = '" + string(markGone) + "' UNION SELECT CAST(c." + quote(e.v2.key.name) + " AS text) FROM " + e.v2.sql +
		" c WHERE " + e.countAll(markAllGone) + " > 0 AND " + e.underTruncate()
	var err error
	if f.tombstoned, err = number(ctx, s, "SELECT count(*) FROM ("+tombstoned+") h"); err != nil {
		return err
	}
	if f.tombstoned > 0 {
		if err := scanText(ctx, s, &f.tombstonedExample, "SELECT h.key FROM ("+tombstoned+") h LIMIT 1"); err != nil {
			return err
		}
	}
	return e.orderFacts(ctx, s, f)
}

// catalogFacts are about tables.
func (e *entity) catalogFacts(ctx context.Context, s session, f *facts) (err error) {
	var entities []string
	for _, other := range e.db.entities {
		entities = append(entities, other.v1Tables()...)
	}
	if f.hidden, err = e.hiddenTables(ctx, s); err != nil {
		return err
	}
	if err := e.logicFacts(ctx, s, f); err != nil || f.to != Contract {
		return err
	}
	f.referrers, err = e.referrers(ctx, s, entities)
	return err
}

// referrers names the tables besides those of entities that refer to V1, and have rows or do not let us see any.
func (e *entity) referrers(ctx context.Context, s session, entities []string) ([]string, error) {
	found, readable, err := e.db.dialect.referrers(ctx, s, e.v1Tables(), entities)
	for _, name := range readable {
		rows, err := number(ctx, s, "SELECT count(*) FROM (SELECT 1 FROM "+name+" LIMIT 1) r")
		if err != nil {
			return nil, err
		}
		if rows > 0 {
			found = append(found, name)
		}
	}
	return found, err
}

// hiddenTables names the tables, V1's, V2's and the engine's own, whose rows row-level security may hide.
func (e *entity) hiddenTables(ctx context.Context, s session) ([]string, error) {
	own := e.db.own
	all := append(e.v1Tables(), e.markTable, e.quarantineTable, own.entity, own.phaseChange, own.bypass, own.run, own.chunk, own.cut, own.finding)
	for _, t := range e.v2.all() {
		all = append(all, t.sql)
	}
	return e.db.dialect.hidden(ctx, s, all)
}

// texts are the texts that a query selects.
func texts(ctx context.Context, s session, query string, args ...any) ([]string, error) {
	var found []string
	err := s.query(ctx, func(rows *sql.Rows) error {
		var text string
		err := rows.Scan(&text)
		found = append(found, text)
		return err
	}, query, args...)
	return found, err
}

// orderFacts names the entities that have to go first.
func (e *entity) orderFacts(ctx context.Context, s session, f *facts) error {
	inContract := map[string]bool{}
	err := s.query(ctx, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		inContract[name] = true
		return err
	}, "SELECT name FROM "+e.db.own.entity+" WHERE phase = ?", string(Contract))
	if err != nil {
		return err
	}
	for _, other := range e.db.entities {
		for _, r := range other.references {
			if r.Table == e.v1.name && other != e && !inContract[other.name] {
				f.firstForward = append(f.firstForward, other.name)
			}
		}
	}
	for _, r := range e.references {
		if target := e.db.entityOfTable(r.Table); target != nil && target != e && inContract[target.name] {
			f.firstBack = append(f.firstBack, target.name)
		}
	}
	return nil
}

// runFacts are what rehearsals, verifications and restores have found.
func (e *entity) runFacts(ctx context.Context, s session, f *facts) error {
	d := e.db.dialect
	faults := "(SELECT coalesce(sum(k.faults), 0) FROM " + e.db.own.chunk + " k WHERE k.run_id = r.id)"
	newest := func(kind RunKind, condition, selected string) string {
		return "(SELECT " + selected + " FROM " + e.db.own.run + " r WHERE r.entity = e.name AND r.kind = '" + string(kind) + "' AND " + condition + " ORDER BY r.id DESC LIMIT 1)"
	}
	clean := "r.status = 'SUCCEEDED' AND " + faults + " = 0"
	var found struct {
		Capture      bool     `json:"capture"`
		Generation   int64    `json:"generation"`
		Restoring    bool     `json:"restoring"`
		Epoch        int64    `json:"epoch"`
		Rehearsal    *int64   `json:"rehearsal"`
		Rehearsed    *int64   `json:"rehearsed"`
		Unfit        *int64   `json:"unfit"`
		Clean        *int64   `json:"clean"`
		CleanEpoch   *int64   `json:"cleanEpoch"`
		CleanDone    *int64   `json:"cleanDone"`
		Empty        jsonFlag `json:"empty"`
		CleanCapture *int64   `json:"cleanCapture"`
		CleanBypass  *int64   `json:"cleanBypass"`
		CleanBehind  *int64   `json:"cleanBehind"`
		Red          *int64   `json:"red"`
		RedFaults    *int64   `json:"redFaults"`
		Bypass       int64    `json:"bypass"`
		Restore      *int64   `json:"restore"`
		RestoreRed   *int64   `json:"restoreRed"`
		RestoreDone  *string  `json:"restoreDone"`
	}
	err := s.query(ctx, func(rows *sql.Rows) error { return scanJSON(rows, &found) }, "SELECT CAST("+d.object([]member{
		{"capture", d.value("e", flag("capture"))},
		{"generation", "e.capture_generation"},
		{"restoring", d.value("e", flag("restoring"))},
		{"epoch", "e.epoch"},
		{"rehearsal", newest(Rehearsal, "r.status = 'SUCCEEDED'", "r.id")},
		{"rehearsed", newest(Rehearsal, "r.status = 'SUCCEEDED'", "r.total")},
		{"unfit", newest(Rehearsal, "r.status = 'SUCCEEDED'", "(SELECT sum(k.quarantined) FROM "+e.db.own.chunk+" k WHERE k.run_id = r.id)")},
		{"clean", newest(Verification, clean, "r.id")},
		{"cleanEpoch", newest(Verification, clean, "r.epoch")},
		{"cleanDone", newest(Verification, clean, "(SELECT sum(k.done) FROM "+e.db.own.chunk+" k WHERE k.run_id = r.id)")},
		{"empty", "NOT EXISTS (SELECT 1 FROM " + e.v1.sql + ")"},
		{"cleanCapture", newest(Verification, clean, "r.capture_generation")},
		{"cleanBypass", newest(Verification, clean, "r.bypass_before")},
		{"cleanBehind", newest(Verification, clean, "(SELECT sum(k.behind) FROM "+e.db.own.chunk+" k WHERE k.run_id = r.id)")},
		{"red", newest(Verification, faults+" > 0", "r.id")},
		{"redFaults", newest(Verification, faults+" > 0", faults)},
		{"bypass", e.bypassWrites()},
		{"restore", newest(Restore, "true", "r.id")},
		{"restoreRed", newest(Restore, "true", faults)},
		{"restoreDone", newest(Restore, "true", "r.status")},
	})+" AS text) FROM "+e.db.own.entity+" e WHERE e.name = ?", e.name)
	if err != nil {
		return err
	}
	value := func(n *int64) int64 {
		if n == nil {
			return 0
		}
		return *n
	}
	f.rehearsed, f.rehearsedRows, f.unfit = found.Rehearsal != nil, value(found.Rehearsed), value(found.Unfit)
	if f.to == Migrate && f.unfit > 0 {
		if err := scanText(ctx, s, &f.quarantinedExample, "SELECT CAST(q.key AS text) FROM "+e.quarantineTable+" q ORDER BY q.key LIMIT 1"); err != nil {
			return err
		}
	}
	f.capture = f.capture && found.Capture
	if value(found.Red) > value(found.Clean) {
		f.drift = value(found.RedFaults)
		if err := e.findingExample(ctx, s, *found.Red, &f.driftExample); err != nil {
			return err
		}
	} else if found.Clean != nil && *found.CleanEpoch == found.Epoch && (bool(found.Empty) || value(found.CleanDone) > 0) {
		// A phase is known by its epoch, not by a clock; and who has looked at nothing has verified nothing.
		f.verified, f.behind = true, value(found.CleanBehind)
		f.bypass = found.Bypass - value(found.CleanBypass)
		f.captureKept = value(found.CleanCapture) == found.Generation
	}
	f.restored = found.Restoring && found.RestoreDone != nil && RunStatus(*found.RestoreDone) == Succeeded
	if f.restoreFindings = value(found.RestoreRed); f.restoreFindings > 0 {
		return e.findingExample(ctx, s, *found.Restore, &f.restoreExample)
	}
	return nil
}

// findingExample is the key of a fault. A row that is missing is one only where V2 leads, where it comes last.
func (e *entity) findingExample(ctx context.Context, s session, run int64, to **string) error {
	return scanText(ctx, s, to, "SELECT f.key FROM "+e.db.own.finding+" f WHERE f.run_id = ? AND f.kind <> '"+string(StaleCopy)+"'"+
		" ORDER BY CASE WHEN f.kind = '"+string(Missing)+"' THEN 1 ELSE 0 END, f.id LIMIT 1", run)
}

// changedSince looks again under the locks of a phase change: what has come up since the facts were gathered, before
// being the marks of all keys then. It takes the place of counting again: a row without a fresh copy has a mark, or is in
// quarantine, or was there when the facts were gathered. Where nothing is captured it does count again.
func (e *entity) changedSince(ctx context.Context, s session, f *facts, before allMarks) error {
	if f.from == Migrate || f.incomplete {
		marks, err := number(ctx, s, "SELECT count(*) FROM "+e.markTable+" m WHERE m.kind = 'CHANGE'")
		if err != nil {
			return err
		}
		now, err := e.readAllMarks(ctx, s)
		if err != nil {
			return err
		}
		marks += now.sum() - before.sum()
		f.stale = max(f.stale, marks)
		// Who seeds an entity of which nothing has migrated leaves no marks.
		unseen, err := number(ctx, s, "SELECT count(*) FROM (SELECT 1 FROM "+e.v1.sql+" LIMIT 1) t WHERE NOT EXISTS (SELECT 1 FROM "+e.v2.sql+")")
		if err != nil {
			return err
		}
		f.remaining = max(f.remaining, unseen)
		if !f.capture {
			var p Progress
			if err := e.countExactly(ctx, s, &p); err != nil {
				return err
			}
			f.remaining, f.stale = max(f.remaining, p.Remaining), max(f.stale, p.Stale)
			if err := e.orphanFacts(ctx, s, f, true); err != nil {
				return err
			}
		}
		quarantined, err := number(ctx, s, "SELECT count(*) FROM "+e.quarantineTable+" q WHERE "+e.unresolved())
		if err != nil {
			return err
		}
		f.quarantined = max(f.quarantined, quarantined)
	}
	f.firstForward, f.firstBack = nil, nil
	if err := e.catalogFacts(ctx, s, f); err != nil {
		return err
	}
	if err := e.cheapFacts(ctx, s, f); err != nil {
		return err
	}
	f.verified, f.drift, f.captureKept, f.restored = false, 0, false, false
	return e.runFacts(ctx, s, f)
}
