package repo

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
)

// Progress says how far an entity's migration has come. Migrated, Remaining, Stale and Quarantined are disjoint, and
// add up to Total.
type Progress struct {
	// Total counts the rows of V1's root table or, where V2 leads, of V2's root table, whose rows are then all
	// migrated.
	Total int64
	// Migrated counts the rows with a fresh copy.
	Migrated int64
	// Remaining counts the rows without a copy that are not in quarantine.
	Remaining int64
	// Stale counts the rows with a stale copy that are not in quarantine.
	Stale int64
	// Quarantined counts the rows in quarantine.
	Quarantined int64
	// ByOrigin counts the copies by their origin.
	ByOrigin []OriginCount
	// Exact is false where the counts come from the database's statistics.
	Exact bool
	// OldestMarkAt is when the oldest change happened with which no copy has caught up, nil where there is none.
	OldestMarkAt *time.Time
}

// OriginCount is the number of copies of one origin.
type OriginCount struct {
	Origin Origin
	Count  int64
}

// Fraction is the migrated part, 0 to 1. It is never 1 while anything is unmigrated, stale or quarantined, or while the
// counts are not exact.
func (p Progress) Fraction() float64 {
	const almost = 0.9999
	open := p.Remaining + p.Stale + p.Quarantined
	switch {
	case open == 0 && p.Exact && p.OldestMarkAt == nil:
		return 1
	case p.Total <= 0:
		return 0
	default:
		return min(float64(p.Migrated)/float64(p.Total), almost)
	}
}

func (p Progress) equal(q Progress) bool {
	sameMark := p.OldestMarkAt == q.OldestMarkAt || p.OldestMarkAt != nil && q.OldestMarkAt != nil &&
		p.OldestMarkAt.Equal(*q.OldestMarkAt)
	return sameMark && slices.Equal(p.ByOrigin, q.ByOrigin) && p.Total == q.Total && p.Migrated == q.Migrated &&
		p.Remaining == q.Remaining && p.Stale == q.Stale && p.Quarantined == q.Quarantined
}

// Progress counts an entity's rows. Unless exact is set, it takes constant time on large tables of PostgreSQL, by using
// statistics. It fails with ErrNotFound for an unknown entity.
func (c *Control) Progress(ctx context.Context, entity string, exact bool) (p Progress, err error) {
	e, err := c.entity(entity)
	if err != nil {
		return p, err
	}
	s := c.db.pools.Reading()
	f, err := e.fenceNow(ctx, s)
	if err != nil {
		return p, err
	}
	if f.leader() == sideV2 {
		err = e.counting.countCopies(ctx, s, &p, exact)
		return p, err
	}
	rows, small, err := c.db.dialect.Estimate(ctx, s, e.v1.SQL)
	if err != nil {
		return p, err
	}
	if exact || small {
		err = e.counting.countExactly(ctx, s, &p)
	} else {
		p.Total = rows
		err = e.counting.countRoughly(ctx, s, &p)
	}
	if err != nil {
		return p, err
	}
	err = s.Query(ctx, func(rows *sql.Rows) error {
		var at struct {
			At *time.Time `json:"at"`
		}
		err := database.ScanJSON(rows, &at)
		p.OldestMarkAt = at.At
		return err
	}, e.sql(`SELECT CAST({object} AS text) FROM (SELECT min(m.at) AS at FROM {mark} m WHERE m.kind = 'CHANGE'
		UNION ALL SELECT min(m.at) FROM {mark} m WHERE m.key IS NULL AND m.kind = 'ALL_STALE'
		AND NOT EXISTS (SELECT 1 FROM {coexist_run} r WHERE r.entity = ? AND r.kind = 'SWEEP'
		AND r.status = 'SUCCEEDED' AND r.started_at > m.at)) o`,
		"object", c.db.dialect.Object([]database.Member{{"at", "min(o.at)"}})), e.name)
	return p, err
}

// countCopies counts the copies. Where V2 leads there is nothing else to count: V1's rows are history.
func (e counting) countCopies(ctx context.Context, s database.Session, p *Progress, exact bool) error {
	rows, small, err := e.db.dialect.Estimate(ctx, s, e.v2.SQL)
	origins, args := e.sql(`SELECT coexist_origin, count(*) FROM {v2} GROUP BY 1 ORDER BY 1`), []any(nil)
	if p.Exact = true; !exact && !small {
		p.Exact = false
		origins, args = e.db.dialect.RoughCounts(originColumn), []any{e.v2.SQL}
	} else if err == nil {
		rows, err = s.Number(ctx, e.sql(`SELECT count(*) FROM {v2}`))
	}
	if err != nil {
		return err
	}
	p.Total, p.Migrated = rows, rows
	return e.countOrigins(ctx, s, p, origins, args...)
}

func (e counting) countExactly(ctx context.Context, s database.Session, p *Progress) error {
	p.Exact = true
	quarantined := e.quarantined("t." + quote(e.v1.Key.Name))
	err := s.Query(ctx, func(rows *sql.Rows) error {
		return rows.Scan(&p.Total, &p.Migrated, &p.Stale, &p.Quarantined)
	}, e.sql(`SELECT count(*), coalesce(sum(CASE WHEN fresh THEN 1 ELSE 0 END), 0), coalesce(sum(CASE
		WHEN NOT fresh AND copied AND NOT quarantined THEN 1 ELSE 0 END), 0), coalesce(sum(CASE WHEN NOT fresh
		AND quarantined THEN 1 ELSE 0 END), 0) FROM (SELECT c.coexist_seq IS NOT NULL AS copied, {quarantined}
		AS quarantined, c.coexist_seq IS NOT NULL AND {sawAll} AND NOT EXISTS (SELECT 1 FROM {mark} m
		WHERE m.key = t.{v1.key}) AS fresh FROM {v1} t LEFT JOIN {v2} c ON c.{v2.key} = t.{v1.key}) r`,
		"quarantined", quarantined, "sawAll", e.sawAll()))
	if err != nil {
		return err
	}
	p.Remaining = p.Total - p.Migrated - p.Stale - p.Quarantined
	return e.countOrigins(ctx, s, p, e.sql(`SELECT coexist_origin, count(*) FROM {v2} GROUP BY 1 ORDER BY 1`))
}

// countRoughly counts from statistics. The caller has set Total.
func (e counting) countRoughly(ctx context.Context, s database.Session, p *Progress) error {
	copies, _, err := e.db.dialect.Estimate(ctx, s, e.v2.SQL)
	if err != nil {
		return err
	}
	const most = 100_000 // counting stops here
	limit := fmt.Sprintf(" LIMIT %d) r", most)
	marks, err := s.Number(ctx, e.sql(`SELECT count(*) FROM (SELECT 1 FROM {mark} m
		WHERE m.kind = 'CHANGE'{limit}`, "limit", limit))
	if err == nil && marks == most {
		marks, _, err = e.db.dialect.Estimate(ctx, s, e.markTable) // nearly all marks are of this kind then
	}
	if err != nil {
		return err
	}
	quarantined, err := s.Number(ctx, e.sql(`SELECT count(*) FROM (SELECT 1 FROM {quarantine} q{limit}`,
		"limit", limit))
	if err != nil {
		return err
	}
	swept, err := s.Number(ctx, e.sql(`SELECT count(*) FROM {coexist_run} r JOIN {coexist_entity} x
		ON x.name = r.entity WHERE r.entity = ? AND r.kind = 'SWEEP' AND r.status = 'SUCCEEDED'
		AND r.older_than_mapping_version IS NULL AND r.epoch = x.epoch
		AND r.capture_generation = x.capture_generation AND x.capture AND NOT EXISTS (SELECT 1 FROM {mark} m
		WHERE m.key IS NULL AND m.at > r.started_at)`), e.name)
	if err != nil {
		return err
	}
	// Whatever a sweep with capture on has left behind, and whatever has come since, has a mark or is in quarantine.
	if swept > 0 {
		copies = p.Total
	} else if unseen, err := e.countUnseenRoughly(ctx, s, copies); err != nil {
		return err
	} else {
		marks = max(marks, unseen)
	}
	p.Quarantined = min(quarantined, p.Total)
	p.Stale = min(marks, copies, p.Total-p.Quarantined)
	p.Migrated = max(0, min(copies-p.Stale, p.Total-p.Quarantined-p.Stale))
	p.Remaining = p.Total - p.Migrated - p.Stale - p.Quarantined
	return e.countOrigins(ctx, s, p, e.db.dialect.RoughCounts(originColumn), e.v2.SQL)
}

// countUnseenRoughly counts the copies, of the given number, that have been stale since all were marked at once. It
// takes the copies that, by the statistics, have not seen the mark, but at most as many as the latest sweep since then
// has yet to reach.
func (e counting) countUnseenRoughly(ctx context.Context, s database.Session, copies int64) (int64, error) {
	all, err := e.marks.ofAllKeys(ctx, s)
	if err != nil || all.Stale == 0 {
		return 0, err
	}
	var unseen int64
	err = s.Query(ctx, func(rows *sql.Rows) error {
		var seen string
		var count int64
		err := rows.Scan(&seen, &count)
		if seen != strconv.FormatInt(all.Stale, 10) {
			unseen += count
		}
		return err
	}, e.db.dialect.RoughCounts(staleSeenColumn), e.v2.SQL)
	if err != nil || unseen == 0 {
		return 0, err
	}
	done, err := s.Number(ctx, e.sql(`SELECT coalesce(sum(k.done), 0) FROM {coexist_chunk} k
		WHERE k.run_id = (SELECT max(r.id) FROM {coexist_run} r WHERE r.entity = ? AND r.kind = 'SWEEP'
		AND r.older_than_mapping_version IS NULL AND NOT EXISTS (SELECT 1 FROM {mark} m WHERE m.key IS NULL
		AND m.at > r.started_at))`), e.name)
	return max(0, min(unseen, copies-done)), err
}

func (e counting) countOrigins(ctx context.Context, s database.Session, p *Progress, statement string,
	args ...any,
) error {
	return s.Query(ctx, func(rows *sql.Rows) error {
		var o OriginCount
		err := rows.Scan(&o.Origin, &o.Count)
		p.ByOrigin = append(p.ByOrigin, o)
		return err
	}, statement, args...)
}
