package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
)

//go:generate ../scripts/serial-lists.sh generated.go

// marshalList is graphql.MarshalSliceConcurrently without a goroutine for each element, which costs more than most
// elements do. It stops at no error: an element that panics is null, with an error. The generated code calls it
// (scripts/serial-lists.sh). What elements share, they must read together when the first of them asks.
func marshalList(ctx context.Context, length int, _ int64, _ bool,
	marshal func(ctx context.Context, i int) graphql.Marshaler,
) graphql.Array {
	list := make(graphql.Array, length)
	for i := range list {
		list[i] = marshalElement(graphql.WithFieldContext(ctx, &graphql.FieldContext{Index: &i}), i, marshal)
	}
	return list
}

func marshalElement(ctx context.Context, i int,
	marshal func(ctx context.Context, i int) graphql.Marshaler,
) (element graphql.Marshaler) {
	defer func() {
		if p := recover(); p != nil {
			graphql.AddError(ctx, graphql.Recover(ctx, p))
			element = graphql.Null
		}
	}()
	return marshal(ctx, i)
}
