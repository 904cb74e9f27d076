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

// What a request may be. Most of it is judged before a document is validated, since validating takes time that grows
// with the square of the document's fields.
const (
	// MaxBody limits a request's body, and a message on a socket, in bytes.
	MaxBody = 1 << 20
	// MaxDocument limits a document, in bytes. Documents are kept in caches.
	MaxDocument = 64 << 10
	// MaxTokens limits a document.
	MaxTokens = 3000
	// MaxFields limits the fields of a document, each counted as often as fragments repeat it.
	MaxFields = 1000
	// MaxRootFields limits the fields at the top of an operation: how many questions it asks at once.
	MaxRootFields = 50
	// MaxAliases limits the fields of a document that are given another name.
	MaxAliases = 200
	// MaxDirectives limits the directives of a document.
	MaxDirectives = 100
	// MaxDepth limits how deep the fields of a document lie in each other.
	MaxDepth = 20
	// MaxIntrospection limits what is asked of the schema, by the weights of introspectionWeights.
	MaxIntrospection = 1_000_000
	// MaxInputList limits a list in the variables: what is stored is read again, by many at once. Those in a document
	// have few tokens.
	MaxInputList = 1000
	// MaxComplexity limits the fields of an answer.
	MaxComplexity = 50_000
)

// introspectionWeights says about how many elements the lists of introspection have. A question about the members of
// the types of members multiplies them, and gqlgen's complexity counts nothing of it.
var introspectionWeights = map[string]int{
	"types": 150, "fields": 12, "inputFields": 12, "args": 4, "enumValues": 8, "possibleTypes": 4,
	"interfaces": 2, "directives": 8,
}

// documentLimits is an extension that refuses documents which ask for too much, or would take long merely to validate.
type documentLimits struct {
	accepted *lru.Cache[string, struct{}] // documents that have passed
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

// MutateOperationParameters is called before a document is parsed and validated.
func (l documentLimits) MutateOperationParameters(_ context.Context, params *graphql.RawParams) *gqlerror.Error {
	if n := longestList(params.Variables); n > MaxInputList {
		return gqlerror.Errorf("a list in the variables has %d elements, possible are %d", n, MaxInputList)
	}
	if l.accepted.Contains(params.Query) {
		return nil
	}
	if len(params.Query) > MaxDocument {
		return gqlerror.Errorf(
			"the document has %d bytes, possible are %d: ask for less at once, and send values as variables",
			len(params.Query), MaxDocument)
	}
	if hasLoneSurrogate(params.Query) {
		return gqlerror.Errorf("%s", loneSurrogate)
	}
	document, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: params.Query}, MaxTokens)
	if err != nil {
		return nil //nolint:nilerr // whoever parses it next says what is wrong with it
	}
	if err := judgeSize(document); err != nil {
		return err
	}
	l.accepted.Add(params.Query, struct{}{})
	return nil
}

// longestList is how long the longest list in a JSON value is.
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

// judgeSize returns an error for a document beyond one of the limits.
func judgeSize(document *ast.QueryDocument) *gqlerror.Error {
	m := measure{fragments: document.Fragments, known: map[string]documentSize{}}
	var whole documentSize
	roots := 0
	for _, o := range document.Operations {
		operation := m.selections(o.SelectionSet)
		roots = max(roots, operation.top)
		whole = whole.and(operation).and(documentSize{directives: len(o.Directives)})
	}
	for _, f := range document.Fragments { // those that nobody uses are validated too
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

// documentSize is how much is in a selection, as if fragments were written out. What is beyond a limit stays so.
type documentSize struct {
	top           int // fields that lie in no other
	fields        int // all of them
	aliases       int
	directives    int
	depth         int
	introspection int
}

// and is the size of two selections side by side.
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
	known     map[string]documentSize // of the fragments, as far as they are measured
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
	// at most that of one list beyond the limit, so it never overflows
	inside.introspection *= max(introspectionWeights[f.Name], 1)
	inside.depth++
	inside.top = 0
	self := documentSize{top: 1, fields: 1, directives: len(f.Directives), introspection: 1}
	if f.Alias != f.Name {
		self.aliases = 1
	}
	return inside.and(self)
}

// fragment is the size of a fragment. One that contains itself counts once: it is refused later.
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

// cost is an extension that says in each answer what it cost, of what is possible, so that clients see it coming.
// Events of subscriptions do not say it.
type cost struct{}

// ExtensionName is part of gqlgen's interface.
func (cost) ExtensionName() string { return "Cost" }

// Validate is part of gqlgen's interface.
func (cost) Validate(graphql.ExecutableSchema) error { return nil }

// InterceptResponse adds extensions.cost.
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

// operationCost is what an operation costs, in fields of its answer as far as they can be foreseen.
type operationCost struct {
	Complexity int `json:"complexity"`
	Limit      int `json:"limit"`
}
