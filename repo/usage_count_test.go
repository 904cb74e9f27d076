package repo

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestUsageText(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "nobody"},
		{" \t\n", "nobody"},
		{"shop", "shop"},
		{" web shop ", "web shop"},
		{"a\x00b\r\nc\u202e", "abc"},
		{"\xff\xfebad", "bad"},
		{"Größe 東京", "Größe 東京"},
		{strings.Repeat("x", 101), strings.Repeat("x", 100)},
		{strings.Repeat("é", 5000), strings.Repeat("é", 100)},
		{strings.Repeat("\x01", 5000) + "x", "nobody"},
	} {
		if got := usageText(c.text, "nobody"); got != c.want {
			t.Errorf("%.20q becomes %q, want %q", c.text, got, c.want)
		}
	}
}

// A flood of names takes the place of names that are idle, never of those at work, and a bounded amount of memory.
func TestUsageOfAFloodOfNames(t *testing.T) {
	u := newUsageCounter()
	now := time.Now()
	use := V1Use{
		ClientName: "shop", ClientVersion: "1", OperationName: "Q",
		Fields: []V1Field{{"NOTE", "NoteV1.title"}},
	}
	u.record(use, now)
	for i := range 30_000 {
		flood := use
		switch i % 3 {
		case 0:
			flood.ClientName = fmt.Sprint("client", i)
		case 1:
			flood.ClientVersion = fmt.Sprint(i)
		case 2:
			flood.OperationName = fmt.Sprint("Q", i)
		}
		u.record(flood, now)
		u.record(use, now)
	}
	total := int64(0)
	for _, c := range u.waiting {
		total += c.count
	}
	own := u.waiting[usageKey{"NOTE", "shop", "1", "Q", "NoteV1.title"}]
	others := u.waiting[usageKey{"NOTE", "other", "other", "other", "NoteV1.title"}]
	if total != 60_001 || own.count != 30_002 || others.count == 0 || len(u.waiting) > 1000 ||
		len(u.details) > maxClients || len(u.totals) > maxClients+1 {
		t.Errorf("%d in all, %d own, %d others, in %d counts of %d clients", total, own.count, others.count,
			len(u.waiting), len(u.details))
	}
	late := use
	late.ClientName = "late"
	u.record(late, now.Add(idleAfter-1))
	if u.operations()["late"] != 0 {
		t.Error("a newcomer has taken the place of a client that is at work")
	}
	u.record(use, now.Add(idleAfter))
	u.record(late, now.Add(idleAfter))
	if got := u.operations(); got["late"] != 1 || got["shop"] != 50_002 {
		t.Errorf("after a while: %d of the newcomer, %d of the client that stayed", got["late"], got["shop"])
	}
}

// What the database does not take waits, within bounds.
func TestUsageWaits(t *testing.T) {
	u := newUsageCounter()
	early, late := time.Unix(1000, 0), time.Unix(2000, 0)
	key := usageKey{"NOTE", "shop", "1", "Q", "NoteV1.title"}
	u.add(key, usageCount{2, late, late})
	taken := u.take()
	u.add(key, usageCount{3, early, early})
	u.giveBack(taken)
	if got := u.waiting[key]; got != (usageCount{5, early, late}) {
		t.Errorf("got %+v", got)
	}
	for i := range 2 * maxUsageKeys {
		u.add(usageKey{"NOTE", "shop", "1", fmt.Sprint(i), "NoteV1.title"}, usageCount{1, late, late})
	}
	if got := u.waiting[key.other()].count; len(u.waiting) != maxUsageKeys+1 || got != maxUsageKeys+1 {
		t.Errorf("%d counts, %d of others", len(u.waiting), got)
	}
}
