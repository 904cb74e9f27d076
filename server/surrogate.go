package server

import (
	"strconv"
	"strings"
)

// loneSurrogate is the message for a text that has half of a character. Go would silently replace that half by U+FFFD,
// and the database would store that.
const loneSurrogate = `a text has half of a surrogate pair: an escape \uD800 to \uDFFF without its other half`

// hasLoneSurrogate reports whether a string in JSON, or in a GraphQL document, has an escape that is half of a
// surrogate pair. It skips GraphQL's comments and block strings, which have no such escapes.
func hasLoneSurrogate(text string) bool {
	if !strings.Contains(text, `\u`) {
		return false
	}
	for i := 0; i < len(text); {
		switch {
		case text[i] == '#':
			if end := strings.IndexAny(text[i:], "\r\n"); end >= 0 {
				i += end
			} else {
				return false
			}
		case strings.HasPrefix(text[i:], `"""`):
			rest := strings.ReplaceAll(text[i+3:], `\"""`, `\'''`)
			end := strings.Index(rest, `"""`)
			if end < 0 {
				return false
			}
			i += 3 + end + 3
		case text[i] == '"':
			length, lone := scanString(text[i+1:])
			if lone {
				return true
			}
			i += 1 + length
		default:
			i++
		}
	}
	return false
}

// scanString reads a string from behind its first quote. It returns the string's length including the last quote. If it
// finds half of a surrogate pair, it returns true, and the length means nothing.
func scanString(text string) (length int, lone bool) {
	high := false // whether the last escape was the first half of a pair
	for i := 0; i < len(text); {
		surrogate, next := rune(0), i+1
		switch {
		case text[i] == '"':
			return i + 1, high
		case text[i] == '\\' && i+6 <= len(text) && text[i+1] == 'u':
			if n, err := strconv.ParseUint(text[i+2:i+6], 16, 16); err == nil {
				surrogate = rune(n)
			}
			next = i + 6
		case text[i] == '\\':
			next = i + 2
		}
		isHigh, isLow := surrogate >= 0xD800 && surrogate < 0xDC00, surrogate >= 0xDC00 && surrogate < 0xE000
		if high != isLow {
			return i, true
		}
		high = isHigh
		i = next
	}
	return len(text), high
}
