// Command model explores the protocol by which repo keeps two shapes of a row in step, in every order in which its
// statements can run. `make model` runs it.
//
// # What it is for
//
// A test of a race forces one schedule that somebody has thought of. This program forces all of them, on a world that
// is small enough: two keys, up to three actors with up to four operations each, rows with a handful of values. In each
// world that can be reached, by any order of statements and with any transaction lost at any point, it checks what must
// always hold. Then it takes out one guard of the protocol after the other, and says what breaks first. A guard that
// nothing misses is either not needed or not tested: that fails too.
//
//	go run ./proof/model                              everything
//	go run ./proof/model -family quarantine           some scenarios, with all guards
//	go run ./proof/model -without gateLooksForHusks   the shortest way in which the lack of a guard shows
//	go run ./proof/model -engine                      each guard taken out of the engine itself, and its test run, which must fail
//
// # How it works
//
// A [world] (state.go) is the committed database, and of each actor its place in its program, what it has read, and
// what its transaction has written and locked. A program (operations.go) is a list of steps, each one statement. A step
// sees what is committed and its own transaction's writes, as a READ COMMITTED statement does; where a row that it
// wants is locked it waits, and then looks at that row as it is by now, which may be gone (locks.go). [model.explore]
// goes through the worlds breadth first, so that the first violation is one with the fewest steps. Beside each
// statement stands the loss of its transaction: a kill -9, a lost connection and a lock timeout look alike. When all
// actors have ended, a whole sweep runs alone, and what it must leave behind is checked.
//
// With each write that other people will see goes what it means: key 0 is absent now, its value is 1 now (effect). What
// was meant is kept beside the database, and must be what the leading shape says after each COMMIT. A read may answer
// what was current at some moment while it ran. That makes the history of each key linearizable.
//
// V1 is a root row with a value and perhaps a child row. V2 is a copy of both with facts that V1 cannot express. One
// value cannot be converted, one is refused by V2's tables in some scenarios. With references the second key is an
// order of the first, a customer, and each has its own phase. Other programs run scripts of SQL at READ COMMITTED and
// at REPEATABLE READ. In SQLite whoever writes has the database.
//
// # What must hold
//
// A fresh copy equals V1; nothing that V2 alone knows is lost; an answer was current; a version grows with each change
// and never falls; no write commits under a phase that is no longer in force; both shapes agree in a complete CUTOVER;
// from CUTOVER on V2 holds every write; a write is not refused for what V1 happens to hold; no reference dangles; a
// whole sweep leaves nothing open; quarantine lists what cannot be converted, and no row for what it was before it
// changed; no copy is stored by an instance with an older mapping; a request is done once, whatever becomes of the
// answer to its COMMIT; a restore deletes what was deleted; no other program is in a dead-lock with us. They are in
// check.go.
//
// # Which step is which statement
//
// Whoever changes a statement of the engine changes its step; who adds a guard adds it to guards.go and guardlist.go,
// and looks at how it is missed. Each guard names its file and function.
//
//	step                                    engine
//	readAnswer                              read.go readLeading, readStatement (statement.go); internal_read.go internalRead
//	look, sight                             mark.go state; answer.go decode
//	convert                                 internal_read.go convert; conversion.go prove
//	lazyBegin                               store.go storeLazily; dialect_*.go begin, lazy
//	insertCopies, updateCopies              store.go copies.insert, copies.update
//	finish, quarantine                      store.go finishStore; quarantine.go quarantine; tx.go COMMIT
//	begin, lockLead, lockV1, lockChild      dialect_*.go begin; entity.go locks, locked
//	change                                  update.go updateV1, updateV2; write.go readLocked, v1Rows.apply; cutover.go updateV1WhenV2Leads, updateV2WhenV2Leads
//	followSee, followPut, leaveStale        write.go refreshCopy, put, leaveStale; update.go putV2
//	writeBack                               cutover.go writeBack, bringUpV1
//	mustBeFree, insertRoot                  create.go mustBeFree, CreateV1, CreateV2
//	insertSeed, commitSeed                  seeding.go seed
//	holdReference                           reference.go holdReferences, hold
//	insertLead, lockLeftover, readMarks     cutover.go insertWhenV2Leads
//	deleteRows, deleteCopy, commitDelete    write.go Delete, deleteBoth; reference.go referred
//	prepareRange, prepareMarks, sort        sweep.go prepareSweep, markedKeys, sort
//	batchBegin, nextBatch, refuse           chunk.go mayWork, commitBatch; work.go workOnChunk
//	foldVanished, foldMarks                 sweep.go fold, marks.lock
//	countAll, countRows                     facts.go facts, rowFacts; gate.go mayPass
//	fencePhase, lockTables                  dialect_*.go changePhase
//	setPhase, changedSince, commitPhase     control.go setPhase; facts.go changedSince, cheapFacts, orderFacts
//	raiseMapping                            ddl.go installMapping
//	startRestore                            start.go start
//	lookRestore                             restore.go prepareRestore
//	lockCopies … applyRestore               restore.go applyRestore, lockForRestore, restore
//	bypass, trigger                         capture_postgres.go captureBody; capture_sqlite.go sqliteTriggers
//	ownerNow, ownerLate, followEffect       V1's owner's; deferred_postgres.go afterDeferred; aftermath.go reconcileEffects, refreshCopies
//	undoEffect                              restore_besides.go restoreV1
//
// # What it leaves out
//
// Leases, tokens, cursors and counters of runs; the foreign keys of V2's child tables; capture switched off and on;
// rehearsals and verifications, which read in one statement what is checked here after each COMMIT, and repair as a
// sweep or a restore does; a mapping with Remigrate; what triggers of V1's owner do besides changing, keeping or
// deleting the row or one other; rows added by InsertV1 where something has migrated; lists with filters and orders; a
// change of what an order refers to; a failover that loses commits; time: a lock timeout can come at once, and a write
// gives up after two more tries. Other programs do not delete the customers of orders in CONTRACT: nothing in V1 would
// tell them, so that is for the operator to know.
package main
