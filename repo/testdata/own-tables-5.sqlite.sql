BEGIN;
CREATE TABLE IF NOT EXISTS "coexist_schema" (id integer PRIMARY KEY CHECK (id = 1), version integer NOT NULL);
INSERT INTO "coexist_schema" (id, version) VALUES (1, 5) ON CONFLICT (id) DO NOTHING;
CREATE TABLE IF NOT EXISTS coexist_writer (id INTEGER PRIMARY KEY CHECK (id = 1), entity TEXT, seq INTEGER NOT NULL);
INSERT INTO coexist_writer (id, seq) VALUES (1, 0) ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS coexist_entity (name TEXT PRIMARY KEY NOT NULL, phase TEXT NOT NULL, epoch INTEGER NOT NULL DEFAULT 1,
	mapping_version INTEGER NOT NULL, incomplete INTEGER NOT NULL DEFAULT 0, restoring INTEGER NOT NULL DEFAULT 0,
	phase_changed_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), capture INTEGER NOT NULL DEFAULT 1, capture_generation INTEGER NOT NULL DEFAULT 1,
	capture_fingerprint TEXT);
CREATE TABLE IF NOT EXISTS coexist_phase_change (id INTEGER PRIMARY KEY AUTOINCREMENT, entity TEXT NOT NULL, from_phase TEXT NOT NULL, to_phase TEXT NOT NULL,
	at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), actor TEXT NOT NULL, reason TEXT, forced INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS coexist_bypass (entity TEXT NOT NULL, count INTEGER NOT NULL, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS coexist_run (id INTEGER PRIMARY KEY AUTOINCREMENT, entity TEXT NOT NULL, kind TEXT NOT NULL, status TEXT NOT NULL, actor TEXT NOT NULL,
	started_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), finished_at TEXT, workers INTEGER NOT NULL, max_rows_per_second INTEGER,
	older_than_mapping_version INTEGER, repair INTEGER NOT NULL DEFAULT 0, capture_generation INTEGER NOT NULL DEFAULT 0,
	bypass_before INTEGER NOT NULL DEFAULT 0, epoch INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL, throttled_by TEXT, error TEXT);
CREATE UNIQUE INDEX IF NOT EXISTS coexist_run_active ON coexist_run (entity, kind) WHERE status IN ('RUNNING', 'PAUSED');
CREATE TABLE IF NOT EXISTS coexist_chunk (run_id INTEGER NOT NULL REFERENCES coexist_run (id), number INTEGER NOT NULL, upper TEXT, position TEXT,
	stage TEXT NOT NULL, finished INTEGER NOT NULL DEFAULT 0, token INTEGER NOT NULL DEFAULT 0, leased_until TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), done INTEGER NOT NULL DEFAULT 0,
	migrated INTEGER NOT NULL DEFAULT 0, quarantined INTEGER NOT NULL DEFAULT 0, behind INTEGER NOT NULL DEFAULT 0,
	faults INTEGER NOT NULL DEFAULT 0, busy_ms INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (run_id, number));
CREATE TABLE IF NOT EXISTS coexist_cut (run_id INTEGER PRIMARY KEY REFERENCES coexist_run (id), upper TEXT, position TEXT,
	whole INTEGER NOT NULL DEFAULT 0, next_number INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS coexist_finding (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id INTEGER NOT NULL REFERENCES coexist_run (id),
	key TEXT NOT NULL, kind TEXT NOT NULL, fields TEXT NOT NULL DEFAULT '[]', repaired INTEGER NOT NULL DEFAULT 0, UNIQUE (run_id, key));
CREATE TABLE IF NOT EXISTS coexist_key (entity TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS coexist_v1_usage (entity TEXT NOT NULL, client_name TEXT NOT NULL, client_version TEXT NOT NULL, operation_name TEXT NOT NULL,
	field TEXT NOT NULL, count INTEGER NOT NULL, first_seen_at TEXT NOT NULL, last_seen_at TEXT NOT NULL,
	PRIMARY KEY (entity, client_name, client_version, operation_name, field));
CREATE TABLE IF NOT EXISTS "coexist_note_mark" (id TEXT NOT NULL DEFAULT (lower(hex(randomblob(16)))), key varchar(12),
	kind TEXT NOT NULL, floor INTEGER NOT NULL DEFAULT 0, bypass INTEGER NOT NULL DEFAULT 0, at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')));
CREATE INDEX IF NOT EXISTS "coexist_note_mark_key" ON "coexist_note_mark" (key);
CREATE INDEX IF NOT EXISTS "coexist_note_mark_all" ON "coexist_note_mark" (kind) WHERE key IS NULL;
CREATE INDEX IF NOT EXISTS "coexist_note_mark_change" ON "coexist_note_mark" (at) WHERE kind = 'CHANGE';
CREATE INDEX IF NOT EXISTS "coexist_note_mark_gone" ON "coexist_note_mark" (key) WHERE kind = 'GONE';
CREATE TABLE IF NOT EXISTS "coexist_note_quarantine" (key varchar(12) PRIMARY KEY NOT NULL, code TEXT NOT NULL, field TEXT, message TEXT NOT NULL,
	mapping_version INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 1, first_seen_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
	last_seen_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')));
CREATE TABLE IF NOT EXISTS "notes_v2" ("id" varchar(12) NOT NULL PRIMARY KEY, "topic" text, "headline" text NOT NULL, "text" text, "priority" smallint NOT NULL, "pinned_reason" text, "coexist_seq" bigint NOT NULL, "coexist_version" bigint NOT NULL, "coexist_mapping_version" integer NOT NULL, "coexist_refined" boolean NOT NULL, "coexist_origin" varchar(10) NOT NULL, "coexist_migrated_at" timestamptz NOT NULL, "coexist_gone_seen" bigint NOT NULL, "coexist_stale_seen" bigint NOT NULL);
CREATE TABLE IF NOT EXISTS "notes_v2_labels" ("id" varchar(12) NOT NULL REFERENCES "notes_v2" ON DELETE CASCADE, "position" integer NOT NULL, "rank" smallint NOT NULL, "name" text NOT NULL, "hidden" boolean NOT NULL, PRIMARY KEY ("id", "position"));
INSERT INTO "coexist_entity" (name, phase, mapping_version) VALUES ('NOTE', 'EXPAND', 1) ON CONFLICT (name) DO NOTHING;
CREATE TABLE IF NOT EXISTS "coexist_comment_mark" (id TEXT NOT NULL DEFAULT (lower(hex(randomblob(16)))), key integer,
	kind TEXT NOT NULL, floor INTEGER NOT NULL DEFAULT 0, bypass INTEGER NOT NULL DEFAULT 0, at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')));
CREATE INDEX IF NOT EXISTS "coexist_comment_mark_key" ON "coexist_comment_mark" (key);
CREATE INDEX IF NOT EXISTS "coexist_comment_mark_all" ON "coexist_comment_mark" (kind) WHERE key IS NULL;
CREATE INDEX IF NOT EXISTS "coexist_comment_mark_change" ON "coexist_comment_mark" (at) WHERE kind = 'CHANGE';
CREATE INDEX IF NOT EXISTS "coexist_comment_mark_gone" ON "coexist_comment_mark" (key) WHERE kind = 'GONE';
CREATE TABLE IF NOT EXISTS "coexist_comment_quarantine" (key integer PRIMARY KEY NOT NULL, code TEXT NOT NULL, field TEXT, message TEXT NOT NULL,
	mapping_version INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 1, first_seen_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
	last_seen_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')));
CREATE TABLE IF NOT EXISTS "comments_v2" ("id" integer NOT NULL PRIMARY KEY, "about" varchar(12), "text" text NOT NULL, "stars" smallint, "coexist_seq" bigint NOT NULL, "coexist_version" bigint NOT NULL, "coexist_mapping_version" integer NOT NULL, "coexist_refined" boolean NOT NULL, "coexist_origin" varchar(10) NOT NULL, "coexist_migrated_at" timestamptz NOT NULL, "coexist_gone_seen" bigint NOT NULL, "coexist_stale_seen" bigint NOT NULL);
CREATE INDEX IF NOT EXISTS "comments_v2_about" ON "comments_v2" ("about");
INSERT INTO "coexist_entity" (name, phase, mapping_version) VALUES ('COMMENT', 'EXPAND', 1) ON CONFLICT (name) DO NOTHING;
UPDATE "coexist_entity" SET mapping_version = 1 WHERE name = 'NOTE' AND mapping_version < 1;
INSERT INTO "coexist_note_mark" (key, kind) SELECT NULL, 'ALL_STALE' WHERE (EXISTS (SELECT 1 FROM "coexist_entity" x WHERE x.name = 'NOTE' AND NOT (coalesce(x.capture_fingerprint, '') = (SELECT coalesce(group_concat(f.part, char(10)), '') FROM (SELECT rowid || ':' || rootpage || ':' || tbl_name || ':' || sql AS part FROM sqlite_schema WHERE type = 'trigger' AND name IN ('coexist_capture_notes_insert', 'coexist_capture_notes_delete', 'coexist_capture_notes_update', 'coexist_capture_note_tags_insert', 'coexist_capture_note_tags_delete', 'coexist_capture_note_tags_update') OR type = 'table' AND name COLLATE NOCASE IN ('notes', 'note_tags') ORDER BY rowid) f) AND (SELECT count(*) = 6 FROM sqlite_schema WHERE type = 'trigger' AND name IN ('coexist_capture_notes_insert', 'coexist_capture_notes_delete', 'coexist_capture_notes_update', 'coexist_capture_note_tags_insert', 'coexist_capture_note_tags_delete', 'coexist_capture_note_tags_update') AND tbl_name COLLATE NOCASE IN ('notes', 'note_tags'))))) AND (EXISTS (SELECT 1 FROM "notes_v2") OR EXISTS (SELECT 1 FROM "coexist_entity" x WHERE x.name = 'NOTE' AND x.phase <> 'EXPAND' AND (x.capture_generation > 1 OR EXISTS (SELECT 1 FROM "coexist_phase_change" h WHERE h.entity = x.name))));
UPDATE "coexist_entity" SET capture_generation = capture_generation + 1 WHERE name = 'NOTE' AND (EXISTS (SELECT 1 FROM "coexist_entity" x WHERE x.name = 'NOTE' AND NOT (coalesce(x.capture_fingerprint, '') = (SELECT coalesce(group_concat(f.part, char(10)), '') FROM (SELECT rowid || ':' || rootpage || ':' || tbl_name || ':' || sql AS part FROM sqlite_schema WHERE type = 'trigger' AND name IN ('coexist_capture_notes_insert', 'coexist_capture_notes_delete', 'coexist_capture_notes_update', 'coexist_capture_note_tags_insert', 'coexist_capture_note_tags_delete', 'coexist_capture_note_tags_update') OR type = 'table' AND name COLLATE NOCASE IN ('notes', 'note_tags') ORDER BY rowid) f) AND (SELECT count(*) = 6 FROM sqlite_schema WHERE type = 'trigger' AND name IN ('coexist_capture_notes_insert', 'coexist_capture_notes_delete', 'coexist_capture_notes_update', 'coexist_capture_note_tags_insert', 'coexist_capture_note_tags_delete', 'coexist_capture_note_tags_update') AND tbl_name COLLATE NOCASE IN ('notes', 'note_tags'))))) AND (EXISTS (SELECT 1 FROM "notes_v2") OR EXISTS (SELECT 1 FROM "coexist_entity" x WHERE x.name = 'NOTE' AND x.phase <> 'EXPAND' AND (x.capture_generation > 1 OR EXISTS (SELECT 1 FROM "coexist_phase_change" h WHERE h.entity = x.name))));
DROP TRIGGER IF EXISTS "coexist_capture_notes_insert";
CREATE TRIGGER "coexist_capture_notes_insert" AFTER INSERT ON "notes"
WHEN (SELECT w.entity FROM coexist_writer w) IS NOT 'NOTE' AND (SELECT e.capture FROM coexist_entity e WHERE e.name = 'NOTE')
BEGIN
	SELECT RAISE(ABORT, 'entity NOTE is past MIGRATE: table notes is no longer the truth; write through Coexist, or ask its operator to go back to MIGRATE') WHERE (SELECT e.phase FROM coexist_entity e WHERE e.name = 'NOTE') IN ('CUTOVER', 'CONTRACT');
	INSERT INTO "coexist_note_mark" (key, kind, bypass) VALUES (NEW."id", 'CHANGE', 1);
END;
DROP TRIGGER IF EXISTS "coexist_capture_notes_delete";
CREATE TRIGGER "coexist_capture_notes_delete" AFTER DELETE ON "notes"
WHEN (SELECT w.entity FROM coexist_writer w) IS NOT 'NOTE' AND (SELECT e.capture FROM coexist_entity e WHERE e.name = 'NOTE')
BEGIN
	SELECT RAISE(ABORT, 'entity NOTE is past MIGRATE: table notes is no longer the truth; write through Coexist, or ask its operator to go back to MIGRATE') WHERE (SELECT e.phase FROM coexist_entity e WHERE e.name = 'NOTE') IN ('CUTOVER', 'CONTRACT');
	INSERT INTO "coexist_note_mark" (key, kind, bypass) VALUES (OLD."id", 'GONE', 1);
END;
DROP TRIGGER IF EXISTS "coexist_capture_notes_update";
CREATE TRIGGER "coexist_capture_notes_update" AFTER UPDATE ON "notes"
WHEN (SELECT w.entity FROM coexist_writer w) IS NOT 'NOTE' AND (SELECT e.capture FROM coexist_entity e WHERE e.name = 'NOTE')
BEGIN
	SELECT RAISE(ABORT, 'entity NOTE is past MIGRATE: table notes is no longer the truth; write through Coexist, or ask its operator to go back to MIGRATE') WHERE (SELECT e.phase FROM coexist_entity e WHERE e.name = 'NOTE') IN ('CUTOVER', 'CONTRACT');
	INSERT INTO "coexist_note_mark" (key, kind, bypass) SELECT OLD."id", 'GONE', 1 WHERE OLD."id" IS NOT NEW."id";
	INSERT INTO "coexist_note_mark" (key, kind, bypass) VALUES (NEW."id", 'CHANGE', 1);
END;
DROP TRIGGER IF EXISTS "coexist_capture_note_tags_insert";
CREATE TRIGGER "coexist_capture_note_tags_insert" AFTER INSERT ON "note_tags"
WHEN (SELECT w.entity FROM coexist_writer w) IS NOT 'NOTE' AND (SELECT e.capture FROM coexist_entity e WHERE e.name = 'NOTE')
BEGIN
	SELECT RAISE(ABORT, 'entity NOTE is past MIGRATE: table note_tags is no longer the truth; write through Coexist, or ask its operator to go back to MIGRATE') WHERE (SELECT e.phase FROM coexist_entity e WHERE e.name = 'NOTE') IN ('CUTOVER', 'CONTRACT');
	INSERT INTO "coexist_note_mark" (key, kind, bypass) VALUES (NEW."note_id", 'CHANGE', 1);
END;
DROP TRIGGER IF EXISTS "coexist_capture_note_tags_delete";
CREATE TRIGGER "coexist_capture_note_tags_delete" AFTER DELETE ON "note_tags"
WHEN (SELECT w.entity FROM coexist_writer w) IS NOT 'NOTE' AND (SELECT e.capture FROM coexist_entity e WHERE e.name = 'NOTE')
BEGIN
	SELECT RAISE(ABORT, 'entity NOTE is past MIGRATE: table note_tags is no longer the truth; write through Coexist, or ask its operator to go back to MIGRATE') WHERE (SELECT e.phase FROM coexist_entity e WHERE e.name = 'NOTE') IN ('CUTOVER', 'CONTRACT');
	INSERT INTO "coexist_note_mark" (key, kind, bypass) VALUES (OLD."note_id", 'CHANGE', 1);
END;
DROP TRIGGER IF EXISTS "coexist_capture_note_tags_update";
CREATE TRIGGER "coexist_capture_note_tags_update" AFTER UPDATE ON "note_tags"
WHEN (SELECT w.entity FROM coexist_writer w) IS NOT 'NOTE' AND (SELECT e.capture FROM coexist_entity e WHERE e.name = 'NOTE')
BEGIN
	SELECT RAISE(ABORT, 'entity NOTE is past MIGRATE: table note_tags is no longer the truth; write through Coexist, or ask its operator to go back to MIGRATE') WHERE (SELECT e.phase FROM coexist_entity e WHERE e.name = 'NOTE') IN ('CUTOVER', 'CONTRACT');
	INSERT INTO "coexist_note_mark" (key, kind, bypass) SELECT OLD."note_id", 'CHANGE', 1 WHERE OLD."note_id" IS NOT NEW."note_id";
	INSERT INTO "coexist_note_mark" (key, kind, bypass) VALUES (NEW."note_id", 'CHANGE', 1);
END;
UPDATE "coexist_entity" SET capture_fingerprint = (SELECT coalesce(group_concat(f.part, char(10)), '') FROM (SELECT rowid || ':' || rootpage || ':' || tbl_name || ':' || sql AS part FROM sqlite_schema WHERE type = 'trigger' AND name IN ('coexist_capture_notes_insert', 'coexist_capture_notes_delete', 'coexist_capture_notes_update', 'coexist_capture_note_tags_insert', 'coexist_capture_note_tags_delete', 'coexist_capture_note_tags_update') OR type = 'table' AND name COLLATE NOCASE IN ('notes', 'note_tags') ORDER BY rowid) f) WHERE name = 'NOTE';
UPDATE "coexist_entity" SET mapping_version = 1 WHERE name = 'COMMENT' AND mapping_version < 1;
INSERT INTO "coexist_comment_mark" (key, kind) SELECT NULL, 'ALL_STALE' WHERE (EXISTS (SELECT 1 FROM "coexist_entity" x WHERE x.name = 'COMMENT' AND NOT (coalesce(x.capture_fingerprint, '') = (SELECT coalesce(group_concat(f.part, char(10)), '') FROM (SELECT rowid || ':' || rootpage || ':' || tbl_name || ':' || sql AS part FROM sqlite_schema WHERE type = 'trigger' AND name IN ('coexist_capture_comments_insert', 'coexist_capture_comments_delete', 'coexist_capture_comments_update') OR type = 'table' AND name COLLATE NOCASE IN ('comments') ORDER BY rowid) f) AND (SELECT count(*) = 3 FROM sqlite_schema WHERE type = 'trigger' AND name IN ('coexist_capture_comments_insert', 'coexist_capture_comments_delete', 'coexist_capture_comments_update') AND tbl_name COLLATE NOCASE IN ('comments'))))) AND (EXISTS (SELECT 1 FROM "comments_v2") OR EXISTS (SELECT 1 FROM "coexist_entity" x WHERE x.name = 'COMMENT' AND x.phase <> 'EXPAND' AND (x.capture_generation > 1 OR EXISTS (SELECT 1 FROM "coexist_phase_change" h WHERE h.entity = x.name))));
UPDATE "coexist_entity" SET capture_generation = capture_generation + 1 WHERE name = 'COMMENT' AND (EXISTS (SELECT 1 FROM "coexist_entity" x WHERE x.name = 'COMMENT' AND NOT (coalesce(x.capture_fingerprint, '') = (SELECT coalesce(group_concat(f.part, char(10)), '') FROM (SELECT rowid || ':' || rootpage || ':' || tbl_name || ':' || sql AS part FROM sqlite_schema WHERE type = 'trigger' AND name IN ('coexist_capture_comments_insert', 'coexist_capture_comments_delete', 'coexist_capture_comments_update') OR type = 'table' AND name COLLATE NOCASE IN ('comments') ORDER BY rowid) f) AND (SELECT count(*) = 3 FROM sqlite_schema WHERE type = 'trigger' AND name IN ('coexist_capture_comments_insert', 'coexist_capture_comments_delete', 'coexist_capture_comments_update') AND tbl_name COLLATE NOCASE IN ('comments'))))) AND (EXISTS (SELECT 1 FROM "comments_v2") OR EXISTS (SELECT 1 FROM "coexist_entity" x WHERE x.name = 'COMMENT' AND x.phase <> 'EXPAND' AND (x.capture_generation > 1 OR EXISTS (SELECT 1 FROM "coexist_phase_change" h WHERE h.entity = x.name))));
DROP TRIGGER IF EXISTS "coexist_capture_comments_insert";
CREATE TRIGGER "coexist_capture_comments_insert" AFTER INSERT ON "comments"
WHEN (SELECT w.entity FROM coexist_writer w) IS NOT 'COMMENT' AND (SELECT e.capture FROM coexist_entity e WHERE e.name = 'COMMENT')
BEGIN
	SELECT RAISE(ABORT, 'entity COMMENT is past MIGRATE: table comments is no longer the truth; write through Coexist, or ask its operator to go back to MIGRATE') WHERE (SELECT e.phase FROM coexist_entity e WHERE e.name = 'COMMENT') IN ('CUTOVER', 'CONTRACT');
	INSERT INTO "coexist_comment_mark" (key, kind, bypass) VALUES (NEW."id", 'CHANGE', 1);
END;
DROP TRIGGER IF EXISTS "coexist_capture_comments_delete";
CREATE TRIGGER "coexist_capture_comments_delete" AFTER DELETE ON "comments"
WHEN (SELECT w.entity FROM coexist_writer w) IS NOT 'COMMENT' AND (SELECT e.capture FROM coexist_entity e WHERE e.name = 'COMMENT')
BEGIN
	SELECT RAISE(ABORT, 'entity COMMENT is past MIGRATE: table comments is no longer the truth; write through Coexist, or ask its operator to go back to MIGRATE') WHERE (SELECT e.phase FROM coexist_entity e WHERE e.name = 'COMMENT') IN ('CUTOVER', 'CONTRACT');
	INSERT INTO "coexist_comment_mark" (key, kind, bypass) VALUES (OLD."id", 'GONE', 1);
END;
DROP TRIGGER IF EXISTS "coexist_capture_comments_update";
CREATE TRIGGER "coexist_capture_comments_update" AFTER UPDATE ON "comments"
WHEN (SELECT w.entity FROM coexist_writer w) IS NOT 'COMMENT' AND (SELECT e.capture FROM coexist_entity e WHERE e.name = 'COMMENT')
BEGIN
	SELECT RAISE(ABORT, 'entity COMMENT is past MIGRATE: table comments is no longer the truth; write through Coexist, or ask its operator to go back to MIGRATE') WHERE (SELECT e.phase FROM coexist_entity e WHERE e.name = 'COMMENT') IN ('CUTOVER', 'CONTRACT');
	INSERT INTO "coexist_comment_mark" (key, kind, bypass) SELECT OLD."id", 'GONE', 1 WHERE OLD."id" IS NOT NEW."id";
	INSERT INTO "coexist_comment_mark" (key, kind, bypass) VALUES (NEW."id", 'CHANGE', 1);
END;
UPDATE "coexist_entity" SET capture_fingerprint = (SELECT coalesce(group_concat(f.part, char(10)), '') FROM (SELECT rowid || ':' || rootpage || ':' || tbl_name || ':' || sql AS part FROM sqlite_schema WHERE type = 'trigger' AND name IN ('coexist_capture_comments_insert', 'coexist_capture_comments_delete', 'coexist_capture_comments_update') OR type = 'table' AND name COLLATE NOCASE IN ('comments') ORDER BY rowid) f) WHERE name = 'COMMENT';
COMMIT;
