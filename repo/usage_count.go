package repo

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// These limits keep the counts of V1 use small, whatever clients call themselves.
const (
	unknownClient  = "unknown"
	otherClients   = "other" // what exceeds a limit is counted under this name
	maxClients     = 100     // names of clients
	maxVersions    = 50      // versions of one client
	maxOperations  = 200     // operations of one client
	maxUsageKeys   = 10_000  // counts that wait for the database
	maxUsageText   = 100     // characters of a name
	idleAfter      = 10 * time.Minute
	usageTimeStamp = "2006-01-02T15:04:05.000Z"
)

// usageKey identifies one count.
type usageKey struct{ entity, client, version, operation, field string }

func (k usageKey) compare(l usageKey) int {
	return cmp.Or(cmp.Compare(k.entity, l.entity), cmp.Compare(k.client, l.client), cmp.Compare(k.version, l.version),
		cmp.Compare(k.operation, l.operation), cmp.Compare(k.field, l.field))
}

// other is the key under which a use is counted where there is no room for its own. There are as many such keys as V1
// has fields.
func (k usageKey) other() usageKey {
	return usageKey{k.entity, otherClients, otherClients, otherClients, k.field}
}

type usageCount struct {
	count       int64
	first, last time.Time
}

func (c usageCount) plus(d usageCount) usageCount {
	if c.count == 0 {
		return d
	}
	sum := usageCount{c.count + d.count, c.first, c.last}
	if d.first.Before(sum.first) {
		sum.first = d.first
	}
	if d.last.After(sum.last) {
		sum.last = d.last
	}
	return sum
}

// usageCounter counts V1 use in bounded memory, until the counts are written to the database.
type usageCounter struct {
	keeping sync.Mutex // held while counts are on their way to the database
	mu      sync.Mutex
	clients nameSet
	details map[string]*clientDetails // by client
	totals  map[string]int64          // by client, for V1Operations
	waiting map[usageKey]usageCount
}

type clientDetails struct{ versions, operations nameSet }

func newUsageCounter() *usageCounter {
	return &usageCounter{
		clients: nameSet{limit: maxClients}, details: map[string]*clientDetails{}, totals: map[string]int64{},
		waiting: map[usageKey]usageCount{},
	}
}

// record counts one operation.
func (u *usageCounter) record(use V1Use, now time.Time) {
	if len(use.Fields) == 0 {
		return
	}
	name, version := usageText(use.ClientName, unknownClient), usageText(use.ClientVersion, unknownClient)
	operation := usageText(use.OperationName, "")
	u.mu.Lock()
	defer u.mu.Unlock()
	name, version, operation = u.admit(name, version, operation, now)
	u.totals[name]++
	for _, f := range use.Fields {
		u.add(usageKey{f.Entity, name, version, operation, f.Name}, usageCount{1, now, now})
	}
}

// admit returns the names under which to count an operation.
func (u *usageCounter) admit(name, version, operation string, now time.Time) (string, string, string) {
	admitted, gone := u.clients.admit(name, now)
	if gone != "" {
		delete(u.details, gone)
		delete(u.totals, gone)
	}
	if admitted != name {
		return otherClients, otherClients, otherClients
	}
	of := u.details[name]
	if of == nil {
		of = &clientDetails{nameSet{limit: maxVersions}, nameSet{limit: maxOperations}}
		u.details[name] = of
	}
	version, _ = of.versions.admit(version, now)
	operation, _ = of.operations.admit(operation, now)
	return name, version, operation
}

// add adds c to the count of k. The caller must hold u.mu.
func (u *usageCounter) add(k usageKey, c usageCount) {
	if _, counted := u.waiting[k]; !counted && len(u.waiting) >= maxUsageKeys {
		k = k.other()
	}
	u.waiting[k] = u.waiting[k].plus(c)
}

// take returns all counts, and starts again from none.
func (u *usageCounter) take() map[usageKey]usageCount {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := u.waiting
	u.waiting = map[usageKey]usageCount{}
	return taken
}

// giveBack adds counts again that could not be written.
func (u *usageCounter) giveBack(counts map[usageKey]usageCount) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for k, c := range counts {
		u.add(k, c)
	}
}

func (u *usageCounter) operations() map[string]int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return maps.Clone(u.totals)
}

// nameSet is a set of up to limit names. Where it is full, a new name replaces the one that was not seen for longest,
// provided that one is idle: a flood of names does not push out names in use.
type nameSet struct {
	limit int
	seen  map[string]time.Time
}

// admit returns the name, or "other" where there is no room for it. It also returns the name that it replaced, if any.
func (s *nameSet) admit(name string, now time.Time) (admitted, gone string) {
	if s.seen == nil {
		s.seen = map[string]time.Time{}
	}
	if _, known := s.seen[name]; !known && len(s.seen) >= s.limit {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(s.seen)),
			func(a, b string) int { return s.seen[a].Compare(s.seen[b]) })
		if now.Sub(s.seen[oldest]) < idleAfter {
			return otherClients, ""
		}
		delete(s.seen, oldest)
		gone = oldest
	}
	s.seen[name] = now
	return name, gone
}

// usageText turns whatever a client sends into a printable name of limited length, or into substitute where nothing is
// left.
func usageText(text, substitute string) string {
	if len(text) > 4*maxUsageText {
		text = text[:4*maxUsageText]
	}
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n == maxUsageText {
			break
		}
		if r == utf8.RuneError || !unicode.IsGraphic(r) {
			continue
		}
		b.WriteRune(r)
		n++
	}
	if name := strings.TrimSpace(b.String()); name != "" {
		return name
	}
	return substitute
}
