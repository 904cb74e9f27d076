package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// walkStep is one call in the README's walk, and the answer that the README shows.
type walkStep struct{ query, answer string }

var gqlCall = regexp.MustCompile(`(?m)^\$ gql '([^']*)'\n(.*)$`)

// readmeWalk returns the calls under a heading of the README, in their order.
func readmeWalk(t *testing.T, heading string) []walkStep {
	t.Helper()
	document, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(document), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("the README has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var steps []walkStep
	for _, call := range gqlCall.FindAllStringSubmatch(section, -1) {
		steps = append(steps, walkStep{call[1], call[2]})
	}
	if calls := strings.Count(section, "$ gql "); calls == 0 || calls != len(steps) {
		t.Fatalf("%d of the %d calls under %q were understood", len(steps), calls, heading)
	}
	return steps
}

// What a newcomer types in the first five minutes is answered to the letter. A query that waits for a run is asked
// again until its answer is there, as the README says.
func TestTheWalkOfTheReadme(t *testing.T) {
	t.Parallel()
	server := serve(t, t.TempDir())
	for _, step := range readmeWalk(t, "Five minutes") {
		if strings.HasPrefix(step.query, "mutation") {
			if got := rawAnswer(t, server.url, step.query); got != step.answer {
				t.Fatalf("%s\nis answered\n%s\nthe README says\n%s", step.query, got, step.answer)
			}
			continue
		}
		var last string
		t.Logf("%s", step.query)
		eventually(t, step.answer, func() bool {
			if got := rawAnswer(t, server.url, step.query); got != last {
				t.Logf("is answered %s", got)
				last = got
			}
			return last == step.answer
		})
	}
}

// rawAnswer is the answer to a query, byte for byte.
// costInAnswer is what the README's function cuts off.
var costInAnswer = regexp.MustCompile(`,"extensions":\{"cost":.*`)

// rawAnswer is the answer to a query as the README shows it.
func rawAnswer(t *testing.T, url, query string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post(url+"/graphql", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer closeBody(response)
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return costInAnswer.ReplaceAllString(string(answer), "}")
}

// The README shows the internal read as it is, and as it is once the coexistence steps are cut out of it.
func TestTheInternalReadOfTheReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("repo/internal_read.go")
	if err != nil {
		t.Fatal(err)
	}
	_, read, found := strings.Cut(string(source), "\nfunc (r *Repository[V1, V2]) internalRead(")
	read, _, closed := strings.Cut("func (r *Repository[V1, V2]) internalRead("+read, "\n}\n")
	if !found || !closed {
		t.Fatal("there is no internal read")
	}
	before, steps, _ := strings.Cut(read, "\t// Coexistence begins.\n")
	_, after, cut := strings.Cut(steps, "\t// Coexistence ends.\n")
	if !cut || !strings.Contains(string(readme), "```go\n"+read+"\n}\n```") || !strings.Contains(string(readme),
		"```go\n"+before+after+"\n}\n```") {
		t.Errorf("the README shows another internal read than\n%s\n}\nor than what is left of it:\n%s\n}",
			read, before+after)
	}
}
