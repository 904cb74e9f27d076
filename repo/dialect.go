package repo

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/alwaysup/coexist/repo/internal/shape"
	"github.com/alwaysup/coexist/value"
)

// dialect is all in which the databases differ, by who asks.
type dialect struct {
	transactor
	classifier
	catalog
	statistics
	columnTypes
	expressions
	words
	capturer
	markStore
	installer
}

// database is what a dialect is made of.
type database interface {
	transactor
	classifier
	catalog
	statistics
	columnTypes
	expressions
	words
	capturer
	markStore
	installer
}

func dialectOf(d database) dialect { return dialect{d, d, d, d, d, d, d, d, d, d} }

// transactor is how transactions begin and end, and what they lock.
type transactor interface {
	// begin opens a transaction: fence, time-outs, locks. It fills the transaction's fence and seq.
	begin(ctx context.Context, t *tx, e *entity, o opening) error
	// alsoWrites tells the triggers of more keys that an open transaction writes. On PostgreSQL they are told of one
	// entity's at a time.
	alsoWrites(ctx context.Context, t *tx, e *entity, keys []string) error
	// commit ends the transaction, or fails when the database has rolled it back.
	commit(ctx context.Context, t *tx) error
	// afterDeferred is a query within a transaction once everything has happened there that V1's owner has put off
	// until COMMIT.
	afterDeferred(ctx context.Context, t *tx, scan func(scanner) error, query string, args ...any) error
	// changePhase opens a transaction that no other transaction on the entity overlaps, nor an old program's on its V1
	// tables. It fails with a *busyError. It waits for them no longer than wait.
	changePhase(ctx context.Context, t *tx, e *entity, wait time.Duration) error
	// blockers names who is in the way of changePhase, as far as the database tells.
	blockers(ctx context.Context, s session, e *entity) ([]Transaction, error)
	// shareFence keeps the phase of another entity as it is until the transaction ends.
	shareFence(ctx context.Context, t *tx, e *entity) error
	// stopWriters are statements that, if a condition holds, wait until no other transaction on the entity is open, and
	// keep others out until their own ends.
	stopWriters(e *entity, condition string) []string
	// waitFor are statements after which the transaction waits for a lock no longer than that.
	waitFor(wait time.Duration) []string
	// lockV1 are statements that keep other programs from writing to V1 until their transaction ends.
	lockV1(e *entity) []string
}

// classifier says what an error of the driver means, and what answers.
type classifier interface {
	// classify returns nil for an error that it does not know.
	classify(err error) error
	// mayAnswerLater reports whether an error of Ping may pass by itself.
	mayAnswerLater(err error) bool
	// readOnly reports whether nothing can be written.
	readOnly(ctx context.Context, s session) (bool, error)
	// ofPrimary is a query that fails where a standby answers it.
	ofPrimary(query string) string
	// standby is an expression that is true, as JSON, where a replica answers.
	standby() string
	// hides is an expression that is true, as JSON, where row-level security may hide rows of one of the tables from
	// our role.
	hides(tables []string) string
	// minPause is how long a run pauses between batches at least.
	minPause() time.Duration
}

// catalog is what the database knows of tables.
type catalog interface {
	// countTables counts the tables where V1's are to be.
	countTables(ctx context.Context, db *DB) (int64, error)
	// elsewhere names the schemas besides the given one that have such a table.
	elsewhere(ctx context.Context, s session, schema, table string) ([]string, error)
	// columns returns the columns of a table by name, none if there is no such table.
	columns(ctx context.Context, s session, t *shape.Table) (map[string]shape.CatalogColumn, error)
	// relation describes a table that is there.
	relation(ctx context.Context, s session, t *shape.Table) (relation, error)
	foreignKeys(ctx context.Context, s session, t *shape.Table) ([]foreignKey, error)
	// brokenForeignKey is what a foreign key of a table refers to that the database cannot check, so that no row can be
	// written; "" for none.
	brokenForeignKey(ctx context.Context, s session, t *shape.Table) (string, error)
	// uniques are a table's unique indexes and exclusion constraints.
	uniques(ctx context.Context, s session, t *shape.Table) ([]uniqueIndex, error)
	// violatesKey reports whether a unique violation is that of the key of a table.
	violatesKey(ctx context.Context, s session, t *shape.Table, refused *constraintError) (bool, error)
	// referrers names the tables besides others that have a foreign key to one of tables, those first that our role may
	// not read. The names are quoted.
	referrers(ctx context.Context, s session, tables, others []string) (secret, readable []string, err error)
	// hidden names those of the tables whose rows row-level security may hide from our role.
	hidden(ctx context.Context, s session, tables []string) ([]string, error)
	// logic is what V1's tables do and enforce besides their keys and foreign keys.
	logic(ctx context.Context, s session, e *entity) ([]logic, error)
	// logicElsewhere is what seems to write V1's tables when others than led, which are quoted, are written.
	logicElsewhere(ctx context.Context, s session, e *entity, led []string) ([]logic, error)
}

// statistics are what the database knows of how many rows there are.
type statistics interface {
	// estimate counts a table's rows: at once and roughly when it is large, exactly when it is small.
	estimate(ctx context.Context, s session, table string) (rows int64, exact bool, err error)
	// roughCounts is a query of the values of a column and their counts by statistics, nothing where there are none;
	// its argument is the table.
	roughCounts(column string) string
	// outgrown names those of the tables that have grown so much since their last ANALYZE that plans made then are
	// wrong now.
	outgrown(ctx context.Context, s session, tables []string) ([]string, error)
	// analyze brings the statistics of tables up to date.
	analyze(tables []string) []string
}

// columnTypes are what columns of a type hold and how they compare.
type columnTypes interface {
	// qualify is a table's name in a statement.
	qualify(schema, table string) string
	// columnType is the type of a column that a model declares.
	columnType(c *shape.Column) string
	// keyType is the type of a column that compares as c, V1's, does, with its collation and without a limit.
	keyType(c *shape.Column) string
	// compared is the type of what compares with a column, without a limit.
	compared(c *shape.Column) string
	// holds reports whether a column of a type keeps whatever a model's column, of the type that it declares, may hold,
	// and the other way round.
	holds(sqlType, declared string) bool
	// holdsNumber reports whether a Number comes back from a column of a type.
	holdsNumber(sqlType string) bool
	// held is what a column makes of a number that it is given. It fails where the column cannot hold it.
	held(c *shape.Column, n value.Number) (value.Number, error)
	// misread says why a column's Go type cannot be read from values of a type, "" where it can, or has a way of its
	// own.
	misread(c *shape.Column, sqlType string) string
	// zero is the value of a column of V2 in rows that are older than it, "" where there is none.
	zero(c *shape.Column) string
	// alterType are the statements that give a column another type, none where the database cannot or need not.
	alterType(t *shape.Table, column, to string) []string
	// noKey is a condition on a row t, whose index is the key's, that says that c is no key there, and what it is
	// instead.
	noKey(c *shape.Column) (condition, kind string)
}

// expressions are the spellings of values, keys and arguments.
type expressions interface {
	// value is a column's value in a JSON document.
	value(alias string, c *shape.Column) string
	// object builds a JSON document.
	object(members []member) string
	// truth is a Boolean in a JSON document.
	truth(bool) string
	// list builds a JSON list of one element for each row of from, "[]" where there is none.
	list(element, from, order string) string
	// text is an expression as text, compared byte by byte.
	text(expression string) string
	// contains says that an expression of text contains an argument, compared byte by byte.
	contains(expression string) string
	// asKey is an expression, or an argument, as what compares with the key column c.
	asKey(c *shape.Column, expression string) string
	// keyList is a query of the values, as key, and their ordinals from 0, as ord, in an argument that is a JSON list.
	// They compare with the key column c.
	keyList(c *shape.Column) string
	// scalar is an argument that is a JSON string or number, as what compares with the column c.
	scalar(c *shape.Column) string
	// sortValue is what a cursor says of the value by which a row stands in a list, and sortedBy that value, as an
	// expression with one argument. It is not ok where no sortValue is so.
	sortValue(alias string, c *shape.Column) string
	sortedBy(c *shape.Column, value json.RawMessage) (expression string, arg any, ok bool)
	// ordered is a column as lists are sorted and compared by it.
	ordered(alias string, c *shape.Column) string
	// records is the FROM item of the rows in an argument that is a JSON list of objects, and how to name their values.
	records(columns []shape.Column) (from string, value func(name string) string)
}

// words are the spellings of what is no value.
type words interface {
	// markID is the type of a mark's id.
	markID() string
	// once is what ends a subquery that must not be flattened into the query around it.
	once() string
	// lock is what ends a query that locks its rows.
	lock() string
	// keyShare is what ends a query that keeps its rows from being deleted.
	keyShare() string
	// skipLocked is what ends a query that locks the rows that nobody has locked.
	skipLocked() string
	now() string
	// later is a point in time so many milliseconds from now.
	later(milliseconds string) string
}

// capturer is how bypass writes are captured.
type capturer interface {
	// capture are the statements that install the capture of bypass writes to e's V1 tables; they may run again and
	// again.
	capture(ctx context.Context, s session, e *entity, which captureParts) ([]string, error)
	// captureBehind reports whether V1 has got what its triggers do not know, although they are as they were.
	captureBehind(ctx context.Context, s session, e *entity) (bool, error)
	// captured reports whether the capture of e's V1 tables is installed and at work.
	captured(e *entity) string
	// fingerprint is a text that is another one once a trigger, its function or a V1 table is not the one that it was.
	fingerprint(e *entity) string
	// kept reports whether a fingerprint that has become another one means no gap in the capture.
	kept(recorded, now string) bool
	// capture6 are what captured and fingerprint were up to version 6 of the engine's own tables, and dropCapture6 the
	// statements that drop what captured then, none where that was not there.
	capture6(e *entity) (captured, fingerprint string)
	dropCapture6(ctx context.Context, s session, e *entity) ([]string, error)
	// guards says that a foreign key of V1's, there and at work now, keeps a reference of e's from what is not there;
	// with deleting, that it also keeps what the reference leads to from being deleted.
	guards(e *entity, reference Reference, deleting bool) string
}

// markStore is how copies and marks are written where that is not the same for both.
type markStore interface {
	// insertNew inserts root rows whose key is not there, and adds the keys that were inserted to inserted. It returns
	// false where it leaves that to others.
	insertNew(ctx context.Context, t *tx, e *entity, into *shape.Table, columns []shape.Column, rows []shape.Row,
		inserted map[string]bool) (bool, error)
	// insertMany inserts rows. It returns false where it leaves that to others.
	insertMany(ctx context.Context, t *tx, table string, columns []shape.Column, rows []shape.Row) (bool, error)
	// deleteMarks is the statement that deletes the marks in its one argument, a JSON list of them.
	deleteMarks(e *entity) string
	// deleteBypassMarks does so, logs those of bypass writes, and returns how many it has deleted.
	deleteBypassMarks(ctx context.Context, t *tx, e *entity, marks string) (int64, error)
	// foldBypass are the statements that make one line of an entity's log of bypass writes.
	foldBypass(e *entity) []string
}

// installer is how tables come.
type installer interface {
	// install runs the statements that build returns, in one transaction that no other instance runs at the same time.
	// Those that create what is there already it leaves out. build looks into the database from within the transaction.
	install(ctx context.Context, db *DB, build func(session) ([]string, error)) error
	// sharedTables are the statements that create the engine's own tables that all entities share.
	sharedTables(db *DB) []string
	// entityTables are the statements that create the engine's own tables of one entity.
	entityTables(e *entity) []string
	// looseKeys are statements that let the key columns of the engine's own tables hold whatever a wider column of V1's
	// may.
	looseKeys(e *entity) []string
	// checkDatabase fails where the database does not hold every text, or where tables of the engine's are in strange
	// hands.
	checkDatabase(ctx context.Context, db *DB) error
	// checkRole fails where our role lacks a right that is none on a table.
	checkRole(ctx context.Context, db *DB) error
}

type member struct{ name, expression string }

// foreignKey is one that a V1 table declares.
type foreignKey struct {
	Name          string   `json:"name"`
	Columns       []string `json:"columns"`
	Target        string   `json:"target"` // as DB.qualify names it
	TargetColumns []string `json:"targetColumns"`
	// Acts says that a change of the target changes rows here: CASCADE, SET NULL or SET DEFAULT.
	Acts jsonFlag `json:"acts"`
	// Readable and Lockable say whether our role may look at the target, and keep a row of it from being deleted.
	Readable jsonFlag `json:"readable"`
	Lockable jsonFlag `json:"lockable"`
}

// tableKeys are the foreign and the unique keys of V1's tables, by table, as the last look at the catalog found them.
type tableKeys struct {
	found atomic.Pointer[map[string]foundKeys]
}

type foundKeys struct {
	foreign []foreignKey
	unique  []uniqueIndex
}

// uniqueIndex is a unique index, or an exclusion constraint, of a V1 table.
type uniqueIndex struct {
	// Name is how a violation calls it.
	Name string `json:"name"`
	// Columns are its own, nil for an expression.
	Columns []*string `json:"columns"`
	// Needs are the columns that its terms and its condition are computed from.
	Needs []string `json:"needs"`
	// Terms are its columns and expressions, in SQL that names the table's columns alone; none where they are not
	// known.
	Terms []string `json:"terms"`
	// Operators say of each term when two rows are in each other's way: all of them. One that is not known is empty.
	Operators []string `json:"operators"`
	// Condition is that of a partial index, in SQL.
	Condition string `json:"condition"`
	// NullsAlike is true where NULL is like NULL.
	NullsAlike jsonFlag `json:"nullsAlike"`
}

// plain are the names of its columns, none where one is an expression.
func (u uniqueIndex) plain() []string {
	names := make([]string, len(u.Columns))
	for i, name := range u.Columns {
		if name == nil {
			return nil
		}
		names[i] = *name
	}
	return names
}

func (k *tableKeys) of(table string) foundKeys {
	if found := k.found.Load(); found != nil {
		return (*found)[table]
	}
	return foundKeys{}
}

func (k *tableKeys) foreign(table string) []foreignKey { return k.of(table).foreign }
func (k *tableKeys) unique(table string) []uniqueIndex { return k.of(table).unique }

// quote quotes an identifier.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal quotes a string.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// splitObject joins JSON objects that were built in parts, since a function takes a limited number of arguments.
func splitObject(members []member, build func([]member) string, join func(a, b string) string) string {
	const most = 45
	if len(members) <= most {
		return build(members)
	}
	return join(build(members[:most]), splitObject(members[most:], build, join))
}

// jsonSorted is jsonList of a sorted list, as either database writes it.
func jsonSorted(list []string) string {
	sorted := slices.Clone(list)
	slices.Sort(sorted)
	return jsonList(sorted)
}

// jsonList is a list of strings as an argument.
func jsonList(list []string) string {
	document, err := json.Marshal(list)
	if err != nil {
		return "[]" // cannot happen: strings can be marshalled
	}
	return string(document)
}
