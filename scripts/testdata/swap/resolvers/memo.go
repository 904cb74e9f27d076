package resolvers

import (
	"context"

	"github.com/99designs/gqlgen/graphql"

	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
)

func memoV1(m models.MemoV1) *graph.MemoV1 {
	return &graph.MemoV1{MemoID: m.ID, Title: m.Title, Tags: m.Tags}
}

func newMemoV2(r repo.Record[models.MemoV2], _ *siblings) *graph.MemoV2 {
	m := &graph.MemoV2{
		ID: globalID(memoNode, r.Key), MemoID: r.Key, Topic: r.Value.Topic, Headline: r.Value.Headline,
		Labels:    []string{},
		PinnedFor: r.Value.PinnedFor, Version: int(r.Version), Copy: copyOf(r.Copy),
	}
	for _, l := range r.Value.Labels {
		m.Labels = append(m.Labels, l.Name)
	}
	return m
}

func (q query) MemoV1(ctx context.Context, memoID string) (*graph.MemoV1, error) {
	m, err := q.Memos.GetV1(ctx, memoID)
	return absent(memoV1(m), err)
}

func (q query) MemoV2(ctx context.Context, memoID string) (*graph.MemoV2, error) {
	m, err := q.Memos.GetV2(ctx, memoID)
	return absent(newMemoV2(m, nil), err)
}

func (q query) MemosV2(ctx context.Context, first *int, after *string) (*graph.MemoV2Connection, error) {
	page, err := q.Memos.ListV2(ctx, repo.Query{First: first, After: after})
	if err != nil {
		return nil, err
	}
	c := &graph.MemoV2Connection{Edges: []graph.MemoV2Edge{}, Nodes: []*graph.MemoV2{},
		PageInfo: pageInfo(page), Page: page}
	for i := range page.Items {
		n := node(&page.Items[i], nil, newMemoV2)
		c.Nodes = append(c.Nodes, n)
		c.Edges = append(c.Edges, graph.MemoV2Edge{Cursor: page.Items[i].Cursor, Node: n})
	}
	return c, nil
}

type memoV2Connection struct{}

func (memoV2Connection) Edges(ctx context.Context, c *graph.MemoV2Connection) ([]graph.MemoV2Edge, error) {
	failedEdges(ctx, c.Page, len(c.Edges), "MemoV2Edge")
	return c.Edges, nil
}

func (memoV2Connection) Nodes(ctx context.Context, c *graph.MemoV2Connection) ([]*graph.MemoV2, error) {
	failedNodes(ctx, c.Page, len(c.Nodes))
	return c.Nodes, nil
}

func (memoV2Connection) TotalCount(ctx context.Context, c *graph.MemoV2Connection) (int, error) {
	return total(ctx, c.Page)
}

func (m mutation) CreateMemoV1(ctx context.Context, in graph.CreateMemoV1Input) (*graph.MemoV1, error) {
	key, err := keyForCreate("memoId", in.MemoID)
	if err != nil {
		return nil, err
	}
	made, err := m.Memos.CreateV1(ctx, models.MemoV1{ID: key, Title: in.Title, Tags: in.Tags.Value()})
	if err != nil {
		return nil, err
	}
	return memoV1(made), nil
}

func (m mutation) UpdateMemoV2(ctx context.Context, in graph.UpdateMemoV2Input) (*graph.MemoV2, error) {
	r, err := m.Memos.UpdateV2(ctx, in.MemoID, version(in.ExpectedVersion), func(v2 *models.MemoV2) error {
		set(&v2.Topic, in.Topic)
		set(&v2.PinnedFor, in.PinnedFor)
		if names, ok := in.Labels.ValueOK(); ok {
			v2.Labels = nil
			for _, name := range names {
				v2.Labels = append(v2.Labels, models.Label{Name: name})
			}
		}
		return setRequired(&v2.Headline, "headline", in.Headline)
	})
	if err != nil {
		return nil, err
	}
	return newMemoV2(r, nil), nil
}

func (m mutation) DeleteMemo(ctx context.Context, memoID string, expectedVersion *int) (*graph.DeletePayload, error) {
	return deleted(memoID, m.Memos.Delete(ctx, memoID, version(graphql.OmittableOf(expectedVersion))))
}
