package repo

import (
	"context"
	"regexp"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// creates matches the statements that create something unless it is there. install leaves such a statement out where
// the thing is there, so that a role without the right to create it does not fail. Besides, CREATE INDEX, unlike CREATE
// TABLE, keeps writers out even where there is nothing to create.
var creates = regexp.MustCompile(
	`^CREATE (TABLE|SEQUENCE|INDEX|UNIQUE INDEX) IF NOT EXISTS ((?:"(?:[^"]|"")+"\.)?"(?:[^"]|"")+")`)

// onlyIf returns statements that run where a condition holds. install leaves them out where it does not hold.
func onlyIf(condition, statements string) string {
	return database.FillBy("DO $coexist$ BEGIN IF {condition} THEN\n{statements}\nEND IF; END $coexist$",
		database.Named([]string{"condition", condition, "statements", statements}))
}

var onlyIfs = regexp.MustCompile(`^DO \$coexist\$ BEGIN IF (.*) THEN\n`)

func (postgres) install(ctx context.Context, db *DB, build func(database.Session) ([]string, error)) error {
	opening := []string{
		"BEGIN ISOLATION LEVEL READ COMMITTED", "SET LOCAL lock_timeout = '10s'",
		"SELECT pg_advisory_xact_lock(hashtextextended('coexist', 0))",
	}
	return database.RunBuilt(ctx, db.pools, opening, func(s database.Session) ([]string, error) {
		all, err := build(s)
		var statements []string
		for _, statement := range all {
			if name := creates.FindStringSubmatch(statement); name != nil {
				relation := name[2]
				if strings.HasSuffix(name[1], "INDEX") {
					// the statement names an index without its schema, which is that of its table
					relation = quote(db.pools.Schema) + "." + relation
				}
				there, err := s.Number(ctx, "SELECT count(*) FROM pg_class WHERE oid = to_regclass(?)", relation)
				if err != nil {
					return nil, err
				}
				if there > 0 {
					continue
				}
			}
			if condition := onlyIfs.FindStringSubmatch(statement); condition != nil {
				not, err := s.Number(ctx, fill(`SELECT count(*) FROM (SELECT 1) o WHERE NOT ({condition})`,
					"condition", condition[1]))
				if err != nil {
					return nil, err
				}
				if not > 0 {
					continue
				}
			}
			statements = append(statements, statement)
		}
		return statements, err
	})
}

func (postgres) lockV1(e *tables) []string {
	return []string{fill(`LOCK TABLE {v1Tables} IN SHARE ROW EXCLUSIVE MODE`,
		"v1Tables", strings.Join(e.v1Tables(), ", "))}
}
