package repo_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// found are a run's findings, each as "key KIND field field".
func found(t *testing.T, b *repotest.Bench, run repo.Run) []string {
	t.Helper()
	page, err := b.Control.Findings(t.Context(), run.ID, 100, "")
	if err != nil || page.HasNext || page.Total != int64(len(page.Findings)) {
		t.Fatalf("%+v, %v", page, err)
	}
	list := []string{}
	for _, f := range page.Findings {
		line := strings.Join(append([]string{f.Key, string(f.Kind)}, f.Fields...), " ")
		if f.Repaired {
			line += " repaired"
		}
		list = append(list, line)
	}
	slices.Sort(list)
	return list
}

func wantFound(t *testing.T, b *repotest.Bench, run repo.Run, behind, faults int64, want ...string) {
	t.Helper()
	if got := found(t, b, run); !slices.Equal(got, want) || run.Status != repo.Succeeded || run.Behind != behind ||
		run.Faults != faults || run.Red() != (faults > 0) {
		t.Errorf("%s finds %q (%+v)\nwant %q, behind %d, faults %d", run.Kind, got, run, want, behind, faults)
	}
}

// spoil makes copies wrong without anybody's notice.
func spoil(t *testing.T, b *repotest.Bench) {
	t.Helper()
	repotest.Exec(t, repotest.Raw(t, b.URL),
		"UPDATE notes_v2 SET headline = 'wrong', priority = 8 WHERE id = 'root'",
		"UPDATE notes_v2_labels SET name = 'wrong' WHERE id = 'child' AND position = 0",
		"UPDATE notes_v2 SET pinned_reason = 'invented' WHERE id = 'upgrade'")
}

func TestVerificationInMigrate(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		raw := repotest.Raw(t, b.URL)
		wantFound(t, b, verify(t, b, false), 0, 0)
		insert(t, b, note("fine", "x: y"), note("root", "x"), note("child", "x"), note("upgrade", "x"),
			note("orphan", "x"), note("stale", "x"), note("gone", "x"), note("refined", "x"))
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		updateV2(t, b, "refined", pin)
		insert(t, b, note("missing", "x"))
		wantFound(t, b, verify(t, b, false), 1, 0, "missing MISSING")
		spoil(t, b)
		repotest.Exec(t, raw, "UPDATE notes SET title = 'past us' WHERE id = 'stale'",
			"DELETE FROM note_tags WHERE note_id = 'gone'", "DELETE FROM notes WHERE id = 'gone'")
		setCaptureQuietly(t, b, false)
		repotest.Exec(t, raw, "DELETE FROM note_tags WHERE note_id = 'orphan'", "DELETE FROM notes WHERE id = 'orphan'")
		setCaptureQuietly(t, b, true)
		behind := []string{
			"child DIFFERENT tags", "gone STALE", "missing MISSING", "orphan ORPHAN",
			"root DIFFERENT title priority", "stale STALE", "upgrade DIFFERENT pinnedReason",
		}
		run := verify(t, b, false)
		if got := found(t, b, run); len(got) != len(behind) || run.Faults != 4 || run.Behind != 3 {
			t.Errorf("it finds %q, want %q", got, behind)
		}
		for i, line := range found(t, b, run) {
			if !strings.HasPrefix(line, strings.Join(strings.Fields(behind[i])[:2], " ")) {
				t.Errorf("it finds %q, want %q", line, behind[i])
			}
		}
		t.Log(found(t, b, run))
		before := map[string]int64{"root": getV2(t, b, "root").Version, "upgrade": getV2(t, b, "upgrade").Version}
		v1 := v1Tables(t, raw)
		repaired := verify(t, b, true)
		for _, line := range found(t, b, repaired) {
			if strings.HasSuffix(line, "repaired") != (strings.Contains(line, "DIFFERENT") ||
				strings.Contains(line, "ORPHAN")) {
				t.Errorf("repaired? %s", line)
			}
		}
		if v1Tables(t, raw) != v1 {
			t.Error("a repair in MIGRATE has written V1")
		}
		for _, key := range []string{"fine", "root", "child", "upgrade", "refined"} {
			r := agree(t, b, key)
			if r.Version <= before[key] && before[key] > 0 || before[key] > 0 && r.Copy.Origin != repo.OriginRepair {
				t.Errorf("%s is %+v after the repair, it was at version %d", key, r, before[key])
			}
		}
		wantPinned(t, getV2(t, b, "refined").Value)
		if r := getV2(t, b, "upgrade"); r.Value.PinnedReason != nil {
			t.Errorf("%+v", r)
		}
		wantErr(t, errOf(b.Notes.GetV2(t.Context(), "orphan")), repo.ErrNotFound)
		// What was deleted stays so, and what is created in its place is another note.
		if _, err := b.Notes.CreateV1(t.Context(), note("orphan", "again")); err != nil {
			t.Fatal(err)
		}
		if r := agree(t, b, "orphan"); r.Version < 2 {
			t.Errorf("%+v", r)
		}
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		wantFound(t, b, verify(t, b, false), 0, 0)
	})
}

// setCaptureQuietly leaves no mark: what happens meanwhile nobody sees but a verification.
func setCaptureQuietly(t *testing.T, b *repotest.Bench, on bool) {
	t.Helper()
	repotest.Exec(t, repotest.Raw(t, b.URL), fmt.Sprintf("UPDATE coexist_entity SET capture = %v WHERE name = 'NOTE'",
		on))
}

func TestVerificationInCutover(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		raw := repotest.Raw(t, b.URL)
		insert(t, b, note("fine", "x: y"), note("root", "x"), note("child", "x"), note("orphan", "x"))
		advance(t, b, repo.Cutover)
		updateV2(t, b, "root", pin)
		wantFound(t, b, verify(t, b, false), 0, 0)
		setCaptureQuietly(t, b, false)
		repotest.Exec(t, raw, "UPDATE notes SET title = 'past us', body = NULL WHERE id = 'root'",
			"DELETE FROM note_tags WHERE note_id = 'child' AND rank = 1",
			"DELETE FROM note_tags WHERE note_id = 'orphan'", "DELETE FROM notes WHERE id = 'orphan'",
			"INSERT INTO notes (id, title, priority) VALUES ('extra', 'x', 1)")
		setCaptureQuietly(t, b, true)
		run := verify(t, b, false)
		if got := found(t, b, run); run.Faults != 4 || len(got) != 4 || got[0][:15] != "child DIFFERENT" ||
			got[1] != "extra MISSING" || got[2] != "orphan ORPHAN" || got[3] != "root DIFFERENT title body" {
			t.Errorf("it finds %q", got)
		}
		copiesBefore := getV2(t, b, "root")
		if got := found(t, b, verify(t, b, true)); len(got) != 4 || got[1] != "extra MISSING" ||
			got[2] != "orphan ORPHAN repaired" || got[3] != "root DIFFERENT title body repaired" {
			t.Errorf("it repairs %q", got)
		}
		if after := getV2(t, b, "root"); !repo.Identical(after, copiesBefore) {
			t.Errorf("a repair in CUTOVER has written V2: %+v", after)
		}
		// A row that V2 has never seen is deleted by nobody; the finding stays until somebody has looked.
		wantFound(t, b, verify(t, b, true), 0, 1, "extra MISSING")
		setCaptureQuietly(t, b, false)
		repotest.Exec(t, raw, "DELETE FROM notes WHERE id = 'extra'")
		setCaptureQuietly(t, b, true)
		wantFound(t, b, verify(t, b, false), 0, 0)
		for _, key := range []string{"fine", "root", "child", "orphan"} {
			agree(t, b, key)
		}
		step(t, b, repo.Migrate)
		for _, key := range []string{"fine", "root", "child", "orphan"} {
			agree(t, b, key)
		}
	})
}

// A difference that is gone by the time it is looked at again is none: lookAgain.
func TestAPassingDifferenceIsNoFinding(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "x"))
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		repotest.Exec(t, repotest.Raw(t, b.URL), "UPDATE notes_v2 SET headline = 'wrong' WHERE id = 'a'")
		b.Before(`"coexist_chunk" SET leased_until = `, func() {
			if strings.HasPrefix(b.URL, "postgres") {
				repotest.Exec(t, repotest.Raw(t, b.URL), "UPDATE notes_v2 SET headline = 'x' WHERE id = 'a'")
			}
		})
		begin := "BEGIN"
		b.Before(begin, func() {})
		run, err := b.Control.StartVerification(t.Context(), repo.VerificationRequest{Entity: "NOTE", Actor: "test"})
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(b.URL, "sqlite") {
			b.Before("BEGIN IMMEDIATE", func() {
				repotest.Exec(t, repotest.Raw(t, b.URL),
					"UPDATE notes_v2 SET headline = 'x' WHERE id = 'a'")
			})
		}
		stop := work(t, b)
		defer stop()
		wantFound(t, b, ended(t, b, run), 0, 0)
	})
}

// A row that somebody else has locked is reported, and not waited for.
func TestVerificationWaitsForNobody(t *testing.T) {
	t.Parallel()
	b := repotest.OpenNotes(t, repotest.Postgres(t), repotest.Setup{Phase: repo.Migrate})
	raw := repotest.Raw(t, b.URL)
	insert(t, b, note("a", "x"), note("b", "x"))
	clean(t, b, sweep(t, b, repo.SweepRequest{}))
	repotest.Exec(t, raw, "UPDATE notes_v2 SET headline = 'wrong'")
	old, err := raw.Begin()
	if err != nil {
		t.Fatal(err)
	}
	repotest.Exec(t, old, "UPDATE notes SET priority = 4 WHERE id = 'a'")
	wantFound(t, b, verify(t, b, true), 0, 2, "a DIFFERENT title", "b DIFFERENT title repaired")
	if err := old.Commit(); err != nil {
		t.Fatal(err)
	}
	agree(t, b, "a")
	agree(t, b, "b")
}

func TestVerificationIsVoidOnceThePhaseHasChanged(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "x"))
		run, err := b.Control.StartVerification(t.Context(), repo.VerificationRequest{Entity: "NOTE", Actor: "test"})
		if err != nil {
			t.Fatal(err)
		}
		wantErr(t, errOf(b.Control.StartVerification(t.Context(), repo.VerificationRequest{
			Entity: "NOTE",
			Actor:  "test",
		})), repo.ErrRunAlreadyActive)
		b.SetPhase(repo.Expand)
		b.SetPhase(repo.Migrate)
		work(t, b)
		if run = ended(t, b, run); run.Status != repo.Failed || run.Error == nil || !strings.Contains(*run.Error,
			"start another") {
			t.Errorf("the run ends as %+v", run)
		}
	})
}

func TestRunsInTheirPhasesOnly(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Expand, func(t *testing.T, b *repotest.Bench) {
		ctx := t.Context()
		insert(t, b, note("a", "x"))
		kinds := map[repo.RunKind]func() (repo.Run, error){
			repo.Sweep: func() (repo.Run, error) {
				return b.Control.StartSweep(ctx,
					repo.SweepRequest{Entity: "NOTE"})
			},
			repo.Rehearsal: func() (repo.Run, error) {
				return b.Control.StartRehearsal(ctx,
					repo.RunRequest{Entity: "NOTE"})
			},
			repo.Verification: func() (repo.Run, error) {
				return b.Control.StartVerification(ctx, repo.VerificationRequest{Entity: "NOTE"})
			},
			repo.Restore: func() (repo.Run, error) {
				return b.Control.StartRestore(ctx,
					repo.RunRequest{Entity: "NOTE"})
			},
		}
		for _, phase := range []repo.Phase{repo.Expand, repo.Migrate, repo.Cutover, repo.Contract} {
			advance(t, b, phase)
			for kind, start := range kinds {
				run, err := start()
				allowed := map[repo.RunKind]string{
					repo.Sweep: "MIGRATE", repo.Rehearsal: "EXPAND MIGRATE",
					repo.Verification: "MIGRATE CUTOVER", repo.Restore: "CONTRACT",
				}[kind]
				if !strings.Contains(allowed, string(phase)) {
					wantErr(t, err, repo.ErrWrongPhase)
					continue
				}
				if err != nil {
					t.Errorf("%s in %s: %v", kind, phase, err)
					continue
				}
				if _, err := b.Control.CancelRun(ctx, run.ID); err != nil {
					t.Errorf("%s in %s: %v", kind, phase, err)
				}
			}
		}
	})
}

// A rehearsal converts every row, stores none and says what would be in quarantine.
func TestRehearsal(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Expand, func(t *testing.T, b *repotest.Bench) {
		notes := rows(130)
		notes[7].Priority, notes[120].Priority = repotest.BadPriority, repotest.BadPriority
		insert(t, b, notes...)
		run := rehearse(t, b)
		if run.Status != repo.Succeeded || run.Done != 130 || run.Total != 130 || run.Migrated != 0 ||
			run.Quarantined != 2 || copies(t, b) != 0 {
			t.Errorf("the rehearsal is %+v, with %d copies", run, copies(t, b))
		}
		if list := quarantined(t, b); len(list) != 2 || list[0].Key != "k007" || *list[0].Field != "priority" {
			t.Errorf("quarantine is %+v", list)
		}
		for _, key := range []string{"k007", "k120"} {
			updateV1(t, b, key, func(n *repotest.NoteV1) { n.Priority = 2 })
		}
		if list := quarantined(t, b); len(list) != 0 {
			t.Errorf("quarantine is %+v", list)
		}
		clean(t, b, rehearse(t, b))
		advance(t, b, repo.Cutover)
	})
}

func TestFindingsPages(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, rows(250)...)
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		insert(t, b, func() (more []repotest.NoteV1) {
			for _, n := range rows(240) {
				n.ID = "m" + n.ID
				more = append(more, n)
			}
			return more
		}()...)
		repotest.Exec(t, repotest.Raw(t, b.URL), "UPDATE notes_v2 SET headline = 'wrong' WHERE id < 'k120'")
		run := verify(t, b, false)
		if run.Status != repo.Succeeded || run.Faults != 120 || run.Behind != 240 || run.Done != 490 {
			t.Errorf("%+v", run)
		}
		seen := map[string]repo.FindingKind{}
		after := ""
		for {
			page, err := b.Control.Findings(t.Context(), run.ID, 50, after)
			if err != nil || page.Total != 220 {
				t.Fatalf("%d, %v", page.Total, err)
			}
			for _, f := range page.Findings {
				seen[f.Key] = f.Kind
				after = f.Cursor
			}
			if !page.HasNext {
				break
			}
		}
		different := 0
		for _, kind := range seen {
			if kind == repo.Different {
				different++
			}
		}
		if len(seen) != 220 || different != 120 {
			t.Errorf("%d findings, %d of them differences", len(seen), different)
		}
		_, err := b.Control.Findings(t.Context(), run.ID, 101, "")
		wantField[*repo.InputError](t, err, "first")
		_, err = b.Control.Findings(t.Context(), run.ID, 1, "x")
		wantField[*repo.InputError](t, err, "after")
	})
}
