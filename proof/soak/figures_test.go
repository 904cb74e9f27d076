package soak

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/anishathalye/porcupine"
)

// figures are what a soak of one database prints.
type figures struct {
	database                                                                          string
	seed                                                                              uint64
	took                                                                              time.Duration
	rounds, operations, unavailable, unknown                                          int64
	histories, undecided                                                              int64
	kills, stops, databaseKills, phases, contracts, runs, bypass, rejected, truncates int64
	// from a kill of the database to the first write of a client's that succeeds
	longestOutage time.Duration
	longestCheck  time.Duration
	// rounds, by what V1's owner had made of V1
	characters map[string]int
	anomalies  []string
}

// table shows figures, a database in a column.
func table(all []figures) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, value func(figures) any) {
		fmt.Fprintf(w, "%-36s\t", name)
		for _, f := range all {
			fmt.Fprintf(w, "%v\t", value(f))
		}
		fmt.Fprintln(w)
	}
	row("", func(f figures) any { return f.database })
	row("seed", func(f figures) any { return f.seed })
	row("time", func(f figures) any { return f.took.Round(time.Second) })
	row("rounds", func(f figures) any { return f.rounds })
	row("operations on a key", func(f figures) any { return f.operations })
	row("  of unknown outcome", func(f figures) any { return f.unknown })
	row("  refused as unavailable", func(f figures) any { return f.unavailable })
	row("bypass writes", func(f figures) any { return f.bypass })
	row("  rejected", func(f figures) any { return f.rejected })
	row("  TRUNCATE", func(f figures) any { return f.truncates })
	row("phase changes", func(f figures) any { return f.phases })
	row("  to CONTRACT", func(f figures) any { return f.contracts })
	row("runs", func(f figures) any { return f.runs })
	row("kills of a server", func(f figures) any { return f.kills })
	row("servers stopped and continued", func(f figures) any { return f.stops })
	row("kills of the database", func(f figures) any { return f.databaseKills })
	row("longest outage for writes", func(f figures) any { return f.longestOutage.Round(10 * time.Millisecond) })
	row("histories checked", func(f figures) any { return f.histories })
	row("  undecided", func(f figures) any { return f.undecided })
	row("longest check", func(f figures) any { return f.longestCheck.Round(time.Millisecond) })
	seen := map[string]bool{}
	for _, f := range all {
		for name := range f.characters {
			seen[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		row("rounds with "+name, func(f figures) any { return f.characters[name] })
	}
	row("anomalies", func(f figures) any { return len(f.anomalies) })
	_ = w.Flush() // into memory
	return b.String()
}

// keep writes a history that is impossible to files, as text and as a picture to open in a browser, and says where.
func (r *round) keep(entity, key string, short impossible) string {
	name := filepath.Join(*histories, fmt.Sprintf("soak-%s-%d-%s-%s", r.database.name, r.seed,
		strings.ToLower(entity), key))
	text := fmt.Sprintf("A history of %s %s on %s that is impossible, shortened to %d operations.\n"+
		"make soak SEED=%d draws these operations again, in its first round; when they meet is up to the machine.\n\n%s",
		entity, key, r.database.name, len(short.events), r.seed, short)
	m := model(short.state)
	_, info := porcupine.CheckOperationsVerbose(m, operations(short.events), checkPatience)
	err := errors.Join(os.MkdirAll(*histories, 0o750), os.WriteFile(name+".txt", []byte(text), 0o600),
		porcupine.VisualizePath(m, info, name+".html"))
	if err != nil {
		return fmt.Sprintf("It cannot be kept: %v", err)
	}
	return "It is kept in " + name + ".txt and .html"
}
