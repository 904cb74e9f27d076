package main

// guardInfo says what a guard is in the engine, and which scenarios must miss it.
type guardInfo struct {
	guard    guard
	name     string
	where    string // file and function of the engine
	rule     string
	families []string
}

const (
	familyTwo        = "two actors"
	familyThree      = "three actors"
	familyWalks      = "walks"
	familyPages      = "two keys"
	familyRefused    = "refused rows"
	familyReferences = "references"
	familyIncomplete = "incomplete CUTOVER"
	familyQuarantine = "quarantine"
	familyMapping    = "newer mapping"
	familyUnknown    = "unknown COMMIT"
	familySQLite     = "SQLite"
	familySeeding    = "seeding"
	familyOwner      = "V1's owner"
	familyByHand     = "by hand"
)

func families(f ...string) []string { return f }

// guardList is every guard, in the order of what it is about: storers, marks, sweeps, reads and writes, phases,
// triggers, references, RESTORE, quarantine, mappings, COMMIT, SQLite.
var guardList = []guardInfo{
	{
		storeIfUnchanged, "storeIfUnchanged", "store.go copies.insert, copies.update",
		"a storer inserts where there was no copy, and updates one of the seq that was read", families(familyTwo),
	},
	{
		seqIsNeverReused, "seqIsNeverReused", "store.go copies.row, dialect_postgres.go begin, dialect_sqlite.go begin",
		"seq is drawn anew, or counted in one place, not made of the copy's", families(familyTwo, familyThree),
	},
	{
		winnerOwnsChildren, "winnerOwnsChildren", "store.go finishStore",
		"child rows are written for the copies that were won", families(familyTwo, familyPages, familyThree),
	},
	{
		onlyMarksThatWereRead, "onlyMarksThatWereRead", "store.go finishStore, marks.remove",
		"a storer deletes the marks that it has read, never another", families(familyTwo),
	},
	{
		childrenGoWithCopy, "childrenGoWithCopy", "child_rows.go copies.remove",
		"a copy is deleted with its child rows, which no foreign key may guard", families(familyTwo),
	},
	{
		orphansAreMended, "orphansAreMended", "child_rows.go copies.replaceChildren",
		"a new copy does not take over child rows that another has left", families(familyByHand),
	},
	{
		storerChecksEpoch, "storerChecksEpoch", "store.go storeLazily, chunk.go mayWork",
		"a copy is stored under the epoch that it was read under", families(familyTwo, familyThree, familyWalks),
	},
	{
		goneIsNeverMerged, "goneIsNeverMerged", "internal_read.go convert",
		"a copy under a tombstone is not merged into the V1 row that came after", families(familyTwo),
	},
	{
		truncateIsTombstone, "truncateIsTombstone", "mark.go gone",
		"the mark of TRUNCATE is a tombstone for every older copy", families(familyTwo),
	},
	{
		truncateCountsInVersion, "truncateCountsInVersion", "mark.go currentVersion, cutover.go insertWhenV2Leads",
		"what is created after TRUNCATE has a higher version", families(familyTwo),
	},
	{
		tombstoneKeepsFloor, "tombstoneKeepsFloor", "mark.go currentVersion",
		"a version passes the floor of the tombstone", families(familyTwo),
	},
	{
		marksCountInVersion, "marksCountInVersion", "mark.go currentVersion", "each mark is one version more",
		families(familyTwo),
	},
	{
		deleteLeavesTombstone, "deleteLeavesTombstone", "write.go deleteBoth", "a delete leaves a tombstone",
		families(familyTwo),
	},
	{
		lastTombstoneIsKept, "lastTombstoneIsKept", "nowhere: the engine purges none",
		"a key's last tombstone is never purged", families(familyTwo),
	},
	{
		foldIfUnchanged, "foldIfUnchanged", "sweep.go fold",
		"the copy of a vanished row is deleted if it is of the seq that was read",
		families(familyTwo, familyPages, familyThree),
	},
	{
		foldLocksMarks, "foldLocksMarks", "sweep.go marks.lock", "marks are folded if all that were read are still there",
		families(familyTwo, familyThree),
	},
	{
		tombstoneIsAnotherMark, "tombstoneIsAnotherMark", "sweep.go fold",
		"the tombstone is none of the marks that were folded, which a storer of an older state deletes",
		families(familyTwo, familyThree),
	},
	{
		foldKeepsFloor, "foldKeepsFloor", "sweep.go fold, mark.go foldedFloor", "the tombstone that marks are folded into keeps the version",
		families(familyTwo, familyThree),
	},
	{
		sweepReadsMarks, "sweepReadsMarks", "chunk.go commitBatch, sweep.go markedKeys",
		"after its range a sweep reads the marks", families(familyTwo),
	},
	{
		sweepReadsOrphans, "sweepReadsOrphans", "sweep.go marked",
		"after a gap a sweep looks at the copies whose V1 row is gone", families(familyTwo),
	},
	{
		batchHalves, "batchHalves", "work.go workOnChunk", "a batch that V2's tables refuse is halved down to the row",
		families(familyRefused),
	},
	{
		readSaysItsPhase, "readSaysItsPhase", "read.go readLeading", "a read that was made for another phase is thrown away",
		families(familyTwo, familyWalks),
	},
	{
		writersShareFence, "writersShareFence", "dialect_postgres.go begin",
		"writers hold the entity's lock against a change of phase", families(familyTwo),
	},
	{
		phaseIsReadAfterFence, "phaseIsReadAfterFence", "dialect_postgres.go begin",
		"the phase is read in a later statement than the fence is taken in", families(familyTwo),
	},
	{
		locksMatchPhase, "locksMatchPhase", "entity.go locked", "who has locked for another phase begins again",
		families(familyWalks),
	},
	{rootIsLocked, "rootIsLocked", "entity.go locks", "a writer locks the leading root row first", families(familyTwo)},
	{
		childIsLockedNoWait, "childIsLockedNoWait", "entity.go locks", "a writer never waits for a child row of V1",
		families(familyTwo),
	},
	{
		readsFollowLocks, "readsFollowLocks", "write.go readLocked",
		"what is converted is read in a later statement than it was locked in", families(familyTwo),
	},
	{
		notFoundIsReadAgain, "notFoundIsReadAgain", "write.go readLocked",
		"where no row was locked one is looked for before NOT_FOUND", families(familyTwo),
	},
	{
		ownWritesAreStorers, "ownWritesAreStorers", "write.go refreshCopy, put",
		"own writes too write the copy that they have read", families(familyTwo, familyThree),
	},
	{
		ownWritesNeedTheirMarks, "ownWritesNeedTheirMarks", "store.go finishStore",
		"a write begins again where marks that it has read are gone", families(familyTwo, familyThree),
	},
	{
		v1IsAsWritten, "v1IsAsWritten", "update.go putV2, takeover.go takeOver",
		"a V2-shaped write finds V1 as it has written it", families(familyTwo),
	},
	{
		v1IsTakenOver, "v1IsTakenOver", "cutover.go remade, updateV1WhenV2Leads, takeover.go takeOver",
		"what V1 makes of a write is what V2 gets", families(familyOwner),
	},
	{
		deleteIsProbed, "deleteIsProbed", "write.go deleteBoth, aftermath.go afterDelete",
		"a delete looks whether V1 keeps the row", families(familyOwner),
	},
	{
		deferredIsSettled, "deferredIsSettled", "dialect_postgres.go afterDeferred",
		"what V1's owner puts off until COMMIT happens before V1 is read back", families(familyOwner),
	},
	{
		ownWritesAreExemptByKey, "ownWritesAreExemptByKey", "capture_postgres.go captureBody, capture_sqlite.go capture",
		"own writes leave marks of the rows that they change besides", families(familyOwner),
	},
	{
		effectsAreFollowed, "effectsAreFollowed", "aftermath.go reconcileEffects, refreshCopies",
		"where V2 leads these rows are followed in the same transaction", families(familyOwner),
	},
	{
		effectsOnOldRowsAreUndone, "effectsOnOldRowsAreUndone", "aftermath.go settleOnce, restore_besides.go restoreV1",
		"while V1 is rebuilt they are brought up to V2 instead", families(familyOwner),
	},
	{
		staleWriteMarks, "staleWriteMarks", "write.go leaveStale", "a write that leaves the copy behind leaves a mark",
		families(familyTwo),
	},
	{
		unconvertibleWriteMarks, "unconvertibleWriteMarks", "write.go leaveStale",
		"so does one that cannot be converted",
		families(familyTwo),
	},
	{
		createReadsMarksLater, "createReadsMarksLater", "cutover.go insertWhenV2Leads",
		"where V2 leads a create reads the marks when its row is there", families(familyTwo, familyThree),
	},
	{
		cutoverRefusesUnconvertible, "cutoverRefusesUnconvertible", "write.go refreshCopy",
		"in an incomplete CUTOVER too V2 holds every write", families(familyIncomplete),
	},
	{
		incompleteIsLedByV1, "incompleteIsLedByV1", "phase.go leader", "V1 leads in an incomplete CUTOVER",
		families(familyIncomplete),
	},
	{
		rowsAreNotForcedIntoContract, "rowsAreNotForcedIntoContract", "gate.go forceable",
		"rows that V2 lacks are not forced into CONTRACT", families(familyIncomplete),
	},
	{
		gateIsAskedUnderLocks, "gateIsAskedUnderLocks", "control.go setPhase, facts.go changedSince",
		"the gate is asked again under the locks", families(familyTwo),
	},
	{
		gateLooksForHusks, "gateLooksForHusks", "facts.go cheapFacts", "a copy under a tombstone closes the gate",
		families(familyTwo),
	},
	{
		gateLooksForOrphans, "gateLooksForOrphans", "facts.go orphanFacts",
		"so does a copy whose V1 row was lost in a gap", families(familyTwo),
	},
	{
		seedsAreCounted, "seedsAreCounted", "control.go setPhase, seeding.go seed",
		"rows that are seeded without marks count where the phase changes", families(familySeeding),
	},
	{
		phaseTakesFence, "phaseTakesFence", "dialect_postgres.go changePhase",
		"a change of phase waits for the writers in flight", families(familyTwo),
	},
	{
		phaseLocksTables, "phaseLocksTables", "dialect_postgres.go changePhase", "and for other programs' transactions",
		families(familyTwo),
	},
	{
		phasesChangeOneByOne, "phasesChangeOneByOne", "dialect_postgres.go changePhase",
		"the phases of all entities change one after another", families(familyReferences),
	},
	{
		triggerMarks, "triggerMarks", "capture_postgres.go captureBody, capture_sqlite.go sqliteTriggers",
		"triggers append a mark", families(familyTwo),
	},
	{
		triggerRejects, "triggerRejects", "capture_postgres.go captureBody, capture_sqlite.go sqliteTrigger",
		"triggers reject where V2 leads", families(familyTwo, familyWalks),
	},
	{
		triggerLocksPhase, "triggerLocksPhase", "capture_postgres.go captureBody",
		"with an old snapshot they lock FOR SHARE which shape is the truth", families(familyTwo, familyWalks),
	},
	{
		triggerNeedsBarrier, "triggerNeedsBarrier", "capture_postgres.go captureBody",
		"and fail where it was not there yet", families(familyTwo, familyWalks),
	},
	{
		referrerGoesFirst, "referrerGoesFirst", "facts.go orderFacts",
		"who refers enters CONTRACT first, and leaves it last", families(familyReferences),
	},
	{
		referencesAreHeld, "referencesAreHeld", "reference.go holdReferences, hold",
		"in CONTRACT what is referred to is locked", families(familyReferences),
	},
	{
		referrersAreCounted, "referrersAreCounted", "reference.go referred", "a delete counts who refers in CONTRACT",
		families(familyReferences),
	},
	{
		restoreStartsUnderFence, "restoreStartsUnderFence", "start.go start", "a restore starts as a fenced step",
		families(familyWalks),
	},
	{
		restoringWritesUpsert, "restoringWritesUpsert", "cutover.go bringUpV1",
		"while V1 is restored its row may be missing, or dead", families(familyTwo, familyThree),
	},
	{
		createLocksV1, "createLocksV1", "cutover.go insertWhenV2Leads",
		"while V1 is restored a create locks what is left there before it reads", families(familyTwo),
	},
	{
		restoreLocksV1, "restoreLocksV1", "restore.go lockForRestore", "a restore locks V1's rows before it reads",
		families(familyTwo, familyThree, familyWalks),
	},
	{
		restoreNeedsTombstone, "restoreNeedsTombstone", "restore_order.go restorer.restore",
		"a restore deletes what a tombstone proves deleted", families(familyTwo),
	},
	{
		backNeedsRestore, "backNeedsRestore", "gate.go toRestored", "the way back from CONTRACT needs a restore",
		families(familyTwo),
	},
	{
		quarantineIfUnchanged, "quarantineIfUnchanged", "quarantine.go quarantine",
		"a row that has changed since it failed is not listed", families(familyQuarantine),
	},
	{
		storeReleases, "storeReleases", "store.go finishStore", "a row that is stored leaves quarantine",
		families(familyQuarantine),
	},
	{
		olderMappingStoresNot, "olderMappingStoresNot", "store.go storeLazily, write.go dual, chunk.go mayWork",
		"an instance with an older mapping stores no copy", families(familyMapping),
	},
	{
		olderMappingReadsV1, "olderMappingReadsV1", "read.go readLeading, resultV1",
		"where V2 leads an instance with an older mapping answers V1 with V1's row, or not", families(familyMapping),
	},
	{
		mappingIsRaisedUnderFence, "mappingIsRaisedUnderFence", "ddl.go Install",
		"the mapping's version is raised when no writer is in flight", families(familyMapping),
	},
	{
		remigrationKeepsRefined, "remigrationKeepsRefined", "sweep.go decide, internal_read.go convert",
		"a refined copy is not upgraded anew", families(familyMapping),
	},
	{
		commitIsSentOnce, "commitIsSentOnce", "tx.go transactOn", "nothing is tried again once COMMIT was sent",
		families(familyUnknown),
	},
	{
		versionIsCheckedUnderLock, "versionIsCheckedUnderLock", "update.go updateV2",
		"an expected version is compared under the locks", families(familyUnknown),
	},
	{
		flagIsCleared, "flagIsCleared", "dialect_sqlite.go commit", "SQLite's flag of own writes is cleared before COMMIT",
		families(familySQLite),
	},
	{
		insertMarksToo, "insertMarksToo", "capture_sqlite.go sqliteTriggers", "inserts leave marks too, for REPLACE",
		families(familySQLite),
	},
	{
		replacedIsMarked, "replacedIsMarked", "capture_sqlite.go captureReplaced",
		"another row that REPLACE removes is marked", families(familySQLite),
	},
}
