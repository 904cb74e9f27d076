package repo_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// gate is the gate of notes to a phase.
func gate(t *testing.T, b *repotest.Bench, to repo.Phase) []repo.Blocker {
	t.Helper()
	blockers, err := b.Control.Gate(t.Context(), "NOTE", to)
	if err != nil {
		t.Fatal(err)
	}
	return blockers
}

// codes are the codes of blockers, in their order.
func codes(blockers []repo.Blocker) string {
	var list []string
	for _, b := range blockers {
		list = append(list, string(b.Code))
	}
	return strings.Join(list, " ")
}

// closed checks that the gate to a phase names these blockers, and that SetPhase refuses for their sake and changes
// nothing.
func closed(t *testing.T, b *repotest.Bench, to repo.Phase, want string) []repo.Blocker {
	t.Helper()
	blockers := gate(t, b, to)
	if got := codes(blockers); got != want {
		t.Errorf("the gate to %s says %s, want %s: %+v", to, got, want, blockers)
	}
	before, err := b.Control.Migration(t.Context(), "NOTE")
	if err != nil {
		t.Fatal(err)
	}
	err = setPhase(t, b, to)
	refusal, ok := errors.AsType[*repo.GateClosedError](err)
	if !ok {
		t.Fatalf("SetPhase to %s: %v", to, err)
	}
	if refusal.To != to || codes(refusal.Blockers) != want {
		t.Errorf("SetPhase says %s, want %s", codes(refusal.Blockers), want)
	}
	for _, blocker := range refusal.Blockers {
		if blocker.Count < 1 || !strings.Contains(err.Error(), blocker.Message) {
			t.Errorf("%+v is not told by %v", blocker, err)
		}
	}
	if after, err := b.Control.Migration(t.Context(), "NOTE"); err != nil || after != before {
		t.Errorf("a closed gate changes %+v to %+v, %v", before, after, err)
	}
	return blockers
}

// wantBlocker checks the one blocker of a code.
func wantBlocker(t *testing.T, blockers []repo.Blocker, code repo.BlockerCode, count int64, example, advice string) {
	t.Helper()
	i := slices.IndexFunc(blockers, func(b repo.Blocker) bool { return b.Code == code })
	if i < 0 {
		t.Errorf("%s is not among %s", code, codes(blockers))
		return
	}
	b := blockers[i]
	if b.Count != count || !strings.Contains(b.Message, advice) || (b.ExampleKey == nil) != (example == "") ||
		b.ExampleKey != nil && *b.ExampleKey != example {
		t.Errorf("%+v (%v), want %d, example %q, advice %q", b, b.ExampleKey, count, example, advice)
	}
}

// Every blocker for real, in the order in which an operator meets them, each with what to do; and what is done opens
// the gate.
func TestGatesOnTheWayForth(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Expand, func(t *testing.T, b *repotest.Bench) {
		raw := repotest.Raw(t, b.URL)
		bad := note("bad", "bad")
		bad.Priority = repotest.BadPriority
		insert(t, b, note("a", "work: begin"), note("b", "b"), bad)
		wantBlocker(t, closed(t, b, repo.Migrate, "NOT_REHEARSED"), repo.NotRehearsed, 1, "", "start one")
		if run := rehearse(t, b); run.Status != repo.Succeeded || run.Quarantined != 1 {
			t.Errorf("the rehearsal is %+v", run)
		}
		if left := gate(t, b, repo.Migrate); left != nil {
			t.Errorf("after the rehearsal %+v", left)
		}
		step(t, b, repo.Migrate)

		found := closed(t, b, repo.Cutover, "UNMIGRATED QUARANTINED NOT_VERIFIED")
		wantBlocker(t, found, repo.Quarantined, 1, "bad", "quarantine")
		wantBlocker(t, found, repo.NotVerified, 1, "", "start one")
		getV2(t, b, "a")
		wantBlocker(t, closed(t, b, repo.Cutover, "UNMIGRATED QUARANTINED NOT_VERIFIED"),
			repo.Unmigrated, 1, "b", "sweep")
		getV2(t, b, "b")
		updateV1(t, b, "bad", func(n *repotest.NoteV1) { n.Priority = 1 })
		closed(t, b, repo.Cutover, "NOT_VERIFIED")
		repotest.Exec(t, raw, "UPDATE notes SET title = 'past us' WHERE id = 'b'")
		wantBlocker(t, closed(t, b, repo.Cutover, "STALE NOT_VERIFIED"), repo.Stale, 1, "b", "sweep")

		// A verification that could not compare a row says so.
		if run := verify(t, b, false); run.Status != repo.Succeeded || run.Red() || run.Behind != 1 {
			t.Errorf("the verification is %+v", run)
		}
		wantBlocker(t, closed(t, b, repo.Cutover, "STALE NOT_VERIFIED"), repo.NotVerified, 1, "", "another")
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		clean(t, b, verify(t, b, false))
		if left := gate(t, b, repo.Cutover); left != nil {
			t.Errorf("after sweep and verification %+v", left)
		}
		repotest.Exec(t, raw, "UPDATE notes SET title = 'past us again' WHERE id = 'b'",
			"DELETE FROM note_tags WHERE note_id = 'b' AND rank = 1")
		getV2(t, b, "b") // which catches up
		wantBlocker(t, closed(t, b, repo.Cutover, "BYPASS_WRITES"), repo.BypassWrites, 2, "", "stop them")
		clean(t, b, verify(t, b, false))

		for _, on := range []bool{false, true} {
			if capture, err := b.Control.SetCapture(t.Context(), "NOTE", on); err != nil || capture.Enabled != on {
				t.Fatalf("%+v, %v", capture, err)
			}
			if !on {
				wantBlocker(t, closed(t, b, repo.Cutover, "CAPTURE_OFF"), repo.CaptureOff, 1, "", "switch capture on")
			}
		}
		closed(t, b, repo.Cutover, "STALE CAPTURE_OFF")
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		wantBlocker(t, closed(t, b, repo.Cutover, "CAPTURE_OFF"), repo.CaptureOff, 1, "", "another verification")
		clean(t, b, verify(t, b, false))
		step(t, b, repo.Cutover)

		contractComments(t, b)
		closed(t, b, repo.Contract, "NOT_VERIFIED")
		clean(t, b, verify(t, b, false))
		step(t, b, repo.Contract)
		wantBlocker(t, closed(t, b, repo.Cutover, "V1_NOT_RESTORED"), repo.V1NotRestored, 1, "", "start a restore")
		clean(t, b, restore(t, b, "NOTE"))
		step(t, b, repo.Cutover)
		for _, to := range []repo.Phase{repo.Migrate, repo.Expand} {
			if left := gate(t, b, to); left != nil {
				t.Errorf("back to %s: %+v", to, left)
			}
			step(t, b, to)
		}
		history, err := b.Control.History(t.Context(), "NOTE", 100)
		if err != nil || len(history) != 6 || slices.ContainsFunc(history,
			func(c repo.PhaseChange) bool { return c.Forced }) {
			t.Errorf("the history is %+v, %v", history, err)
		}
	})
}

func TestGateRequests(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		_, err := b.Control.Gate(t.Context(), "NONE", repo.Cutover)
		wantErr(t, err, repo.ErrNotFound)
		for _, to := range []repo.Phase{repo.Contract, "", "cutover"} {
			_, err := b.Control.Gate(t.Context(), "NOTE", to)
			wantField[*repo.InputError](t, err, "to")
		}
		if left := gate(t, b, repo.Migrate); left != nil {
			t.Errorf("the phase in force is blocked by %+v", left)
		}
		for _, reason := range []*string{nil, new(""), new(" ")} {
			_, err := b.Control.SetPhase(t.Context(), repo.PhaseRequest{
				Entity: "NOTE", To: repo.Cutover,
				Force: true, Reason: reason,
			})
			wantField[*repo.InputError](t, err, "reason")
		}
		if err := force(t, b, "NOTE", repo.Cutover); err != nil {
			t.Fatal(err)
		}
		history, err := b.Control.History(t.Context(), "NOTE", 1)
		if err != nil || !history[0].Forced || *history[0].Reason != "a test" || history[0].Actor != "test" {
			t.Errorf("%+v, %v", history, err)
		}
		if m, err := b.Control.Migration(t.Context(), "NOTE"); err != nil || m.Incomplete {
			t.Errorf("V2 lacks no row: %+v, %v", m, err)
		}
	})
}

// A write of another program's between the count and the locks closes the gate: changedSince in setPhase looks again.
// Without it CUTOVER begins with a stale copy as the truth.
func TestBypassWriteBetweenTheCountAndTheLocks(t *testing.T) {
	t.Parallel()
	bad := note("d", "d")
	bad.Priority = repotest.BadPriority
	for name, write := range map[string]func(t *testing.T, b *repotest.Bench){
		"update": func(t *testing.T, b *repotest.Bench) {
			repotest.Exec(t, repotest.Raw(t, b.URL), "UPDATE notes SET title = 'late' WHERE id = 'a'")
		},
		"insert": func(t *testing.T, b *repotest.Bench) {
			repotest.Exec(t, repotest.Raw(t, b.URL), "INSERT INTO notes (id, title, priority) VALUES ('c', 'late', 1)")
		},
		"delete": func(t *testing.T, b *repotest.Bench) {
			repotest.Exec(t, repotest.Raw(t, b.URL), "DELETE FROM note_tags WHERE note_id = 'a'",
				"DELETE FROM notes WHERE id = 'a'")
		},
		"a V1 write that cannot be converted": func(t *testing.T, b *repotest.Bench) {
			other := repotest.OpenNotes(t, b.URL, repotest.Setup{})
			if _, err := other.Notes.CreateV1(t.Context(), bad); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
				insert(t, b, note("a", "a"), note("b", "b"))
				clean(t, b, sweep(t, b, repo.SweepRequest{}))
				clean(t, b, verify(t, b, false))
				text := "LOCK TABLE"
				if strings.HasPrefix(b.URL, "sqlite") {
					text = "BEGIN IMMEDIATE"
				}
				b.Before(text, func() { write(t, b) })
				err := setPhase(t, b, repo.Cutover)
				if _, ok := errors.AsType[*repo.GateClosedError](err); !ok {
					t.Fatalf("SetPhase: %v", err)
				}
				if m, err := b.Control.Migration(t.Context(), "NOTE"); err != nil || m.Phase != repo.Migrate {
					t.Errorf("%+v, %v", m, err)
				}
			})
		})
	}
}

// Rows that are seeded between the count and the locks are found too: by the marks that InsertV1 leaves once anything
// has migrated, and in an entity without any row by the number of seeds, or by the look at V1 in changedSince. Without
// these CUTOVER is complete, and the rows are gone.
func TestSeedingBetweenTheCountAndTheLocks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		migrated []repotest.NoteV1
		read     []string // of what was seeded
	}{
		"beside rows that have migrated": {migrated: []repotest.NoteV1{note("a", "a")}},
		"into nothing":                   {},
		"into nothing, and one is read":  {read: []string{"late2"}},
	} {
		t.Run(name, func(t *testing.T) {
			inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
				for _, n := range test.migrated {
					insert(t, b, n)
					getV2(t, b, n.ID) // by use: there has been no run
				}
				other := repotest.OpenNotes(t, b.URL, repotest.Setup{})
				text := "LOCK TABLE"
				if strings.HasPrefix(b.URL, "sqlite") {
					text = "BEGIN IMMEDIATE"
				}
				b.Before(text, func() {
					insert(t, other, note("late", "late"), note("late2", "late"))
					for _, key := range test.read {
						getV2(t, other, key)
					}
				})
				if err := force(t, b, "NOTE", repo.Cutover); err != nil {
					t.Fatal(err)
				}
				if m, err := b.Control.Migration(t.Context(), "NOTE"); err != nil || !m.Incomplete {
					t.Errorf("V2 lacks a row, and CUTOVER is %+v, %v", m, err)
				}
				if n := getV1(t, b, "late"); n.Title != "late" {
					t.Errorf("the seeded row is %+v", n)
				}
			})
		})
	}
}

// errOf is the error of a call.
func errOf[T any](_ T, err error) error { return err }

// A policy that is switched on while we run hides rows: no step forward then, whatever force says.
func TestHiddenRowsBlockEachStep(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	raw := repotest.Raw(t, url)
	owner := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
	insert(t, owner, note("a", "a"), note("b", "b"))
	role := repotest.NewRole(t, url)
	repotest.Exec(t, raw, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "+role,
		"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "+role)
	b := repotest.OpenNotes(t, repotest.WithUser(t, url, role), repotest.Setup{})
	clean(t, b, sweep(t, b, repo.SweepRequest{}))
	clean(t, b, verify(t, b, false))
	addChildKeys(t, b, raw)
	for _, table := range []string{"notes", "note_tags", "notes_v2", "coexist_note_mark"} {
		repotest.Exec(t, raw, "ALTER TABLE "+table+" ENABLE ROW LEVEL SECURITY", "CREATE POLICY p ON "+
			table+" USING (true)")
		wantBlocker(t, closed(t, b, repo.Cutover, "HIDDEN_ROWS"), repo.HiddenRows, 1, "", table)
		if _, shut := errors.AsType[*repo.GateClosedError](force(t, b, "NOTE", repo.Cutover)); !shut {
			t.Errorf("%s: forced", table)
		}
		repotest.Exec(t, raw, "ALTER TABLE "+table+" DISABLE ROW LEVEL SECURITY")
	}
	step(t, b, repo.Cutover)
}

// Tables of no entity that refer to V1: they guard it while it is written; the gate to CONTRACT warns of them, since
// what is created there they cannot refer to, and a deleted row that they refer to stays. Going back, such a row is a
// finding.
func TestTablesOutsideThatReferToV1(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		raw := repotest.Raw(t, b.URL)
		insert(t, b, note("a", "a"), note("b", "b"))
		repotest.Exec(t, raw, "CREATE TABLE pins (note_id varchar(12) REFERENCES notes (id), color text)",
			"CREATE TABLE empty (note_id varchar(12) REFERENCES notes (id))",
			"INSERT INTO pins VALUES ('a', 'red')")
		wantErr(t, b.Notes.Delete(t.Context(), "a", nil), repo.ErrConflict)
		advance(t, b, repo.Cutover)
		wantErr(t, b.Notes.Delete(t.Context(), "a", nil), repo.ErrConflict)
		clean(t, b, verify(t, b, false))
		contractComments(t, b)
		wantBlocker(t, closed(t, b, repo.Contract, "REFERENCE"), repo.ReferenceOrder, 1, "", "pins")
		if err := force(t, b, "NOTE", repo.Contract); err != nil {
			t.Fatal(err)
		}
		if err := b.Notes.Delete(t.Context(), "a", nil); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Notes.CreateV2(t.Context(), repotest.NoteV2{ID: "new", Headline: "new"}); err != nil {
			t.Fatal(err)
		}
		if _, err := raw.Exec("INSERT INTO pins VALUES ('new', 'blue')"); err == nil {
			t.Error("an old program refers to what V1 has not")
		}
		run := restore(t, b, "NOTE")
		page, err := b.Control.Findings(t.Context(), run.ID, 10, "")
		if err != nil || run.Status != repo.Succeeded || run.Faults != 1 || len(page.Findings) != 1 ||
			page.Findings[0].Key != "a" {
			t.Errorf("%+v, %+v, %v", run, page, err)
		}
		wantBlocker(t, closed(t, b, repo.Cutover, "V1_NOT_RESTORED"), repo.V1NotRestored, 1, "a", "cannot hold")
		repotest.Exec(t, raw, "DELETE FROM pins")
		clean(t, b, restore(t, b, "NOTE"))
		step(t, b, repo.Cutover)
		agree(t, b, "new")
		wantErr(t, errOf(b.Notes.GetV1(t.Context(), "a")), repo.ErrNotFound)
	})
}
