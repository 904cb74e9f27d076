// Package resolvers answers the GraphQL schema with the engine of package repo, with one file for each noun. A resolver
// reads its input, calls the engine, and returns the engine's errors as they are. Package server translates them in one
// place. Everything that belongs to the sample is in sample.go and in the files of the sample's nouns.
package resolvers

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"github.com/alwaysup/coexist/auth"
	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/repo"
)

// Resolver is the root of all resolvers. Make one with New.
type Resolver struct {
	Entities
	Control *repo.Control
}

var _ graph.ResolverRoot = (*Resolver)(nil)

// New returns the resolvers, after it has described the entities to db. An entity that the database does not know yet
// starts in the phase initial. New does not touch the database.
func New(db *repo.DB, initial repo.Phase) (*Resolver, error) {
	entities, err := newEntities(db, initial)
	if err != nil {
		return nil, err
	}
	return &Resolver{Entities: entities, Control: repo.NewControl(db)}, nil
}

type (
	query        struct{ *Resolver }
	mutation     struct{ *Resolver }
	subscription struct{ *Resolver }
	migration    struct{ *Resolver }
	run          struct{ *Resolver }
)

// Query answers queries.
func (r *Resolver) Query() graph.QueryResolver { return query{r} }

// Mutation answers mutations.
func (r *Resolver) Mutation() graph.MutationResolver { return mutation{r} }

// Subscription answers subscriptions.
func (r *Resolver) Subscription() graph.SubscriptionResolver { return subscription{r} }

// Migration answers the fields that a graph.Migration does not hold itself.
func (r *Resolver) Migration() graph.MigrationResolver { return migration{r} }

// Run answers the fields that a repo.Run does not hold itself.
func (r *Resolver) Run() graph.RunResolver { return run{r} }

// Directives returns what the schema's directives do. @writer and @operator refuse a field to callers without the role.
func Directives() graph.DirectiveRoot {
	needs := func(role auth.Role) func(context.Context, any, graphql.Resolver) (any, error) {
		return func(ctx context.Context, _ any, next graphql.Resolver) (any, error) {
			if err := auth.Require(ctx, role); err != nil {
				return nil, err
			}
			return next(ctx)
		}
	}
	return graph.DirectiveRoot{Operator: needs(auth.Operator), Writer: needs(auth.Writer)}
}
