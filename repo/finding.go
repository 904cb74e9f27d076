package repo

import (
	"context"
	"database/sql"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// FindingKind says what a verification or a restore has found about a key.
type FindingKind string

// The kinds of findings.
const (
	// Missing: V1 has the row, V2 does not. While rows migrate this is no fault; afterwards it is one.
	Missing FindingKind = "MISSING"
	// StaleCopy: the copy has not caught up with V1. The marks say so already, so it is no fault.
	StaleCopy FindingKind = "STALE"
	// Different: V1 and a fresh copy disagree, or the copy is not what the mapping makes of V1.
	Different FindingKind = "DIFFERENT"
	// Orphan: V2 has the row, V1 does not.
	Orphan FindingKind = "ORPHAN"
)

// Finding is what a verification or a restore has found about a key.
type Finding struct {
	Key  string
	Kind FindingKind
	// Fields are the fields of V1 that differ, by their JSON names.
	Fields []string
	// Reason says why, for example what V1's owner makes of the row, or which constraint refuses it; nil where there is
	// nothing to add.
	Reason *string
	// Repaired means that the run has brought the row up to date with the side that leads.
	Repaired bool
	// Cursor is the place of the finding in the list, for Control.Findings.
	Cursor string
}

// FindingPage is a part of a run's findings, in the order in which they were made.
type FindingPage struct {
	Findings []Finding
	HasNext  bool
	// Total counts the findings that were kept. A run keeps up to 100 rows that are behind and up to 10000 faults, and
	// workers that commit at the same time may each keep some more.
	Total int64
}

const (
	maxBehind = 100
	maxFaults = 10_000
)

// Findings returns up to first (at most 100) findings of a run after a cursor, "" for the start. It fails with an
// *InputError for a wrong first or cursor. A run that does not exist has no findings.
func (c *Control) Findings(ctx context.Context, run int64, first int, after string) (FindingPage, error) {
	var page FindingPage
	if err := checkFirst(first); err != nil {
		return page, err
	}
	position := int64(0)
	if after != "" {
		var err error
		if position, err = strconv.ParseInt(after, 10, 64); err != nil {
			return page, inputError(Faulty("after", "is not a cursor of this list"))
		}
	}
	s := c.db.pools.Reading()
	var err error
	if page.Total, err = s.Number(ctx, c.db.sql(`SELECT count(*) FROM {coexist_finding} WHERE run_id = ?`),
		run); err != nil {
		return page, err
	}
	d := c.db.dialect
	err = s.Query(ctx, func(rows *sql.Rows) error {
		var found struct {
			ID       int64       `json:"id"`
			Key      string      `json:"key"`
			Kind     FindingKind `json:"kind"`
			Fields   string      `json:"fields"`
			Repaired bool        `json:"repaired"`
			Reason   *string     `json:"reason"`
		}
		if err := database.ScanJSON(rows, &found); err != nil {
			return err
		}
		f := Finding{
			Key: found.Key, Kind: found.Kind, Repaired: found.Repaired, Reason: found.Reason,
			Cursor: strconv.FormatInt(found.ID, 10),
		}
		page.Findings = append(page.Findings, f)
		return json.Unmarshal([]byte(found.Fields), &page.Findings[len(page.Findings)-1].Fields)
	}, c.db.sql(`SELECT CAST({object} AS text) FROM {coexist_finding} f WHERE f.run_id = ? AND f.id > ?
		ORDER BY f.id LIMIT ?`,
		"object", d.Object([]database.Member{
			{"id", "f.id"},
			{"key", "f.key"},
			{"kind", "f.kind"},
			{"fields", "f.fields"},
			{"repaired", d.Value("f", flag("repaired"))},
			{"reason", "f.reason"},
		})), run, position, first+1)
	if len(page.Findings) > first {
		page.Findings, page.HasNext = page.Findings[:first], true
	}
	return page, err
}

// report keeps the findings of a chunk, and counts them. Of those that are no faults it keeps only a few, as examples.
func (e runs) report(ctx context.Context, t *tx, c chunk, behind, faults []Finding) (outcome, error) {
	within := func(findings []Finding, counted string, most int64) ([]Finding, error) {
		if len(findings) == 0 {
			return nil, nil
		}
		already, err := t.Number(ctx, e.db.sql(`SELECT coalesce(sum(k.{counted}), 0) FROM {coexist_chunk} k
			WHERE k.run_id = ?`, "counted", counted), c.RunID)
		return findings[:min(int64(len(findings)), max(0, most-already))], err
	}
	keptBehind, err := within(behind, "behind", maxBehind)
	if err != nil {
		return outcome{}, err
	}
	keptFaults, err := within(faults, "faults", maxFaults)
	if err != nil {
		return outcome{}, err
	}
	for _, f := range slices.Concat(keptBehind, keptFaults) {
		_, err := t.Exec(ctx, e.db.sql(`INSERT INTO {coexist_finding} (run_id, key, kind, fields, repaired,
			reason) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, key) DO NOTHING`),
			c.RunID, f.Key, string(f.Kind), database.JSONList(f.Fields), f.Repaired, f.Reason)
		if err != nil {
			return outcome{}, err
		}
	}
	return outcome{behind: len(behind), faults: len(faults)}, nil
}

// differingFields returns the fields in which two aggregates differ, by their JSON names. Both arguments are pointers.
func differingFields(before, after any) []string {
	fields := []string{}
	v, w := reflect.ValueOf(before).Elem(), reflect.ValueOf(after).Elem()
	for i := range v.NumField() {
		if f, differs := shape.DifferingField(v.Field(i), w.Field(i), shape.JoinPath("", v.Type().Field(i))); differs {
			fields = append(fields, f)
		}
	}
	return fields
}
