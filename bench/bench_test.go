package main

import (
	"database/sql"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/repo/repotest"
)

func TestMain(m *testing.M) { repotest.Main(m) }

const few = 250

// INSERT … SELECT is a fair yardstick only if it writes as many rows as a sweep.
func TestTheYardstickWritesAsManyRows(t *testing.T) {
	repotest.Each(t, func(t *testing.T, url string) {
		ctx := t.Context()
		isSQLite := strings.HasPrefix(url, "sqlite:")
		other := repotest.Postgres(t)
		if isSQLite {
			other = repotest.SQLite(t)
		}
		for _, address := range []string{url, other} {
			if err := seed(ctx, address, few, few/ordersPart); err != nil {
				t.Fatal(err)
			}
		}
		swept, yardstick := repotest.Raw(t, url), repotest.Raw(t, other)
		c, err := openCluster(ctx, repotest.Postgres(t))
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		f := &flags{Rows: few}
		for entity, rows := range map[string]int64{"CUSTOMER": few, "ORDER": few / ordersPart} {
			if err := f.engineRuns(ctx, c, url, entity, 1, rows, func(string, cost) {}); err != nil {
				t.Fatal(err)
			}
			if !isSQLite {
				if err := execute(ctx, other, insertSelect[entity]...); err != nil {
					t.Fatal(err)
				}
			}
		}
		tables := []string{"customers_v2", "customer_v2_contacts", "customer_v2_addresses", "customer_v2_phones"}
		if isSQLite {
			if err := insertOnSQLite(ctx, strings.TrimPrefix(other, "sqlite:")); err != nil {
				t.Fatal(err)
			}
		} else {
			tables = append(tables, "orders_v2", "order_v2_lines")
		}
		for _, table := range tables {
			if a, b := count(t, swept, table), count(t, yardstick, table); a != b || a == 0 {
				t.Errorf("%s: the sweep wrote %d rows, the yardstick %d", table, a, b)
			}
		}
	})
}

func count(t *testing.T, raw *sql.DB, table string) int64 {
	t.Helper()
	return repotest.One[int64](t, raw, "SELECT count(*) FROM "+table)
}

var cursor = regexp.MustCompile(`"endCursor":"[^"]*"`)

// What Coexist is held against answers the same.
func TestThePlainServerAnswersTheSame(t *testing.T) {
	url := repotest.Postgres(t)
	if err := seed(t.Context(), url, few, 0); err != nil {
		t.Fatal(err)
	}
	e, err := openEngine(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer e.db.Close() //nolint:errcheck // nothing is lost with it
	if _, err := e.resolver.Customers.GetManyV2(t.Context(), keys()[:few/2]); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	answers := func(root graph.ResolverRoot, body []byte) string {
		s, err := newServer(e, root, "..")
		if err != nil {
			t.Fatal(err)
		}
		web := httptest.NewServer(s)
		defer web.Close()
		p := &process{url: web.URL, client: web.Client()}
		data, err := p.ask(t.Context(), body)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for _, body := range [][]byte{
		document(oneQuery, map[string]any{"key": keys()[3]}), document(listQuery, nil),
		document(oneQuery, map[string]any{"key": "nobody"}),
	} {
		ours, theirs := answers(e.resolver, body), answers(&plain{e.resolver, pool}, body)
		// Each has cursors of its own.
		if cursor.ReplaceAllString(ours, "") != cursor.ReplaceAllString(theirs, "") || ours == "" {
			t.Errorf("%s\nis answered %s\nby the plain server %s", body, ours, theirs)
		}
	}
}
