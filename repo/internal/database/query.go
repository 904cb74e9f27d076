package database

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
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

// QueryBinary calls scan for each row of the answer of a PostgreSQL, with its values in the binary format. They are
// valid until scan returns. The query has its arguments as Numbered writes them. A statement on its own is tried again
// as Query does.
func (s Session) QueryBinary(ctx context.Context, scan func(values [][]byte) error, query string, args ...any) error {
	if s.decides {
		query = s.Pools.Dialect.OfPrimary(query)
	}
	scanned := false
	again := func(err error) bool { return IsBusy(err) && !scanned && !s.Within }
	return Retry(ctx, Patience{Tries: BusyTries}, again, func() error {
		conn, within := s.pool.(*sql.Conn)
		if !within {
			var err error
			if conn, err = s.Pools.ReaderDB.Conn(ctx); err != nil {
				return s.Pools.Classify(err)
			}
			defer conn.Close() //nolint:errcheck // a connection that cannot be given back is closed
		}
		s.Pools.Observe(query)
		return s.Pools.Classify(conn.Raw(func(c any) error {
			rows, err := c.(*stdlib.Conn).Conn().Query(ctx, query,
				append([]any{pgx.QueryResultFormats{binaryFormat}}, args...)...)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				scanned = true
				if err := scan(rows.RawValues()); err != nil {
					return err
				}
			}
			return rows.Err()
		}))
	})
}

// Scanner is a row of an answer.
type Scanner interface{ Scan(to ...any) error }
