package resolvers_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// eachStock runs f on both databases with the world's Northwind in V1, in MIGRATE; on PostgreSQL alone where statements
// are given that change the stock. Where COEXIST_NORTHWIND names no folder that has it, nothing runs.
func eachStock(t *testing.T, made []string, f func(t *testing.T, s *server)) {
	t.Helper()
	folder := os.Getenv("COEXIST_NORTHWIND")
	if folder == "" {
		fmt.Fprintf(os.Stderr,
			"WARNING: %s: COEXIST_NORTHWIND names no folder with northwind.sql: nothing is tested with the real data\n",
			t.Name())
		return
	}
	each := repotest.Each
	if made != nil {
		each = func(t *testing.T, f func(*testing.T, string)) { t.Helper(); f(t, repotest.Postgres(t)) }
	}
	each(t, func(t *testing.T, url string) {
		s := openServer(t, url, repo.Migrate)
		if s.sqlite {
			if err := s.db.CreateV1Tables(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, table := range v1Tables {
				s.loadCSV(table, filepath.Join(folder, table+".csv"))
			}
		} else {
			restoreDump(t, url, filepath.Join(folder, "northwind.sql"))
			for _, statement := range made {
				s.exec(statement)
			}
		}
		s.install()
		s.work()
		f(t, s)
	})
}

// keysOf are the customers of a page.
func (s *server) keysOf(arguments string) string {
	s.t.Helper()
	var got struct {
		List struct {
			Nodes []struct{ CustomerID string }
		}
	}
	s.into(&got, `{ list: customersV2(`+arguments+`) { nodes { customerId } } }`, nil)
	var keys []string
	for _, node := range got.List.Nodes {
		keys = append(keys, node.CustomerID)
	}
	return strings.Join(keys, " ")
}

// nameContains is an exact substring: no letter means another, whatever the database, the column's collation, and
// whether rows have migrated.
func TestNameContainsInStock(t *testing.T) {
	t.Parallel()
	for name, made := range map[string][]string{
		"stock": nil,
		"any case": {
			"CREATE COLLATION anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
			"ALTER TABLE customers ALTER company_name TYPE varchar(40) COLLATE anycase",
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachStock(t, made, func(t *testing.T, s *server) {
				for round := range 2 {
					for text, want := range map[string]string{
						`%`: "", `_`: "", `\\`: "", `'`: "BONAP BSBEV LACOR LAMAI LETSS TRAIH",
						`Comidas`: "BOLID CACTU PERIC", `Kön`: "KOENE", `comidas`: "", `kÖn`: "",
						`KOENE`: "",
					} {
						got := s.keysOf(`filter: {nameContains: "` + text + `"}, first: 100`)
						if got != want {
							t.Errorf("round %d: %s finds %s, want %s", round, text, got, want)
						}
					}
					if n := len(strings.Fields(s.keysOf(`filter: {nameContains: ""}, first: 100`))); n != 91 {
						t.Errorf("round %d: nothing is in %d names", round, n)
					}
				}
			})
		})
	}
}

// A cursor whose row has gone still pages on, in either shape, and page info is true at the edges. What makes no sense
// is refused at its argument.
func TestPagesOfStock(t *testing.T) {
	t.Parallel()
	eachStock(t, nil, func(t *testing.T, s *server) {
		type page struct {
			Nodes    []struct{ CustomerID string }
			PageInfo struct {
				HasNextPage, HasPreviousPage bool
				StartCursor, EndCursor       string
			}
		}
		list := func(field, arguments string) page {
			var got struct{ List page }
			s.into(&got, `{ list: `+field+`(`+arguments+
				`) { nodes { customerId } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }`, nil)
			return got.List
		}
		first := list("customersV1", "first: 10")
		if last := first.Nodes[9].CustomerID; last != "BOTTM" || !first.PageInfo.HasNextPage ||
			first.PageInfo.HasPreviousPage {
			t.Errorf("%+v", first)
		}
		s.exec("DELETE FROM order_details WHERE order_id IN (SELECT order_id FROM orders WHERE customer_id = 'BOTTM')")
		s.exec("DELETE FROM orders WHERE customer_id = 'BOTTM'")
		s.exec("DELETE FROM customers WHERE customer_id = 'BOTTM'")
		for _, field := range []string{"customersV2", "customersV1"} {
			second := list(field, `first: 10, after: "`+first.PageInfo.EndCursor+`"`)
			if second.Nodes[0].CustomerID != "BSBEV" || !second.PageInfo.HasPreviousPage ||
				!second.PageInfo.HasNextPage {
				t.Errorf("%s: %+v", field, second)
			}
			before := list(field, `last: 10, before: "`+first.PageInfo.StartCursor+`"`)
			if len(before.Nodes) != 0 || before.PageInfo.HasPreviousPage || !before.PageInfo.HasNextPage {
				t.Errorf("%s before the first: %+v", field, before)
			}
			back := list(field, `last: 3, before: "`+second.PageInfo.StartCursor+`"`)
			if back.Nodes[2].CustomerID != "BONAP" || !back.PageInfo.HasPreviousPage || !back.PageInfo.HasNextPage {
				t.Errorf("%s back: %+v", field, back)
			}
			end := list(field, `last: 1`)
			if after := list(field, `first: 5, after: "`+end.PageInfo.EndCursor+
				`"`); end.Nodes[0].CustomerID != "WOLZA" || end.PageInfo.HasNextPage || len(after.Nodes) != 0 ||
				after.PageInfo.HasNextPage || !after.PageInfo.HasPreviousPage {
				t.Errorf("%s at the end: %+v, %+v", field, end, after)
			}
		}
		byName := list("customersV2", "first: 1, orderBy: {field: NAME}").PageInfo.EndCursor
		var orders struct{ OrdersV2 page }
		s.into(&orders, `{ ordersV2(first: 1) { pageInfo { endCursor } } }`, nil)
		for _, c := range []struct{ arguments, field string }{
			{`first: 5, last: 5`, "last"},
			{`first: -1`, "first"},
			{`last: -1`, "last"},
			{`first: 101`, "first"},
			{`last: 101`, "last"},
			{`after: "AAAA"`, "after"},
			{`before: "!"`, "before"},
			{`after: "` + byName + `"`, "after"},
			{`before: "` + orders.OrdersV2.PageInfo.EndCursor + `"`, "before"},
			{`after: "` + orders.OrdersV2.PageInfo.EndCursor + `"`, "after"},
			{`orderBy: {field: NAME}, after: "` + first.PageInfo.EndCursor + `"`, "after"},
		} {
			for _, field := range []string{"customersV1", "customersV2"} {
				s.refused(`{ `+field+`(`+c.arguments+`) { nodes { customerId } } }`, nil, "BAD_USER_INPUT", c.field)
			}
		}
	})
}

// Progress says what is so on a table that is empty, and on one that other programs fill and empty while it is swept:
// never no number, never more than all, and all only when nothing is left.
func TestProgressAtTheEdges(t *testing.T) {
	t.Parallel()
	eachStock(t, nil, func(t *testing.T, s *server) {
		for _, table := range slices.Backward(v1Tables) {
			if !s.sqlite {
				s.exec("TRUNCATE " + table + " CASCADE")
			}
			s.exec("DELETE FROM " + table)
		}
		const counts = `{ migration(entity: CUSTOMER) { progress { total migrated remaining stale quarantined fraction exact } } }`
		nothing := `{"migration":{"progress":{"total":0,"migrated":0,"remaining":0,"stale":0,"quarantined":0,"fraction":1,"exact":true}}}`
		s.want(counts, nil, nothing)
		for _, start := range []string{"startRehearsal", "startSweep", "startVerification"} {
			r := s.finish(start, vars{"entity": "CUSTOMER"})
			if r.Status != "SUCCEEDED" || r.Total != 0 || r.Done != 0 || r.RowsPerSecond != 0 || r.EtaSeconds != nil &&
				*r.EtaSeconds != 0 {
				t.Errorf("%s: %+v", start, r)
			}
		}
		s.want(counts, nil, nothing)
		s.want(`{ migration(entity: CUSTOMER) { gate(to: CUTOVER) { code } } }`, nil, `{"migration":{"gate":[]}}`)

		insert := func(from, to int) {
			s.exec(fmt.Sprintf(`INSERT INTO customers (customer_id, company_name, country) WITH RECURSIVE n(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM n WHERE i < %d)
				SELECT CAST(i AS varchar(5)), 'Customer ' || i, 'Portugal' FROM n`, from, to))
		}
		insert(10001, 11000)
		started := s.sweep(vars{"entity": "CUSTOMER", "maxRowsPerSecond": 2000})
		if started.Total != 1000 {
			t.Errorf("of 1000 rows: %+v", started)
		}
		sub := s.subscribe(`subscription($id: ID!) { runProgress(id: $id) `+allOfRun+` }`, vars{"id": started.ID})
		var last run
		for step := 0; ; step++ {
			a, more := sub.next()
			if !more {
				break
			}
			var got struct{ RunProgress run }
			if err := json.Unmarshal(a.Data, &got); err != nil || len(a.Errors) > 0 {
				t.Fatalf("%v, %+v", err, a)
			}
			last = got.RunProgress
			if last.Done > last.Total || last.Total < 0 || last.Migrated > last.Done || last.EtaSeconds != nil &&
				*last.EtaSeconds < 0 {
				t.Errorf("a sweep says %+v", last)
			}
			switch step {
			case 0:
				s.exec("DELETE FROM customers WHERE customer_id > '10500'")
			case 1:
				insert(20001, 20350)
				insert(10501, 10850)
			}
			var p struct {
				Migration struct {
					Progress struct {
						Total, Migrated, Remaining, Stale, Quarantined int
						Fraction                                       *float64
					}
				}
			}
			s.into(&p, counts, nil)
			now := p.Migration.Progress
			if now.Total < 0 || now.Remaining < 0 || now.Stale < 0 || now.Fraction == nil || *now.Fraction > 1 ||
				*now.Fraction == 1 && now.Remaining+now.Stale > 0 ||
				now.Migrated+now.Remaining+now.Stale+now.Quarantined != now.Total {
				t.Errorf("progress says %+v", now)
			}
		}
		if last.Status != "SUCCEEDED" || last.Done != last.Total {
			t.Errorf("the sweep ends %+v", last)
		}
		s.finish("startSweep", vars{"entity": "CUSTOMER"})
		s.want(counts, nil,
			`{"migration":{"progress":{"total":1200,"migrated":1200,"remaining":0,"stale":0,"quarantined":0,"fraction":1,"exact":true}}}`)
	})
}
