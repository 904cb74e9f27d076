package database

import (
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"
	gormsqlite "gorm.io/driver/sqlite"

	"github.com/alwaysup/coexist/repo/internal/shape"
	"github.com/alwaysup/coexist/value"
)

// sqlite is the dialect apart from the protocol.
type sqlite struct{}

// SQLitePatience is how long a statement waits for writers of other processes.
const SQLitePatience = 5 * time.Second

// OpenSQLite returns the pools of a SQLite file, which is created if it is not there.
func OpenSQLite(path string, settings Settings) (*Pools, error) {
	open := func(flags string, connections int) (*sql.DB, error) {
		pool, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: path}).EscapedPath()+
			fmt.Sprintf("?_journal_mode=WAL&_synchronous=FULL&_foreign_keys=on&_busy_timeout=%d%s",
				SQLitePatience.Milliseconds(), flags))
		if err == nil {
			pool.SetMaxOpenConns(connections)
			pool.SetMaxIdleConns(connections)
		}
		return pool, err
	}
	p := poolsOf(DialectOf(sqlite{}), settings)
	p.numbered = func(statement string) string { return statement }
	var err error
	if p.WriterDB, err = open("", 1); err != nil {
		return nil, err
	}
	if p.ReaderDB, err = open("&_query_only=true", settings.MaxConns); err != nil {
		return nil, err
	}
	if p.writer, err = openGORM(gormsqlite.New(gormsqlite.Config{Conn: p.WriterDB})); err != nil {
		return nil, fmt.Errorf("cannot open the SQLite file %s: %s", path, shape.FirstLine(err))
	}
	if p.reader, err = openGORM(gormsqlite.New(gormsqlite.Config{Conn: p.ReaderDB})); err != nil {
		return nil, fmt.Errorf("cannot open the SQLite file %s: %s", path, shape.FirstLine(err))
	}
	return p, nil
}

func (sqlite) Qualify(_, table string) string { return Quote(table) }

func (sqlite) Classify(err error) error {
	if failed, ok := errors.AsType[sqlite3.Error](err); ok {
		return classifySQLite(failed)
	}
	return nil
}

// MayAnswerLater is true while the file is busy: another process may be changing it to WAL mode.
func (sqlite) MayAnswerLater(err error) bool {
	_, busy := errors.AsType[*BusyError](err)
	return busy
}

// Value keeps what a column holds, whatever its type says: a Boolean stays one, and a real keeps all its digits. No
// document can hold a blob, so it becomes {}, which no model takes.
func (sqlite) Value(alias string, c *shape.Column) string {
	v := alias + "." + Quote(c.Name)
	value := Fill(`CASE typeof({v}) WHEN 'real' THEN CASE WHEN abs({v}) <= 1.7976931348623157e308 THEN
		json(printf('%!.16e', {v})) WHEN {v} > 0 THEN 'Infinity' ELSE '-Infinity' END WHEN 'blob' THEN json('{}')
		ELSE {v} END`, "v", v)
	if c.IsBool {
		return Fill(`CASE {v} WHEN 1 THEN json('true') WHEN 0 THEN json('false') ELSE {value} END`, "v", v, "value", value)
	}
	return value
}

// Ordered sorts a column of dates, which may hold anything, by its dates: what is no date counts as NULL, and a time of
// midnight is ignored.
func (sqlite) Ordered(alias string, c *shape.Column) string {
	v := alias + "." + Quote(c.Name)
	// days that are numbers are in order already
	if kind := c.GoType.Kind(); shape.TypeFamily(c.Now().SQLType) != "date" || kind >= reflect.Int &&
		kind <= reflect.Float64 {
		return v
	}
	day := "substr(" + v + ", 1, 10)"
	return Fill(`CASE WHEN typeof({v}) = 'text' AND date({day}) = {day} AND {day} > '0001' AND (length({v}) = 10
		OR substr({v}, 11) IN (' 00:00', 'T00:00')
		OR rtrim(substr({v}, 11), '0') IN (' 00:00:', 'T00:00:', ' 00:00:00.',
		'T00:00:00.')) THEN {day} END`, "v", v, "day", day)
}

func (sqlite) Object(members []Member) string {
	return splitObject(members, func(members []Member) string {
		return "json_object(" + joinMembers(members) + ")"
	}, func(a, b string) string { return "json_patch(" + a + ", " + b + ")" })
}

func (sqlite) Truth(b bool) string { return "json('" + strconv.FormatBool(b) + "')" }

func (sqlite) List(element, from, order string) string {
	return Fill(`json((SELECT json_group_array(json({element}) ORDER BY {order}) FROM {from}))`, "element", element,
		"order", order, "from", from)
}

func (sqlite) Text(expression string) string {
	return Fill(`CAST({expression} AS text) COLLATE BINARY`, "expression", expression)
}

func (d sqlite) Contains(expression string) string {
	return "instr(" + d.Text(expression) + ", ?) > 0"
}

func (sqlite) AsKey(c *shape.Column, expression string) string {
	if c.IsInt {
		return Fill(`CAST({expression} AS integer)`, "expression", expression)
	}
	return Fill(`CAST({expression} AS text)`, "expression", expression)
}

func (sqlite) KeyList(c *shape.Column, _ int) string {
	if c.IsInt {
		return "SELECT CAST(j.value AS integer) AS key, j.key AS ord FROM json_each(?) j"
	}
	return "SELECT j.value AS key, j.key AS ord FROM json_each(?) j"
}

func (sqlite) Scalar(*shape.Column) string { return "(? ->> '$')" }

// SortValue contains the type of the value, and the bytes of a text: a column holds anything, and values of different
// types compare by type.
func (d sqlite) SortValue(alias string, c *shape.Column) string {
	v := d.Ordered(alias, c)
	return Fill(`CASE typeof({v}) WHEN 'text' THEN '~t' || hex({v}) WHEN 'blob' THEN '~b' || hex({v})
		WHEN 'integer' THEN '~i' || {v} WHEN 'real' THEN '~r' || CASE
		WHEN abs({v}) <= 1.7976931348623157e308 THEN printf('%!.16e', {v}) WHEN {v} > 0 THEN 'Inf'
		ELSE '-Inf' END END`, "v", v)
}

func (d sqlite) SortedBy(c *shape.Column, value json.RawMessage) (string, any, bool) {
	var text string
	if json.Unmarshal(value, &text) != nil || !strings.HasPrefix(text, "~") || len(text) < len("~t") {
		return d.Scalar(c), string(value), true
	}
	var arg any
	var err error
	switch of := text[2:]; text[1] {
	case 't', 'b':
		var decoded []byte
		if decoded, err = hex.DecodeString(of); text[1] == 't' {
			arg = string(decoded)
		} else {
			arg = decoded
		}
	case 'i':
		arg, err = strconv.ParseInt(of, 10, 64)
	case 'r':
		arg, err = strconv.ParseFloat(of, 64)
	default:
		return "", nil, false
	}
	return "?", arg, err == nil
}

func (sqlite) Records([]shape.Column, int) (string, func(string) string) {
	return "json_each(?) r", func(name string) string { return "r.value ->> " + Literal(`$."`+name+`"`) }
}

func (sqlite) MarkID() string { return "text" }

func (sqlite) Probe(table, alias, column string) string {
	return Fill(`LEFT JOIN {table} {alias} ON {alias}.{column} = k.key`, "table", table, "alias", alias,
		"column", Quote(column))
}

func (sqlite) Once() string { return " LIMIT -1 OFFSET 0" }

func (sqlite) Lock() string { return "" }

func (sqlite) KeyShare() string { return "" }

// Analyze returns nothing: the plans of SQLite do not depend on it here.
func (sqlite) Analyze([]string) []string { return nil }

// MinPause lets other processes write: SQLite does not queue them.
func (sqlite) MinPause() time.Duration { return 5 * time.Millisecond }

// BatchTarget is short, since every writer waits for a batch.
func (sqlite) BatchTarget() time.Duration { return 300 * time.Millisecond }

func (sqlite) SkipLocked() string { return "" }

func (d sqlite) Standby() string { return d.Truth(false) }

func (d sqlite) Hides([]string) string { return d.Truth(false) }

func (sqlite) Now() string { return "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')" }

func (d sqlite) NowText() string { return d.Now() }

func (sqlite) Later(ms string) string {
	return "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', (" + ms + " / 1000.0) || ' seconds')"
}

func (sqlite) KeyType(c *shape.Column) string {
	known := c.Now()
	declared, _, _ := strings.Cut(known.SQLType, "(")
	if known.Collation != "" {
		return Fill(`{declared} COLLATE {collation}`, "declared", declared, "collation", Quote(known.Collation))
	}
	return declared
}

// NoKey relies on SQLite's order: numbers come before texts, and bytes after them.
func (sqlite) NoKey(c *shape.Column) (condition, kind string) {
	key := "t." + Quote(c.Name)
	if c.IsInt {
		return Fill(`{key} IS NULL OR {key} >= ''`, "key", key), "NULL, or no number"
	}
	return Fill(`{key} IS NULL OR {key} < '' OR {key} >= x''`, "key", key), "NULL, or no text"
}

func (sqlite) Zero(c *shape.Column) string {
	zero := postgres{}.Zero(c)
	if c.IsExact() { // which is kept as text
		return "'0'"
	}
	return zero
}

func (sqlite) Compared(c *shape.Column) string { return c.Now().SQLType }

// AddsForeignKeys is part of Dialect.
func (sqlite) AddsForeignKeys() bool { return false }

// AlterType returns nothing: SQLite cannot change a type, and its types limit nothing.
func (sqlite) AlterType(*shape.Table, string, string) []string { return nil }

// Held keeps an integer where the column's affinity allows one. Any other number becomes a double.
func (sqlite) Held(c *shape.Column, n value.Number) (value.Number, error) {
	if _, err := strconv.ParseInt(string(n), 10, 64); err == nil && n != "-0" && affinity(c.Now().SQLType) != "REAL" {
		return n, nil
	}
	return n.Double()
}

// ColumnType keeps a numeric as text, since SQLite would make a double of it.
func (sqlite) ColumnType(c *shape.Column) string {
	if c.IsExact() {
		return "text"
	}
	return strings.TrimSpace(c.Declared)
}

// Strict is false: a column holds anything.
func (sqlite) Strict() bool { return false }

// Unnameable is true for a name that a path into a document cannot quote.
func (sqlite) Unnameable(column string) bool { return strings.ContainsAny(column, `"\`) }
