package server

import (
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"testing"
)

// A server collects garbage less often, within a limit, unless the variables of Go say otherwise.
func TestTuneMemory(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	defer func() { debug.SetGCPercent(percent); debug.SetMemoryLimit(limit) }()
	tuned := func() (int, int64) {
		debug.SetGCPercent(100)
		debug.SetMemoryLimit(math.MaxInt64)
		TuneMemory(slog.Default())
		return debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	}
	for _, variable := range []string{"GOGC", "GOMEMLIMIT"} {
		t.Setenv(variable, "") // so that it is set back
		if err := os.Unsetenv(variable); err != nil {
			t.Fatal(err)
		}
	}
	if percent, limit := tuned(); percent != gcPercent || limit < 1<<20 || limit == math.MaxInt64 {
		t.Errorf("GOGC is %d, GOMEMLIMIT %d", percent, limit)
	}
	t.Setenv("GOGC", "50")
	t.Setenv("GOMEMLIMIT", "1GiB")
	if percent, limit := tuned(); percent != 100 || limit != math.MaxInt64 {
		t.Errorf("GOGC is %d, GOMEMLIMIT %d, though both variables are set", percent, limit)
	}
}
