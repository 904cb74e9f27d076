package resolvers

import (
	"context"
	"time"

	"github.com/alwaysup/coexist/auth"
	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/repo"
)

func migrationOf(m repo.Migration) *graph.Migration {
	return &graph.Migration{
		ID: globalID(migrationNode, m.Entity), Entity: graph.Entity(m.Entity), Phase: m.Phase,
		PhaseChangedAt: m.PhaseChangedAt,
		Incomplete:     m.Incomplete, MappingVersion: m.MappingVersion,
	}
}

func (q query) Migrations(ctx context.Context) ([]graph.Migration, error) {
	migrations, err := q.Control.Migrations(ctx)
	answer := make([]graph.Migration, len(migrations))
	for i, m := range migrations {
		answer[i] = *migrationOf(m)
	}
	return answer, err
}

func (q query) Migration(ctx context.Context, entity graph.Entity, exact *bool) (*graph.Migration, error) {
	m, err := q.Control.Migration(ctx, string(entity))
	if err != nil {
		return nil, err
	}
	answer := migrationOf(m)
	answer.Exact = exact != nil && *exact
	return answer, nil
}

func (m migration) Progress(ctx context.Context, obj *graph.Migration) (*repo.Progress, error) {
	p, err := m.Control.Progress(ctx, string(obj.Entity), obj.Exact)
	return &p, err
}

func (m migration) History(ctx context.Context, obj *graph.Migration, first *int) ([]repo.PhaseChange, error) {
	return m.Control.History(ctx, string(obj.Entity), *first)
}

func (m migration) Runs(ctx context.Context, obj *graph.Migration, kind *repo.RunKind,
	first *int,
) ([]repo.Run, error) {
	var of repo.RunKind
	if kind != nil {
		of = *kind
	}
	return m.Control.Runs(ctx, string(obj.Entity), of, *first)
}

func (m migration) Quarantine(ctx context.Context, obj *graph.Migration, first *int,
	after *string,
) (*graph.QuarantineConnection, error) {
	start := ""
	if after != nil {
		start = *after
	}
	if err := checkText("after", start); err != nil {
		return nil, err
	}
	page, err := m.Control.Quarantine(ctx, string(obj.Entity), *first, start)
	if err != nil {
		return nil, err
	}
	answer := &graph.QuarantineConnection{
		Edges: []graph.QuarantineEdge{}, Nodes: []graph.QuarantineEntry{},
		PageInfo:   &graph.PageInfo{HasNextPage: page.HasNext, HasPreviousPage: after != nil},
		TotalCount: int(page.Total),
	}
	for _, e := range page.Entries {
		entry := graph.QuarantineEntry{
			Key: e.Key, Code: e.Code, Field: e.Field, Message: e.Message, MappingVersion: e.MappingVersion,
			Attempts:    e.Attempts,
			FirstSeenAt: e.FirstSeenAt.UTC(), LastSeenAt: e.LastSeenAt.UTC(),
		}
		answer.Nodes = append(answer.Nodes, entry)
		answer.Edges = append(answer.Edges, graph.QuarantineEdge{Cursor: e.Cursor, Node: &entry})
	}
	if n := len(page.Entries); n > 0 {
		answer.PageInfo.StartCursor, answer.PageInfo.EndCursor = &page.Entries[0].Cursor, &page.Entries[n-1].Cursor
	}
	return answer, nil
}

func (m migration) V1Usage(ctx context.Context, obj *graph.Migration, since *time.Time) ([]repo.V1Usage, error) {
	var from time.Time
	if since != nil {
		from = *since
	}
	return m.Control.V1Usage(ctx, string(obj.Entity), from)
}

func (m migration) Gate(ctx context.Context, obj *graph.Migration, to repo.Phase) ([]repo.Blocker, error) {
	return m.Control.Gate(ctx, string(obj.Entity), to)
}

func (m migration) Capture(ctx context.Context, obj *graph.Migration) (*graph.Capture, error) {
	c, err := m.Control.Capture(ctx, string(obj.Entity))
	if err != nil {
		return nil, err
	}
	return &graph.Capture{Enabled: c.Enabled, LastBypassWriteAt: c.LastBypassWriteAt, BypassWrites: c.BypassWrites}, nil
}

func (m mutation) SetCapture(ctx context.Context, input graph.SetCaptureInput) (*graph.SetCapturePayload, error) {
	if _, err := m.Control.SetCapture(ctx, string(input.Entity), input.Enabled); err != nil {
		return nil, err
	}
	changed, err := m.Control.Migration(ctx, string(input.Entity))
	if err != nil {
		return nil, err
	}
	return &graph.SetCapturePayload{Migration: migrationOf(changed)}, nil
}

func (m mutation) SetPhase(ctx context.Context, input graph.SetPhaseInput) (*graph.SetPhasePayload, error) {
	force, _ := given(input.Force)
	changed, err := m.Control.SetPhase(ctx, repo.PhaseRequest{
		Entity: string(input.Entity), To: input.To, Force: force, Reason: input.Reason.Value(),
		Actor: auth.IdentityOf(ctx).Name,
	})
	if err != nil {
		return nil, extended(err)
	}
	return &graph.SetPhasePayload{Migration: migrationOf(changed)}, nil
}

func (s subscription) MigrationProgress(ctx context.Context, entity graph.Entity) (<-chan *graph.Migration, error) {
	states, err := s.Control.WatchMigration(ctx, string(entity))
	if err != nil {
		return nil, err
	}
	return forward(ctx, states, migrationOf), nil
}

// forward converts what a channel sends, until that channel is closed or ctx ends.
func forward[T, N any](ctx context.Context, states <-chan T, convert func(T) *N) <-chan *N {
	converted := make(chan *N, 1)
	go func() {
		defer close(converted)
		for state := range states {
			select {
			case converted <- convert(state):
			case <-ctx.Done():
				return
			}
		}
	}()
	return converted
}
