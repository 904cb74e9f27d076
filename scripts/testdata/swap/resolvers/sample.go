package resolvers

import (
	"context"

	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
)

// Entities are the repositories of what migrates.
type Entities struct {
	Memos *repo.Repository[models.MemoV1, models.MemoV2]
}

// newEntities gives each entity the name that the schema's enum Entity has for it.
func newEntities(db *repo.DB, initial repo.Phase) (e Entities, err error) {
	e.Memos, err = repo.New(db, repo.Definition[models.MemoV1, models.MemoV2]{
		Name: string(graph.EntityMemo), Mapping: models.MemoMapping{}, InitialPhase: initial,
	})
	return e, err
}

// memoNode is the type of memos that have global ids.
const memoNode = "MemoV2"

// rowNodes says how rows are read by global id, many at once, for each type that has them.
func (e Entities) rowNodes() map[string]readNodes {
	return map[string]readNodes{
		memoNode: func(ctx context.Context, keys []string) ([]graph.Node, []error, error) {
			return rowNodes(ctx, keys, e.Memos.GetManyV2, newMemoV2)
		},
	}
}

// MemoV2Connection answers for a page.
func (r *Resolver) MemoV2Connection() graph.MemoV2ConnectionResolver { return memoV2Connection{} }

// setEntityCosts says which fields of the entities are lists, and how long they may get.
func setEntityCosts(c *graph.ComplexityRoot) {
	c.Query.MemosV2 = func(child int, first *int, _ *string) int { return page(child, first, nil) }
}
