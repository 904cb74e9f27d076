package repo

import (
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
)

func TestNextBatchSize(t *testing.T) {
	for _, c := range []struct {
		size int
		took time.Duration
		want int
	}{
		{100, 0, 200},
		{100, batchTarget/2 - 1, 200},
		{100, batchTarget / 2, 100},
		{100, batchTarget, 100},
		{100, batchTarget + 1, 50},
		{1, time.Minute, 1},
		{maxBatch, 0, maxBatch},
		{maxBatch - 1, 0, maxBatch},
	} {
		if got := nextBatchSize(c.size, c.took); got != c.want {
			t.Errorf("a batch of %d that took %v is followed by one of %d, want %d", c.size, c.took, got, c.want)
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
