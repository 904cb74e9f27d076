package repo

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// cursor says where a row stands in a list.
type cursor struct {
	Entity string          `json:"e"`
	Sort   string          `json:"s,omitempty"`
	Value  json.RawMessage `json:"v,omitempty"` // of the sort's column; null where it has none
	Key    string          `json:"k"`
}

func (c cursor) encode() string {
	document, err := json.Marshal(c)
	if err != nil {
		return "" // cannot happen: the value is what the database made
	}
	return base64.RawURLEncoding.EncodeToString(document)
}

func (c cursor) null() bool { return len(c.Value) == 0 || string(c.Value) == "null" }

// maxCursor limits the length of a cursor's document, in bytes. The document contains the row's value in the sort's
// column.
const maxCursor = 128 << 10

// decodeCursor returns an *InputError for a cursor that list did not make for this sort.
func (e *entity) decodeCursor(name, text, sort string) (*cursor, error) {
	var c cursor
	document, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(document) > maxCursor || !utf8.Valid(document) || json.Unmarshal(document, &c) != nil ||
		!e.validKey(c.Key) {
		return nil, inputError(Faulty(name, "is not a cursor of this list"))
	}
	if c.Entity != e.name {
		return nil, inputError(Faulty(name, "is a cursor of another list"))
	}
	if c.Sort != sort {
		return nil, inputError(Faulty(name, "is a cursor of another order"))
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(c.Value))
	decoder.UseNumber() // a float64 cannot hold every decimal
	if !c.null() && decoder.Decode(&value) != nil {
		return nil, inputError(Faulty(name, "is not a cursor of this list"))
	}
	switch v := value.(type) {
	case string:
		if strings.ContainsRune(v, 0) {
			return nil, inputError(Faulty(name, "is not a cursor of this list"))
		}
	case json.Number, bool, nil:
	default:
		return nil, inputError(Faulty(name, "is not a cursor of this list"))
	}
	if _, _, ok := e.db.dialect.SortedBy(e.v1.Key, c.Value); !ok {
		return nil, inputError(Faulty(name, "is not a cursor of this list"))
	}
	return &c, nil
}
