package repo

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// entity is what the engine knows of an entity apart from its Go types.
type entity struct {
	db             *DB
	name           string
	v1, v2         *shape.Table
	intKey         bool
	mappingVersion int
	initialPhase   Phase
	sorts          map[string]Sort
	references     []Reference
	keys           database.TableKeys // of V1's tables
	converter      converter          // the Repository
	firstBatch     atomic.Int64       // rows with which a worker of a run begins, where that was too many; else 0
	// The log of marks and the quarantine, as a statement names them.
	markTable, quarantineTable string
	catalogs                   atomic.Int64          // counts what has become known of columns
	keyStatements              sync.Map              // of keyRead: the builtStatement
	lastFence                  atomic.Pointer[fence] // what the last statement said: a guess at what the next will say
	storing                    storing
	seats                      seats
}

// V2's root table has these columns besides the model's. Nobody but the engine needs them.
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
	e := &entity{
		db: db, name: name, markTable: db.qualify(ownTable(name, "mark")),
		quarantineTable: db.qualify(ownTable(name, "quarantine")),
	}
	var err error
	if e.v1, err = shape.Parse(reflect.New(v1).Interface()); err != nil {
		return nil, err
	}
	if e.v2, err = shape.Parse(reflect.New(v2).Interface()); err != nil {
		return nil, err
	}
	if err := e.reserved(); err != nil {
		return nil, err
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

// ownTable names a table of the engine's that each entity has.
func ownTable(entity, what string) string {
	return "coexist_" + strings.ToLower(entity) + "_" + what
}

// keyColumn is a column of a name that holds whatever V1's key may, also once that is wider.
func (e *entity) keyColumn(name string) shape.Column {
	key := *e.v1.Key
	key.Name, key.Catalog, key.Declared = name, nil, e.db.dialect.Compared(e.v1.Key)
	return key
}

// asKey is an expression, or an argument, as a key.
func (e *entity) asKey(expression string) string { return e.db.dialect.AsKey(e.v1.Key, expression) }

// fenceQuery is a scalar subquery: what a statement says of the entity besides its answer.
func (e *entity) fenceQuery() string {
	d := e.db.dialect
	return e.sql(`(SELECT {object} FROM {coexist_entity} e WHERE e.name = {name})`,
		"object", d.Object([]database.Member{
			{"phase", "e.phase"},
			{"epoch", "e.epoch"},
			{"mappingVersion", "e.mapping_version"},
			{"incomplete", d.Value("e", flag("incomplete"))},
			{"restoring", d.Value("e", flag("restoring"))},
			{"allMarks", d.Object([]database.Member{
				{"gone", e.countAll(markAllGone)},
				{"stale", e.countAll(markAllStale)},
			})},
			{"now", d.Now()},
			{"standby", d.Standby()},
			{"hidden", d.Hides(e.readTables())},
		}))
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

func (e *entity) decodeFence(document []byte, f *fence) error {
	if document == nil {
		return fmt.Errorf(
			"%w: it does not know entity %s: start the server with --auto-migrate, or run what `coexist ddl` prints",
			ErrUnavailable, e.name)
	}
	return json.Unmarshal(document, f)
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

// locks are the statements, each with the key as its argument, that lock an aggregate as f asks: first the leading root
// row, then V1's rows where they are written, for whose child rows they never wait. V2's child rows are nobody's but of
// who has their parent.
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

// locked returns a *busyError where a transaction that opened with the locks of guess should have taken others.
func (e *entity) locked(guess, found fence) error {
	e.lastFence.Store(&found)
	if guess.leader() != found.leader() || guess.writesV1() != found.writesV1() {
		return database.Busy(ErrPhaseChanged)
	}
	return nil
}

// uuidForm is how PostgreSQL reads a uuid (https://www.postgresql.org/docs/current/datatype-uuid.html).
var uuidForm = regexp.MustCompile(`^(([0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}|\{([0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}\})$`)

// uuidKey reports whether the database takes nothing but a uuid for a key.
func (e *entity) uuidKey() bool {
	return e.db.dialect.Strict() && shape.TypeFamily(e.v1.Key.Now().SQLType) == "uuid"
}

// uuidSpelled is a uuid of uuidForm as PostgreSQL spells it.
func uuidSpelled(key string) string {
	digits := strings.ToLower(strings.NewReplacer("-", "", "{", "", "}", "").Replace(key))
	return digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:]
}

// validKey reports whether a key could be in the database as it is written: an integer in its usual form, a uuid, or
// text. V1's column may have been widened, so its limits say nothing here.
func (e *entity) validKey(key string) bool {
	if e.intKey {
		n, err := strconv.ParseInt(key, 10, 64)
		return err == nil && strconv.FormatInt(n, 10) == key
	}
	if e.uuidKey() && !uuidForm.MatchString(key) {
		return false
	}
	return utf8.ValidString(key) && !strings.ContainsRune(key, 0) &&
		(!e.v1.Key.Now().Padded || !strings.HasSuffix(key, " "))
}

// holdsKey reports whether V1's column, as the catalog was read last, holds a key.
func (e *entity) holdsKey(key string) bool {
	l := e.v1.Key.Now().Limits
	if !e.validKey(key) || l.Runes > 0 && utf8.RuneCountInString(key) > l.Runes {
		return false
	}
	n, _ := strconv.ParseInt(key, 10, 64) // which a key that is valid is where it must be
	fits := func(c *shape.Column) bool { return !reflect.Zero(c.GoType).OverflowInt(n) }
	return !e.intKey || (!l.Ranged || n >= l.Min && n <= l.Max) && fits(e.v1.Key) && fits(e.v2.Key)
}

// keyDocument is a list of valid keys as the argument of dialect.keyList.
func (e *entity) keyDocument(keys []string) (string, error) {
	if e.intKey {
		return "[" + strings.Join(keys, ",") + "]", nil
	}
	document, err := json.Marshal(keys)
	return string(document), err
}

// keyOf returns the key of an aggregate.
func (e *entity) keyOf(t *shape.Table, v any) string {
	f := reflect.Indirect(reflect.ValueOf(v)).FieldByIndex(t.Key.Index)
	if e.intKey {
		return strconv.FormatInt(f.Int(), 10)
	}
	return f.String()
}

// hasKey is false for an aggregate that leaves its key to the server.
func (e *entity) hasKey(t *shape.Table, v any) bool {
	return !reflect.Indirect(reflect.ValueOf(v)).FieldByIndex(t.Key.Index).IsZero()
}

// setKey sets the key of the aggregate that v points to.
func (e *entity) setKey(t *shape.Table, v any, key string) {
	f := reflect.ValueOf(v).Elem().FieldByIndex(t.Key.Index)
	if e.intKey {
		n, _ := strconv.ParseInt(key, 10, 64) // a key that is no number is refused by validKey
		f.SetInt(n)
		return
	}
	f.SetString(key)
}

// readTables are the names of the tables that say what an entity is, quoted.
func (e *entity) readTables() []string {
	names := []string{e.markTable}
	// Coexistence begins.
	names = append(names, e.v1Tables()...)
	// Coexistence ends.
	for _, t := range e.v2.All() {
		names = append(names, t.SQL)
	}
	return names
}

// v1Tables are the names of V1's tables of all entities, quoted.
func (db *DB) v1Tables() []string {
	var names []string
	for _, e := range db.entities {
		names = append(names, e.v1Tables()...)
	}
	return names
}

// v1Tables are the names of V1's tables, quoted.
func (e *entity) v1Tables() []string {
	var names []string
	for _, t := range e.v1.All() {
		names = append(names, t.SQL)
	}
	return names
}

// reserved fails where V2's model has a column whose name is one of the engine's own there.
func (e *entity) reserved() error {
	fault := func(t *shape.Table, name, advice string) error {
		return fmt.Errorf("column %s of V2's table %s: the engine has one of that name there: %s", name, t.Name, advice)
	}
	for _, c := range e.v2.Columns {
		same := func(own shape.Column) bool { return strings.EqualFold(own.Name, c.Name) }
		if slices.ContainsFunc(engineColumns, same) {
			return fault(e.v2, c.Name, "give the field another column")
		}
	}
	for i := range e.v2.Children {
		t := &e.v2.Children[i]
		for _, c := range t.Columns {
			if strings.EqualFold(c.Name, shape.PositionColumn) {
				return fault(&t.Table, c.Name,
					"give the field another column; the engine keeps the order of the slice by itself")
			}
			if strings.EqualFold(c.Name, t.ParentKey) {
				return fault(&t.Table, c.Name, "it is the root's key, which the engine fills: leave the field out")
			}
		}
	}
	return nil
}

// checkKeeps fails where a column of V2 would change what is written to it. sqlType says the type of each.
func (e *entity) checkKeeps(sqlType func(*shape.Column) string) error {
	for _, t := range e.v2.All() {
		for i := range t.Columns {
			c := &t.Columns[i]
			if why := c.Changes(sqlType(c)); why != "" {
				return fmt.Errorf("column %s of V2's table %s is %s, %s", c.Name, t.Name, sqlType(c), why)
			}
		}
	}
	return nil
}
