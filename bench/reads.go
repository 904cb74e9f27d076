package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/alwaysup/coexist/models"
)

// readers are how many clients ask at once.
const readers = 4

// peer is a server, with the queries that ask it for the same.
type peer struct {
	name string
	*process
	one, list string
}

const customerFields = `name version contacts { displayName givenName familyName title }
	addresses { kind street locality region postalCode country countryCode } phones { kind number }`

const (
	oneQuery  = `query ($key: ID!) { customerV2(customerId: $key) { customerId ` + customerFields + ` } }`
	listQuery = `query ($after: String) { customersV2(first: 100, after: $after) { pageInfo { endCursor hasNextPage }
		nodes { customerId ` + customerFields + ` } } }`
)

// PostGraphile lists child rows in the order of their primary keys too.
const postgraphileFields = `customerId name coexistVersion
	customerV2ContactsByCustomerId { nodes { displayName givenName familyName title } }
	customerV2AddressesByCustomerId { nodes { kind street locality region postalCode country countryCode } }
	customerV2PhonesByCustomerId { nodes { kind number } }`

const (
	postgraphileOne  = `query ($key: String!) { customersV2ByCustomerId(customerId: $key) { ` + postgraphileFields + ` } }`
	postgraphileList = `query ($after: Cursor) { allCustomersV2S(first: 100, after: $after) {
		pageInfo { endCursor hasNextPage } nodes { ` + postgraphileFields + ` } } }`
)

// reads measures reads and lists of V2 over HTTP, beside a plain server and PostGraphile on the same tables.
func (f *flags) reads(ctx context.Context, c *cluster, r *results) error {
	if !f.wants("read") {
		return nil
	}
	if err := f.migrated(ctx, c); err != nil {
		return err
	}
	peers, err := f.startPeers(ctx, c.database("bench"))
	for _, p := range peers {
		defer p.stop()
	}
	if err != nil {
		return err
	}
	for i := range f.Runs + 1 { // the first run warms up
		for _, p := range peers {
			customer := func() map[string]any {
				number := rand.IntN(f.count()) //nolint:gosec // any
				return map[string]any{"key": models.SampleCustomer(1, number).CustomerID, "name": fmt.Sprint(number)}
			}
			one, err := f.ask(ctx, c, p, p.one, customer)
			if err != nil {
				return err
			}
			list, err := f.ask(ctx, c, p, p.list, pages(ctx, p))
			if err != nil {
				return err
			}
			if i > 0 {
				r.add("read of a V2 copy, "+p.name, one, besideReads("read of a V2 copy, ", p.name, 2)...)
				r.add("list of 100, "+p.name, list, besideReads("list of 100, ", p.name, 1.5)...)
			}
			if p.name != coexistName {
				continue
			}
			write, err := f.ask(ctx, c, p, updateQuery, customer)
			if err != nil {
				return err
			}
			if i > 0 {
				r.add("write through V2, "+p.name, write)
			}
		}
	}
	return nil
}

func besideReads(what, name string, reach float64) []beside {
	if name != coexistName {
		return nil
	}
	return []beside{atLeast(what+postgraphileName, reach), atLeast(what+plainName, 0.95)}
}

const (
	coexistName      = "Coexist"
	plainName        = "plain gqlgen"
	postgraphileName = "PostGraphile"
)

func (f *flags) startPeers(ctx context.Context, url string) ([]*peer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	peers := []*peer{
		{name: coexistName, one: oneQuery, list: listQuery},
		{name: plainName, one: oneQuery, list: listQuery},
		{name: postgraphileName, one: postgraphileOne, list: postgraphileList},
	}
	commands := [][]string{
		{
			f.Coexist, "serve", "--addr=127.0.0.1:0", "--client-rate=0", "--client-operations=0",
			"--database-url=" + url,
		},
		{self, "plain", "--postgres-url=" + url},
		{f.Postgraphile + "/node_modules/node/bin/node", f.Postgraphile + "/server.mjs"},
	}
	for i, p := range peers {
		if p.process, err = start(ctx, []string{"POSTGRES_URL=" + url, "NODE_ENV=production"}, commands[i][0],
			commands[i][1:]...); err != nil {
			return peers[:i], err
		}
	}
	return peers, nil
}

// pages returns the variables of the next page, from the first on.
func pages(ctx context.Context, p *peer) func() map[string]any {
	var after any
	var mu sync.Mutex
	return func() map[string]any {
		mu.Lock()
		defer mu.Unlock()
		now := map[string]any{"after": after}
		after = nil
		short := strings.NewReplacer(customerFields, "", postgraphileFields, "customerId").Replace(p.list)
		data, err := p.ask(ctx, document(short, now))
		var parsed map[string]struct {
			PageInfo struct {
				EndCursor   string
				HasNextPage bool
			}
		}
		if err == nil && json.Unmarshal(data, &parsed) == nil {
			for _, connection := range parsed {
				if connection.PageInfo.HasNextPage {
					after = connection.PageInfo.EndCursor
				}
			}
		}
		return now
	}
}

// ask sends the same query with other variables for some seconds, from several clients at once.
func (f *flags) ask(ctx context.Context, c *cluster, p *peer, query string,
	next func() map[string]any,
) (cost, error) {
	const prepared = 512
	bodies := make([][]byte, prepared)
	for i := range bodies {
		bodies[i] = document(query, next())
	}
	var asked [readers]int64
	var failed [readers]error
	client, server, began := p.used(), c.used(), time.Now()
	until := began.Add(f.Period)
	var all sync.WaitGroup
	for i := range readers {
		all.Go(func() {
			for at := i; time.Now().Before(until) && failed[i] == nil; at += readers {
				_, failed[i] = p.ask(ctx, bodies[at%prepared])
				asked[i]++
			}
		})
	}
	all.Wait()
	took := cost{took: time.Since(began), client: p.used() - client, server: c.used() - server}
	for i := range readers {
		if failed[i] != nil {
			return took, fmt.Errorf("%s: %w", p.name, failed[i])
		}
		took.rows += asked[i]
	}
	return took, nil
}
