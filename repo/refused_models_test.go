package repo_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo/repotest"
)

// A document that V1 spells in its own way says the same.
func TestADocumentThatV1SpellsAnew(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := broughtWell(t, url, functions[docV1, docV2]{
			up:   func(v docV1) docV2 { return docV2{ID: v.ID, Doc: v.Doc} },
			down: func(v docV2) docV1 { return docV1{v.ID, v.Doc} },
			keep: func(to *docV2, from docV2) { to.Extra = from.Extra },
		}, "CREATE TABLE docs (id varchar(40) PRIMARY KEY, doc jsonb NOT NULL)")
		const document = `{"b":1e2,"a":[2,{"d":1,"c":null}]}`
		for _, key := range []string{"a", "b"} {
			told, err := b.CreateV2(t.Context(), docV2{ID: key, Doc: json.RawMessage(document), Extra: new("e")})
			if err != nil {
				t.Fatal(err)
			}
			read, err := b.GetV2(t.Context(), key)
			if err != nil || string(read.Value.Doc) != string(told.Value.Doc) || read.Value.Extra == nil {
				t.Errorf("told %s, read %s, %v", told.Value.Doc, read.Value.Doc, err)
			}
			if key == "a" {
				b.inContract()
			}
		}
		b.restored()
	})
}

// What cannot work is refused in one line that says what to do.
func TestModelsThatAreRefused(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	refused := func(err error, parts ...string) {
		t.Helper()
		for _, part := range append(parts, "THING") {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%v does not say %q", err, part)
			}
		}
	}
	_, err := bring(t, url, functions[tsV1, tsV2]{}, nil,
		"CREATE TABLE tss (id varchar(40) PRIMARY KEY, at timestamptz NOT NULL)")
	refused(err, "rounds", "timestamptz")
	_, err = bring(t, url, functions[docV1, rawV2]{}, nil,
		"CREATE TABLE docs (id varchar(40) PRIMARY KEY, doc jsonb NOT NULL)")
	refused(err, "declare it as json")
	_, err = bring(t, url, functions[docV1, posV2]{}, nil)
	refused(err, "position", "another column")
	_, err = bring(t, url, functions[docV1, seqV2]{}, nil)
	refused(err, "coexist_seq", "another column")
}
