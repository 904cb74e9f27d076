package server

import (
	"net/http"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
)

// LoadSchema returns a schema as clients see it. It leaves out @defer, which would lose data over plain JSON, and the
// directives that only gqlgen's code generation reads. Give the schema to the configuration of the executable schema.
// LoadSchema panics if the source is not a valid schema.
func LoadSchema(source *ast.Source) *ast.Schema {
	schema := gqlparser.MustLoadSchema(source)
	delete(schema.Directives, "defer")
	for _, name := range []string{"goModel", "goField", "goTag", "goEnum", "goExtraField", "inlineArguments"} {
		delete(schema.Directives, name)
	}
	return schema
}

// PrintSchema returns the schema in GraphQL's schema definition language.
func PrintSchema(schema *ast.Schema) string {
	var b strings.Builder
	formatter.NewFormatter(&b, formatter.WithIndent("  ")).FormatSchema(schema)
	return b.String()
}

// queryCacheSize is how many parsed documents the server keeps.
const queryCacheSize = 1000

func init() {
	// On a socket, a request that is refused as a whole gets an error message, not a result.
	errcode.RegisterErrorType(CodeInput, errcode.KindProtocol)
}

// graphQL returns the handler of /graphql. It takes queries over POST and GET, mutations over POST, and all three kinds
// of operation over WebSocket (graphql-transport-ws) and server-sent events.
func (s *Server) graphQL(schema graphql.ExecutableSchema, telemetry *telemetry) http.Handler {
	g := handler.New(schema)
	g.AddTransport(s.newSocketTransport())
	g.AddTransport(httpTransport{s.streams, s.clients})
	g.SetErrorPresenter(presentError(s.options.Logger, s.troubles))
	g.SetRecoverFunc(recoverPanic)
	g.SetParserTokenLimit(MaxTokens)
	g.SetQueryCache(lru.New[*ast.QueryDocument](queryCacheSize))
	g.Use(telemetry)
	g.Use(operationLog{s.options.Logger})
	g.Use(extension.Introspection{})
	g.Use(extension.AutomaticPersistedQuery{Cache: lru.New[string](1000)})
	g.Use(newDocumentLimits()) // must come after persisted queries, which put the document in
	g.Use(extension.FixedComplexityLimit(MaxComplexity))
	g.Use(cost{})
	g.Use(socketLimit{s.clients})
	g.Use(newV1Usage(s.control, s.db.Entities()))
	return g
}
