package repo

import (
	"regexp"
	"strings"
)

// Statements are written as SQL. Names in braces stand for what a statement cannot spell; fill, sql and script put that
// there. What is put there is not looked at again. In fill and sql a line break with the tabs that follow is one blank;
// a script keeps its lines, for people who read it as `coexist ddl` prints it.

// fill returns the template with each name in braces replaced by the text that follows the name in pairs. It panics on
// a name that is not in pairs, which is a mistake in the program. Braces around what is no name stay.
func fill(template string, pairs ...string) string { return fillBy(oneLine(template), named(pairs)) }

// sql is fill with the engine's own tables besides pairs, each under its name, such as {coexist_run}, and {now}, {lock}
// and {key share} of the dialect.
func (db *DB) sql(template string, pairs ...string) string {
	return fillBy(oneLine(template), named(pairs), db.named)
}

// script is sql that keeps its lines.
func (db *DB) script(template string, pairs ...string) string {
	return fillBy(template, named(pairs), db.named)
}

// sql is that of DB with what is the entity's:
//
//	{v1} {v2}            the root tables
//	{v1.key} {v2.key}    their key columns
//	{mark} {quarantine}  the log of marks, and the quarantine
//	{name}               the entity's name, as a string
//	{?}                  an argument, as a key
//	{all gone} {all stale}    how many marks of all keys there are of these kinds
func (e *entity) sql(template string, pairs ...string) string {
	return fillBy(oneLine(template), named(pairs), e.named, e.db.named)
}

// script is sql that keeps its lines.
func (e *entity) script(template string, pairs ...string) string {
	return fillBy(template, named(pairs), e.named, e.db.named)
}

// names knows what some names in braces stand for.
type names func(name string) (text string, known bool)

func named(pairs []string) names {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// ownPrefix begins the names of the engine's own tables.
const ownPrefix = "coexist_"

func (db *DB) named(name string) (string, bool) {
	switch {
	case strings.HasPrefix(name, ownPrefix):
		return db.qualify(name), true
	case name == "now":
		return db.dialect.now(), true
	case name == "lock":
		return db.dialect.lock(), true
	case name == "key share":
		return db.dialect.keyShare(), true
	default:
		return "", false
	}
}

func (e *entity) named(name string) (string, bool) {
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
	case "all gone":
		return e.countAll(markAllGone), true
	case "all stale":
		return e.countAll(markAllStale), true
	default:
		return "", false
	}
}

var lineBreak = regexp.MustCompile("\n\t*")

func oneLine(template string) string {
	if !strings.Contains(template, "\n") {
		return template
	}
	return lineBreak.ReplaceAllString(strings.TrimLeft(template, "\n\t"), " ")
}

// fillBy asks each of known in turn.
func fillBy(template string, known ...names) string {
	var filled strings.Builder
	filled.Grow(2 * len(template))
	for rest := template; ; {
		before, after, found := strings.Cut(rest, "{")
		filled.WriteString(before)
		if !found {
			return filled.String()
		}
		name, behind, closed := strings.Cut(after, "}")
		if !closed || !isName(name) {
			filled.WriteByte('{')
			rest = after
			continue
		}
		filled.WriteString(lookUp(name, template, known))
		rest = behind
	}
}

func lookUp(name, template string, known []names) string {
	for _, names := range known {
		if text, ok := names(name); ok {
			return text
		}
	}
	panic("nothing is known for {" + name + "} in: " + template)
}

// isName reports whether a text between braces is a name: a letter or a question mark comes first.
func isName(text string) bool {
	return text != "" && (text[0] == '?' || text[0] >= 'a' && text[0] <= 'z' || text[0] >= 'A' && text[0] <= 'Z')
}
