package repo

import (
	"strings"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// Statements are written as SQL. Names in braces stand for what a statement cannot spell; fill, sql and script replace
// them. What they put in is not searched for names again. In fill and sql a line break and the tabs that follow it
// become one blank; a script keeps its lines, for people who read it as `coexist ddl` prints it.

// sql is fill with further names besides pairs: the engine's own tables, such as {coexist_run}, and {now}, {lock} and
// {key share} of the dialect.
func (db *DB) sql(template string, pairs ...string) string {
	return database.FillBy(database.OneLine(template), database.Named(pairs), db.named)
}

// script is sql that keeps its lines.
func (db *DB) script(template string, pairs ...string) string {
	return database.FillBy(template, database.Named(pairs), db.named)
}

// sql is that of DB with the entity's names besides:
//
//	{v1} {v2}            the root tables
//	{v1.key} {v2.key}    their key columns
//	{mark} {quarantine}  the log of marks, and the quarantine
//	{name}               the entity's name, as a string
//	{?}                  an argument, as a key
//	{all gone} {all stale}    how many marks of all keys there are of these kinds
func (e *tables) sql(template string, pairs ...string) string {
	return database.FillBy(database.OneLine(template), database.Named(pairs), e.named, e.db.named)
}

// script is sql that keeps its lines.
func (e *tables) script(template string, pairs ...string) string {
	return database.FillBy(template, database.Named(pairs), e.named, e.db.named)
}

// ownPrefix begins the names of the engine's own tables.
const ownPrefix = "coexist_"

func (db *DB) named(name string) (string, bool) {
	switch {
	case strings.HasPrefix(name, ownPrefix):
		return db.qualify(name), true
	case name == "now":
		return db.dialect.Now(), true
	case name == "lock":
		return db.dialect.Lock(), true
	case name == "key share":
		return db.dialect.KeyShare(), true
	default:
		return "", false
	}
}

func (e *tables) named(name string) (string, bool) {
	switch name {
	case "v1":
		return e.v1.SQL, true
	case "v2":
		return e.v2.SQL, true
	case "v1.key":
		return quote(e.v1.Key.Name), true
	case "v2.key":
		return quote(e.v2.Key.Name), true
	case "mark":
		return e.markTable, true
	case "quarantine":
		return e.quarantineTable, true
	case "name":
		return literal(e.name), true
	case "?":
		return e.asKey("?"), true
	case "key list":
		return keyListGoesHere, true
	case "all gone":
		return e.countAll(markAllGone), true
	case "all stale":
		return e.countAll(markAllStale), true
	default:
		return "", false
	}
}

// keyListGoesHere stands in a statement until a query of keys takes its place. No name contains a NUL.
const keyListGoesHere = "\x00key list"

// fill returns the template with each name in braces replaced by the text that follows the name in pairs.
func fill(template string, pairs ...string) string { return database.Fill(template, pairs...) }

// quote quotes an identifier.
func quote(name string) string { return database.Quote(name) }

// literal quotes a string.
func literal(s string) string { return database.Literal(s) }
