package resolvers

import (
	"context"
	"strconv"

	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
)

func newOrderV1(o models.OrderV1, family *siblings) *graph.OrderV1 {
	family.add(o.CustomerID)
	return &graph.OrderV1{
		OrderID: o.OrderID, CustomerID: o.CustomerID, EmployeeID: o.EmployeeID, OrderDate: o.OrderDate,
		RequiredDate: o.RequiredDate, ShippedDate: o.ShippedDate,
		ShipVia: o.ShipVia, Freight: o.Freight, ShipName: o.ShipName, ShipAddress: o.ShipAddress, ShipCity: o.ShipCity,
		ShipRegion:     o.ShipRegion,
		ShipPostalCode: o.ShipPostalCode, ShipCountry: o.ShipCountry, Details: o.Details, Siblings: family,
	}
}

func newOrderV2(r repo.Record[models.OrderV2], family *siblings) *graph.OrderV2 {
	v := r.Value
	family.add(v.CustomerID)
	o := &graph.OrderV2{
		ID: globalID(orderNode, r.Key), OrderID: r.Key, CustomerID: v.CustomerID, EmployeeID: v.EmployeeID,
		Status:   graph.OrderStatusPlaced,
		PlacedOn: v.PlacedOn, RequiredBy: v.RequiredBy, ShippedOn: v.ShippedOn, Lines: []graph.OrderLine{},
		Total: money(v.Total()), Note: v.Note,
		Shipment: &graph.Shipment{CarrierID: v.Shipment.CarrierID, Recipient: v.Shipment.Recipient},
		Version:  int(r.Version), Copy: copyOf(r.Copy),
		Siblings: family,
	}
	if v.Shipped() {
		o.Status = graph.OrderStatusShipped
	}
	if !v.Shipment.Address.Empty() {
		o.Shipment.Address = address(graph.AddressKindShipping, v.Shipment.Address)
	}
	if v.Shipment.Freight != nil {
		o.Shipment.Freight = money(models.Amount(*v.Shipment.Freight))
	}
	for _, l := range v.Lines {
		o.Lines = append(o.Lines, graph.OrderLine{
			ProductID: l.ProductID, UnitPrice: money(models.Amount(l.UnitPrice)), Quantity: l.Quantity,
			Discount: l.Discount, Total: money(l.Total()),
		})
	}
	return o
}

func money(amount models.Amount) *graph.Money {
	return &graph.Money{Amount: amount, CurrencyCode: models.Currency}
}

func (q query) OrderV1(ctx context.Context, orderID string) (*graph.OrderV1, error) {
	o, err := q.Orders.GetV1(ctx, orderID)
	return partly(ctx, newOrderV1(o, &siblings{}), err)
}

func (q query) OrderV2(ctx context.Context, orderID string) (*graph.OrderV2, error) {
	o, err := q.Orders.GetV2(ctx, orderID)
	return absent(newOrderV2(o, &siblings{}), err)
}

func (q query) OrdersV1(ctx context.Context, first *int, after *string, last *int, before *string,
	orderBy *graph.OrderOrderBy, filter *graph.OrderFilter,
) (*graph.OrderV1Connection, error) {
	asked, err := orderQuery(first, after, last, before, orderBy, filter)
	if err != nil {
		return nil, err
	}
	page, err := q.Orders.ListV1(ctx, asked)
	if err != nil {
		return nil, err
	}
	return ordersV1(page, &siblings{}), nil
}

func (q query) OrdersV2(ctx context.Context, first *int, after *string, last *int, before *string,
	orderBy *graph.OrderOrderBy, filter *graph.OrderFilter,
) (*graph.OrderV2Connection, error) {
	asked, err := orderQuery(first, after, last, before, orderBy, filter)
	if err != nil {
		return nil, err
	}
	page, err := q.Orders.ListV2(ctx, asked)
	if err != nil {
		return nil, err
	}
	return ordersV2(page, &siblings{}), nil
}

func orderQuery(first *int, after *string, last *int, before *string, orderBy *graph.OrderOrderBy,
	filter *graph.OrderFilter,
) (repo.Query, error) {
	q := repo.Query{First: first, Last: last, After: after, Before: before}
	if orderBy != nil {
		q.Desc = orderBy.Direction == graph.OrderDirectionDesc
		if orderBy.Field != graph.OrderSortKey {
			q.Sort = string(orderBy.Field)
		}
	}
	if filter == nil {
		return q, nil
	}
	var err error
	q.Where, err = orderPredicates(*filter)
	return q, err
}

// orderPredicates returns predicates that pick the same orders in either shape. The database compares the dates: SQLite
// keeps them as text, whose order is that of the days.
func orderPredicates(filter graph.OrderFilter) ([]repo.Predicate, error) {
	var where []repo.Predicate
	pair := func(v1, v2 repo.Condition) { where = append(where, repo.Predicate{V1: v1, V2: v2}) }
	if key, ok := given(filter.CustomerID); ok {
		if err := checkText("filter.customerId", key); err != nil {
			return nil, err
		}
		pair(repo.In("customer_id", key), repo.In("customer_id", key))
	}
	if day, ok := given(filter.PlacedFrom); ok {
		pair(repo.AtLeast("order_date", string(day)), repo.AtLeast("placed_on", string(day)))
	}
	if day, ok := given(filter.PlacedTo); ok {
		pair(repo.AtMost("order_date", string(day)), repo.AtMost("placed_on", string(day)))
	}
	if shipped, ok := given(filter.Shipped); ok {
		test := repo.IsNull
		if shipped {
			test = repo.IsNotNull
		}
		pair(test("shipped_date"), test("shipped_on"))
	}
	return where, nil
}

func ordersV1(p *repo.Page[models.OrderV1], family *siblings) *graph.OrderV1Connection {
	c := &graph.OrderV1Connection{
		Edges: []graph.OrderV1Edge{}, Nodes: []*graph.OrderV1{},
		PageInfo: pageInfo(p), Page: p,
	}
	for i := range p.Items {
		n := node(&p.Items[i], family, newOrderV1)
		c.Nodes = append(c.Nodes, n)
		c.Edges = append(c.Edges, graph.OrderV1Edge{Cursor: p.Items[i].Cursor, Node: n})
	}
	return c
}

func ordersV2(p *repo.Page[repo.Record[models.OrderV2]], family *siblings) *graph.OrderV2Connection {
	c := &graph.OrderV2Connection{
		Edges: []graph.OrderV2Edge{}, Nodes: []*graph.OrderV2{},
		PageInfo: pageInfo(p), Page: p,
	}
	for i := range p.Items {
		n := node(&p.Items[i], family, newOrderV2)
		c.Nodes = append(c.Nodes, n)
		c.Edges = append(c.Edges, graph.OrderV2Edge{Cursor: p.Items[i].Cursor, Node: n})
	}
	return c
}

func (orderV1Connection) Edges(ctx context.Context, c *graph.OrderV1Connection) ([]graph.OrderV1Edge, error) {
	failedEdges(ctx, c.Page, len(c.Edges), "OrderV1Edge")
	return c.Edges, nil
}

func (orderV1Connection) Nodes(ctx context.Context, c *graph.OrderV1Connection) ([]*graph.OrderV1, error) {
	failedNodes(ctx, c.Page, len(c.Nodes))
	return c.Nodes, nil
}

func (orderV1Connection) TotalCount(ctx context.Context, c *graph.OrderV1Connection) (int, error) {
	return total(ctx, c.Page)
}

func (orderV2Connection) Edges(ctx context.Context, c *graph.OrderV2Connection) ([]graph.OrderV2Edge, error) {
	failedEdges(ctx, c.Page, len(c.Edges), "OrderV2Edge")
	return c.Edges, nil
}

func (orderV2Connection) Nodes(ctx context.Context, c *graph.OrderV2Connection) ([]*graph.OrderV2, error) {
	failedNodes(ctx, c.Page, len(c.Nodes))
	return c.Nodes, nil
}

func (orderV2Connection) TotalCount(ctx context.Context, c *graph.OrderV2Connection) (int, error) {
	return total(ctx, c.Page)
}

func (r orderV1) Customer(ctx context.Context, o *graph.OrderV1) (*graph.CustomerV1, error) {
	return referred(ctx, o.Siblings, o.CustomerID, r.Customers.GetManyV1, newCustomerV1)
}

func (r orderV2) Customer(ctx context.Context, o *graph.OrderV2) (*graph.CustomerV2, error) {
	return referred(ctx, o.Siblings, o.CustomerID, r.Customers.GetManyV2, newCustomerV2)
}

// orderKey reads the key of a new order. It returns 0 if the server has to make the key.
func orderKey(id string) (models.OrderID, error) {
	if id == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n < 1 || strconv.FormatInt(n, 10) != id {
		return 0, badInput("orderId", "the id of an order is a whole number, at least 1")
	}
	return models.OrderID(n), nil
}
