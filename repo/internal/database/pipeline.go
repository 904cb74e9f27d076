package database

import (
	"context"
	"database/sql"
	"fmt"
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

// Send sends the statements over a connection, and reads their answers.
func (p *Pipeline) Send(ctx context.Context, conn *sql.Conn) error {
	return conn.Raw(func(c any) error {
		return c.(*stdlib.Conn).Conn().SendBatch(ctx, &p.Batch).Close()
	})
}

// Numbered writes $1, $2 … in the place of each "?" that is not part of a quoted name or text.
func Numbered(query string) string {
	var b strings.Builder
	within, n := rune(0), 0
	for _, r := range query {
		switch {
		case within != 0:
			if r == within {
				within = 0
			}
		case r == '\'', r == '"':
			within = r
		case r == '?':
			n++
			fmt.Fprintf(&b, "$%d", n)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
