package main

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
)

// sqlite measures sweeps and verifications on SQLite, and INSERT … SELECT beside them.
func (f *flags) sqlite(ctx context.Context, c *cluster, r *results) error {
	if !f.wants("sqlite") {
		return nil
	}
	dir, err := os.MkdirTemp("", "coexist-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // no more than a leftover
	rows := min(f.count(), sqliteRows)
	seeded := filepath.Join(dir, "seed.db")
	if err := seedSQLite(ctx, seeded, rows); err != nil {
		return err
	}
	const yardstick, swept = "INSERT … SELECT of CUSTOMER, SQLite", "sweep of CUSTOMER, SQLite"
	for range f.Runs {
		path, err := copied(dir, seeded)
		if err != nil {
			return err
		}
		plain, err := c.measure(int64(rows), func() error { return insertOnSQLite(ctx, path) })
		if err != nil {
			return err
		}
		plain.server, plain.wal = 0, 0 // there is none
		r.add(yardstick, plain)
		if path, err = copied(dir, seeded); err != nil {
			return err
		}
		if err := f.engineRuns(ctx, c, "sqlite:"+path, "CUSTOMER", 1, int64(rows), func(what string, took cost) {
			took.server, took.wal = 0, 0 // there is none
			switch what {
			case "sweep":
				r.add(swept, took, atLeast(yardstick, 0.35))
			case "again":
			default:
				r.add("verification of CUSTOMER, SQLite", took, atLeast(yardstick, 0.35))
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// sqliteRows is how many customers SQLite has at most: it is for smaller tables.
const sqliteRows = 100_000

func seedSQLite(ctx context.Context, path string, rows int) error {
	file, err := os.Create(path) //nolint:gosec // in a folder of its own
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	return seed(ctx, "sqlite:"+path, rows, 0)
}

// copied returns a fresh copy of a database that nobody has open.
func copied(dir, seeded string) (string, error) {
	path := filepath.Join(dir, "bench.db")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	content, err := os.ReadFile(seeded) //nolint:gosec // in a folder of its own
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(path, content, 0o600)
}

// insertOnSQLite fills V2's tables in one transaction.
func insertOnSQLite(ctx context.Context, path string) (err error) {
	db, err := sql.Open("sqlite3", "file:"+path+"?_journal_mode=WAL&_synchronous=FULL&_foreign_keys=on&_txlock=immediate")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	t, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for _, statement := range insertOnSQLiteStatements {
		if _, err := t.ExecContext(ctx, statement); err != nil {
			return errors.Join(err, t.Rollback())
		}
	}
	return t.Commit()
}
