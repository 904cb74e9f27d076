package resolvers

import (
	"context"
	"errors"

	"github.com/99designs/gqlgen/graphql"

	"github.com/alwaysup/coexist/auth"
	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/repo"
)

func (r run) ID(_ context.Context, obj *repo.Run) (string, error) { return runID(obj.ID), nil }

func (r run) Entity(_ context.Context, obj *repo.Run) (graph.Entity, error) {
	return graph.Entity(obj.Entity), nil
}

func (q query) Run(ctx context.Context, id string) (*repo.Run, error) {
	n, err := parseRunID(id)
	if err != nil {
		return nil, err
	}
	run, err := q.Control.Run(ctx, n)
	return absent(&run, err)
}

func (m mutation) StartSweep(ctx context.Context, input graph.StartSweepInput) (*graph.RunPayload, error) {
	limits, err := limitsOf(input.Workers, input.MaxRowsPerSecond)
	older, olderErr := atLeastOne("olderThanMappingVersion", input.OlderThanMappingVersion)
	if err = errors.Join(err, olderErr); err != nil {
		return nil, err
	}
	return runPayload(m.Control.StartSweep(ctx, repo.SweepRequest{
		Entity: string(input.Entity), Workers: limits.workers, MaxRowsPerSecond: limits.rowsPerSecond,
		OlderThanMappingVersion: older, Actor: auth.IdentityOf(ctx).Name,
	}))
}

func (m mutation) StartRehearsal(ctx context.Context, input graph.StartRunInput) (*graph.RunPayload, error) {
	request, err := runRequest(ctx, input)
	if err != nil {
		return nil, err
	}
	return runPayload(m.Control.StartRehearsal(ctx, request))
}

func (m mutation) StartVerification(ctx context.Context,
	input graph.StartVerificationInput,
) (*graph.RunPayload, error) {
	limits, err := limitsOf(input.Workers, input.MaxRowsPerSecond)
	if err != nil {
		return nil, err
	}
	repair, _ := given(input.Repair)
	return runPayload(m.Control.StartVerification(ctx, repo.VerificationRequest{
		Entity: string(input.Entity), Workers: limits.workers, MaxRowsPerSecond: limits.rowsPerSecond,
		Repair: repair == graph.RepairFromSourceOfTruth, Actor: auth.IdentityOf(ctx).Name,
	}))
}

func (m mutation) StartRestore(ctx context.Context, input graph.StartRunInput) (*graph.RunPayload, error) {
	request, err := runRequest(ctx, input)
	if err != nil {
		return nil, err
	}
	return runPayload(m.Control.StartRestore(ctx, request))
}

func runRequest(ctx context.Context, input graph.StartRunInput) (repo.RunRequest, error) {
	limits, err := limitsOf(input.Workers, input.MaxRowsPerSecond)
	return repo.RunRequest{
		Entity: string(input.Entity), Workers: limits.workers, MaxRowsPerSecond: limits.rowsPerSecond,
		Actor: auth.IdentityOf(ctx).Name,
	}, err
}

// runLimits are the limits that a client sets for a run. Each is 0 if the client does not set it.
type runLimits struct{ workers, rowsPerSecond int }

func limitsOf(workers, rowsPerSecond graphql.Omittable[*int]) (limits runLimits, err error) {
	if limits.workers, err = atLeastOne("workers", workers); err == nil {
		limits.rowsPerSecond, err = atLeastOne("maxRowsPerSecond", rowsPerSecond)
	}
	return limits, err
}

// atLeastOne returns a number that a client may leave out, or 0 if it does. It returns an *InputError for a 0 in the
// input, which the engine would take for a number that was left out.
func atLeastOne(field string, n graphql.Omittable[*int]) (int, error) {
	switch given := n.Value(); {
	case given == nil:
		return 0, nil
	case *given == 0:
		return 0, &repo.InputError{FieldError: repo.FieldError{Field: field, Reason: "is 0, but must be at least 1"}}
	default:
		return *given, nil
	}
}

func (r run) Findings(ctx context.Context, obj *repo.Run, first *int,
	after *string,
) (*graph.FindingConnection, error) {
	start := ""
	if after != nil {
		start = *after
	}
	page, err := r.Control.Findings(ctx, obj.ID, *first, start)
	if err != nil {
		return nil, err
	}
	answer := &graph.FindingConnection{
		Edges: []graph.FindingEdge{}, Nodes: page.Findings,
		PageInfo:   &graph.PageInfo{HasNextPage: page.HasNext, HasPreviousPage: after != nil},
		TotalCount: int(page.Total),
	}
	for _, f := range page.Findings {
		answer.Edges = append(answer.Edges, graph.FindingEdge{Cursor: f.Cursor, Node: &f})
	}
	if n := len(page.Findings); n > 0 {
		answer.PageInfo.StartCursor, answer.PageInfo.EndCursor = &page.Findings[0].Cursor, &page.Findings[n-1].Cursor
	}
	return answer, nil
}

func (m mutation) PauseRun(ctx context.Context, id string) (*graph.RunPayload, error) {
	return changeRun(ctx, id, m.Control.PauseRun)
}

func (m mutation) ResumeRun(ctx context.Context, id string) (*graph.RunPayload, error) {
	return changeRun(ctx, id, m.Control.ResumeRun)
}

func (m mutation) CancelRun(ctx context.Context, id string) (*graph.RunPayload, error) {
	return changeRun(ctx, id, m.Control.CancelRun)
}

func (m mutation) TuneRun(ctx context.Context, input graph.TuneRunInput) (*graph.RunPayload, error) {
	id, err := parseRunID(input.ID)
	if err != nil {
		return nil, err
	}
	limit, given := input.MaxRowsPerSecond.ValueOK()
	return runPayload(m.Control.TuneRun(ctx, repo.TuneRequest{
		ID: id, Workers: input.Workers.Value(), MaxRowsPerSecond: limit, NoLimit: given && limit == nil,
	}))
}

func changeRun(ctx context.Context, id string, change func(context.Context,
	int64) (repo.Run, error),
) (*graph.RunPayload, error) {
	n, err := parseRunID(id)
	if err != nil {
		return nil, err
	}
	return runPayload(change(ctx, n))
}

func runPayload(run repo.Run, err error) (*graph.RunPayload, error) {
	if err != nil {
		return nil, extended(err)
	}
	return &graph.RunPayload{Run: &run}, nil
}

func (s subscription) RunProgress(ctx context.Context, id string) (<-chan *repo.Run, error) {
	n, err := parseRunID(id)
	if err != nil {
		return nil, err
	}
	states, err := s.Control.WatchRun(ctx, n)
	if errors.Is(err, repo.ErrNotFound) {
		return nil, badInput("id", "there is no such run")
	}
	if err != nil {
		return nil, err
	}
	return forward(ctx, states, func(run repo.Run) *repo.Run { return &run }), nil
}
