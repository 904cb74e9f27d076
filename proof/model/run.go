package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
)

// result adds up explorations, and keeps the violation with the shortest trace.
type result struct {
	scenarios, worlds, violations int
	shortest                      found
	of                            scenario
}

func (r *result) add(o result) {
	r.scenarios += o.scenarios
	r.worlds += o.worlds
	if o.violations > 0 && (r.violations == 0 || len(o.shortest.trace) < len(r.shortest.trace)) {
		r.shortest, r.of = o.shortest, o.of
	}
	r.violations += o.violations
}

// rule is the invariant that is violated.
func (r *result) rule() string {
	rule, _, _ := strings.Cut(r.shortest.violation, ":")
	return rule
}

func (r *result) print(out io.Writer) {
	if r.violations == 0 {
		fmt.Fprintf(out, "no violation in %d scenarios\n", r.scenarios)
		return
	}
	fmt.Fprintf(out, "%s\nfrom %s (%s), by %d steps:\n", r.shortest.violation, r.of.start, r.of.family,
		len(r.shortest.trace))
	for _, line := range r.shortest.trace {
		fmt.Fprintf(out, "  %s\n", line)
	}
}

// exploreAll explores scenarios without one guard. Once it has found a violation it looks for shorter ones only.
func exploreAll(list []scenario, off guard) result {
	var total result
	var mu sync.Mutex
	var group sync.WaitGroup
	work := make(chan *scenario)
	bound := func() int {
		mu.Lock()
		defer mu.Unlock()
		if total.violations > 0 && off != noGuard {
			return len(total.shortest.trace)
		}
		return math.MaxInt
	}
	for range workers() {
		group.Go(func() {
			for s := range work {
				m := &model{off: off, sqlite: s.sqlite, refs: s.refs, refuses: s.refuses, owner: s.owner}
				f := m.explore(s.world(m), bound)
				r := result{scenarios: 1, worlds: f.worlds, shortest: f, of: *s}
				if f.violation != "" {
					r.violations = 1
				}
				mu.Lock()
				total.add(r)
				mu.Unlock()
			}
		})
	}
	for i := range list {
		work <- &list[i]
	}
	close(work)
	group.Wait()
	return total
}

// withoutGuard explores the families in which a guard must be missed, one after the other until it is.
func withoutGuard(g guardInfo) result {
	var total result
	for _, family := range g.families {
		var list []scenario
		for _, s := range scenarios() {
			if s.family == family {
				list = append(list, s)
			}
		}
		total.add(exploreAll(list, g.guard))
		if total.violations > 0 {
			break
		}
	}
	return total
}
