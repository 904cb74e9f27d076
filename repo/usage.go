package repo

import (
	"context"
	"database/sql"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// V1Use is one operation in which a client asks for the V1 shape.
type V1Use struct {
	// ClientName and ClientVersion are what the client says about itself; empty ones are counted as "unknown".
	ClientName, ClientVersion string
	// OperationName is empty for an operation without a name.
	OperationName string
	// Fields are the fields of the V1 shape that the operation asks for, each once.
	Fields []V1Field
}

// V1Field is a field of the V1 shape of an entity, such as CustomerV1.city.
type V1Field struct{ Entity, Name string }

// V1Usage says how often an operation of a client has asked for a field of the V1 shape.
type V1Usage struct {
	ClientName, ClientVersion, OperationName, Field string
	Count                                           int64
	FirstSeenAt, LastSeenAt                         time.Time
}

const (
	// usageInterval is how often counts are written to the database: a killed process loses the counts of one interval.
	usageInterval = 3 * time.Second
	// usageKept is how long a use is remembered after it was last seen.
	usageKept = 400 * 24 * time.Hour
	// maxUsageRows is about how many rows are kept; beyond it only uses that are already known are counted apart.
	maxUsageRows = 20_000
	// maxUsageListed is how many rows V1Usage returns at most.
	maxUsageListed = 1000
	usageBatch     = 500
)

// RecordV1Usage counts an operation that asks for the V1 shape. It only touches memory, and a bounded amount of it:
// names are made printable and cut at 100 characters. Beyond 100 clients at once, and 50 versions and 200 operations of
// each client, names are counted as "other". Work writes the counts to the database.
func (c *Control) RecordV1Usage(use V1Use) { c.db.usage.record(use, time.Now()) }

// V1Operations returns how many operations RecordV1Usage has counted in this process, by client. A client that was not
// seen for ten minutes may be missing if another has taken its place.
func (c *Control) V1Operations() map[string]int64 { return c.db.usage.operations() }

// keepV1Usage writes the counts of RecordV1Usage to the database every few seconds until ctx ends, and then once more.
// The counts of any number of instances add up. While the database is away, counts wait in memory.
func (c *Control) keepV1Usage(ctx context.Context) {
	failed := false
	var forgotten time.Time
	for stopping := false; !stopping; {
		stopping = database.Pause(ctx, usageInterval) != nil
		err := c.db.keepUsage(ctx)
		if err == nil && time.Since(forgotten) > time.Hour && !stopping {
			err = c.db.forgetUsage(ctx)
			forgotten = time.Now()
		}
		if err != nil && !failed { // warn once
			c.db.logger.WarnContext(ctx, "the use of V1 by clients cannot be kept, and waits in memory", "error", err)
		}
		failed = err != nil
	}
}

// V1Usage returns which clients have asked for the V1 shape of an entity since a point in time; the zero time means
// ever. It returns the 1000 uses that were seen last, newest first. They include what this instance has counted; the
// counts of other instances may come a few seconds later. It fails with ErrNotFound for an unknown entity.
func (c *Control) V1Usage(ctx context.Context, entity string, since time.Time) ([]V1Usage, error) {
	e, err := c.entity(entity)
	if err != nil {
		return nil, err
	}
	if err := c.db.keepUsage(ctx); err != nil {
		c.db.logger.DebugContext(ctx, "the newest use of V1 by clients is missing", "error", err)
	}
	if since.Year() < 1970 {
		since = time.Unix(0, 0)
	}
	// The time is marshalled by hand, because databases compare times in the form that is written here.
	argument := `"` + since.UTC().Format(usageTimeStamp) + `"`
	d := c.db.dialect
	usage := []V1Usage{}
	err = c.db.pools.Reading().Query(ctx, func(rows *sql.Rows) error {
		var u V1Usage
		err := database.ScanJSON(rows, &struct {
			ClientName    *string    `json:"clientName"`
			ClientVersion *string    `json:"clientVersion"`
			OperationName *string    `json:"operationName"`
			Field         *string    `json:"field"`
			Count         *int64     `json:"count"`
			FirstSeenAt   *time.Time `json:"firstSeenAt"`
			LastSeenAt    *time.Time `json:"lastSeenAt"`
		}{&u.ClientName, &u.ClientVersion, &u.OperationName, &u.Field, &u.Count, &u.FirstSeenAt, &u.LastSeenAt})
		u.FirstSeenAt, u.LastSeenAt = u.FirstSeenAt.UTC(), u.LastSeenAt.UTC()
		usage = append(usage, u)
		return err
	}, c.db.sql(`SELECT CAST({object} AS text) FROM {coexist_v1_usage} u WHERE u.entity = ?
		AND u.last_seen_at >= {scalar} ORDER BY u.last_seen_at DESC, u.count DESC, u.client_name,
		u.client_version, u.operation_name, u.field LIMIT {maxUsageListed}`,
		"object", d.Object([]database.Member{
			{"clientName", "u.client_name"},
			{"clientVersion", "u.client_version"},
			{"operationName", "u.operation_name"},
			{"field", "u.field"},
			{"count", "u.count"},
			{"firstSeenAt", "u.first_seen_at"},
			{"lastSeenAt", "u.last_seen_at"},
		}),
		"scalar", d.Scalar(&shape.Column{Declared: "timestamptz"}), "maxUsageListed", strconv.Itoa(maxUsageListed)),
		e.name, argument)
	return usage, err
}

// keepUsage writes the counts to the database. Counts that it cannot write go on waiting.
func (db *DB) keepUsage(ctx context.Context) error {
	db.usage.keeping.Lock()
	defer db.usage.keeping.Unlock()
	counts := db.usage.take()
	if len(counts) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second) // finish even if ctx ends
	defer cancel()
	// Every instance writes in the same order, so that instances never wait for one another in a circle.
	for batch := range slices.Chunk(slices.SortedFunc(maps.Keys(counts), usageKey.compare), usageBatch) {
		if err := db.addUsage(ctx, batch, counts); err != nil {
			db.usage.giveBack(counts)
			return err
		}
		for _, k := range batch {
			delete(counts, k)
		}
	}
	return nil
}

var usageColumns = []shape.Column{
	{Name: "entity", Declared: "text"},
	{Name: "client_name", Declared: "text"},
	{Name: "client_version", Declared: "text"},
	{Name: "operation_name", Declared: "text"},
	{Name: "field", Declared: "text"},
	{Name: "count", Declared: "bigint"},
	{Name: "first_seen_at", Declared: "timestamptz"},
	{Name: "last_seen_at", Declared: "timestamptz"},
}

// addUsage adds counts to those in the table.
func (db *DB) addUsage(ctx context.Context, keys []usageKey, counts map[usageKey]usageCount) error {
	rows := make([]map[string]any, len(keys))
	for i, k := range keys {
		c := counts[k]
		rows[i] = map[string]any{
			"entity": k.entity, "client_name": k.client, "client_version": k.version, "operation_name": k.operation,
			"field": k.field,
			"count": c.count, "first_seen_at": c.first.UTC().Format(usageTimeStamp),
			"last_seen_at": c.last.UTC().Format(usageTimeStamp),
		}
	}
	argument, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	from, value := db.dialect.Records(usageColumns, 0)
	named := func(name string) string {
		return fill(`CASE WHEN k.entity IS NOT NULL OR n.rows < {maxUsageRows} THEN {value.name}
			ELSE {otherClients} END`, "maxUsageRows", strconv.Itoa(maxUsageRows), "value.name", value(name),
			"otherClients", literal(otherClients))
	}
	statement := db.sql(`INSERT INTO {coexist_v1_usage} AS u (entity, client_name, client_version, operation_name,
		field, count, first_seen_at, last_seen_at) SELECT {value.entity}, {client}, {version}, {operation},
		{value.field}, sum({value.count}), min({value.first_seen_at}), max({value.last_seen_at}) FROM {from} CROSS
		JOIN (SELECT count(*) AS rows FROM {coexist_v1_usage}) n LEFT JOIN {coexist_v1_usage} k
		ON k.entity = {value.entity} AND k.client_name = {value.client_name}
		AND k.client_version = {value.client_version} AND k.operation_name = {value.operation_name}
		AND k.field = {value.field} WHERE true GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
		ON CONFLICT (entity, client_name, client_version, operation_name, field) DO UPDATE
		SET count = u.count + excluded.count, first_seen_at = CASE
		WHEN excluded.first_seen_at < u.first_seen_at THEN excluded.first_seen_at
		ELSE u.first_seen_at END, last_seen_at = CASE WHEN excluded.last_seen_at > u.last_seen_at THEN
		excluded.last_seen_at ELSE u.last_seen_at END`, "value.entity", value("entity"),
		"client", named("client_name"), "version", named("client_version"), "operation", named("operation_name"),
		"value.field", value("field"), "value.count", value("count"),
		"value.first_seen_at", value("first_seen_at"), "value.last_seen_at", value("last_seen_at"), "from", from,
		"value.client_name", value("client_name"), "value.client_version", value("client_version"),
		"value.operation_name", value("operation_name"))
	return db.autonomously(ctx, func(s database.Session) error {
		_, err := s.Exec(ctx, statement, string(argument))
		return err
	})
}

// forgetUsage deletes uses that were last seen more than usageKept ago.
func (db *DB) forgetUsage(ctx context.Context) error {
	return db.autonomously(ctx, func(s database.Session) error {
		_, err := s.Exec(ctx, db.sql(`DELETE FROM {coexist_v1_usage} WHERE last_seen_at < {scalar}`,
			"scalar", db.dialect.Scalar(&shape.Column{Declared: "timestamptz"})),
			`"`+time.Now().Add(-usageKept).UTC().Format(usageTimeStamp)+`"`)
		return err
	})
}
