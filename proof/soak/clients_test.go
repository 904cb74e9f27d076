package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// client asks a process for one random operation after another, until the round's work ends.
func (r *round) client(ctx context.Context, place int, name string, random *rand.Rand) {
	versions := map[string]int64{} // that it has seen last
	for ctx.Err() == nil {
		c := r.randomCommand(random, versions)
		call := r.now()
		reply := r.fleet.do(place, c)
		r.record(name, c, reply, call, r.now(), versions)
		if reply.Code == unavailable || reply.Code == unknown {
			time.Sleep(10 * time.Millisecond) // do not ask a database that is down again and again
		}
		if random.IntN(4) == 0 {
			time.Sleep(time.Duration(random.IntN(8)) * time.Millisecond)
		}
	}
}

func (r *round) randomCommand(random *rand.Rand, versions map[string]int64) command {
	c := command{Entity: "NOTE"}
	if random.IntN(7) == 0 {
		c.Entity = "COMMENT"
	}
	keys := keysOf(c.Entity)
	key := keys[random.IntN(len(keys))]
	c.Keys = []string{key}
	switch n := random.IntN(100); {
	case n < 10:
		c.Verb = getV1
	case n < 28:
		c.Verb = getV2
	case n < 33:
		c.Verb, c.Keys = getV2, keys
	case n < 35:
		c.Verb, c.Keys = getV1, keys
	case n < 37:
		c.Verb, c.Keys = listV1, keys
	case n < 42:
		c.Verb, c.Keys = listV2, keys
	case n < 58:
		c.Verb, c.Set = updateV1, r.someParts(random, c.Entity, false)
	case n < 76:
		c.Verb, c.Set = updateV2, r.someParts(random, c.Entity, true)
		if version := versions[c.Entity+key]; version > 0 && random.IntN(4) == 0 {
			c.Expected = &version
		}
	case n < 83:
		c.Verb, c.Set = createV1, r.allParts(random, c.Entity)
		c.Set.Extra = 0
	case n < 91:
		c.Verb, c.Set = createV2, r.allParts(random, c.Entity)
	default:
		c.Verb = remove
		if version := versions[c.Entity+key]; version > 0 && random.IntN(4) == 0 {
			c.Expected = &version
		}
	}
	if c.Entity == "NOTE" && (c.Verb == listV1 || c.Verb == listV2) {
		c.List = random.IntN(4)
	}
	return c
}

// someParts sets one part or a few, to numbers that nobody has used in this round.
func (r *round) someParts(random *rand.Rand, entity string, v2 bool) set {
	s := r.allParts(random, entity)
	for s.Title != kept && s.Prio != kept && s.Tags != kept || random.IntN(2) == 0 {
		switch random.IntN(4) {
		case 0:
			s.Title = kept
		case 1:
			s.Prio = kept
		case 2:
			s.Tags = kept
		case 3:
			s.Extra = kept
		}
		if s.Title == kept && s.Prio == kept && s.Tags == kept && (!v2 || s.Extra == kept) {
			s.Prio = r.prio(random, entity)
		}
	}
	if v2 && s.Title != kept && random.IntN(15) == 0 && entity == "NOTE" {
		s.Title += long
	}
	if !v2 {
		s.Extra = kept
		if entity == "NOTE" && random.IntN(20) == 0 {
			s.Prio = bad
		}
	}
	if entity == "COMMENT" {
		s.Tags = kept
	}
	return s
}

func (r *round) allParts(random *rand.Rand, entity string) set {
	s := set{Title: r.number(), Prio: r.prio(random, entity), Tags: r.number(), Extra: r.number()}
	if random.IntN(4) == 0 {
		s.Tags = 0
	}
	if random.IntN(4) == 0 {
		s.Extra = 0
	}
	if entity == "COMMENT" {
		s.Tags = 0
		s.Extra %= 30_000
	}
	return s
}

func (r *round) prio(random *rand.Rand, entity string) int {
	if entity == "COMMENT" {
		// mostly about no note, so that notes can be deleted
		return max(0, random.IntN(4*len(noteKeys))-3*len(noteKeys)+1)
	}
	return random.IntN(10)
}

// record adds what a process has answered to the histories of the keys that it is about.
func (r *round) record(who string, c command, reply reply, call, ret int64, versions map[string]int64) {
	r.count(&r.stats.operations)
	if reply.Code == internal {
		r.anomaly("an operation failed with an error that it must not fail with: %s %s: %s", c.Verb,
			c.Keys, reply.Detail)
	}
	in := input{entity: c.Entity, verb: c.Verb, set: c.Set}
	if c.Expected != nil {
		in.expected = *c.Expected
	}
	switch {
	case reply.Code == unavailable:
		r.count(&r.stats.unavailable)
		return
	case reply.Code == unknown && c.Verb.reads():
		return
	case reply.Code == unknown:
		r.count(&r.stats.unknown)
		in.key = c.Keys[0]
		r.add(event{who: who, in: in, out: output{code: unknown}, call: call, ret: never})
		return
	case c.Verb.reads() && reply.Code != "":
		r.anomaly("a read failed: %s %s: %s %s", c.Verb, c.Keys, reply.Code, reply.Detail)
		return
	case !c.Verb.reads():
		in.key = c.Keys[0]
		out := output{code: reply.Code}
		if len(reply.Answers) == 1 && reply.Code == "" {
			a := reply.Answers[0]
			out.value, out.version, out.refined = a.Value, a.Version, a.Refined
		}
		r.add(event{who: who, in: in, out: out, call: call, ret: ret})
		return
	}
	for _, a := range reply.Answers {
		if !slices.Contains(c.Keys, a.Key) {
			r.anomaly("a read answers for a key that nobody has: %q", a.Key)
		}
	}
	for _, key := range c.Keys {
		in.key = key
		out := output{code: notFound}
		if i := slices.IndexFunc(reply.Answers, func(a answer) bool { return a.Key == key }); i >= 0 {
			a := reply.Answers[i]
			out = output{code: a.Code, value: a.Value, version: a.Version, refined: a.Refined}
			if a.Version > 0 && versions != nil {
				versions[c.Entity+key] = a.Version
			}
		}
		r.add(event{who: who, in: in, out: out, call: call, ret: ret})
	}
}

// chaos kills and stops what it may.
func (r *round) chaos(ctx context.Context, random *rand.Rand) {
	pause := func(d time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	kind := random.IntN(10)
	if r.database.replicated {
		kind = 0
	} else if kind < 2 && r.database.kill == nil {
		kind = 3
	}
	pause(time.Duration(random.IntN(1500)) * time.Millisecond)
	switch {
	case kind < 2:
		r.database.kill()
		r.killed()
		pause(time.Duration(random.IntN(500)) * time.Millisecond)
		r.database.restart()
		r.count(&r.stats.databaseKills)
	case kind < 6:
		for range 1 + random.IntN(2) {
			if err := r.fleet.killAndRestart(random.IntN(len(r.fleet.places)),
				time.Duration(random.IntN(300))*time.Millisecond); err != nil {
				r.anomaly("%v", err)
			}
			r.count(&r.stats.kills)
			pause(time.Duration(random.IntN(1200)) * time.Millisecond)
		}
	case kind < 8:
		d := time.Duration(200+random.IntN(2000)) * time.Millisecond
		if random.IntN(5) == 0 {
			d = 6 * time.Second // longer than a lease
		}
		r.fleet.stopAndContinue(random.IntN(len(r.fleet.places)), d)
		r.count(&r.stats.stops)
	}
}

func (r *round) anomaly(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.anomalies = append(r.anomalies, fmt.Sprintf(format, args...))
}
