package database

import (
	"strconv"
	"strings"

	"github.com/mattn/go-sqlite3"
)

// SQLiteCodes are the result codes of SQLite (https://sqlite.org/rescode.html): primary ones, and extended ones after a
// slash.
var SQLiteCodes = []codeClass{
	{
		"1/", classFault, "",
		"SQLITE_ERROR: a statement that makes no sense, or a table that is not there, which its words tell",
	},
	{"2/ 12/ 21/ 25/", classFault, "", "SQLITE_INTERNAL, NOTFOUND, MISUSE, RANGE"},
	{"3/ 23/", classUnavailable, CauseRights, "SQLITE_PERM, AUTH"},
	{"4/", classBusy, "", "SQLITE_ABORT"},
	{"5/ 6/", classBusy, "", "SQLITE_BUSY, LOCKED: another connection writes"},
	{"7/", classUnavailable, CauseResources, "SQLITE_NOMEM"},
	{"8/", classUnavailable, CauseReadOnly, "SQLITE_READONLY: the file, or its directory, may not be written"},
	{"9/", classUnavailable, CauseTimeout, "SQLITE_INTERRUPT"},
	{"10/", classUnavailable, CauseStorage, "SQLITE_IOERR"},
	{"11/ 26/", classUnavailable, CauseStorage, "SQLITE_CORRUPT, NOTADB: the file is damaged, or is not an SQLite database"},
	{"13/", classUnavailable, CauseResources, "SQLITE_FULL: the disk is full"},
	{"14/ 22/", classUnavailable, CauseStorage, "SQLITE_CANTOPEN, NOLFS"},
	{"15/", classUnavailable, CauseBusy, "SQLITE_PROTOCOL"},
	{"16/ 24/", classFault, "", "SQLITE_EMPTY, FORMAT: not used"},
	{"17/", classUnavailable, CauseAltered, "SQLITE_SCHEMA: the schema has changed"},
	{"18/ 20/", classInput, "", "SQLITE_TOOBIG, MISMATCH: a value that the column cannot hold"},
	{"19/", classCheck, "", "SQLITE_CONSTRAINT: CHECK, and any other"},
	{"19/787", classForeignKey, "", "SQLITE_CONSTRAINT_FOREIGNKEY"},
	{"19/1299", classNotNull, "", "SQLITE_CONSTRAINT_NOTNULL"},
	{"19/1555 19/2067 19/2579", classUnique, "", "SQLITE_CONSTRAINT_PRIMARYKEY, UNIQUE, ROWID"},
	{"19/1811", classRefusal, "", "SQLITE_CONSTRAINT_TRIGGER: RAISE in a trigger of the owner's"},
	{"19/3091", classInput, "", "SQLITE_CONSTRAINT_DATATYPE: a STRICT table"},
}

var otherSQLite = codeClass{"", classFault, "", "any other"}

func classifySQLite(failed sqlite3.Error) error {
	said := failed.Error()
	class := classOf(SQLiteCodes, strconv.Itoa(int(failed.Code))+"/"+strconv.Itoa(int(failed.ExtendedCode)),
		otherSQLite)
	switch {
	// SQLite implements ON DELETE RESTRICT as a trigger of its own.
	case failed.ExtendedCode == sqlite3.ErrConstraintTrigger && said == "FOREIGN KEY constraint failed":
		class = codeClass{class: classForeignKey}
	case failed.Code == sqlite3.ErrError:
		for _, part := range []string{"no such column", "no such table", "has no column named", "no such collation"} {
			if strings.Contains(said, part) {
				class = codeClass{class: classAltered}
			}
		}
	}
	at := ConstraintError{}
	if class.class == classUnique {
		_, at.Constraint, _ = strings.Cut(said, "constraint failed: ")
	}
	return class.classified(failed, &OwnerError{Message: said}, at)
}
