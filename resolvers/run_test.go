package resolvers_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// run is a run as a client sees it.
type run struct {
	ID, Status                         string
	Total, Done, Migrated, Quarantined int
	FinishedAt, Error, ThrottledBy     *string
	RowsPerSecond                      float64
	EtaSeconds                         *int
	Workers                            int
	MaxRowsPerSecond                   *int
	Actor, Kind, Entity                string
}

const allOfRun = `{ id kind entity status startedAt finishedAt actor total done migrated quarantined rowsPerSecond etaSeconds workers maxRowsPerSecond throttledBy error }`

// sweep starts a sweep.
func (s *server) sweep(input vars) run {
	s.t.Helper()
	var got struct{ StartSweep struct{ Run run } }
	s.into(&got, `mutation($input: StartSweepInput!) { startSweep(input: $input) { run `+allOfRun+` } }`,
		vars{"input": input})
	return got.StartSweep.Run
}

// follow reads what runProgress sends, until it is complete, and returns all of it.
func (s *server) follow(id string) []run {
	s.t.Helper()
	sub := s.subscribe(`subscription($id: ID!) { runProgress(id: $id) `+allOfRun+` }`, vars{"id": id})
	var states []run
	for {
		a, more := sub.next()
		if !more {
			return states
		}
		var got struct{ RunProgress run }
		if err := json.Unmarshal(a.Data, &got); err != nil || len(a.Errors) > 0 {
			s.t.Fatalf("%v, %+v", err, a)
		}
		states = append(states, got.RunProgress)
	}
}

func (s *server) changeRun(mutation, id string) run {
	s.t.Helper()
	var got struct{ M struct{ Run run } }
	s.into(&got, `mutation($id: ID!) { m: `+mutation+`(id: $id) { run `+allOfRun+` } }`, vars{"id": id})
	return got.M.Run
}

// A sweep migrates the cold rest, quarantines what it cannot convert, and is followed to its end.
func TestSweep(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *server) {
		s.work()
		s.customers(sampleCustomers(300)...)
		s.customers(models.CustomerV1{CustomerID: "BAD", Country: new("Atlantis")})
		repotest.Until(t, "a read stores its row, which takes patience under load", func() bool {
			return strings.Contains(s.get(`{ customerV2(customerId: "ALFKI") { copy { stored } } }`, nil), "true")
		})
		started := s.sweep(vars{"entity": "CUSTOMER", "workers": 2})
		if started.Kind != "SWEEP" || started.Entity != "CUSTOMER" || started.Actor != "operator" ||
			started.Workers != 2 || started.MaxRowsPerSecond != nil {
			t.Errorf("got %+v", started)
		}
		states := s.follow(started.ID)
		last := states[len(states)-1]
		if last.Status != "SUCCEEDED" || last.Total != 301 || last.Done != 301 || last.Migrated != 299 ||
			last.Quarantined != 1 ||
			last.FinishedAt == nil || last.Error != nil || last.EtaSeconds != nil || last.RowsPerSecond <= 0 {
			t.Errorf("it ended as %+v", last)
		}
		for i := 1; i < len(states); i++ {
			if states[i].Done < states[i-1].Done {
				t.Errorf("progress goes back: %+v", states)
			}
		}
		if after := s.follow(started.ID); len(after) != 1 || after[0].Status != "SUCCEEDED" {
			t.Errorf("one that follows late sees %+v", after)
		}
		s.want(
			`{ migration(entity: CUSTOMER, exact: true) { progress { total migrated remaining stale quarantined byOrigin { origin count } } quarantine { nodes { key attempts } } } }`, nil,
			`{"migration":{"progress":{"total":301,"migrated":300,"remaining":0,"stale":0,"quarantined":1,"byOrigin":[{"origin":"READ","count":1},{"origin":"SWEEP","count":299}]},
			"quarantine":{"nodes":[{"key":"BAD","attempts":1}]}}}`)
		for _, mutation := range []string{"pauseRun", "resumeRun", "cancelRun"} {
			s.refused(`mutation($id: ID!) { m: `+mutation+`(id: $id) { run { id } } }`,
				vars{"id": started.ID}, "CONFLICT", "")
		}
		// There is nothing left to do for the next.
		second := s.follow(s.sweep(vars{"entity": "CUSTOMER"}).ID)
		if last := second[len(second)-1]; last.Status != "SUCCEEDED" || last.Migrated != 0 || last.Done != 301 ||
			last.Quarantined != 1 {
			t.Errorf("the second sweep ended as %+v", last)
		}
		s.want(
			`{ migration(entity: CUSTOMER) { runs { migrated } none: runs(kind: VERIFICATION) { id } last: runs(kind: SWEEP, first: 1) { migrated } } }`, nil,
			`{"migration":{"runs":[{"migrated":0},{"migrated":299}],"none":[],"last":[{"migrated":0}]}}`)
		// Copies of an older mapping version are made anew on request; there are none.
		third := s.follow(s.sweep(vars{"entity": "CUSTOMER", "olderThanMappingVersion": 1}).ID)
		if last := third[len(third)-1]; last.Status != "SUCCEEDED" || last.Migrated != 0 {
			t.Errorf("the third sweep ended as %+v", last)
		}
	})
}

// A run is paused, goes on and is cancelled; there is one at a time.
func TestRunControl(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *server) {
		s.customers(sampleCustomers(50)...)
		first := s.sweep(vars{"entity": "CUSTOMER", "maxRowsPerSecond": 1000}) // nobody works yet
		if first.Status != "RUNNING" || *first.MaxRowsPerSecond != 1000 || first.Total != 50 || first.Done != 0 {
			t.Errorf("it started as %+v", first)
		}
		s.refused(`mutation { startSweep(input: {entity: CUSTOMER}) { run { id } } }`, nil, "RUN_ALREADY_ACTIVE", "")
		for range 2 {
			if r := s.changeRun("pauseRun", first.ID); r.Status != "PAUSED" || r.EtaSeconds != nil ||
				r.FinishedAt != nil {
				t.Errorf("it was paused as %+v", r)
			}
		}
		s.refused(`mutation { startSweep(input: {entity: CUSTOMER}) { run { id } } }`, nil, "RUN_ALREADY_ACTIVE", "")
		s.work()
		if r := s.changeRun("resumeRun", first.ID); r.Status != "RUNNING" && r.Status != "SUCCEEDED" {
			t.Errorf("it was resumed as %+v", r)
		}
		states := s.follow(first.ID)
		if last := states[len(states)-1]; last.Status != "SUCCEEDED" || last.Migrated != 50 {
			t.Errorf("it went on as %+v", states)
		}
		// What was migrated stays when a run is cancelled.
		slow := s.sweep(vars{"entity": "CUSTOMER", "maxRowsPerSecond": 1})
		if r := s.changeRun("cancelRun", slow.ID); r.Status != "CANCELLED" || r.FinishedAt == nil {
			t.Errorf("it was cancelled as %+v", r)
		}
		if states := s.follow(slow.ID); len(states) != 1 || states[0].Status != "CANCELLED" {
			t.Errorf("got %+v", states)
		}
		s.fails(`mutation($id: ID!) { resumeRun(id: $id) { run { id } } }`, vars{"id": slow.ID}, "CONFLICT", "")
		s.want(`{ migration(entity: CUSTOMER, exact: true) { progress { migrated } } }`, nil,
			`{"migration":{"progress":{"migrated":50}}}`)
		if again := s.follow(s.sweep(vars{"entity": "CUSTOMER"}).ID); again[len(again)-1].Status != "SUCCEEDED" {
			t.Errorf("got %+v", again)
		}
	})
}

// A sweep that makes no sense is not started.
func TestSweepIsRefused(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *server) {
		const start = `mutation($input: StartSweepInput!) { startSweep(input: $input) { run { id } } }`
		for field, input := range map[string]vars{
			"workers":                 {"workers": 0},
			"maxRowsPerSecond":        {"maxRowsPerSecond": 0},
			"olderThanMappingVersion": {"olderThanMappingVersion": 2},
		} {
			input["entity"] = "ORDER"
			s.refused(start, vars{"input": input}, "BAD_USER_INPUT", field)
		}
		s.refused(start, vars{"input": vars{"entity": "ORDER", "workers": 65}}, "BAD_USER_INPUT", "workers")
		s.refused(start, vars{"input": vars{"entity": "PRODUCT"}}, "BAD_USER_INPUT", "entity")
		s.phase(repo.Expand)
		s.refused(start, vars{"input": vars{"entity": "ORDER"}}, "WRONG_PHASE", "")
		sub := s.subscribe(`subscription($id: ID!) { runProgress(id: $id) { id } }`, vars{"id": globalID("Run", "99")})
		if a, _ := sub.next(); len(a.Errors) != 1 || a.Errors[0].code() != "BAD_USER_INPUT" ||
			a.Errors[0].field() != "id" {
			t.Errorf("got %+v", a)
		}
	})
}

// Each kind of run has its phases, and there is one of a kind at a time. Other kinds and other entities do not matter.
func TestKindsOfRuns(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		s := newServer(t, url, repo.Expand)
		s.customers(sampleCustomers(5)...)
		kinds := []struct {
			mutation, input, kind string
			phases                []repo.Phase
		}{
			{"startSweep", "StartSweepInput", "SWEEP", []repo.Phase{repo.Migrate}},
			{"startRehearsal", "StartRunInput", "REHEARSAL", []repo.Phase{repo.Expand, repo.Migrate}},
			{"startVerification", "StartVerificationInput", "VERIFICATION", []repo.Phase{repo.Migrate, repo.Cutover}},
			{"startRestore", "StartRunInput", "RESTORE", []repo.Phase{repo.Contract}},
		}
		var doomed run
		for _, phase := range []repo.Phase{repo.Expand, repo.Migrate, repo.Cutover, repo.Contract} {
			switch phase {
			case repo.Expand:
			case repo.Cutover: // nobody works yet, so use has to migrate all
				raw := repotest.Raw(t, url)
				repotest.Until(t, "use does not migrate all", func() bool { // a store that meets others gives up
					s.get(`{ customersV2 { nodes { name } } }`, nil)
					return repotest.One[int64](t, raw, "SELECT count(*) FROM customers_v2") == 5
				})
				s.phase(phase)
			case repo.Contract:
				doomed = s.start("startVerification", vars{"entity": "CUSTOMER"})
				s.phase(repo.Migrate)
				s.phase(repo.Cutover)
				s.setPhase("ORDER", phase)
				s.setPhase("CUSTOMER", phase)
			default:
				s.phase(phase)
			}
			var active []run
			for _, k := range kinds {
				start := `mutation($input: ` + k.input + `!) { m: ` + k.mutation + `(input: $input) { run { id } } }`
				if !slices.Contains(k.phases, phase) {
					s.refused(start, vars{"input": vars{"entity": "CUSTOMER"}}, "WRONG_PHASE", "")
					continue
				}
				for field, wrong := range map[string]int{"workers": 65, "maxRowsPerSecond": 0} {
					s.refused(start, vars{"input": vars{"entity": "CUSTOMER", field: wrong}}, "BAD_USER_INPUT", field)
				}
				r := s.start(k.mutation, vars{"entity": "CUSTOMER", "workers": 3, "maxRowsPerSecond": 1000})
				if r.Kind != k.kind || r.Status != "RUNNING" || r.Total != 5 || r.Done != 0 || r.Workers != 3 ||
					*r.MaxRowsPerSecond != 1000 || r.Actor != "operator" {
					t.Errorf("in %s it started as %+v", phase, r)
				}
				s.refused(start, vars{"input": vars{"entity": "CUSTOMER"}}, "RUN_ALREADY_ACTIVE", "")
				s.changeRun("pauseRun", r.ID)
				s.refused(start, vars{"input": vars{"entity": "CUSTOMER"}}, "RUN_ALREADY_ACTIVE", "")
				if other := s.changeRun("cancelRun",
					s.start(k.mutation, vars{"entity": "ORDER"}).ID); other.Status != "CANCELLED" ||
					other.FinishedAt == nil {
					t.Errorf("in %s that of orders was cancelled as %+v", phase, other)
				}
				active = append(active, r)
			}
			for _, r := range active {
				if r := s.changeRun("cancelRun", r.ID); r.Status != "CANCELLED" || r.FinishedAt == nil {
					t.Errorf("in %s it was cancelled as %+v", phase, r)
				}
				s.refused(`mutation($id: ID!) { cancelRun(id: $id) { run { id } } }`, vars{"id": r.ID}, "CONFLICT", "")
			}
		}
		s.want(
			`{ migration(entity: CUSTOMER) { runs { kind } s: runs(kind: SWEEP) { kind } r: runs(kind: REHEARSAL) { kind status } v: runs(kind: VERIFICATION, first: 1) { kind } x: runs(kind: RESTORE) { kind status } } }`, nil,
			`{"migration":{"runs":[{"kind":"RESTORE"},{"kind":"VERIFICATION"},{"kind":"VERIFICATION"},{"kind":"VERIFICATION"},{"kind":"REHEARSAL"},{"kind":"SWEEP"},{"kind":"REHEARSAL"}],"s":[{"kind":"SWEEP"}],
			"r":[{"kind":"REHEARSAL","status":"CANCELLED"},{"kind":"REHEARSAL","status":"CANCELLED"}],"v":[{"kind":"VERIFICATION"}],"x":[{"kind":"RESTORE","status":"CANCELLED"}]}}`)
		// A restore that was cancelled is void: what V2 alone has been told since, V1 need not hold.
		s.get(
			`mutation { updateCustomerV2(input: {customerId: "ALFKI", addresses: [{locality: "a city beyond V1's column"}]}) { customer { name } } }`, nil)
		s.closed("CUSTOMER", repo.Cutover, true, "V1_NOT_RESTORED 1")
		// A phase change makes a verification worthless.
		s.work()
		states := s.follow(doomed.ID)
		if last := states[len(states)-1]; last.Status != "FAILED" || last.Error == nil ||
			!strings.Contains(*last.Error, "phase") {
			t.Errorf("a verification that a phase change overtook ended as %+v", last)
		}
	})
}
