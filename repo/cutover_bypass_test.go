package repo_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// Another program's transaction that is in flight across the phase change, anomaly 10. The guard is LOCK TABLE in
// changePhase: without it V1 changes after V2 has become the truth, and nobody knows.
func TestABypassTransactionInFlightAcrossCutover(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		raw := repotest.Raw(t, url)
		insert(t, b, note("a", "work: begin"), note("b", "b"))
		for i, isolation := range isolations(url) {
			clean(t, b, sweep(t, b, repo.SweepRequest{}))
			clean(t, b, verify(t, b, false))
			late, err := raw.Begin()
			if err != nil {
				t.Fatal(err)
			}
			if isolation != "" {
				repotest.Exec(t, late, "SET TRANSACTION ISOLATION LEVEL "+isolation)
			}
			title := fmt.Sprint("late ", i)
			repotest.Exec(t, late, "UPDATE notes SET title = '"+title+"' WHERE id = 'a'")
			b.Forget()
			set := make(chan error, 1)
			go func() {
				_, err := b.Control.SetPhase(t.Context(), repo.PhaseRequest{
					Entity: "NOTE",
					To:     repo.Cutover, Actor: "test",
				})
				set <- err
			}()
			repotest.Until(t, "the phase change has met the transaction", func() bool {
				if strings.HasPrefix(url, "sqlite") {
					return slices.Contains(b.Sent(), "BEGIN IMMEDIATE")
				}
				return slices.Contains(b.Sent(), "ROLLBACK") || len(set) > 0
			})
			if m, err := b.Control.Migration(t.Context(), "NOTE"); err != nil || m.Phase != repo.Migrate {
				t.Fatalf("%s: %+v, %v: the phase has changed over a transaction in flight", isolation, m, err)
			}
			if err := late.Commit(); err != nil {
				t.Fatalf("%s: the other program fails: %v", isolation, err)
			}
			if refusal, ok := errors.AsType[*repo.GateClosedError](<-set); !ok ||
				!strings.Contains(codes(refusal.Blockers), "BYPASS_WRITES") {
				t.Errorf("%s: %v", isolation, refusal)
			}
			if r := agree(t, b, "a"); r.Value.Headline != title {
				t.Errorf("%s: the late write is lost: %+v", isolation, r)
			}
		}
	})
}

// A transaction that began before the phase change and writes to V1 only afterwards fails, loudly, at every isolation
// level. The guard at REPEATABLE READ and above is FOR SHARE in the trigger: without it the trigger looks at the phase
// as it was.
func TestABypassTransactionThatWritesAfterCutover(t *testing.T) {
	t.Parallel()
	for _, isolation := range isolations("postgres") {
		t.Run(isolation, func(t *testing.T) {
			b := repotest.OpenNotes(t, repotest.Postgres(t), repotest.Setup{Phase: repo.Migrate})
			raw := repotest.Raw(t, b.URL)
			insert(t, b, note("a", "work: begin"))
			begin := func() *sql.Tx {
				late, err := raw.Begin()
				if err != nil {
					t.Fatal(err)
				}
				repotest.Exec(t, late, "SET TRANSACTION ISOLATION LEVEL "+isolation, "SELECT count(*) FROM notes")
				return late
			}
			forth := begin()
			advance(t, b, repo.Cutover)
			_, err := forth.Exec("UPDATE notes SET title = 'late' WHERE id = 'a'")
			if err == nil || isolation == "READ COMMITTED" && !strings.Contains(err.Error(), "no longer the truth") ||
				isolation != "READ COMMITTED" && !strings.Contains(err.Error(), "40001") {
				t.Errorf("the late write: %v", err)
			}
			_ = forth.Rollback() // it has failed
			if r := agree(t, b, "a"); r.Value.Headline != "begin" {
				t.Errorf("%+v", r)
			}
			// And back: what was begun in CUTOVER is marked, or fails.
			back := begin()
			step(t, b, repo.Migrate)
			_, err = back.Exec("UPDATE notes SET title = 'later' WHERE id = 'a'")
			if err == nil {
				err = back.Commit()
			}
			if (err == nil) != (isolation == "READ COMMITTED") {
				t.Errorf("the write after the way back: %v", err)
			}
			_ = back.Rollback() // it has failed or is committed
			agree(t, b, "a")
		})
	}
}

// A transaction that does not end blocks the phase change, which names it and changes nothing, and in the meantime lets
// others write.
func TestSetPhaseNamesWhoBlocksIt(t *testing.T) {
	t.Parallel()
	b := repotest.OpenNotes(t, repotest.Postgres(t), repotest.Setup{
		Phase:  repo.Migrate,
		Config: repo.Config{PhasePatience: 2 * time.Second},
	})
	raw := repotest.Raw(t, b.URL)
	insert(t, b, note("a", "work: begin"), note("b", "b"))
	open, err := raw.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer open.Rollback() //nolint:errcheck // the test is over
	repotest.Exec(t, open, "SET LOCAL application_name = 'payroll'", "UPDATE notes SET title = 'open' WHERE id = 'a'")
	var pid int
	if err := open.QueryRow("SELECT pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	set := make(chan error, 1)
	go func() { set <- force(t, b, "NOTE", repo.Cutover) }()
	repotest.Until(t, "the phase change has tried", func() bool { return slices.Contains(b.Sent(), "ROLLBACK") })
	updateV1(t, b, "b", func(n *repotest.NoteV1) { n.Title = "not kept waiting" })
	if err := past(raw, "", "SET LOCAL lock_timeout = '2s'",
		"UPDATE notes SET priority = 4 WHERE id = 'b'"); err != nil {
		t.Errorf("another program: %v", err)
	}
	err = <-set
	blocked, ok := errors.AsType[*repo.BlockedError](err)
	// a role that is no superuser does not see what another's session does
	seesOthers := repotest.Pinned(b.URL) == b.URL
	if !ok || !errors.Is(err, repo.ErrUnavailable) || len(blocked.By) != 1 || blocked.By[0].PID != pid ||
		blocked.By[0].Application != "payroll" || !seesOthers && blocked.By[0].Since != nil || seesOthers &&
		(blocked.By[0].State != "idle in transaction" || blocked.By[0].Since.IsZero()) ||
		!strings.Contains(err.Error(), "payroll") {
		t.Errorf("SetPhase says %v", err)
	}
	if m, err := b.Control.Migration(t.Context(), "NOTE"); err != nil || m.Phase != repo.Migrate {
		t.Errorf("%+v, %v", m, err)
	}
}

// Another program's transaction overlaps a storer's, anomaly 9: the copy that is stored of the V1 row as it was before
// must not count as fresh once the other program has committed. The guard is the mark: it needs not see the copy.
func TestABypassTransactionThatOverlapsAStorer(t *testing.T) {
	t.Parallel()
	writes := map[string]string{
		"root":   "UPDATE notes SET title = 'play: on' WHERE id = 'a'",
		"child":  "INSERT INTO note_tags (note_id, rank, name) VALUES ('a', 9, 'late')",
		"delete": "DELETE FROM notes WHERE id = 'a'",
	}
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			repotest.Each(t, func(t *testing.T, url string) {
				for _, isolation := range isolations(url) {
					for _, snapshotFirst := range []bool{false, true} {
						for _, stale := range []bool{false, true} {
							b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
							raw := repotest.Raw(t, url)
							if _, err := b.Notes.GetV1(t.Context(), "a"); err == nil {
								deleteNote(t, b, "a")
							}
							b.SetPhase(repo.Expand)
							if _, err := b.Notes.CreateV1(t.Context(),
								repotest.NoteV1{ID: "a", Title: "work: begin"}); err != nil {
								t.Fatal(err)
							}
							b.SetPhase(repo.Migrate)
							if stale {
								updateV2(t, b, "a", pin)
								repotest.Exec(t, raw, "UPDATE notes SET priority = 5 WHERE id = 'a'")
							}
							other, err := raw.Begin()
							if err != nil {
								t.Fatal(err)
							}
							if isolation != "" {
								repotest.Exec(t, other, "SET TRANSACTION ISOLATION LEVEL "+isolation)
							}
							if snapshotFirst { // older than the copy
								repotest.Exec(t, other, "SELECT count(*) FROM notes")
								if isolation != "" {
									getV2(t, b, "a")
								}
							}
							repotest.Exec(t, other, write)
							getV2(t, b, "a") // stores what V1 still is for us
							if err := other.Commit(); err != nil {
								t.Fatal(err)
							}
							when := fmt.Sprintf("%s, snapshot first: %v, stale: %v", isolation, snapshotFirst, stale)
							if name == "delete" {
								if _, err := b.Notes.GetV2(t.Context(), "a"); !errors.Is(err, repo.ErrNotFound) {
									t.Fatalf("%s: a deleted note is still read: %v", when, err)
								}
								continue
							}
							r := agree(t, b, "a")
							if stale {
								wantPinned(t, r.Value)
							}
							if t.Failed() {
								t.Fatal(when)
							}
						}
					}
				}
			})
		})
	}
}
