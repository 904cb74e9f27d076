package resolvers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// Phases change one step at a time, as far as this version goes, and every change is kept.
func TestPhases(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		s := newServer(t, url, repo.Expand)
		const set = `mutation($to: Phase!, $force: Boolean, $reason: String) { setPhase(input: {entity: CUSTOMER, to: $to, force: $force, reason: $reason}) { migration { entity phase } } }`
		s.want(
			`{ migrations { entity phase incomplete mappingVersion history { to } runs { id } quarantine { totalCount } } }`, nil,
			`{"migrations":[{"entity":"CUSTOMER","phase":"EXPAND","incomplete":false,"mappingVersion":1,"history":[],"runs":[],"quarantine":{"totalCount":0}},
			{"entity":"ORDER","phase":"EXPAND","incomplete":false,"mappingVersion":1,"history":[],"runs":[],"quarantine":{"totalCount":0}}]}`)
		for _, to := range []repo.Phase{repo.Cutover, repo.Contract} {
			s.refused(set, vars{"to": to, "force": true}, "BAD_USER_INPUT", "to")
		}
		s.refused(set, vars{"to": "MIGRATE", "reason": "all is ready"}, "GATE_CLOSED", "")
		s.refused(set, vars{"to": "MIGRATE", "force": true}, "BAD_USER_INPUT", "reason")
		s.refused(set, vars{"to": "MIGRATE", "force": true, "reason": " "}, "BAD_USER_INPUT", "reason")
		s.want(set, vars{"to": "MIGRATE", "force": true, "reason": "all is ready"},
			`{"setPhase":{"migration":{"entity":"CUSTOMER","phase":"MIGRATE"}}}`)
		// no change
		s.want(set, vars{"to": "MIGRATE", "reason": "again"},
			`{"setPhase":{"migration":{"entity":"CUSTOMER","phase":"MIGRATE"}}}`)
		s.refused(set, vars{"to": "CONTRACT", "force": true}, "BAD_USER_INPUT", "to")
		s.refused(set, vars{"to": "EXPAND", "reason": strings.Repeat("ä", 1001)}, "BAD_USER_INPUT", "reason")
		s.refused(set, vars{"to": "EXPAND", "reason": "a\x00b"}, "BAD_USER_INPUT", "reason")
		s.refused(set, vars{"to": "BACK"}, "BAD_USER_INPUT", "to")
		s.want(set, vars{"to": "EXPAND", "force": true, "reason": strings.Repeat("ä", 1000)},
			`{"setPhase":{"migration":{"entity":"CUSTOMER","phase":"EXPAND"}}}`)
		s.want(set, vars{"to": "MIGRATE", "force": true, "reason": "again"},
			`{"setPhase":{"migration":{"entity":"CUSTOMER","phase":"MIGRATE"}}}`)
		s.want(
			`{ migration(entity: CUSTOMER) { history { from to actor reason forced } last: history(first: 1) { to } none: history(first: 0) { to } } migrations { phase history { to } } }`, nil,
			`{"migration":{"history":[{"from":"EXPAND","to":"MIGRATE","actor":"operator","reason":"again","forced":true},
			{"from":"MIGRATE","to":"EXPAND","actor":"operator","reason":"`+strings.Repeat("ä", 1000)+`","forced":false},
			{"from":"EXPAND","to":"MIGRATE","actor":"operator","reason":"all is ready","forced":true}],"last":[{"to":"MIGRATE"}],"none":[]},
			"migrations":[{"phase":"MIGRATE","history":[{"to":"MIGRATE"},{"to":"EXPAND"},{"to":"MIGRATE"}]},{"phase":"EXPAND","history":[]}]}`)
		var got struct {
			Migration struct {
				PhaseChangedAt time.Time
				History        []struct{ At time.Time }
			}
		}
		s.into(&got, `{ migration(entity: CUSTOMER) { phaseChangedAt history { at } } }`, nil)
		if m := got.Migration; m.PhaseChangedAt.Before(m.History[1].At) || m.PhaseChangedAt.After(m.History[0].At) ||
			m.PhaseChangedAt.Location() != time.UTC || m.History[0].At.Before(m.History[2].At) {
			t.Errorf("times are %+v", m)
		}
	})
}

// The parts of progress are disjoint, and add up.
func TestProgress(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *server) {
		s.customers(sampleCustomers(10)...)
		s.customers(models.CustomerV1{CustomerID: "BAD1", Country: new("Atlantis")},
			models.CustomerV1{CustomerID: "BAD2", Country: new("Mu")})
		progress := func(exact bool, want string) {
			t.Helper()
			s.want(
				`query($exact: Boolean) { migration(entity: CUSTOMER, exact: $exact) { progress { total migrated remaining stale quarantined byOrigin { origin count } exact fraction } } }`,
				vars{"exact": exact}, `{"migration":{"progress":`+want+`}}`)
		}
		progress(true,
			`{"total":12,"migrated":0,"remaining":12,"stale":0,"quarantined":0,"byOrigin":[],"exact":true,"fraction":0}`)
		s.get(`{ customerV2(customerId: "ALFKI") { name } }`, nil)
		s.get(`mutation { updateCustomerV2(input: {customerId: "S0001", name: "x"}) { customer { name } } }`, nil)
		s.fails(`{ customerV2(customerId: "BAD1") { name } }`, nil, "CONVERSION_FAILED", "addresses[0].country")
		progress(true,
			`{"total":12,"migrated":2,"remaining":9,"stale":0,"quarantined":1,"byOrigin":[{"origin":"READ","count":1},{"origin":"WRITE","count":1}],"exact":true,"fraction":0.16666666666666666}`)
		s.ask(`{ customersV2 { nodes { name } } }`, nil)
		progress(true, `{"total":12,"migrated":10,"remaining":0,"stale":0,"quarantined":2,
			"byOrigin":[{"origin":"LIST","count":8},{"origin":"READ","count":1},{"origin":"WRITE","count":1}],"exact":true,"fraction":0.8333333333333334}`)
		s.phase(repo.Expand)
		s.get(`mutation { updateCustomerV1(input: {customerId: "ALFKI", city: "x"}) { customer { city } } }`, nil)
		s.get(`mutation { createCustomerV1(input: {customerId: "NEW", companyName: "x"}) { customer { city } } }`, nil)
		progress(true, `{"total":13,"migrated":9,"remaining":1,"stale":1,"quarantined":2,
			"byOrigin":[{"origin":"LIST","count":8},{"origin":"READ","count":1},{"origin":"WRITE","count":1}],"exact":true,"fraction":0.6923076923076923}`)
		var got struct {
			Migration struct {
				Progress struct{ OldestMarkAt *string }
			}
		}
		s.into(&got, `{ migration(entity: CUSTOMER) { progress { oldestMarkAt } } }`, nil)
		if got.Migration.Progress.OldestMarkAt == nil {
			t.Error("there is no oldest mark")
		}
		s.phase(repo.Migrate)
		for _, query := range []string{
			`mutation { a: deleteCustomerV1(customerId: "BAD1") { deletedKey } b: deleteCustomerV2(customerId: "BAD2") { deletedKey } }`,
			`{ customersV2 { nodes { name } } }`,
		} {
			s.get(query, nil)
		}
		progress(true, `{"total":11,"migrated":11,"remaining":0,"stale":0,"quarantined":0,
			"byOrigin":[{"origin":"LIST","count":10},{"origin":"WRITE","count":1}],"exact":true,"fraction":1}`)
		var sum struct {
			Migrations []struct {
				Progress struct{ Total, Migrated, Remaining, Stale, Quarantined int }
			}
		}
		s.into(&sum, `{ migrations { progress { total migrated remaining stale quarantined } } }`, nil)
		for _, m := range sum.Migrations {
			if p := m.Progress; p.Migrated+p.Remaining+p.Stale+p.Quarantined != p.Total {
				t.Errorf("%+v does not add up", p)
			}
		}
	})
}

// Quarantine is a list like any other.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *server) {
		for i := range 5 {
			s.customers(models.CustomerV1{CustomerID: fmt.Sprintf("K%d", i), Country: new("Atlantis")})
		}
		s.ask(`{ customersV2 { nodes { name } } }`, nil)
		const page = `query($first: Int, $after: String) { migration(entity: CUSTOMER) { quarantine(first: $first, after: $after) {
			edges { cursor node { key } } nodes { key } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount } } }`
		type answer struct {
			Migration struct {
				Quarantine struct {
					Edges []struct {
						Cursor string
						Node   struct{ Key string }
					}
					Nodes    []struct{ Key string }
					PageInfo struct {
						HasNextPage, HasPreviousPage bool
						StartCursor, EndCursor       *string
					}
					TotalCount int
				}
			}
		}
		var keys []string
		var after *string
		for i := 0; ; i++ {
			var got answer
			s.into(&got, page, vars{"first": 2, "after": after})
			q := got.Migration.Quarantine
			for j, e := range q.Edges {
				if e.Node != q.Nodes[j] {
					t.Errorf("edges and nodes differ: %+v", q)
				}
				keys = append(keys, e.Node.Key)
			}
			if q.TotalCount != 5 || q.PageInfo.HasPreviousPage != (i > 0) ||
				*q.PageInfo.StartCursor != q.Edges[0].Cursor {
				t.Errorf("page %d: %+v", i, q)
			}
			if after = q.PageInfo.EndCursor; !q.PageInfo.HasNextPage {
				break
			}
		}
		if got := strings.Join(keys, " "); got != "K0 K1 K2 K3 K4" {
			t.Errorf("got %s", got)
		}
		s.want(page, vars{"first": 0},
			`{"migration":{"quarantine":{"edges":[],"nodes":[],"pageInfo":{"hasNextPage":true,"hasPreviousPage":false,"startCursor":null,"endCursor":null},"totalCount":5}}}`)
	})
}

// A migration's state is sent at once, and again when it has changed.
func TestMigrationProgress(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *server) {
		sub := s.subscribe(`subscription { migrationProgress(entity: ORDER) { phase progress { total } } }`, nil)
		expect := func(want string) {
			t.Helper()
			a, more := sub.next()
			if !more || len(a.Errors) > 0 {
				t.Fatalf("got %+v", a)
			}
			same(t, string(a.Data), want)
		}
		expect(`{"migrationProgress":{"phase":"MIGRATE","progress":{"total":0}}}`)
		s.phase(repo.Expand)
		expect(`{"migrationProgress":{"phase":"EXPAND","progress":{"total":0}}}`)
		s.get(`mutation { createOrderV1(input: {details: []}) { order { orderId } } }`, nil)
		expect(`{"migrationProgress":{"phase":"EXPAND","progress":{"total":1}}}`)
	})
}

// A time that is none is the client's fault, however it comes.
func TestNoTime(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *server) {
		for _, value := range []string{`"yesterday"`, `"2026-13-01T00:00:00Z"`, `5`, `true`} {
			s.fails(`{ migration(entity: CUSTOMER) { v1Usage(since: `+value+`) { field } } }`, nil,
				"BAD_USER_INPUT", "since")
		}
		s.fails(`query($since: DateTime) { migration(entity: CUSTOMER) { v1Usage(since: $since) { field } } }`,
			vars{"since": "yesterday"}, "BAD_USER_INPUT", "since")
		s.want(`{ migration(entity: CUSTOMER) { v1Usage(since: "2026-01-31T12:00:00Z") { field } } }`, nil,
			`{"migration":{"v1Usage":[]}}`)
	})
}
