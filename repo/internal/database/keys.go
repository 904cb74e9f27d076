package database

import "sync/atomic"

// Relation is what the catalog says of a table as a whole.
type Relation struct {
	Kind    string   `json:"kind"`    // "" for an ordinary table, else what it is, such as "a view"
	Hidden  bool     `json:"hidden"`  // row-level security is active for our role
	Role    string   `json:"role"`    // our role
	Missing []string `json:"missing"` // rights that our role lacks
	// Sequences make values of the table's columns, and our role may not use them.
	Sequences []string `json:"sequences"`
}

// ForeignKey is a foreign key that a V1 table declares.
type ForeignKey struct {
	Name          string   `json:"name"`
	Columns       []string `json:"columns"`
	Target        string   `json:"target"` // as DB.qualify names it
	TargetColumns []string `json:"targetColumns"`
	// Acts says that a change of the target changes rows here: CASCADE, SET NULL or SET DEFAULT.
	Acts JSONFlag `json:"acts"`
	// Readable and Lockable say whether our role may look at the target, and keep a row of it from being deleted.
	Readable JSONFlag `json:"readable"`
	Lockable JSONFlag `json:"lockable"`
}

// ChildKey is the foreign key of a child table to its root.
type ChildKey struct {
	Name      string   `json:"name"`      // "" where there is none
	Validated JSONFlag `json:"validated"` // every row satisfies it
	Ours      JSONFlag `json:"ours"`      // our role may add it, and validate it
}

// TableKeys are the foreign and the unique keys of V1's tables, by table, as the last look at the catalog found them.
type TableKeys struct {
	Found atomic.Pointer[map[string]FoundKeys]
}

// FoundKeys are the keys of one table.
type FoundKeys struct {
	Foreign []ForeignKey
	Unique  []UniqueIndex
}

// UniqueIndex is a unique index, or an exclusion constraint, of a V1 table.
type UniqueIndex struct {
	// Name is the name that a violation reports.
	Name string `json:"name"`
	// Columns are the columns of the index, nil for an expression.
	Columns []*string `json:"columns"`
	// Needs are the columns that its terms and its condition are computed from.
	Needs []string `json:"needs"`
	// Terms are its columns and expressions, in SQL that names only the table's columns; none where they are not known.
	Terms []string `json:"terms"`
	// Operators has one operator for each term: two rows conflict where all of them hold. An unknown operator is empty.
	Operators []string `json:"operators"`
	// Condition is the condition of a partial index, in SQL.
	Condition string `json:"condition"`
	// NullsAlike is true where two NULLs count as the same value.
	NullsAlike JSONFlag `json:"nullsAlike"`
}

// Plain returns the names of the index's columns, none where one is an expression.
func (u UniqueIndex) Plain() []string {
	names := make([]string, len(u.Columns))
	for i, name := range u.Columns {
		if name == nil {
			return nil
		}
		names[i] = *name
	}
	return names
}

func (k *TableKeys) of(table string) FoundKeys {
	if found := k.Found.Load(); found != nil {
		return (*found)[table]
	}
	return FoundKeys{}
}

// Foreign returns the foreign keys of a table.
func (k *TableKeys) Foreign(table string) []ForeignKey { return k.of(table).Foreign }

// Unique returns the unique keys of a table.
func (k *TableKeys) Unique(table string) []UniqueIndex { return k.of(table).Unique }
