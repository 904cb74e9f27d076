package repotest

import (
	"fmt"
	"net/url"
	"testing"
)

// NewRole creates a role in the cluster of a database on PostgreSQL, and returns its name. The role may log in and
// nothing else. It is dropped at the end of the test.
func NewRole(t testing.TB, database string) string {
	t.Helper()
	raw := Raw(t, database)
	role := fmt.Sprintf("server_%d", One[int64](t, raw,
		"SELECT oid FROM pg_database WHERE datname = current_database()"))
	Exec(t, raw, "CREATE ROLE "+role+" LOGIN")
	t.Cleanup(func() { Exec(t, raw, "DROP OWNED BY "+role+" CASCADE", "DROP ROLE "+role) })
	return role
}

// WithUser returns the URL of a database on PostgreSQL with another role as its user.
func WithUser(t testing.TB, database, role string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	if u.User != nil {
		u.User = url.User(role)
	}
	q := u.Query()
	if q.Has("user") {
		q.Set("user", role)
		u.RawQuery = q.Encode()
	}
	return u.String()
}
