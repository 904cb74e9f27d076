package repo

import (
	"strings"
)

// Lists are paged by keyset: a page starts behind the place of a row, not at an offset, so rows that come and go
// meanwhile neither shift nor repeat other rows. Only the database compares keys and values, in its own order.

// sqlText is SQL with the arguments for its "?", in order.
type sqlText struct {
	text strings.Builder
	args []any
}

func (s *sqlText) add(text string, args ...any) {
	s.text.WriteString(text)
	s.args = append(s.args, args...)
}

// keyQuery is the query of a page's keys for readStatement, with one row more than the page if there are more. Its
// columns are key, ord, grp (the group's index), other (there are rows on the other side of the cursor) and v (the
// value by which the list is sorted). A group without rows has one row whose key is NULL.
func (p *plan) keyQuery() (string, []any) {
	var s sqlText
	v := "NULL"
	if p.sort != nil {
		v = p.e.db.dialect.SortValue("t", p.sort)
	}
	key := "t." + quote(p.root.Key.Name)
	if p.group == nil {
		s.add("SELECT p.key, coalesce(p.rn, 0) AS ord, 0 AS grp, ")
		p.other(&s, "")
		s.add(fill(` AS other, p.v FROM (SELECT 1 AS one) g LEFT JOIN (SELECT q.*, row_number() OVER ({order})
			AS rn FROM (SELECT {key} AS key, {sortColumn} AS sort, {v} AS v FROM {root} t WHERE true`,
			"order", p.order("q.sort", "q.key"), "key", key, "sortColumn", p.sortColumn(), "v", v,
			"root", p.root.SQL))
		p.conditions(&s)
		s.add(fill(` {order} LIMIT CAST(? AS integer)) q) p ON g.one = 1`, "order", p.order(p.sortColumn(), key)),
			p.limit+1)
		return s.text.String(), s.args
	}
	group := "t." + quote(p.group.Name)
	s.add("SELECT p.key, g.ord * 1000 + coalesce(p.rn, 0) AS ord, g.ord AS grp, ")
	p.other(&s, fill(` AND {group} = g.key`, "group", group))
	s.add(fill(` AS other, p.v FROM ({keyList}) g LEFT JOIN (SELECT {key} AS key, {group} AS grp, {v}
		AS v, row_number() OVER (PARTITION BY {group} {order}) AS rn FROM {root} t WHERE {group} IN (SELECT l.key
		FROM ({keyList}) l)`, "keyList", p.e.db.dialect.KeyList(p.group, 0), "key", key, "group", group, "v", v,
		"order", p.order(p.sortColumn(), key), "root", p.root.SQL), p.keys, p.keys)
	p.conditions(&s)
	s.add(") p ON p.grp = g.key AND p.rn <= CAST(? AS integer)", p.limit+1)
	return s.text.String(), s.args
}

func (p *plan) sortColumn() string {
	if p.sort == nil {
		return "NULL"
	}
	return p.e.db.dialect.Ordered("t", p.sort)
}

// order is the ORDER BY of the page, in the direction of paging. Rows without a value come last in the list.
func (p *plan) order(sort, key string) string {
	direction, nulls := " ASC", " NULLS LAST"
	if p.desc != p.backward {
		direction = " DESC"
	}
	if p.backward {
		nulls = " NULLS FIRST"
	}
	if p.sort == nil {
		return fill(`ORDER BY {key}{direction}`, "key", key, "direction", direction)
	}
	return fill(`ORDER BY {sort}{direction}{nulls}, {key}{direction}`, "sort", sort, "direction", direction,
		"nulls", nulls, "key", key)
}

// conditions adds the conditions of the query and of the cursors, each after AND.
func (p *plan) conditions(s *sqlText) {
	p.filter(s)
	if p.after != nil {
		s.add(" AND ")
		p.beyond(s, p.after, true)
	}
	if p.before != nil {
		s.add(" AND ")
		p.beyond(s, p.before, false)
	}
}

func (p *plan) filter(s *sqlText) {
	if !p.root.Key.Now().NotNull {
		s.add(fill(` AND t.{key} IS NOT NULL`, "key", quote(p.root.Key.Name)))
	}
	s.add(p.filters[p.lead].text, p.filters[p.lead].args...)
}

// other says whether there are rows behind the page: rows at or before the cursor after when paging forward, or at or
// after the cursor before when paging backward.
func (p *plan) other(s *sqlText, group string) {
	c, forward := p.after, true
	if p.backward {
		c, forward = p.before, false
	}
	if c == nil {
		s.add("false")
		return
	}
	s.add(fill(`EXISTS (SELECT 1 FROM {root} t WHERE true{group}`, "root", p.root.SQL, "group", group))
	p.filter(s)
	s.add(" AND NOT coalesce(")
	p.beyond(s, c, forward)
	s.add(", false))")
}

// beyond is the condition that a row stands strictly after a cursor, or strictly before it.
func (p *plan) beyond(s *sqlText, c *cursor, after bool) {
	key := "t." + quote(p.root.Key.Name)
	op := "<"
	if after != p.desc {
		op = ">"
	}
	if p.sort == nil {
		s.add(key+" "+op+" "+p.e.asKey("?"), c.Key)
		return
	}
	sort := p.sortColumn()
	value, arg, _ := p.e.db.dialect.SortedBy(p.sort, c.Value) // decodeCursor has checked the value
	switch {
	case c.null() && after:
		s.add(p.e.sql(`({sort} IS NULL AND {key} {op} {?})`, "sort", sort, "key", key, "op", op), c.Key)
	case c.null():
		s.add(p.e.sql(`({sort} IS NOT NULL OR {key} {op} {?})`, "sort", sort, "key", key, "op", op), c.Key)
	default:
		orNull := ""
		if after {
			orNull = fill(` OR {sort} IS NULL`, "sort", sort)
		}
		s.add(p.e.sql(`({sort} {op} {value} OR ({sort} = {value} AND {key} {op} {?}){orNull})`, "sort", sort, "op", op,
			"value", value, "key", key, "orNull", orNull), arg, arg, c.Key)
	}
}

// count is a query of the fence and of the number of rows in each group.
func (p *plan) count() (string, []any) {
	var s sqlText
	s.add(fill(`SELECT CAST({fenceQuery} AS text), n.* FROM (`, "fenceQuery", p.e.fenceQuery()))
	if p.group == nil {
		s.add(fill(`SELECT 0, count(*) FROM {root} t WHERE true`, "root", p.root.SQL))
		p.filter(&s)
		s.add(") n")
		return s.text.String(), s.args
	}
	s.add(fill(`SELECT g.ord, count(t.{key}) FROM ({keyList}) g LEFT JOIN {root} t ON t.{group} = g.key`,
		"key", quote(p.root.Key.Name), "keyList", p.e.db.dialect.KeyList(p.group, 0), "root", p.root.SQL,
		"group", quote(p.group.Name)), p.keys)
	p.filter(&s)
	s.add(" GROUP BY g.ord) n")
	return s.text.String(), s.args
}
