package database

import (
	"context"
	"database/sql"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// Pipeline is a batch of statements that are sent in one round trip. Arguments are $1, $2 …
type Pipeline struct {
	Pools *Pools
	Batch pgx.Batch
}

// Add queues a statement. scan, unless it is nil, reads its first row.
func (p *Pipeline) Add(scan func(pgx.Row) error, statement string, args ...any) {
	p.Pools.Observe(statement)
	q := p.Batch.Queue(statement, args...)
	if scan != nil {
		q.QueryRow(scan)
	}
}

// AddRows queues a query. scan reads the values of each row, of which those that are not text, or not known to pgx, are
// in the binary format. They are valid until it returns.
func (p *Pipeline) AddRows(scan func(values [][]byte) error, query string, args ...any) {
	p.Pools.Observe(query)
	p.Batch.Queue(query, args...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			if err := scan(rows.RawValues()); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// Send sends the statements over a connection, and reads their answers.
func (p *Pipeline) Send(ctx context.Context, conn *sql.Conn) error {
	return conn.Raw(func(c any) error {
		return c.(*stdlib.Conn).Conn().SendBatch(ctx, &p.Batch).Close()
	})
}

// Numbered writes $1, $2 … in the place of each "?" that is not part of a quoted name or text.
func Numbered(query string) string {
	var b strings.Builder
	for n := 1; ; {
		at := strings.IndexAny(query, `?'"`)
		if at < 0 {
			if n == 1 && b.Len() == 0 {
				return query
			}
			b.WriteString(query)
			return b.String()
		}
		if query[at] == '?' {
			b.WriteString(query[:at])
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
			query, n = query[at+1:], n+1
			continue
		}
		end := strings.IndexByte(query[at+1:], query[at])
		if end < 0 {
			b.WriteString(query)
			return b.String()
		}
		b.WriteString(query[:at+end+2])
		query = query[at+end+2:]
	}
}
