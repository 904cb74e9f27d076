package main

// edit takes a guard out of a file of the engine: it puts new in the place of old, which is there once.
type edit struct{ file, old, new string }

// edits take each guard out of the engine itself, for the soak to find what goes wrong then. Those that are missing are
// in notTakenOut.
var edits = map[guard][]edit{
	storeIfUnchanged: {{
		"store.go", " = {value.key}\n\t\tAND {table}.coexist_seq = {value.readSeq}",
		" = {value.key}",
	}},
	seqIsNeverReused:   {{"store.go", "r[seqColumn] = t.seq", "r[seqColumn] = p.state.seq + 1"}},
	winnerOwnsChildren: {{"store.go", "if !stored[p.key] {\n\t\t\tcontinue", "if false {\n\t\t\tcontinue"}},
	childrenGoWithCopy: {{
		"child_rows.go", "make([]command, 0, len(e.v2.Children)+1)\n\tfor i := range e.v2.Children {",
		"make([]command, 0, 1)\n\tfor i := range 0 {",
	}},
	orphansAreMended: {{"child_rows.go", "(p.state.hasCopy || !childless[i])", "p.state.hasCopy && childless != nil"}},
	onlyMarksThatWereRead: {{
		"store.go", "deleted, err := e.marks.remove(ctx, t, marks)\n\tif err != nil {",
		"written, deleted := []string{}, int64(len(marks))\n\tfor key := range stored {\n\t\twritten = append(written, key)\n\t}\n" +
			"\tif err := e.execKeys(ctx, t, \"DELETE FROM \"+e.markTable+\" WHERE key IN (SELECT k.key FROM (\"+keyListGoesHere+\") k)\", written); err != nil {",
	}},
	storerChecksEpoch: {
		{
			"store.go",
			"if t.fence.Phase != f.Phase || t.fence.Epoch != f.Epoch || t.fence.MappingVersion > e.mappingVersion {",
			"if t.fence.MappingVersion > e.mappingVersion {",
		},
		{"chunk.go", "case t.fence.Epoch != b.fence.Epoch:", "case false:"},
	},
	goneIsNeverMerged: {{
		"internal_read.go", "case !s.state.hasCopy, s.state.gone(), !s.copy.Refined:",
		"case !s.state.hasCopy, !s.copy.Refined:",
	}},
	truncateIsTombstone: {{"mark.go", "return s.tombstoned() || s.all.Gone > s.seen.Gone", "return s.tombstoned()"}},
	truncateCountsInVersion: {
		{"mark.go", "s.version-s.seen.sum()", "s.version-s.seen.Stale"},
		{"mark.go", "int64(len(s.marks)) + s.all.sum()", "int64(len(s.marks)) + s.all.Stale"},
		{"mark.go", "s.currentVersion() - 1 - s.all.sum()", "s.currentVersion() - 1 - s.all.Stale"},
	},
	tombstoneKeepsFloor: {{
		"mark.go",
		"if m.Kind == markGone && !m.Bypass && m.Floor >= 0 && (!known || m.Floor > base) {",
		"if known && !known {",
	}},
	marksCountInVersion: {{
		"mark.go", "return base + int64(len(s.marks)) + s.all.sum()",
		"return base + s.all.sum()",
	}},
	deleteLeavesTombstone: {{
		"write.go", "if err := e.marks.add(ctx, t, key, markGone, s.currentVersion()); err != nil {",
		"if err := error(nil); err != nil {",
	}},
	foldIfUnchanged: {{
		"sweep.go", "e.copies.remove(ctx, t, v.key, v.state.seq)",
		"t.Exec(ctx, e.sql(`DELETE FROM {v2} WHERE {v2.key} = {?}`), v.key)",
	}},
	foldLocksMarks: {{
		"sweep.go", "if err := e.marks.lock(ctx, t, v.state.marks); err != nil {",
		"if err := error(nil); err != nil {",
	}},
	tombstoneIsAnotherMark: {{
		"sweep.go",
		"if err := e.marks.add(ctx, t, v.key, markGone, v.state.foldedFloor()); err != nil {\n\t\treturn err\n\t}\n\tif _, err := e.marks.remove(ctx, t, v.state.marks); err != nil {",
		"if _, err := t.Exec(ctx, \"UPDATE \"+e.markTable+\" SET kind = ?, floor = ?, bypass = false WHERE key = \"+e.asKey(\"?\")+\" AND id = ?\", string(markGone), v.state.foldedFloor(), v.key, v.state.marks[0].ID); err != nil {\n" +
			"\t\treturn err\n\t}\n\tif _, err := e.marks.remove(ctx, t, v.state.marks[1:]); err != nil {",
	}},
	foldKeepsFloor: {{"mark.go", "return s.currentVersion() - 1 - s.all.sum()", "return 0"}},
	sweepReadsMarks: {{
		"sweep.go", "if c.Upper == nil {\n\t\ts.add(\"false\")\n\t} else {\n\t\ts.add(\"u.key",
		"if true {\n\t\ts.add(\"false\")\n\t} else {\n\t\ts.add(\"u.key",
	}},
	batchHalves:      {{"work.go", "if b.rows > 1 {\n\t\t\t\tw.size", "if false {\n\t\t\t\tw.size"}},
	readSaysItsPhase: {{"read.go", "if (f.leader() == lead || w == wantBoth) && (", "if true && ("}},
	writersShareFence: {
		{
			"dialect_postgres.go",
			`writeLockTimeout, "SELECT true FROM pg_advisory_xact_lock_shared(hashtextextended($1, 0))"`,
			`writeLockTimeout, "SELECT true WHERE CAST($1 AS text) IS NOT NULL"`,
		},
		{
			"dialect_postgres.go", `"SELECT pg_try_advisory_xact_lock_shared(hashtextextended($1, 0))"`,
			`"SELECT CAST($1 AS text) IS NOT NULL"`,
		},
	},
	phaseIsReadAfterFence: {
		{"dialect_postgres.go", "\tb.Add(func(r pgx.Row) error { return r.Scan(&free) }, lock, fenceLock(e.tables))\n", ""},
		{
			"dialect_postgres.go", "\tguess := e.guess()\n\tif o.key",
			"\tb.Add(func(r pgx.Row) error { return r.Scan(&free) }, lock, fenceLock(e.tables))\n\tguess := e.guess()\n\tif o.key",
		},
	},
	locksMatchPhase: {{
		"entity.go", "if guess.leader() != found.leader() || guess.writesV1() != found.writesV1() {",
		"if false {",
	}},
	rootIsLocked: {
		{"entity.go", "{v2.key} = {?}{strength}", "{v2.key} = {?}"},
		{"entity.go", "{v1.key} = {?}{strength}", "{v1.key} = {?}"},
	},
	childIsLockedNoWait: {{"entity.go", "{strength} NOWAIT", "{strength}"}},
	notFoundIsReadAgain: {{
		"write.go", `return nil, database.Busy(errors.New("the row was inserted again"))`,
		"return nil, ErrNotFound",
	}},
	ownWritesAreStorers: {{
		"write.go", "if err == nil && !stored[s.key] {",
		"if err == nil && !stored[s.key] && false {",
	}},
	ownWritesNeedTheirMarks: {{"store.go", "if deleted < int64(len(marks)) && (", "if deleted < 0 && ("}},
	v1IsAsWritten: {
		{"update.go", "case s.v1 != nil && s.state.bypassed() && !Identical(*s.v1, v1):", "case false:"},
		{"takeover.go", "if Identical(held, wanted) {", "if true {"},
	},
	v1IsTakenOver:     {{"cutover.go", "v2, err := r.derive(held, s)", "v2, err := r.derive(v1, s)"}},
	deleteIsProbed:    {{"write.go", "case bool(found.Kept):", "case false:"}},
	deferredIsSettled: {{"dialect_postgres.go", "\tb.Add(nil, \"SET CONSTRAINTS ALL IMMEDIATE\")\n", ""}},
	ownWritesAreExemptByKey: {
		{"capture_postgres.go", "IF strange IS NOT TRUE THEN", "IF true THEN"},
		{"capture_sqlite.go", "AND i.key IN (%[1]s, ` + sqliteEvery + `))`", ")`"},
	},
	effectsOnOldRowsAreUndone: {{"aftermath.go", "case f.Phase == Contract:", "case false:"}},
	effectsAreFollowed:        {{"aftermath.go", "follow[other] = append(follow[other], effect)", "_ = follow"}},
	staleWriteMarks: {{
		"write.go",
		"if err := r.marks.add(ctx, t, s.key, markChange, 0); err != nil {\n\t\treturn err\n\t}\n",
		"if conversionErr != nil {\n\t\tif err := r.marks.add(ctx, t, s.key, markChange, 0); err != nil {\n\t\t\treturn err\n\t\t}\n\t}\n",
	}},
	unconvertibleWriteMarks: {{
		"write.go",
		"if err := r.marks.add(ctx, t, s.key, markChange, 0); err != nil {\n\t\treturn err\n\t}\n",
		"if conversionErr == nil {\n\t\tif err := r.marks.add(ctx, t, s.key, markChange, 0); err != nil {\n\t\t\treturn err\n\t\t}\n\t}\n",
	}},
	createReadsMarksLater: {
		{
			"cutover.go",
			"stored, err := r.copies.store(ctx, t, []pending{p}, OriginWrite)\n\tif err != nil {\n\t\treturn record, err\n\t}\n\tif !stored[p.key] {\n\t\treturn record, ErrAlreadyExists",
			"early, err := r.see(ctx, t, p.key)\n\tif err != nil {\n\t\treturn record, err\n\t}\n\tstored, err := r.copies.store(ctx, t, []pending{p}, OriginWrite)\n\tif err != nil {\n\t\treturn record, err\n\t}\n\tif !stored[p.key] {\n\t\treturn record, ErrAlreadyExists",
		},
		{
			"cutover.go", "if made && s.state.tombstoned() {",
			"if s.state.marks = nil; early != nil {\n\t\ts.state.marks = early.state.marks\n\t}\n\tif made && s.state.tombstoned() {",
		},
	},
	cutoverRefusesUnconvertible: {{"write.go", "if conversionErr != nil && t.fence.Phase == Cutover {", "if false {"}},
	incompleteIsLedByV1: {{
		"phase.go", "if f.Phase == Contract || f.Phase == Cutover && !f.Incomplete {",
		"if f.Phase == Contract || f.Phase == Cutover {",
	}},
	rowsAreNotForcedIntoContract: {{"gate.go", "return from == Migrate && to == Cutover", "return true"}},
	gateIsAskedUnderLocks: {{
		"control.go",
		"if err := e.survey.changedSince(ctx, t.Session, &found, marksBefore); err != nil {",
		"if err := error(nil); err != nil {",
	}},
	gateLooksForHusks: {{
		"facts.go",
		"if f.from != Migrate && !f.incomplete {\n\t\treturn e.orderFacts(ctx, s, f)",
		"if true {\n\t\treturn e.orderFacts(ctx, s, f)",
	}},
	phaseTakesFence: {{
		"dialect_postgres.go",
		"\tb.Add(nil, \"SELECT true FROM pg_advisory_xact_lock(hashtextextended($1, 0))\", fenceLock(e.tables))\n", "",
	}},
	phaseLocksTables: {{"dialect_postgres.go", "\tb.Add(nil, p.lockV1(e.tables)[0])\n", ""}},
	phasesChangeOneByOne: {{
		"dialect_postgres.go",
		"\tb.Add(nil, \"SELECT true FROM pg_advisory_xact_lock(hashtextextended('coexist/phases', 0))\")\n", "",
	}},
	triggerMarks: {
		{
			"capture_postgres.go",
			"INSERT INTO {marks} (id, key, kind, floor, bypass, tx) SELECT {distinct}coexist.mark_id, r.{key}, 'CHANGE', -1, NOT coexist.ours, coexist.token FROM coexist_new r WHERE r.{key} IS NOT NULL;", "NULL;",
		},
		{
			"capture_sqlite.go", `"BEFORE UPDATE", fmt.Sprintf(sqliteMark, "NEW.{key}", "CHANGE", "")`,
			`"BEFORE UPDATE", fmt.Sprintf(sqliteMark, "NEW.{key}", "CHANGE", "false AND ")`,
		},
	},
	triggerRejects: {
		{
			"capture_postgres.go", "IF capturing AND (found_phase IN ('CUTOVER', 'CONTRACT') OR ahead) THEN",
			"IF false THEN",
		},
		{"capture_sqlite.go", "IN ('CUTOVER', 'CONTRACT') THEN RAISE", "IN ('NONE') THEN RAISE"},
	},
	triggerLocksPhase: {{"capture_postgres.go", "b.name = {entity} FOR SHARE;", "b.name = {entity};"}},
	triggerNeedsBarrier: {{
		"capture_postgres.go", "IF NOT FOUND THEN -- the snapshot is older than the barrier",
		"IF false THEN",
	}},
	referrerGoesFirst: {
		{"facts.go", "other != e.entity && !inContract[other.name] {", "other != e.entity && false {"},
		{"facts.go", "target != e.entity && inContract[target.name] {", "target != e.entity && false {"},
	},
	referencesAreHeld: {{"reference.go", "{key share}", ""}},
	referrersAreCounted: {{
		"reference.go", "if n > 0 {\n\t\t\t\treturn ErrConflict",
		"if n > 0 && false {\n\t\t\t\treturn ErrConflict",
	}},
	restoreStartsUnderFence: {{"start.go", "err = e.fenced(ctx, func", "err = e.write(ctx, opening{}, func"}},
	restoringWritesUpsert: {{
		"cutover.go",
		"return r.v1Rows.insert(ctx, t, reflect.ValueOf(v1))\n\t}\n\t// The row cannot be read",
		"return nil\n\t}\n\t// The row cannot be read",
	}},
	createLocksV1: {{
		"cutover.go", "if e.db.dialect.Lock() == \"\" {\n\t\treturn nil",
		"if true {\n\t\treturn nil",
	}},
	restoreLocksV1: {{
		"restore.go", "if e.db.dialect.Lock() == \"\" {\n\t\treturn held, nil",
		"if true {\n\t\treturn held, nil",
	}},
	restoreNeedsTombstone: {{"restore_order.go", "case !s.state.gone():", "case false:"}},
	backNeedsRestore:      {{"gate.go", "case !f.restored:", "case false:"}},
	storeReleases: {{
		"store.go", "return e.release(ctx, t, released)",
		"return e.release(ctx, t, released[:0])",
	}},
	quarantineIfUnchanged: {{
		"quarantine.go",
		"), 0) = {value.readSeq} AND NOT EXISTS (SELECT 1 FROM {mark} m\n\t\tWHERE m.key = {value.key} AND {value.read_marks} NOT LIKE '%' || CAST(m.id AS text) || '%')",
		"), 0) >= 0",
	}},
	olderMappingStoresNot: {
		{"store.go", " || f.MappingVersion > e.mappingVersion || len(", " || len("},
		{"store.go", " || t.fence.MappingVersion > e.mappingVersion {", " {"},
		{"write.go", "t.fence.migrates() && t.fence.MappingVersion <= e.mappingVersion", "t.fence.migrates()"},
		{"chunk.go", "case t.fence.MappingVersion > e.mappingVersion:", "case false:"},
	},
	mappingIsRaisedUnderFence: {{
		"ddl.go", "stop := e.db.dialect.stopWriters(e.tables, anyOlder)",
		"stop := []string{anyOlder}[:0]",
	}},
	remigrationKeepsRefined: {
		{"sweep.go", ", remigrate && s.copy.Refined && !r.mapping.remigrates():", ", false && r.mapping.remigrates():"},
		{
			"internal_read.go", "case !s.state.hasCopy, s.state.gone(), !s.copy.Refined:",
			"case !s.state.hasCopy, s.state.gone(), !s.copy.Refined, older && !r.mapping.remigrates():",
		},
	},
	commitIsSentOnce: {{"tx.go", "return ErrOutcomeUnknown", "return database.Busy(err)"}},
	versionIsCheckedUnderLock: {{
		"update.go",
		"\tvar v1 V1\n\terr = r.write(ctx, opening{key: &key}, func(ctx context.Context, t *tx) error {\n\t\trecord, v1, err = r.updateV2(",
		"\tvar v1 V1\n\tif expectedVersion != nil {\n\t\tif now, err := r.GetV2(ctx, key); err == nil && now.Version != *expectedVersion {\n\t\t\treturn record, fmt.Errorf(\"%w: the version is %d\", ErrStaleVersion, now.Version)\n" +
			"\t\t} else if err == nil {\n\t\t\texpectedVersion = nil\n\t\t}\n\t}\n\terr = r.write(ctx, opening{key: &key}, func(ctx context.Context, t *tx) error {\n\t\trecord, v1, err = r.updateV2(",
	}},
	flagIsCleared: {{
		"dialect_sqlite.go", "UPDATE coexist_writer SET token = NULL; DELETE FROM coexist_inflight",
		"SELECT 1",
	}},
	gateLooksForOrphans: {{
		"facts.go", "return found, before, e.survey.orphanFacts(ctx, s, &found, exact)",
		"return found, before, nil",
	}},
	seedsAreCounted:   {{"control.go", "seeds != found.seeds ||", "seeds < 0 ||"}},
	sweepReadsOrphans: {{"sweep.go", "c WHERE {orphaned}", "c WHERE false AND {orphaned}"}},
	olderMappingReadsV1: {
		{"read.go", "lead == sideV2 && behind {", "lead == sideV2 && behind && false {"},
		{"read.go", "(wanted == wantBoth || w != wantV1", "(true || wanted == wantBoth || w != wantV1"},
	},
	replacedIsMarked: {{
		"capture_sqlite.go", "IS NOT NEW.{key}{other} AND CASE",
		"IS NOT NEW.{key}{other} AND false AND CASE",
	}},
	insertMarksToo: {{
		"capture_sqlite.go", `"AFTER INSERT", fmt.Sprintf(sqliteMark, "NEW.{key}", "CHANGE", "")`,
		`"AFTER INSERT", fmt.Sprintf(sqliteMark, "NEW.{key}", "CHANGE", "false AND ")`,
	}},
}

// notTakenOut says why a guard is not taken out of the engine. The model takes it out, and a test of the engine needs
// it.
var notTakenOut = map[guard]string{
	lastTombstoneIsKept: "the engine has nothing that purges tombstones",
	readsFollowLocks:    "the locks and the read are statements of their own by the way in which the engine is written",
}

// manyWriters are guards between two who write at once, which SQLite lets nobody do.
var manyWriters = []guard{
	locksMatchPhase, rootIsLocked, childIsLockedNoWait, referencesAreHeld,
	restoreStartsUnderFence, createLocksV1, restoreLocksV1, mappingIsRaisedUnderFence,
}

// tests force the schedule of each guard that is taken out of the engine, and fail without it. They are the engine's,
// but for those that begin with the folder of another package.
var tests = map[guard]string{
	storeIfUnchanged:             "TestAReaderThatStoresLate",
	seqIsNeverReused:             "TestAReaderThatStoresLate",
	winnerOwnsChildren:           "TestAStorerThatComesLateWritesNoChildRows",
	onlyMarksThatWereRead:        "TestAReaderThatStoresLate",
	storerChecksEpoch:            "TestAReaderThatStoresLate",
	childrenGoWithCopy:           "TestNoChildRowOutlivesItsCopy",
	orphansAreMended:             "TestChildRowsThatADeleteByHandHasLeft",
	goneIsNeverMerged:            "TestACopyUnderATombstoneIsNotMerged",
	truncateIsTombstone:          "TestBypassWritesAreSeen",
	truncateCountsInVersion:      "TestWhatIsCreatedAfterTruncateHasAHigherVersion",
	tombstoneKeepsFloor:          "TestVersionNeverFalls",
	marksCountInVersion:          "TestVersionNeverFalls",
	deleteLeavesTombstone:        "TestVersionNeverFalls",
	foldIfUnchanged:              "TestASweepAgainstACreateAfterTruncate",
	foldLocksMarks:               "TestASweepAgainstAStorerOfAnOlderState",
	tombstoneIsAnotherMark:       "TestAStorerOfAnOlderStateThanASweeps",
	foldKeepsFloor:               "TestASweepOfADeletedRowKeepsItsVersion",
	sweepReadsMarks:              "TestMarksLeftAtTheEndAreSwept",
	batchHalves:                  "TestARowThatV2sTableRefuses",
	readSaysItsPhase:             "TestAnInstanceThatLagsBehind",
	writersShareFence:            "TestSetPhaseWaitsForAWriter",
	phaseIsReadAfterFence:        "TestAWriterThatWaitsForAPhaseChange",
	locksMatchPhase:              "TestAnInstanceThatLagsBehindLocksTheRightRow",
	rootIsLocked:                 "TestTwoWritersOfARow",
	childIsLockedNoWait:          "TestOwnWriteAgainstAProgramThatLocksChildrenFirst",
	notFoundIsReadAgain:          "TestAWriteThatWaitedForARowThatWasReplaced",
	ownWritesAreStorers:          "TestACreateAgainstASweepAfterTruncate",
	ownWritesNeedTheirMarks:      "TestACreateThatHasReadWhatASweepFolds",
	v1IsAsWritten:                "TestAChildRowThatComesDuringAWrite",
	v1IsTakenOver:                "TestAColumnThatV1SetsItself",
	deleteIsProbed:               "TestADeleteThatV1Withholds",
	deferredIsSettled:            "TestATriggerThatIsDeferred",
	ownWritesAreExemptByKey:      "TestSideEffectsOnOtherRows",
	effectsAreFollowed:           "TestSideEffectsOnOtherRows",
	effectsOnOldRowsAreUndone:    "TestATriggerOnARowThatIsNotRestoredYet",
	staleWriteMarks:              "TestWriteInExpandMakesTheCopyStale",
	unconvertibleWriteMarks:      "TestV1WriteThatCannotBeConverted",
	createReadsMarksLater:        "TestACreateThatWaitedForADelete",
	cutoverRefusesUnconvertible:  "TestIncompleteCutover",
	incompleteIsLedByV1:          "TestIncompleteCutover",
	rowsAreNotForcedIntoContract: "TestIncompleteCutover",
	gateIsAskedUnderLocks:        "TestBypassWriteBetweenTheCountAndTheLocks",
	gateLooksForHusks:            "TestADeletedRowClosesTheGateToCutover",
	phaseTakesFence:              "TestSetPhaseWaitsForAWriter",
	phaseLocksTables:             "TestABypassTransactionInFlightAcrossCutover",
	phasesChangeOneByOne:         "TestTwoPhasesThatChangeAtOnce",
	triggerMarks:                 "TestBypassWritesAreSeen",
	triggerRejects:               "TestBypassWritesAreRejectedWhereV2Leads",
	triggerLocksPhase:            "TestABypassTransactionThatWritesAfterCutover",
	triggerNeedsBarrier:          "TestASnapshotFromBeforeTheInstallation",
	referrerGoesFirst:            "TestOrderOfPhasesBetweenEntities",
	referencesAreHeld:            "TestAReferrerAgainstADelete",
	referrersAreCounted:          "TestReferencesInContract",
	restoreStartsUnderFence:      "TestACreateInFlightWhereARestoreStarts",
	restoringWritesUpsert:        "TestAWriteMakesTheV1RowThatARestoreHasNotMade",
	createLocksV1:                "TestACreateAgainstARestore",
	restoreLocksV1:               "TestARestoreAgainstACreate",
	restoreNeedsTombstone:        "TestRestoreFindings",
	backNeedsRestore:             "TestACancelledRestoreIsVoid",
	quarantineIfUnchanged:        "TestALateFailureIsNotListed",
	storeReleases:                "TestARowThatWasConvertedHasLeftQuarantine",
	olderMappingStoresNot:        "TestInstanceWithAnOlderMapping",
	mappingIsRaisedUnderFence:    "TestAMappingIsRaisedWhenNoWriterIsInFlight",
	remigrationKeepsRefined:      "TestMappingVersions",
	commitIsSentOnce:             "resolvers/TestCommitWithoutAnAnswer",
	versionIsCheckedUnderLock:    "TestTwoWhoExpectTheSameVersion",
	flagIsCleared:                "TestBypassWritesAreSeen",
	insertMarksToo:               "TestBypassWritesAreSeen",
	gateLooksForOrphans:          "TestAnOrphanOfAGapClosesTheGateToCutover",
	seedsAreCounted:              "TestSeedingBetweenTheCountAndTheLocks",
	sweepReadsOrphans:            "TestAnOrphanOfAGap",
	olderMappingReadsV1:          "TestV1FromAnInstanceWithAnOlderMapping",
	replacedIsMarked:             "TestRowsThatReplaceRemoves",
}
