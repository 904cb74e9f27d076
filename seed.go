package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/alwaysup/coexist/repo"
)

// seedCommand is `coexist seed`.
type seedCommand struct{ sampleFlags }

// Run fills the database: it creates V1's tables if the database is empty, and inserts the sample's rows whose keys are not
// there. When it was interrupted it may be run again.
func (c *seedCommand) Run(ctx context.Context, env *environment) error {
	address, initial := env.database.given(), repo.Expand
	if address == "" {
		if _, err := os.Stat(embeddedFile); errors.Is(err, fs.ErrNotExist) {
			return c.fillEmbedded(ctx, env)
		}
		address, initial = "sqlite:"+embeddedFile, repo.Migrate
	}
	db, err := env.openAt(ctx, address, initial, connecting)
	if err != nil {
		return err
	}
	return errors.Join(c.fill(ctx, db, env), db.Close())
}

const seedBatch = 500

// fill creates V1's tables if the database is empty, and inserts the sample's rows whose keys are not there.
func (c *sampleFlags) fill(ctx context.Context, db *database, env *environment) error {
	empty, err := db.Empty(ctx)
	if err != nil {
		return err
	}
	if empty {
		if err := db.CreateV1Tables(ctx); err != nil {
			return err
		}
	}
	if err := errors.Join(db.Install(ctx), db.Check(ctx)); err != nil {
		return err
	}
	bar := newProgressBar(env.stderr, "sample")
	defer bar.end()
	inserted, err := c.insert(ctx, db, func(done, total int64) { bar.show(done, total, "") })
	if err != nil {
		return err
	}
	bar.end()
	env.logger.Info("sample data", append([]any{"database", db.name}, inserted...)...)
	return nil
}

// insert inserts n aggregates in batches, tells how many it has tried, and returns how many were not there.
func insert[V1, V2 any](ctx context.Context, into *repo.Repository[V1, V2], n int, row func(int) V1, done func(int64)) (int64, error) {
	var inserted int64
	for first := 0; first < n; first += seedBatch {
		var rows []V1
		for i := first; i < min(first+seedBatch, n); i++ {
			rows = append(rows, row(i))
		}
		more, err := into.InsertV1(ctx, rows)
		if err != nil {
			return inserted, err
		}
		inserted += more
		done(int64(first + len(rows)))
	}
	return inserted, nil
}
