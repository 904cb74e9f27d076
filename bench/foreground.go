package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alwaysup/coexist/models"
)

const (
	// foregroundRate is how many requests users send a second, whether or not the earlier ones are answered.
	foregroundRate = 100
	// foregroundKeys is how many customers they ask for. These have moved before anything is measured.
	foregroundKeys = 1000
)

const (
	quietName  = "p99 of users' requests"
	besideName = "p99 of users' requests beside a sweep"
)

const updateQuery = `mutation ($key: ID!, $name: String) {
	updateCustomerV2(input: {customerId: $key, name: $name}) { customer { version } } }`

const sweepQuery = `mutation { startSweep(input: {entity: CUSTOMER}) { run { id } } }`

const sweepStateQuery = `{ migration(entity: CUSTOMER) { runs(first: 1) { status } } }`

// foreground measures how long users wait, without a sweep and beside one with the default settings. Of ten requests,
// eight read and two write.
func (f *flags) foreground(ctx context.Context, c *cluster, r *results) error {
	if !f.wants("foreground") {
		return nil
	}
	for range f.Runs {
		if err := c.create(ctx, "bench", "bench_seed"); err != nil {
			return err
		}
		if err := f.besideASweep(ctx, c, r); err != nil {
			return err
		}
	}
	return nil
}

func (f *flags) besideASweep(ctx context.Context, c *cluster, r *results) error {
	e, err := openEngine(ctx, c.database("bench")) // puts the entities into MIGRATE
	if err != nil {
		return err
	}
	for i := range foregroundKeys {
		if _, err := e.resolver.Customers.GetV2(ctx, models.SampleCustomer(1, i).CustomerID); err != nil {
			return errors.Join(err, e.db.Close())
		}
	}
	if err := e.db.Close(); err != nil {
		return err
	}
	p, err := start(ctx, nil, f.Coexist, "serve", "--addr=127.0.0.1:0", "--client-rate=0", "--client-operations=0",
		"--database-url="+c.database("bench"))
	if err != nil {
		return err
	}
	defer p.stop()
	end := time.Now().Add(2 * f.Period)
	quiet, err := p.users(ctx, func() bool { return time.Now().Before(end) })
	if err != nil {
		return err
	}
	if _, err := p.ask(ctx, document(sweepQuery, nil)); err != nil {
		return err
	}
	var sweeping sync.Mutex
	running, looked := true, time.Now()
	busy, err := p.users(ctx, func() bool {
		sweeping.Lock()
		defer sweeping.Unlock()
		if now := time.Now(); running && now.Sub(looked) > time.Second/4 {
			looked = now
			state, err := p.ask(ctx, document(sweepStateQuery, nil))
			running = err == nil && strings.Contains(string(state), "RUNNING")
		}
		return running
	})
	if err != nil {
		return err
	}
	r.addIn(millis, quietName, quiet)
	r.addIn(millis, besideName, busy, atMost(quietName, 1.5, byTime))
	return nil
}

// users sends requests for as long as more says so. It returns the time of the slowest but one in a hundred.
func (p *process) users(ctx context.Context, more func() bool) (cost, error) {
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	var all sync.WaitGroup
	tick := time.NewTicker(time.Second / foregroundRate)
	defer tick.Stop()
	for n := 0; more(); n++ {
		key := models.SampleCustomer(1, rand.IntN(foregroundKeys)).CustomerID //nolint:gosec // any
		body := document(oneQuery, map[string]any{"key": key})
		if n%5 == 0 {
			body = document(updateQuery, map[string]any{"key": key, "name": fmt.Sprintf("Company %d", n)})
		}
		due := <-tick.C
		all.Go(func() {
			_, err := p.ask(ctx, body)
			waited := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			took, failed = append(took, waited), errors.Join(failed, err)
		})
	}
	all.Wait()
	slices.Sort(took)
	if failed != nil || len(took) == 0 {
		return cost{}, errors.Join(failed, errors.New("no user has been answered"))
	}
	return cost{rows: 1, took: took[len(took)*99/100]}, nil
}
