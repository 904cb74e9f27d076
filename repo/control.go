package repo

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// Control is the operator's side of the engine: phases, progress, quarantine and runs of all entities of a database. It
// is safe for concurrent use. It does not check rights: the caller does.
type Control struct{ db *DB }

// NewControl returns the control of all entities of db, whether they are described to it before or after this call.
func NewControl(db *DB) *Control { return &Control{db} }

// Migration says where an entity's migration stands.
type Migration struct {
	Entity         string
	Phase          Phase
	PhaseChangedAt time.Time
	// Incomplete means that CUTOVER was forced while V2 lacked rows. It is false in EXPAND and MIGRATE.
	Incomplete bool
	// MappingVersion is the highest version of the mapping that any instance has brought.
	MappingVersion int
}

// PhaseChange is one step in an entity's history.
type PhaseChange struct {
	From, To Phase
	At       time.Time
	Actor    string
	Reason   *string
	Forced   bool
}

// PhaseRequest asks for a phase. Entity, To and Actor are required.
type PhaseRequest struct {
	Entity string
	To     Phase
	// Force passes blockers that are only warnings, and needs a Reason.
	Force bool
	// Reason is kept in the history, at most 1000 characters.
	Reason *string
	// Actor is who asks, kept in the history.
	Actor string
}

// entity returns ErrNotFound for an unknown name.
func (c *Control) entity(name string) (*entity, error) {
	i := slices.IndexFunc(c.db.entities, func(e *entity) bool { return e.name == name })
	if i < 0 {
		return nil, fmt.Errorf("entity %q: %w", name, ErrNotFound)
	}
	return c.db.entities[i], nil
}

// Migrations returns all entities, in the order in which they were described.
func (c *Control) Migrations(ctx context.Context) ([]Migration, error) {
	migrations := make([]Migration, len(c.db.entities))
	for i, e := range c.db.entities {
		var err error
		if migrations[i], err = c.Migration(ctx, e.name); err != nil {
			return nil, err
		}
	}
	return migrations, nil
}

// Migration returns one entity. It fails with ErrNotFound for an unknown one.
func (c *Control) Migration(ctx context.Context, entity string) (Migration, error) {
	e, err := c.entity(entity)
	if err != nil {
		return Migration{}, err
	}
	m := Migration{Entity: e.name}
	found, standby := false, false
	d := c.db.dialect
	err = c.db.pools.Answering().Query(ctx, func(rows *sql.Rows) error {
		found = true
		return database.ScanJSON(rows, &struct {
			Phase          *Phase     `json:"phase"`
			PhaseChangedAt *time.Time `json:"phaseChangedAt"`
			Incomplete     *bool      `json:"incomplete"`
			MappingVersion *int       `json:"mappingVersion"`
			Standby        *bool      `json:"standby"`
		}{&m.Phase, &m.PhaseChangedAt, &m.Incomplete, &m.MappingVersion, &standby})
	}, c.db.sql(`SELECT CAST({object} AS text) FROM {coexist_entity} e WHERE e.name = ?`,
		"object", d.Object([]database.Member{
			{"standby", d.Standby()},
			{"phase", "e.phase"},
			{"phaseChangedAt", "e.phase_changed_at"},
			{"incomplete", d.Value("e", &shape.Column{Name: "incomplete", IsBool: true})},
			{"mappingVersion", "e.mapping_version"},
		})), e.name)
	if err == nil && !found {
		err = e.decodeFence(nil, nil)
	}
	if err == nil && standby {
		return Migration{}, database.ErrStandby
	}
	m.PhaseChangedAt = m.PhaseChangedAt.UTC()
	return m, err
}

// Behind names the entities whose mapping another instance has brought in a newer version than this instance has. This
// instance still answers reads of them (from V1's own rows where V1's shape is requested), and should be replaced.
func (c *Control) Behind(ctx context.Context) ([]string, error) {
	migrations, err := c.Migrations(ctx)
	if err != nil {
		return nil, err
	}
	var behind []string
	for i, m := range migrations {
		if m.MappingVersion > c.db.entities[i].mappingVersion {
			behind = append(behind, m.Entity)
		}
	}
	return behind, nil
}

// History returns up to first (at most 100) phase changes of an entity, newest first. It fails with ErrNotFound for an
// unknown entity, and with an *InputError for a wrong first.
func (c *Control) History(ctx context.Context, entity string, first int) ([]PhaseChange, error) {
	e, err := c.entity(entity)
	if err != nil {
		return nil, err
	}
	if err := checkFirst(first); err != nil {
		return nil, err
	}
	d := c.db.dialect
	var history []PhaseChange
	err = c.db.pools.Reading().Query(ctx, func(rows *sql.Rows) error {
		var change PhaseChange
		err := database.ScanJSON(rows, &struct {
			From   *Phase     `json:"from"`
			To     *Phase     `json:"to"`
			At     *time.Time `json:"at"`
			Actor  *string    `json:"actor"`
			Reason **string   `json:"reason"`
			Forced *bool      `json:"forced"`
		}{&change.From, &change.To, &change.At, &change.Actor, &change.Reason, &change.Forced})
		change.At = change.At.UTC()
		history = append(history, change)
		return err
	}, c.db.sql(`SELECT CAST({object} AS text) FROM {coexist_phase_change} h WHERE h.entity = ? ORDER BY h.id DESC
		LIMIT ?`,
		"object", d.Object([]database.Member{
			{"from", "h.from_phase"},
			{"to", "h.to_phase"},
			{"at", "h.at"},
			{"actor", "h.actor"},
			{"reason", "h.reason"},
			{"forced", d.Value("h", &shape.Column{Name: "forced", IsBool: true})},
		})), e.name, first)
	return history, err
}

func checkFirst(first int) error {
	if first < 0 || first > maxPage {
		return inputError(Faulty("first", "is %d, but must be from 0 to %d", first, maxPage))
	}
	return nil
}

// SetPhase changes the phase of an entity once its gate is open, and waits for the writes in flight to end. Every
// instance obeys it from then on. Requesting the phase that is already in force changes nothing, except that an
// incomplete CUTOVER, requested again, becomes complete when its gate is open.
//
// It fails with ErrNotFound for an unknown entity, with an *InputError for a step that is not possible and for force
// without a reason, with a *GateClosedError that says what blocks the step, with ErrPhaseChanged where somebody else
// has changed the phase meanwhile, and with a *BlockedError where transactions in flight do not end within
// Config.PhasePatience. On PostgreSQL the step to CUTOVER first adds the foreign keys of V2's child tables, and
// validates them.
func (c *Control) SetPhase(ctx context.Context, request PhaseRequest) (Migration, error) {
	e, err := c.entity(request.Entity)
	if err != nil {
		return Migration{}, err
	}
	if request.Reason != nil {
		reason := shape.Column{Path: []string{"reason"}, Declared: "varchar(1000)"}
		if err := reason.CheckValue(reflect.ValueOf(*request.Reason), ""); err != nil {
			return Migration{}, inputError(err)
		}
	}
	f, err := e.fenceNow(ctx, c.db.pools.Answering())
	if err != nil && !errors.Is(err, ErrHiddenRows) {
		return Migration{}, err
	}
	if f.Phase == request.To && !f.Incomplete {
		return c.Migration(ctx, e.name)
	}
	if err := nextPhase(f.Phase, request.To); err != nil {
		return Migration{}, inputError(err)
	}
	for try := 1; ; try++ {
		found, marksBefore, err := c.facts(ctx, e, f, request.To, true)
		if err != nil {
			return Migration{}, err
		}
		if err := mayPass(found, request.Force, request.Reason); err != nil {
			return Migration{}, err
		}
		if len(found.addable) > 0 {
			if err := e.ddl.addChildKeys(ctx); err != nil {
				return Migration{}, err
			}
		}
		err = e.fenced(ctx, func(ctx context.Context, t *tx) error {
			return e.setPhase(ctx, t, f, found,
				marksBefore, request)
		})
		again := errors.Is(err, errCaptureGap) || errors.Is(err, errUnmarked) || errors.Is(err, errChildKeys)
		switch {
		case err == nil:
			return c.Migration(ctx, e.name)
		case !again || try == 5:
			return Migration{}, err
		}
	}
}

// errCaptureGap means that the capture has had a gap since the facts were gathered. They must be gathered again, with
// the copies that the gap has made stale.
var errCaptureGap = fmt.Errorf("%w: the triggers on V1 are being changed", ErrUnavailable)

// errUnmarked means that V1 has been seeded, or capture switched, since the facts were gathered. They must be gathered
// again.
var errUnmarked = fmt.Errorf("%w: V1 is being filled, or its capture switched", ErrUnavailable)

// errChildKeys means that somebody has dropped a foreign key that the step has just added.
var errChildKeys = fmt.Errorf("%w: the foreign keys of V2's child tables are being dropped", ErrUnavailable)

// setPhase is the step itself, under the locks. before is the fence that the facts were gathered under.
func (e *entity) setPhase(ctx context.Context, t *tx, before fence, found facts, marksBefore allMarks,
	request PhaseRequest,
) error {
	if t.fence.Phase != before.Phase || t.fence.Epoch != before.Epoch {
		return fmt.Errorf("%w: it is %s now", ErrPhaseChanged, t.fence.Phase)
	}
	state, err := e.capture.state(ctx, t.Session)
	if err != nil {
		return err
	}
	if state.Known && !state.Kept {
		return errCaptureGap
	}
	if seeds, generation, err := e.marks.unmarked(ctx, t.Session); err != nil || seeds != found.seeds ||
		generation != found.generation {
		return cmp.Or(err, errUnmarked)
	}
	if err := e.survey.changedSince(ctx, t.Session, &found, marksBefore); err != nil {
		return err
	}
	if err := mayPass(found, request.Force, request.Reason); err != nil {
		return err
	}
	if len(found.addable) > 0 {
		return errChildKeys
	}
	now := e.db.dialect.Now()
	incomplete := request.To == Cutover && before.Phase != Contract && found.lacking()
	if _, err := t.Exec(ctx, e.db.sql(`UPDATE {coexist_entity} SET phase = ?, incomplete = ?, restoring = ?, epoch
		= epoch + 1, phase_changed_at = {now} WHERE name = ?`, "now", now),
		string(request.To), incomplete, false, e.name); err != nil {
		return err
	}
	_, err = t.Exec(ctx, e.db.sql(`INSERT INTO {coexist_phase_change} (entity, from_phase, to_phase, at, actor,
		reason, forced) VALUES (?, ?, ?, {now}, ?, ?, ?)`, "now", now),
		e.name, string(before.Phase), string(request.To), request.Actor, request.Reason, len(found.blockers()) > 0)
	return err
}

// WatchMigration sends the state of an entity at once, and again whenever its phase or its progress has changed. It
// looks every second. When ctx ends, it closes the channel. It fails with ErrNotFound for an unknown entity.
func (c *Control) WatchMigration(ctx context.Context, entity string) (<-chan Migration, error) {
	m, err := c.Migration(ctx, entity)
	if err != nil {
		return nil, err
	}
	seen := m
	progress, err := c.Progress(ctx, entity, false)
	if err != nil {
		return nil, err
	}
	return watch(ctx, c.db, time.Second, m, func(ctx context.Context) (Migration, bool, bool, error) {
		m, err := c.Migration(ctx, entity)
		if err != nil {
			return m, false, false, err
		}
		p, err := c.Progress(ctx, entity, false)
		changed := m != seen || !p.equal(progress)
		seen, progress = m, p
		return m, changed, false, err
	}), nil
}

// watch sends first, and then each state that look reports as changed, until ctx ends or look reports the last state.
func watch[T any](ctx context.Context, db *DB, every time.Duration, first T,
	look func(context.Context) (state T, changed, last bool, err error),
) <-chan T {
	states := make(chan T, 1)
	states <- first
	go func() {
		defer close(states)
		for database.Pause(ctx, every) == nil {
			state, changed, last, err := look(ctx)
			if err != nil {
				// The database is away: watchers get the next state when it is back.
				db.logger.DebugContext(ctx, "cannot watch", "error", err)
				continue
			}
			if changed {
				select {
				case states <- state:
				case <-ctx.Done():
					return
				}
			}
			if last {
				return
			}
		}
	}()
	return states
}
