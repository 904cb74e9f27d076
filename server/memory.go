package server

import (
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const (
	// gcPercent collects garbage less often than Go's 100 does. Answers are short-lived, so the heap stays small.
	gcPercent = 400
	// memoryShare is the part of the memory that the process may take before it collects garbage more often again.
	memoryShare = 0.75
)

// TuneMemory trades memory for speed: it sets GOGC to 400, and GOMEMLIMIT to three quarters of the memory that the
// container has, or else the machine. A variable that is set wins. TuneMemory changes the whole process, so only a
// program's own main should call it. If the memory's size cannot be found, it sets no limit and logs that.
func TuneMemory(logger *slog.Logger) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if _, err := memlimit.Set(memlimit.WithRatio(memoryShare), // GOMEMLIMIT wins
		memlimit.WithProvider(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem))); err != nil {
		logger.Warn("the size of the memory is unknown, so GOMEMLIMIT is not set", "err", err)
	}
}
