package repo

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// settle sends both statements in one round trip.
func (postgres) settle(ctx context.Context, t *tx, scan func(scanner) error, query string, args ...any) error {
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
