package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/mattn/go-sqlite3"
)

// sqliteSnapshot is a Snapshot of SQLite's. It gives each value as PostgreSQL would.
type sqliteSnapshot struct {
	pools *Pools
	conn  *sqlite3.SQLiteConn
}

func (sqlite) snapshot(ctx context.Context, p *Pools, conn *sql.Conn, read func(Snapshot) error) error {
	return conn.Raw(func(c any) error {
		s := &sqliteSnapshot{p, c.(*sqlite3.SQLiteConn)}
		if _, err := s.conn.ExecContext(ctx, "BEGIN", nil); err != nil {
			return err
		}
		err := read(s)
		_, endErr := s.conn.ExecContext(context.WithoutCancel(ctx), "COMMIT", nil) // even when ctx has ended
		return errors.Join(err, endErr)
	})
}

// Run sends the queries one after another.
func (s *sqliteSnapshot) Run(ctx context.Context, queries ...SnapshotQuery) error {
	for _, q := range queries {
		s.pools.Observe(q.SQL)
		args := make([]driver.NamedValue, len(q.Args))
		for i, arg := range q.Args {
			value, err := driver.DefaultParameterConverter.ConvertValue(arg)
			if err != nil {
				return err
			}
			args[i] = driver.NamedValue{Ordinal: i + 1, Value: value}
		}
		rows, err := s.conn.QueryContext(ctx, q.SQL, args)
		if err != nil {
			return err
		}
		if err := errors.Join(readRows(rows, q), rows.Close()); err != nil {
			return err
		}
	}
	return nil
}

func readRows(rows driver.Rows, q SnapshotQuery) error {
	given := make([]driver.Value, len(rows.Columns()))
	values, types := make([][]byte, len(given)), make([]uint32, len(given))
	buffers := make([][]byte, len(given))
	for {
		if err := rows.Next(given); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		for i, value := range given {
			values[i] = nil
			if value == nil {
				continue
			}
			var err error
			if buffers[i], types[i], err = appendBinary(buffers[i][:0], value); err != nil {
				return err
			}
			values[i] = buffers[i]
		}
		if err := q.Row(values, types); err != nil {
			return err
		}
	}
}

// appendBinary appends a value in PostgreSQL's binary format. It also returns the object id of its type.
func appendBinary(to []byte, value driver.Value) ([]byte, uint32, error) {
	switch v := value.(type) {
	case string:
		return append(to, v...), pgtype.TextOID, nil
	case []byte:
		return append(to, v...), pgtype.ByteaOID, nil
	case int64:
		bits := uint64(v) //nolint:gosec // with the sign
		return binary.BigEndian.AppendUint64(to, bits), pgtype.Int8OID, nil
	case float64:
		return binary.BigEndian.AppendUint64(to, math.Float64bits(v)), pgtype.Float8OID, nil
	case bool:
		return append(to, bit(v)), pgtype.BoolOID, nil
	default:
		return to, 0, fmt.Errorf("SQLite has given a %T", value)
	}
}
