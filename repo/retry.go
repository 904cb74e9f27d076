package repo

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// There is one policy for whatever is tried again: after 2 to 4 ms, then after twice as long, up to half a second.

// patience is how long something is tried: so many times, until a point in time, or for ever where both are zero.
type patience struct {
	tries int
	until time.Time
}

// over reports whether a try that has failed was the last.
func (p patience) over(try int) bool {
	return try == p.tries || !p.until.IsZero() && time.Now().After(p.until)
}

// retry calls try until it succeeds, or fails with an error of which again is false, or patience or ctx ends. It
// returns try's last error.
func retry(ctx context.Context, p patience, again func(error) bool, try func() error) error {
	waits := newBackOff()
	for n := 1; ; n++ {
		err := try()
		if err == nil || !again(err) || p.over(n) || pause(ctx, waits.NextBackOff()) != nil {
			return err
		}
	}
}

// newBackOff are the times to wait after one failed try after another.
func newBackOff() *backoff.ExponentialBackOff {
	waits := &backoff.ExponentialBackOff{
		InitialInterval: 3 * time.Millisecond, Multiplier: 2, RandomizationFactor: 1.0 / 3,
		MaxInterval: 375 * time.Millisecond,
	}
	waits.Reset()
	return waits
}

// isBusy reports whether another transaction was in the way.
func isBusy(err error) bool {
	_, busy := errors.AsType[*busyError](err)
	return busy
}

// pause waits for d, or returns ctx's error once that ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
