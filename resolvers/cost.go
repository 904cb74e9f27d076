package resolvers

import (
	"time"

	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/repo"
)

// maxCost is what the cost of a list counts at most as an element of another. It is far beyond what a server lets pass.
const maxCost = 1 << 20

// many is the cost of a list of n elements.
func many(child, n int) int {
	// What is too much stays too much, whatever surrounds it, and never overflows.
	return 1 + min(child, maxCost)*min(max(n, 1), 1000)
}

// page is the cost of a page of a list.
func page(child int, first, last *int) int {
	switch {
	case first != nil:
		return many(child, *first)
	case last != nil:
		return many(child, *last)
	default:
		return many(child, 20)
	}
}

// Costs says which fields are lists, and how long they may get: a page of 100 costs what it holds.
func Costs() graph.ComplexityRoot {
	var c graph.ComplexityRoot
	setEntityCosts(&c)
	c.Query.Nodes = func(child int, ids []string) int { return many(child, len(ids)) }
	c.Migration.History = func(child int, first *int) int { return page(child, first, nil) }
	c.Migration.Runs = func(child int, _ *repo.RunKind, first *int) int { return page(child, first, nil) }
	c.Migration.V1Usage = func(child int, _ *time.Time) int { return many(child, 1000) }
	c.Migration.Quarantine = func(child int, first *int, _ *string) int { return page(child, first, nil) }
	return c
}
