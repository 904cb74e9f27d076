package repo

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/sync/semaphore"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// Query asks for a page of a list. The zero value asks for the first 20 rows by key.
type Query struct {
	// First or Last is the number of rows, 0 to 100, from the start or from the end of the rows that After and Before
	// leave. If both are nil, the page has the first 20.
	First, Last *int
	// After and Before are cursors of rows: the page lies strictly after the one, and strictly before the other. A
	// cursor made in either shape is valid in the other, in every phase, and when its row has gone. It belongs to one
	// sort, in either direction.
	After, Before *string
	// Sort is a name in Definition.Sorts; "" sorts by key. Rows of equal rank are sorted by key. Rows without a value
	// come last.
	Sort string
	// Desc reverses the order, except that rows without a value stay last.
	Desc bool
	// Where are conditions that every row must meet.
	Where []Predicate
}

// Page is a part of a list, in the list's order.
type Page[T any] struct {
	Items                []Item[T]
	HasNext, HasPrevious bool

	count func(context.Context) (int64, error)
}

// Item is one row of a page. Err is a *ConversionError where the row cannot be converted; the other rows are still
// served.
type Item[T any] struct {
	Key, Cursor string
	Value       T
	Err         error
}

// TotalCount counts the rows of the whole list to which the page belongs. It takes one statement for all the pages that
// one call of ListGroupsV1 or ListGroupsV2 returned.
func (p *Page[T]) TotalCount(ctx context.Context) (int64, error) { return p.count(ctx) }

const (
	defaultPage = 20
	maxPage     = 100
)

// ListV1 returns a page of V1 aggregates. It fails with an *InputError for a query that makes no sense.
func (r *Repository[V1, V2]) ListV1(ctx context.Context, q Query) (*Page[V1], error) {
	pages, err := r.ListGroupsV1(ctx, "", []string{""}, q)
	if err != nil {
		return nil, err
	}
	return pages[0], nil
}

// ListV2 returns a page of V2 aggregates: their copies or, where a copy is not fresh, conversions of V1, which are
// stored in one batch. It fails with an *InputError for a query that makes no sense.
func (r *Repository[V1, V2]) ListV2(ctx context.Context, q Query) (*Page[Record[V2]], error) {
	pages, err := r.ListGroupsV2(ctx, "", []string{""}, q)
	if err != nil {
		return nil, err
	}
	return pages[0], nil
}

// ListGroupsV1 returns one page for each key: the rows whose V1 column, such as "customer_id", holds that key. It takes
// one statement, however many keys there are. It fails as ListV1 does.
func (r *Repository[V1, V2]) ListGroupsV1(ctx context.Context, column string, keys []string,
	q Query,
) ([]*Page[V1], error) {
	lists, err := r.list(ctx, wantV1, column, keys, q)
	if err != nil {
		return nil, err
	}
	return pagesOf(lists, r.resultV1), nil
}

// ListGroupsV2 is ListGroupsV1 in the V2 shape. The conversions of all pages are stored in one batch.
func (r *Repository[V1, V2]) ListGroupsV2(ctx context.Context, column string, keys []string,
	q Query,
) ([]*Page[Record[V2]], error) {
	lists, err := r.list(ctx, wantV2, column, keys, q)
	if err != nil {
		return nil, err
	}
	unique := map[string]*seen[V1, V2]{}
	for _, l := range lists {
		for _, row := range l.rows {
			unique[row.seen.key] = row.seen
		}
	}
	read := make([]*seen[V1, V2], 0, len(unique))
	for _, s := range unique {
		read = append(read, s)
	}
	answers := r.answer(ctx, read, OriginList)
	return pagesOf(lists, func(s *seen[V1, V2]) Result[Record[V2]] { return answers[s.key] }), nil
}

// list is a page before it takes a shape.
type list[V1, V2 any] struct {
	rows              []listed[V1, V2]
	hasMore, hasOther bool // in the direction of paging, and behind it
	backward          bool
	count             func(context.Context) (int64, error)
}

type listed[V1, V2 any] struct {
	seen   *seen[V1, V2]
	cursor string
}

func pagesOf[V1, V2, T any](lists []*list[V1, V2], result func(*seen[V1, V2]) Result[T]) []*Page[T] {
	pages := make([]*Page[T], len(lists))
	for i, l := range lists {
		p := &Page[T]{Items: make([]Item[T], len(l.rows)), HasNext: l.hasMore, HasPrevious: l.hasOther, count: l.count}
		if l.backward {
			p.HasNext, p.HasPrevious = l.hasOther, l.hasMore
		}
		for j, row := range l.rows {
			answer := result(row.seen)
			p.Items[j] = Item[T]{Key: row.seen.key, Cursor: row.cursor, Value: answer.Value, Err: answer.Err}
		}
		pages[i] = p
	}
	return pages
}

func (r *Repository[V1, V2]) list(ctx context.Context, w want, column string, keys []string,
	q Query,
) ([]*list[V1, V2], error) {
	p, err := r.plan(column, keys, q)
	if err != nil {
		return nil, err
	}
	extra := r.db.dialect.Object([]database.Member{{"group", "k.grp"}, {"other", "k.other"}, {"value", "k.v"}})
	var lists []*list[V1, V2]
	err = r.inForms(func(in form) error {
		f, answers, err := r.readLeading(ctx, r.db.pools.Answering(), w, func(lead side, w want) (reading, []any) {
			keyQuery, args := p.forLeader(lead).keyQuery()
			return r.readStatement(w, lead, in, keyQuery, extra), args
		})
		if err == nil {
			lists, err = r.listed(p, len(keys), q, f, answers)
		}
		return err
	})
	if database.IsRefused(err, database.BadValue) {
		if q.After == nil && q.Before == nil {
			return nil, inputError(Faulty("where", "compares a column with a value that it cannot hold"))
		}
		return nil, inputError(Faulty("after", "is not a cursor of this list"))
	}
	return lists, err
}

// listed makes lists of the answers of a plan.
func (r *Repository[V1, V2]) listed(p *plan, groups int, q Query, f fence, answers []answer) ([]*list[V1, V2], error) {
	lists := make([]*list[V1, V2], groups)
	count := p.counter()
	for i := range lists {
		lists[i] = &list[V1, V2]{backward: p.backward, count: func(ctx context.Context) (int64,
			error,
		) {
			return count(ctx, i)
		}}
	}
	for _, a := range answers {
		var extra struct {
			Group int             `json:"group"`
			Other json.RawMessage `json:"other"`
			Value json.RawMessage `json:"value"`
		}
		if err := json.Unmarshal(a.extra, &extra); err != nil {
			return nil, err
		}
		l := lists[extra.Group]
		l.hasOther = string(extra.Other) == "true" || string(extra.Other) == "1"
		if a.absent {
			continue
		}
		if len(l.rows) == p.limit {
			l.hasMore = true
			continue
		}
		s, err := r.decode(f, a)
		if err != nil {
			return nil, err
		}
		l.rows = append(l.rows, listed[V1, V2]{s, cursor{
			Entity: r.name, Sort: q.Sort, Value: extra.Value,
			Key: a.key,
		}.encode()})
	}
	for _, l := range lists {
		if l.backward {
			slices.Reverse(l.rows)
		}
	}
	return lists, nil
}

// counter returns a function that counts the rows of a group. On its first call it asks the database once, for all
// groups.
func (p *plan) counter() func(context.Context, int) (int64, error) {
	var counts map[int]int64
	one := semaphore.NewWeighted(1)
	return func(ctx context.Context, group int) (int64, error) {
		if err := one.Acquire(ctx, 1); err != nil {
			return 0, err
		}
		defer one.Release(1)
		if counts == nil {
			found, err := p.countGroups(ctx)
			if err != nil {
				return 0, err
			}
			counts = found
		}
		return counts[group], nil
	}
}

// countGroups counts the rows of each group on the side that leads.
func (p *plan) countGroups(ctx context.Context) (map[int]int64, error) {
	leave, err := p.e.seat(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	const tries = 10
	for range tries {
		lead := p.e.guess().leader()
		statement, args := p.forLeader(lead).count()
		counts := map[int]int64{}
		var f fence
		err := p.e.db.pools.Answering().Query(ctx, func(rows *sql.Rows) error {
			var fenceJSON sql.RawBytes
			var group int
			var n int64
			if err := rows.Scan(&fenceJSON, &group, &n); err != nil {
				return err
			}
			counts[group] = n
			return p.e.decodeFence(fenceJSON, &f)
		}, statement, args...)
		if err == nil && len(counts) > 0 {
			err = f.check()
		}
		if err != nil {
			return nil, err
		}
		if len(counts) == 0 || f.leader() == lead {
			return counts, nil
		}
		p.e.lastFence.Store(&f)
	}
	return nil, fmt.Errorf("%w: the phase of %s changes too often", ErrUnavailable, p.e.name)
}

// pageSize reads First and Last.
func (q Query) pageSize() (limit int, backward bool, err error) {
	if q.First != nil && q.Last != nil {
		return 0, false, inputError(Faulty("last", "give first or last, not both"))
	}
	name, n := "first", q.First
	if q.Last != nil {
		name, n, backward = "last", q.Last, true
	}
	if n == nil {
		return defaultPage, false, nil
	}
	if *n < 0 || *n > maxPage {
		return 0, false, inputError(Faulty(name, "is %d, but must be from 0 to %d", *n, maxPage))
	}
	return *n, backward, nil
}

// plan is a checked query on its way to SQL.
type plan struct {
	e             *entity
	groups, sorts [2]*shape.Column // of each side; nil for a single list, and for a sort by key
	keys          string           // of the groups, as a JSON list
	desc          bool
	backward      bool
	limit         int
	after, before *cursor
	filters       [2]sqlPart // of each side: Where, each condition after AND

	// Set by forLeader.
	lead        side
	root        *shape.Table
	group, sort *shape.Column
}

// forLeader is the plan for the side that leads.
func (p *plan) forLeader(lead side) *plan {
	leading := *p
	leading.lead, leading.root, leading.group, leading.sort = lead, p.e.v1, p.groups[lead], p.sorts[lead]
	if lead == sideV2 {
		leading.root = p.e.v2
	}
	return &leading
}

func (e *entity) plan(group string, keys []string, q Query) (*plan, error) {
	p := &plan{e: e, desc: q.Desc}
	var err error
	if p.limit, p.backward, err = q.pageSize(); err != nil {
		return nil, err
	}
	for _, predicate := range q.Where {
		err = errors.Join(p.filters[sideV1].and(e, e.v1, predicate.V1), p.filters[sideV2].and(e, e.v2, predicate.V2))
		if err != nil {
			return nil, err
		}
	}
	if q.Sort != "" {
		p.sorts = [2]*shape.Column{e.v1.Column(e.sorts[q.Sort].V1), e.v2.Column(e.sorts[q.Sort].V2)}
		if p.sorts[sideV1] == nil || p.sorts[sideV2] == nil {
			return nil, inputError(Faulty("orderBy", "there is no order %q", q.Sort))
		}
	}
	if q.After != nil {
		if p.after, err = e.decodeCursor("after", *q.After, q.Sort); err != nil {
			return nil, err
		}
	}
	if q.Before != nil {
		if p.before, err = e.decodeCursor("before", *q.Before, q.Sort); err != nil {
			return nil, err
		}
	}
	if group != "" {
		p.groups = [2]*shape.Column{e.v1.Column(group), e.v2.Column(e.columnInV2(group))}
		if p.groups[sideV1] == nil || p.groups[sideV2] == nil {
			return nil, fmt.Errorf("entity %s has no column %s in both shapes: name it in Definition.References",
				e.name, group)
		}
		p.keys, err = groupDocument(p.groups[sideV1], keys)
	}
	return p, err
}

// groupDocument is a list of keys as an argument. A key that the column cannot hold is null, which equals nothing.
func groupDocument(c *shape.Column, keys []string) (string, error) {
	values := make([]any, len(keys))
	for i, key := range keys {
		n, err := strconv.ParseInt(key, 10, 64)
		switch {
		case c.IsInt && err == nil:
			values[i] = n
		case !c.IsInt && utf8.ValidString(key) && !strings.ContainsRune(key, 0):
			values[i] = key
		}
	}
	document, err := json.Marshal(values)
	return string(document), err
}

// columnInV2 is the name in V2 of a V1 column that refers to another entity.
func (e *tables) columnInV2(name string) string {
	for _, r := range e.references {
		if r.Column == name && r.ColumnV2 != "" {
			return r.ColumnV2
		}
	}
	return name
}

// AnyPage is the part of a page that does not depend on its shape.
type AnyPage interface {
	// TotalCount counts the rows of the whole list.
	TotalCount(ctx context.Context) (int64, error)
	// Failure returns the Err of the page's i-th row.
	Failure(i int) error
}

// Failure returns the Err of the page's i-th row.
func (p *Page[T]) Failure(i int) error { return p.Items[i].Err }
