package database

import (
	"context"
	"database/sql"
	"encoding/json"
)

// JSONFlag is a Boolean as either database writes it.
type JSONFlag bool

// UnmarshalJSON takes true, false, 1 and 0.
func (b *JSONFlag) UnmarshalJSON(document []byte) error {
	*b = string(document) == "true" || string(document) == "1"
	return nil
}

// ScanJSON reads a row of one JSON document.
func ScanJSON(rows *sql.Rows, to any) error {
	var document []byte
	if err := rows.Scan(&document); err != nil {
		return err
	}
	return json.Unmarshal(document, to)
}

// Texts returns the one column of text that a query selects.
func (s Session) Texts(ctx context.Context, query string, args ...any) ([]string, error) {
	var found []string
	err := s.Query(ctx, func(rows *sql.Rows) error {
		var text string
		err := rows.Scan(&text)
		found = append(found, text)
		return err
	}, query, args...)
	return found, err
}

// Scanner is a row of an answer.
type Scanner interface{ Scan(to ...any) error }
