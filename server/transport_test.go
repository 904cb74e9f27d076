package server

import (
	"encoding/json"
	"testing"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// What json.Marshal makes of an answer is what clients get, although data that is marshalled is not marshalled again.
func TestAnswersAreMarshalledAsJSON(t *testing.T) {
	t.Parallel()
	data := json.RawMessage(`{"a":[1,null,{"b":"ü"}]}`)
	for name, answer := range map[string]any{
		"data":              &graphql.Response{Data: data},
		"no data":           &graphql.Response{},
		"null":              &graphql.Response{Data: json.RawMessage("null")},
		"extensions":        &graphql.Response{Data: data, Extensions: map[string]any{"trace": []int{1}}},
		"errors":            &graphql.Response{Data: data, Errors: gqlerror.List{{Message: "no"}}},
		"errors alone":      &graphql.Response{Errors: gqlerror.List{{Message: "no"}}},
		"a part":            &graphql.Response{Data: data, Label: "later", Path: ast.Path{ast.PathName("a")}, HasNext: new(true)},
		"the last part":     &graphql.Response{Data: data, HasNext: new(false)},
		"no response":       map[string]any{"data": data},
		"errors, by itself": map[string]any{"errors": gqlerror.List{{Message: "no"}}},
	} {
		got, err := marshal(answer)
		want, wantErr := json.Marshal(answer)
		if err != nil || wantErr != nil || string(got) != string(want) {
			t.Errorf("%s: got %s, %v, want %s", name, got, err, want)
		}
	}
	if got, err := marshal(&graphql.Response{Data: json.RawMessage("not read again")}); err != nil ||
		string(got) != `{"data":not read again}` {
		t.Errorf("data that is marshalled is read again: %s, %v", got, err)
	}
	if _, err := marshal(&graphql.Response{Data: data, Extensions: map[string]any{"f": func() {}}}); err == nil {
		t.Error("an extension that is no JSON is marshalled")
	}
}
