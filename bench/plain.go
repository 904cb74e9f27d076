package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/resolvers"
	"github.com/alwaysup/coexist/server"
)

// plain is the server that Coexist is held against: the same schema and the same server, over a repository that reads
// V2's tables and knows no coexistence.
type plain struct {
	*resolvers.Resolver
	pool *pgxpool.Pool
}

// Query answers customers of V2 from their tables, and all else as Coexist does.
func (p *plain) Query() graph.QueryResolver { return plainQuery{p.Resolver.Query(), p.pool} }

type plainQuery struct {
	graph.QueryResolver
	pool *pgxpool.Pool
}

const plainCustomer = `SELECT c.customer_id, c.name, c.coexist_version,
	ARRAY(SELECT ROW(d.display_name, d.given_name, d.family_name, d.title) FROM customer_v2_contacts d
		WHERE d.customer_id = c.customer_id ORDER BY d.position),
	ARRAY(SELECT ROW(CAST(d.kind AS text), d.street, d.locality, d.region, d.postal_code, d.country,
		CAST(d.country_code AS text)) FROM customer_v2_addresses d WHERE d.customer_id = c.customer_id ORDER BY d.position),
	ARRAY(SELECT ROW(CAST(d.kind AS text), d.number) FROM customer_v2_phones d
		WHERE d.customer_id = c.customer_id ORDER BY d.position) FROM customers_v2 c `

func (q plainQuery) CustomerV2(ctx context.Context, customerID string) (*graph.CustomerV2, error) {
	found, err := q.customers(ctx, "WHERE c.customer_id = $1", customerID)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}

func (q plainQuery) CustomersV2(ctx context.Context, first *int, after *string, _ *int, _ *string,
	_ *graph.CustomerOrderBy, _ *graph.CustomerFilter,
) (*graph.CustomerV2Connection, error) {
	var from string
	if after != nil {
		from = *after
	}
	found, err := q.customers(ctx, "WHERE c.customer_id > $1 ORDER BY c.customer_id LIMIT $2", from, *first+1)
	if err != nil {
		return nil, err
	}
	connection := &graph.CustomerV2Connection{Nodes: found, PageInfo: &graph.PageInfo{HasNextPage: len(found) > *first}}
	if connection.PageInfo.HasNextPage {
		connection.Nodes = found[:*first]
		connection.PageInfo.EndCursor = &found[*first-1].CustomerID
	}
	return connection, nil
}

func (q plainQuery) customers(ctx context.Context, rest string, args ...any) ([]*graph.CustomerV2, error) {
	rows, err := q.pool.Query(ctx, plainCustomer+rest, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*graph.CustomerV2, error) {
		c := &graph.CustomerV2{}
		var version int64
		err := row.Scan(&c.CustomerID, &c.Name, &version,
			&records[graph.Contact]{&c.Contacts, func(r *graph.Contact) []any {
				return []any{&r.DisplayName, &r.GivenName, &r.FamilyName, &r.Title}
			}},
			&records[graph.Address]{&c.Addresses, func(r *graph.Address) []any {
				return []any{
					(*string)(&r.Kind), &r.Street, &r.Locality, &r.Region, &r.PostalCode, &r.Country, &r.CountryCode,
				}
			}},
			&records[graph.Phone]{&c.Phones, func(r *graph.Phone) []any {
				return []any{(*string)(&r.Kind), &r.Number}
			}})
		c.Version = int(version)
		return c, err
	})
}

// records scans an array of rows into a slice.
type records[T any] struct {
	to     *[]T
	fields func(*T) []any
}

func (r *records[T]) SetDimensions(dimensions []pgtype.ArrayDimension) error {
	*r.to = []T{}
	if len(dimensions) > 0 {
		*r.to = make([]T, dimensions[0].Length)
	}
	return nil
}

func (r *records[T]) ScanIndex(i int) any { return fields(r.fields(&(*r.to)[i])) }

func (r *records[T]) ScanIndexType() any { return fields(r.fields(new(T))) }

// fields are where the columns of a row go.
type fields []any

func (f fields) ScanNull() error { return errors.New("a row is NULL") }

func (f fields) ScanIndex(i int) any { return f[i] }

// connection answers what a page holds.
type connection struct {
	graph.CustomerV2ConnectionResolver
}

func (connection) Nodes(_ context.Context, c *graph.CustomerV2Connection) ([]*graph.CustomerV2, error) {
	return c.Nodes, nil
}

// CustomerV2Connection answers pages of plainQuery.
func (p *plain) CustomerV2Connection() graph.CustomerV2ConnectionResolver {
	return connection{p.Resolver.CustomerV2Connection()}
}

// plainCommand is `bench plain`: the plain server, for `bench` itself.
type plainCommand struct {
	URL string `name:"postgres-url" required:"" help:"A PostgreSQL database with the sample's tables."`
}

// Run serves until ctx ends.
func (c *plainCommand) Run(ctx context.Context) error {
	e, err := openEngine(ctx, c.URL)
	if err != nil {
		return err
	}
	defer e.db.Close() //nolint:errcheck // nothing is lost with it
	config, err := pgxpool.ParseConfig(c.URL)
	if err != nil {
		return err
	}
	config.MaxConns = 8 // as many as Coexist has by default
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	s, err := newServer(e, &plain{e.resolver, pool}, ".")
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("url=http://%s\n", listener.Addr())
	return s.Serve(ctx, listener)
}

// newServer returns a server of the sample's schema, which lies in a folder, with some resolvers.
func newServer(e *engine, root graph.ResolverRoot, folder string) (*server.Server, error) {
	schema, err := os.ReadFile(filepath.Join(folder, "schema.graphqls")) //nolint:gosec // of the repository
	if err != nil {
		return nil, err
	}
	return server.New(graph.NewExecutableSchema(graph.Config{
		Schema:    server.LoadSchema(&ast.Source{Name: "schema.graphqls", Input: string(schema)}),
		Resolvers: root, Directives: resolvers.Directives(), Complexity: resolvers.Costs(),
	}), e.db, e.control, server.Options{Logger: slog.New(slog.DiscardHandler)})
}
