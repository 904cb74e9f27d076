package main

import (
	_ "embed" // the schema
	"log/slog"
	"net/http"
	"strings"

	"github.com/99designs/gqlgen/graphql/errcode"
	"github.com/99designs/gqlgen/graphql/handler"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"

	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/resolvers"
)

//go:embed schema.graphqls
var schemaSource string

// The codes of errors that are made here; resolvers has the others.
const (
	codeInput           = "BAD_USER_INPUT"
	codeUnauthenticated = "UNAUTHENTICATED"
	codeForbidden       = "FORBIDDEN"
	codeUnavailable     = "UNAVAILABLE"
)

// loadSchema returns the schema as clients see it: without @defer, which would lose data over plain JSON.
func loadSchema() *ast.Schema {
	schema := gqlparser.MustLoadSchema(&ast.Source{Name: "schema.graphqls", Input: schemaSource})
	delete(schema.Directives, "defer")
	// What gqlgen's code generation reads is nobody else's business.
	for _, name := range []string{"goModel", "goField", "goTag", "goEnum", "goExtraField", "inlineArguments"} {
		delete(schema.Directives, name)
	}
	return schema
}

// printSchema writes a schema in GraphQL's schema definition language.
func printSchema(schema *ast.Schema) string {
	var b strings.Builder
	formatter.NewFormatter(&b, formatter.WithIndent("  ")).FormatSchema(schema)
	return b.String()
}

// queryCacheSize is how many parsed documents are kept.
const queryCacheSize = 1000

func init() {
	// A request that is refused as a whole is an error message on a socket, not a result.
	errcode.RegisterErrorType(codeInput, errcode.KindProtocol)
}

// newGraphQL returns the handler of /graphql: queries over POST and GET, mutations over POST, all three kinds of operation
// over WebSocket (graphql-transport-ws) and server-sent events.
func newGraphQL(root *resolvers.Resolver, logger *slog.Logger, telemetry *telemetry, troubles *resolvers.Troubles, streams *streams, access access) http.Handler {
	config := graph.Config{Schema: loadSchema(), Resolvers: root, Directives: resolvers.Directives()}
	setComplexity(&config.Complexity)
	server := handler.New(graph.NewExecutableSchema(config))
	server.AddTransport(newSocketTransport(streams, access))
	server.AddTransport(httpTransport{streams, access.clients})
	server.SetErrorPresenter(resolvers.PresentError(logger, troubles))
	server.SetRecoverFunc(resolvers.Recover)
	server.SetParserTokenLimit(maxTokens)
	server.SetQueryCache(lru.New[*ast.QueryDocument](queryCacheSize))
	server.Use(telemetry)
	server.Use(operationLog{logger})
	server.Use(extension.Introspection{})
	server.Use(extension.AutomaticPersistedQuery{Cache: lru.New[string](1000)})
	server.Use(newDocumentLimits()) // after the document of a persisted query is known
	server.Use(extension.FixedComplexityLimit(maxComplexity))
	server.Use(cost{})
	server.Use(socketLimit{access.clients})
	server.Use(newV1Usage(root.Control))
	return server
}
