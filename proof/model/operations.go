package main

import (
	"fmt"
	"strings"
)

// The kinds of operations.
const (
	opNone = iota
	opReadV1
	opReadV2
	opUpdateV1 // arg is the value
	opToggleV1 // the other of two values: done twice it is not done; the answer to its COMMIT can be lost
	opUpdateV2 // arg is facts | (value+1)<<4
	// opToggleV1 in V2's shape of a version that the client has read; it asks again when it hears nothing
	opUpdateExpected
	opCreateV1 // arg is the value
	opCreateV2 // arg is facts | (value+1)<<4
	opDelete
	opSweep
	opPhase // arg is the phase, forced
	opRaise
	opRestore
	opPurge
	opSeed
	opBypass       // arg is the script
	opBypassOld    // the same in REPEATABLE READ; in SQLite, in a transaction that has read before it writes
	opBypassOldest // the same, with a snapshot from before the engine's own tables were made
	opDeleteCopy   // V2's row alone, which the child rows outlive
)

// move says what a step has done.
type move int

const (
	next      move = iota // the statement is done: on to the next step
	skip                  // there was nothing to do: the next step runs at once
	stay                  // one statement of several is done, or begins to wait
	wait                  // it can do nothing now
	retry                 // the transaction is rolled back and begins again
	done                  // the operation has ended; what it has not committed is rolled back
	committed             // the operation has ended with COMMIT, whose answer can be lost
)

// A step is one statement of the engine. It works on a world of its own.
type step struct {
	name string
	do   func(*model, *world, int) move
}

var (
	storeSteps = []step{{"insert copies", insertCopies}, {"update copies", updateCopies}}
	lockSteps  = []step{{"lock the leading row", lockLead}, {"lock V1's row", lockV1}, {"lock V1's child", lockChild}}
	updateOwn  = join([]step{{"BEGIN, fence, phase", begin}}, lockSteps, []step{
		{"read, write the leading side", change},
		{"V1's own trigger", ownerNow},
		{"read V1 again", followSee},
		{"write the copy", followPut},
		{"write V1", writeBack},
		{"V1's own trigger", ownerNow},
		{"follow what that has changed", followEffect},
		{"V1's own trigger, at COMMIT", ownerLate},
		{"delete marks, COMMIT", commitWrite},
	})
	createOwn = []step{
		{"BEGIN, fence, phase", begin},
		{"must be free", mustBeFree},
		{"delete an orphan", deleteCopy},
		{"insert V1", insertRoot},
		{"hold the reference", holdReference},
		{"insert V2", insertLead},
		{"lock what is left in V1", lockLeftover},
		{"read marks", readMarks},
		{"read V1 again", followSee},
		{"write the copy", followPut},
		{"write V1", writeBack},
		{"delete marks, COMMIT", commitWrite},
	}
	programs = map[uint8][]step{
		opReadV1: {{"read", readAnswer}},
		opReadV2: join([]step{{"read", readAnswer}, {"lazy BEGIN, fence, phase", lazyBegin}}, storeSteps,
			[]step{{"children, marks, quarantine, COMMIT", finish}}),
		opUpdateV1:       updateOwn,
		opToggleV1:       updateOwn,
		opUpdateV2:       updateOwn,
		opUpdateExpected: join([]step{{"read the version", readVersion}}, updateOwn),
		opCreateV1:       createOwn,
		opCreateV2:       createOwn,
		opDelete: join([]step{{"BEGIN, fence, phase", begin}}, lockSteps,
			[]step{
				{"read, delete V1", deleteRows},
				{"V1's own trigger", ownerNow},
				{"follow what that has changed", followEffect},
				{"delete the copy", deleteCopy},
				{"tombstone, COMMIT", commitDelete},
			}),
		opSweep: join(sweepSteps("prepare a batch of the range", prepareRange), []step{{"next batch", nextBatch}},
			sweepSteps("prepare a batch of marks", prepareMarks)),
		opPhase: {
			{"newest mark of all keys", countAll},
			{"count", countRows},
			{"fence", fencePhase},
			{"lock V1's tables", lockTables},
			{"gate", setPhase},
			{"phase, COMMIT", commitPhase},
		},
		opRaise: {{"raise the mapping's version", raiseMapping}},
		opRestore: {
			{"start", startRestore},
			{"look", lookRestore},
			{"BEGIN, fence, phase", batchBegin},
			{"lock V2", lockCopies},
			{"lock V1", lockRoots},
			{"read", seeRestore},
			{"write V1, COMMIT", applyRestore},
		},
		opPurge: {{"purge", purge}},
		opSeed:  {{"BEGIN, fence, phase, insert", insertSeed}, {"count, COMMIT", commitSeed}},
		opBypass: {{"statement", bypass}, {"V1's own trigger", ownerNow}, {
			"V1's own trigger, at COMMIT",
			ownerLate,
		}, {"COMMIT", bypassCommit}},
		opBypassOld: {{"statement", bypass}, {"V1's own trigger", ownerNow}, {
			"V1's own trigger, at COMMIT",
			ownerLate,
		}, {"COMMIT", bypassCommit}},
		opBypassOldest: {{"statement", bypass}, {"V1's own trigger", ownerNow}, {
			"V1's own trigger, at COMMIT",
			ownerLate,
		}, {"COMMIT", bypassCommit}},
		opDeleteCopy: {{"delete V2's row, COMMIT", deleteCopyByHand}},
	}
)

func sweepSteps(name string, prepare func(*model, *world, int) move) []step {
	return join([]step{{name, prepare}, {"BEGIN, fence, phase", batchBegin}}, storeSteps,
		[]step{{"fold what has vanished", foldVanished}, {"children, marks, quarantine, COMMIT", finish}})
}

func join(lists ...[]step) []step {
	var all []step
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// readVersion is a client that reads before it writes.
func readVersion(m *model, w *world, i int) move {
	w.begin(i)
	a := &w.actors[i]
	k := a.queue[0].first()
	s := m.look(&w.db, k)
	a.expected = s.version
	a.base = 1
	return next
}

func (op operation) has(k int) bool { return op.keys&(1<<k) != 0 }

// first is the key of an operation that has one, and one of the entity of an operation that has several.
func (op operation) first() int {
	if op.keys&1 != 0 || op.keys == 0 {
		return 0
	}
	return 1
}

func (op operation) isV2() bool {
	return op.kind == opUpdateV2 || op.kind == opUpdateExpected || op.kind == opCreateV2
}

func (op operation) isCreate() bool { return op.kind == opCreateV1 || op.kind == opCreateV2 }

func (op operation) isUpdate() bool { return op.kind >= opUpdateV1 && op.kind <= opUpdateExpected }

// apply is what a client makes of an aggregate.
func (op operation) apply(before want) want {
	after := before
	switch op.kind {
	case opUpdateV1, opCreateV1:
		after.val = op.arg
	case opToggleV1:
		after.val = before.val ^ 1
	case opUpdateExpected:
		after.val, after.facts = before.val^1, before.facts|1
	default:
		after.facts |= op.arg & 3
		if op.arg>>4 != 0 {
			after.val = op.arg>>4 - 1
		}
	}
	return after
}

// ours reports whether an actor is at an operation of the engine's.
func (a *actor) ours() bool { return a.queue[0].kind < opBypass }

var operationNames = [...]string{
	"nothing", "read V1", "read V2", "update V1", "toggle V1", "update V2", "toggle V2 of a version", "create V1",
	"create V2", "delete", "sweep", "phase", "newer mapping",
	"restore", "purge", "seed", "another program", "another program, REPEATABLE READ",
	"another program, a snapshot from before the installation", "by hand: delete V2's row",
}

func (op operation) String() string {
	name := operationNames[op.kind]
	switch {
	case op.kind >= opBypass && op.kind <= opBypassOldest:
		name += ": " + scripts[op.arg].name
	case op.kind == opPhase:
		name += " " + phaseNames[op.arg&3]
		if op.arg&forced != 0 {
			name += " by force"
		}
	case op.arg == 0 && op.kind != opUpdateV1 && op.kind != opCreateV1:
	case op.isV2() && op.arg>>4 != 0:
		name += fmt.Sprintf(" (facts %d, value %d)", op.arg&15, op.arg>>4-1)
	case op.isV2():
		name += fmt.Sprintf(" (facts %d)", op.arg&15)
	default:
		name += fmt.Sprintf(" (%d)", op.arg)
	}
	return name + strings.Repeat(" of key 1", int(op.keys>>1)&^int(op.keys)) + strings.Repeat(" of both keys",
		int(op.keys>>1)&int(op.keys))
}
