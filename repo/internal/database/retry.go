package database

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// There is one policy for whatever is tried again: after 2 to 4 ms, then after twice as long, up to half a second.

// Patience is how long something is tried: so many times, until a point in time, or for ever where both are zero.
type Patience struct {
	Tries int
	Until time.Time
}

// over reports whether a try that has failed was the last.
func (p Patience) over(try int) bool {
	return try == p.Tries || !p.Until.IsZero() && time.Now().After(p.Until)
}

// Retry calls try until it succeeds, or fails with an error for which again is false, or patience or ctx ends. It
// returns try's last error.
func Retry(ctx context.Context, p Patience, again func(error) bool, try func() error) error {
	waits := NewBackOff()
	for n := 1; ; n++ {
		err := try()
		if err == nil || !again(err) || p.over(n) || Pause(ctx, waits.NextBackOff()) != nil {
			return err
		}
	}
}

// NewBackOff returns the times to wait after successive failed tries.
func NewBackOff() *backoff.ExponentialBackOff {
	waits := &backoff.ExponentialBackOff{
		InitialInterval: 3 * time.Millisecond, Multiplier: 2, RandomizationFactor: 1.0 / 3,
		MaxInterval: 375 * time.Millisecond,
	}
	waits.Reset()
	return waits
}

// BusyTries is how often something is tried in all while other transactions are in the way.
const BusyTries = 12

// IsBusy reports whether another transaction was in the way.
func IsBusy(err error) bool {
	_, busy := errors.AsType[*BusyError](err)
	return busy
}

// Pause waits for d, or returns ctx's error once that ends.
func Pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
