package main

// The scenarios that are about one thing.

// two is a database in MIGRATE with two keys.
func two(first, second slot, marks ...mark) database {
	d := in(migrate, rootRow{}, childRow{}, copyRow{}, marks...)
	d.slots = [keys]slot{first, second}
	return d
}

// pages are batches of two rows, in which one may be lost and the other won.
func pages(family string, sqlite bool) []scenario {
	missing := slot{root: root(0), child: theChild}
	migrated := slot{root: root(0), child: theChild, copy: freshCopy(1)}
	stale := slot{root: root(1), child: theChild, copy: withCopy(freshCopy(1), func(c *copyRow) { c.seq = 2 })}
	var all []scenario
	for _, start := range []named{
		{"MIGRATE, two rows without copies", two(missing, missing)},
		{"MIGRATE, one row without a copy, one stale", two(missing, stale, mark{1, 1, markChange, 0})},
		{"MIGRATE, two stale rows", two(stale, stale, mark{1, 0, markChange, 0}, mark{2, 1, markChange, 0})},
		{"MIGRATE, one row, one free key", two(migrated, slot{}, mark{1, 1, markGone, 3})},
		{"MIGRATE, one row gone, one stale", two(slot{copy: freshCopy(1)}, stale, mark{1, 0, markChange, 0},
			mark{2, 1, markChange, 0})},
	} {
		batches := []operation{at(op(opReadV2, 0), 3), at(op(opSweep, 0), 3)}
		single := []operation{
			op(opUpdateV1, 1), op(opUpdateV2, 2), op(opDelete, 0), at(op(opReadV2, 0), 2), at(op(opUpdateV1, 0), 2),
			at(op(opUpdateV2, 2), 2), at(op(opDelete, 0), 2), at(op(opCreateV1, 1), 2),
			op(opBypass, scriptUpdate), op(opBypass, scriptChangeKey), op(opBypass, scriptTruncate),
			op(opBypass, scriptTruncateInsert), op(opBypassOld, scriptChangeKey),
			op(opPhase, expand), op(opPhase, cutover),
		}
		base := scenario{family: family, start: start.name, db: start.db, sqlite: sqlite}
		all = append(all, combine(base, each(batches...), each(append(batches, single...)...), nil)...)
		few := []operation{op(opUpdateV2, 2), at(op(opUpdateV1, 0), 2), op(opDelete, 0), op(opBypass, scriptChangeKey)}
		all = append(all, combine(base, each(batches...), each(batches[0], few[0], few[1]), each(few...))...)
	}
	return all
}

// byHand are copies whose root row somebody deletes by hand while rows migrate, beside one or two others.
func byHand() []scenario {
	var all []scenario
	none := copyRow{}
	for _, start := range []named{
		{"MIGRATE, fresh copy", in(migrate, root(0), theChild, freshCopy(0))},
		{"MIGRATE, stale copy, V1's child is gone", in(migrate, root(0), childRow{}, freshCopy(0),
			mark{1, 0, markChange, 0})},
		{"MIGRATE, child rows without a copy", in(migrate, root(0), theChild, withCopy(none,
			func(c *copyRow) { c.child = 2 }))},
		{"MIGRATE, child rows without a copy, none in V1", in(migrate, root(0), childRow{}, withCopy(none,
			func(c *copyRow) { c.child = 2 }))},
		{"MIGRATE, child rows alone", in(migrate, rootRow{}, childRow{}, withCopy(none,
			func(c *copyRow) { c.child = 2 }), mark{1, 0, markGone, 3})},
	} {
		others := append(ownOperations(), op(opBypass, scriptUpdate), op(opBypass, scriptDelete),
			op(opBypass, scriptDeleteInsert), op(opBypass, scriptTruncateInsert))
		for _, sqlite := range []bool{false, true} {
			base := scenario{family: familyByHand, start: start.name, db: start.db, sqlite: sqlite}
			all = append(all, combine(base, each(op(opDeleteCopy, 0)), each(others...), nil)...)
			all = append(all, combine(base, each(op(opDeleteCopy, 0)), each(others...), each(op(opReadV2, 0),
				op(opSweep, 0), op(opUpdateV2, 2), op(opUpdateV1, 1), op(opDelete, 0)))...)
		}
	}
	return all
}

// refusals are rows that V2's tables refuse, for which a batch is halved.
func refusals() []scenario {
	var all []scenario
	bad, good := slot{root: root(refusedValue), child: theChild}, slot{root: root(0), child: theChild}
	for _, start := range []named{
		{"MIGRATE, the first of two rows is refused", two(bad, good)},
		{"MIGRATE, the second of two rows is refused", two(good, bad)},
	} {
		base := scenario{family: "refused rows", start: start.name, db: start.db, refuses: true}
		others := []operation{
			at(op(opReadV2, 0), 3), op(opUpdateV1, 1), at(op(opUpdateV1, 1), 2), op(opDelete, 0),
			at(op(opDelete, 0), 2), op(opBypass, scriptUpdate), op(opBypass, scriptRefused),
			op(opPhase, expand), op(opPhase, cutover),
		}
		all = append(all, combine(base, each(at(op(opSweep, 0), 3)), each(others...), nil)...)
	}
	return all
}

// references are an order, the second key, that refers to a customer, the first.
func references() []scenario {
	there, missing := slot{root: root(0), copy: withCopy(freshCopy(1), func(c *copyRow) { c.child = 0 })}, slot{}
	dead := slot{root: root(0)}
	order := slot{root: rootRow{there: 1, inc: 5}, copy: withCopy(freshCopy(1),
		func(c *copyRow) { c.child, c.inc = 0, 6 })}
	var all []scenario
	for _, phases := range [][2]uint8{
		{migrate, migrate},
		{cutover, cutover},
		{expand, contract},
		{migrate, contract},
		{cutover, contract},
		{contract, contract},
	} {
		for _, slots := range []struct {
			name            string
			customer, order slot
		}{
			{"a customer", there, missing},
			{"a customer and its order", there, order},
			{"an order deleted in CONTRACT", there, dead},
		} {
			d := two(slots.customer, slots.order)
			if slots.order == dead {
				if phases[1] != contract {
					continue
				}
				d.marks[0] = mark{1, 1, markGone, 3}
			}
			d.entities[0].phase, d.entities[1].phase = phases[0], phases[1]
			if phases == [2]uint8{cutover, contract} && slots.order == order {
				d.entities[1].restoring, d.entities[1].restored = 1, 1
			}
			base := scenario{family: "references", start: slots.name + ", " + phaseNames[phases[0]] + " and " +
				phaseNames[phases[1]], db: d, refs: true}
			clients := []operation{
				op(opDelete, 0), at(op(opCreateV1, 1), 2), at(op(opCreateV2, 2|1<<4), 2),
				at(op(opDelete, 0), 2), at(op(opReadV2, 0), 2),
			}
			var operators []operation
			for k := range 2 {
				for _, o := range phaseSteps(phases[k]) {
					operators = append(operators, at(o, 1<<k))
				}
			}
			all = append(all, combine(base, each(clients...), each(clients...), each(operators...))...)
			all = append(all, combine(base, each(clients[:3]...), each(operators...), each(operators...))...)
		}
	}
	return all
}

// incompletes are about a CUTOVER that was forced while V2 lacked rows.
func incompletes() []scenario {
	half := func(d database) database {
		d.entities[0].phase, d.entities[0].incomplete = cutover, 1
		return d
	}
	var all []scenario
	for _, start := range starts() {
		if start.db.entities[0].phase != migrate {
			continue
		}
		name := "incomplete CUTOVER" + start.name[len("MIGRATE"):]
		operator := [][]operation{
			{op(opPhase, cutover)},
			{op(opPhase, migrate)},
			{op(opPhase, contract)},
			{op(opPhase, contract|forced)},
			{op(opSweep, 0), op(opPhase, cutover)},
			{op(opSweep, 0), op(opPhase, contract)},
		}
		others := append(ownOperations(), op(opBypass, scriptUpdate), op(opBypassOld, scriptDelete))
		base := scenario{family: "incomplete CUTOVER", start: name, db: half(start.db)}
		all = append(all, combine(base, append(operator, each(others...)...), each(others...), nil)...)
		forcing := [][]operation{{
			op(opPhase, cutover|forced), op(opSweep, 0), op(opPhase, cutover),
			op(opPhase, contract),
		}, {op(opPhase, cutover|forced), op(opPhase, migrate)}}
		base = scenario{family: "incomplete CUTOVER", start: start.name, db: start.db}
		all = append(all, combine(base, forcing,
			each(append(others, op(opBypass, scriptInsert), op(opBypass, scriptDelete))...), nil)...)
	}
	return all
}

// quarantines are about rows that cannot be converted.
func quarantines() []scenario {
	var all []scenario
	changed := mark{1, 0, markChange, 0}
	for _, start := range []named{
		{"MIGRATE, not convertible", in(migrate, root(badValue), theChild, copyRow{})},
		{"MIGRATE, not convertible, stale copy", in(migrate, root(badValue), theChild, freshCopy(1), changed)},
		{
			"MIGRATE, not convertible, in quarantine",
			withEntry(in(migrate, root(badValue), theChild, copyRow{}, changed)),
		},
		{"MIGRATE, repaired, still in quarantine", withEntry(in(migrate, root(0), theChild, copyRow{}, changed))},
	} {
		ops := []operation{
			op(opReadV2, 0), op(opSweep, 0), op(opUpdateV1, 0), op(opUpdateV1, badValue), op(opUpdateV2, 2),
			op(opDelete, 0), op(opCreateV1, 1), op(opBypass, scriptUpdate), op(opBypass, scriptBad),
			op(opBypass, scriptDeleteInsert), op(opBypass, scriptTruncateInsert), op(opPhase, expand),
			op(opPhase, cutover), op(opPhase, cutover|forced),
		}
		base := scenario{family: "quarantine", start: start.name, db: start.db}
		for i := range ops {
			all = append(all, combine(base, each(ops[i]), each(ops[i:]...), each(ops[:4]...))...)
		}
	}
	return all
}

// mappings are about a mapping whose version is raised while instances with the older one, the first actor's, still
// run.
func mappings() []scenario {
	var all []scenario
	for _, start := range starts() {
		raised := start.db
		raised.entities[0].mapping = 2
		older := [][]operation{
			{op(opReadV1, 0)},
			{op(opReadV2, 0)},
			{op(opUpdateV1, 1)},
			{op(opUpdateV1, badValue)},
			{op(opUpdateV2, 2)},
			{op(opCreateV1, 1)},
			{op(opCreateV2, 2|2<<4)},
			{op(opDelete, 0)},
			{op(opSweep, 0)},
		}
		newer := [][]operation{{op(opSweep, sweepOlder)}, {op(opReadV2, 0)}, {op(opUpdateV1, 1)}, {op(opUpdateV2, 2)}}
		base := scenario{
			family: "newer mapping", start: start.name + ", a newer mapping in use",
			db: raised, older: true,
		}
		all = append(all, combine(base, older, newer, nil)...)
		raise := [][]operation{{op(opRaise, 0), op(opSweep, sweepOlder)}, {op(opRaise, 0), op(opUpdateV2, 2)}}
		base = scenario{family: "newer mapping", start: start.name, db: start.db, older: true}
		all = append(all, combine(base, older, raise, nil)...)
	}
	return all
}

// unknowns are about a client, or the engine, that does not learn how its COMMIT ended.
func unknowns() []scenario {
	var all []scenario
	for _, start := range starts() {
		asking := each(op(opUpdateExpected, 0), op(opToggleV1, 0))
		others := []operation{
			op(opReadV2, 0), op(opUpdateExpected, 0), op(opToggleV1, 0), op(opUpdateV1, 1),
			op(opUpdateV2, 2), op(opDelete, 0), op(opCreateV2, 2|2<<4),
		}
		if start.db.entities[0].phase < cutover {
			others = append(others, op(opSweep, 0), op(opBypass, scriptUpdate), op(opBypass, scriptDeleteInsert))
		}
		others = append(others, phaseSteps(start.db.entities[0].phase)...)
		all = append(all, combine(scenario{family: "unknown COMMIT", start: start.name, db: start.db}, asking,
			each(others...), nil)...)
	}
	return all
}

// replaces are REPLACE of SQLite, for which no trigger of a delete fires.
func replaces() []scenario {
	var all []scenario
	for _, start := range starts() {
		if start.db.entities[0].phase < cutover {
			base := scenario{family: "SQLite", start: start.name, db: start.db, sqlite: true}
			all = append(all, combine(base, each(op(opBypass, scriptReplace), op(opBypassOld, scriptReplace)),
				each(menu(&start.db)...), nil)...)
		}
	}
	migrated := slot{root: root(0), child: theChild, copy: freshCopy(1)}
	for _, start := range []named{
		{"MIGRATE, two rows", two(migrated, migrated)},
		{"MIGRATE, two rows, one without a copy", two(migrated, slot{root: root(0), child: theChild})},
	} {
		others := []operation{
			op(opReadV1, 0), op(opReadV2, 0), op(opUpdateV1, 1), op(opUpdateV2, 2), op(opDelete, 0),
			op(opSweep, 0), op(opCreateV1, 1), op(opCreateV2, 2|2<<4),
		}
		for i := range others {
			others[i].keys = 2
		}
		others = append(others, op(opUpdateV2, 2), at(op(opReadV2, 0), 3), at(op(opSweep, 0), 3), op(opPhase, cutover))
		base := scenario{family: "SQLite", start: start.name, db: start.db, sqlite: true}
		all = append(all, combine(base, each(op(opBypass, scriptReplaceOther)), each(others...), nil)...)
	}
	return all
}

// orphans are copies whose V1 row was deleted while nobody looked.
func orphans() []scenario {
	base := scenario{family: "two actors", start: "MIGRATE, an orphan of a gap", db: in(migrate, rootRow{}, childRow{},
		freshCopy(1), mark{1, allKeys(0), markAllStale, 0})}
	return combine(base, each(op(opSweep, 0)), each(op(opReadV1, 0), op(opReadV2, 0), op(opUpdateV1, 1),
		op(opUpdateV2, 2), op(opDelete, 0), op(opSweep, 0), op(opPhase, cutover), op(opPhase, expand)), nil)
}

// seeds are rows that come into an entity without any, where nothing leaves marks.
func seeds() []scenario {
	var all []scenario
	for _, phase := range []uint8{expand, migrate} {
		base := scenario{
			family: "seeding", start: phaseNames[phase] + ", nothing",
			db: in(phase, rootRow{}, childRow{}, copyRow{}),
		}
		others := append(phaseSteps(phase), op(opReadV2, 0), op(opUpdateV2, 2), op(opCreateV2, 2|2<<4), op(opSweep, 0),
			at(op(opSeed, 0), 3))
		walk := []operation{op(opPhase, migrate), op(opPhase, cutover), op(opPhase, contract)}
		all = append(all, combine(base, each(op(opSeed, 0), at(op(opSeed, 0), 3)), append(each(others...), walk),
			each(op(opReadV2, 0), at(op(opReadV2, 0), 2), op(opPhase, cutover|forced)))...)
	}
	return all
}

// scenarios is the whole list.
func scenarios() []scenario {
	var all []scenario
	for _, family := range [][]scenario{
		pairs("two actors", false), triples(), walks(), pages("two keys", false), refusals(), byHand(), references(),
		incompletes(), quarantines(), mappings(), unknowns(), owners(),
		orphans(), seeds(), pairs("SQLite", true), pages("SQLite", true), replaces(),
	} {
		all = append(all, family...)
	}
	return all
}

// world is where a scenario starts.
func (s *scenario) world(m *model) world {
	w := world{db: s.db, lastMark: 2, lastSeq: 2, lastInc: 6}
	for k := range w.db.slots {
		w.meanings[k] = m.current(&w.db, k)
		d := w.db
		d.entities[m.entityOf(k)].phase = migrate
		w.versions[k] = m.look(&d, k).version
		if w.meanings[k] == 0 {
			w.versions[k]-- // the tombstone's own
		}
	}
	for i := range w.actors {
		if i >= len(s.queues) {
			w.actors[i] = actor{done: 1}
			continue
		}
		a := &w.actors[i]
		*a = actor{mapping: 1, guess: w.db.entities[m.entityOf(s.queues[i][0].first())]}
		if s.older && i > 0 || s.db.entities[0].mapping == 2 && !s.older {
			a.mapping = 2
		}
		copy(a.queue[:], s.queues[i])
	}
	return w
}
