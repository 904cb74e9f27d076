package resolvers_test

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/alwaysup/coexist/repo/repotest"
)

// stockCatalog is what PostgreSQL knows of V1's tables besides their rows.
var stockCatalog = []string{
	`(SELECT attrelid::regclass::text, attnum, attname, format_type(atttypid, atttypmod), attnotnull, attcollation::text, attstorage::text, atthasdef
		FROM pg_attribute WHERE attrelid IN ('customers'::regclass, 'orders'::regclass, 'order_details'::regclass)) a`,
	`(SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid), convalidated FROM pg_constraint
		WHERE conrelid IN ('customers'::regclass, 'orders'::regclass, 'order_details'::regclass)
			OR confrelid IN ('customers'::regclass, 'orders'::regclass, 'order_details'::regclass)) c`,
	`(SELECT pg_get_indexdef(indexrelid), indisvalid FROM pg_index WHERE indrelid IN ('customers'::regclass, 'orders'::regclass, 'order_details'::regclass)) i`,
	`(SELECT oid::regclass::text, relkind::text, relpersistence::text, relreplident::text, relrowsecurity, reloptions::text, relfilenode::text FROM pg_class
		WHERE oid IN ('customers'::regclass, 'orders'::regclass, 'order_details'::regclass)) t`,
}

// restoreDump runs a dump of pg_dump with INSERT statements.
func restoreDump(t *testing.T, url, path string) {
	t.Helper()
	dump, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), repotest.Pinned(url))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	// The server has forgotten this one setting since.
	script := strings.Replace(string(dump), "SET default_with_oids = false;", "", 1)
	if _, err := conn.PgConn().Exec(t.Context(), script).ReadAll(); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// loadCSV inserts a file's rows past the engine, as a program of the owner's would. \N is NULL.
func (s *server) loadCSV(table, path string) {
	s.t.Helper()
	file, err := os.Open(path)
	if err != nil {
		s.t.Fatal(err)
	}
	lines, err := csv.NewReader(file).ReadAll()
	if err := errors.Join(err, file.Close()); err != nil {
		s.t.Fatal(err)
	}
	tx, err := s.raw.BeginTx(s.t.Context(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	insert := fmt.Sprintf("INSERT INTO %s (%s) VALUES (?%s)", table, strings.Join(lines[0], ", "),
		strings.Repeat(", ?", len(lines[0])-1))
	for _, line := range lines[1:] {
		values := make([]any, len(line))
		for i, value := range line {
			if value != `\N` {
				values[i] = value
			}
		}
		if _, err := tx.ExecContext(s.t.Context(), insert, values...); err != nil {
			s.t.Fatalf("%v in %s %v", err, table, line)
		}
	}
	if err := tx.Commit(); err != nil {
		s.t.Fatal(err)
	}
}

// v1Rows is V1, row by row and byte for byte, as text that the database makes.
func (s *server) v1Rows() string {
	s.t.Helper()
	var all strings.Builder
	for _, table := range v1Tables {
		query := "SELECT t::text FROM " + table + " t"
		if s.sqlite {
			query = "SELECT " + strings.Join(s.quoted(table), " || ',' || ") + " FROM " + table
		}
		all.WriteString(strings.Join(s.lines(query), "\n"))
	}
	return all.String()
}

// quoted are SQLite's expressions for a table's columns as literals, which tell their types.
func (s *server) quoted(table string) []string {
	s.t.Helper()
	rows, err := s.raw.QueryContext(s.t.Context(), "SELECT 'quote('||name||')' FROM pragma_table_info(?)", table)
	if err != nil {
		s.t.Fatal(err)
	}
	var columns []string
	for rows.Next() {
		var column string
		if err := rows.Scan(&column); err != nil {
			s.t.Fatal(err)
		}
		columns = append(columns, column)
	}
	return columns
}

// readAll reads a list to its end, in pages, and returns every answer.
func (s *server) readAll(list, fields string) []string {
	s.t.Helper()
	var pages []string
	after := "null"
	for {
		page := s.get(
			fmt.Sprintf(
				`{ list: %s(first: 100, after: %s) { nodes %s pageInfo { hasNextPage endCursor } totalCount } }`, list,
				after, fields), nil)
		pages = append(pages, page)
		var got struct {
			List struct {
				PageInfo struct {
					HasNextPage bool
					EndCursor   string
				}
			}
		}
		if err := json.Unmarshal([]byte(page), &got); err != nil {
			s.t.Fatal(err)
		}
		if !got.List.PageInfo.HasNextPage {
			return pages
		}
		after = fmt.Sprintf("%q", got.List.PageInfo.EndCursor)
	}
}

func decode(t *testing.T, document string, target any) {
	t.Helper()
	if err := json.Unmarshal([]byte(document), target); err != nil {
		t.Fatal(err)
	}
}
