package main

// scenario is a start and what the actors do from there, in every order.
type scenario struct {
	family  string
	start   string
	db      database
	queues  [][]operation // of each actor
	older   bool          // the first actor is an instance with an older mapping than the others
	sqlite  bool
	refs    bool
	refuses bool
	owner   uint8 // what V1's owner's triggers do
}

type named struct {
	name string
	db   database
}

func root(val uint8) rootRow { return rootRow{there: 1, inc: 1, val: val} }
func freshCopy(facts uint8) copyRow {
	return copyRow{there: 1, inc: 3, child: 1, facts: facts, version: 3, seq: 1, mapping: 1}
}

var theChild = childRow{there: 1, inc: 2}

// in is a database in a phase, with one key.
func in(phase uint8, r rootRow, c childRow, v copyRow, marks ...mark) database {
	d := database{}
	d.entities[0] = entity{phase: phase, epoch: 1, mapping: 1}
	d.entities[1] = d.entities[0]
	d.slots[0] = slot{root: r, child: c, copy: v}
	copy(d.marks[:], marks)
	return d
}

func withEntry(d database) database {
	d.slots[0].entry = 1
	return d
}

func withCopy(c copyRow, change func(*copyRow)) copyRow {
	change(&c)
	return c
}

// starts are those with one key.
func starts() []named {
	none := copyRow{}
	fact := freshCopy(1)
	bare := withCopy(fact, func(c *copyRow) { c.child = 0 })
	ahead := withCopy(fact, func(c *copyRow) { c.val = 1 })
	changed, gone := mark{1, 0, markChange, 0}, mark{1, 0, markGone, 3}
	return []named{
		{"MIGRATE, no copy", in(migrate, root(0), theChild, none)},
		{"MIGRATE, fresh copy", in(migrate, root(0), theChild, fact)},
		{"MIGRATE, fresh copy, not refined", in(migrate, root(0), theChild, freshCopy(0))},
		{"MIGRATE, stale copy", in(migrate, root(1), theChild, fact, changed)},
		{"MIGRATE, no copy, a mark", in(migrate, root(0), theChild, none, changed)},
		{"MIGRATE, nothing", in(migrate, rootRow{}, childRow{}, none)},
		{"MIGRATE, a tombstone", in(migrate, rootRow{}, childRow{}, none, gone)},
		{"MIGRATE, a copy under a tombstone", in(migrate, rootRow{}, childRow{}, fact, mark{1, 0, markGone, 0})},
		{"MIGRATE, no child, no copy", in(migrate, root(0), childRow{}, none)},
		{"MIGRATE, no child, fresh copy", in(migrate, root(0), childRow{}, bare)},
		{"MIGRATE, not convertible, in quarantine", withEntry(in(migrate, root(badValue), theChild, none, changed))},
		{"MIGRATE, a copy under TRUNCATE", in(migrate, rootRow{}, childRow{}, fact,
			mark{1, allKeys(0), markAllGone, 0})},
		{"MIGRATE, a fresh copy since TRUNCATE", in(migrate, root(0), theChild,
			withCopy(fact, func(c *copyRow) { c.seen.gone = 1 }), mark{1, allKeys(0), markAllGone, 0})},
		{"EXPAND, no copy", in(expand, root(0), theChild, none)},
		{"EXPAND, fresh copy", in(expand, root(0), theChild, fact)},
		{"EXPAND, a tombstone", in(expand, rootRow{}, childRow{}, none, gone)},
		{"CUTOVER, both", in(cutover, root(0), theChild, fact)},
		{"CUTOVER, a tombstone", in(cutover, rootRow{}, childRow{}, none, gone)},
		{"CUTOVER, nothing since TRUNCATE", in(cutover, rootRow{}, childRow{}, none,
			mark{1, allKeys(0), markAllGone, 0})},
		{"CONTRACT, V1 is behind", in(contract, root(0), theChild, ahead)},
		{"CONTRACT, deleted, a dead V1 row", in(contract, root(0), theChild, none, gone)},
		{"CONTRACT, a V1 row that V2 has never had", in(contract, root(0), theChild, none)},
		{"CONTRACT, V2 alone", in(contract, rootRow{}, childRow{}, withCopy(ahead, func(c *copyRow) { c.child = 0 }))},
	}
}

func op(kind, arg uint8) operation { return operation{kind, arg, 1} }

func at(o operation, keys uint8) operation { o.keys = keys; return o }

// ownOperations are those of the engine on one key, but for phases.
func ownOperations() []operation {
	return []operation{
		op(opReadV1, 0), op(opReadV2, 0), op(opUpdateV1, 1), op(opUpdateV1, badValue), op(opToggleV1, 0),
		op(opUpdateV2, 2), op(opUpdateV2, 2|2<<4),
		op(opCreateV1, 1), op(opCreateV2, 2|2<<4), op(opDelete, 0), op(opSweep, 0), op(opPurge, 0),
	}
}

func otherPrograms() []operation {
	var all []operation
	for _, s := range []uint8{
		scriptUpdate, scriptUpdateChild, scriptInsertChild, scriptDelete, scriptInsert, scriptDeleteInsert,
		scriptTruncate, scriptChildThenRow,
		scriptTruncateInsert, scriptBad, scriptTruncateChild,
	} {
		all = append(all, op(opBypass, s))
	}
	for _, s := range []uint8{scriptUpdate, scriptUpdateChild, scriptDelete, scriptInsert, scriptDeleteInsert} {
		all = append(all, op(opBypassOld, s))
	}
	return append(all, op(opBypassOldest, scriptUpdate), op(opBypassOldest, scriptDelete))
}

// phaseSteps are those that can be taken from a phase.
func phaseSteps(phase uint8) []operation {
	var all []operation
	if phase > expand {
		all = append(all, op(opPhase, phase-1))
	}
	if phase < contract {
		all = append(all, op(opPhase, phase+1))
	}
	if phase == migrate {
		all = append(all, op(opPhase, cutover|forced))
	}
	if phase == contract {
		all = append(all, op(opRestore, 0))
	}
	return all
}

// menu is what can be done from a start.
func menu(d *database) []operation {
	all := append(ownOperations(), phaseSteps(d.entities[0].phase)...)
	if d.entities[0].phase < cutover {
		all = append(all, otherPrograms()...)
	}
	return all
}

// pairs are all pairs of all operations from all starts.
func pairs(family string, sqlite bool) []scenario {
	var all []scenario
	for _, start := range starts() {
		ops := menu(&start.db)
		for i := range ops {
			for j := i; j < len(ops); j++ {
				all = append(all, scenario{
					family: family, start: start.name, db: start.db, sqlite: sqlite,
					queues: [][]operation{{ops[i]}, {ops[j]}},
				})
			}
		}
	}
	return all
}

// combine makes scenarios of every choice of one queue for each actor.
func combine(base scenario, first, second, third [][]operation) []scenario {
	var all []scenario
	for _, a := range first {
		for _, b := range second {
			s := base
			s.queues = [][]operation{a, b}
			if third == nil {
				all = append(all, s)
			}
			for _, c := range third {
				s.queues = [][]operation{a, b, c}
				all = append(all, s)
			}
		}
	}
	return all
}

// each makes queues of one operation.
func each(ops ...operation) [][]operation {
	var queues [][]operation
	for _, o := range ops {
		queues = append(queues, []operation{o})
	}
	return queues
}

// triples are three actors on one key: each pair of writers and readers beside a third.
func triples() []scenario {
	var all []scenario
	for _, start := range starts() {
		d := &start.db
		ops := []operation{
			op(opReadV2, 0), op(opUpdateV1, 1), op(opUpdateV2, 2),
			op(opCreateV2, 2|2<<4), op(opDelete, 0),
		}
		third := phaseSteps(d.entities[0].phase)
		if d.entities[0].phase < cutover {
			ops = append(ops, op(opSweep, 0))
			third = append(third, op(opBypass, scriptUpdate), op(opBypass, scriptDelete),
				op(opBypass, scriptDeleteInsert), op(opBypass, scriptTruncateInsert), op(opBypass, scriptInsertChild))
		}
		for i := range ops {
			all = append(all, combine(scenario{family: "three actors", start: start.name, db: *d}, each(ops[i]),
				each(ops[i:]...), each(append(third, ops[i:]...)...))...)
		}
	}
	return all
}

// walks are an operator who walks through the phases, forth and back, beside one or two others.
func walks() []scenario {
	ph := func(phases ...uint8) []operation {
		var q []operation
		for _, p := range phases {
			q = append(q, op(opPhase, p))
		}
		return q
	}
	sweep, restore := op(opSweep, 0), op(opRestore, 0)
	of := map[uint8][][]operation{
		expand: {ph(migrate, cutover, migrate, expand), {
			op(opPhase, migrate), sweep, op(opPhase, cutover),
			op(opPhase, contract),
		}},
		migrate: {ph(expand, migrate, cutover, migrate), {
			sweep, op(opPhase, cutover), op(opPhase, migrate),
			op(opPhase, expand),
		}, {op(opPhase, cutover), op(opPhase, contract), restore, op(opPhase, cutover)}},
		cutover: {ph(migrate, expand, migrate, cutover), {
			op(opPhase, contract), restore, op(opPhase, cutover),
			op(opPhase, migrate),
		}},
		contract: {
			{restore, op(opPhase, cutover), op(opPhase, migrate), op(opPhase, expand)},
			{restore, op(opPhase, cutover), op(opPhase, contract), restore},
		},
	}
	var all []scenario
	for _, start := range starts() {
		base := scenario{family: "walks", start: start.name, db: start.db}
		phase := start.db.entities[0].phase
		others := append(ownOperations(), otherPrograms()...)
		all = append(all, combine(base, of[phase], each(others...), nil)...)
		few := []operation{op(opReadV2, 0), op(opUpdateV1, 1), op(opCreateV2, 2|2<<4), op(opDelete, 0)}
		all = append(all, combine(base, of[phase], each(few...),
			append(each(few...), []operation{op(opReadV1, 0), op(opUpdateV2, 2)}))...)
	}
	return all
}
