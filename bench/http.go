package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"syscall"
	"time"
)

// process is a GraphQL server that is measured.
type process struct {
	command *exec.Cmd
	url     string
	client  *http.Client
}

// listens is how a server says where it listens.
var listens = regexp.MustCompile(`url=(http://\S+)`)

// start starts a GraphQL server, and waits until it says where it listens.
func start(ctx context.Context, variables []string, program string, args ...string) (*process, error) {
	p := &process{command: exec.CommandContext(ctx, program, args...), client: &http.Client{
		Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 100}, // no new connections on the way
	}}
	p.command.Env = append(os.Environ(), variables...)
	p.command.Cancel = func() error { return p.command.Process.Signal(syscall.SIGTERM) }
	p.command.WaitDelay = 10 * time.Second
	said, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.command.Stderr = p.command.Stdout
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	var before bytes.Buffer
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if found := listens.FindSubmatch(lines.Bytes()); found != nil {
			p.url = string(found[1])
			go io.Copy(io.Discard, said) //nolint:errcheck // what it says later is of no interest
			return p, nil
		}
		fmt.Fprintln(&before, lines.Text())
	}
	return nil, fmt.Errorf("%s has ended: %w: %s", program, p.command.Wait(), before.String())
}

func (p *process) stop() {
	_ = p.command.Cancel() // it may have ended
	_ = p.command.Wait()   // a signal ended it
}

// used is the processor time that the server has used.
func (p *process) used() time.Duration { return usedBy(p.command.Process.Pid) }

// ask sends a GraphQL request, and returns the answer's data. An answer with errors is an error.
func (p *process) ask(ctx context.Context, body []byte) (json.RawMessage, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/graphql", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	response, err := p.client.Do(request)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(response.Body)
	_ = response.Body.Close() // it has been read
	if err != nil {
		return nil, err
	}
	var parsed struct{ Data, Errors json.RawMessage }
	if err := json.Unmarshal(answer, &parsed); err != nil || parsed.Errors != nil ||
		response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s: %.500s", p.url, response.Status, answer)
	}
	return parsed.Data, nil
}

// document is the body of a request.
func document(query string, variables map[string]any) []byte {
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		panic(err) // of constants
	}
	return body
}
