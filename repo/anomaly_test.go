package repo_test

import (
	"database/sql"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// The anomalies that must never be seen, the tests that force their schedules, and the guards without which
// they fail. Each guard was taken out once and its test seen to fail, on each database that has it.
//
//	 1 lost update                 TestAReaderThatStoresLate        store.go: ON CONFLICT DO NOTHING in copies.insert, AND seq = read in copies.update
//	                               TestASequenceThatIsSetBack       dialect_postgres.go: a random seq in begin
//	                               TestAStandbyIsNotBelieved        phase.go: Standby in check; dialect_postgres.go: ValidateConnect
//	 2 resurrection                TestAReaderThatStoresLate        write.go: the tombstone in deleteBoth
//	                               TestAStorerOfAnOlderStateThanASweeps
//	                                                                sweep.go: marks.add in fold
//	                               TestAnOrphanThatIsStoredBetweenTheCountAndTheLocks
//	                                                                store.go: AllMarks in storeLazily
//	 3 lost V2-only information    TestAReaderThatStoresLate        store.go: seq; mark.go: gone
//	 4 torn aggregate              TestNoTornAggregate              statement.go: one statement; store.go: children of those stored only
//	                               TestNoChildRowOutlivesItsCopy, TestChildRowsThatADeleteByHandHasLeft
//	                                                                child_rows.go: remove, replaceChildren
//	 5 half a dual write           TestHalfADualWrite               tx.go: one transaction
//	   a phase no longer in force  TestSetPhaseWaitsForAWriter      dialect_postgres.go: the shared lock in begin
//	                               TestAnInstanceThatLagsBehind     read.go: f.leader() == lead in readLeading
//	 6 two conversions             TestTwoReadersOfOneRow           store.go: ON CONFLICT DO NOTHING
//	 7 stuck                       TestAPhaseChangeWhoseHolderDied  dialect_postgres.go: transaction-level locks
//	                               TestSweepGoesOnAfterItsProcessDied, TestARestoreGoesOnAfterItsProcessDied, TestAVerificationGoesOnAfterItsProcessDied
//	                                                                chunk.go: leased_until in claim, which expires
//	                               TestAChunkInWorkIsLeftAlone      chunk.go: leased_until in claim, which is asked for
//	                               TestASlowHolderCannotCommit      chunk.go: the token in mayWork
//	 8 forgotten red               TestARedVerificationStaysRed     facts.go: Red against Clean in runFacts
//	 9 overlap with a bypass       TestABypassTransactionThatOverlapsAStorer, TestAReaderAcrossAGapInTheCapture
//	                                                                capture_*.go: the marks; capture.go: gap; store.go: only marks that were read are deleted
//	                               TestGapsInTheCapture             capture.go: Kept in capture.check; capture_*.go: fingerprint
//	                               TestAGapIsFoundByWork            run.go: capture.check in Work
//	                               TestAGapBeforeTheLocksOfAStep    control.go: errCaptureGap
//	10 bypass across a phase       TestABypassTransactionInFlightAcrossCutover, TestBypassWriteBetweenTheCountAndTheLocks
//	                                                                dialect_postgres.go: LOCK TABLE in changePhase; control.go: changedSince in setPhase
//	                               TestABypassTransactionThatWritesAfterCutover
//	                                                                capture_postgres.go: FOR SHARE
//	11 an old program suffers      TestOwnWriteAgainstAProgramThatLocksChildrenFirst, TestAnOldProgramDoesNotWaitForAnOwnWriter
//	                                                                entity.go: NOWAIT in locks
//	                               TestInstallDoesNotStopOldPrograms
//	                                                                capture.go: waitFor in capture.mend
//	                               TestPhaseChangeBesideAnAutovacuum
//	                                                                fenced.go: vacuumWait
//	                               TestBypassWritesAreSeen          capture_postgres.go: SECURITY DEFINER
//	   hidden rows                 TestHiddenRowsBlockEachStep      facts.go: hiddenTables
//	   dangling references         TestAReferrerAgainstADelete      cutover.go: keyShare in hold, referred

// A process that dies within a phase change leaves nothing behind: its locks are its transaction's (begin and
// changePhase use pg_advisory_xact_lock). The phase is as it was, and the next change and the next writer wait for
// nobody.
func TestAPhaseChangeWhoseHolderDied(t *testing.T) {
	t.Parallel()
	b := repotest.OpenNotes(t, repotest.Postgres(t), repotest.Setup{Phase: repo.Migrate})
	raw := repotest.Raw(t, b.URL)
	insert(t, b, note("a", "work: begin"))
	b.Before(`"coexist_entity" SET phase`, func() {
		if n := repotest.One[int64](t, raw,
			"SELECT count(*) FROM pg_locks l, pg_terminate_backend(l.pid) WHERE l.locktype = 'advisory' AND l.mode = 'ExclusiveLock' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"); n == 0 {
			t.Error("nobody holds the fence")
		}
	})
	wantErr(t, force(t, b, "NOTE", repo.Cutover), repo.ErrUnavailable)
	if m, err := b.Control.Migration(t.Context(), "NOTE"); err != nil || m.Phase != repo.Migrate {
		t.Errorf("%+v, %v", m, err)
	}
	updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Title = "play: on" })
	if err := force(t, b, "NOTE", repo.Cutover); err != nil {
		t.Error(err)
	}
	agree(t, b, "a")
}

// A verification whose process died is taken over with its findings, and counts nothing twice.
func TestAVerificationGoesOnAfterItsProcessDied(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, rows(150)...)
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		repotest.Exec(t, repotest.Raw(t, b.URL), "UPDATE notes_v2 SET headline = 'wrong' WHERE id IN ('k010', 'k140')")
		inFlight := b.PauseConversion("k120")
		run, err := b.Control.StartVerification(t.Context(), repo.VerificationRequest{Entity: "NOTE", Actor: "test"})
		if err != nil {
			t.Fatal(err)
		}
		stop := work(t, b)
		inHand(t, b, inFlight, run, 100)
		b.Close()
		inFlight.Release()
		stop()
		// time passes
		repotest.Exec(t, repotest.Raw(t, b.URL), "UPDATE coexist_chunk SET leased_until = '1970-01-01T00:00:00.000Z'")
		other := repotest.OpenNotes(t, b.URL, repotest.Setup{})
		work(t, other)
		run = ended(t, other, run)
		wantFound(t, other, run, 0, 2, "k010 DIFFERENT title", "k140 DIFFERENT title")
		if run.Done != 150 || other.Conversions("k050") > 0 {
			t.Errorf("%+v", run)
		}
	})
}

// The database dies under writers and a phase change: after it is back every write that was acknowledged is there, in
// both shapes, and what was not acknowledged is there in both or in none.
func TestTheDatabaseDiesUnderWritersAndAPhaseChange(t *testing.T) {
	t.Parallel()
	cluster := repotest.StartCluster(t)
	b := repotest.OpenNotes(t, cluster.Database(t), repotest.Setup{Phase: repo.Migrate})
	insert(t, b, note("a", ""), note("b", "b"))
	updateV2(t, b, "a", pin)
	acknowledged := 0
	killed := make(chan struct{})
	b.Before(`"coexist_entity" SET phase`, func() { cluster.Kill(); close(killed) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if err := errOf(b.Notes.UpdateV1(t.Context(), "a",
				func(n *repotest.NoteV1) error { n.Title += "x"; return nil })); err != nil {
				return
			}
			acknowledged++
		}
	}()
	repotest.Until(t, "something is written", func() bool { return len(getV1(t, b, "a").Title) > 2 })
	wantErr(t, force(t, b, "NOTE", repo.Cutover), repo.ErrUnavailable)
	<-killed
	<-done
	cluster.Restart()
	repotest.Until(t, "the database is back", func() bool { return b.DB.Ping(t.Context()) == nil })
	r := agree(t, b, "a")
	wantPinned(t, r.Value)
	if n := strings.Count(r.Value.Headline, "x"); n < acknowledged || n > acknowledged+1 {
		t.Errorf("%d updates were acknowledged, the note has %d", acknowledged, n)
	}
	if m, err := b.Control.Migration(t.Context(), "NOTE"); err != nil || m.Phase != repo.Migrate {
		t.Errorf("%+v, %v", m, err)
	}
	advance(t, b, repo.Cutover)
	agree(t, b, "a")
}

// A crash or a failover of the database takes back what nobody waited for on the disk: lazy stores, and the newest
// values of its sequence. A storer that has read before must not take another copy for the one that it has read. The
// guard is that seq is drawn at random.
func TestASequenceThatIsSetBack(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		raw := repotest.Raw(t, url)
		insert(t, b, note("a", "work: begin"))
		agree(t, b, "a")
		repotest.Exec(t, raw, "UPDATE notes SET title = 'work: middle'")
		pause := b.PauseConversion("a")
		var reading sync.WaitGroup
		reading.Go(func() {
			if err := errOf(b.Notes.GetV2(t.Context(), "a")); err != nil {
				t.Errorf("the reader fails: %v", err)
			}
		})
		pause.Wait()
		repotest.Exec(t, raw, "SELECT setval('coexist_seq', coexist_seq, false) FROM notes_v2 WHERE id = 'a'",
			"UPDATE notes SET title = 'work: end'")
		repotest.Until(t, "the copy is stored again", func() bool { return agree(t, b, "a").Copy.Stored })
		pause.Release()
		reading.Wait()
		if r := agree(t, b, "a"); r.Value.Headline != "end" {
			t.Errorf("the reader stores what is no longer so: %+v", r)
		}
	})
}

// D12. A replica answers, which may lag behind what was acknowledged: as a new connection, and to one that a pooler
// leads there. Nothing is answered with what it says.
func TestAStandbyIsNotBelieved(t *testing.T) {
	for _, isolation := range []string{"read committed", "serializable"} { // which a standby refuses
		t.Run(isolation+" by default", func(t *testing.T) { standbyIsNotBelieved(t, isolation) })
	}
}

func standbyIsNotBelieved(t *testing.T, isolation string) {
	t.Helper()
	cluster := repotest.StartCluster(t)
	url := cluster.Database(t)
	raw := repotest.Raw(t, url)
	repotest.Exec(t, raw,
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = %L', current_database(), '"+
			isolation+"'); END $$")
	direct := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
	pooled := repotest.OpenNotes(t, repotest.Pooler(t, url), repotest.Setup{Config: repo.Config{Pooler: true}})
	insert(t, direct, note("a", "work: begin"))
	agree(t, direct, "a")
	agree(t, pooled, "a")
	cluster.Standby()
	defer cluster.Kill()
	repotest.Until(t, "the standby answers", func() bool { return raw.Ping() == nil })
	old, err := raw.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Rollback() //nolint:errcheck // it only reads
	var title string
	if err := old.QueryRow("SELECT title FROM notes WHERE id = 'a'").Scan(&title); err != nil ||
		title != "work: begin" {
		t.Errorf("the standby says %q, %v", title, err)
	}
	// no connection to it is kept
	if _, err := direct.Control.Runs(t.Context(), "NOTE", "", 1); !errors.Is(err, repo.ErrUnavailable) {
		t.Errorf("runs: %v", err)
	}
	for name, b := range map[string]*repotest.Bench{"direct": direct, "pooled": pooled} {
		_, listed := b.Notes.ListV1(t.Context(), repo.Query{})
		_, phase := b.Control.Migration(t.Context(), "NOTE")
		for what, err := range map[string]error{
			"a read of V1": errOf(b.Notes.GetV1(t.Context(), "a")),
			"a read of V2": errOf(b.Notes.GetV2(t.Context(), "a")), "a list": listed, "the phase": phase,
			"a gate": errOf(b.Control.Gate(t.Context(), "NOTE", repo.Cutover)), "a step": setPhase(t, b, repo.Cutover),
			"progress":   errOf(b.Control.Progress(t.Context(), "NOTE", true)),
			"capture":    errOf(b.Control.Capture(t.Context(), "NOTE")),
			"runs":       errOf(b.Control.Runs(t.Context(), "NOTE", "", 1)),
			"findings":   errOf(b.Control.Findings(t.Context(), 1, 1, "")),
			"quarantine": errOf(b.Control.Quarantine(t.Context(), "NOTE", 1, "")),
			"history":    errOf(b.Control.History(t.Context(), "NOTE", 1)), "a start": b.DB.Check(t.Context()),
			"an installation": b.DB.Install(t.Context()),
			"a sweep": errOf(b.Control.StartSweep(t.Context(),
				repo.SweepRequest{Entity: "NOTE", Actor: "test"})),
			"a write": errOf(b.Notes.UpdateV1(t.Context(), "a",
				func(n *repotest.NoteV1) error { n.Title = "x"; return nil })),
		} {
			if !errors.Is(err, repo.ErrUnavailable) || errors.Is(err, repo.ErrAltered) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
}
