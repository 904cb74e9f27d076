package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/alwaysup/coexist/internal/terminal"
	"github.com/alwaysup/coexist/repo"
)

// seedCommand is `coexist seed`.
type seedCommand struct{ sampleFlags }

// Run fills the database: it creates V1's tables if the database is empty, and inserts the sample's rows whose keys are
// not there. When it was interrupted it may be run again.
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
	bar := terminal.NewProgressBar(env.stderr, "sample")
	defer bar.End()
	began := time.Now()
	inserted, err := c.insert(ctx, db, func(done, total int64) {
		bar.Show(done, total, pace(done, total, time.Since(began)))
	})
	if err != nil {
		return err
	}
	bar.End()
	env.logger.Info("sample data", append([]any{"database", db.name}, inserted...)...)
	return nil
}

// pace says how fast rows come, and how long the others will take.
func pace(done, total int64, took time.Duration) string {
	rate := float64(done) / max(took.Seconds(), 1e-3)
	left := time.Duration(float64(total-done) / rate * float64(time.Second))
	return fmt.Sprintf(", %.0f rows/s, %s left", rate, left.Round(time.Second))
}
