package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/alwaysup/coexist/internal/terminal"
	"github.com/alwaysup/coexist/repo"
)

// seedCommand is `coexist seed`.
type seedCommand struct{ sampleFlags }

// Run fills the database: it creates V1's tables if the database is empty, and inserts those rows of the sample whose
// keys are free. It can be run again after an interruption.
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

// fill creates V1's tables if the database is empty, and inserts those rows of the sample whose keys are free.
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
	bar := terminal.NewProgressBar(env.stderr, "sample")
	defer bar.End()
	began := time.Now()
	inserted, err := c.insert(ctx, db, func(done, total int64) {
		bar.Show(done, total, terminal.Pace(done, total, time.Since(began)))
	})
	if err != nil {
		return err
	}
	bar.End()
	env.logger.Info("sample data", append([]any{"database", db.name}, inserted...)...)
	return nil
}
