package repo

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// pipeline is a batch of statements that are sent in one round trip. Arguments are $1, $2 …
type pipeline struct {
	db    *DB
	batch pgx.Batch
}

// add queues a statement. scan, unless it is nil, reads its first row.
func (p *pipeline) add(scan func(pgx.Row) error, statement string, args ...any) {
	p.db.observe(statement)
	q := p.batch.Queue(statement, args...)
	if scan != nil {
		q.QueryRow(scan)
	}
}

func (p *pipeline) send(ctx context.Context, conn *sql.Conn) error {
	return conn.Raw(func(c any) error {
		return c.(*stdlib.Conn).Conn().SendBatch(ctx, &p.batch).Close()
	})
}

// afterDeferred sends both statements in one round trip.
func (postgres) afterDeferred(ctx context.Context, t *tx, scan func(scanner) error, query string, args ...any) error {
	b := pipeline{db: t.db}
	b.add(nil, "SET CONSTRAINTS ALL IMMEDIATE")
	t.db.observe(query)
	b.batch.Queue(numbered(query), args...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	return t.db.classify(b.send(ctx, t.conn))
}

// numbered writes $1, $2 … in the place of each "?" that is no part of a name or a text.
func numbered(query string) string {
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
