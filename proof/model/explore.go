package main

import (
	"fmt"
	"hash/maphash"
)

// model is the protocol, with or without one of its guards, on one kind of database.
type model struct {
	off       guard // the guard that is taken out
	sqlite    bool
	refs      bool // the second key is an order of the first
	refuses   bool // V2's tables refuse refusedValue
	owner     uint8
	out       []successor // the last world's, whose memory is used again
	violation string
	ran       string // the step that ran last
}

func (m *model) has(g guard) bool { return m.off != g }

// successor is a world after a step of one actor.
type successor struct {
	world world
	actor int
	ran   string
	crash bool
	lost  bool // the answer to COMMIT
}

const tries = 2 // that a write begins again

// successors are the worlds after one step of any actor: a statement, or, where crashes are wanted, the loss of its
// transaction (kill -9, a lost connection, a lock timeout) and the loss of the answer to its COMMIT.
func (m *model) successors(w *world, crashes bool) []successor {
	out := m.out[:0]
	defer func() { m.out = out }()
	for i := range w.actors {
		if w.actors[i].done == 1 {
			continue
		}
		s := successor{world: *w, actor: i}
		verdict := m.step(&s.world, i)
		if verdict != wait {
			lost := verdict == committed && crashes && m.hearsNothing(&s, w)
			if !lost && (verdict == done || verdict == committed) {
				s.world.end(i)
			}
			s.ran = m.ran
			out = append(out, s)
			if lost {
				heard := successor{world: *w, actor: i}
				m.step(&heard.world, i)
				heard.world.end(i)
				out = append(out, heard)
			}
		}
		if m.violation != "" {
			return out
		}
		if crashes && w.actors[i].tx.open == 1 {
			crashed := successor{world: *w, actor: i, crash: true}
			crashed.world.end(i)
			out = append(out, crashed)
		}
	}
	return out
}

// step runs one actor's next statement.
func (m *model) step(w *world, i int) move {
	a := &w.actors[i]
	program := programs[a.queue[0].kind]
	for {
		if int(a.pc) == len(program) {
			return done
		}
		m.ran = program[a.pc].name
		verdict := program[a.pc].do(m, w, i)
		switch verdict {
		case next, skip:
			a.pc++
		case retry:
			if a.try++; a.try > tries {
				return done
			}
			a.again()
		}
		if verdict == next && int(a.pc) == len(program) {
			return done
		}
		if verdict != skip {
			return verdict
		}
	}
}

// again rolls back, to begin again.
func (a *actor) again() {
	a.pc = a.base
	a.tx = transaction{}
	a.saw = [keys]sight{}
	a.want = want{}
	a.todo, a.won, a.failed, a.vanished, a.locked = 0, 0, 0, 0, 0
}

// hearsNothing makes of a successor one in which the answer to COMMIT was lost, where that makes a difference: a client
// asks again for what is bound to a version, and the engine, without its guard, for everything.
func (m *model) hearsNothing(s *successor, before *world) bool {
	a := &s.world.actors[s.actor]
	kind := a.queue[0].kind
	if a.try >= tries || kind != opUpdateExpected && (kind != opToggleV1 || m.has(commitIsSentOnce)) {
		return false
	}
	s.lost = true
	a.try = before.actors[s.actor].try + 1
	a.again()
	return true
}

// end rolls back, and takes the actor's next operation.
func (w *world) end(i int) {
	a := &w.actors[i]
	n := actor{mapping: a.mapping, guess: a.guess}
	copy(n.queue[:], a.queue[1:])
	if n.queue[0].kind == opNone {
		n = actor{done: 1}
	}
	*a = n
}

// seed is of this process; a scenario has so few worlds that two with one hash of 64 bits will not be met.
var seed = maphash.MakeSeed()

// node is how a world was reached first.
type node struct {
	parent int32
	choice uint8
}

// found is what an exploration has found.
type found struct {
	worlds    int
	violation string
	trace     []string
}

// explore visits every world that can be reached in fewer steps than bound, the nearest first, until an invariant is
// violated.
func (m *model) explore(start world, bound func() int) found {
	seen := map[uint64]struct{}{maphash.Comparable(seed, start): {}}
	nodes := []node{{-1, 0}}
	type reached struct {
		world world
		node  int32
	}
	now := []reached{{start, 0}}
	for depth := 0; len(now) > 0 && depth < bound(); depth++ {
		var later []reached
		for n := range now {
			w := &now[n].world
			out := m.successors(w, true)
			if m.violation != "" {
				return m.report(start, nodes, now[n].node, len(out)-1)
			}
			m.quiet(w, out)
			if m.violation != "" {
				return m.report(start, nodes, now[n].node, -1)
			}
			for c := range out {
				h := maphash.Comparable(seed, out[c].world)
				if _, known := seen[h]; known {
					continue
				}
				seen[h] = struct{}{}
				nodes = append(nodes, node{now[n].node, uint8(c)})
				later = append(later, reached{out[c].world, int32(len(nodes) - 1)})
			}
		}
		now = later
	}
	return found{worlds: len(nodes)}
}

// quiet checks a world in which everybody has ended, or nobody can go on.
func (m *model) quiet(w *world, out []successor) {
	alive, stuck, other := false, true, false
	for i := range w.actors {
		if w.actors[i].done == 0 {
			alive = true
			other = other || !w.actors[i].ours()
		}
	}
	for i := range out {
		stuck = stuck && out[i].crash
	}
	switch {
	case !alive:
		m.settle(*w)
	case stuck && other:
		m.violate("No other program is in a dead-lock with us: nobody can go on")
	}
}

// report tells how a violation was reached.
func (m *model) report(start world, nodes []node, at int32, last int) found {
	f := found{worlds: len(nodes), violation: m.violation}
	choices := []int{}
	if last >= 0 {
		choices = append(choices, last)
	}
	for ; at > 0; at = nodes[at].parent {
		choices = append(choices, int(nodes[at].choice))
	}
	w := start
	for n := len(choices) - 1; n >= 0; n-- {
		m.violation = ""
		out := m.successors(&w, true)
		s := out[choices[n]]
		f.trace = append(f.trace, describeStep(&w, &s))
		w = s.world
	}
	m.violation = ""
	return f
}

func describeStep(before *world, s *successor) string {
	a := &before.actors[s.actor]
	name := s.ran
	switch {
	case s.crash:
		name = "its transaction is lost"
	case s.lost:
		name += ", whose answer is lost"
	}
	return fmt.Sprintf("%d %s: %s", s.actor, a.queue[0], name)
}
