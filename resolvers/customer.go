package resolvers

import (
	"context"

	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
)

func newCustomerV1(c models.CustomerV1, family *siblings) *graph.CustomerV1 {
	family.add(&c.CustomerID)
	return &graph.CustomerV1{
		CustomerID: c.CustomerID, CompanyName: c.CompanyName, ContactName: c.ContactName, ContactTitle: c.ContactTitle,
		Address: c.Address, City: c.City,
		Region: c.Region, PostalCode: c.PostalCode, Country: c.Country, Phone: c.Phone, Fax: c.Fax, Siblings: family,
	}
}

func newCustomerV2(r repo.Record[models.CustomerV2], family *siblings) *graph.CustomerV2 {
	family.add(&r.Key)
	c := &graph.CustomerV2{
		ID: globalID(customerNode, r.Key), CustomerID: r.Key, Name: r.Value.Name,
		Contacts: []graph.Contact{}, Addresses: []graph.Address{}, Phones: []graph.Phone{}, Version: int(r.Version),
		Copy:     copyOf(r.Copy),
		Siblings: family,
	}
	for _, contact := range r.Value.Contacts {
		c.Contacts = append(c.Contacts, graph.Contact{
			DisplayName: contact.DisplayName, GivenName: contact.GivenName, FamilyName: contact.FamilyName,
			Title: contact.Title,
		})
	}
	for _, a := range r.Value.Addresses {
		c.Addresses = append(c.Addresses, *address(graph.AddressKind(a.Kind), a.Postal))
	}
	for _, p := range r.Value.Phones {
		c.Phones = append(c.Phones, graph.Phone{Kind: graph.PhoneKind(p.Kind), Number: p.Number})
	}
	return c
}

func address(kind graph.AddressKind, p models.Postal) *graph.Address {
	return &graph.Address{
		Kind: kind, Street: p.Street, Locality: p.Locality, Region: p.Region, PostalCode: p.PostalCode,
		Country: p.Country, CountryCode: p.CountryCode,
	}
}

func (q query) CustomerV1(ctx context.Context, customerID string) (*graph.CustomerV1, error) {
	c, err := q.Customers.GetV1(ctx, customerID)
	return partly(ctx, newCustomerV1(c, &siblings{}), err)
}

func (q query) CustomerV2(ctx context.Context, customerID string) (*graph.CustomerV2, error) {
	c, err := q.Customers.GetV2(ctx, customerID)
	return absent(newCustomerV2(c, &siblings{}), err)
}

func (q query) CustomersV1(ctx context.Context, first *int, after *string, last *int, before *string,
	orderBy *graph.CustomerOrderBy, filter *graph.CustomerFilter,
) (*graph.CustomerV1Connection, error) {
	asked, err := customerQuery(first, after, last, before, orderBy, filter)
	if err != nil {
		return nil, err
	}
	page, err := q.Customers.ListV1(ctx, asked)
	if err != nil {
		return nil, err
	}
	return customersV1(page, &siblings{}), nil
}

func (q query) CustomersV2(ctx context.Context, first *int, after *string, last *int, before *string,
	orderBy *graph.CustomerOrderBy, filter *graph.CustomerFilter,
) (*graph.CustomerV2Connection, error) {
	asked, err := customerQuery(first, after, last, before, orderBy, filter)
	if err != nil {
		return nil, err
	}
	page, err := q.Customers.ListV2(ctx, asked)
	if err != nil {
		return nil, err
	}
	return customersV2(page, &siblings{}), nil
}

func customerQuery(first *int, after *string, last *int, before *string, orderBy *graph.CustomerOrderBy,
	filter *graph.CustomerFilter,
) (repo.Query, error) {
	q := repo.Query{First: first, Last: last, After: after, Before: before}
	if orderBy != nil {
		q.Desc = orderBy.Direction == graph.OrderDirectionDesc
		if orderBy.Field != graph.CustomerSortKey {
			q.Sort = string(orderBy.Field)
		}
	}
	if filter == nil {
		return q, nil
	}
	var err error
	q.Where, err = customerPredicates(*filter)
	return q, err
}

// customerPredicates returns predicates that pick the same customers in either shape.
func customerPredicates(filter graph.CustomerFilter) ([]repo.Predicate, error) {
	var where []repo.Predicate
	if part, ok := given(filter.NameContains); ok {
		if err := checkText("filter.nameContains", part); err != nil {
			return nil, err
		}
		where = append(where, repo.Predicate{V1: repo.Contains("company_name", part), V2: repo.Contains("name", part)})
	}
	if code, ok := given(filter.CountryCode); ok {
		spellings := models.CountrySpellings(code)
		if spellings == nil {
			return nil, badInput("filter.countryCode", "%.10q is not an ISO 3166-1 alpha-2 code, such as DE", code)
		}
		where = append(where, repo.Predicate{
			V1: repo.In("country", spellings...),
			V2: repo.FirstChild("customer_v2_addresses", repo.In("country_code", code),
				repo.In("kind", string(models.AddressMain)), repo.In("v2_only", false)),
		})
	}
	if keys, ok := filter.Keys.ValueOK(); ok && keys != nil {
		const most = 100
		if len(keys) > most {
			return nil, badInput("filter.keys", "has %d elements, but at most %d are allowed", len(keys), most)
		}
		if err := checkText("filter.keys", keys...); err != nil {
			return nil, err
		}
		is := repo.In("customer_id", keys...)
		where = append(where, repo.Predicate{V1: is, V2: is})
	}
	return where, nil
}

func customersV1(p *repo.Page[models.CustomerV1], family *siblings) *graph.CustomerV1Connection {
	c := &graph.CustomerV1Connection{
		Edges: []graph.CustomerV1Edge{}, Nodes: []*graph.CustomerV1{},
		PageInfo: pageInfo(p), Page: p,
	}
	for i := range p.Items {
		n := node(&p.Items[i], family, newCustomerV1)
		c.Nodes = append(c.Nodes, n)
		c.Edges = append(c.Edges, graph.CustomerV1Edge{Cursor: p.Items[i].Cursor, Node: n})
	}
	return c
}

func customersV2(p *repo.Page[repo.Record[models.CustomerV2]], family *siblings) *graph.CustomerV2Connection {
	c := &graph.CustomerV2Connection{
		Edges: []graph.CustomerV2Edge{}, Nodes: []*graph.CustomerV2{},
		PageInfo: pageInfo(p), Page: p,
	}
	for i := range p.Items {
		n := node(&p.Items[i], family, newCustomerV2)
		c.Nodes = append(c.Nodes, n)
		c.Edges = append(c.Edges, graph.CustomerV2Edge{Cursor: p.Items[i].Cursor, Node: n})
	}
	return c
}

func (customerV1Connection) Edges(ctx context.Context, c *graph.CustomerV1Connection) ([]graph.CustomerV1Edge, error) {
	failedEdges(ctx, c.Page, len(c.Edges), "CustomerV1Edge")
	return c.Edges, nil
}

func (customerV1Connection) Nodes(ctx context.Context, c *graph.CustomerV1Connection) ([]*graph.CustomerV1, error) {
	failedNodes(ctx, c.Page, len(c.Nodes))
	return c.Nodes, nil
}

func (customerV1Connection) TotalCount(ctx context.Context, c *graph.CustomerV1Connection) (int, error) {
	return total(ctx, c.Page)
}

func (customerV2Connection) Edges(ctx context.Context, c *graph.CustomerV2Connection) ([]graph.CustomerV2Edge, error) {
	failedEdges(ctx, c.Page, len(c.Edges), "CustomerV2Edge")
	return c.Edges, nil
}

func (customerV2Connection) Nodes(ctx context.Context, c *graph.CustomerV2Connection) ([]*graph.CustomerV2, error) {
	failedNodes(ctx, c.Page, len(c.Nodes))
	return c.Nodes, nil
}

func (customerV2Connection) TotalCount(ctx context.Context, c *graph.CustomerV2Connection) (int, error) {
	return total(ctx, c.Page)
}

func (r customerV1) Orders(ctx context.Context, c *graph.CustomerV1, first *int, after *string, last *int,
	before *string,
) (*graph.OrderV1Connection, error) {
	asked := repo.Query{First: first, After: after, Last: last, Before: before}
	return ordersOf(ctx, c.Siblings, c.CustomerID, asked, r.Resolver.Orders.ListGroupsV1, ordersV1)
}

func (r customerV2) Orders(ctx context.Context, c *graph.CustomerV2, first *int, after *string, last *int,
	before *string,
) (*graph.OrderV2Connection, error) {
	asked := repo.Query{First: first, After: after, Last: last, Before: before}
	return ordersOf(ctx, c.Siblings, c.CustomerID, asked, r.Resolver.Orders.ListGroupsV2, ordersV2)
}

// ordersOf returns a customer's page of orders. It reads the pages of all siblings at once, and their orders become
// siblings too.
func ordersOf[T, C any](
	ctx context.Context, of any, customerID string, asked repo.Query,
	list func(ctx context.Context, column string, keys []string, q repo.Query) ([]*repo.Page[T], error),
	convert func(*repo.Page[T], *siblings) *C,
) (*C, error) {
	connections, err := together(ctx, of, pageName(asked),
		func(ctx context.Context, keys []string) (map[string]*C, error) {
			pages, err := list(ctx, customerColumn, keys, asked)
			connections, family := make(map[string]*C, len(pages)), &siblings{}
			for i, p := range pages {
				connections[keys[i]] = convert(p, family)
			}
			return connections, err
		})
	return connections[customerID], err
}
