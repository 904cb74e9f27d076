package database

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// Snapshot is a read-only transaction whose queries all see the same moment. Their answers come in PostgreSQL's binary
// format, from SQLite too.
type Snapshot interface {
	// Run sends queries, to PostgreSQL in one round trip, and reads their answers in their order.
	Run(ctx context.Context, queries ...SnapshotQuery) error
}

// postgresSnapshot is a Snapshot whose first Run begins the transaction.
type postgresSnapshot struct {
	pools *Pools
	conn  *pgconn.PgConn
}

// SnapshotQuery is a query of a Snapshot. A "?" in it is an argument.
type SnapshotQuery struct {
	SQL  string
	Args []any // strings and integers
	// Row gets the values of one row, with the object ids of their types. They are valid until it returns; nil is NULL.
	Row func(values [][]byte, oids []uint32) error
}

const binaryFormat = 1

// InSnapshot calls read within a read-only transaction on one of the readers' connections.
func (p *Pools) InSnapshot(ctx context.Context, read func(Snapshot) error) error {
	conn, err := p.ReaderDB.Conn(ctx)
	if err != nil {
		return p.Classify(err)
	}
	defer conn.Close() //nolint:errcheck // a connection that cannot be given back is closed: nothing is lost with it
	return p.Classify(p.Dialect.snapshot(ctx, p, conn, read))
}

func (postgres) snapshot(ctx context.Context, p *Pools, conn *sql.Conn, read func(Snapshot) error) error {
	return conn.Raw(func(c any) error {
		s := &postgresSnapshot{p, c.(*stdlib.Conn).Conn().PgConn()}
		err := read(s)
		if s.conn.TxStatus() == idle || s.conn.IsClosed() {
			return err
		}
		// End the transaction even when ctx has ended.
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_, endErr := s.conn.Exec(undo, "COMMIT").ReadAll()
		return errors.Join(err, endErr)
	})
}

// idle is a connection's TxStatus outside of a transaction.
const idle = 'I'

func (s *postgresSnapshot) Run(ctx context.Context, queries ...SnapshotQuery) error {
	batch := &pgconn.Batch{}
	begins := s.conn.TxStatus() == idle
	if begins {
		batch.ExecParams("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", nil, nil, nil, nil)
	}
	for _, q := range queries {
		s.pools.Observe(q.SQL)
		args := make([][]byte, len(q.Args))
		for i, arg := range q.Args {
			args[i] = fmt.Append(nil, arg)
		}
		batch.ExecParams(Numbered(q.SQL), args, nil, nil, []int16{binaryFormat})
	}
	answers := s.conn.ExecBatch(ctx, batch)
	at := 0
	if begins {
		at = -1
	}
	for ; answers.NextResult(); at++ {
		answer := answers.ResultReader()
		var oids []uint32
		for answer.NextRow() {
			if at < 0 || queries[at].Row == nil {
				continue
			}
			if oids == nil {
				for _, field := range answer.FieldDescriptions() {
					oids = append(oids, field.DataTypeOID)
				}
			}
			if err := queries[at].Row(answer.Values(), oids); err != nil {
				return errors.Join(err, answers.Close())
			}
		}
		if _, err := answer.Close(); err != nil {
			return errors.Join(err, answers.Close())
		}
	}
	return answers.Close()
}

// Integer is a value of type smallint, integer or bigint, 0 for anything else.
func Integer(value []byte) int64 {
	switch len(value) {
	case 2:
		return int64(int16(binary.BigEndian.Uint16(value))) //nolint:gosec // the sign is in the bits
	case 4:
		return int64(int32(binary.BigEndian.Uint32(value))) //nolint:gosec // the sign is in the bits
	case 8:
		return int64(binary.BigEndian.Uint64(value)) //nolint:gosec // the sign is in the bits
	default:
		return 0
	}
}
