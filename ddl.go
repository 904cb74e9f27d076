package main

import (
	"context"
	"errors"
	"fmt"
)

// ddlCommand is `coexist ddl`.
type ddlCommand struct{}

// Run prints the statements by which serve would prepare the database.
func (*ddlCommand) Run(ctx context.Context, env *environment) error {
	db, err := env.open(ctx, connecting)
	if err != nil {
		return err
	}
	script, err := db.DDL(ctx)
	if err == nil {
		_, err = fmt.Fprint(env.stdout, script)
	}
	return errors.Join(err, db.Close())
}
