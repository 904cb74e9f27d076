package repo

import (
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
)

func TestNextBatchSize(t *testing.T) {
	const target = time.Second
	for _, c := range []struct {
		size  int
		took  time.Duration
		bytes int
		want  int
	}{
		{100, 0, 0, 200},
		{100, target/2 - 1, 0, 200},
		{100, target / 2, 0, 100},
		{100, target, 0, 100},
		{100, target + 1, 0, 50},
		{1, time.Minute, 0, 1},
		{maxBatch, 0, 0, maxBatch},
		{maxBatch - 1, 0, 0, maxBatch},
		{100, 0, maxBytes / 2, 100},
		{100, 0, maxBytes + 1, 50},
		{1, 0, maxBytes + 1, 1},
	} {
		if got := nextBatchSize(c.size, c.took, target, c.bytes, maxBytes); got != c.want {
			t.Errorf("a batch of %d with %d bytes that took %v is followed by one of %d, want %d", c.size, c.bytes, c.took,
				got, c.want)
		}
	}
}

func TestBackOff(t *testing.T) {
	waits := database.NewBackOff()
	for try := 1; try < 100; try++ {
		if d := waits.NextBackOff(); d < 2*time.Millisecond || d > 500*time.Millisecond {
			t.Errorf("after %d tries: %v", try, d)
		}
	}
}
