// Coexist serves an old table shape, V1, and a new one, V2, side by side through one GraphQL schema, while the data
// moves from V1 to V2. This package holds the commands and the wiring. `coexist --help` says how to use it.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

//go:generate go tool gqlgen generate

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run runs the program and returns its exit status: 0 for success, 1 for a failure, 2 for a command line that makes no
// sense. It prints an error as one line on stderr.
func run(args []string, stdout, stderr io.Writer) int {
	command, env, err := parse(args, stdout, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "coexist: %s (coexist --help explains)\n", oneLine(err))
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := command.Run(ctx, env); err != nil {
		fmt.Fprintln(stderr, "coexist:", oneLine(err))
		return 1
	}
	return 0
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
