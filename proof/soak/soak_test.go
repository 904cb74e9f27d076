package soak

import (
	"flag"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo/repotest"
)

var (
	soakFor  = flag.Duration("soak", 15*time.Second, "how long to soak each database")
	soakSeed = flag.Uint64("seed", 1, "what the operations are drawn from; 0 for another each time")
	keepOn   = flag.Bool("keep-on", false, "go on after an anomaly")
	pooler   = flag.Bool("pooler", false,
		"let the servers reach PostgreSQL through PgBouncer in transaction mode, and soak nothing else")
	failovers = flag.Int("failovers", 0,
		"soak three PostgreSQL servers under Patroni, and nothing else, until the primary was killed so often")
	histories = flag.String("histories", os.TempDir(), "the folder for histories that are impossible")
)

func TestMain(m *testing.M) {
	if url := os.Getenv(workerURL); url != "" {
		os.Exit(serve(url, os.Getenv(workerPooler) != "", os.Stdin, os.Stdout))
	}
	repotest.Main(m)
}

// TestSoak soaks each database in rounds until the time is up or there is an anomaly. A seed draws the same operations
// again; when they meet is up to the machine.
func TestSoak(t *testing.T) {
	var all []figures
	if *failovers > 0 {
		all = append(all, soakFailovers(t))
		t.Log("\n" + table(all))
		return
	}
	if !*pooler {
		t.Run("sqlite", func(t *testing.T) {
			url := repotest.SQLite(t)
			all = append(all, soak(t, database{name: "sqlite", url: url, way: url, processes: 2}))
		})
	}
	t.Run("postgres", func(t *testing.T) {
		c := repotest.StartCluster(t)
		url := c.Database(t)
		d := database{
			name: "postgres", url: url, way: url, postgres: true, processes: 3, kill: c.Kill,
			restart: c.Restart,
		}
		if *pooler {
			d.name, d.way, d.pooled = "pgbouncer", repotest.Pooler(t, url), true
		}
		all = append(all, soak(t, d))
	})
	t.Log("\n" + table(all))
}

// soakFailovers soaks a replicated database, whose primary is killed in each round.
func soakFailovers(t *testing.T) figures {
	c := repotest.StartReplicated(t)
	url := c.Database("soak")
	d := database{
		name: "failover", url: url, way: url, postgres: true, processes: 3, kill: c.KillPrimary,
		restart: c.Recover, replicated: true,
	}
	*soakFor = 24 * time.Hour
	return soak(t, d)
}

func soak(t *testing.T, d database) figures {
	seed := *soakSeed
	if seed == 0 {
		seed = rand.Uint64N(1_000_000)
	}
	fleet, err := startFleet(d)
	if err != nil {
		t.Fatal(err)
	}
	raw, _, err := openRaw(d.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	r := newRound(d, fleet, raw)
	r.stats.database, r.stats.seed = d.name, seed
	began, told := time.Now(), time.Now()
	for n := uint64(0); time.Since(began) < *soakFor && (len(r.stats.anomalies) == 0 || *keepOn); n++ {
		length := 4 * time.Second
		if d.replicated {
			if r.stats.databaseKills >= int64(*failovers) {
				break
			}
			length = 45 * time.Second
		}
		r.play(t, seed+n, length)
		if time.Since(told) > time.Minute {
			told = time.Now()
			t.Logf("%s, seed %d, %v: %d rounds, %d operations, %d anomalies", d.name, seed,
				time.Since(began).Round(time.Second), r.stats.rounds, r.stats.operations, len(r.stats.anomalies))
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
	if r.stats.phases == 0 {
		t.Error("the phase never changed: the soak proves little")
	}
	r.stats.took = time.Since(began)
	return r.stats
}
