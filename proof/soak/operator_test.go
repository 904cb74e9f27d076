package soak

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/alwaysup/coexist/repo"
)

// operator walks the entities forth and back through all phases, with and without force, and starts, pauses and cancels
// runs.
func (r *round) operator(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		entity := "NOTE"
		if random.IntN(3) == 0 {
			entity = "COMMENT"
		}
		switch n := random.IntN(20); {
		case n < 12:
			r.step(ctx, random, entity)
		case n < 14:
			r.run(random, entity, []repo.RunKind{
				repo.Sweep, repo.Verification, repo.Rehearsal,
				repo.Restore,
			}[random.IntN(4)])
		case n < 17:
			r.meddle(random, entity)
		case n < 18:
			r.captureOff(random, entity)
		}
		time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
	}
}

func (r *round) ask(random *rand.Rand, c command) reply {
	return r.fleet.do(random.IntN(len(r.fleet.places)), c)
}

// phaseOf asks until somebody answers.
func (r *round) phaseOf(random *rand.Rand, entity string) repo.Phase {
	for range 600 {
		if reply := r.ask(random, command{Verb: lookAtPhase, Entity: entity}); reply.Code == "" {
			return reply.Phase
		}
		time.Sleep(50 * time.Millisecond)
	}
	r.anomaly("nobody has answered for 30 seconds in which phase %s is", entity)
	return repo.Expand
}

var walk = []repo.Phase{repo.Expand, repo.Migrate, repo.Cutover, repo.Contract}

// step takes an entity one phase on in its direction, doing what its gate asks for or, half of the time, by force.
func (r *round) step(ctx context.Context, random *rand.Rand, entity string) {
	at := slices.Index(walk, r.phaseOf(random, entity))
	if at == 0 {
		r.back[entity] = false
	} else if at == len(walk)-1 {
		r.back[entity] = true
	} else if random.IntN(6) == 0 {
		r.back[entity] = !r.back[entity]
	}
	to := walk[min(at+1, len(walk)-1)]
	if r.back[entity] {
		to = walk[max(at-1, 0)]
	}
	r.change(ctx, random, entity, to, random.IntN(2) == 0)
}

func (r *round) change(ctx context.Context, random *rand.Rand, entity string, to repo.Phase, force bool) {
	for range 5 {
		call := r.now()
		reply := r.ask(random, command{Verb: setPhase, Entity: entity, To: to, Force: force})
		out := output{code: reply.Code}
		switch reply.Code {
		case "":
			r.count(&r.stats.phases)
			if to == repo.Contract {
				r.count(&r.stats.contracts)
			}
		case unknown, unavailable:
			out.code = unknown // it may have failed after it had changed the phase
		case gateClosed:
			if !r.open(ctx, random, entity, reply.Blockers) {
				return
			}
			// What V1's owner has made of V1 only a force passes.
			force = force || slices.ContainsFunc(reply.Blockers,
				func(b repo.Blocker) bool { return b.Code == repo.V1Logic })
			continue
		case internal, refused:
			r.anomaly("a phase change failed with an error that it must not fail with: %s to %s: %s",
				entity, to, reply.Detail)
			return
		default:
			return
		}
		r.addToAll(event{
			who: "operator", in: input{entity: entity, verb: setPhase, to: to}, out: out,
			call: call, ret: r.now(),
		})
		return
	}
}

// open does what the blockers of a gate ask for. It returns false where that takes somebody else.
func (r *round) open(ctx context.Context, random *rand.Rand, entity string, blockers []repo.Blocker) bool {
	for _, b := range blockers {
		switch b.Code {
		case repo.NotRehearsed:
			r.runToEnd(ctx, random, entity, repo.Rehearsal)
		case repo.Unmigrated, repo.Stale:
			r.runToEnd(ctx, random, entity, repo.Sweep)
		case repo.Quarantined:
			if b.ExampleKey != nil {
				r.write(random, command{
					Verb: updateV1, Entity: entity, Keys: []string{*b.ExampleKey},
					Set: set{kept, 1, kept, kept},
				})
			}
		case repo.NotVerified, repo.BypassWrites, repo.CaptureOff:
			r.runToEnd(ctx, random, entity, repo.Verification)
		case repo.Drift:
			r.anomaly("a verification of %s has found drift: %s (%s)", entity, b.Message, text(b.ExampleKey))
			return false
		case repo.V1NotRestored:
			if !r.restore(ctx, random, entity) {
				return false
			}
		case repo.ReferenceOrder: // the other one goes first
			other := map[string]string{"NOTE": "COMMENT", "COMMENT": "NOTE"}[entity]
			r.back[other] = r.back[entity]
			r.step(ctx, random, other)
		}
	}
	return ctx.Err() == nil
}

// write does a client's write in the operator's name.
func (r *round) write(random *rand.Rand, c command) {
	call := r.now()
	r.record("operator", c, r.ask(random, c), call, r.now(), nil)
}

// restore runs a restore and changes what V1 cannot hold.
func (r *round) restore(ctx context.Context, random *rand.Rand, entity string) bool {
	run, ok := r.runToEnd(ctx, random, entity, repo.Restore)
	if !ok {
		return false
	}
	if run.Faults == 0 {
		return true
	}
	for _, f := range r.ask(random, command{Verb: lookAtFaults, Run: run.ID}).Findings {
		switch {
		case f.Kind == repo.Different && entity == "NOTE":
			r.write(random, command{
				Verb: updateV2, Entity: entity, Keys: []string{f.Key},
				Set: set{r.number(), kept, kept, kept},
			})
		case f.Kind == repo.Different: // what it refers to is not in V1
			r.write(random, command{
				Verb: updateV2, Entity: entity, Keys: []string{f.Key},
				Set: set{kept, 0, kept, kept},
			})
		case f.Kind == repo.Missing:
			r.anomaly("a restore has found a row of V1 with neither copy nor tombstone: %s %s (%s)\n%s", entity, f.Key,
				text(f.Reason), r.historyOf(entity, f.Key))
		}
	}
	_, ok = r.runToEnd(ctx, random, entity, repo.Restore)
	return ok
}

// historyOf is what was asked of a key in this round.
func (r *round) historyOf(entity, key string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return lines(slices.Clone(r.events[entity+key]))
}

// run starts a run. It returns 0 where there is none.
func (r *round) run(random *rand.Rand, entity string, kind repo.RunKind) int64 {
	call := r.now()
	reply := r.ask(random, command{Verb: startRun, Entity: entity, Kind: kind})
	if kind == repo.Restore && (reply.Code == "" || reply.Code == unknown || reply.Code == unavailable) {
		out := output{code: reply.Code}
		if reply.Code == unavailable {
			out.code = unknown // it may have failed after it had started the run
		}
		r.addToAll(event{
			who: "operator", in: input{entity: entity, verb: restoring}, out: out,
			call: call, ret: r.now(),
		})
	}
	switch reply.Code {
	case "":
		r.count(&r.stats.runs)
		return reply.Runs[0].ID
	case internal:
		r.anomaly("a run cannot be started: %s of %s: %s", kind, entity, reply.Detail)
	}
	return 0
}

// runToEnd starts a run, or takes the one that is active, and waits for its end.
func (r *round) runToEnd(ctx context.Context, random *rand.Rand, entity string, kind repo.RunKind) (repo.Run, bool) {
	id := r.run(random, entity, kind)
	if id == 0 {
		for _, run := range r.ask(random, command{Verb: lookAtRuns, Entity: entity}).Runs {
			if run.Kind == kind && (run.Status == repo.Running || run.Status == repo.Paused) {
				id = run.ID
			}
		}
	}
	if id == 0 {
		return repo.Run{}, false
	}
	for ctx.Err() == nil {
		reply := r.ask(random, command{Verb: lookAtRun, Run: id})
		if reply.Code == "" {
			run := reply.Runs[0]
			switch run.Status {
			case repo.Running:
			case repo.Paused:
				r.ask(random, command{Verb: resumeRun, Run: id})
			default:
				return run, run.Status == repo.Succeeded
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	return repo.Run{}, false
}

// meddle pauses, resumes or cancels whatever run is active.
func (r *round) meddle(random *rand.Rand, entity string) {
	for _, run := range r.ask(random, command{Verb: lookAtRuns, Entity: entity}).Runs {
		if run.Status != repo.Running && run.Status != repo.Paused {
			continue
		}
		do := []verb{pauseRun, resumeRun, resumeRun, cancelRun}[random.IntN(4)]
		call := r.now()
		reply := r.ask(random, command{Verb: do, Run: run.ID})
		if do == cancelRun && run.Kind == repo.Restore && reply.Code != runEnded && reply.Code != conflict {
			out := output{code: reply.Code}
			if reply.Code != "" {
				out.code = unknown
			}
			r.addToAll(event{
				who: "operator", in: input{entity: entity, verb: restoringVoid}, out: out,
				call: call, ret: r.now(),
			})
		}
		if reply.Code == internal {
			r.anomaly("a run cannot be changed: %s %s: %s", do, run.Kind, reply.Detail)
		}
	}
}

// captureOff switches capture off and on again, while no old program writes: what it writes then is nobody's fault.
func (r *round) captureOff(random *rand.Rand, entity string) {
	r.oldPrograms.Lock()
	defer r.oldPrograms.Unlock()
	r.ask(random, command{Verb: setCapture, Entity: entity})
	time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
	call := r.now()
	for range 1200 { // a minute: a failover takes a while
		reply := r.ask(random, command{Verb: setCapture, Entity: entity, On: true})
		if reply.Code == "" {
			r.addToAll(event{who: "operator", in: input{entity: entity, verb: captureGap}, call: call, ret: r.now()})
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	r.anomaly("capture of %s cannot be switched on again", entity)
}
