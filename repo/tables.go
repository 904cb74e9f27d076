package repo

import (
	"encoding/json"
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

// tables are an entity's tables, and what is known about them.
type tables struct {
	db             *DB
	name           string
	v1, v2         *shape.Table
	intKey         bool
	mappingVersion int
	references     []Reference
	constraints    database.TableKeys // the foreign and the unique keys of V1's tables
	// The log of marks and the quarantine, as a statement names them.
	markTable, quarantineTable string
	catalogs                   atomic.Int64 // counts each change in what is known of the columns
	jsonUntil                  atomic.Int64 // until catalogs is this, nothing is read in binary
	built                      sync.Map     // of keyRead and readKind: the builtStatement
}

// keyColumn is a column with the given name that holds whatever V1's key may hold, even after V1's column is widened.
func (e *tables) keyColumn(name string) shape.Column {
	key := *e.v1.Key
	key.Name, key.Catalog, key.Declared = name, nil, e.db.dialect.Compared(e.v1.Key)
	return key
}

// asKey turns an expression, or an argument, into a key.
func (e *tables) asKey(expression string) string { return e.db.dialect.AsKey(e.v1.Key, expression) }

// uuidKey reports whether the database accepts only a uuid as a key.
func (e *tables) uuidKey() bool {
	return e.db.dialect.Strict() && shape.TypeFamily(e.v1.Key.Now().SQLType) == "uuid"
}

// validKey reports whether a key, as it is written, could be in the database: an integer in its usual form, a uuid, or
// text. V1's column may have been widened, so its limits do not count here.
func (e *tables) validKey(key string) bool {
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

// holdsKey reports whether V1's column, as the catalog was last read, can hold a key.
func (e *tables) holdsKey(key string) bool {
	l := e.v1.Key.Now().Limits
	if !e.validKey(key) || l.Runes > 0 && utf8.RuneCountInString(key) > l.Runes {
		return false
	}
	n, _ := strconv.ParseInt(key, 10, 64) // a valid integer key always parses
	fits := func(c *shape.Column) bool { return !reflect.Zero(c.GoType).OverflowInt(n) }
	return !e.intKey || (!l.Ranged || n >= l.Min && n <= l.Max) && fits(e.v1.Key) && fits(e.v2.Key)
}

// keyDocument is a list of valid keys, as the argument of dialect.KeyList.
func (e *tables) keyDocument(keys []string) (string, error) {
	if e.intKey {
		return "[" + strings.Join(keys, ",") + "]", nil
	}
	document, err := json.Marshal(keys)
	return string(document), err
}

// keyOf returns the key of an aggregate.
func (e *tables) keyOf(t *shape.Table, v any) string {
	f := reflect.Indirect(reflect.ValueOf(v)).FieldByIndex(t.Key.Index)
	if e.intKey {
		return strconv.FormatInt(f.Int(), 10)
	}
	return f.String()
}

// hasKey reports whether an aggregate has a key; one without leaves its key to the server.
func (e *tables) hasKey(t *shape.Table, v any) bool {
	return !reflect.Indirect(reflect.ValueOf(v)).FieldByIndex(t.Key.Index).IsZero()
}

// setKey sets the key of the aggregate that v points to.
func (e *tables) setKey(t *shape.Table, v any, key string) {
	f := reflect.ValueOf(v).Elem().FieldByIndex(t.Key.Index)
	if e.intKey {
		n, _ := strconv.ParseInt(key, 10, 64) // validKey refuses a key that is no number
		f.SetInt(n)
		return
	}
	f.SetString(key)
}

// readTables are the quoted names of the tables that a read of the entity needs.
func (e *tables) readTables() []string {
	names := []string{e.markTable}
	// Coexistence begins.
	names = append(names, e.v1Tables()...)
	// Coexistence ends.
	for _, t := range e.v2.All() {
		names = append(names, t.SQL)
	}
	return names
}

// v1Tables are the quoted names of V1's tables.
func (e *tables) v1Tables() []string {
	var names []string
	for _, t := range e.v1.All() {
		names = append(names, t.SQL)
	}
	return names
}

// sharesTable fails where one of V2's tables is also V1's, or another entity's. Entities may share tables of V1 alone:
// those of V2 belong to one mapping.
func (e *tables) sharesTable() error {
	taken := map[string]string{}
	take := func(of *tables, all []*shape.Table, side string) {
		for _, t := range all {
			taken[strings.ToLower(t.Name)] = of.name + "'s " + side
		}
	}
	take(e, e.v1.All(), "V1")
	for _, other := range e.db.entities {
		take(other.tables, other.v1.All(), "V1")
		take(other.tables, other.v2.All(), "V2")
	}
	for _, t := range e.v2.All() {
		if by, shared := taken[strings.ToLower(t.Name)]; shared {
			return fmt.Errorf("table %s of V2 is also a table of %s: give it another name, in TableName or in its tag",
				t.Name, by)
		}
	}
	for _, t := range e.v1.All() {
		same := func(v2 *shape.Table) bool { return strings.EqualFold(v2.Name, t.Name) }
		for _, other := range e.db.entities {
			if slices.ContainsFunc(other.v2.All(), same) {
				return fmt.Errorf("table %s of V1 is also a table of %s's V2", t.Name, other.name)
			}
		}
	}
	return nil
}

// reserved fails where V2's model has a column with the name of one of the engine's own columns in that table.
func (e *tables) reserved() error {
	fault := func(t *shape.Table, name, advice string) error {
		return fmt.Errorf("column %s of V2's table %s: the engine has one of that name there: %s", name, t.Name, advice)
	}
	for _, c := range e.v2.Columns {
		same := func(own shape.Column) bool { return strings.EqualFold(own.Name, c.Name) }
		if slices.ContainsFunc(engineColumns, same) || same(readSeq) {
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

// checkKeeps fails where a column of V2 would change the values written to it. sqlType returns the type of each column.
func (e *tables) checkKeeps(sqlType func(*shape.Column) string) error {
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

// uuidForm matches the forms of a uuid that PostgreSQL reads
// (https://www.postgresql.org/docs/current/datatype-uuid.html).
var uuidForm = regexp.MustCompile(`^(([0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}|\{([0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}\})$`)

// uuidSpelled is a uuid of uuidForm as PostgreSQL spells it.
func uuidSpelled(key string) string {
	digits := strings.ToLower(strings.NewReplacer("-", "", "{", "", "}", "").Replace(key))
	return digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:]
}
