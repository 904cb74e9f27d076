// Package resolvers answers the GraphQL schema with the engine of package repo: one file per noun. A resolver reads its
// input, calls the engine and returns; errors.go translates errors once, at the edge. What is the sample's is in sample.go and
// in the files of its nouns.
package resolvers

import (
	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/repo"
)

// Resolver is the root of all resolvers. Make one with New.
type Resolver struct {
	Entities
	Control *repo.Control
}

var _ graph.ResolverRoot = (*Resolver)(nil)

// New describes the entities to db, which in a database that has not seen them start in the phase initial. It does not touch
// the database.
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

// Migration answers what a migration does not hold itself.
func (r *Resolver) Migration() graph.MigrationResolver { return migration{r} }

// Run answers what a run does not hold itself.
func (r *Resolver) Run() graph.RunResolver { return run{r} }
