package main

// guard is a rule of the protocol that can be taken out, to see whether the model notices.
type guard int

const (
	noGuard guard = iota
	storeIfUnchanged
	seqIsNeverReused
	winnerOwnsChildren
	onlyMarksThatWereRead
	storerChecksEpoch
	goneIsNeverMerged
	truncateIsTombstone
	truncateCountsInVersion
	tombstoneKeepsFloor
	marksCountInVersion
	deleteLeavesTombstone
	lastTombstoneIsKept
	foldIfUnchanged
	foldLocksMarks
	foldKeepsFloor
	sweepReadsMarks
	sweepReadsOrphans
	batchHalves
	readSaysItsPhase
	writersShareFence
	phaseIsReadAfterFence
	locksMatchPhase
	rootIsLocked
	childIsLockedNoWait
	readsFollowLocks
	notFoundIsReadAgain
	ownWritesAreStorers
	v1IsAsWritten
	v1IsTakenOver
	deleteIsProbed
	deferredIsSettled
	ownWritesAreExemptByKey
	effectsAreFollowed
	staleWriteMarks
	unconvertibleWriteMarks
	createReadsMarksLater
	cutoverRefusesUnconvertible
	incompleteIsLedByV1
	rowsAreNotForcedIntoContract
	gateIsAskedUnderLocks
	gateLooksForHusks
	gateLooksForOrphans
	seedsAreCounted
	phaseTakesFence
	phaseLocksTables
	phasesChangeOneByOne
	triggerMarks
	triggerRejects
	triggerLocksPhase
	referrerGoesFirst
	referencesAreHeld
	referrersAreCounted
	restoreStartsUnderFence
	restoringWritesUpsert
	createLocksV1
	restoreLocksV1
	restoreNeedsTombstone
	backNeedsRestore
	quarantineIfUnchanged
	storeReleases
	olderMappingStoresNot
	olderMappingReadsV1
	mappingIsRaisedUnderFence
	remigrationKeepsRefined
	commitIsSentOnce
	versionIsCheckedUnderLock
	flagIsCleared
	insertMarksToo
	replacedIsMarked
	guards
)
