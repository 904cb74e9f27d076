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
	quietName  = "users' requests, p%g"
	besideName = "users' requests beside a sweep, p%g"
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
	var quiet latencies
	for _, period := range []time.Duration{f.Period, 5 * f.Period} { // the first warms the server up
		end := time.Now().Add(period)
		if quiet, err = p.users(ctx, func() bool { return time.Now().Before(end) }); err != nil {
			return err
		}
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
	for _, percent := range []float64{50, 95, 99} {
		r.addIn(millis, fmt.Sprintf(quietName, percent), quiet.percentile(percent))
	}
	for _, percent := range []float64{50, 95, 99} {
		var held []beside
		if percent == 99 {
			held = append(held, atMost(fmt.Sprintf(quietName, percent), 1.5, byTime))
		}
		r.addIn(millis, fmt.Sprintf(besideName, percent), busy.percentile(percent), held...)
	}
	return nil
}

// latencies are how long users waited for their answers, the shortest first.
type latencies []time.Duration

func (l latencies) percentile(percent float64) cost {
	return cost{rows: 1, took: l[min(int(float64(len(l))*percent/100), len(l)-1)]}
}

// users sends requests for as long as more says so.
func (p *process) users(ctx context.Context, more func() bool) (latencies, error) {
	var mu sync.Mutex
	var took latencies
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
		return nil, errors.Join(failed, errors.New("no user has been answered"))
	}
	return took, nil
}
