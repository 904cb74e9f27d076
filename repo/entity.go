package repo

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// entity is what the engine knows about an entity, apart from its Go types. Each part does one kind of work on it.
type entity struct {
	statements
	marks       marks
	copies      copies
	v1Rows      v1Rows
	foreignKeys foreignKeys
	capture     capture
	checks      checks
	fitting     fitting
	ddl         ddl
	runs        runs
	sweeping    sweeping
	survey      survey
	counting    counting

	initialPhase Phase
	sorts        map[string]Sort
	converter    converter             // the Repository
	firstBatch   atomic.Int64          // a run's first batch size, once a larger one was too large; else 0
	lastFence    atomic.Pointer[fence] // what the last statement found: a guess at what the next will find
	storing      storing
	seats        seats
}

// The parts of an entity. A part that holds only the statements begins and ends no transaction, and decides no phase.
type (
	// statements build SQL over the entity's tables, and send the statements that write rows.
	statements struct{ *tables }
	// marks are the log of what happened to keys.
	marks struct{ statements }
	// capture notices other programs' writes to V1.
	capture struct{ statements }
	// copies are the rows of V2.
	copies struct{ *entity }
	// v1Rows are the rows of V1.
	v1Rows struct{ *entity }
	// foreignKeys are the foreign keys of V1's tables, and the references to the entity.
	foreignKeys struct{ *entity }
	// checks are what must hold before an entity is served.
	checks struct{ *entity }
	// fitting makes V2's columns follow V1's.
	fitting struct{ *entity }
	// ddl creates the entity's tables.
	ddl struct{ *entity }
	// runs are background runs: work on all rows, in chunks.
	runs struct{ *entity }
	// sweeping is the run that stores the rows that use has not stored.
	sweeping struct{ *entity }
	// survey gathers the facts that gates decide on.
	survey struct{ *entity }
	// counting says how far a migration has come.
	counting struct{ *entity }
)

// V2's root table has these columns besides the model's. Only the engine needs them.
const (
	seqColumn            = "coexist_seq"
	versionColumn        = "coexist_version"
	mappingVersionColumn = "coexist_mapping_version"
	refinedColumn        = "coexist_refined"
	originColumn         = "coexist_origin"
	migratedAtColumn     = "coexist_migrated_at"
	goneSeenColumn       = "coexist_gone_seen"
	staleSeenColumn      = "coexist_stale_seen"
)

var entityName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,39}$`)

func newEntity(db *DB, name string, v1, v2 reflect.Type) (*entity, error) {
	if !entityName.MatchString(name) {
		return nil, errors.New("a name is at most 40 letters, digits and underscores, and starts with a letter")
	}
	if slices.ContainsFunc(db.entities, func(e *entity) bool { return strings.EqualFold(e.name, name) }) {
		return nil, errors.New("described twice")
	}
	e := &entity{statements: statements{&tables{
		db: db, name: name, markTable: db.qualify(ownTable(name, "mark")),
		quarantineTable: db.qualify(ownTable(name, "quarantine")),
	}}}
	e.marks, e.capture = marks{e.statements}, capture{e.statements}
	e.copies, e.v1Rows, e.foreignKeys = copies{e}, v1Rows{e}, foreignKeys{e}
	e.checks, e.fitting, e.ddl = checks{e}, fitting{e}, ddl{e}
	e.runs, e.sweeping, e.survey, e.counting = runs{e}, sweeping{e}, survey{e}, counting{e}
	var err error
	if e.v1, err = shape.Parse(reflect.New(v1).Interface()); err != nil {
		return nil, err
	}
	if e.v2, err = shape.Parse(reflect.New(v2).Interface()); err != nil {
		return nil, err
	}
	if err := errors.Join(e.reserved(), e.sharesTable()); err != nil {
		return nil, err
	}
	for _, t := range append(e.v1.All(), e.v2.All()...) {
		for _, c := range t.Columns {
			if db.dialect.Unnameable(c.Name) {
				return nil, fmt.Errorf("column %s of table %s: SQLite cannot find a name with a quote or a backslash in a document",
					c.Name, t.Name)
			}
		}
	}
	for _, t := range append(e.v1.All(), e.v2.All()...) {
		t.SQL = db.qualify(t.Name)
	}
	kind := v1.FieldByIndex(e.v1.Key.Index).Type.Kind()
	e.intKey = kind >= reflect.Int && kind <= reflect.Int64
	if !e.intKey && kind != reflect.String {
		return nil, fmt.Errorf("the key of %s is neither a string nor a signed integer", v1.Name())
	}
	if kind2 := v2.FieldByIndex(e.v2.Key.Index).Type.Kind(); (kind2 == reflect.String) == e.intKey {
		return nil, fmt.Errorf("the keys of %s and %s are of different types", v1.Name(), v2.Name())
	}
	for _, c := range e.v1.Children {
		if len(c.Own) == 0 {
			return nil, fmt.Errorf(
				`%s.%s: a field of a V1 child row must be tagged gorm:"primaryKey": it tells the rows of one parent apart`, v1.Name(), c.JSON)
		}
	}
	for _, c := range e.v2.Children {
		if len(c.Own) > 0 {
			return nil,
				fmt.Errorf(`%s.%s: a V2 child row needs no field tagged gorm:"primaryKey": it is known by its position`,
					v2.Name(), c.JSON)
		}
	}
	return e, e.checkKeeps(func(c *shape.Column) string { return c.Declared })
}

// ownTable names one of the engine's tables that each entity has.
func ownTable(entity, what string) string {
	return "coexist_" + strings.ToLower(entity) + "_" + what
}

// fenceQuery is a scalar subquery for the fence: what a statement says about the entity besides its answer.
func (e statements) fenceQuery() string {
	return fill(`(SELECT f.fence FROM ({source}) f)`, "source", e.fenceSource())
}

// fenceSource is a query of the fence, as decodeFence reads it, and of how many marks of all keys there are of either
// kind. It has no row where the database does not know the entity.
func (e statements) fenceSource() string {
	d := e.db.dialect
	bit := func(condition string) string {
		return fill(`CASE WHEN {condition} THEN 1 ELSE 0 END`, "condition", condition)
	}
	return e.sql(`SELECT {fields} AS fence, n.gone, n.stale FROM {coexist_entity} e CROSS JOIN
		(SELECT {gone} AS gone, {stale} AS stale FROM {mark} a WHERE a.key IS NULL) n WHERE e.name = {name}`,
		"gone", countKind(markAllGone), "stale", countKind(markAllStale), "fields", strings.Join([]string{
			"e.phase", "e.epoch", "e.mapping_version", bit("e.incomplete"), bit("e.restoring"), "n.gone", "n.stale",
			bit(d.Standby()), bit(d.Hides(e.readTables())), d.NowText(),
		}, " || ' ' || "))
}

// countKind counts the marks a of a kind.
func countKind(kind markKind) string {
	return fill(`count(CASE WHEN a.kind = {kind} THEN 1 END)`, "kind", literal(string(kind)))
}

func markDocument(d database.Expressions) string {
	return d.Object([]database.Member{
		{"id", "m.id"},
		{"key", "CAST(m.key AS text)"},
		{"kind", "m.kind"},
		{"floor", "m.floor"},
		{"bypass", d.Value("m", flag("bypass"))},
	})
}

// decodeFence reads what fenceSource has written. document is nil where that has found nothing.
func (e *entity) decodeFence(document []byte, f *fence) error {
	if document == nil {
		return fmt.Errorf(
			"%w: it does not know entity %s: start the server with --auto-migrate, or run what `coexist ddl` prints",
			ErrUnavailable, e.name)
	}
	rest, broken := string(document), false
	next := func() (field string) {
		field, rest, _ = strings.Cut(rest, " ")
		return field
	}
	number := func() int64 {
		n, err := strconv.ParseInt(next(), 10, 64)
		broken = broken || err != nil
		return n
	}
	*f = fence{Phase: Phase(next()), Epoch: number(), MappingVersion: int(number())}
	f.Incomplete, f.Restoring = number() != 0, number() != 0
	f.AllMarks = allMarks{Gone: number(), Stale: number()}
	f.Standby, f.Hidden, f.Now = number() != 0, number() != 0, next()
	if broken || f.Now == "" {
		return fmt.Errorf("the fence of %s cannot be read: %q", e.name, document)
	}
	return nil
}

// flag is a Boolean column of the engine's own tables.
func flag(name string) *shape.Column { return &shape.Column{Name: name, IsBool: true} }

// guess is the fence that the next statement will probably find.
func (e *entity) guess() fence {
	if f := e.lastFence.Load(); f != nil {
		return *f
	}
	first := fence{Phase: Contract}
	// Coexistence begins.
	first.Phase = Migrate
	// Coexistence ends.
	return first
}

// locks are the statements that lock an aggregate as f requires; each takes the key as its argument. They lock the
// leading root row first, then V1's rows where they are written. They never wait for V1's child rows. V2's child rows
// need no lock: they belong to the transaction that holds their parent.
func (e *entity) locks(f fence, deleting bool) []string {
	strength := " FOR NO KEY UPDATE"
	if deleting {
		strength = " FOR UPDATE"
	}
	var statements []string
	if f.leader() == sideV2 {
		statements = append(statements, e.sql(`SELECT true FROM {v2} WHERE {v2.key} = {?}{strength}`,
			"strength", strength))
		if !f.writesV1() {
			return statements
		}
	}
	statements = append(statements, e.sql(`SELECT true FROM {v1} WHERE {v1.key} = {?}{strength}`, "strength", strength))
	for _, c := range e.v1.Children {
		statements = append(statements, e.sql(`SELECT 1 FROM {child} WHERE {parent} = {?}{strength} NOWAIT`,
			"child", c.SQL, "parent", quote(c.ParentKey), "strength", strength))
	}
	return statements
}

// locked returns a *database.BusyError where a transaction opened with the locks of guess, but found calls for others.
func (e *entity) locked(guess, found fence) error {
	e.lastFence.Store(&found)
	if guess.leader() != found.leader() || guess.writesV1() != found.writesV1() {
		return database.Busy(ErrPhaseChanged)
	}
	return nil
}

// v1Tables are the quoted names of the V1 tables of all entities.
func (db *DB) v1Tables() []string {
	var names []string
	for _, e := range db.entities {
		names = append(names, e.v1Tables()...)
	}
	return names
}
