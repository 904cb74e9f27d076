package repo

import (
	"context"
	"database/sql"
	"errors"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// Gate returns what blocks the step of an entity from the phase in force to another. It returns nothing where the gate
// is open, where the entity is in that phase already, or where the step goes back and needs nothing. On large tables of
// PostgreSQL the counts are estimates; SetPhase counts exactly. Gate fails with ErrNotFound for an unknown entity, and
// with an *InputError for a phase that is not next.
func (c *Control) Gate(ctx context.Context, entity string, to Phase) ([]Blocker, error) {
	e, err := c.entity(entity)
	if err != nil {
		return nil, err
	}
	f, err := e.fenceNow(ctx, c.db.pools.Answering())
	if err != nil && !errors.Is(err, ErrHiddenRows) {
		return nil, err
	}
	if err := nextPhase(f.Phase, to); err != nil {
		return nil, inputError(err)
	}
	found, _, err := c.facts(ctx, e, f, to, false)
	return found.blockers(), err
}

// facts gathers what the gate to a phase decides on. It also returns the marks for all keys that were there before it
// counted.
func (c *Control) facts(ctx context.Context, e *entity, f fence, to Phase,
	exact bool,
) (found facts, before allMarks, err error) {
	found = facts{entity: e.name, from: f.Phase, to: to, incomplete: f.Incomplete}
	s := c.db.pools.Reading()
	if f.Hidden { // the other facts may be hidden too
		found.hidden, err = e.survey.hiddenTables(ctx, s)
		return found, before, err
	}
	if err := e.capture.check(ctx); err != nil {
		return found, before, err
	}
	if before, err = e.marks.ofAllKeys(ctx, s); err != nil {
		return found, before, err
	}
	if found.seeds, found.generation, err = e.marks.unmarked(ctx, s); err != nil {
		return found, before, err
	}
	if f.leader() == sideV1 && f.Phase != Expand {
		if err := c.rowFacts(ctx, e, &found, exact); err != nil {
			return found, before, err
		}
	}
	if err := e.survey.cheapFacts(ctx, s, &found); err != nil {
		return found, before, err
	}
	if err := e.survey.catalogFacts(ctx, s, &found); err != nil {
		return found, before, err
	}
	state, err := e.capture.state(ctx, s)
	if err != nil {
		return found, before, err
	}
	found.capture = state.Kept && state.Whole
	if err := e.survey.runFacts(ctx, s, &found); err != nil {
		return found, before, err
	}
	return found, before, e.survey.orphanFacts(ctx, s, &found, exact)
}

// orphanFacts counts the copies without a V1 row and without a mark that says so: V1 lost the row in a gap of the
// capture, or while capture is off. If V2 led, such copies would become rows again.
func (e survey) orphanFacts(ctx context.Context, s database.Session, f *facts, exact bool) error {
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
	query := e.sql(`SELECT CAST(c.{v2.key} AS text) AS key FROM (SELECT * FROM {v2}{some}) c WHERE {orphaned}`,
		"some", some, "orphaned", orphaned)
	var err error
	if f.orphans, err = s.Number(ctx, fill(`SELECT count(*) FROM ({query}) o`, "query", query)); err != nil ||
		f.orphans == 0 {
		return err
	}
	return scanText(ctx, s, &f.orphanExample, fill(`SELECT o.key FROM ({query}) o ORDER BY o.key LIMIT 1`,
		"query", query))
}

// ofAllKeys counts the marks for all keys.
func (e marks) ofAllKeys(ctx context.Context, s database.Session) (all allMarks, err error) {
	err = s.Query(ctx, func(rows *sql.Rows) error { return rows.Scan(&all.Gone, &all.Stale) },
		fill(`SELECT {all gone}, {all stale}`,
			"all gone", e.countAll(markAllGone), "all stale", e.countAll(markAllStale)))
	return all, err
}

// unmarked says how often V1 may have changed without marks: by seeds, and while capture was off.
func (e marks) unmarked(ctx context.Context, s database.Session) (seeds, generation int64, err error) {
	err = s.Query(ctx, func(rows *sql.Rows) error { return rows.Scan(&seeds, &generation) },
		e.db.sql(`SELECT seeds, capture_generation FROM {coexist_entity} WHERE name = ?`), e.name)
	return seeds, generation, err
}

// rowFacts counts the rows that V2 lacks, and finds an example of each kind.
func (c *Control) rowFacts(ctx context.Context, e *entity, f *facts, exact bool) error {
	p, err := c.Progress(ctx, e.name, exact)
	if err != nil {
		return err
	}
	s := c.db.pools.Reading()
	f.remaining, f.stale, f.quarantined = p.Remaining, p.Stale, p.Quarantined
	key, some := e.sql(`CAST(t.{v1.key} AS text)`), ""
	if !p.Exact {
		some = " LIMIT 10000" // look for an example in constant time
	}
	for _, example := range []struct {
		n     int64
		to    **string
		query string
	}{
		{f.remaining, &f.remainingExample, e.sql(`SELECT {key} FROM (SELECT {v1.key} FROM {v1}{some}) t
			WHERE NOT EXISTS (SELECT 1 FROM {v2} c WHERE c.{v2.key} = t.{v1.key}) AND NOT {quarantined} LIMIT 1`,
			"key", key, "some", some, "quarantined", e.quarantined("t."+quote(e.v1.Key.Name)))},
		{f.stale, &f.staleExample, e.sql(`SELECT CAST(m.key AS text) FROM (SELECT m.key FROM {mark} m
			WHERE m.kind = 'CHANGE' ORDER BY m.key{some}) m JOIN {v2} c ON c.{v2.key} = m.key
			WHERE NOT {quarantined} ORDER BY m.key LIMIT 1`, "some", some,
			"quarantined", e.quarantined("m.key"))},
		{f.quarantined, &f.quarantinedExample, e.sql(`SELECT CAST(q.key AS text) FROM {quarantine} q
			WHERE {unresolved} ORDER BY q.key LIMIT 1`, "unresolved", e.unresolved())},
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

// scanText sets to to the one text that a query selects, or leaves it as it is where there is none.
func scanText(ctx context.Context, s database.Session, to **string, query string, args ...any) error {
	return s.Query(ctx, func(rows *sql.Rows) error {
		var text sql.NullString
		err := rows.Scan(&text)
		if text.Valid {
			*to = &text.String
		}
		return err
	}, query, args...)
}

// cheapFacts gathers the facts that are checked again under the locks of a phase change. It takes constant time, except
// for tombstones.
func (e survey) cheapFacts(ctx context.Context, s database.Session, f *facts) error {
	if f.from != Migrate && !f.incomplete {
		return e.orderFacts(ctx, s, f)
	}
	tombstoned := e.sql(`SELECT CAST(m.key AS text) AS key FROM {mark} m JOIN {v2} c ON c.{v2.key} = m.key
		WHERE m.key IS NOT NULL AND m.kind = 'GONE' UNION SELECT CAST(c.{v2.key} AS text) FROM {v2} c
		WHERE {underTruncate}`, "underTruncate", e.underTruncate())
	var err error
	if f.tombstoned, err = s.Number(ctx, fill(`SELECT count(*) FROM ({tombstoned}) h`, "tombstoned",
		tombstoned)); err != nil {
		return err
	}
	if f.tombstoned > 0 {
		if err := scanText(ctx, s, &f.tombstonedExample, fill(`SELECT h.key FROM ({tombstoned}) h LIMIT 1`,
			"tombstoned", tombstoned)); err != nil {
			return err
		}
	}
	return e.orderFacts(ctx, s, f)
}

// catalogFacts gathers the facts about tables.
func (e survey) catalogFacts(ctx context.Context, s database.Session, f *facts) (err error) {
	var entities []string
	for _, other := range e.db.entities {
		entities = append(entities, other.v1Tables()...)
	}
	if f.hidden, err = e.hiddenTables(ctx, s); err != nil {
		return err
	}
	if err := e.childKeyFacts(ctx, s, f); err != nil {
		return err
	}
	if err := e.logicFacts(ctx, s, f); err != nil || f.to != Contract {
		return err
	}
	f.referrers, err = e.referrers(ctx, s, entities)
	return err
}

// referrers names the tables that belong to no entity, refer to V1, and have rows or do not let us see any.
func (e survey) referrers(ctx context.Context, s database.Session, entities []string) ([]string, error) {
	found, readable, err := e.db.dialect.Referrers(ctx, s, e.v1Tables(), entities)
	for _, name := range readable {
		rows, err := s.Number(ctx, fill(`SELECT count(*) FROM (SELECT 1 FROM {name} LIMIT 1) r`, "name", name))
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
func (e survey) hiddenTables(ctx context.Context, s database.Session) ([]string, error) {
	own := e.db.own
	all := append(e.v1Tables(), e.markTable, e.quarantineTable, own.entity, own.phaseChange, own.bypass, own.run,
		own.chunk, own.cut, own.finding)
	for _, t := range e.v2.All() {
		all = append(all, t.SQL)
	}
	return e.db.dialect.Hidden(ctx, s, all)
}

// orderFacts names the entities that have to take the step first.
func (e survey) orderFacts(ctx context.Context, s database.Session, f *facts) error {
	inContract := map[string]bool{}
	err := s.Query(ctx, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		inContract[name] = true
		return err
	}, e.db.sql(`SELECT name FROM {coexist_entity} WHERE phase = ?`), string(Contract))
	if err != nil {
		return err
	}
	for _, other := range e.db.entities {
		for _, r := range other.references {
			if r.Table == e.v1.Name && other != e.entity && !inContract[other.name] {
				f.firstForward = append(f.firstForward, other.name)
			}
		}
	}
	for _, r := range e.references {
		if target := e.db.entityOfTable(r.Table); target != nil && target != e.entity && inContract[target.name] {
			f.firstBack = append(f.firstBack, target.name)
		}
	}
	return nil
}

// changedSince checks again, under the locks of a phase change, what has changed since the facts were gathered; before
// are the marks for all keys at that time. It need not count everything again: a row without a fresh copy has a mark,
// or is in quarantine, or was there when the facts were gathered. While capture is off that does not hold, so it counts
// again.
func (e survey) changedSince(ctx context.Context, s database.Session, f *facts, before allMarks) error {
	if f.from == Migrate || f.incomplete {
		marks, err := s.Number(ctx, e.sql(`SELECT count(*) FROM {mark} m WHERE m.kind = 'CHANGE'`))
		if err != nil {
			return err
		}
		now, err := e.marks.ofAllKeys(ctx, s)
		if err != nil {
			return err
		}
		marks += now.sum() - before.sum()
		f.stale = max(f.stale, marks)
		// Seeding an entity of which nothing has migrated leaves no marks.
		unseen, err := s.Number(ctx, e.sql(`SELECT count(*) FROM (SELECT 1 FROM {v1} LIMIT 1) t
			WHERE NOT EXISTS (SELECT 1 FROM {v2})`))
		if err != nil {
			return err
		}
		f.remaining = max(f.remaining, unseen)
		if !f.capture {
			var p Progress
			if err := e.counting.countExactly(ctx, s, &p); err != nil {
				return err
			}
			f.remaining, f.stale = max(f.remaining, p.Remaining), max(f.stale, p.Stale)
			if err := e.orphanFacts(ctx, s, f, true); err != nil {
				return err
			}
		}
		quarantined, err := s.Number(ctx, e.sql(`SELECT count(*) FROM {quarantine} q WHERE {unresolved}`,
			"unresolved", e.unresolved()))
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
