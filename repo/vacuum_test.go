package repo_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// slowVacuum makes a vacuum of notes take minutes: it sleeps after each page.
var slowVacuum = []string{
	"INSERT INTO notes (id, title, body, priority) SELECT 'n' || n, 'x', repeat('x', 2000), 1 FROM generate_series(1, 2000) n",
	"ALTER TABLE notes ALTER body SET STORAGE PLAIN", "UPDATE notes SET body = repeat('y', 2000)",
}

// A vacuum holds a lock that a phase change needs. The change ends in bounded time and says what is in its way and how
// to end it; nobody waits behind it for long, and when the vacuum has ended it passes.
func TestPhaseChangeBesideAVacuum(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	b := repotest.OpenNotes(t, url, repotest.Setup{
		Phase:  repo.Migrate,
		Config: repo.Config{PhasePatience: time.Second},
	})
	raw := repotest.Raw(t, url)
	repotest.Exec(t, raw, slowVacuum...)
	conn, err := raw.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	vacuumed := make(chan error, 1)
	for _, statement := range []string{"SET vacuum_cost_delay = 100", "SET vacuum_cost_limit = 1"} {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		_, err := conn.ExecContext(t.Context(), "VACUUM notes")
		vacuumed <- err
	}()
	repotest.Until(t, "the vacuum begins", func() bool { return repotest.One[int64](t, raw, vacuums) == 1 })
	err = setPhase(t, b, repo.Expand)
	blocked, ok := errors.AsType[*repo.BlockedError](err)
	sees := repotest.Pinned(url) == url // a role without pg_read_all_stats does not see what another's process does
	if !ok || len(blocked.By) != 1 || blocked.By[0].Autovacuum || sees && !strings.HasSuffix(blocked.By[0].Maintains,
		"VACUUM of notes") {
		t.Fatalf("beside a vacuum: %v", err)
	}
	if cancel := fmt.Sprintf("pg_cancel_backend(%d)", blocked.By[0].PID); sees &&
		!strings.Contains(err.Error(), cancel) {
		t.Errorf("%v does not say %s", err, cancel)
	}
	repotest.Exec(t, raw, fmt.Sprintf("SELECT pg_cancel_backend(%d)", blocked.By[0].PID))
	if err := <-vacuumed; err == nil {
		t.Error("the vacuum had ended")
	}
	step(t, b, repo.Expand)
}

const vacuums = "SELECT count(*) FROM pg_stat_progress_vacuum p WHERE p.datname = current_database() AND p.relid = 'notes'::regclass"

// PostgreSQL ends an ordinary autovacuum for who waits long enough: the guard is vacuumWait. Without it the phase never
// changes.
func TestPhaseChangeBesideAnAutovacuum(t *testing.T) {
	t.Parallel()
	cluster := repotest.StartCluster(t)
	url := cluster.Database(t)
	b := repotest.OpenNotes(t, url, repotest.Setup{
		Phase:  repo.Migrate,
		Config: repo.Config{PhasePatience: 20 * time.Second},
	})
	raw := repotest.Raw(t, url)
	repotest.Exec(t, raw, slowVacuum...)
	repotest.Exec(t, raw,
		"ALTER TABLE notes SET (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1, autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0)",
		"ALTER SYSTEM SET autovacuum_naptime = 1", "SELECT pg_reload_conf()")
	repotest.Until(t, "an autovacuum begins", func() bool { return repotest.One[int64](t, raw, vacuums) == 1 })
	step(t, b, repo.Expand)
	if n := repotest.One[int64](t, raw, "SELECT count(*) FROM notes"); n != 2000 {
		t.Errorf("%d notes", n)
	}
}
