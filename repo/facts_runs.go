package repo

import (
	"context"
	"database/sql"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// runFacts gathers what rehearsals, verifications and restores have found.
func (e survey) runFacts(ctx context.Context, s database.Session, f *facts) error {
	d := e.db.dialect
	faults := e.db.sql(`(SELECT coalesce(sum(k.faults), 0) FROM {coexist_chunk} k WHERE k.run_id = r.id)`)
	newest := func(kind RunKind, condition, selected string) string {
		return e.db.sql(`(SELECT {selected} FROM {coexist_run} r WHERE r.entity = e.name AND r.kind = '{kind}'
			AND {condition} ORDER BY r.id DESC LIMIT 1)`, "selected", selected, "kind", string(kind),
			"condition", condition)
	}
	clean := fill(`r.status = 'SUCCEEDED' AND {faults} = 0`, "faults", faults)
	var found struct {
		Capture      bool              `json:"capture"`
		Generation   int64             `json:"generation"`
		Restoring    bool              `json:"restoring"`
		Epoch        int64             `json:"epoch"`
		Rehearsal    *int64            `json:"rehearsal"`
		Rehearsed    *int64            `json:"rehearsed"`
		Unfit        *int64            `json:"unfit"`
		Clean        *int64            `json:"clean"`
		CleanEpoch   *int64            `json:"cleanEpoch"`
		CleanDone    *int64            `json:"cleanDone"`
		Empty        database.JSONFlag `json:"empty"`
		CleanCapture *int64            `json:"cleanCapture"`
		CleanBypass  *int64            `json:"cleanBypass"`
		CleanBehind  *int64            `json:"cleanBehind"`
		Red          *int64            `json:"red"`
		RedFaults    *int64            `json:"redFaults"`
		Bypass       int64             `json:"bypass"`
		Restore      *int64            `json:"restore"`
		RestoreRed   *int64            `json:"restoreRed"`
		RestoreDone  *string           `json:"restoreDone"`
	}
	err := s.Query(ctx, func(rows *sql.Rows) error { return database.ScanJSON(rows, &found) }, e.db.sql(`SELECT CAST({object} AS text)
		FROM {coexist_entity} e WHERE e.name = ?`,
		"object", d.Object([]database.Member{
			{"capture", d.Value("e", flag("capture"))},
			{"generation", "e.capture_generation"},
			{"restoring", d.Value("e", flag("restoring"))},
			{"epoch", "e.epoch"},
			{"rehearsal", newest(Rehearsal, "r.status = 'SUCCEEDED'", "r.id")},
			{"rehearsed", newest(Rehearsal, "r.status = 'SUCCEEDED'", "r.total")},
			{"unfit", newest(Rehearsal, "r.status = 'SUCCEEDED'", e.db.sql(`(SELECT sum(k.quarantined)
				FROM {coexist_chunk} k WHERE k.run_id = r.id)`))},
			{"clean", newest(Verification, clean, "r.id")},
			{"cleanEpoch", newest(Verification, clean, "r.epoch")},
			{"cleanDone", newest(Verification, clean, e.db.sql(`(SELECT sum(k.done) FROM {coexist_chunk} k
				WHERE k.run_id = r.id)`))},
			{"empty", e.sql(`NOT EXISTS (SELECT 1 FROM {v1})`)},
			{"cleanCapture", newest(Verification, clean, "r.capture_generation")},
			{"cleanBypass", newest(Verification, clean, "r.bypass_before")},
			{"cleanBehind", newest(Verification, clean, e.db.sql(`(SELECT sum(k.behind) FROM {coexist_chunk} k
				WHERE k.run_id = r.id)`))},
			{"red", newest(Verification, faults+" > 0", "r.id")},
			{"redFaults", newest(Verification, faults+" > 0", faults)},
			{"bypass", e.bypassWrites()},
			{"restore", newest(Restore, "true", "r.id")},
			{"restoreRed", newest(Restore, "true", faults)},
			{"restoreDone", newest(Restore, "true", "r.status")},
		})), e.name)
	if err != nil {
		return err
	}
	value := func(n *int64) int64 {
		if n == nil {
			return 0
		}
		return *n
	}
	f.rehearsed, f.rehearsedRows, f.unfit = found.Rehearsal != nil, value(found.Rehearsed), value(found.Unfit)
	if f.to == Migrate && f.unfit > 0 {
		if err := scanText(ctx, s, &f.quarantinedExample, e.sql(`SELECT CAST(q.key AS text) FROM {quarantine} q
			ORDER BY q.key LIMIT 1`)); err != nil {
			return err
		}
	}
	f.capture = f.capture && found.Capture
	if value(found.Red) > value(found.Clean) {
		f.drift = value(found.RedFaults)
		if err := e.findingExample(ctx, s, *found.Red, &f.driftExample); err != nil {
			return err
		}
	} else if found.Clean != nil && *found.CleanEpoch == found.Epoch &&
		(bool(found.Empty) || value(found.CleanDone) > 0) {
		// A phase is identified by its epoch, not by a clock. A verification that has looked at no row of a table with
		// rows has verified nothing.
		f.verified, f.behind = true, value(found.CleanBehind)
		f.bypass = found.Bypass - value(found.CleanBypass)
		f.captureKept = value(found.CleanCapture) == found.Generation
	}
	f.restored = found.Restoring && found.RestoreDone != nil && RunStatus(*found.RestoreDone) == Succeeded
	if f.restoreFindings = value(found.RestoreRed); f.restoreFindings > 0 {
		return e.findingExample(ctx, s, *found.Restore, &f.restoreExample)
	}
	return nil
}

// findingExample reads the key of a fault. A missing row is a fault only where V2 leads; such a row comes last.
func (e survey) findingExample(ctx context.Context, s database.Session, run int64, to **string) error {
	return scanText(ctx, s, to, e.db.sql(`SELECT f.key FROM {coexist_finding} f WHERE f.run_id = ?
		AND f.kind <> 'STALE_COPY' ORDER BY CASE WHEN f.kind = 'MISSING' THEN 1 ELSE 0 END, f.id LIMIT 1`), run)
}
