package main

import (
	"context"
	"errors"
	"fmt"
)

// ddlCommand is `coexist ddl`.
type ddlCommand struct {
	ChildKeys bool `help:"Print the second step instead, for after the sweep: the foreign keys that V2's child tables still lack. The server adds them by itself at the step to CUTOVER where its role owns these tables."`
}

// Run prints the statements by which serve would prepare the database.
func (c *ddlCommand) Run(ctx context.Context, env *environment) error {
	db, err := env.open(ctx, connecting)
	if err != nil {
		return err
	}
	script, err := db.DDL(ctx)
	if c.ChildKeys {
		script, err = db.ChildKeyDDL(ctx)
	}
	_, printErr := fmt.Fprint(env.stdout, script)
	return errors.Join(err, printErr, db.Close())
}
