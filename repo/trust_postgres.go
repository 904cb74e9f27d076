package repo

import (
	"context"
	"fmt"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// What could turn our role against itself on PostgreSQL: the owner of a table may put triggers on it, which run with
// the rights of the role that writes to it.

func (p postgres) checkDatabase(ctx context.Context, db *DB) error {
	s := db.pools.Reading()
	encoding, err := s.Texts(ctx, "SELECT current_setting('server_encoding')")
	if err != nil {
		return err
	}
	if encoding[0] != "UTF8" {
		return fmt.Errorf(
			"the database's encoding is %s, which does not hold every text: move it to one whose encoding is UTF8 (pg_dump, CREATE DATABASE … ENCODING 'UTF8')", encoding[0])
	}
	strangers, err := p.strangers(ctx, s, db)
	if err != nil {
		return err
	}
	if len(strangers) > 0 {
		return fmt.Errorf(
			"%s, which could do anything with our rights through it: let the owner of V1's tables own it, or drop it",
			strings.Join(strangers, "; "))
	}
	return nil
}

// strangers returns the tables and functions of the engine's that belong to a role without any other power over the
// database, over V1 or over us. A role that may do anything with V1's rows counts as having power: it may be the
// server's former role.
func (postgres) strangers(ctx context.Context, s database.Session, db *DB) ([]string, error) {
	own := db.own
	ours := []string{
		own.version, own.secret, own.entity, own.barrier, own.phaseChange, own.bypass, own.run, own.chunk, own.cut,
		own.finding, own.key, own.usage, db.qualify("coexist_seq"),
	}
	var v1, functions []string
	for _, e := range db.entities {
		v1 = append(v1, e.v1Tables()...)
		ours = append(ours, e.markTable, e.quarantineTable)
		for _, t := range e.v2.All() {
			ours = append(ours, t.SQL)
		}
		for _, t := range e.capture.captured() {
			functions = append(functions, e.db.qualify(t.trigger))
		}
	}
	const listed = "json_array_elements_text(CAST(? AS json)) n(name)"
	return s.Texts(ctx, fill(`WITH RECURSIVE we(oid) AS (
	SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user
	UNION SELECT m.roleid FROM pg_auth_members m JOIN we ON m.member = we.oid
), power(oid) AS (
	SELECT r.oid FROM pg_roles r WHERE r.rolsuper
	UNION SELECT we.oid FROM we
	UNION SELECT d.datdba FROM pg_database d WHERE d.datname = current_database()
	UNION SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = ?
	UNION SELECT c.relowner FROM {listed} JOIN pg_class c ON c.oid = to_regclass(n.name)
	UNION SELECT r.oid FROM pg_roles r WHERE (SELECT bool_and(has_table_privilege(r.oid, c.oid, p.name)) FROM {listed} JOIN pg_class c ON c.oid = to_regclass(n.name)
		CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p(name)))
SELECT CASE c.relkind WHEN 'S' THEN 'sequence ' WHEN 'r' THEN 'table ' ELSE 'relation ' END || c.relname || ' belongs to role ' || pg_get_userbyid(c.relowner)
	FROM {listed} JOIN pg_class c ON c.oid = to_regclass(n.name) WHERE c.relowner NOT IN (SELECT oid FROM power)
UNION ALL SELECT 'function ' || p.proname || ' belongs to role ' || pg_get_userbyid(p.proowner)
	FROM {listed} JOIN pg_proc p ON p.oid = to_regproc(n.name) WHERE p.proowner NOT IN (SELECT oid FROM power)`, "listed", listed),
		db.pools.Schema, database.JSONList(v1), database.JSONList(v1), database.JSONList(ours),
		database.JSONList(functions))
}

// checkRole checks two rights: runs write through temporary tables, and the triggers recognize our writes by the
// secret.
func (postgres) checkRole(ctx context.Context, db *DB) error {
	lacking, err := db.pools.Reading().Texts(ctx, database.OneLine(`SELECT format('temporary tables, through which runs write: GRANT TEMPORARY ON DATABASE %I TO %I',
		current_database(), current_user) WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')
		UNION ALL SELECT format('the secret by which triggers tell our writes: GRANT SELECT ON %s TO %I', CAST(? AS text), current_user)
		WHERE NOT has_table_privilege(to_regclass(?), 'SELECT')`), db.own.secret, db.own.secret)
	if err == nil && len(lacking) > 0 {
		err = fmt.Errorf("our role lacks %s", strings.Join(lacking, "; and "))
	}
	return err
}
