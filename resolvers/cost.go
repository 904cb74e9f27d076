package resolvers

import (
	"time"

	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/repo"
)

// maxCost is the most that a list counts as an element of another list. It is far beyond what a server accepts.
const maxCost = 1 << 20

// many returns the cost of a list of n elements.
func many(child, n int) int {
	// The two bounds keep the product from overflowing. A cost that is too high stays too high, whatever surrounds it.
	return 1 + min(child, maxCost)*min(max(n, 1), 1000)
}

// page returns the cost of a page of a list. Without first and last, a page has 20 elements.
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

// Costs returns how to compute the cost of each field that is a list: a page of 100 rows costs as much as 100 rows.
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
