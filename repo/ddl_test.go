package repo_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// catalog describes all tables, but those that skip names, one line for each column, index and constraint.
func catalog(t *testing.T, url string, only func(table string) bool) []string {
	t.Helper()
	query := "SELECT tbl_name, type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema WHERE type IN ('table', 'index', 'trigger')"
	if strings.HasPrefix(url, "postgres") {
		query = `SELECT c.relname, format('column %s %s %s %s %s', a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attcollation::regcollation)
			FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relkind IN ('r', 'S') AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0
			UNION ALL SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'
			UNION ALL SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
			UNION ALL SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal`
	}
	found, err := repotest.Raw(t, url).Query(query)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for found.Next() {
		var table, line string
		if err := found.Scan(&table, &line); err != nil {
			t.Fatal(err)
		}
		if only(table) {
			lines = append(lines, table+": "+line)
		}
	}
	slices.Sort(lines)
	return lines
}

func everyTable(string) bool { return true }

// v1Columns leaves out triggers, the one thing that may come to V1's tables.
func v1Columns(t *testing.T, url string) []string {
	t.Helper()
	lines := catalog(t, url, func(table string) bool {
		return table == "notes" || table == "note_tags" ||
			table == "comments"
	})
	return slices.DeleteFunc(lines, func(line string) bool {
		return strings.Contains(line, ": trigger ") || strings.Contains(line, "CREATE TRIGGER")
	})
}

func TestInstallIsIdempotentAndLeavesV1Alone(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := repotest.DescribeNotes(t, url, repotest.Setup{})
		if empty, err := b.DB.Empty(t.Context()); err != nil || !empty {
			t.Errorf("a new database is empty: %v, %v", empty, err)
		}
		if err := b.DB.CreateV1Tables(t.Context()); err != nil {
			t.Fatal(err)
		}
		if empty, err := b.DB.Empty(t.Context()); err != nil || empty {
			t.Errorf("a database with tables is empty: %v, %v", empty, err)
		}
		if b.DB.CreateV1Tables(t.Context()) == nil {
			t.Error("V1 tables that are there are created again")
		}
		before := v1Columns(t, url)
		if len(before) == 0 {
			t.Fatal("no V1")
		}
		for range 2 {
			if err := b.DB.Install(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := b.DB.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		once := catalog(t, url, everyTable)
		b.SetPhase(repo.Migrate)
		insert(t, b, note("a", "a"))
		updateV2(t, b, "a", pin)
		// Another instance that starts takes nothing back.
		other := repotest.OpenNotes(t, url, repotest.Setup{})
		if m, err := other.Control.Migration(t.Context(), "NOTE"); err != nil || m.Phase != repo.Migrate {
			t.Errorf("%+v, %v", m, err)
		}
		wantPinned(t, agree(t, other, "a").Value)
		if after := v1Columns(t, url); !slices.Equal(before, after) {
			t.Errorf("V1 is altered, from\n%s\nto\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
		}
		if after := catalog(t, url, everyTable); !slices.Equal(once, after) {
			t.Errorf("installing again changes the tables, from\n%s\nto\n%s", strings.Join(once, "\n"),
				strings.Join(after, "\n"))
		}
	})
}

// The advisory lock in install, and BEGIN IMMEDIATE on SQLite: without it CREATE TABLE IF NOT EXISTS collides.
func TestInstancesInstallAtOnce(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		if err := repotest.DescribeNotes(t, url, repotest.Setup{}).DB.CreateV1Tables(t.Context()); err != nil {
			t.Fatal(err)
		}
		var instances sync.WaitGroup
		for range 5 {
			b := repotest.DescribeNotes(t, url, repotest.Setup{})
			instances.Go(func() {
				if err := b.DB.Install(t.Context()); err != nil {
					t.Error(err)
				}
				if err := b.DB.Check(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		instances.Wait()
	})
}

func TestDDLIsWhatInstallDoes(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := repotest.DescribeNotes(t, url, repotest.Setup{})
		if err := b.DB.CreateV1Tables(t.Context()); err != nil {
			t.Fatal(err)
		}
		empty := catalog(t, url, everyTable)
		ddl, err := b.DB.DDL(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if now := catalog(t, url, everyTable); !slices.Equal(now, empty) {
			t.Error("printing the DDL changes the database")
		}
		if b.DB.Check(t.Context()) == nil {
			t.Error("Check misses nothing")
		}
		repotest.Exec(t, repotest.Raw(t, url), ddl, ddl)
		if err := b.DB.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		byHand := catalog(t, url, everyTable)
		if err := b.DB.Install(t.Context()); err != nil {
			t.Fatal(err)
		}
		if after := catalog(t, url, everyTable); !slices.Equal(byHand, after) {
			t.Errorf("Install does more than the DDL says, from\n%s\nto\n%s", strings.Join(byHand, "\n"),
				strings.Join(after, "\n"))
		}
		insert(t, b, note("a", "a"))
		agree(t, b, "a")
	})
}

// createV1 creates the V1 tables with a key of the type, as somebody did long ago.
func createV1(t *testing.T, url, keyType, constraint string) {
	t.Helper()
	references := ""
	if constraint != "" {
		references = " REFERENCES notes"
	}
	repotest.Exec(t, repotest.Raw(t, url),
		fmt.Sprintf(
			"CREATE TABLE notes (extra text, id %s %s, title varchar(40) NOT NULL, body text, priority smallint NOT NULL)", keyType, constraint),
		fmt.Sprintf(
			"CREATE TABLE note_tags (note_id %s%s, rank smallint NOT NULL, name varchar(20) NOT NULL, PRIMARY KEY (note_id, rank))", keyType, references),
		fmt.Sprintf("CREATE TABLE comments (id integer PRIMARY KEY, note_id %s%s, words varchar(30) NOT NULL)",
			keyType, references))
}
