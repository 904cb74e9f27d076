package resolvers_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
)

// What every client may rely on in the schema, whatever is in it.
func TestSchema(t *testing.T) {
	text, err := os.ReadFile("../schema.graphqls")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "schema.graphqls", Input: string(text)})
	if err != nil {
		t.Fatal(err)
	}
	deprecated := 0
	for name, definition := range schema.Types {
		if definition.BuiltIn {
			continue
		}
		if definition.Description == "" {
			t.Errorf("%s has no description", name)
		}
		for _, value := range definition.EnumValues {
			if value.Description == "" {
				t.Errorf("%s.%s has no description", name, value.Name)
			}
		}
		for _, f := range definition.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue
			}
			if f.Description == "" {
				t.Errorf("%s.%s has no description", name, f.Name)
			}
			is, should := isDeprecated(t, f.Directives), shouldBeDeprecated(definition, f)
			if is != should {
				t.Errorf("%s.%s is deprecated: %v, want %v", name, f.Name, is, should)
			}
			if is {
				deprecated++
			}
			for _, a := range f.Arguments {
				if (a.Name == "first" || a.Name == "last") && !strings.Contains(f.Description+
					a.Description, "0 to 100") {
					t.Errorf("%s.%s(%s:) does not say how far it goes", name, f.Name, a.Name)
				}
			}
		}
	}
	if deprecated < 60 {
		t.Errorf("%d deprecated fields, there should be more", deprecated)
	}
}

// shouldBeDeprecated reports whether a field belongs to V1 and may be deprecated: what leads there, and what may be
// null in it. A type with nothing but deprecated members looks empty to tools that do not ask for those, and what an
// input requires cannot be.
func shouldBeDeprecated(of *ast.Definition, f *ast.FieldDefinition) bool {
	isV1 := strings.Index(of.Name, "V1") > 0 // V1Usage is about V1, and stays
	return isV1 && !f.Type.NonNull || strings.HasSuffix(f.Name, "V1")
}

func isDeprecated(t *testing.T, directives ast.DirectiveList) bool {
	t.Helper()
	d := directives.ForName("deprecated")
	if d == nil {
		return false
	}
	if reason := d.Arguments.ForName("reason"); reason == nil || !strings.HasPrefix(reason.Value.Raw, "Use ") {
		t.Error("a deprecation at", d.Position.Line, "does not say what to use")
	}
	return true
}

// Every list argument is capped, at the same number.
func TestListsAreCapped(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *server) {
		s.customers(sampleCustomers(1)...)
		s.orders(sampleOrders(1, 1)...)
		for _, list := range []string{
			"customersV1(%s) { nodes { customerId } }", "customersV2(%s) { nodes { customerId } }",
			"ordersV1(%s) { nodes { orderId } }", "ordersV2(%s) { nodes { orderId } }",
			`customerV1(customerId: "ALFKI") { orders(%s) { nodes { orderId } } }`,
			`customerV2(customerId: "ALFKI") { orders(%s) { nodes { orderId } } }`,
		} {
			for _, wrong := range []struct{ arguments, field string }{
				{"first: -1", "first"},
				{"first: 101", "first"},
				{"last: -1", "last"},
				{"last: 101", "last"},
				{"first: 1, last: 1", "last"},
				{`after: "x"`, "after"},
				{`before: "x"`, "before"},
			} {
				s.fails("{ "+strings.Replace(list, "%s", wrong.arguments, 1)+" }", nil, "BAD_USER_INPUT", wrong.field)
			}
			for _, right := range []string{"first: 0", "first: 100", "last: 0", "last: 100"} {
				s.get("{ "+strings.Replace(list, "%s", right, 1)+" }", nil)
			}
		}
		for _, list := range []string{"history(%s) { at }", "runs(%s) { id }", "quarantine(%s) { totalCount }"} {
			for _, wrong := range []string{"first: -1", "first: 101"} {
				s.fails("{ migration(entity: ORDER) { "+strings.Replace(list, "%s", wrong, 1)+" } }", nil,
					"BAD_USER_INPUT", "first")
			}
		}
		many := slices.Repeat([]string{"x"}, 101)
		s.fails("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", vars{"ids": many}, "BAD_USER_INPUT", "ids")
		s.fails("query($ids: [ID!]!) { customersV2(filter: {keys: $ids}) { totalCount } }", vars{"ids": many},
			"BAD_USER_INPUT", "filter.keys")
	})
}
