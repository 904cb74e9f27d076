package repo_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// Incomplete CUTOVER: a key without a fresh copy is still led by V1, and every key answers.
func TestIncompleteCutover(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		ctx, raw := t.Context(), repotest.Raw(t, b.URL)
		bad := note("bad", "bad")
		bad.Priority = repotest.BadPriority
		insert(t, b, note("fresh", "f"), note("stale", "s"), note("none", "n"), bad)
		updateV2(t, b, "fresh", pin)
		updateV2(t, b, "stale", pin)
		repotest.Exec(t, raw, "UPDATE notes SET title = 'past us' WHERE id = 'stale'")
		wantField[*repo.ConversionError](t, errOf(b.Notes.GetV2(ctx, "bad")), "priority")
		if err := force(t, b, "NOTE", repo.Cutover); err != nil {
			t.Fatal(err)
		}
		m, err := b.Control.Migration(ctx, "NOTE")
		if err != nil || m.Phase != repo.Cutover || !m.Incomplete {
			t.Fatalf("%+v, %v", m, err)
		}
		for _, key := range []string{"fresh", "stale"} {
			wantPinned(t, agree(t, b, key).Value)
		}
		if v := agree(t, b, "stale").Value; v.Headline != "past us" {
			t.Errorf("a stale copy answers: %+v", v)
		}
		agree(t, b, "none")
		if v1 := getV1(t, b, "bad"); v1.Priority != repotest.BadPriority {
			t.Errorf("%+v", v1)
		}
		wantField[*repo.ConversionError](t, errOf(b.Notes.GetV2(ctx, "bad")), "priority")
		for shape, list := range shapes(t, b) {
			page, err := list(repo.Query{})
			if err != nil || !slices.Equal(page.keys, []string{"bad", "fresh", "none", "stale"}) {
				t.Errorf("%s lists %v, %v", shape, page.keys, err)
			}
		}
		// From CUTOVER on V2 must hold each write.
		wantField[*repo.ConversionError](t, errOf(b.Notes.UpdateV1(ctx, "none",
			func(n *repotest.NoteV1) error { n.Priority = repotest.BadPriority; return nil })), "priority")
		wantField[*repo.ConversionError](t, errOf(b.Notes.UpdateV1(ctx, "bad",
			func(n *repotest.NoteV1) error { n.Title = "still bad"; return nil })), "priority")
		again := bad
		again.ID = "bad2"
		wantField[*repo.ConversionError](t, errOf(b.Notes.CreateV1(ctx, again)), "priority")
		if v1 := getV1(t, b, "bad"); v1.Title != "bad" {
			t.Errorf("a refused write has left %+v", v1)
		}
		wantErr(t, errOf(b.Notes.GetV1(ctx, "bad2")), repo.ErrNotFound)
		if _, err := raw.Exec("UPDATE notes SET title = 'x' WHERE id = 'none'"); err == nil {
			t.Error("an old program writes in an incomplete CUTOVER")
		}
		updateV1(t, b, "none", func(n *repotest.NoteV1) { n.Title = "work: on" })
		updateV2(t, b, "none", pin)
		wantPinned(t, agree(t, b, "none").Value)

		// Nothing forces such rows into CONTRACT.
		contractComments(t, b)
		for _, to := range []repo.Phase{repo.Contract, repo.Cutover} {
			refusal, ok := errors.AsType[*repo.GateClosedError](force(t, b, "NOTE", to))
			if !ok || !strings.Contains(codes(refusal.Blockers), "QUARANTINED") {
				t.Errorf("to %s: %v", to, refusal)
			}
		}
		if run := sweep(t, b, repo.SweepRequest{}); run.Status != repo.Succeeded || run.Quarantined != 1 {
			t.Errorf("the sweep is %+v", run)
		}
		updateV1(t, b, "bad", func(n *repotest.NoteV1) { n.Priority = 1 })
		closed(t, b, repo.Cutover, "NOT_VERIFIED")
		closed(t, b, repo.Contract, "NOT_VERIFIED")
		clean(t, b, verify(t, b, false))
		step(t, b, repo.Cutover)
		if m, err := b.Control.Migration(ctx, "NOTE"); err != nil || m.Phase != repo.Cutover || m.Incomplete {
			t.Errorf("%+v, %v", m, err)
		}
		for _, key := range []string{"fresh", "stale", "none", "bad"} {
			agree(t, b, key)
		}
		closed(t, b, repo.Contract, "NOT_VERIFIED")
		clean(t, b, verify(t, b, false))
		step(t, b, repo.Contract)
	})
}

func TestBackFromAnIncompleteCutover(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "a"), note("b", "b"))
		updateV2(t, b, "a", pin)
		if err := force(t, b, "NOTE", repo.Cutover); err != nil {
			t.Fatal(err)
		}
		updateV2(t, b, "b", pin)
		deleteNote(t, b, "a")
		step(t, b, repo.Migrate)
		if m, err := b.Control.Migration(t.Context(), "NOTE"); err != nil || m.Incomplete {
			t.Errorf("%+v, %v", m, err)
		}
		wantPinned(t, agree(t, b, "b").Value)
		wantErr(t, errOf(b.Notes.GetV2(t.Context(), "a")), repo.ErrNotFound)
		advance(t, b, repo.Cutover)
	})
}

// Anomaly 8: a red verification is never forgotten: the order by id of runFacts, over runs of every status. Runs that
// were cancelled, that failed or that repaired do not clear it, nor does a change of the phase.
func TestARedVerificationStaysRed(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		ctx, raw := t.Context(), repotest.Raw(t, b.URL)
		insert(t, b, rows(150)...)
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		clean(t, b, verify(t, b, false))
		repotest.Exec(t, raw, "UPDATE notes_v2 SET headline = 'wrong' WHERE id = 'k007'")
		if run := verify(t, b, false); run.Status != repo.Succeeded || run.Faults != 1 {
			t.Fatalf("the verification is %+v", run)
		}
		red := func(when string) {
			t.Helper()
			found := gate(t, b, repo.Cutover)
			if !strings.Contains(codes(found), "DRIFT") {
				t.Errorf("%s the gate says %s", when, codes(found))
				return
			}
			wantBlocker(t, found, repo.Drift, 1, "k007", "findings")
		}
		red("at first")
		repotest.Exec(t, raw, "UPDATE notes_v2 SET headline = 'begin' WHERE id = 'k007'")
		red("though all is well again")
		start := func() repo.Run {
			run, err := b.Control.StartVerification(ctx, repo.VerificationRequest{Entity: "NOTE", Actor: "test"})
			if err != nil {
				t.Fatal(err)
			}
			return run
		}
		run := start()
		red("while another has not ended")
		if _, err := b.Control.CancelRun(ctx, run.ID); err != nil {
			t.Fatal(err)
		}
		red("after a run that was cancelled")
		run = start()
		step(t, b, repo.Expand)
		stop := work(t, b)
		if run = ended(t, b, run); run.Status != repo.Failed || run.Error == nil {
			t.Errorf("the run ends as %+v", run)
		}
		stop()
		b.SetPhase(repo.Migrate)
		red("after a run that failed, and a way to EXPAND and back")
		repotest.Exec(t, raw, "UPDATE notes_v2 SET headline = 'wrong' WHERE id = 'k007'")
		if run := verify(t, b, true); run.Status != repo.Succeeded || run.Faults != 1 {
			t.Errorf("the repairing run is %+v", run)
		}
		agree(t, b, "k007")
		red("after a run that repaired")
		if err := force(t, b, "NOTE", repo.Cutover); err != nil {
			t.Fatal(err)
		}
		contractComments(t, b)
		if found := gate(t, b, repo.Contract); !strings.Contains(codes(found), "DRIFT") {
			t.Errorf("in CUTOVER the gate says %s", codes(found))
		}
		clean(t, b, verify(t, b, false))
		step(t, b, repo.Contract)
	})
}
