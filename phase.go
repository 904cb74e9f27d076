package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alwaysup/coexist/repo"
)

// phaseCommand is `coexist phase`.
type phaseCommand struct {
	Entity entityName `arg:"" help:"Whose phase, such as CUSTOMER."`
	To     string     `arg:"" optional:"" help:"The phase to enter: EXPAND, MIGRATE, CUTOVER or CONTRACT. Without it the phase in force is shown, and what blocks the next."`
	Reason *string    `placeholder:"TEXT" help:"Why; kept in the history."`
	Force  bool       `help:"Pass blockers that are only warnings; needs a reason. Rows that V2 lacks are forced into CUTOVER only, which is then incomplete."`
}

// Run shows the phase of an entity, after changing it if asked to.
func (c *phaseCommand) Run(ctx context.Context, env *environment) error {
	db, err := env.open(ctx, installing)
	if err != nil {
		return err
	}
	m, err := c.change(ctx, db.control())
	if err == nil {
		err = show(ctx, env, db.control(), m)
	}
	return errors.Join(err, db.Close())
}

// show prints the phase in force and what blocks the next.
func show(ctx context.Context, env *environment, control *repo.Control, m repo.Migration) error {
	incomplete := ""
	next := map[repo.Phase]repo.Phase{repo.Expand: repo.Migrate, repo.Migrate: repo.Cutover, repo.Cutover: repo.Contract}[m.Phase]
	if m.Incomplete {
		incomplete, next = ", incomplete,", repo.Cutover
	}
	fmt.Fprintf(env.stdout, "%s is in %s%s since %s\n", m.Entity, m.Phase, incomplete, m.PhaseChangedAt.Format(time.RFC3339))
	if next == "" {
		return nil
	}
	blockers, err := control.Gate(ctx, m.Entity, next)
	if err != nil {
		return err
	}
	if len(blockers) == 0 {
		fmt.Fprintf(env.stdout, "nothing blocks the step to %s\n", next)
	}
	for _, b := range blockers {
		fmt.Fprintf(env.stdout, "%s blocks the step to %s: %s\n", b.Code, next, b.Message)
	}
	return nil
}

func (c *phaseCommand) change(ctx context.Context, control *repo.Control) (repo.Migration, error) {
	migrations, err := control.Migrations(ctx)
	if err != nil {
		return repo.Migration{}, err
	}
	entity, err := c.Entity.of(migrations)
	if err != nil {
		return repo.Migration{}, err
	}
	if c.To == "" {
		return control.Migration(ctx, entity)
	}
	return control.SetPhase(ctx, repo.PhaseRequest{
		Entity: entity, To: repo.Phase(strings.ToUpper(c.To)), Force: c.Force, Reason: c.Reason, Actor: actor(),
	})
}
