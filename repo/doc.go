// Package repo changes a table's shape drastically while the system stays up. It serves the old shape of an entity, V1,
// and the new shape, V2, side by side, with reads, writes and lists through either. Rows move to V2 with use, and a
// sweep moves the rows that nobody uses.
//
// # What you bring
//
// You bring your V1 tables as they are, a struct for each shape, and one [Mapping] between them:
//
//	db, err := repo.Open(ctx, "postgres://…", repo.Config{})
//	customers, err := repo.New(db, repo.Definition[CustomerV1, CustomerV2]{Name: "CUSTOMER", Mapping: CustomerMapping{}})
//	err = db.Install(ctx) // creates V2's tables and the engine's own; V1 is never altered
//	err = db.Check(ctx)   // all is there
//	go repo.NewControl(db).Work(ctx)
//
// A model's gorm tags name its columns, and its json tags name them in errors. The key of a root table is one field, a
// string or a signed integer, tagged gorm:"primaryKey". Child rows are a slice that gorm ignores, tagged gorm:"-"
// repo:"table:NAME". They belong to the aggregate, and come and go with it. Their table refers to the root in a column
// named like the root's key (repo:"table:NAME;key:COLUMN" for another name). The child's struct leaves this column out.
// A V1 child row has the tag gorm:"primaryKey" on the fields that tell the rows of one parent apart. A V2 child row is
// identified by its position in the slice. Models are read and written as JSON, or as if they were. A field's type may
// define its form with MarshalJSON and UnmarshalJSON. It should fail on input that it does not understand rather than
// guess.
//
// # Phases
//
// The database keeps the phase of an entity, and every instance obeys it. [Control.SetPhase] changes it.
//
//	              EXPAND                      MIGRATE                   CUTOVER                   CONTRACT
//	truth         V1                          V1                        V2                        V2
//	V1 read       V1                          V1                        V2, converted back        V2, converted back
//	V2 read       internal read, no store     internal read             V2                        V2
//	lists         V1                          V1                        V2                        V2
//	V1 write      V1; a copy turns stale      V1 and V2, one trans.     V2 and V1, one trans.     V2
//	V2 write      refused: ErrV2NotOpen       V1 and V2, one trans.     V2 and V1, one trans.     V2
//	other prog.   captured                    captured                  rejected                  rejected
//	going back                                any time                  any time                  after a restore
//
// A step forward passes a gate ([Control.Gate], gate.go), which lists blockers, each with a count, an example and what
// to do. The decision is a pure function of facts. The facts are gathered before the change takes its locks, and
// checked again under them. Force, with a reason, passes blockers that are only warnings. On the way into CUTOVER, it
// also passes rows that V2 lacks. CUTOVER is then incomplete: V1 continues to lead as in MIGRATE, until CUTOVER is
// requested again with its gate open. Entities that refer to each other enter and leave CONTRACT in order.
//
// # The internal read
//
// Everything that wants V2 goes through one read (internalRead in internal_read.go):
//
//  1. Read the copy. If it is fresh, return it.
//  2. Read V1. If V1 has no such row, the entity does not exist.
//  3. Convert. If a V2-shaped write has refined the copy, Merge keeps what V1 cannot express. Otherwise, Upgrade.
//  4. Prove the conversion: Downgrade of it must be the V1 row, byte for byte. Otherwise the row goes to quarantine.
//  5. Store the copy, with its provenance.
//  6. Return it.
//
// Steps 1 and 2 are one statement, so they see one moment. Steps 2 to 5 are removed when coexistence ends.
//
// # What keeps it right
//
// Marks (mark.go). A copy is fresh if it exists and no mark for its key is visible in the statement that reads it. A
// mark is a line in an append-only log that says "V1 of this key changed without its copy". A delete leaves a
// tombstone, which keeps the version floor. So a storer that read the entity before the delete cannot bring it back. A
// mark for all keys at once stands for a TRUNCATE or for a gap in the capture.
//
// Storers (store.go). A storer writes a copy only if it is still what the storer read: absent, or with the same seq, a
// number that is never used twice. The loser reads again. Writing a copy deletes exactly the marks that were read with
// V1.
//
// The fence (tx.go). A writer holds a shared lock under which the phase cannot change, and reads the phase after it has
// the lock. Every read statement also returns the phase that it was made under. A phase change takes the fence
// exclusively, and locks the V1 tables against writers of other programs.
//
// V1's owner (aftermath.go). After our write, the same transaction reads what V1 holds. Where V1 leads, that is the
// truth. Where V2 leads, what V1 does not keep is an error, and V2 follows whatever else our write has changed.
//
// Own writes (write.go) lock the leading root row first, and V1's parent row before its child rows. They never wait for
// the lock of a child row while they hold its parent. Any other wait while they hold rows is shorter than PostgreSQL's
// deadlock_timeout, so that no old program becomes the victim of a dead-lock. Readers and the sweep lock no V1 row.
//
// # Capture
//
// Triggers on the V1 tables append a mark for each change that does not come from this engine (capture.go). They also
// append a mark for each other row that a write of ours changes through a trigger or a foreign key of V1's owner. The
// triggers touch no copy and take no lock that anybody waits for. In CUTOVER and CONTRACT, they reject other programs'
// changes. Switching capture off and on again makes every copy stale ([Control.SetCapture]).
//
// # Runs
//
// A run is work on all rows of an entity. An entity has at most one active run of each kind. A sweep migrates the rows
// that use did not. A rehearsal converts and proves every row, and stores nothing. A verification compares both sides,
// and repairs if asked. A restore rebuilds V1 for going back from CONTRACT, while writes continue; from its start, they
// go to both shapes again. [Control.Work] does the work, in any number of processes. A batch is one transaction, which
// also commits checkpoint and counters. A lease with a token locks out a slow worker (chunk.go). A verification with
// faults is red, repaired or not, and its faults block the gate until a newer verification has found nothing.
//
// # Where to begin
//
// Begin with internal_read.go: every read, write, run and repair that needs V2 takes a conversion from there. store.go
// writes the conversion, mark.go says when a copy is fresh, and tx.go opens the transactions. phase.go describes the
// phases, and gate.go decides which steps between them are open. Two packages below do not know the protocol:
// internal/shape represents structs as tables, and internal/database speaks SQL to both databases.
package repo
