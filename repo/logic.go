package repo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// What V1 does by itself, as the catalog says now: its owner's triggers, rules, constraints and foreign key actions.
// The gates warn about it.

// logic is one such trigger, rule, constraint or foreign key.
type logic struct {
	Kind logicKind `json:"kind"`
	Name string    `json:"name"`
	// Table is the name of its table, without the schema.
	Table string `json:"table"`
}

// String names it, with its kind and table.
func (l logic) String() string {
	if l.Name == "" {
		return fmt.Sprintf("%s of %s", l.Kind, l.Table)
	}
	return fmt.Sprintf("%s %s of %s", l.Kind, l.Name, l.Table)
}

type logicKind string

const (
	logicTrigger    logicKind = "trigger"
	logicRule       logicKind = "rule"
	logicUnique     logicKind = "UNIQUE"
	logicCheck      logicKind = "CHECK"
	logicExclusion  logicKind = "EXCLUDE"
	logicNotNull    logicKind = "NOT NULL"
	logicForeignKey logicKind = "foreign key"
)

// lostInContract returns what V1 enforces or does and V2 will not, once V1 is no longer written. It leaves out the
// foreign keys that the engine then keeps.
func (e survey) lostInContract(ctx context.Context, s database.Session) ([]logic, error) {
	lost, err := e.db.dialect.logic(ctx, s, e.entity)
	if err != nil {
		return nil, err
	}
	for _, t := range e.v1.All() {
		for i := range t.Columns {
			if c := &t.Columns[i]; c.Nullable && c.Now().NotNull {
				lost = append(lost, logic{logicNotNull, c.Name, t.Name})
			}
		}
		keys, err := e.db.dialect.ForeignKeys(ctx, s, t)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			if e.foreignKeys.isParent(key, t) {
				continue
			}
			if !e.foreignKeys.keeps(t, key) || bool(key.Acts) || e.foreignKeys.deletable(t, key) {
				lost = append(lost, logic{logicForeignKey, key.Name, t.Name})
			}
		}
	}
	return lost, nil
}

// rowKey returns the columns that identify the rows of a V1 table.
func (e foreignKeys) rowKey(t *shape.Table) []string {
	for i := range e.v1.Children {
		if c := &e.v1.Children[i]; c.Name == t.Name {
			return columnList(c.KeyColumns(*e.v1.Key))
		}
	}
	return []string{e.v1.Key.Name}
}

// isParent reports whether a foreign key is the one from a child table to its root.
func (e foreignKeys) isParent(key database.ForeignKey, t *shape.Table) bool {
	return t != e.v1 && key.Target == e.v1.SQL && key.TargetColumns[0] == e.v1.Key.Name &&
		slices.ContainsFunc(e.v1.Children, func(c shape.Child) bool {
			return c.Name == t.Name &&
				slices.Equal(key.Columns, []string{c.ParentKey})
		})
}

// keeps reports whether the engine keeps a foreign key of V1's in CONTRACT: one with a single column, which the model
// knows, to a table that the engine may read. Where the target belongs to an entity, only a key to its root's key is
// kept: in CONTRACT V1's tables no longer tell which rows exist, and V2's tell only the keys.
func (e foreignKeys) keeps(t *shape.Table, key database.ForeignKey) bool {
	if len(key.Columns) != 1 || t.Column(key.Columns[0]) == nil {
		return false
	}
	for _, other := range e.db.entities {
		if slices.ContainsFunc(other.v1.All(), func(v1 *shape.Table) bool { return v1.SQL == key.Target }) {
			return key.Target == other.v1.SQL && key.TargetColumns[0] == other.v1.Key.Name
		}
	}
	return bool(key.Readable)
}

// deletable reports whether in CONTRACT nothing prevents the delete of a row to which a foreign key refers: the row
// belongs to an entity, and no Reference names the foreign key.
func (e foreignKeys) deletable(t *shape.Table, key database.ForeignKey) bool {
	target := e.db.entityOfTarget(key.Target)
	return target != nil && (t != e.v1 || !slices.ContainsFunc(e.references,
		func(r Reference) bool { return r.Column == key.Columns[0] && r.Table == target.v1.Name }))
}

// entityOfTarget returns the entity whose V1 root table has the qualified name, nil if there is none.
func (db *DB) entityOfTarget(name string) *entity {
	for _, e := range db.entities {
		if e.v1.SQL == name {
			return e
		}
	}
	return nil
}

// rejectedInCutover returns what changes V1 when other programs write to other tables, ones that V2 does not lead.
// Where V2 leads, V1's triggers reject such a change, and with it those programs' own write.
func (e survey) rejectedInCutover(ctx context.Context, s database.Session) ([]string, error) {
	led, err := e.db.ledTables(ctx, s)
	if err != nil {
		return nil, err
	}
	led = append(led, e.v1Tables()...)
	var rejected []string
	for _, t := range e.v1.All() {
		keys, err := e.db.dialect.ForeignKeys(ctx, s, t)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			if bool(key.Acts) && !slices.Contains(led, key.Target) {
				rejected = append(rejected, fmt.Sprintf("foreign key %s of %s, which acts when rows of %s change",
					key.Name, t.Name, strings.ReplaceAll(key.Target, `"`, "")))
			}
		}
	}
	elsewhere, err := e.db.dialect.logicElsewhere(ctx, s, e.entity, led)
	for _, l := range elsewhere {
		rejected = append(rejected, l.String())
	}
	return rejected, err
}

// ledTables returns the quoted names of the V1 tables of all entities in which V2 leads.
func (db *DB) ledTables(ctx context.Context, s database.Session) ([]string, error) {
	names, err := s.Texts(ctx, db.sql(`SELECT x.name FROM {coexist_entity} x WHERE x.phase IN ('CUTOVER',
		'CONTRACT')`))
	var led []string
	for _, e := range db.entities {
		if slices.Contains(names, e.name) {
			led = append(led, e.v1Tables()...)
		}
	}
	return led, err
}

// logicFacts gathers, for a gate, what V1 does by itself.
func (e survey) logicFacts(ctx context.Context, s database.Session, f *facts) error {
	f.logic = nil
	switch {
	case f.from == Migrate && f.to == Cutover:
		found, err := e.rejectedInCutover(ctx, s)
		f.logic = found
		return err
	case f.to == Contract:
		lost, err := e.lostInContract(ctx, s)
		for _, l := range lost {
			f.logic = append(f.logic, l.String())
		}
		return err
	default:
		return nil
	}
}

func (f facts) v1Logic() []Blocker {
	if len(f.logic) == 0 {
		return nil
	}
	message := "V1 does by itself what V2 will not, once V1 is written no more: %s. See to it in the mapping's Validate or in V2's tables, or pass this by force"
	if f.to == Cutover {
		message = "other programs' writes elsewhere change V1 by %s: they will be rejected in CUTOVER, so let them write through Coexist, or drop these, or pass this by force"
	}
	return []Blocker{{Code: V1Logic, Count: int64(len(f.logic)), warning: true, Message: fmt.Sprintf(message,
		strings.Join(f.logic, ", "))}}
}
