package server

import (
	"os"
	"strings"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

func TestV1Fields(t *testing.T) {
	schema := gqlparser.MustLoadSchema(&ast.Source{Input: `
		interface Named { name: String, shopV1: ShopV1 @deprecated(reason: "Use shop.") }
		type ShopV1 implements Named { name: String @deprecated shopV1: ShopV1 @deprecated fresh: Int orders: [ShopOrderLineV1] @deprecated }
		type ShopOrderLineV1 { price: Int @deprecated }
		type ShopV2 implements Named { name: String shopV1: ShopV1 @deprecated old: Int @deprecated(reason: "Not V1's.") }
		type Query { shopsV1: [ShopV1] @deprecated named: [Named] both: [Both] }
		type Mutation { deleteShopV1: ID @deprecated deleteShopV2: ID }
		union Both = ShopV1 | ShopV2
	`})
	v1 := newV1Schema(schema, []string{"SHOP", "SHOP_ORDER"})
	for query, want := range map[string]string{
		`{ __typename }`:                        "",
		`{ shopsV1 { name a: name b: fresh } }`: "SHOP:Query.shopsV1 SHOP:ShopV1.fresh SHOP:ShopV1.name",
		`{ a: shopsV1 { __typename } b: shopsV1 { ...f } } fragment f on ShopV1 { ... on Named { shopV1 { ...g } } } fragment g on ShopV1 { fresh ...h } fragment h on ShopV1 { name }`: "SHOP:Named.shopV1 SHOP:Query.shopsV1 SHOP:ShopV1.fresh SHOP:ShopV1.name",
		`{ named { name ... on ShopV1 { name } ... on ShopV2 { name old } } }`:                          "SHOP:ShopV1.name",
		`{ named { ... { ... @include(if: true) { shopV1 { orders { price } } } } } }`:                  "SHOP:Named.shopV1 SHOP_ORDER:ShopOrderLineV1.price SHOP:ShopV1.orders",
		`{ both { ... on ShopV2 { shopV1 { fresh } } ... on Named { name } } }`:                         "SHOP:ShopV1.fresh SHOP:ShopV2.shopV1",
		`query($skip: Boolean!) { named { name ... on ShopV1 @skip(if: $skip) { shopV1 { fresh } } } }`: "SHOP:ShopV1.fresh SHOP:ShopV1.shopV1",
		`mutation { a: deleteShopV1 b: deleteShopV1 c: deleteShopV2 }`:                                  "SHOP:Mutation.deleteShopV1",
	} {
		document, errs := gqlparser.LoadQueryWithRules(schema, query, rules.NewDefaultRules())
		if errs != nil {
			t.Fatalf("%s: %v", query, errs)
		}
		var got []string
		for _, f := range v1.fieldsOf(document.Operations[0]) {
			got = append(got, f.Entity+":"+f.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s\ngot  %s\nwant %s", query, strings.Join(got, " "), want)
		}
	}
}

// Every field of V1 in the real schema is counted, of the entity that its name says, and nothing else is deprecated.
func TestEveryV1FieldIsCounted(t *testing.T) {
	source, err := os.ReadFile("../schema.graphqls")
	if err != nil {
		t.Fatal(err)
	}
	schema := LoadSchema(&ast.Source{Name: "schema.graphqls", Input: string(source)})
	v1 := newV1Schema(schema, []string{"CUSTOMER", "ORDER"})
	for _, definition := range schema.Types {
		if definition.Kind != ast.Object && definition.Kind != ast.Interface {
			continue
		}
		for _, f := range definition.Fields {
			counted := v1.fields[f]
			want := ""
			isV1 := strings.Contains(definition.Name, "V1") && definition.Name != "V1Usage" ||
				strings.HasSuffix(f.Name, "V1")
			if name := strings.ToLower(definition.Name + f.Name); isV1 {
				want = "ORDER"
				if strings.Contains(strings.ToLower(definition.Name), "customer") || !strings.Contains(name, "order") {
					want = "CUSTOMER"
				}
			}
			if counted.Entity != want {
				t.Errorf("%s.%s counts as V1 of %q, want %q", definition.Name, f.Name, counted.Entity, want)
			}
			if !isV1 && f.Directives.ForName("deprecated") != nil {
				t.Errorf("%s.%s is deprecated, and does not belong to V1", definition.Name, f.Name)
			}
		}
	}
}
