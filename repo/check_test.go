package repo_test

import (
	"context"
	neturl "net/url"
	"slices"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

func TestCheckNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ loss, names string }{
		{"ALTER TABLE notes_v2 DROP COLUMN headline", "headline"},
		{"DROP TABLE notes_v2_labels", "notes_v2_labels"},
		{"DELETE FROM coexist_entity WHERE name = 'NOTE'", "NOTE"},
		{"DROP TABLE note_tags", "note_tags"},
		{"ALTER TABLE notes DROP COLUMN priority", "priority"},
	} {
		t.Run(c.loss, func(t *testing.T) {
			inPhase(t, repo.Expand, func(t *testing.T, b *repotest.Bench) {
				repotest.Exec(t, repotest.Raw(t, b.URL), c.loss)
				if err := b.DB.Check(t.Context()); err == nil || !strings.Contains(err.Error(), c.names) {
					t.Errorf("the error is %v, want one that names %s", err, c.names)
				}
			})
		})
	}
}

// The tables of V2 may be of another hand than the model.
func TestV2ColumnsThatChangeWhatIsWrittenAreRefused(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{})
		repotest.Exec(t, repotest.Raw(t, url), "ALTER TABLE notes_v2 ALTER COLUMN headline TYPE char(40)")
		if err := b.DB.Check(t.Context()); err == nil || !strings.Contains(err.Error(),
			"column headline of V2's table notes_v2 is character(40), which loses blanks") {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestEncodingsThatDoNotHoldEveryTextAreRefused(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		for _, encoding := range []string{"LATIN1", "SQL_ASCII"} {
			at, err := neturl.Parse(url)
			if err != nil {
				t.Fatal(err)
			}
			at.Path += "_" + strings.ToLower(encoding)
			repotest.Exec(t, repotest.Raw(t, url), "CREATE DATABASE "+at.Path[1:]+
				" TEMPLATE template0 LOCALE 'C' ENCODING '"+encoding+"'")
			b := repotest.DescribeNotes(t, at.String(), repotest.Setup{})
			for does, f := range map[string]func(context.Context) error{
				"CreateV1Tables": b.DB.CreateV1Tables,
				"Install":        b.DB.Install, "Check": b.DB.Check,
			} {
				if err := f(t.Context()); err == nil || !strings.Contains(err.Error(), "encoding is "+encoding) {
					t.Errorf("%s: %v", does, err)
				}
			}
		}
	})
}

func TestAKeyThatIsNotUniqueIsRefused(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		createV1(t, url, "varchar(12) NOT NULL", "")
		b := repotest.DescribeNotes(t, url, repotest.Setup{})
		if err := b.DB.Install(t.Context()); err == nil || !strings.Contains(err.Error(), "unique") {
			t.Errorf("the error is %v", err)
		}
	})
}

// What the triggers would not see each write of, or whose values could not come back, is refused before anything is
// created.
func TestV1TablesThatCannotMigrateAreRefused(t *testing.T) {
	t.Parallel()
	const tags = "CREATE TABLE note_tags (note_id varchar(12), rank smallint, name varchar(20), PRIMARY KEY (note_id, rank))"
	const columns = "(id varchar(12), title varchar(40), body text, priority smallint"
	for name, c := range map[string]struct {
		database string // "" for both
		made     []string
		says     []string
	}{
		"view": {"", []string{
			"CREATE TABLE old_notes " + columns + ", PRIMARY KEY (id))",
			"CREATE VIEW notes AS SELECT * FROM old_notes", tags,
		}, []string{"notes is a view"}},
		"view of children": {"", []string{
			"CREATE TABLE notes " + columns + ", PRIMARY KEY (id))", strings.Replace(tags, "note_tags", "old_tags", 1),
			"CREATE VIEW note_tags AS SELECT * FROM old_tags",
		}, []string{"note_tags is a view"}},
		"materialized view": {
			"postgres",
			[]string{
				"CREATE TABLE old_notes " + columns + ", PRIMARY KEY (id))",
				"CREATE MATERIALIZED VIEW notes AS SELECT * FROM old_notes", tags,
			},
			[]string{"notes is a materialized view"},
		},
		"foreign": {
			"postgres",
			[]string{
				"CREATE FOREIGN DATA WRAPPER w", "CREATE SERVER s FOREIGN DATA WRAPPER w",
				"CREATE FOREIGN TABLE notes " + columns + ") SERVER s", tags,
			},
			[]string{"notes is a foreign table"},
		},
		"partitioned": {
			"postgres",
			[]string{
				"CREATE TABLE notes " + columns + ", PRIMARY KEY (id)) PARTITION BY LIST (id)",
				"CREATE TABLE notes_a PARTITION OF notes DEFAULT", tags,
			},
			[]string{"notes is a partitioned table"},
		},
		"partition": {
			"postgres",
			[]string{
				"CREATE TABLE all_notes " + columns + ", PRIMARY KEY (id)) PARTITION BY LIST (id)",
				"CREATE TABLE notes PARTITION OF all_notes DEFAULT", tags,
			},
			[]string{"notes is a partition of a table"},
		},
		"parent": {
			"postgres",
			[]string{
				"CREATE TABLE notes " + columns + ", PRIMARY KEY (id))",
				"CREATE TABLE more_notes () INHERITS (notes)", tags,
			},
			[]string{"notes is a table from which others inherit"},
		},
		"heir": {
			"postgres",
			[]string{
				"CREATE TABLE old_notes " + columns + ", PRIMARY KEY (id))",
				"CREATE TABLE notes (PRIMARY KEY (id)) INHERITS (old_notes)", tags,
			},
			[]string{"notes is a table that inherits from another"},
		},
		"virtual": {
			"sqlite",
			[]string{"CREATE VIRTUAL TABLE notes USING fts3(id, title, body, priority)", tags},
			[]string{"notes is a virtual table"},
		},
		"array": {
			"postgres",
			[]string{
				"CREATE TABLE notes (id varchar(12) PRIMARY KEY, title text[], body text, priority smallint)",
				tags,
			},
			[]string{"column title of table notes is text[]", "varchar(40)"},
		},
		"JSON": {
			"postgres",
			[]string{"CREATE TABLE notes (id varchar(12) PRIMARY KEY, title varchar(40), body jsonb, priority smallint)", tags},
			[]string{"column body of table notes is jsonb"},
		},
		"bytes": {
			"postgres",
			[]string{
				"CREATE TABLE notes (id varchar(12) PRIMARY KEY, title bytea, body text, priority smallint)",
				tags,
			},
			[]string{"column title of table notes is bytea"},
		},
		"uuid key": {
			"postgres",
			[]string{"CREATE TABLE notes (id uuid PRIMARY KEY, title text, body text, priority smallint)", tags},
			[]string{"column id of table notes is uuid"},
		},
		"decimal": {
			"postgres",
			[]string{
				"CREATE TABLE notes (id varchar(12) PRIMARY KEY, title text, body text, priority numeric(5,2))",
				tags,
			},
			[]string{"priority of table notes is numeric(5,2)"},
		},
		"real": {
			"sqlite",
			[]string{"CREATE TABLE notes (id varchar(12) PRIMARY KEY, title text, body text, priority DOUBLE)", tags},
			[]string{"priority of table notes is double"},
		},
		"numbers as text": {
			"sqlite",
			[]string{"CREATE TABLE notes (id varchar(12) PRIMARY KEY, title text, body text, priority TEXT)", tags},
			[]string{"priority of table notes is text"},
		},
		// '007' becomes 7
		"text as numbers": {
			"sqlite",
			[]string{
				"CREATE TABLE notes (id varchar(12) PRIMARY KEY, title DECIMAL(10), body text, priority int)",
				tags,
			},
			[]string{"title of table notes is decimal(10)"},
		},
		"deferrable key": {
			"postgres",
			[]string{"CREATE TABLE notes " + columns + ", PRIMARY KEY (id) DEFERRABLE)", tags},
			[]string{"column id of table notes", "a deferrable constraint"},
		},
		"child's": {"", []string{
			"CREATE TABLE notes " + columns + ", PRIMARY KEY (id))",
			strings.Replace(tags, "varchar(20)", "integer", 1),
		}, []string{"name of table note_tags is integer"}},
		"generated": {
			"postgres",
			[]string{"CREATE TABLE notes (id varchar(12) PRIMARY KEY, title text GENERATED ALWAYS AS (id || '!') STORED, body text, priority int)", tags},
			[]string{"title of table notes is generated"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, c.database, func(t *testing.T, url string) {
				repotest.Exec(t, repotest.Raw(t, url), c.made...)
				before := catalog(t, url, everyTable)
				b := repotest.DescribeNotes(t, url, repotest.Setup{})
				_, ddlErr := b.DB.DDL(t.Context())
				for does, err := range map[string]error{"Install": b.DB.Install(t.Context()), "DDL": ddlErr} {
					for _, part := range c.says {
						if err == nil || !strings.Contains(err.Error(), part) || strings.Contains(err.Error(), "\n") {
							t.Errorf("%s: %v", does, err)
						}
					}
				}
				if after := catalog(t, url, everyTable); !slices.Equal(before, after) {
					t.Errorf("something is left behind: %s", after)
				}
			})
		})
	}
}

// on runs f on one database, or for "" on both.
func on(t *testing.T, database string, f func(t *testing.T, url string)) {
	t.Helper()
	switch database {
	case "":
		repotest.Each(t, f)
	case "sqlite":
		f(t, repotest.SQLite(t))
	default:
		f(t, repotest.Postgres(t))
	}
}

// Types that hold the same values do, whatever their limits and names.
func TestV1ColumnsOfOtherTypes(t *testing.T) {
	t.Parallel()
	const comments = "CREATE TABLE comments (id integer PRIMARY KEY, note_id varchar(12), words varchar(30))"
	for name, c := range map[string]struct {
		database, key string
		made          []string
	}{
		"wider": {
			"", "text",
			[]string{"CREATE TABLE notes (id text PRIMARY KEY, title text, body varchar(2000), priority bigint)"},
		},
		"narrower": {
			"", "char(4)",
			[]string{"CREATE TABLE notes (id char(4) PRIMARY KEY, title char(9), body varchar(9), priority smallint)"},
		},
		"domains": {"postgres", "note_id", []string{
			`CREATE DOMAIN note_id AS varchar(6) COLLATE "C" CHECK (VALUE <> 'never')`, "CREATE DOMAIN words AS text",
			"CREATE TABLE notes (id note_id PRIMARY KEY, title text, body words, priority smallint)",
		}},
		"SQLite's": {
			"sqlite", "NVARCHAR(4)",
			[]string{"CREATE TABLE notes (id NVARCHAR(4) PRIMARY KEY, title, body CLOB, priority MEDIUMINT)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, c.database, func(t *testing.T, url string) {
				raw := repotest.Raw(t, url)
				repotest.Exec(t, raw, append(c.made, "CREATE TABLE note_tags (note_id "+c.key+
					", rank smallint, name varchar(20), PRIMARY KEY (note_id, rank))", comments)...)
				b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
				insert(t, b, note("a", "a"), note("b", "b: b"))
				updateV2(t, b, "a", pin)
				updateV1(t, b, "b", func(n *repotest.NoteV1) { n.Title = "c: d" })
				clean(t, b, sweep(t, b, repo.SweepRequest{}))
				clean(t, b, verify(t, b, false))
				wantPinned(t, agree(t, b, "a").Value)
				agree(t, b, "b")
			})
		})
	}
}

// A role that does not see all rows, or may not write them, is told so at the start.
func TestRightsOnTables(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	raw := repotest.Raw(t, url)
	repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
	role := repotest.NewRole(t, url)
	b := repotest.DescribeNotes(t, repotest.WithUser(t, url, role), repotest.Setup{Phase: repo.Migrate})
	repotest.Exec(t, raw, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "+role)
	if err := b.DB.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ made, undone, says string }{
		{
			"REVOKE DELETE, UPDATE ON note_tags FROM " + role, "GRANT DELETE, UPDATE ON note_tags TO " + role,
			"lacks the rights UPDATE, DELETE on table note_tags",
		},
		{
			"REVOKE INSERT ON notes_v2 FROM " + role, "GRANT INSERT ON notes_v2 TO " + role,
			"lacks the rights INSERT on table notes_v2",
		},
		{
			"ALTER TABLE notes ENABLE ROW LEVEL SECURITY", "ALTER TABLE notes DISABLE ROW LEVEL SECURITY",
			"row-level security may hide rows of table notes from role " + role + " (HIDDEN_ROWS)",
		},
		{
			"ALTER TABLE notes_v2_labels ENABLE ROW LEVEL SECURITY",
			"ALTER TABLE notes_v2_labels DISABLE ROW LEVEL SECURITY", "HIDDEN_ROWS",
		},
		{
			"ALTER TABLE coexist_note_mark ENABLE ROW LEVEL SECURITY",
			"ALTER TABLE coexist_note_mark DISABLE ROW LEVEL SECURITY", "coexist_note_mark",
		},
		{"ALTER ROLE " + role + " NOINHERIT", "ALTER ROLE " + role + " INHERIT", ""},
	} {
		repotest.Exec(t, raw, c.made)
		err := b.DB.Check(t.Context())
		switch {
		case c.says == "" && err != nil, c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v", c.made, err)
		}
		repotest.Exec(t, raw, c.undone)
	}
	// The owner of the tables, for whom policies do not hold, is none of it.
	repotest.Exec(t, raw, "ALTER TABLE notes ENABLE ROW LEVEL SECURITY")
	if err := repotest.DescribeNotes(t, url, repotest.Setup{}).DB.Check(context.Background()); err != nil {
		t.Error(err)
	}
}
