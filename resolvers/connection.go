package resolvers

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/repo"
)

func pageInfo[T any](p *repo.Page[T]) *graph.PageInfo {
	info := &graph.PageInfo{HasNextPage: p.HasNext, HasPreviousPage: p.HasPrevious}
	if len(p.Items) > 0 {
		info.StartCursor, info.EndCursor = &p.Items[0].Cursor, &p.Items[len(p.Items)-1].Cursor
	}
	return info
}

// node returns what stands for a row in a page: nil if the row could not be converted.
func node[T, N any](item *repo.Item[T], family *siblings, convert func(T, *siblings) *N) *N {
	if item.Err != nil && faultsOf(item.Err) == nil {
		return nil
	}
	return convert(item.Value, family)
}

// faultsOf returns an error for each field that is missing from a V1 row which came with an error. It returns nil if
// the error came without a row.
func faultsOf(err error) []*repo.ConversionError {
	conversion, ok := errors.AsType[*repo.ConversionError](err)
	if !ok {
		return nil
	}
	var faults []*repo.ConversionError
	for _, fault := range conversion.Faults {
		faults = append(faults, &repo.ConversionError{
			Entity: conversion.Entity, Key: conversion.Key,
			FieldError: fault,
		})
	}
	return faults
}

// addFaults adds an error for each field at fault that the client asks for. fields are the fields that it asks for in
// the row, and below is the path to the row from the place that is being resolved.
func addFaults(ctx context.Context, err error, fields []graphql.CollectedField, below ...any) {
	for _, fault := range faultsOf(err) {
		name, _, _ := strings.Cut(fault.Field, "[") // the fault is in an element of the field
		for _, field := range fields {
			if field.Name == name {
				addErrorAt(ctx, fault, append(slices.Clone(below), field.Alias)...)
			}
		}
	}
}

// rowFields returns the fields that the client asks for in the rows that are being resolved.
func rowFields(ctx context.Context) []graphql.CollectedField {
	return graphql.CollectFieldsCtx(ctx, []string{graphql.GetFieldContext(ctx).Field.Definition.Type.Name()})
}

// partly returns a V1 row, and adds an error for each of its fields that could not be read. A row that is not found is
// nil.
func partly[N any](ctx context.Context, row *N, err error) (*N, error) {
	if len(faultsOf(err)) > 0 {
		addFaults(ctx, err, rowFields(ctx))
		return row, nil
	}
	return absent(row, err)
}

// pageName returns the same name for queries that ask for the same page.
func pageName(q repo.Query) string {
	name, err := json.Marshal([]any{q.First, q.After, q.Last, q.Before})
	if err != nil {
		return "" // cannot happen
	}
	return string(name)
}

// addErrorAt adds an error at a place below the field that is being resolved.
func addErrorAt(ctx context.Context, err error, below ...any) {
	path := slices.Clone(graphql.GetPath(ctx))
	for _, step := range below {
		switch s := step.(type) {
		case int:
			path = append(path, ast.PathIndex(s))
		case string:
			path = append(path, ast.PathName(s))
		}
	}
	graphql.AddError(ctx, &gqlerror.Error{Err: err, Message: err.Error(), Path: path})
}

// failedNodes adds the errors of a page's rows while the field nodes is being resolved.
func failedNodes(ctx context.Context, page repo.AnyPage, rows int) {
	for i := range rows {
		switch err := page.Failure(i); {
		case len(faultsOf(err)) > 0:
			addFaults(ctx, err, rowFields(ctx), i)
		case err != nil:
			addErrorAt(ctx, err, i)
		}
	}
}

// failedEdges adds the errors of a page's rows while the field edges is being resolved, if the client asks for their
// nodes.
func failedEdges(ctx context.Context, page repo.AnyPage, rows int, edge string) {
	for _, field := range graphql.CollectFieldsCtx(ctx, []string{edge}) {
		if field.Name != "node" {
			continue
		}
		for i := range rows {
			switch err := page.Failure(i); {
			case len(faultsOf(err)) > 0:
				fields := graphql.CollectFields(graphql.GetOperationContext(ctx), field.Selections,
					[]string{field.Definition.Type.Name()})
				addFaults(ctx, err, fields, i, field.Alias)
			case err != nil:
				addErrorAt(ctx, err, i, field.Alias)
			}
		}
	}
}

func total(ctx context.Context, page repo.AnyPage) (int, error) {
	n, err := page.TotalCount(ctx)
	return int(n), err
}

// checkText returns an *InputError if one of the texts is one that no database can hold.
func checkText(field string, texts ...string) error {
	for _, s := range texts {
		if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
			return badInput(field, "is not text")
		}
	}
	return nil
}

// given returns the value of an optional field, and false if the field is absent or null.
func given[T any](o graphql.Omittable[*T]) (v T, ok bool) {
	if p := o.Value(); p != nil {
		return *p, true
	}
	return v, false
}

// set sets a field to what the client has sent. An absent field stays as it is, and null clears it.
func set[T any](to **T, o graphql.Omittable[*T]) {
	if v, ok := o.ValueOK(); ok {
		*to = v
	}
}

// setRequired sets a field to what the client has sent. An absent field stays as it is, and null is an *InputError.
func setRequired[T any](to *T, field string, o graphql.Omittable[*T]) error {
	v, ok := o.ValueOK()
	if ok && v == nil {
		return badInput(field, "cannot be null")
	}
	if ok {
		*to = *v
	}
	return nil
}

// version turns an expected version into the engine's form: nil if the client expects none.
func version(o graphql.Omittable[*int]) *int64 {
	if v, ok := given(o); ok {
		return new(int64(v))
	}
	return nil
}
