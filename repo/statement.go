package repo

import (
	"slices"
	"strings"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// want says what a read needs of each key. Every read also returns the fence. Where V2 leads, wantV1 and wantV2 read
// the copy alone: the gate let no marked copy in.
type want int

const (
	wantV1   want = iota // V1 alone
	wantV2               // the copy, its marks, and V1 unless the copy is fresh
	wantBoth             // the copy, its marks, and V1, whichever side leads
)

// readStatement is a query of one row for each row of keyQuery, which is a query of keys (as key) and of ordinals (as
// ord). It is a single statement, so that everything it says was true at one moment. Its columns are
//
//	fence, ord, key, extra, v1, copy, marks, quarantined
//
// The last four are as w asks; extra is an expression over the key query, k. Where the key query is empty, the
// statement returns one row with the fence alone.
func (e statements) readStatement(w want, lead side, in form, keyQuery, extra string) reading {
	const keysGoHere, extraGoesHere = "\x00keys", "\x00extra" // no SQL contains a NUL
	around := e.buildOnce(readKind{w, lead, in}, func() reading {
		return e.readAround(w, lead, in, keysGoHere, extraGoesHere)
	})
	around.text = strings.ReplaceAll(strings.ReplaceAll(around.text, extraGoesHere, extra), keysGoHere, keyQuery)
	return around
}

// reading is a statement that reads, and how its answers have their aggregates. The records are those from which the
// statement was built, since a later catalog may have other columns.
type reading struct {
	text     string
	numbered bool // text has its arguments as database.Numbered writes them
	form     form
	v1, v2   *database.Record // in binary
}

func (e statements) newReading(in form) reading {
	r := reading{form: in}
	if in == formBinary {
		r.v1 = database.RecordOf(e.db.dialect, e.v1, "t")
		r.v2 = database.RecordOf(e.db.dialect, e.v2, "c", "c.coexist_seq", "c.coexist_version",
			"c.coexist_mapping_version", "c.coexist_refined", "c.coexist_origin", "c.coexist_migrated_at",
			"c.coexist_gone_seen", "c.coexist_stale_seen")
	}
	return r
}

// readKind says which statement reads, apart from the keys.
type readKind struct {
	want want
	lead side
	form form
}

// readAround builds the statement around a key query.
func (e statements) readAround(w want, lead side, in form, keyQuery, extra string) reading {
	r := e.newReading(in)
	probe := e.db.dialect.Probe(e.v2.SQL, "c", e.v2.Key.Name)
	var rows string
	switch {
	case w != wantBoth && lead == sideV2:
		rows = e.sql(`
			SELECT k.ord, CAST(k.key AS text) AS key, {extra} AS extra,
				NULL AS v1, {copy} AS copy, NULL AS marks, false AS quarantined
			FROM ({key query}) k {probe}`,
			"extra", extra, "copy", e.copyIn(r), "key query", keyQuery, "probe", probe)
	case w == wantV1:
		rows = fill(`
			SELECT k.ord, CAST(k.key AS text) AS key, {extra} AS extra,
				{v1} AS v1, NULL AS copy, NULL AS marks, false AS quarantined
			FROM ({key query}) k`,
			"extra", extra, "v1", e.v1In(r, "k.key"), "key query", keyQuery)
	default:
		v1 := e.v1In(r, "s.key")
		if w == wantV2 {
			v1 = fill(`CASE WHEN NOT s.fresh THEN {v1} END`, "v1", v1)
		}
		copies := e.sql(`
			SELECT k.ord, k.key, {extra} AS extra, {copy} AS copy, {marks} AS marks,
				c.coexist_seq AS seq, c.coexist_gone_seen AS gone_seen, c.coexist_stale_seen AS stale_seen
			FROM ({key query}) k {probe}{once}`,
			"extra", extra, "copy", e.copyIn(r), "marks", e.marksOf("k.key"), "key query", keyQuery, "probe", probe,
			"once", e.db.dialect.Once())
		rows = fill(`
			SELECT s.ord, CAST(s.key AS text) AS key, s.extra,
				{v1} AS v1, s.copy, s.marks, NOT s.fresh AND {quarantined} AS quarantined
			FROM ({copies}) s`,
			"v1", v1, "quarantined", e.quarantined("s.key"), "copies", e.freshness(copies))
	}
	// Ordinals begin with 0 or 1, and the fence is read from the first row alone.
	r.text = fill(`
		WITH coexist_fence AS MATERIALIZED ({fence})
		SELECT CASE WHEN coalesce(r.ord, 0) < 2 THEN (SELECT f.fence FROM coexist_fence f) END,
			r.ord, r.key, r.extra, r.v1, r.copy, r.marks, coalesce(r.quarantined, false)
		FROM (SELECT 1 AS one) o LEFT JOIN ({rows}) r ON o.one = 1 ORDER BY r.ord`,
		"fence", e.fenceSource(), "rows", rows)
	return r
}

// keyRead says which statement reads by key: by one key, which is the argument, or by a list of keys.
type keyRead struct {
	want want
	lead side
	form form
	one  bool
}

// builtStatement is a statement, with the count of catalog changes at the time when it was built.
type builtStatement struct {
	catalogs int64
	reading  reading
}

// buildOnce returns a statement of a kind. It builds it once, and again after the catalog has changed.
func (e *tables) buildOnce(kind any, build func() reading) reading {
	catalogs := e.catalogs.Load()
	if built, ok := e.built.Load(kind); ok && built.(builtStatement).catalogs == catalogs {
		return built.(builtStatement).reading
	}
	made := build()
	e.built.Store(kind, builtStatement{catalogs, made})
	return made
}

// keyStatement is readStatement by key.
func (e statements) keyStatement(read keyRead) reading {
	return e.buildOnce(read, func() reading {
		keyQuery := e.db.dialect.KeyList(e.v1.Key, 0)
		if read.one {
			keyQuery = e.sql(`SELECT {?} AS key, 0 AS ord`)
		}
		r := e.readStatement(read.want, read.lead, read.form, keyQuery, "NULL")
		if read.form == formBinary {
			r.text, r.numbered = database.Numbered(r.text), true
		}
		return r
	})
}

// v1In is a scalar subquery: the V1 aggregate with the key in a form, NULL if there is none.
func (e statements) v1In(r reading, key string) string {
	documents := []string{}
	// Coexistence begins.
	var aggregate string
	if r.form == formBinary {
		aggregate = r.v1.Expression
	} else {
		aggregate = e.document(e.v1, "t", nil)
	}
	documents = append(documents, e.sql(`(SELECT {aggregate} FROM {v1} t WHERE t.{v1.key} = {key})`,
		"aggregate", aggregate, "key", key))
	// Coexistence ends.
	return append(documents, "NULL")[0] // without V1 there is none
}

func (e statements) quarantined(key string) string {
	return e.sql(`EXISTS (SELECT 1 FROM {quarantine} q WHERE q.key = {key})`, "key", key)
}

// freshness adds the column fresh to a query of seq, gone_seen, stale_seen and marks. A copy is fresh if it exists, no
// mark for its key is visible, and its storer had seen every mark for all keys, which coexist_fence counts.
func (e statements) freshness(query string) string {
	return e.sql(`
		SELECT m.*, (m.seq IS NOT NULL AND m.marks = '[]' AND m.gone_seen = {all gone} AND m.stale_seen = {all stale}) AS fresh
		FROM ({query}) m{once}`, "query", query, "once", e.db.dialect.Once(), "all gone", "(SELECT f.gone FROM coexist_fence f)",
		"all stale", "(SELECT f.stale FROM coexist_fence f)")
}

// sawAll is the condition that the storer of the copy c had seen every mark for all keys.
func (e statements) sawAll() string {
	return e.sql(`c.coexist_gone_seen = {all gone} AND c.coexist_stale_seen = {all stale}`)
}

// underTruncate is the condition that V1's root table was truncated after the storer of the copy c had read it. Where
// it never was, no copy is looked at.
func (e statements) underTruncate() string {
	return e.sql(`{all gone} > 0 AND c.coexist_gone_seen < {all gone}`)
}

// orphaned is a condition for a copy c whose V1 row may have been deleted while capture had a gap. Where it never had
// one, no copy is looked at.
func (e statements) orphaned() string {
	return e.sql(`{all stale} > 0 AND c.coexist_stale_seen < {all stale} AND {lacks v1}`, "lacks v1", e.lacksV1())
}

// lacksV1 is a condition for a copy c without a V1 row.
func (e statements) lacksV1() string {
	return e.sql(`NOT EXISTS (SELECT 1 FROM {v1} t WHERE t.{v1.key} = c.{v2.key})`)
}

// countAll is the number of marks of a kind for all keys.
func (e *tables) countAll(kind markKind) string {
	return e.sql(`(SELECT count(*) FROM {mark} a WHERE a.key IS NULL AND a.kind = '{kind}')`, "kind", string(kind))
}

// markRecords is the FROM item for an argument, a JSON list of marks, and the condition that the mark m is one of them.
// The condition compares the kind too, because a statement that moves keys may leave two marks of one key under one id,
// with different kinds.
func (e statements) markRecords(n int) (from, match string) {
	from, value := e.db.dialect.Records([]shape.Column{
		e.keyColumn("key"),
		{Name: "id", Declared: e.db.dialect.MarkID()},
		{Name: "kind", Declared: "text"},
	}, n)
	return from, fill(`m.key = {key} AND m.id = {id} AND m.kind = {kind}`, "key", value("key"), "id", value("id"),
		"kind", value("kind"))
}

// marksOf is the list of a key's marks, as text.
func (e statements) marksOf(key string) string {
	d := e.db.dialect
	of := e.sql(`{mark} m WHERE m.key = {key}`, "key", key)
	return fill(`CAST({list} AS text)`, "list", d.List(markDocument(d), of, "m.id"))
}

// copyIn is the copy c in a form, with its value and what the engine knows about it; NULL where there is no copy.
func (e statements) copyIn(r reading) string {
	d := e.db.dialect
	if r.form == formBinary {
		return fill(`CASE WHEN c.coexist_seq IS NOT NULL THEN {record} END`, "record", r.v2.Expression)
	}
	return fill(`CASE WHEN c.coexist_seq IS NOT NULL THEN {object} END`,
		"object", d.Object([]database.Member{
			{"seq", "c." + seqColumn},
			{"version", "c." + versionColumn},
			{"mappingVersion", "c." + mappingVersionColumn},
			{"refined", d.Value("c", flag(refinedColumn))},
			{"origin", "c." + originColumn},
			{"migratedAt", "c." + migratedAtColumn},
			{"goneSeen", "c." + goneSeenColumn},
			{"staleSeen", "c." + staleSeenColumn},
			{"value", e.document(e.v2, "c", []string{shape.PositionColumn})},
		}))
}

// document is an aggregate as JSON: the row of alias and its child rows, ordered by the columns given and then by their
// own keys.
func (e statements) document(t *shape.Table, alias string, order []string) string {
	members := nest(e.db.dialect, alias, t.Columns, 0)
	for i := range t.Children {
		c := &t.Children[i]
		by := slices.Clone(order)
		for _, own := range c.Own {
			by = append(by, c.Columns[own].Name)
		}
		for i := range by {
			by[i] = "d." + quote(by[i])
		}
		members = append(members, database.Member{c.JSON, e.db.dialect.List(
			e.db.dialect.Object(nest(e.db.dialect, "d", c.Columns, 0)),
			fill(`{child} d WHERE d.{parentKey} = {alias}.{key}`, "child", c.SQL, "parentKey", quote(c.ParentKey),
				"alias", alias, "key", quote(t.Key.Name)), strings.Join(by, ", "))})
	}
	return e.db.dialect.Object(members)
}

// nest makes members of columns. Columns whose paths share the first name become an object with that name.
func nest(d database.Expressions, alias string, columns []shape.Column, depth int) []database.Member {
	var members []database.Member
	for i := 0; i < len(columns); i++ {
		c := &columns[i]
		if len(c.Path) == depth+1 {
			members = append(members, database.Member{c.Path[depth], d.Value(alias, c)})
			continue
		}
		j := i
		for j < len(columns) && len(columns[j].Path) > depth+1 && columns[j].Path[depth] == c.Path[depth] {
			j++
		}
		members = append(members, database.Member{c.Path[depth], d.Object(nest(d, alias, columns[i:j], depth+1))})
		i = j - 1
	}
	return members
}

// insertStatement inserts the rows of its argument, a JSON list of n objects. Its columns are named as in the table.
func (e statements) insertStatement(table string, columns []shape.Column, n int, suffix string) string {
	from, value := e.db.dialect.Records(columns, n)
	values := make([]string, len(columns))
	for i, c := range columns {
		values[i] = value(c.Name)
	}
	return fill(`INSERT INTO {table} ({columnNames}) {overriding}SELECT {values} FROM {from} WHERE true{suffix}`,
		"table", table, "columnNames", database.ColumnNames(columns), "overriding", database.Overriding(columns),
		"values", strings.Join(values, ", "), "from", from, "suffix", suffix)
}

// updateStatement sets the columns set, from its argument, a JSON list of n objects, in the rows that agree in match.
func (e statements) updateStatement(table string, match, set []shape.Column, n int) string {
	from, value := e.db.dialect.Records(append(append([]shape.Column{}, match...), set...), n)
	sets, matches := make([]string, len(set)), make([]string, len(match))
	for i, c := range set {
		sets[i] = quote(c.Name) + " = " + value(c.Name)
	}
	for i, c := range match {
		matches[i] = "t." + quote(c.Name) + " = " + value(c.Name)
	}
	return fill(`UPDATE {table} AS t SET {sets} FROM {from} WHERE {matches}`, "table", table,
		"sets", strings.Join(sets, ", "), "from", from, "matches", strings.Join(matches, " AND "))
}

// deleteStatement deletes the rows that agree in the columns match with those of its argument, a JSON list of n
// objects.
func (e statements) deleteStatement(table string, match []shape.Column, n int) string {
	from, value := e.db.dialect.Records(match, n)
	matches := make([]string, len(match))
	for i, c := range match {
		matches[i] = "t." + quote(c.Name) + " = " + value(c.Name)
	}
	return fill(`DELETE FROM {table} AS t WHERE EXISTS (SELECT 1 FROM {from} WHERE {matches})`, "table", table,
		"from", from, "matches", strings.Join(matches, " AND "))
}
