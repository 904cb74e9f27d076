package resolvers

import (
	"context"

	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
)

// The wiring of the sample. Entities of your own take the place of these, here and in the files of their nouns.

// Entities are the repositories of what migrates.
type Entities struct {
	Customers *repo.Repository[models.CustomerV1, models.CustomerV2]
	Orders    *repo.Repository[models.OrderV1, models.OrderV2]
}

// customerColumn is the column of V1's orders that holds the customer's key.
const customerColumn = "customer_id"

// newEntities gives each entity the name that the schema's enum Entity has for it.
func newEntities(db *repo.DB, initial repo.Phase) (e Entities, err error) {
	e.Customers, err = repo.New(db, repo.Definition[models.CustomerV1, models.CustomerV2]{
		Name: string(graph.EntityCustomer), Mapping: models.CustomerMapping{}, InitialPhase: initial,
		NewKey: models.CustomerKey,
		Sorts:  map[string]repo.Sort{string(graph.CustomerSortName): {V1: "company_name", V2: "name"}},
	})
	if err != nil {
		return e, err
	}
	e.Orders, err = repo.New(db, repo.Definition[models.OrderV1, models.OrderV2]{
		Name: string(graph.EntityOrder), Mapping: models.OrderMapping{}, InitialPhase: initial,
		Sorts:      map[string]repo.Sort{string(graph.OrderSortDate): {V1: "order_date", V2: "placed_on"}},
		References: []repo.Reference{{Column: customerColumn, Table: "customers", Key: "customer_id"}},
	})
	return e, err
}

// The types of the sample's entities that have global ids.
const (
	customerNode = "CustomerV2"
	orderNode    = "OrderV2"
)

// rowNodes says how rows are read by global id, many at once, for each type that has them.
func (e Entities) rowNodes() map[string]readNodes {
	return map[string]readNodes{
		customerNode: func(ctx context.Context, keys []string) ([]graph.Node, []error, error) {
			return rowNodes(ctx, keys, e.Customers.GetManyV2, newCustomerV2)
		},
		orderNode: func(ctx context.Context, keys []string) ([]graph.Node, []error, error) {
			return rowNodes(ctx, keys, e.Orders.GetManyV2, newOrderV2)
		},
	}
}

type (
	customerV1           struct{ *Resolver }
	customerV2           struct{ *Resolver }
	orderV1              struct{ *Resolver }
	orderV2              struct{ *Resolver }
	customerV1Connection struct{}
	customerV2Connection struct{}
	orderV1Connection    struct{}
	orderV2Connection    struct{}
)

// CustomerV1 answers what a V1 customer does not hold itself.
func (r *Resolver) CustomerV1() graph.CustomerV1Resolver { return customerV1{r} }

// CustomerV2 answers what a V2 customer does not hold itself.
func (r *Resolver) CustomerV2() graph.CustomerV2Resolver { return customerV2{r} }

// OrderV1 answers what a V1 order does not hold itself.
func (r *Resolver) OrderV1() graph.OrderV1Resolver { return orderV1{r} }

// OrderV2 answers what a V2 order does not hold itself.
func (r *Resolver) OrderV2() graph.OrderV2Resolver { return orderV2{r} }

// CustomerV1Connection answers for a page.
func (r *Resolver) CustomerV1Connection() graph.CustomerV1ConnectionResolver {
	return customerV1Connection{}
}

// CustomerV2Connection answers for a page.
func (r *Resolver) CustomerV2Connection() graph.CustomerV2ConnectionResolver {
	return customerV2Connection{}
}

// OrderV1Connection answers for a page.
func (r *Resolver) OrderV1Connection() graph.OrderV1ConnectionResolver { return orderV1Connection{} }

// OrderV2Connection answers for a page.
func (r *Resolver) OrderV2Connection() graph.OrderV2ConnectionResolver { return orderV2Connection{} }

// setEntityCosts says which fields of the entities are lists, and how long they may get.
func setEntityCosts(c *graph.ComplexityRoot) {
	c.CustomerV1.Orders = func(child int, first *int, _ *string, last *int,
		_ *string,
	) int {
		return page(child, first, last)
	}
	c.CustomerV2.Orders = c.CustomerV1.Orders
	c.Query.CustomersV1 = func(child int, first *int, _ *string, last *int, _ *string, _ *graph.CustomerOrderBy,
		_ *graph.CustomerFilter,
	) int {
		return page(child, first, last)
	}
	c.Query.CustomersV2 = c.Query.CustomersV1
	c.Query.OrdersV1 = func(child int, first *int, _ *string, last *int, _ *string, _ *graph.OrderOrderBy,
		_ *graph.OrderFilter,
	) int {
		return page(child, first, last)
	}
	c.Query.OrdersV2 = c.Query.OrdersV1
}
