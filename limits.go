package main

import (
	"context"
	"strings"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"

	"github.com/alwaysup/coexist/graph"
)

const (
	// maxBody limits a request's body, and a message on a socket, in bytes.
	maxBody = 1 << 20
	// maxTokens limits a document.
	maxTokens = 3000
	// maxFields limits the fields of a document, each counted as often as fragments repeat it: validating takes time that
	// grows with the square of it.
	maxFields = 1000
	// maxDirectives limits the directives of a document.
	maxDirectives = 100
	// maxComplexity limits the fields of an answer.
	maxComplexity = 50_000
	// shortDocument is a length, in bytes, up to which a document without fragments cannot do harm.
	shortDocument = 1000
)

// documentLimits is an extension that refuses documents which would take long merely to validate.
type documentLimits struct{}

// ExtensionName is part of gqlgen's interface.
func (documentLimits) ExtensionName() string { return "DocumentLimits" }

// Validate is part of gqlgen's interface.
func (documentLimits) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationParameters is called before a document is parsed and validated.
func (documentLimits) MutateOperationParameters(_ context.Context, params *graphql.RawParams) *gqlerror.Error {
	if len(params.Query) <= shortDocument && !strings.Contains(params.Query, "fragment") {
		return nil
	}
	document, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: params.Query}, maxTokens)
	if err != nil {
		return nil //nolint:nilerr // whoever parses it next says what is wrong with it
	}
	c := documentSize{fragments: document.Fragments, sizes: map[string]int{}}
	fields := 0
	for _, o := range document.Operations {
		c.directives += len(o.Directives)
		fields += c.count(o.SelectionSet)
	}
	for _, f := range document.Fragments { // those that nobody uses are validated too
		fields += c.fragment(f.Name)
	}
	if fields > maxFields {
		return gqlerror.Errorf("the document has more than %d fields, with those that its fragments repeat: ask for less at once", maxFields)
	}
	if c.directives > maxDirectives {
		return gqlerror.Errorf("the document has more than %d directives: ask for less at once", maxDirectives)
	}
	return nil
}

// documentSize counts the selections of a document.
type documentSize struct {
	fragments  ast.FragmentDefinitionList
	sizes      map[string]int // of the fragments, as far as they are counted
	directives int
}

// count returns the number of selections, as if fragments were written out, or some number beyond maxFields.
func (c *documentSize) count(set ast.SelectionSet) int {
	n := 0
	for _, selection := range set {
		n++
		switch s := selection.(type) {
		case *ast.Field:
			c.directives += len(s.Directives)
			n += c.count(s.SelectionSet)
		case *ast.InlineFragment:
			c.directives += len(s.Directives)
			n += c.count(s.SelectionSet)
		case *ast.FragmentSpread:
			c.directives += len(s.Directives)
			n += c.fragment(s.Name)
		}
		n = min(n, maxFields+1)
	}
	return n
}

// fragment is count for a fragment. One that contains itself counts once: it is refused later.
func (c *documentSize) fragment(name string) int {
	if n, counted := c.sizes[name]; counted {
		return n
	}
	c.sizes[name] = 0
	if f := c.fragments.ForName(name); f != nil {
		c.sizes[name] = c.count(f.SelectionSet)
	}
	return c.sizes[name]
}

// many is the complexity of a list of n elements.
func many(child, n int) int {
	// What is too much stays too much, whatever surrounds it, and never overflows.
	return 1 + min(child, maxComplexity+1)*min(max(n, 1), 1000)
}

// page is the complexity of a page of a list.
func page(child int, first, last *int) int {
	switch {
	case first != nil:
		return many(child, *first)
	case last != nil:
		return many(child, *last)
	default:
		return many(child, 20)
	}
}

// setComplexity says which fields are lists, and how long they may get: a page of 100 costs what it holds.
func setComplexity(c *graph.ComplexityRoot) {
	setEntityComplexity(c)
	c.Query.Nodes = func(child int, ids []string) int { return many(child, len(ids)) }
	c.Migration.History = func(child int, first *int) int { return page(child, first, nil) }
	c.Migration.Runs = func(child int, _ *graph.RunKind, first *int) int { return page(child, first, nil) }
	c.Migration.V1Usage = func(child int, _ *time.Time) int { return many(child, 1000) }
	c.Migration.Quarantine = func(child int, first *int, _ *string) int { return page(child, first, nil) }
}
