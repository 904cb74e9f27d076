package repo

import "context"

// A run with one worker prepares its next batch while the last one is being stored. What it has prepared is then a
// little older, which is no matter: a storer checks the fence, the marks and the copies in its own transaction.

// ahead is a batch that is being prepared.
type ahead struct {
	position string // behind which it begins
	done     chan struct{}
	stop     context.CancelFunc
	b        *batch
	err      error
}

// readsAhead reports whether the batch behind b is prepared while b is being stored. A repair and a restore would see
// rows that b is about to change, several workers keep the database busy by themselves, and a run with an upper rate
// has to wait anyway.
func (c chunk) readsAhead(run Run, b *batch) bool {
	return !b.end && b.rows > 0 && c.Workers == 1 && c.rate() == 0 && !run.repair &&
		(run.Kind == Sweep || run.Kind == Verification || run.Kind == Rehearsal)
}

// readAhead prepares the batch behind a key.
func (e runs) readAhead(ctx context.Context, run Run, c chunk, position string, size int) *ahead {
	ctx, stop := context.WithCancel(ctx)
	a := &ahead{position: position, done: make(chan struct{}), stop: stop}
	c.Position = &a.position
	go func() {
		defer close(a.done)
		a.b, a.err = e.converter.prepare(ctx, run, c, size)
	}()
	return a
}

// drop ends the preparation of a batch that nobody needs any more.
func (a *ahead) drop() {
	if a != nil {
		a.stop()
		<-a.done
	}
}

// next is the batch of a chunk: the one that was read ahead, if it is that one, or else a new one.
func (e runs) next(ctx context.Context, run Run, c chunk, size int, a *ahead) (*batch, error) {
	if a != nil && c.Position != nil && *c.Position == a.position {
		<-a.done
		a.stop()
		if a.err == nil {
			return a.b, nil
		}
	}
	a.drop()
	return e.converter.prepare(ctx, run, c, size)
}
