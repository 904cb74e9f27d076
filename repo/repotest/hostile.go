package repotest

import (
	"net/url"
	"os"
	"strings"
	"testing"
)

// hostileVariable makes every database on PostgreSQL hostile if it is 1. The settings of the database would change
// values or names if the engine let them. The engine's role is not a superuser, and owns V1's tables only if it creates
// them.
const hostileVariable = "COEXIST_TEST_HOSTILE"

// hostileRole is the role by which the engine connects to a hostile database.
const hostileRole = "app"

func hostile() bool { return os.Getenv(hostileVariable) == "1" }

// hostileSettings returns the statements that make a database hostile.
func hostileSettings(database string) []string {
	alter := "ALTER DATABASE " + database + " SET "
	return []string{
		alter + "extra_float_digits = 0",
		alter + "datestyle = 'SQL, DMY'",
		alter + "intervalstyle = 'sql_standard'",
		alter + "timezone = 'Pacific/Auckland'",
		alter + "default_transaction_isolation = 'serializable'",
		alter + "search_path = elsewhere, pg_catalog",
		alter + "bytea_output = 'escape'",
		alter + "standard_conforming_strings = off",
		alter + "client_encoding = 'LATIN1'",
		alter + "quote_all_identifiers = on",
		alter + "transform_null_equals = on",
		"GRANT CREATE, TEMPORARY ON DATABASE " + database + " TO " + hostileRole,
	}
}

// hostileRights are the statements that give the engine's role its rights in a database, also on tables and sequences
// that the tests' own connections create there.
var hostileRights = []string{
	"CREATE SCHEMA elsewhere AUTHORIZATION " + hostileRole,
	"GRANT CREATE, USAGE ON SCHEMA public TO " + hostileRole,
	"ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO " + hostileRole,
	"ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO " + hostileRole,
}

// ByEngine returns SQL for the test's own connection to a database, which runs the script as the engine's role would.
func ByEngine(database, script string) string {
	if Pinned(database) == database {
		return script
	}
	return "SET ROLE " + hostileRole + ";\n" + script + ";\nRESET ROLE"
}

// HostilePostgres does what Postgres does, with hostile settings whatever the environment says.
func HostilePostgres(t testing.TB) string {
	t.Helper()
	u, err := url.Parse(Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	if hostile() {
		return u.String()
	}
	c, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return c.makeHostile(t, strings.TrimPrefix(u.Path, "/"))
}

// Pinned returns the URL of a database for the test's own connection. It undoes the hostile settings, which are meant
// for the engine only.
func Pinned(database string) string {
	u, err := url.Parse(database)
	if err != nil || u.Scheme != "postgres" || u.User.Username() != hostileRole && !hostile() {
		return database
	}
	if u.User.Username() == hostileRole {
		u.User = url.User("coexist")
	}
	q := u.Query()
	for name, value := range map[string]string{
		"extra_float_digits": "1", "datestyle": "ISO, MDY", "intervalstyle": "postgres", "timezone": "UTC",
		"default_transaction_isolation": "read committed", "search_path": "public,elsewhere", "bytea_output": "hex",
		"client_encoding": "UTF8", "standard_conforming_strings": "on", "quote_all_identifiers": "off",
		"transform_null_equals": "off",
	} {
		q.Set(name, value)
	}
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20") // the driver would read a plus as a plus, not as a blank
	return u.String()
}
