package soak

import (
	"flag"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo/repotest"
)

var (
	soakFor  = flag.Duration("soak", 8*time.Second, "how long to soak each database")
	soakSeed = flag.Uint64("seed", 0, "what the operations are drawn from; 0 for another each time")
	keepOn   = flag.Bool("keep-on", false, "go on after an anomaly")
)

func TestMain(m *testing.M) {
	if url := os.Getenv(workerURL); url != "" {
		os.Exit(serve(url, os.Stdin, os.Stdout))
	}
	repotest.Main(m)
}

// TestSoak soaks each database in rounds until the time is up or there is an anomaly. A seed draws the same operations again;
// when they meet is up to the machine.
func TestSoak(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		soak(t, database{name: "sqlite", url: repotest.SQLite(t), processes: 2})
	})
	t.Run("postgres", func(t *testing.T) {
		c := repotest.StartCluster(t)
		soak(t, database{name: "postgres", url: c.Database(t), postgres: true, processes: 3, kill: c.Kill, restart: c.Restart})
	})
}

func soak(t *testing.T, d database) {
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64N(1_000_000)
	}
	fleet, err := startFleet(d.url, d.processes)
	if err != nil {
		t.Fatal(err)
	}
	raw, _, err := openRaw(d.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	r := newRound(d, fleet, raw)
	began, told := time.Now(), time.Now()
	for n := uint64(0); time.Since(began) < *soakFor && (len(r.stats.anomalies) == 0 || *keepOn); n++ {
		r.play(t, seed+n, 4*time.Second)
		if time.Since(told) > time.Minute {
			told = time.Now()
			t.Logf("%s, seed %d, %v: %s", d.name, seed, time.Since(began).Round(time.Second), r.stats)
		}
	}
	if err := fleet.stop(); err != nil {
		r.stats.anomalies = append(r.stats.anomalies, err.Error())
	}
	for _, a := range r.stats.anomalies {
		t.Errorf("ANOMALY: %s", a)
	}
	if r.stats.undecided > 0 {
		t.Errorf("%d histories are undecided: they count as neither", r.stats.undecided)
	}
	line := r.stats.String()
	t.Logf("%s, seed %d, %v: %s", d.name, seed, time.Since(began).Round(time.Second), line)
	if strings.Contains(line, " 0 phase changes") {
		t.Error("the phase never changed: the soak proves little")
	}
}
