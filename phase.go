package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alwaysup/coexist/repo"
)

// phaseCommand is `coexist phase`.
type phaseCommand struct {
	Entity entityName `arg:"" help:"The entity, such as CUSTOMER."`
	To     string     `arg:"" optional:"" help:"The phase to enter: EXPAND, MIGRATE, CUTOVER or CONTRACT. Without it, the command shows the phase in force and what blocks the next one."`
	Reason *string    `placeholder:"TEXT" help:"Why the phase changes. The history keeps it."`
	Force  bool       `help:"Pass blockers that are only warnings. Needs a reason. Rows that V2 lacks can only be forced into CUTOVER, which is then incomplete."`
}

// Run shows the phase of an entity. If a phase was given, it changes the phase first.
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

// show prints the phase in force and what blocks the next one. In CUTOVER it also prints who still uses V1.
func show(ctx context.Context, env *environment, control *repo.Control, m repo.Migration) error {
	incomplete := ""
	next := map[repo.Phase]repo.Phase{
		repo.Expand: repo.Migrate, repo.Migrate: repo.Cutover,
		repo.Cutover: repo.Contract,
	}[m.Phase]
	if m.Incomplete {
		incomplete, next = ", incomplete,", repo.Cutover
	}
	fmt.Fprintf(env.stdout, "%s is in %s%s since %s\n", m.Entity, m.Phase, incomplete,
		m.PhaseChangedAt.Format(time.RFC3339))
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
	if m.Phase != repo.Cutover {
		return nil
	}
	return showV1Use(ctx, env, control, m.Entity)
}

const (
	v1UseDays  = 30
	v1UseLines = 10
)

// showV1Use prints which clients have asked for V1 lately, since the step to CONTRACT concerns them. They do not block
// it: V1 answers in CONTRACT too.
func showV1Use(ctx context.Context, env *environment, control *repo.Control, entity string) error {
	usage, err := control.V1Usage(ctx, entity, time.Now().AddDate(0, 0, -v1UseDays))
	if err != nil {
		return err
	}
	type operation struct{ client, version, name string }
	// usage has a line for each field, the newest first. An operation that asks for several fields counts once: its
	// count is that of its most frequent field.
	var newestFirst []operation
	times, fields := map[operation]int64{}, map[operation]int{}
	last := map[operation]time.Time{}
	for _, u := range usage {
		o := operation{u.ClientName, u.ClientVersion, u.OperationName}
		if fields[o] == 0 {
			newestFirst = append(newestFirst, o)
			last[o] = u.LastSeenAt
		}
		fields[o]++
		times[o] = max(times[o], u.Count)
	}
	if len(newestFirst) == 0 {
		fmt.Fprintf(env.stdout, "no client has asked for V1 in the last %d days\n", v1UseDays)
		return nil
	}
	fmt.Fprintf(env.stdout, "V1 was asked for in the last %d days by\n", v1UseDays)
	w := tabwriter.NewWriter(env.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  CLIENT\tVERSION\tOPERATION\tFIELDS\tTIMES\tLAST")
	for _, o := range newestFirst[:min(len(newestFirst), v1UseLines)] {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%d\t%d\t%s\n", cmp.Or(o.client, "-"), cmp.Or(o.version, "-"), cmp.Or(o.name, "-"),
			fields[o], times[o], last[o].Format(time.RFC3339))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if more := len(newestFirst) - v1UseLines; more > 0 {
		fmt.Fprintf(env.stdout, "  and %d more, which v1Usage of GraphQL lists by field\n", more)
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
