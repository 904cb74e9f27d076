package resolvers

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/alwaysup/coexist/auth"
	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/repo"
)

// The types that have global ids, in addition to those of rows.
const (
	migrationNode = "Migration"
	runNode       = "Run"
)

func globalID(kind, key string) string {
	return base64.StdEncoding.EncodeToString([]byte(kind + ":" + key))
}

func runID(id int64) string { return globalID(runNode, strconv.FormatInt(id, 10)) }

// parseGlobalID takes a global id apart. It returns an *InputError if globalID cannot have made the id.
func parseGlobalID(field, id string) (kind, key string, err error) {
	text, err := base64.StdEncoding.DecodeString(id)
	kind, key, found := strings.Cut(string(text), ":")
	if err != nil || !found || !utf8.Valid(text) {
		return "", "", notAnID(field, id)
	}
	return kind, key, nil
}

func notAnID(field, id string) error {
	return badInput(field, "%.50q is not a global id: take it from a field named id", id)
}

func parseRunID(id string) (int64, error) {
	kind, key, err := parseGlobalID("id", id)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(key, 10, 64)
	if kind != runNode || err != nil {
		return 0, badInput("id", "%.50q is not the id of a run", id)
	}
	return n, nil
}

// Node answers null if there is nothing with this id.
func (q query) Node(ctx context.Context, id string) (graph.Node, error) {
	nodes, failures, err := q.nodes(ctx, "id", []string{id})
	if err != nil {
		return nil, err
	}
	return nodes[0], failures[0]
}

// Nodes answers each id on its own. An id that fails gives null, and an error at its place.
func (q query) Nodes(ctx context.Context, ids []string) ([]graph.Node, error) {
	const most = 100
	if len(ids) > most {
		return nil, badInput("ids", "has %d elements, but at most %d are allowed", len(ids), most)
	}
	nodes, failures, err := q.nodes(ctx, "ids", ids)
	if err != nil {
		return nil, err
	}
	for i, failure := range failures {
		if failure != nil {
			addErrorAt(ctx, failure, i)
		}
	}
	return nodes, nil
}

// readNodes reads the rows with these keys. For each key it returns a node, or nil and perhaps an error.
type readNodes func(ctx context.Context, keys []string) ([]graph.Node, []error, error)

// rowNodes reads the nodes of an entity, as a readNodes does. Rows that are read together are siblings.
func rowNodes[T any, N graph.Node](
	ctx context.Context, keys []string, read func(context.Context, []string) ([]repo.Result[T], error),
	convert func(T, *siblings) N,
) ([]graph.Node, []error, error) {
	rows, err := read(ctx, keys)
	if err != nil {
		return nil, nil, err
	}
	family := &siblings{}
	return eachNode(len(keys), func(i int) (N, error) {
		if rows[i].Err != nil {
			var none N
			return none, rows[i].Err
		}
		return convert(rows[i].Value, family), nil
	})
}

// eachNode makes n nodes one by one. A node that is not found is nil without an error.
func eachNode[N graph.Node](n int, one func(i int) (N, error)) ([]graph.Node, []error, error) {
	nodes, failures := make([]graph.Node, n), make([]error, n)
	for i := range n {
		node, err := one(i)
		switch {
		case err == nil:
			nodes[i] = node
		case !errors.Is(err, repo.ErrNotFound):
			failures[i] = err
		}
	}
	return nodes, failures, nil
}

func (q query) migrationNodes(ctx context.Context, keys []string) ([]graph.Node, []error, error) {
	return eachNode(len(keys), func(i int) (*graph.Migration, error) {
		m, err := q.Control.Migration(ctx, keys[i])
		return migrationOf(m), err
	})
}

func (q query) runNodes(ctx context.Context, keys []string) ([]graph.Node, []error, error) {
	return eachNode(len(keys), func(i int) (*repo.Run, error) {
		id, err := strconv.ParseInt(keys[i], 10, 64)
		if err != nil {
			return nil, repo.ErrNotFound
		}
		run, err := q.Control.Run(ctx, id)
		return &run, err
	})
}

// forOperators lets only operators use read. Other callers get an error for each key. It does for nodes what the
// directive @operator does for a field.
func forOperators(read readNodes) readNodes {
	return func(ctx context.Context, keys []string) ([]graph.Node, []error, error) {
		if err := auth.Require(ctx, auth.Operator); err != nil {
			return make([]graph.Node, len(keys)), slices.Repeat([]error{err}, len(keys)), nil
		}
		return read(ctx, keys)
	}
}

// nodes reads the nodes of each type in one batch. It returns them, and their errors, in the order of the ids.
func (q query) nodes(ctx context.Context, field string, ids []string) ([]graph.Node, []error, error) {
	types := q.rowNodes()
	types[migrationNode], types[runNode] = forOperators(q.migrationNodes), forOperators(q.runNodes)
	keys, places := map[string][]string{}, map[string][]int{}
	for i, id := range ids {
		kind, key, err := parseGlobalID(field, id)
		if err == nil && types[kind] == nil {
			err = notAnID(field, id)
		}
		if err != nil {
			return nil, nil, err
		}
		keys[kind], places[kind] = append(keys[kind], key), append(places[kind], i)
	}
	nodes, failures := make([]graph.Node, len(ids)), make([]error, len(ids))
	for kind, keys := range keys {
		found, failed, err := types[kind](ctx, keys)
		if err != nil {
			return nil, nil, err
		}
		for j, i := range places[kind] {
			nodes[i], failures[i] = found[j], failed[j]
		}
	}
	return nodes, failures, nil
}
