package main

import (
	"context"
	"fmt"
	"os/exec"
	"syscall"
)

// memory measures the peak memory of a process that sweeps, for few rows and for many.
func (f *flags) memory(ctx context.Context, c *cluster, r *results) error {
	if !f.wants("memory") {
		return nil
	}
	few := fmt.Sprintf("peak memory of a sweep of %d rows", f.count()/10)
	many := fmt.Sprintf("peak memory of a sweep of %d rows", f.count())
	for range f.Runs {
		for _, keep := range []struct {
			name string
			rows int
			held []beside
		}{{few, f.count() / 10, nil}, {many, f.count(), []beside{atMost(few, 1.1, megabytes.of)}}} {
			if err := c.create(ctx, "bench", "bench_seed"); err != nil {
				return err
			}
			url := c.database("bench")
			if err := execute(ctx, url, "SET session_replication_role = replica", fmt.Sprintf(`DELETE FROM customers WHERE customer_id
				IN (SELECT customer_id FROM customers ORDER BY customer_id OFFSET %d)`, keep.rows)); err != nil {
				return err
			}
			e, err := openEngine(ctx, url) // puts the entities into MIGRATE
			if err != nil {
				return err
			}
			if err := e.db.Close(); err != nil {
				return err
			}
			sweep := exec.CommandContext(ctx, f.Coexist, "sweep", "CUSTOMER", "--json", "--database-url="+url)
			if said, err := sweep.CombinedOutput(); err != nil {
				return fmt.Errorf("%w: %s", err, said)
			}
			peak := sweep.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
			r.addIn(megabytes, keep.name, cost{rows: 1, memory: peak * 1024}, keep.held...)
		}
	}
	return nil
}
