package graph

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/99designs/gqlgen/graphql"
)

// An element that panics is null, with an error at its place, and the others are as they are.
func TestAnElementThatPanics(t *testing.T) {
	t.Parallel()
	ctx := graphql.WithResponseContext(t.Context(), graphql.DefaultErrorPresenter,
		func(context.Context, any) error { return errors.New("it panicked") })
	ctx = graphql.WithFieldContext(ctx, &graphql.FieldContext{})
	list := marshalList(ctx, 3, 0, false, func(ctx context.Context, i int) graphql.Marshaler {
		if at := graphql.GetFieldContext(ctx); at.Index == nil || *at.Index != i {
			t.Errorf("element %d is at %+v", i, at)
		}
		if i == 1 {
			panic("no")
		}
		return graphql.MarshalInt(i)
	})
	var b bytes.Buffer
	list.MarshalGQL(&b)
	if b.String() != "[0,null,2]" {
		t.Errorf("the list is %s", b.String())
	}
	if found := graphql.GetErrors(ctx); len(found) != 1 || found[0].Message != "it panicked" ||
		found[0].Path.String() != "[1]" {
		t.Errorf("the errors are %v", found)
	}
}
