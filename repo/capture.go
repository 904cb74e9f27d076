package repo

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// Capture is the state of an entity's capture of bypass writes: triggers on the V1 tables append a mark for each change
// that does not come from this engine.
type Capture struct {
	// Enabled is false where an operator has switched capture off, or where triggers are missing.
	Enabled bool
	// LastBypassWriteAt is when a bypass write was last noticed, nil where there was none.
	LastBypassWriteAt *time.Time
	// BypassWrites counts the marks that bypass writes have left.
	BypassWrites int64
}

// capturedTable is a V1 table with triggers.
type capturedTable struct {
	entity, table, key string
	trigger            string   // what the names of its triggers begin with
	gone, all          markKind // what a delete and a TRUNCATE mean
	root               bool
	columns            []string // that the model knows
}

// captureParts says which statements are asked for.
type captureParts int

const (
	captureMissing  captureParts = iota // those for what is not there, or is not as it should be
	captureAll                          // all
	captureOutdated                     // those for what is there and is not as it should be
)

// captured returns the tables of V1. Deleting a root row deletes the entity; deleting a child row changes its parent.
func (e capture) captured() []capturedTable {
	tables := []capturedTable{{
		e.name, e.v1.Name, e.v1.Key.Name, e.triggerName(e.v1.Name), markGone, markAllGone, true,
		columnList(e.v1.Columns),
	}}
	for _, c := range e.v1.Children {
		tables = append(tables, capturedTable{
			e.name, c.Name, c.ParentKey, e.triggerName(c.Name), markChange,
			markAllStale, false, append(columnList(c.Columns), c.ParentKey),
		})
	}
	return tables
}

// triggerName is the prefix of the names of a table's triggers, and the name of their function. It differs between two
// entities on one table, and between tables with long names.
func (e capture) triggerName(table string) string {
	hash := sha256.Sum256([]byte(e.name + "/" + e.db.pools.Schema + "." + table))
	return "coexist_c_" + hex.EncodeToString(hash[:6])
}

// everyKey stands for all keys, in place of the list of the keys that a transaction of ours writes.
const everyKey = "\x1e*\x1e"

// fill fills in a template of SQL; more are further pairs of a name and a text.
func (t capturedTable) fill(template string, more ...string) string {
	return strings.NewReplacer(append([]string{
		"{entity}", literal(t.entity), "{key}", quote(t.key), "{gone}",
		string(t.gone), "{all}", string(t.all),
	}, more...)...).Replace(template)
}

// captureState compares what was recorded of an entity's triggers with what the catalog says of them now.
type captureState struct {
	Known bool // a fingerprint was recorded
	Kept  bool // there was no gap since
	Same  bool // the fingerprint is the one that was recorded
	Whole bool // all triggers are there, and see each write

	fingerprint string
}

func (e capture) state(ctx context.Context, s database.Session) (state captureState, err error) {
	var recorded sql.NullString
	err = s.Query(ctx, func(rows *sql.Rows) error { return rows.Scan(&recorded, &state.fingerprint, &state.Whole) },
		e.db.sql(`SELECT x.capture_fingerprint, {fingerprint}, {captured} FROM {coexist_entity} x WHERE x.name = ?`,
			"fingerprint", e.db.dialect.fingerprint(e), "captured", e.db.dialect.captured(e)), e.name)
	state.Known, state.Same = recorded.Valid, recorded.Valid && recorded.String == state.fingerprint
	state.Kept = state.Same || state.Known && e.db.dialect.kept(recorded.String, state.fingerprint)
	return state, err
}

func columnList(columns []shape.Column) []string {
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = columns[i].Name
	}
	return names
}

// install creates missing triggers and switches on those that are off. Each try makes old programs wait only briefly;
// where they stay in the way, install gives up with a warning in the log. Where our role lacks the right, the log says
// so, and so does the gate to CUTOVER. It fails where the database accepts no triggers on such a table from any role.
func (e capture) install(ctx context.Context) error {
	refused, err := e.mend(ctx, 20*time.Second)
	// ErrUnavailable includes a transaction in the way.
	if refused != nil && !errors.Is(refused, database.ErrDenied) && !errors.Is(refused, ErrUnavailable) {
		return fmt.Errorf(
			"entity %s: the database refuses the triggers that capture bypass writes to table %s, so that it cannot be migrated: %s", e.name, e.v1.Name, shape.FirstLine(refused))
	}
	return err
}

// check notices a gap in the capture: triggers that were dropped or switched off, even if they are back, or a table
// that was replaced. It is cheap where there was no gap. It creates no triggers in a database that was never given any.
func (e capture) check(ctx context.Context) error {
	state, err := e.state(ctx, e.db.pools.Reading())
	if err != nil || !state.Known {
		return err
	}
	if state.Kept && state.Same {
		if behind, err := e.db.dialect.captureBehind(ctx, e.db.pools.Reading(), e); err != nil || !behind {
			return err
		}
	}
	_, err = e.mend(ctx, time.Second)
	return err
}

// mend does the work of capture.install. Where there was a gap, it records the gap: every copy is then stale, and no
// verification counts any more. refused says why triggers are missing or off.
func (e capture) mend(ctx context.Context, long time.Duration) (refused, err error) {
	var wait lockWait
	refused = database.Retry(ctx, database.Patience{Until: time.Now().Add(long)}, database.IsBusy, func() error {
		var statements []string
		if statements, err = e.mending(ctx, e.db.pools.Reading()); err != nil || len(statements) == 0 {
			return nil //nolint:nilerr // it is no refusal, and capture.mend returns it
		}
		refusal := e.db.pools.Classify(e.db.dialect.install(ctx, e.db, func(s database.Session) ([]string, error) {
			statements, err := e.mending(ctx, s)
			// CREATE TRIGGER waits for transactions that have written to V1, and new writers of V1 wait behind it.
			return append(e.db.dialect.waitFor(wait.next()), statements...), err
		}))
		if database.IsBusy(refusal) {
			wait.after(e.blockers(ctx, e.v1Tables()))
		}
		return refusal
	})
	if refused == nil {
		return nil, err
	}
	e.db.logger.WarnContext(ctx, "cannot capture writes that bypass the server: let a DBA run what `coexist ddl` prints",
		"entity", e.name, "error", refused)
	if state, err := e.state(ctx, e.db.pools.Reading()); err != nil || state.Kept {
		return refused, err // known already
	}
	gap := e.gap("true")
	if !database.IsBusy(refused) { // else check finds the gap again, until nobody is in the way
		gap = append(e.record(e.db.dialect.fingerprint(e)), gap...)
	}
	return refused, e.db.pools.Classify(e.db.dialect.install(ctx, e.db, fixedStatements(gap...)))
}

// mending returns the statements of capture.mend, none where everything is as it should be. The mark comes last: a copy
// that was read without it may lack what was written in the gap.
func (e capture) mending(ctx context.Context, s database.Session) ([]string, error) {
	state, err := e.state(ctx, s)
	if err != nil {
		return nil, err
	}
	statements, err := e.db.dialect.capture(ctx, s, e, captureMissing)
	if err != nil {
		return nil, err
	}
	// An instance of an earlier version that runs beside this one creates its own triggers again. They reject our
	// writes where V2 leads.
	earlier, err := e.db.dialect.dropCapture6(ctx, s, e)
	switch {
	case err != nil || len(statements) == 0 && state.Same:
		return earlier, err
	case len(statements) == 0 && state.Kept:
		// Record the state that was found to be no gap, not what has come since.
		return append(earlier, e.record(literal(state.fingerprint))...), nil
	case state.Same && state.Whole: // a newer version of a function
		return e.renew(append(statements, earlier...)), nil
	}
	// A transaction that wrote unseen must have ended: otherwise its rows would be read as they were before.
	return slices.Concat(e.db.dialect.lockV1(e.tables), earlier, statements, e.record(e.db.dialect.fingerprint(e)),
		e.gap("true")), nil
}

// renew returns statements that replace triggers or their functions while nobody writes, so that the replacement is no
// gap itself. They record a gap that was there before.
func (e capture) renew(statements []string) []string {
	broken := e.sql(`EXISTS (SELECT 1 FROM {coexist_entity} x WHERE x.name = {name}
		AND NOT (coalesce(x.capture_fingerprint, '') = {fingerprint} AND {captured}))`,
		"fingerprint", e.db.dialect.fingerprint(e), "captured", e.db.dialect.captured(e))
	fingerprint := e.db.dialect.fingerprint(e)
	return slices.Concat(e.db.dialect.lockV1(e.tables), e.gap(broken), statements, e.record(fingerprint))
}

// record returns the statement that records a fingerprint, which is an SQL expression.
func (e capture) record(fingerprint string) []string {
	return []string{e.sql(`UPDATE {coexist_entity} SET capture_fingerprint = {fingerprint} WHERE name = {name}`,
		"fingerprint", fingerprint)}
}

// gap returns statements that, under a condition, make every copy stale and void every verification, since V1 may have
// changed unseen. Copies in the making count too: the mark is left out only where nobody can have begun to make one.
func (e capture) gap(condition string) []string {
	begun := e.sql(`EXISTS (SELECT 1 FROM {v2}) OR EXISTS (SELECT 1 FROM {coexist_entity} x WHERE x.name = {name}
		AND x.phase <> 'EXPAND' AND (x.capture_generation > 1 OR EXISTS (SELECT 1 FROM {coexist_phase_change} h
		WHERE h.entity = x.name)))`)
	return []string{
		e.sql(`INSERT INTO {mark} (key, kind) SELECT NULL, 'ALL_STALE' WHERE ({condition}) AND ({begun})`,
			"condition", condition, "begun", begun),
		e.sql(`UPDATE {coexist_entity} SET capture_generation = capture_generation + 1 WHERE name = {name}
			AND ({condition}) AND ({begun})`, "condition", condition, "begun", begun),
	}
}

// SetCapture switches the capture of bypass writes on or off. Off means that old programs' writes to V1 are neither
// noticed nor, in CUTOVER and CONTRACT, rejected. Switching capture on again makes every copy stale, since V1 may have
// changed meanwhile. It fails with ErrNotFound for an unknown entity, and with a *BlockedError where transactions in
// flight do not end.
func (c *Control) SetCapture(ctx context.Context, entity string, enabled bool) (Capture, error) {
	e, err := c.entity(entity)
	if err != nil {
		return Capture{}, err
	}
	if enabled {
		if err := e.capture.install(ctx); err != nil {
			return Capture{}, err
		}
	}
	err = e.fenced(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.Exec(ctx, c.db.sql(`UPDATE {coexist_entity} SET capture = ?, capture_generation =
			capture_generation + 1 WHERE name = ? AND capture <> ?`), enabled, e.name, enabled)
		if err != nil || n == 0 || !enabled {
			return err
		}
		statements := e.capture.gap("true")
		if e.db.dialect.Lock() != "" {
			// A snapshot from while capture was off must not write where V2 leads. Updating the barrier makes such a
			// transaction fail, since its trigger locks that row.
			statements = append(statements, e.sql(`UPDATE {coexist_barrier} SET leads = leads WHERE name = {name}
				AND leads = 'V2'`))
		}
		for _, statement := range statements {
			if _, err := t.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Capture{}, err
	}
	return c.Capture(ctx, entity)
}

// Capture returns the state of an entity's capture. It fails with ErrNotFound for an unknown one.
func (c *Control) Capture(ctx context.Context, entity string) (Capture, error) {
	e, err := c.entity(entity)
	if err != nil {
		return Capture{}, err
	}
	s := c.db.pools.Reading()
	state, err := e.capture.state(ctx, s)
	if err != nil {
		return Capture{}, err
	}
	var found struct {
		Capture bool       `json:"capture"`
		Count   int64      `json:"count"`
		At      *time.Time `json:"at"`
	}
	d := c.db.dialect
	err = s.Query(ctx, func(rows *sql.Rows) error { return database.ScanJSON(rows, &found) }, c.db.sql(`SELECT CAST({object} AS text)
		FROM {coexist_entity} e WHERE e.name = ?`,
		"object", d.Object([]database.Member{
			{"capture", d.Value("e", flag("capture"))},
			{"count", e.bypassWrites()},
			{"at", fill(`(SELECT max(b.at) FROM ({bypassLog}) b)`,
				"bypassLog", e.bypassLog("max(m.at) AS at", "max(b.at)"))},
		})), e.name)
	if found.At != nil {
		at := found.At.UTC()
		found.At = &at
	}
	return Capture{Enabled: found.Capture && state.Whole, BypassWrites: found.Count, LastBypassWriteAt: found.At}, err
}

// bypassWrites is a scalar subquery that counts the marks that bypass writes have ever left.
func (e statements) bypassWrites() string {
	return fill(`(SELECT CAST(coalesce(sum(b.n), 0) AS bigint) FROM ({bypassLog}) b)`,
		"bypassLog", e.bypassLog("count(*) AS n", "sum(b.count)"))
}

// bypassLog is a query of two aggregates: one over the marks that still exist, one over the log of the deleted ones.
func (e statements) bypassLog(marks, log string) string {
	return e.sql(`SELECT {marks} FROM {mark} m WHERE m.bypass UNION ALL SELECT {log} FROM {coexist_bypass} b
		WHERE b.entity = {name}`, "marks", marks, "log", log)
}

// foldBypassLog keeps the log of bypass writes short.
func (db *DB) foldBypassLog(ctx context.Context) error {
	const long = 1000
	for _, e := range db.entities {
		n, err := db.pools.Reading().Number(ctx, db.sql(`SELECT count(*) FROM {coexist_bypass} WHERE entity = ?`), e.name)
		if err != nil {
			return err
		}
		if n < long {
			continue
		}
		if err := db.dialect.install(ctx, db, fixedStatements(db.dialect.foldBypass(e.statements)...)); err != nil {
			return err
		}
	}
	return nil
}
