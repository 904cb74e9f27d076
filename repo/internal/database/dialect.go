package database

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/alwaysup/coexist/repo/internal/shape"
	"github.com/alwaysup/coexist/value"
)

// OnlyNull is the only kind of value that is no key where columns are strict.
const OnlyNull = "NULL"

// Dialect is everything in which the databases differ apart from the protocol, grouped by who uses it.
type Dialect struct {
	classifier
	catalog
	statistics
	ColumnTypes
	Expressions
	words
}

// DialectOf returns the dialect of a database.
func DialectOf(d interface {
	classifier
	catalog
	statistics
	ColumnTypes
	Expressions
	words
},
) Dialect {
	return Dialect{d, d, d, d, d, d}
}

// classifier says what an error of the driver means, and what kind of server answers.
type classifier interface {
	// Classify returns nil for an error that it does not know.
	Classify(err error) error
	// MayAnswerLater reports whether an error of Ping may pass by itself.
	MayAnswerLater(err error) bool
	// ReadOnly reports whether nothing can be written.
	ReadOnly(ctx context.Context, s Session) (bool, error)
	// OfPrimary returns the query in a form that fails where a standby answers it.
	OfPrimary(query string) string
	// Standby is an expression that is true, as JSON, where a replica answers.
	Standby() string
	// Hides is an expression that is true, as JSON, where row-level security may hide rows of one of the tables from
	// our role.
	Hides(tables []string) string
	// snapshot calls read within a read-only transaction on a connection.
	snapshot(ctx context.Context, p *Pools, conn *sql.Conn, read func(Snapshot) error) error
	// MinPause is the shortest pause of a run between batches.
	MinPause() time.Duration
	// BatchTarget is how long a batch of a run should take: long enough to be worth its commit, short enough for those
	// who wait for it.
	BatchTarget() time.Duration
}

// catalog is what the database knows of tables.
type catalog interface {
	// CountTables counts the tables where V1's are expected: in the schema, where there are schemas.
	CountTables(ctx context.Context, s Session, schema string) (int64, error)
	// Elsewhere names the schemas besides the given one that have such a table.
	Elsewhere(ctx context.Context, s Session, schema, table string) ([]string, error)
	// Columns returns the columns of a table by name, none if there is no such table.
	Columns(ctx context.Context, s Session, t *shape.Table) (map[string]shape.CatalogColumn, error)
	// Relation describes a table that is there.
	Relation(ctx context.Context, s Session, t *shape.Table) (Relation, error)
	ForeignKeys(ctx context.Context, s Session, t *shape.Table) ([]ForeignKey, error)
	// ChildKey describes the foreign key of a child table to its root.
	ChildKey(ctx context.Context, s Session, child *shape.Child, root *shape.Table) (ChildKey, error)
	// BrokenForeignKey returns the target of a table's foreign key that the database cannot check, so that no row can
	// be written; "" for none.
	BrokenForeignKey(ctx context.Context, s Session, t *shape.Table) (string, error)
	// Uniques returns a table's unique indexes and exclusion constraints.
	Uniques(ctx context.Context, s Session, t *shape.Table) ([]UniqueIndex, error)
	// ViolatesKey reports whether a unique violation is that of the key of a table.
	ViolatesKey(ctx context.Context, s Session, t *shape.Table, refused *ConstraintError) (bool, error)
	// Referrers names the tables, except others, that have a foreign key to one of tables: those that our role may not
	// read, and those that it may. The names are quoted.
	Referrers(ctx context.Context, s Session, tables, others []string) (secret, readable []string, err error)
	// Hidden names those of the tables whose rows row-level security may hide from our role.
	Hidden(ctx context.Context, s Session, tables []string) ([]string, error)
}

// statistics are what the database knows of how many rows there are.
type statistics interface {
	// Estimate counts a table's rows: at once and roughly when it is large, exactly when it is small.
	Estimate(ctx context.Context, s Session, table string) (rows int64, exact bool, err error)
	// RoughCounts is a query of a column's values and their counts according to statistics. It returns nothing where
	// there are none. Its argument is the table.
	RoughCounts(column string) string
	// Outgrown names those of the tables that have grown so much since their last ANALYZE that plans made then are
	// wrong now.
	Outgrown(ctx context.Context, s Session, tables []string) ([]string, error)
	// Analyze returns the statements that bring the statistics of tables up to date.
	Analyze(tables []string) []string
}

// ColumnTypes are what columns of a type hold and how they compare.
type ColumnTypes interface {
	// Qualify is a table's name in a statement.
	Qualify(schema, table string) string
	// ColumnType is the type of a column that a model declares.
	ColumnType(c *shape.Column) string
	// KeyType is the type of a column that compares as V1's column c does: with its collation, and without a limit.
	KeyType(c *shape.Column) string
	// AddsForeignKeys reports whether a table that is there can get a foreign key.
	AddsForeignKeys() bool
	// Compared is the type of what compares with a column, without a limit.
	Compared(c *shape.Column) string
	// Holds reports whether a column of sqlType keeps every value that a model's column of type declared may hold, and
	// the other way round.
	Holds(sqlType, declared string) bool
	// HoldsNumber reports whether a Number comes back from a column of a type.
	HoldsNumber(sqlType string) bool
	// Held returns the number that a column holds when n is written to it. It fails where the column cannot hold n.
	Held(c *shape.Column, n value.Number) (value.Number, error)
	// Misread says why a column's Go type cannot be read from values of a type, "" where it can, or where the Go type
	// defines how it is read.
	Misread(c *shape.Column, sqlType string) string
	// Zero is the value of a column of V2 in rows that are older than the column, "" where there is none.
	Zero(c *shape.Column) string
	// AlterType returns the statements that give a column another type, none where the database cannot or need not.
	AlterType(t *shape.Table, column, to string) []string
	// Unnameable reports whether no document can have a member of a column's name.
	Unnameable(column string) bool
	// Strict reports whether a column takes only values of its type.
	Strict() bool
	// NoKey is a condition on a row t, which the key's index can answer: that c holds no key there. kind says what it
	// holds instead.
	NoKey(c *shape.Column) (condition, kind string)
}

// Expressions are the spellings of values, keys and arguments.
type Expressions interface {
	// Field is how a column is read without a document.
	Field(alias string, c *shape.Column) Field
	// Value is a column's value in a JSON document.
	Value(alias string, c *shape.Column) string
	// Object builds a JSON document.
	Object(members []Member) string
	// Truth is a Boolean in a JSON document.
	Truth(bool) string
	// List builds a JSON list of one element for each row of from, "[]" where there is none.
	List(element, from, order string) string
	// Text is an expression as text, compared byte by byte.
	Text(expression string) string
	// Contains says that an expression of text contains an argument, compared byte by byte.
	Contains(expression string) string
	// AsKey brings an expression, or an argument, into a form that compares with the key column c.
	AsKey(c *shape.Column, expression string) string
	// KeyList is a query of the values, as key, and their ordinals from 0, as ord, in an argument that is a JSON list
	// of n elements, or of any number where n is 0. They compare with the key column c.
	KeyList(c *shape.Column, n int) string
	// Scalar is an argument that is a JSON string or number, in a form that compares with the column c.
	Scalar(c *shape.Column) string
	// SortValue is the form in which a cursor holds the value by which a row is sorted. SortedBy turns that form back
	// into the value, as an expression with one argument; ok is false for what no SortValue returns.
	SortValue(alias string, c *shape.Column) string
	SortedBy(c *shape.Column, value json.RawMessage) (expression string, arg any, ok bool)
	// Ordered is a column as lists are sorted and compared by it.
	Ordered(alias string, c *shape.Column) string
	// Records returns the FROM item of the rows in an argument that is a JSON list of n objects, or of any number where n
	// is 0, and the function that names their values.
	Records(columns []shape.Column, n int) (from string, value func(name string) string)
}

// words are the spellings of everything that is not a value.
type words interface {
	// MarkID is the type of a mark's id.
	MarkID() string
	// Probe joins the row of a table whose column is k.key, or none. It looks each key up by itself: a plan for a page
	// of keys would rather go over a whole table that is not large.
	Probe(table, alias, column string) string
	// Once is what ends a subquery that must not be flattened into the query around it.
	Once() string
	// Lock is what ends a query that locks its rows.
	Lock() string
	// KeyShare is what ends a query that keeps its rows from being deleted.
	KeyShare() string
	// SkipLocked is what ends a query that locks the rows that nobody has locked.
	SkipLocked() string
	Now() string
	// NowText is Now in the form of RFC 3339.
	NowText() string
	// Later is a point in time so many milliseconds from now.
	Later(milliseconds string) string
}

// Member is one member of a JSON document: its name and its expression.
type Member [2]string
