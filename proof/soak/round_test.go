package soak

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// database is what is soaked.
type database struct {
	name      string
	url       string
	way       string // the URL by which the servers reach it
	pooled    bool   // through a proxy that pools transactions
	postgres  bool
	processes int
	// replicated: the primary is killed in each round, and clients go on meanwhile.
	replicated bool
	kill       func() // nil for one that cannot be killed
	restart    func()
}

// round is a few seconds of work by everybody, then quiet, then the checks.
type round struct {
	database    database
	fleet       *fleet
	raw         *sql.DB
	began       time.Time
	oldPrograms sync.RWMutex // held for writing while no old program may write
	keyLocks    map[string]*sync.Mutex
	back        map[string]bool // the operator's direction

	seed uint64 // of what is played now

	mu        sync.Mutex
	late      bool            // V1's foreign keys are checked at COMMIT
	excused   map[string]bool // notes that comments may refer to although they are not there
	numbers   int
	stats     figures
	events    map[string][]event // by entity and key
	initial   map[string]state
	anomalies []string
	chaotic   bool  // something was killed or stopped in this round
	killedAt  int64 // when the database was killed, until a client's write that came later has succeeded; else 0
}

func newRound(d database, f *fleet, raw *sql.DB) *round {
	r := &round{
		database: d, fleet: f, raw: raw, began: time.Now(), keyLocks: map[string]*sync.Mutex{}, back: map[string]bool{},
		excused: map[string]bool{},
		events:  map[string][]event{}, initial: map[string]state{},
	}
	for _, entity := range []string{"NOTE", "COMMENT"} {
		for _, key := range keysOf(entity) {
			r.keyLocks[entity+key] = new(sync.Mutex)
			r.initial[entity+key] = state{phase: repo.Expand}
		}
	}
	return r
}

func (r *round) now() int64 { return int64(time.Since(r.began)) }

func (r *round) count(n *int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*n++
}

// number is one that nobody has used in this round.
func (r *round) number() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.numbers++
	return r.numbers
}

// quietChaos reports whether nothing was killed or stopped in this round, so that nobody has an excuse to wait.
func (r *round) quietChaos() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.chaotic
}

func (r *round) add(e event) {
	if e.out.code == unknown {
		e.ret = never
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	name := e.in.entity + e.in.key
	r.events[name] = append(r.events[name], e)
	if r.killedAt > 0 && e.call > r.killedAt && e.out.code == "" && !e.in.verb.reads() &&
		strings.HasPrefix(e.who, "client") {
		r.stats.longestOutage = max(r.stats.longestOutage, time.Duration(e.ret-r.killedAt))
		r.killedAt = 0
	}
}

// killed notes that the database was killed now.
func (r *round) killed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.killedAt = r.now()
}

// addToAll adds an event that concerns every key of an entity.
func (r *round) addToAll(e event) {
	for _, key := range keysOf(e.in.entity) {
		e.in.key = key
		r.add(e)
	}
}

const checkPatience = 20 * time.Second

// play plays a round.
func (r *round) play(t *testing.T, seed uint64, length time.Duration) {
	hung := time.AfterFunc(5*time.Minute, func() {
		debug.SetTraceback("all")
		panic("a round has not ended within five minutes")
	})
	defer hung.Stop()
	r.numbers, r.events, r.anomalies, r.seed = 0, map[string][]event{}, nil, seed
	random := func(part uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, part)) }
	began := r.now()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	chance := random(1)
	r.chaotic = chance.IntN(10) < 7 || r.database.replicated
	undo := r.character(random(5))
	var workers sync.WaitGroup
	for place := range r.fleet.places {
		for i := range 3 {
			workers.Go(func() {
				r.client(ctx, place, fmt.Sprintf("client %d.%d", place, i),
					random(uint64(100+10*place+i)))
			})
		}
	}
	for i := range 2 {
		workers.Go(func() { r.oldProgram(ctx, fmt.Sprintf("old program %d", i), random(uint64(50+i))) })
	}
	workers.Go(func() { r.operator(ctx, random(2)) })
	if r.chaotic {
		workers.Go(func() { r.chaos(ctx, random(3)) })
	}
	workers.Wait()
	if took := r.now() - began; took > int64(length+25*time.Second) && r.quietChaos() {
		r.anomaly("a round of %v has ended after %v, although nothing was killed or stopped", length,
			time.Duration(took))
	}
	if err := r.fleet.faults(); err != nil {
		r.anomaly("%v", err)
	}
	r.settle(t, random(4))
	r.exec(undo)
	r.check(t)
	r.stats.rounds++
	r.stats.anomalies = append(r.stats.anomalies, r.anomalies...)
}

// character gives V1 a character, and returns what takes it back.
func (r *round) character(random *rand.Rand) (undo []string) {
	var fit []repotest.Character
	for _, c := range repotest.Characters {
		if _, there := c.Of(r.database.url); there && c.Tame {
			fit = append(fit, c)
		}
	}
	r.late = false
	n := random.IntN(len(fit) + 1)
	name := "nothing of its owner's"
	if n < len(fit) {
		made, _ := fit[n].Of(r.database.url)
		name, undo = fit[n].Name, made.Undo
		r.late = name == repotest.LateKeys
		r.exec(made.Make)
	}
	if r.stats.characters == nil {
		r.stats.characters = map[string]int{}
	}
	r.stats.characters[name]++
	return undo
}

// exec runs statements of V1's owner, when all is quiet.
func (r *round) exec(statements []string) {
	for _, s := range statements {
		if _, err := r.raw.Exec(s); err != nil {
			r.anomaly("V1's owner cannot do as he likes: %s: %v", s, err)
		}
	}
}

// settle lets what is in flight end, repairs rows that cannot be converted, checks the invariants and reads every key:
// that is the end of this round's histories and the start of the next.
func (r *round) settle(t *testing.T, random *rand.Rand) {
	r.quiet(t, random)
	for _, entity := range []string{"NOTE", "COMMENT"} {
		r.repair(random, entity)
	}
	r.invariants(t, random)
	for _, entity := range []string{"NOTE", "COMMENT"} {
		call := r.now()
		phase := r.phaseOf(random, entity)
		r.addToAll(event{
			who: "the end", in: input{entity: entity, verb: lookAtPhase, to: phase},
			call: call, ret: r.now(),
		})
		var isRestoring bool
		if err := r.raw.QueryRow("SELECT restoring FROM coexist_entity WHERE name = $1",
			entity).Scan(&isRestoring); err != nil {
			r.anomaly("%v", err)
		}
		for _, key := range keysOf(entity) {
			r.write(random, command{Verb: getV1, Entity: entity, Keys: []string{key}, Set: keepAll})
		}
		c := command{Verb: getV2, Entity: entity, Keys: keysOf(entity), Set: keepAll}
		call = r.now()
		reply := r.ask(random, c)
		r.record("the end", c, reply, call, r.now(), nil)
		if len(reply.Answers) != len(c.Keys) {
			r.anomaly("nobody answers when all is quiet: %s %s", reply.Code, reply.Detail)
			continue
		}
		for _, a := range reply.Answers {
			s := state{phase: phase, restoring: isRestoring, version: r.floor(entity, a.Key), gap: true}
			if a.Code == "" {
				v, ok := parse(entity, a.Key, a.Value)
				if !ok {
					r.anomaly("%s %s is torn when all is quiet: %s", entity, a.Key, a.Value)
				}
				s.exists, s.value, s.refined, s.version, s.exact = true, v, a.Refined, a.Version, true
			} else if a.Code != notFound {
				r.anomaly("%s %s cannot be read when all is quiet: %s", entity, a.Key, a.Code)
			}
			defer func() { r.initial[entity+a.Key+"/next"] = s }()
		}
	}
}

// floor is what the version of a key has reached as far as this round's history shows: a key that is created again must
// start above it.
func (r *round) floor(entity, key string) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	floor := r.initial[entity+key].version
	for _, e := range r.events[entity+key] {
		if e.out.code == "" {
			floor = max(floor, e.out.version)
		}
	}
	return floor
}

// repair changes the rows that cannot be converted.
func (r *round) repair(random *rand.Rand, entity string) {
	c := command{Verb: getV2, Entity: entity, Keys: keysOf(entity), Set: keepAll}
	for range 20 {
		call := r.now()
		reply := r.ask(random, c)
		r.record("the end", c, reply, call, r.now(), nil)
		broken := reply.Code != ""
		for _, a := range reply.Answers {
			if a.Code == conversionFailed {
				broken = true
				r.write(random, command{
					Verb: updateV1, Entity: entity, Keys: []string{a.Key},
					Set: set{kept, 1, kept, kept},
				})
			}
		}
		if !broken {
			return
		}
	}
	r.anomaly("rows of %s cannot be repaired through V1", entity)
}

// check holds each key's history against the model.
func (r *round) check(t *testing.T) {
	for _, entity := range []string{"NOTE", "COMMENT"} {
		for _, key := range keysOf(entity) {
			name := entity + key
			events, initial := r.events[name], r.initial[name]
			began := time.Now()
			result := check(initial, events, checkPatience)
			r.stats.longestCheck = max(r.stats.longestCheck, time.Since(began))
			switch result {
			case porcupine.Ok:
				r.stats.histories++
			case porcupine.Unknown:
				r.stats.undecided++
				t.Logf("%s: the history of %s %s, of %d operations, is undecided after %v", r.database.name, entity,
					key, len(events), checkPatience)
			default:
				r.stats.histories++
				short := shorten(initial, events, 2*time.Second)
				r.anomaly("impossible: %s\nIn the history of %s %s, of %d operations.\n%s%s", short.answer(), entity,
					key, len(events), short, r.keep(entity, key, short))
			}
			if next, ok := r.initial[name+"/next"]; ok {
				r.initial[name] = next
			}
		}
	}
}

// lines shows operations in the order of their questions.
func lines(events []event) string {
	slices.SortStableFunc(events, func(a, b event) int { return cmp.Compare(a.call, b.call) })
	var b strings.Builder
	for _, e := range events {
		end := "        ..."
		if e.ret != never {
			end = fmt.Sprintf("%11.3f", float64(e.ret)/1e6)
		}
		fmt.Fprintf(&b, "  %11.3f - %s ms  %-13s %s\n", float64(e.call)/1e6, end, e.who, describe(e.in, e.out))
	}
	return b.String()
}
