package resolvers

import (
	"github.com/99designs/gqlgen/graphql"

	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/repo"
)

// This file holds what the resolvers of all entities have in common.

func copyOf(c repo.Copy) *graph.Copy {
	answer := &graph.Copy{Stored: c.Stored, Refined: c.Refined, MappingVersion: c.MappingVersion}
	if c.Stored {
		answer.Origin, answer.MigratedAt = new(c.Origin), new(c.MigratedAt)
	}
	return answer
}

// keyForCreate returns the key for a new row, or "" if the server has to make it. An empty key in the input is an
// *InputError, since it does not ask for that.
func keyForCreate(field string, key graphql.Omittable[*string]) (string, error) {
	k, ok := given(key)
	if ok && k == "" {
		return "", badInput(field, "cannot be empty: leave it out and the server makes one")
	}
	return k, nil
}

func deleted(key string, err error) (*graph.DeletePayload, error) {
	if err != nil {
		return nil, err
	}
	return &graph.DeletePayload{DeletedKey: key}, nil
}
