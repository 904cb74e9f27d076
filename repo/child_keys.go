package repo

import (
	"context"
	"strings"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// Child keys are the foreign keys of V2's child tables to its root table. PostgreSQL spends most of a sweep on checking
// them row by row, and a fifteenth of that on validating them once. So its child tables are created without them, and
// the step to CUTOVER adds them. Nothing relies on them before (child_rows.go). SQLite cannot add them later, and
// creates its tables with them.

// childKeyName is the name of a child key. Tables of earlier versions have one that PostgreSQL has made.
const childKeyName = "coexist_child_key"

// missingChildKey is a child key that is not there, or has not been validated.
type missingChildKey struct {
	child *shape.Child
	name  string // "" where it is not there
	ours  bool   // our role may add it
}

// missingChildKeys returns the child keys that the entity lacks.
func (e ddl) missingChildKeys(ctx context.Context, s database.Session) ([]missingChildKey, error) {
	var missing []missingChildKey
	for i := range e.v2.Children {
		c := &e.v2.Children[i]
		key, err := e.db.dialect.ChildKey(ctx, s, c, e.v2)
		if err != nil {
			return nil, err
		}
		if !key.Validated {
			missing = append(missing, missingChildKey{c, key.Name, bool(key.Ours)})
		}
	}
	return missing, nil
}

// childKeyFacts names the child tables that lack a child key, by whether the step to CUTOVER can add it by itself. The
// step has done so before it takes its locks, and is refused where one is still missing under them.
func (e survey) childKeyFacts(ctx context.Context, s database.Session, f *facts) error {
	f.lackingKeys, f.addable = nil, nil
	if f.to != Cutover || f.from == Contract {
		return nil
	}
	missing, err := e.ddl.missingChildKeys(ctx, s)
	for _, m := range missing {
		if m.ours {
			f.addable = append(f.addable, m.child.Name)
		} else {
			f.lackingKeys = append(f.lackingKeys, m.child.Name)
		}
	}
	return err
}

// addChildKey returns the statement that adds the key. New rows must satisfy it from then on.
func (e ddl) addChildKey(m missingChildKey) string {
	return e.sql(`ALTER TABLE {child} ADD CONSTRAINT {name} FOREIGN KEY ({parentKey}) REFERENCES {v2} ON DELETE CASCADE NOT VALID`, "child", m.child.SQL, "name", quote(childKeyName),
		"parentKey", quote(m.child.ParentKey))
}

// validateChildKey returns the statement that looks whether all rows satisfy the key. No writer waits for it
// (https://www.postgresql.org/docs/current/sql-altertable.html, VALIDATE CONSTRAINT).
func (e ddl) validateChildKey(m missingChildKey) string {
	name := m.name
	if name == "" {
		name = childKeyName
	}
	return fill(`ALTER TABLE {child} VALIDATE CONSTRAINT {name}`, "child", m.child.SQL, "name", quote(name))
}

// deleteOrphans returns the statement that deletes child rows whose copy somebody has deleted by hand. Nobody can see
// them, and they would not let the key be validated.
func (e ddl) deleteOrphans(child *shape.Child) string {
	return e.sql(`DELETE FROM {child} AS d WHERE NOT EXISTS (SELECT 1 FROM {v2} c WHERE c.{v2.key} = d.{parentKey})`,
		"child", child.SQL, "parentKey", quote(child.ParentKey))
}

// addChildKeys adds and validates the child keys that are missing. Validating reads every child row, so it may take
// longer than ctx: it then goes on by itself, for all who have asked, and addChildKeys fails with a *GateClosedError.
// It fails with a *BlockedError where writes in flight do not end within Config.PhasePatience.
func (e ddl) addChildKeys(ctx context.Context) error {
	added := e.db.addingKeys.DoChan(e.name, func() (any, error) {
		ctx := context.WithoutCancel(ctx)
		missing, err := e.missingChildKeys(ctx, e.db.pools.Reading())
		for _, m := range missing {
			if err == nil {
				err = e.makeChildKey(ctx, m)
			}
		}
		return nil, err
	})
	select {
	case result := <-added:
		return result.Err
	case <-ctx.Done():
		const patience = "the foreign keys of V2's child tables are being validated, which takes some seconds for each million rows and goes on by itself: ask for the step again in a while"
		return &GateClosedError{Cutover, []Blocker{{
			Code: ChildKeys, Count: int64(len(e.v2.Children)), Message: patience,
		}}}
	}
}

func (e ddl) makeChildKey(ctx context.Context, m missingChildKey) error {
	if m.name == "" {
		// It waits for writes in flight, and others wait behind it, so each try waits only briefly.
		if err := e.alterPatiently(ctx, e.addChildKey(m)); err != nil {
			return err
		}
	}
	for try := 1; ; try++ {
		err := e.alterPatiently(ctx, e.validateChildKey(m))
		if !database.IsRefused(err, database.ForeignKeyViolation) || try == 3 {
			return err
		}
		e.db.logger.WarnContext(ctx, "child rows without a copy are deleted: somebody has deleted copies by hand",
			"entity", e.name, "table", m.child.Name)
		if err := e.alterPatiently(ctx, e.deleteOrphans(m.child)); err != nil {
			return err
		}
	}
}

// alterPatiently runs a statement that may take as long as it needs, once it has its locks. It waits for these no
// longer than Config.PhasePatience, then fails with a *BlockedError.
func (e ddl) alterPatiently(ctx context.Context, statement string) error {
	opening := append([]string{"BEGIN ISOLATION LEVEL READ COMMITTED", "SET LOCAL statement_timeout = 0"},
		e.db.dialect.waitFor(phaseLockWait)...)
	patience := database.Patience{Until: time.Now().Add(e.db.phasePatience)}
	blocked := &BlockedError{Entity: e.name}
	err := database.Retry(ctx, patience, database.IsBusy, func() error {
		err := e.db.pools.Classify(database.RunBuilt(ctx, e.db.pools, opening, fixedStatements(statement)))
		if database.IsBusy(err) {
			blocked.By = e.blockers(ctx, e.readTables())
		}
		return err
	})
	if database.IsBusy(err) {
		return blocked
	}
	return err
}

// laterChildKeys returns the statements that add all child keys that the tables are created without, as comments.
func (db *DB) laterChildKeys() string {
	var b strings.Builder
	for _, e := range db.entities {
		if !e.ddl.createsChildKeys() {
			for i := range e.v2.Children {
				m := missingChildKey{child: &e.v2.Children[i]}
				for _, statement := range []string{e.ddl.addChildKey(m), e.ddl.validateChildKey(m)} {
					b.WriteString("-- " + statement + ";\n")
				}
			}
		}
	}
	return b.String()
}

// createsChildKeys reports whether V2's child tables are created with their foreign keys.
func (e ddl) createsChildKeys() bool {
	return !e.db.dialect.AddsForeignKeys() || phaseIndex(e.initialPhase) >= phaseIndex(Cutover)
}

// ChildKeyDDL returns, as one SQL script, the second step of DDL: the statements that add the foreign keys of V2's
// child tables that are missing, "" where none is. The step to CUTOVER runs them by itself where the server's role owns
// these tables. They take some seconds for each million rows, best after the sweep, which they would slow down.
func (db *DB) ChildKeyDDL(ctx context.Context) (string, error) {
	var b strings.Builder
	for _, e := range db.entities {
		missing, err := e.ddl.missingChildKeys(ctx, db.pools.Reading())
		if err != nil {
			return "", db.pools.Classify(err)
		}
		for _, m := range missing {
			if m.name == "" {
				b.WriteString(e.ddl.addChildKey(m) + ";\n")
			}
			b.WriteString(e.ddl.deleteOrphans(m.child) + ";\n" + e.ddl.validateChildKey(m) + ";\n")
		}
	}
	return b.String(), nil
}
