package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/alwaysup/coexist/repo"
)

// fewRows is how many rows a sweep has whose memory that of a large one is held against.
const fewRows = 100_000

// whole measures `coexist sweep` and `coexist verify` as an operator runs them, in a process of their own, on few rows
// and on all: time, peak memory, and how long their transactions take. Then it takes the table to CONTRACT and back.
func (f *flags) whole(ctx context.Context, c *cluster, r *results) error {
	if !f.wants("memory") {
		return nil
	}
	for range f.Runs {
		for _, rows := range []int{min(f.count()/10, fewRows), f.count()} {
			template := "bench_seed"
			if rows < f.count() {
				template = "bench_few"
				if err := f.seed(ctx, c, template, rows); err != nil {
					return err
				}
			}
			if err := c.create(ctx, "bench", template); err != nil {
				return err
			}
			if err := f.wholeOf(ctx, c, r, rows); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *flags) wholeOf(ctx context.Context, c *cluster, r *results, rows int) error {
	url := c.database("bench")
	e, err := openEngineIn(ctx, url, repo.Migrate)
	if err != nil {
		return err
	}
	if err := e.db.Close(); err != nil {
		return err
	}
	for _, command := range []string{"sweep", "verify"} {
		took, longest, err := f.watched(ctx, c, rows, command, "CUSTOMER", "--json")
		if err != nil {
			return err
		}
		name := func(what string, n int) string { return fmt.Sprintf("%s of %d rows%s", command, n, what) }
		r.add(name("", rows), took)
		var held []beside
		if rows == f.count() && command == "sweep" {
			held = append(held, atMost(name(", peak memory", min(f.count()/10, fewRows)), 1.1, megabytes.of))
		}
		r.addIn(megabytes, name(", peak memory", rows), cost{rows: 1, memory: took.memory}, held...)
		r.addIn(millis, name(", longest transaction that writes", rows), cost{rows: 1, took: longest})
	}
	return f.back(ctx, c, r, rows)
}

// back measures the step to CUTOVER, with the foreign keys of V2's child tables, and the way back from CONTRACT, where
// one row in ten has changed.
func (f *flags) back(ctx context.Context, c *cluster, r *results, rows int) error {
	step := func(entity, to string) []string { return []string{"phase", entity, to, "--force", "--reason=bench"} }
	for _, next := range []struct {
		name string
		args []string
	}{
		{"", []string{"sweep", "ORDER"}}, // a customer takes each step after its orders
		{"", []string{"verify", "ORDER"}},
		{"", step("ORDER", "CUTOVER")},
		{"step of %d rows to CUTOVER", step("CUSTOMER", "CUTOVER")},
		{"", step("ORDER", "CONTRACT")},
		{"step of %d rows to CONTRACT", step("CUSTOMER", "CONTRACT")},
		{"restore of %d rows", []string{"restore", "CUSTOMER"}},
		{"step of %d rows back to CUTOVER", step("CUSTOMER", "CUTOVER")},
		{"step of %d rows back to MIGRATE", step("CUSTOMER", "MIGRATE")},
	} {
		if next.args[0] == "restore" {
			if err := execute(ctx, c.database("bench"), `UPDATE customers_v2 SET name = left(name, 30) || ' & Co.'
				WHERE hashtext(customer_id) % 10 = 0`); err != nil {
				return err
			}
		}
		took, _, err := f.watched(ctx, c, rows, next.args...)
		switch {
		case err != nil:
			return err
		case next.args[0] == "restore":
			r.add(fmt.Sprintf(next.name, rows), took)
		case next.name != "":
			r.addIn(millis, fmt.Sprintf(next.name, rows), cost{rows: 1, took: took.took})
		}
	}
	return nil
}

// watched runs a command of the program, and returns what it took, and the longest transaction that has written.
func (f *flags) watched(ctx context.Context, c *cluster, rows int, args ...string,
) (took cost, longest time.Duration, err error) {
	program := exec.CommandContext(ctx, f.Coexist, append(args, "--database-url="+c.database("bench"))...)
	stop, err := c.watchTransactions(ctx)
	if err != nil {
		return cost{}, 0, err
	}
	took, err = c.measure(int64(rows), func() error {
		if said, err := program.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", args, err, said)
		}
		return nil
	})
	longest = stop()
	if err != nil {
		return cost{}, 0, err
	}
	usage := program.ProcessState.SysUsage().(*syscall.Rusage)
	took.client, took.allocations = time.Duration(usage.Utime.Nano()+usage.Stime.Nano()), 0
	took.memory = usage.Maxrss * 1024
	return took, longest, nil
}

// watchTransactions looks, until it is stopped, how long transactions take that write to the measured database. stop
// returns the longest.
func (c *cluster) watchTransactions(ctx context.Context) (stop func() time.Duration, err error) {
	conn, err := pgx.Connect(ctx, c.url.String())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var longest time.Duration
	var done sync.WaitGroup
	done.Go(func() {
		defer conn.Close(context.WithoutCancel(ctx))
		const every = 20 * time.Millisecond
		for tick := time.NewTicker(every); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			var seconds float64
			if err := conn.QueryRow(ctx, `SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8
				FROM pg_stat_activity WHERE datname = 'bench' AND backend_xid IS NOT NULL AND query NOT LIKE 'ANALYZE%'`).Scan(&seconds); err != nil {
				if ctx.Err() == nil {
					fmt.Fprintln(os.Stderr, strings.TrimSpace(err.Error()))
				}
				return
			}
			longest = max(longest, time.Duration(seconds*float64(time.Second)))
		}
	})
	return func() time.Duration {
		cancel()
		done.Wait()
		return longest
	}, nil
}
