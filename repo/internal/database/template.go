package database

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// Quote quotes an identifier.
func Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Literal quotes a string.
func Literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// splitObject joins JSON objects that were built in parts, since a function takes a limited number of arguments.
func splitObject(members []Member, build func([]Member) string, join func(a, b string) string) string {
	const most = 45
	if len(members) <= most {
		return build(members)
	}
	return join(build(members[:most]), splitObject(members[most:], build, join))
}

// SortedJSONList is JSONList of the sorted list, as either database writes it.
func SortedJSONList(list []string) string {
	sorted := slices.Clone(list)
	slices.Sort(sorted)
	return JSONList(sorted)
}

// JSONList is a list of strings as an argument.
func JSONList(list []string) string {
	document, err := json.Marshal(list)
	if err != nil {
		return "[]" // cannot happen: strings can be marshalled
	}
	return string(document)
}

// Fill returns the template with each name in braces replaced by the text that follows the name in pairs. It panics on
// a name that is not in pairs, which is a mistake in the program. Braces around anything but a name stay.
func Fill(template string, pairs ...string) string { return FillBy(OneLine(template), Named(pairs)) }

// Names knows what some names in braces stand for.
type Names func(name string) (text string, known bool)

// Named returns the Names of pairs, in which each name is followed by its text.
func Named(pairs []string) Names {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

var lineBreak = regexp.MustCompile("\n\t*")

// OneLine is a template without its line breaks and the tabs that follow them.
func OneLine(template string) string {
	if !strings.Contains(template, "\n") {
		return template
	}
	return lineBreak.ReplaceAllString(strings.TrimLeft(template, "\n\t"), " ")
}

// FillBy is Fill with the texts of known, which it asks in turn.
func FillBy(template string, known ...Names) string {
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

func lookUp(name, template string, known []Names) string {
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
