package repo_test

import (
	"errors"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// setPhase asks for a phase of notes without force.
func setPhase(t *testing.T, b *repotest.Bench, to repo.Phase) error {
	t.Helper()
	_, err := b.Control.SetPhase(t.Context(), repo.PhaseRequest{Entity: "NOTE", To: to, Actor: "test"})
	return err
}

// step goes to a phase through an open gate.
func step(t *testing.T, b *repotest.Bench, to repo.Phase) {
	t.Helper()
	if err := setPhase(t, b, to); err != nil {
		t.Fatalf("to %s: %v", to, err)
	}
}

// force passes a gate with a reason.
func force(t *testing.T, b *repotest.Bench, entity string, to repo.Phase) error {
	t.Helper()
	_, err := b.Control.SetPhase(t.Context(), repo.PhaseRequest{
		Entity: entity, To: to, Actor: "test", Force: true,
		Reason: new("a test"),
	})
	return err
}

func rehearse(t *testing.T, b *repotest.Bench) repo.Run {
	t.Helper()
	return finish(t, b, func() (repo.Run, error) {
		return b.Control.StartRehearsal(t.Context(), repo.RunRequest{Entity: "NOTE", Actor: "test"})
	})
}

func verify(t *testing.T, b *repotest.Bench, repair bool) repo.Run {
	t.Helper()
	return finish(t, b, func() (repo.Run, error) {
		return b.Control.StartVerification(t.Context(), repo.VerificationRequest{
			Entity: "NOTE",
			Repair: repair, Actor: "test",
		})
	})
}

func restore(t *testing.T, b *repotest.Bench, entity string) repo.Run {
	t.Helper()
	return finish(t, b, func() (repo.Run, error) {
		return b.Control.StartRestore(t.Context(), repo.RunRequest{Entity: entity, Actor: "test"})
	})
}

// clean ends the test unless a run has succeeded and found nothing.
func clean(t *testing.T, b *repotest.Bench, run repo.Run) {
	t.Helper()
	if run.Status != repo.Succeeded || run.Red() || run.Quarantined > 0 {
		page, err := b.Control.Findings(t.Context(), run.ID, 10, "")
		t.Fatalf("%s ends as %+v with %+v, %v", run.Kind, run, page.Findings, err)
	}
}

// advance takes notes, and comments where they have to go first, to a phase, with clean runs and without force.
func advance(t *testing.T, b *repotest.Bench, to repo.Phase) {
	t.Helper()
	for {
		m, err := b.Control.Migration(t.Context(), "NOTE")
		if err != nil {
			t.Fatal(err)
		}
		if m.Phase == to {
			return
		}
		switch m.Phase {
		case repo.Expand:
			clean(t, b, rehearse(t, b))
			step(t, b, repo.Migrate)
		case repo.Migrate:
			clean(t, b, sweep(t, b, repo.SweepRequest{}))
			clean(t, b, verify(t, b, false))
			step(t, b, repo.Cutover)
		default:
			clean(t, b, verify(t, b, false))
			contractComments(t, b)
			step(t, b, repo.Contract)
		}
	}
}

func contractComments(t *testing.T, b *repotest.Bench) {
	t.Helper()
	for _, to := range []repo.Phase{repo.Migrate, repo.Cutover, repo.Contract} {
		if m, err := b.Control.Migration(t.Context(), "COMMENT"); err != nil || m.Phase == repo.Contract {
			return
		}
		err := force(t, b, "COMMENT", to)
		if _, wrong := errors.AsType[*repo.InputError](err); err != nil && !wrong {
			t.Fatal(err)
		}
	}
}
