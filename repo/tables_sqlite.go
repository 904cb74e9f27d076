package repo

import "strings"

// The engine's own tables on SQLite.

// sqliteNow is the default of a column that holds a point in time.
const sqliteNow = "(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))"

func (sqlite) sharedTables(*DB) []string {
	statements := []string{
		`CREATE TABLE IF NOT EXISTS coexist_writer (id INTEGER PRIMARY KEY CHECK (id = 1), entity TEXT, seq INTEGER NOT NULL, token TEXT)`,
		`CREATE TABLE IF NOT EXISTS coexist_inflight (entity TEXT NOT NULL, key NOT NULL, PRIMARY KEY (entity, key)) WITHOUT ROWID`,
		`INSERT INTO coexist_writer (id, seq) VALUES (1, 0) ON CONFLICT DO NOTHING`,
		`CREATE TABLE IF NOT EXISTS coexist_entity (name TEXT PRIMARY KEY NOT NULL, phase TEXT NOT NULL, epoch INTEGER NOT NULL DEFAULT 1,
	mapping_version INTEGER NOT NULL, incomplete INTEGER NOT NULL DEFAULT 0, restoring INTEGER NOT NULL DEFAULT 0,
	phase_changed_at TEXT NOT NULL DEFAULT {default now}, capture INTEGER NOT NULL DEFAULT 1, capture_generation INTEGER NOT NULL DEFAULT 1,
	capture_fingerprint TEXT, seeds INTEGER NOT NULL DEFAULT 0)`,
		`CREATE TABLE IF NOT EXISTS coexist_phase_change (id INTEGER PRIMARY KEY AUTOINCREMENT, entity TEXT NOT NULL, from_phase TEXT NOT NULL, to_phase TEXT NOT NULL,
	at TEXT NOT NULL DEFAULT {default now}, actor TEXT NOT NULL, reason TEXT, forced INTEGER NOT NULL DEFAULT 0)`,
		`CREATE TABLE IF NOT EXISTS coexist_bypass (entity TEXT NOT NULL, count INTEGER NOT NULL, at TEXT NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS coexist_run (id INTEGER PRIMARY KEY AUTOINCREMENT, entity TEXT NOT NULL, kind TEXT NOT NULL, status TEXT NOT NULL, actor TEXT NOT NULL,
	started_at TEXT NOT NULL DEFAULT {default now}, finished_at TEXT, workers INTEGER NOT NULL, max_rows_per_second INTEGER,
	older_than_mapping_version INTEGER, repair INTEGER NOT NULL DEFAULT 0, capture_generation INTEGER NOT NULL DEFAULT 0,
	bypass_before INTEGER NOT NULL DEFAULT 0, epoch INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL, throttled_by TEXT, error TEXT)`,
		`CREATE UNIQUE INDEX IF NOT EXISTS coexist_run_active ON coexist_run (entity, kind) WHERE status IN ('RUNNING', 'PAUSED')`,
		`CREATE TABLE IF NOT EXISTS coexist_chunk (run_id INTEGER NOT NULL REFERENCES coexist_run (id), number INTEGER NOT NULL, upper TEXT, position TEXT,
	stage TEXT NOT NULL, finished INTEGER NOT NULL DEFAULT 0, token INTEGER NOT NULL DEFAULT 0, leased_until TEXT NOT NULL DEFAULT {default now}, done INTEGER NOT NULL DEFAULT 0,
	migrated INTEGER NOT NULL DEFAULT 0, quarantined INTEGER NOT NULL DEFAULT 0, behind INTEGER NOT NULL DEFAULT 0,
	faults INTEGER NOT NULL DEFAULT 0, busy_ms INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (run_id, number))`,
		`CREATE TABLE IF NOT EXISTS coexist_cut (run_id INTEGER PRIMARY KEY REFERENCES coexist_run (id), upper TEXT, position TEXT,
	whole INTEGER NOT NULL DEFAULT 0, next_number INTEGER NOT NULL DEFAULT 0)`,
		`CREATE TABLE IF NOT EXISTS coexist_finding (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id INTEGER NOT NULL REFERENCES coexist_run (id),
	key TEXT NOT NULL, kind TEXT NOT NULL, fields TEXT NOT NULL DEFAULT '[]', repaired INTEGER NOT NULL DEFAULT 0, reason TEXT, UNIQUE (run_id, key))`,
		`CREATE TABLE IF NOT EXISTS coexist_key (entity TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL)`,
		`CREATE TABLE IF NOT EXISTS coexist_v1_usage (entity TEXT NOT NULL, client_name TEXT NOT NULL, client_version TEXT NOT NULL, operation_name TEXT NOT NULL,
	field TEXT NOT NULL, count INTEGER NOT NULL, first_seen_at TEXT NOT NULL, last_seen_at TEXT NOT NULL,
	PRIMARY KEY (entity, client_name, client_version, operation_name, field))`,
	}
	for i := range statements {
		statements[i] = strings.ReplaceAll(statements[i], "{default now}", sqliteNow)
	}
	return statements
}

func (d sqlite) entityTables(e statements) []string {
	key := e.db.dialect.KeyType(e.v1.Key)
	create := func(template, index string) string {
		return e.script(template, "key", key, "index", quote(ownTable(e.name, index)), "default now", sqliteNow)
	}
	return []string{
		create(`CREATE TABLE IF NOT EXISTS {mark} (id TEXT NOT NULL DEFAULT (lower(hex(randomblob(16)))), key {key},
	kind TEXT NOT NULL, floor INTEGER NOT NULL DEFAULT 0, bypass INTEGER NOT NULL DEFAULT 0, at TEXT NOT NULL DEFAULT {default now}, tx TEXT)`, ""),
		create("CREATE INDEX IF NOT EXISTS {index} ON {mark} (key)", "mark_key"),
		create("CREATE INDEX IF NOT EXISTS {index} ON {mark} (kind) WHERE key IS NULL", "mark_all"),
		create("CREATE INDEX IF NOT EXISTS {index} ON {mark} (at) WHERE kind = 'CHANGE'", "mark_change"),
		create("CREATE INDEX IF NOT EXISTS {index} ON {mark} (key) WHERE kind = 'GONE'", "mark_gone"),
		create(`CREATE TABLE IF NOT EXISTS {quarantine} (key {key} PRIMARY KEY NOT NULL, code TEXT NOT NULL, field TEXT, message TEXT NOT NULL,
	mapping_version INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 1, first_seen_at TEXT NOT NULL DEFAULT {default now},
	last_seen_at TEXT NOT NULL DEFAULT {default now})`, ""),
	}
}
