package database

import (
	commandline "flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = commandline.Bool("write-errors", false, "write the reference of error codes")

// Every code has a class, what is not in the tables too; the longest match counts.
func TestErrorClasses(t *testing.T) {
	for code, want := range map[string]errorClass{
		"22001": classInput, "22P02": classInput, "2201W": classUnavailable, "23505": classUnique, "23P01": classUnique,
		"23503": classForeignKey, "23001": classForeignKey,
		"23502": classNotNull, "23514": classCheck, "23000": classCheck, "25006": classUnavailable, "25001": classFault,
		"40001": classBusy, "40P01": classBusy, "40002": classCheck,
		"42501": classDenied, "42P01": classAltered, "42601": classFault, "53100": classUnavailable,
		"54001": classUnavailable, "55000": classConflict, "55P03": classBusy,
		"57014": classUnavailable, "57P01": classUnavailable, "58030": classUnavailable, "P0001": classRefusal,
		"P0002": classRefusal, "XX000": classFault, "XX001": classUnavailable,
		"45000": classRefusal, "ZZ123": classRefusal, "": classRefusal, "28P01": classUnavailable,
		"3D000": classUnavailable, "26000": classUnavailable, "0A000": classFault,
	} {
		if got := classOf(postgresCodes, code, otherPostgres); got.class != want ||
			(got.class == classUnavailable) != (got.cause != "") {
			t.Errorf("%q is %+v, want %s", code, got, want)
		}
	}
	for code, want := range map[string]errorClass{
		"19/1555": classUnique, "19/2067": classUnique, "19/787": classForeignKey, "19/1299": classNotNull,
		"19/275": classCheck, "19/1811": classRefusal, "5/5": classBusy, "6/262": classBusy,
		"8/1032": classUnavailable, "13/13": classUnavailable, "11/11": classUnavailable, "1/1": classFault,
		"18/18": classInput, "99/99": classFault,
	} {
		if got := classOf(SQLiteCodes, code, otherSQLite); got.class != want ||
			(got.class == classUnavailable) != (got.cause != "") {
			t.Errorf("%q is %+v, want %s", code, got, want)
		}
	}
}

// docs/errors.md is what the tables say: go test ./repo/internal/database -run TestErrorReference -write-errors writes
// it.
func TestErrorReference(t *testing.T) {
	const path = "../../../docs/errors.md"
	want := errorReference()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s is not what the tables say (%v): run go test ./repo/internal/database -run TestErrorReference -write-errors", path,
			err)
	}
}

// errorReference is the document.
func errorReference() string {
	answers := map[errorClass]string{
		classInput: "BAD_USER_INPUT with the field", classUnique: "ALREADY_EXISTS where it is the key, else CONFLICT",
		classForeignKey: "BAD_USER_INPUT with the field; CONFLICT for a delete",
		classNotNull:    "BAD_USER_INPUT with the field", classCheck: "BAD_USER_INPUT",
		classRefusal:  "CONFLICT with the owner's message and HINT",
		classConflict: "CONFLICT with the database's message",
		classBusy:     "tried again with back-off, then UNAVAILABLE, cause BUSY",
		classAltered:  "UNAVAILABLE, cause ALTERED", classHidden: "UNAVAILABLE, cause HIDDEN_ROWS",
		classDenied: "UNAVAILABLE, cause RIGHTS", classUnavailable: "UNAVAILABLE, cause ",
		classFault: "INTERNAL, with a reference to the log",
	}
	var b strings.Builder
	b.WriteString(
		"# What becomes of the database's errors\n\nGenerated from `classes_postgres.go` and `classes_sqlite.go` of `repo/internal/database`. Where several lines match a code, the most specific one counts. " +
			"A client gets `extensions.code`, and with UNAVAILABLE `extensions.cause`, never SQL. A run quarantines the row, or lists it, where it is a row's fault; " +
			"waits where it may pass by itself; and fails where something has to be mended first.\n")
	write := func(heading, codes string, table []codeClass, other codeClass) {
		fmt.Fprintf(&b, "\n## %s\n\n| %s | it means | it is | a client gets |\n|---|---|---|---|\n", heading, codes)
		for _, line := range append(sortedCodes(table), other) {
			name := "any other"
			if line.codes != "" {
				name = "`" + strings.ReplaceAll(line.codes, " ", "` `") + "`"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s%s |\n", name, line.meaning, line.class,
				answers[line.class], line.cause)
		}
	}
	write("PostgreSQL", "SQLSTATE, or what it begins with", postgresCodes, otherPostgres)
	b.WriteString(
		"\nAn error that the owner's code raises, or that a statement within a function of the owner's meets, is the owner's refusal whatever its code.\n")
	write("SQLite", "result code/extended code", SQLiteCodes, otherSQLite)
	return b.String()
}
