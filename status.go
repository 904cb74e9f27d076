package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/alwaysup/coexist/repo"
)

// statusCommand is `coexist status`.
type statusCommand struct {
	Exact bool `help:"Count row by row, which takes long on large tables. Default: estimate large tables from statistics."`
	JSON  bool `name:"json" help:"Print JSON."`
}

// migrationStatus is one line of the table, and one element of what --json prints.
type migrationStatus struct {
	Entity      string     `json:"entity"`
	Phase       repo.Phase `json:"phase"`
	Total       int64      `json:"total"`
	Migrated    int64      `json:"migrated"`
	Remaining   int64      `json:"remaining"`
	Stale       int64      `json:"stale"`
	Quarantined int64      `json:"quarantined"`
	Fraction    float64    `json:"fraction"`
	Exact       bool       `json:"exact"`
	Run         *jsonRun   `json:"run"` // the newest run, null if there is none
}

// Run prints the state of each migration. It changes nothing in the database.
func (c *statusCommand) Run(ctx context.Context, env *environment) error {
	db, err := env.open(ctx, checking)
	if err != nil {
		return err
	}
	statuses, err := c.collect(ctx, db.control())
	if err == nil {
		err = c.print(env, statuses)
	}
	return errors.Join(err, db.Close())
}

func (c *statusCommand) collect(ctx context.Context, control *repo.Control) ([]migrationStatus, error) {
	migrations, err := control.Migrations(ctx)
	if err != nil {
		return nil, err
	}
	var statuses []migrationStatus
	for _, m := range migrations {
		p, err := control.Progress(ctx, m.Entity, c.Exact)
		if err != nil {
			return nil, err
		}
		runs, err := control.Runs(ctx, m.Entity, "", 1)
		if err != nil {
			return nil, err
		}
		s := migrationStatus{
			m.Entity, m.Phase, p.Total, p.Migrated, p.Remaining, p.Stale, p.Quarantined,
			p.Fraction(), p.Exact, nil,
		}
		for _, run := range runs {
			s.Run = new(runLine(run))
		}
		statuses = append(statuses, s)
	}
	return statuses, nil
}

func (c *statusCommand) print(env *environment, statuses []migrationStatus) error {
	if c.JSON {
		out := json.NewEncoder(env.stdout)
		out.SetIndent("", "  ")
		return out.Encode(statuses)
	}
	table := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ENTITY\tPHASE\tTOTAL\tMIGRATED\tREMAINING\tSTALE\tQUARANTINED\tDONE\tNEWEST RUN")
	for _, s := range statuses {
		run, about := "none", ""
		if s.Run != nil {
			run = fmt.Sprintf("%s %s, %d of %d rows", s.Run.Kind, s.Run.Status, s.Run.Done, s.Run.Total)
		}
		if !s.Exact {
			about = "about "
		}
		fmt.Fprintf(table, "%s\t%s\t%s%d\t%d\t%d\t%d\t%d\t%.1f %%\t%s\n",
			s.Entity, s.Phase, about, s.Total, s.Migrated, s.Remaining, s.Stale, s.Quarantined, 100*s.Fraction, run)
	}
	return table.Flush()
}
