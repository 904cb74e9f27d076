package database

import (
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// postgresCodes are the SQLSTATEs of PostgreSQL (https://www.postgresql.org/docs/current/errcodes-appendix.html), by
// class or one by one.
var postgresCodes = []codeClass{
	{"08", classUnavailable, CauseConnection, "the connection was lost, or could not be made"},
	{"09 27 38 39", classRefusal, "", "a trigger or a function of the owner's has failed"},
	{"0A", classFault, "", "a statement that the database does not support"},
	{"0B 25 2D 34 24 0F 3B 22P06", classFault, "", "a statement that does not belong where it is"},
	{"20 21", classRefusal, "", "a function of the owner's has failed"},
	{"22", classInput, "", "a value that the column cannot hold"},
	{"2201W", classUnavailable, CauseStandby, "a standby has answered, which our statements let it say"},
	{"23", classCheck, "", "a constraint"},
	{"23001 23503", classForeignKey, "", "a foreign key"},
	{"23502", classNotNull, "", "a column that may not be NULL"},
	{"23505 23P01", classUnique, "", "a unique or exclusion constraint"},
	{
		"25006", classUnavailable, CauseReadOnly,
		"the transaction is read-only: a standby, or default_transaction_read_only",
	},
	{"25P02", classFault, "", "a transaction that had failed already"},
	{
		"25P03 25P04", classUnavailable, CauseTimeout,
		"a transaction that took, or was idle for, longer than the database lets it",
	},
	{
		"26", classUnavailable, CauseSetting,
		"a prepared statement is not there: a proxy pools transactions, so give --pooler",
	},
	{"28", classUnavailable, CauseRights, "the role may not connect"},
	{"2B", classConflict, "", "something else depends on it"},
	{"2F", classRefusal, "", "a function of the owner's has failed"},
	{"3D", classUnavailable, CauseSetting, "the database is not there"},
	{"3F", classAltered, "", "the schema is not there"},
	{"40", classBusy, "", "another transaction was in the way"},
	{"40002", classCheck, "", "a constraint that was put off until COMMIT"},
	{"40003", classUnavailable, CauseConnection, "nobody knows whether a statement has completed"},
	{"42", classFault, "", "a statement that makes no sense"},
	{"42501", classDenied, "", "our role lacks a right"},
	{
		"42703 42P01 42804 42883 42704 428C9 42809 42P02", classAltered, "",
		"a table, a column, a type or a function is not there any more, or is another",
	},
	{"44", classCheck, "", "the CHECK OPTION of a view"},
	{"53", classUnavailable, CauseResources, "memory, disk or connections have run out"},
	{"54", classUnavailable, CauseResources, "a limit of the database"},
	{"55", classConflict, "", "an object is not in the state that the statement needs"},
	{"55P03 55006", classBusy, "", "a lock that others hold"},
	{"55P02 55P04", classUnavailable, CauseSetting, "a setting of the server"},
	{"57", classUnavailable, CauseShutdown, "the server is starting or stopping"},
	{"57014", classUnavailable, CauseTimeout, "cancelled: by statement_timeout, by us, or by somebody"},
	{"57P05", classUnavailable, CauseTimeout, "a session that was idle for longer than the database lets it"},
	{"58", classUnavailable, CauseStorage, "the system has failed"},
	{"72", classUnavailable, CauseBusy, "a snapshot that is too old"},
	{"F0", classUnavailable, CauseSetting, "a configuration file"},
	{"HV", classUnavailable, CauseConnection, "a foreign table"},
	{"P0", classRefusal, "", "an error that the owner's code has raised"},
	{"XX", classFault, "", "an error within the database"},
	{"XX001 XX002", classUnavailable, CauseStorage, "data or an index is damaged"},
}

// otherPostgres is for codes that are not PostgreSQL's: the owner's code has raised them.
var otherPostgres = codeClass{"", classRefusal, "", "any other: the owner's code has raised it"}

func classifyPostgres(err error, pg *pgconn.PgError) error {
	class := classOf(postgresCodes, pg.Code, otherPostgres)
	switch {
	// not a statement's syntax, but that of a value, such as a tsquery
	case pg.Code == "42601" && pg.Position == 0 && pg.InternalPosition == 0 && pg.Where == "":
		class = codeClass{class: classInput}
	case pg.Code == "55000" && strings.Contains(pg.Where, "coexist_capture_"):
		return Busy(ErrEarlierCapture)
	case pg.Code == "2201W": // a query of OfPrimary
		return ErrStandby
	case pg.Routine == "check_enable_rls": // with row_security = off
		class = codeClass{class: classHidden}
	// a standby, where transactions are serializable by default
	case pg.Code == "0A000" && pg.Routine == "GetSerializableTransactionSnapshot":
		class = codeClass{class: classUnavailable, cause: CauseStandby}
	case pg.Routine == "exec_stmt_raise", (class.class == classFault || class.class == classAltered) &&
		withinOwners(pg.Where):
		// by RAISE, whatever code the owner has chosen, or by a statement in a function of the owner's
		class = codeClass{class: classRefusal}
	}
	refused := &OwnerError{Code: pg.Code, Message: pg.Message, Hint: pg.Hint}
	return class.classified(err, refused, ConstraintError{
		Table: pg.TableName, Constraint: pg.ConstraintName,
		Column: pg.ColumnName,
	})
}

// withinOwners reports whether an error came from within a function that is not ours. It reads the error's context,
// whose first line is the innermost.
func withinOwners(where string) bool {
	_, after, found := strings.Cut(where, "function ")
	name, _, _ := strings.Cut(after, "\n")
	return found && !strings.Contains(name, "coexist_")
}
