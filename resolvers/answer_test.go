package resolvers_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alwaysup/coexist/models"
)

// answer is what the server answers.
type answer struct {
	t      *testing.T
	Data   json.RawMessage `json:"data"`
	Errors []failure       `json:"errors"`
}

type failure struct {
	Message    string         `json:"message"`
	Path       []any          `json:"path"`
	Extensions map[string]any `json:"extensions"`
}

// path is the error's path, like "nodes.1.name".
func (f failure) path() string {
	steps := make([]string, len(f.Path))
	for i, step := range f.Path {
		steps[i] = fmt.Sprint(step)
	}
	return strings.Join(steps, ".")
}

func (f failure) field() string {
	field, _ := f.Extensions["field"].(string)
	return field
}

func (f failure) code() string {
	code, _ := f.Extensions["code"].(string)
	return code
}

// same compares JSON documents; blanks between their parts do not count.
func same(t *testing.T, got, want string) {
	t.Helper()
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(want)); err != nil {
		t.Fatalf("%v in %s", err, want)
	}
	if got != compact.String() {
		t.Errorf("got  %s\nwant %s", got, compact.String())
	}
}

// changes are the lines that only one of two dumps has.
func changes(before, after string) string {
	was, is := strings.Split(before, "\n"), strings.Split(after, "\n")
	var all []string
	for _, line := range was {
		if !slices.Contains(is, line) {
			all = append(all, "- "+line)
		}
	}
	for _, line := range is {
		if !slices.Contains(was, line) {
			all = append(all, "+ "+line)
		}
	}
	return strings.Join(all, "\n")
}

func (a answer) failed(code, field string) failure {
	a.t.Helper()
	if len(a.Errors) != 1 {
		a.t.Errorf("got %d errors, want 1: %+v, with data %s", len(a.Errors), a.Errors, a.Data)
		return failure{}
	}
	f := a.Errors[0]
	if f.code() != code || f.field() != field || f.Message == "" {
		a.t.Errorf("got %s at %q: %s\nwant %s at %q", f.code(), f.field(), f.Message, code, field)
	}
	return f
}

// syncBuffer is a log that many goroutines write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// sampleCustomers are the first of the sample.
func sampleCustomers(n int) []models.CustomerV1 {
	rows := make([]models.CustomerV1, n)
	for i := range rows {
		rows[i] = models.SampleCustomer(1, i)
	}
	return rows
}

func sampleOrders(n, customers int) []models.OrderV1 {
	rows := make([]models.OrderV1, n)
	for i := range rows {
		rows[i] = models.SampleOrder(1, i, customers)
	}
	return rows
}
