package server

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
)

// The limits of a request. Most of them are checked before a document is validated, since the time that validation
// takes grows with the square of the number of fields.
const (
	// MaxBody limits the body of a request, and a message on a socket, in bytes.
	MaxBody = 1 << 20
	// MaxDocument limits a document, in bytes. Caches keep documents, so this bounds their memory.
	MaxDocument = 64 << 10
	// MaxTokens limits the tokens of a document.
	MaxTokens = 3000
	// MaxFields limits the fields of a document. A field counts as often as fragments repeat it.
	MaxFields = 1000
	// MaxRootFields limits the fields at the top of an operation, which is how many questions it asks at once.
	MaxRootFields = 50
	// MaxAliases limits the fields of a document that have an alias.
	MaxAliases = 200
	// MaxDirectives limits the directives of a document.
	MaxDirectives = 100
	// MaxDepth limits how deep the fields of a document are nested.
	MaxDepth = 20
	// MaxIntrospection limits how much of the schema a document asks for, by the weights in introspectionWeights.
	MaxIntrospection = 1_000_000
	// MaxInputList limits the length of a list in the variables, since a list that is stored is read again, by many at
	// once. MaxTokens limits a list in the document itself.
	MaxInputList = 1000
	// MaxComplexity limits the estimated number of fields of an answer.
	MaxComplexity = 50_000
)

// introspectionWeights estimates how many elements the lists of introspection have. A query for the members of the
// types of members multiplies them, which gqlgen's complexity does not see.
var introspectionWeights = map[string]int{
	"types": 150, "fields": 12, "inputFields": 12, "args": 4, "enumValues": 8, "possibleTypes": 4,
	"interfaces": 2, "directives": 8,
}

// documentLimits is an extension that refuses a document if it asks for too much, or if it would take long even to
// validate.
type documentLimits struct {
	accepted *lru.Cache[string, struct{}] // documents that have passed before
}

func newDocumentLimits() documentLimits {
	accepted, err := lru.New[string, struct{}](queryCacheSize)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return documentLimits{accepted}
}

// ExtensionName is part of gqlgen's interface.
func (documentLimits) ExtensionName() string { return "DocumentLimits" }

// Validate is part of gqlgen's interface.
func (documentLimits) Validate(graphql.ExecutableSchema) error { return nil }

// MutateOperationParameters is part of gqlgen's interface, which calls it before it parses and validates a document. It
// returns an error for a request beyond one of the limits.
func (l documentLimits) MutateOperationParameters(_ context.Context, params *graphql.RawParams) *gqlerror.Error {
	if n := longestList(params.Variables); n > MaxInputList {
		return gqlerror.Errorf("a list in the variables has %d elements, but at most %d are allowed", n, MaxInputList)
	}
	if l.accepted.Contains(params.Query) {
		return nil
	}
	if len(params.Query) > MaxDocument {
		return gqlerror.Errorf(
			"the document has %d bytes, but at most %d are allowed: ask for less at once, and send values as variables",
			len(params.Query), MaxDocument)
	}
	if hasLoneSurrogate(params.Query) {
		return gqlerror.Errorf("%s", loneSurrogate)
	}
	document, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: params.Query}, MaxTokens)
	if err != nil {
		return nil //nolint:nilerr // gqlgen parses it next, and says what is wrong with it
	}
	if err := judgeSize(document); err != nil {
		return err
	}
	l.accepted.Add(params.Query, struct{}{})
	return nil
}

// longestList returns the length of the longest list within a JSON value.
func longestList(value any) int {
	longest := 0
	switch v := value.(type) {
	case map[string]any:
		for _, member := range v {
			longest = max(longest, longestList(member))
		}
	case []any:
		longest = len(v)
		for _, element := range v {
			longest = max(longest, longestList(element))
		}
	}
	return longest
}

// judgeSize returns an error if the document is beyond one of the limits.
func judgeSize(document *ast.QueryDocument) *gqlerror.Error {
	m := measure{fragments: document.Fragments, known: map[string]documentSize{}}
	var whole documentSize
	roots := 0
	for _, o := range document.Operations {
		operation := m.selections(o.SelectionSet)
		roots = max(roots, operation.top)
		whole = whole.and(operation).and(documentSize{directives: len(o.Directives)})
	}
	for _, f := range document.Fragments { // even unused ones, since they are validated too
		whole = whole.and(m.fragment(f.Name))
	}
	for _, limit := range []struct {
		what      string
		got, most int
	}{
		{"fields, with those that its fragments repeat", whole.fields, MaxFields},
		{"fields at the top", roots, MaxRootFields},
		{"aliases", whole.aliases, MaxAliases},
		{"directives", whole.directives, MaxDirectives},
		{"levels of fields", whole.depth, MaxDepth},
	} {
		if limit.got > limit.most {
			return gqlerror.Errorf("the document has more than %d %s: ask for less at once", limit.most, limit.what)
		}
	}
	if whole.introspection > MaxIntrospection {
		return gqlerror.Errorf(
			"the document asks for too much of the schema: ask for less at once, or take it from /schema.graphqls")
	}
	return nil
}

// documentSize is how much a selection holds, as if its fragments were written out. A count stops just above its limit,
// so that it cannot overflow.
type documentSize struct {
	top           int // fields that are not inside another field
	fields        int // all fields
	aliases       int
	directives    int
	depth         int
	introspection int
}

// and returns the size of two selections side by side.
func (s documentSize) and(o documentSize) documentSize {
	return documentSize{
		top: min(s.top+o.top, MaxRootFields+1), fields: min(s.fields+o.fields, MaxFields+1),
		aliases:    min(s.aliases+o.aliases, MaxAliases+1),
		directives: min(s.directives+o.directives, MaxDirectives+1), depth: max(s.depth, o.depth),
		introspection: min(s.introspection+o.introspection, MaxIntrospection+1),
	}
}

// measure measures the selections of a document.
type measure struct {
	fragments ast.FragmentDefinitionList
	known     map[string]documentSize // the sizes of the fragments that have been measured
}

func (m measure) selections(set ast.SelectionSet) documentSize {
	var whole documentSize
	for _, selection := range set {
		switch s := selection.(type) {
		case *ast.Field:
			whole = whole.and(m.field(s))
		case *ast.InlineFragment:
			whole = whole.and(m.selections(s.SelectionSet)).and(documentSize{fields: 1, directives: len(s.Directives)})
		case *ast.FragmentSpread:
			whole = whole.and(m.fragment(s.Name)).and(documentSize{fields: 1, directives: len(s.Directives)})
		}
	}
	return whole
}

func (m measure) field(f *ast.Field) documentSize {
	inside := m.selections(f.SelectionSet)
	// This cannot overflow: a count is at most one above its limit, and no weight is large.
	inside.introspection *= max(introspectionWeights[f.Name], 1)
	inside.depth++
	inside.top = 0
	self := documentSize{top: 1, fields: 1, directives: len(f.Directives), introspection: 1}
	if f.Alias != f.Name {
		self.aliases = 1
	}
	return inside.and(self)
}

// fragment returns the size of a fragment. A fragment that contains itself counts once here, and validation refuses it
// later.
func (m measure) fragment(name string) documentSize {
	if size, known := m.known[name]; known {
		return size
	}
	m.known[name] = documentSize{}
	if f := m.fragments.ForName(name); f != nil {
		m.known[name] = m.selections(f.SelectionSet)
	}
	return m.known[name]
}

// cost is an extension that adds to each answer its cost and the highest possible cost, so that clients see in time
// that they get near the limit. It adds nothing to the events of subscriptions.
type cost struct{}

// ExtensionName is part of gqlgen's interface.
func (cost) ExtensionName() string { return "Cost" }

// Validate is part of gqlgen's interface.
func (cost) Validate(graphql.ExecutableSchema) error { return nil }

// InterceptResponse adds extensions.cost to the answer.
func (cost) InterceptResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	response := next(ctx)
	operation := graphql.GetOperationContext(ctx)
	if response == nil || operation.Operation == nil || operation.Operation.Operation == ast.Subscription {
		return response
	}
	if stats := extension.GetComplexityStats(ctx); stats != nil {
		if response.Extensions == nil {
			response.Extensions = map[string]any{}
		}
		response.Extensions["cost"] = operationCost{stats.Complexity, stats.ComplexityLimit}
	}
	return response
}

// operationCost is what an operation costs: the number of fields of its answer, estimated beforehand.
type operationCost struct {
	Complexity int `json:"complexity"`
	Limit      int `json:"limit"`
}
