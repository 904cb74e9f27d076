package resolvers

import (
	"context"

	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
)

// This file wires the sample. Entities of your own take the place of the sample's, here and in the files of their
// nouns.

// Entities are the repositories of the entities.
type Entities struct {
	Customers *repo.Repository[models.CustomerV1, models.CustomerV2]
	Orders    *repo.Repository[models.OrderV1, models.OrderV2]
}

// customerColumn is the column of V1's orders that holds the customer's key.
const customerColumn = "customer_id"

// newEntities describes the entities to db. Each has the name that it has in the schema's enum Entity.
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

// rowNodes returns, for each type of row that has global ids, how to read many rows at once by these.
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

// CustomerV1 answers the fields that a graph.CustomerV1 does not hold itself.
func (r *Resolver) CustomerV1() graph.CustomerV1Resolver { return customerV1{r} }

// CustomerV2 answers the fields that a graph.CustomerV2 does not hold itself.
func (r *Resolver) CustomerV2() graph.CustomerV2Resolver { return customerV2{r} }

// OrderV1 answers the fields that a graph.OrderV1 does not hold itself.
func (r *Resolver) OrderV1() graph.OrderV1Resolver { return orderV1{r} }

// OrderV2 answers the fields that a graph.OrderV2 does not hold itself.
func (r *Resolver) OrderV2() graph.OrderV2Resolver { return orderV2{r} }

// CustomerV1Connection answers the fields of a page, with the errors of its rows.
func (r *Resolver) CustomerV1Connection() graph.CustomerV1ConnectionResolver {
	return customerV1Connection{}
}

// CustomerV2Connection answers the fields of a page, with the errors of its rows.
func (r *Resolver) CustomerV2Connection() graph.CustomerV2ConnectionResolver {
	return customerV2Connection{}
}

// OrderV1Connection answers the fields of a page, with the errors of its rows.
func (r *Resolver) OrderV1Connection() graph.OrderV1ConnectionResolver { return orderV1Connection{} }

// OrderV2Connection answers the fields of a page, with the errors of its rows.
func (r *Resolver) OrderV2Connection() graph.OrderV2ConnectionResolver { return orderV2Connection{} }

// setEntityCosts sets how to compute the cost of each field of the entities that is a list.
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
