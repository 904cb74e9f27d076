package server

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/alwaysup/coexist/repo"
)

// v1Usage is an extension that counts which client asks for which field of the V1 shape. It works out the fields once
// for each document in the query cache. All selected fields count, even those that variables skip, since it is the
// client's code that has to change.
type v1Usage struct {
	control  *repo.Control
	entities []string
	schema   *v1Schema
	known    *lru.Cache[*ast.OperationDefinition, []repo.V1Field]
}

func newV1Usage(control *repo.Control, entities []string) *v1Usage {
	known, err := lru.New[*ast.OperationDefinition, []repo.V1Field](queryCacheSize)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &v1Usage{control: control, entities: entities, known: known}
}

// ExtensionName is part of gqlgen's interface.
func (*v1Usage) ExtensionName() string { return "V1Usage" }

// Validate is part of gqlgen's interface. It learns the schema.
func (u *v1Usage) Validate(schema graphql.ExecutableSchema) error {
	u.schema = newV1Schema(schema.Schema(), u.entities)
	return nil
}

// InterceptOperation counts each operation that is executed and asks for the V1 shape.
func (u *v1Usage) InterceptOperation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	request := graphql.GetOperationContext(ctx)
	if fields := u.fields(request.Operation); len(fields) > 0 {
		use := repo.V1Use{OperationName: request.Operation.Name, Fields: fields}
		use.ClientName, use.ClientVersion = nameOfClient(ctx, request)
		u.control.RecordV1Usage(use)
	}
	return next(ctx)
}

func (u *v1Usage) fields(operation *ast.OperationDefinition) []repo.V1Field {
	if fields, found := u.known.Get(operation); found {
		return fields
	}
	fields := u.schema.fieldsOf(operation)
	u.known.Add(operation, fields)
	return fields
}

// nameOfClient returns what a client says of itself in the payload that opened its socket, or else in the headers of
// its request.
func nameOfClient(ctx context.Context, request *graphql.OperationContext) (name, version string) {
	payload := transport.GetInitPayload(ctx)
	said := func(what string) string {
		return cmp.Or(payload.GetString("apollographql-client-"+what), payload.GetString("x-client-"+what),
			request.Headers.Get("apollographql-client-"+what), request.Headers.Get("x-client-"+what))
	}
	return said("name"), said("version")
}

// v1Schema knows which fields of a schema belong to the V1 shape of an entity.
type v1Schema struct {
	fields map[*ast.FieldDefinition]repo.V1Field
}

// newV1Schema finds the fields of the V1 shape. A field belongs to it if the name of its type has V1 behind the name of
// an entity. In a type that has both shapes, the field's own name decides.
func newV1Schema(schema *ast.Schema, entities []string) *v1Schema {
	found := &v1Schema{fields: map[*ast.FieldDefinition]repo.V1Field{}}
	for _, definition := range schema.Types {
		if definition.Kind != ast.Object && definition.Kind != ast.Interface {
			continue
		}
		for _, f := range definition.Fields {
			if entity := cmp.Or(entityIn(definition.Name, entities), entityIn(f.Name, entities)); entity != "" {
				found.fields[f] = repo.V1Field{Entity: entity, Name: definition.Name + "." + f.Name}
			}
		}
	}
	return found
}

// entityIn returns the entity in a name such as OrderDetailV1, customersV1 or deleteCustomerV1, or "" if there is none.
// If several entities match, the one with the longest name wins.
func entityIn(name string, entities []string) string {
	before, _, isV1 := strings.Cut(name, "V1")
	if !isV1 {
		return ""
	}
	entity := ""
	for _, e := range entities {
		if len(e) > len(entity) && strings.Contains(strings.ToLower(before),
			strings.ToLower(strings.ReplaceAll(e, "_", ""))) {
			entity = e
		}
	}
	return entity
}

// fieldsOf returns the V1 fields that an operation selects, also through fragments, each once, sorted by name. The
// operation must have been validated.
func (s *v1Schema) fieldsOf(operation *ast.OperationDefinition) []repo.V1Field {
	found := map[repo.V1Field]bool{}
	walked := map[*ast.FragmentDefinition]bool{}
	var walk func(ast.SelectionSet)
	walk = func(set ast.SelectionSet) {
		for _, selection := range set {
			switch selected := selection.(type) {
			case *ast.Field:
				if f, isV1 := s.fields[selected.Definition]; isV1 {
					found[f] = true
				}
				walk(selected.SelectionSet)
			case *ast.InlineFragment:
				walk(selected.SelectionSet)
			case *ast.FragmentSpread:
				if selected.Definition != nil && !walked[selected.Definition] {
					walked[selected.Definition] = true
					walk(selected.Definition.SelectionSet)
				}
			}
		}
	}
	walk(operation.SelectionSet)
	fields := make([]repo.V1Field, 0, len(found))
	for f := range found {
		fields = append(fields, f)
	}
	slices.SortFunc(fields, func(a, b repo.V1Field) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Entity, b.Entity))
	})
	return fields
}

// v1Operations reports, as a metric, the operations that ask for the V1 shape. The engine bounds the number of clients
// that it tells apart, and so the number of labels.
type v1Operations struct{ control *repo.Control }

var v1OperationsMetric = prometheus.NewDesc("coexist_v1_operations_total",
	"GraphQL operations that asked for the V1 shape, by client.", []string{"client"}, nil)

// Describe is part of Prometheus's interface.
func (v1Operations) Describe(metrics chan<- *prometheus.Desc) { metrics <- v1OperationsMetric }

// Collect is part of Prometheus's interface.
func (o v1Operations) Collect(metrics chan<- prometheus.Metric) {
	for client, n := range o.control.V1Operations() {
		metrics <- prometheus.MustNewConstMetric(v1OperationsMetric, prometheus.CounterValue, float64(n), client)
	}
}
