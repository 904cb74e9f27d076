package repo

import (
	"fmt"
	"strings"
)

// Lists are paged by keyset: a page starts behind a row's place, not at an offset, so that rows which come and go meanwhile
// neither shift nor repeat others. Keys and values are compared by the database alone, in its own order.

// sqlText is SQL with the arguments of its "?", in their order.
type sqlText struct {
	text strings.Builder
	args []any
}

func (s *sqlText) add(text string, args ...any) {
	s.text.WriteString(text)
	s.args = append(s.args, args...)
}

// keyQuery is the query of a page's keys for readStatement, with one row more than the page where there are more: key, ord,
// grp (the group's index), other (there are rows on the other side of the cursor), v (the value by which the list is
// sorted). A group without rows has one row whose key is NULL.
func (p *plan) keyQuery() (string, []any) {
	var s sqlText
	v := "NULL"
	if p.sort != nil {
		v = p.e.db.dialect.sortValue("t", p.sort)
	}
	key := "t." + quote(p.root.key.name)
	if p.group == nil {
		s.add("SELECT p.key, coalesce(p.rn, 0) AS ord, 0 AS grp, ")
		p.other(&s, "")
		s.add(" AS other, p.v FROM (SELECT 1 AS one) g LEFT JOIN (SELECT q.*, row_number() OVER (" + p.order("q.sort", "q.key") + ") AS rn FROM (SELECT " +
			key + " AS key, " + p.sortColumn() + " AS sort, " + v + " AS v FROM " + p.root.sql + " t WHERE true")
		p.conditions(&s)
		s.add(" "+p.order(p.sortColumn(), key)+" LIMIT CAST(? AS integer)) q) p ON g.one = 1", p.limit+1)
		return s.text.String(), s.args
	}
	group := "t." + quote(p.group.name)
	s.add("SELECT p.key, g.ord * 1000 + coalesce(p.rn, 0) AS ord, g.ord AS grp, ")
	p.other(&s, " AND "+group+" = g.key")
	s.add(" AS other, p.v FROM ("+p.e.db.dialect.keyList(p.group)+") g LEFT JOIN (SELECT "+key+" AS key, "+group+" AS grp, "+v+
		" AS v, row_number() OVER (PARTITION BY "+group+" "+p.order(p.sortColumn(), key)+") AS rn FROM "+p.root.sql+" t WHERE "+
		group+" IN (SELECT l.key FROM ("+p.e.db.dialect.keyList(p.group)+") l)", p.keys, p.keys)
	p.conditions(&s)
	s.add(") p ON p.grp = g.key AND p.rn <= CAST(? AS integer)", p.limit+1)
	return s.text.String(), s.args
}

func (p *plan) sortColumn() string {
	if p.sort == nil {
		return "NULL"
	}
	return p.e.db.dialect.ordered("t", p.sort)
}

// order is the ORDER BY of the page, in the direction of paging. Rows without a value are the list's last.
func (p *plan) order(sort, key string) string {
	direction, nulls := " ASC", " NULLS LAST"
	if p.desc != p.backward {
		direction = " DESC"
	}
	if p.backward {
		nulls = " NULLS FIRST"
	}
	if p.sort == nil {
		return "ORDER BY " + key + direction
	}
	return "ORDER BY " + sort + direction + nulls + ", " + key + direction
}

// conditions are those of the query and of the cursors, each after AND.
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
	if !p.root.key.now().notNull {
		s.add(" AND t." + quote(p.root.key.name) + " IS NOT NULL")
	}
	s.add(p.filters[p.lead].text, p.filters[p.lead].args...)
}

// other says whether there are rows behind the page: at or before after when paging forward, at or after before when paging backward.
func (p *plan) other(s *sqlText, group string) {
	c, forward := p.after, true
	if p.backward {
		c, forward = p.before, false
	}
	if c == nil {
		s.add("false")
		return
	}
	s.add("EXISTS (SELECT 1 FROM " + p.root.sql + " t WHERE true" + group)
	p.filter(s)
	s.add(" AND NOT coalesce(")
	p.beyond(s, c, forward)
	s.add(", false))")
}

// beyond is the condition that a row stands strictly after a cursor, or strictly before it.
func (p *plan) beyond(s *sqlText, c *cursor, after bool) {
	key := "t." + quote(p.root.key.name)
	op := "<"
	if after != p.desc {
		op = ">"
	}
	if p.sort == nil {
		s.add(key+" "+op+" "+p.e.asKey("?"), c.Key)
		return
	}
	sort := p.sortColumn()
	value, arg, _ := p.e.db.dialect.sortedBy(p.sort, c.Value) // decodeCursor has seen to it
	switch {
	case c.null() && after:
		s.add("("+sort+" IS NULL AND "+key+" "+op+" "+p.e.asKey("?")+")", c.Key)
	case c.null():
		s.add("("+sort+" IS NOT NULL OR "+key+" "+op+" "+p.e.asKey("?")+")", c.Key)
	default:
		orNull := ""
		if after {
			orNull = " OR " + sort + " IS NULL"
		}
		s.add(fmt.Sprintf("(%s %s %s OR (%s = %s AND %s %s %s)%s)", sort, op, value, sort, value, key, op, p.e.asKey("?"), orNull),
			arg, arg, c.Key)
	}
}

// count is a query of the fence, and of the number of rows of each group.
func (p *plan) count() (string, []any) {
	var s sqlText
	s.add("SELECT CAST(" + p.e.fenceQuery() + " AS text), n.* FROM (")
	if p.group == nil {
		s.add("SELECT 0, count(*) FROM " + p.root.sql + " t WHERE true")
		p.filter(&s)
		s.add(") n")
		return s.text.String(), s.args
	}
	s.add("SELECT g.ord, count(t."+quote(p.root.key.name)+") FROM ("+p.e.db.dialect.keyList(p.group)+") g LEFT JOIN "+
		p.root.sql+" t ON t."+quote(p.group.name)+" = g.key", p.keys)
	p.filter(&s)
	s.add(" GROUP BY g.ord) n")
	return s.text.String(), s.args
}
