package repo

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// failure is a row that could not be converted, with the state in which it was read.
type failure struct {
	key   string
	state state
	fault FieldError
}

func newFailure(key string, s state, err error) failure {
	if conversion, ok := errors.AsType[*ConversionError](err); ok {
		return failure{key, s, conversion.FieldError}
	}
	return failure{key, s, field(err)}
}

// conversionFailed is the code of an entry whose row cannot be converted.
const conversionFailed = "CONVERSION_FAILED"

// quarantine lists rows that could not be converted. It leaves out rows that have changed since they were read, because
// the failure may no longer be true of them.
func (e *entity) quarantine(ctx context.Context, t *tx, failures []failure) error {
	var rows []shape.Row
	for _, f := range failures {
		r := shape.Row{
			"key": f.key, "field": nil, "message": f.fault.Reason, readSeq.Name: f.state.seq,
			"read_marks": f.state.markIDs(),
		}
		if f.fault.Field != "" {
			r["field"] = f.fault.Field
		}
		rows = append(rows, r)
	}
	d := e.db.dialect
	from, value := d.Records([]shape.Column{
		e.keyColumn("key"),
		{Name: "field", Declared: "text"},
		{Name: "message", Declared: "text"},
		readSeq,
		{Name: "read_marks", Declared: "text"},
	}, len(rows))
	return e.execRows(ctx, t, e.sql(`INSERT INTO {quarantine} AS q (key, code, field, message, mapping_version,
		first_seen_at, last_seen_at) SELECT {value.key}, '{conversionFailed}', {value.field}, {value.message},
		{mappingVersion}, {now}, {now} FROM {from} WHERE coalesce((SELECT c.coexist_seq FROM {v2} c
		WHERE c.{v2.key} = {value.key}), 0) = {value.readSeq} AND NOT EXISTS (SELECT 1 FROM {mark} m
		WHERE m.key = {value.key} AND {value.read_marks} NOT LIKE '%' || CAST(m.id AS text) || '%') ORDER BY 1
		ON CONFLICT (key) DO UPDATE SET code = excluded.code, field = excluded.field, message = excluded.message,
		mapping_version = excluded.mapping_version, attempts = q.attempts + 1, last_seen_at =
		excluded.last_seen_at`, "value.key", value("key"), "conversionFailed", conversionFailed,
		"value.field", value("field"), "value.message", value("message"),
		"mappingVersion", strconv.Itoa(e.mappingVersion), "from", from,
		"value.readSeq", value(readSeq.Name), "value.read_marks", value("read_marks")), rows)
}

// release removes keys from quarantine.
func (e *entity) release(ctx context.Context, t *tx, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	return e.execKeys(ctx, t, e.sql(`DELETE FROM {quarantine} WHERE key IN (SELECT k.key FROM ({key list}) k)`), keys)
}

// QuarantineEntry is a row that cannot be converted, with the reason. It leaves the list once the row is converted or
// deleted.
type QuarantineEntry struct {
	Key string
	// Code is CONVERSION_FAILED.
	Code string
	// Field is the field of V1 that is at fault, nil where no single field is.
	Field   *string
	Message string
	// MappingVersion is the version of the mapping that failed last.
	MappingVersion int
	// Attempts counts how often a run or a write has failed to convert the row. A read counts only where it is the
	// first.
	Attempts                int
	FirstSeenAt, LastSeenAt time.Time
	// Cursor is the place of the entry in the list, for Control.Quarantine.
	Cursor string
}

// quarantineCursor is the prefix of a cursor. It is needed because a key may be empty.
const quarantineCursor = "="

// QuarantinePage is a part of the list, in the order of the keys.
type QuarantinePage struct {
	Entries []QuarantineEntry
	HasNext bool
	// Total counts the whole list.
	Total int64
}

// Quarantine returns up to first (at most 100) entries of an entity after a cursor, "" for the start. It leaves out
// entries whose row has since been deleted or migrated by other means. It fails with ErrNotFound for an unknown entity,
// and with an *InputError for a wrong first or cursor.
func (c *Control) Quarantine(ctx context.Context, entity string, first int, after string) (QuarantinePage, error) {
	e, err := c.entity(entity)
	if err != nil {
		return QuarantinePage{}, err
	}
	if err := checkFirst(first); err != nil {
		return QuarantinePage{}, err
	}
	d := e.db.dialect
	listed := e.sql(`{quarantine} q WHERE {unresolved}`, "unresolved", e.unresolved())
	var position string
	args := []any{first + 1}
	if after != "" {
		key, made := strings.CutPrefix(after, quarantineCursor)
		if !made || !e.validKey(key) {
			return QuarantinePage{}, inputError(Faulty("after", "is not a cursor of this list"))
		}
		position, args = e.sql(` AND q.key > {?}`), []any{key, first + 1}
	}
	var page QuarantinePage
	if page.Total, err = c.db.pools.Reading().Number(ctx, fill(`SELECT count(*) FROM {listed}`, "listed",
		listed)); err != nil {
		return page, err
	}
	err = c.db.pools.Reading().Query(ctx, func(rows *sql.Rows) error {
		var entry QuarantineEntry
		if err := database.ScanJSON(rows, &struct {
			Key            *string    `json:"key"`
			Code           *string    `json:"code"`
			Field          **string   `json:"field"`
			Message        *string    `json:"message"`
			MappingVersion *int       `json:"mappingVersion"`
			Attempts       *int       `json:"attempts"`
			FirstSeenAt    *time.Time `json:"firstSeenAt"`
			LastSeenAt     *time.Time `json:"lastSeenAt"`
		}{
			&entry.Key, &entry.Code, &entry.Field, &entry.Message, &entry.MappingVersion, &entry.Attempts,
			&entry.FirstSeenAt, &entry.LastSeenAt,
		}); err != nil {
			return err
		}
		entry.Cursor = quarantineCursor + entry.Key
		page.Entries = append(page.Entries, entry)
		return nil
	}, fill(`SELECT CAST({object} AS text) FROM {listed}{position} ORDER BY q.key LIMIT ?`,
		"object", d.Object([]database.Member{
			{"key", "CAST(q.key AS text)"},
			{"code", "q.code"},
			{"field", "q.field"},
			{"message", "q.message"},
			{"mappingVersion", "q.mapping_version"},
			{"attempts", "q.attempts"},
			{"firstSeenAt", "q.first_seen_at"},
			{"lastSeenAt", "q.last_seen_at"},
		}),
		"listed", listed, "position", position), args...)
	if len(page.Entries) > first {
		page.Entries, page.HasNext = page.Entries[:first], true
	}
	return page, err
}

// unresolved is the condition that the key of the entry q is in V1 and has no fresh copy.
func (e statements) unresolved() string {
	return e.sql(`EXISTS (SELECT 1 FROM {v1} t WHERE t.{v1.key} = q.key) AND NOT EXISTS (SELECT 1 FROM {v2} c
		WHERE c.{v2.key} = q.key AND {sawAll} AND NOT EXISTS (SELECT 1 FROM {mark} m WHERE m.key = q.key))`,
		"sawAll", e.sawAll())
}
