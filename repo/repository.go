package repo

import (
	"fmt"
	"reflect"
	"time"
)

// Definition describes one entity. Name and Mapping are required; everything else has a default that is right for
// production.
type Definition[V1, V2 any] struct {
	// Name is the entity's name, such as "CUSTOMER": at most 40 letters, digits and underscores. The engine's tables
	// keep it.
	Name string
	// Mapping converts between the shapes.
	Mapping Mapping[V1, V2]
	// InitialPhase is the phase of an entity that the database has not seen before. Defaults to Expand.
	InitialPhase Phase
	// NewKey makes a key of a serial number, for entities that are created without one and whose V1 table has no
	// default or identity for the key. It must be one to one. Defaults to the number itself in decimal, which suits
	// keys that are integers.
	NewKey func(serial int64) string
	// Sorts are the orders that a list may ask for besides that of the key, by name. Defaults to none.
	Sorts map[string]Sort
	// References are the columns of the root table that hold keys of other entities. V2's tables have no foreign keys
	// between entities; in CONTRACT, where V1's foreign keys no longer guard them, the engine keeps the references.
	// They become foreign keys where the engine creates V1 tables, which it does in an empty sample database only.
	// Defaults to none.
	References []Reference
}

// Sort is an order by one column: its name in the V1 root table and in the V2 root table. Rows with NULL come last in
// both directions.
type Sort struct{ V1, V2 string }

// Reference says that Column of the V1 root table holds keys of the V1 root table named Table, in its column Key.
// ColumnV2 is the same column in the V2 root table; it defaults to Column.
type Reference struct{ Column, ColumnV2, Table, Key string }

// Repository reads and writes one entity through either shape. It is safe for concurrent use. Make one with New.
//
// Every method may return ErrUnavailable when the database cannot be reached, and a *PhaseUnknownError, which is also
// an ErrUnavailable.
type Repository[V1, V2 any] struct {
	*entity
	mapping guarded[V1, V2]
	newKey  func(int64) string
}

// Record is a V2 aggregate with what the engine knows about it.
type Record[V2 any] struct {
	Key   string
	Value V2
	// Version grows with every write through either shape, and never falls.
	Version int64
	Copy    Copy
}

// Copy says how a V2 copy came to be.
type Copy struct {
	// Stored is false where the value was converted for this answer only.
	Stored bool
	// Refined means that a V2-shaped write has changed it since, so that it may hold what V1 cannot express.
	Refined bool
	// Origin and MigratedAt are empty where Stored is false.
	Origin     Origin
	MigratedAt time.Time
	// MappingVersion is the version of the mapping that made it.
	MappingVersion int
}

// Origin says what made a copy.
type Origin string

// The origins.
const (
	OriginRead   Origin = "READ"
	OriginList   Origin = "LIST"
	OriginWrite  Origin = "WRITE"
	OriginSweep  Origin = "SWEEP"
	OriginRepair Origin = "REPAIR"
)

// Result is the answer for one key of many: Value, or Err where Err is not nil.
type Result[T any] struct {
	Value T
	Err   error
}

// New describes an entity to db. It does not touch the database: DB.Install and DB.Check do, for all entities at once.
// New fails when the models or the configuration make no sense, and for a column of V2 whose type would change the
// values written to it, by rounding, for example.
func New[V1, V2 any](db *DB, definition Definition[V1, V2]) (*Repository[V1, V2], error) {
	e, err := newEntity(db, definition.Name, reflect.TypeFor[V1](), reflect.TypeFor[V2]())
	if err != nil {
		return nil, fmt.Errorf("entity %q: %w", definition.Name, err)
	}
	if definition.Mapping == nil {
		return nil, fmt.Errorf("entity %q: no mapping", definition.Name)
	}
	e.mappingVersion = definition.Mapping.Version()
	e.sorts = definition.Sorts
	e.references = definition.References
	for _, reference := range e.references {
		if e.v1.Column(reference.Column) == nil || e.v2.Column(e.columnInV2(reference.Column)) == nil {
			return nil, fmt.Errorf("entity %q: a reference is a column of both root tables: %q of V1 is %q of V2",
				definition.Name, reference.Column, e.columnInV2(reference.Column))
		}
	}
	e.initialPhase = definition.InitialPhase
	if e.initialPhase == "" {
		e.initialPhase = Expand
	}
	r := &Repository[V1, V2]{entity: e, mapping: guarded[V1, V2]{definition.Mapping}, newKey: definition.NewKey}
	e.converter = r
	db.entities = append(db.entities, e)
	return r, nil
}
