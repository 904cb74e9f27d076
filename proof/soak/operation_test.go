package soak

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// verb is what an operation does.
type verb string

const (
	getV1    verb = "getV1"
	getV2    verb = "getV2"
	listV1   verb = "listV1"
	listV2   verb = "listV2"
	createV1 verb = "createV1"
	createV2 verb = "createV2"
	updateV1 verb = "updateV1"
	updateV2 verb = "updateV2"
	remove   verb = "delete"

	// What old programs do.
	bypassInsert  verb = "bypassInsert"
	bypassUpdate  verb = "bypassUpdate" // of root columns, or of all, or of child rows only
	bypassDelete  verb = "bypassDelete"
	bypassReplace verb = "bypassReplace" // delete and insert in one transaction
	// bypassTruncate is TRUNCATE of all V1 tables.
	bypassTruncate verb = "bypassTruncate"

	// What the operator does. It concerns every key of an entity.
	setPhase      verb = "setPhase"
	startRun      verb = "start"
	cancelRun     verb = "cancel"
	pauseRun      verb = "pause"
	resumeRun     verb = "resume"
	lookAtRun     verb = "run"
	lookAtRuns    verb = "runs"
	lookAtFaults  verb = "faults"
	lookAtPhase   verb = "migration"
	setCapture    verb = "setCapture"
	captureGap    verb = "captureGap" // in histories: capture was switched on again
	restoring     verb = "restoring"  // in histories: a restore has begun
	restoringVoid verb = "restoringVoid"
)

// reads says which verbs change nothing.
func (v verb) reads() bool {
	return v == getV1 || v == getV2 || v == listV1 || v == listV2 || v == lookAtPhase
}

// set is what a write sets; a part that is negative is kept. Each part is a number, of which the columns are made.
type set struct{ Title, Prio, Tags, Extra int }

const kept = -1

// keepAll is a set that changes nothing.
var keepAll = set{kept, kept, kept, kept}

const (
	// bad is a priority that cannot be converted.
	bad = repotest.BadPriority
	// long is the first title that V1 cannot hold.
	long = 1_000_000
)

// code is how an operation ended; "" is well.
type code string

const (
	notFound         code = "NOT_FOUND"
	alreadyExists    code = "ALREADY_EXISTS"
	conflict         code = "CONFLICT"
	staleVersion     code = "STALE_VERSION"
	notOpen          code = "V2_NOT_OPEN"
	refused          code = "REFUSED" // bad input, or not representable in V1
	conversionFailed code = "CONVERSION_FAILED"
	rejected         code = "REJECTED" // an old program's write, past MIGRATE
	gateClosed       code = "GATE_CLOSED"
	phaseChanged     code = "PHASE_CHANGED"
	runActive        code = "RUN_ALREADY_ACTIVE"
	runEnded         code = "RUN_ENDED"
	wrongPhase       code = "WRONG_PHASE" // the phase was changed before the run began
	unavailable      code = "UNAVAILABLE" // nothing was written
	unknown          code = "UNKNOWN"     // it may have happened, or may yet
	internal         code = "INTERNAL"
)

// command is what the parent sends to a process, as one line of JSON.
type command struct {
	ID       int
	Verb     verb
	Entity   string
	Keys     []string
	Set      set
	Expected *int64
	List     int // which order and filter a list has, 0 for none; each finds all rows
	To       repo.Phase
	Force    bool
	Run      int64
	Kind     repo.RunKind
	On       bool
}

// reply is what comes back.
type reply struct {
	ID       int
	Code     code
	Detail   string
	Answers  []answer
	Phase    repo.Phase
	Blockers []repo.Blocker
	Runs     []repo.Run
	Findings []repo.Finding
}

// answer is what one key looked like.
type answer struct {
	Key     string
	Code    code
	Value   string
	Version int64
	Refined bool
}

// The notes and comments at work. Few, so that everybody meets.
var (
	noteKeys    = []string{"A", "B", "C", "D"}
	commentKeys = []string{"1", "2"}
)

func keysOf(entity string) []string {
	if entity == "COMMENT" {
		return commentKeys
	}
	return noteKeys
}

var padding = strings.Repeat("x", 40)

// value is what an entity holds, in numbers: the same for both entities and both shapes.
type value struct{ Title, Prio, Tags, Extra int }

func (v value) with(s set) value {
	for _, part := range []struct {
		to  *int
		set int
	}{{&v.Title, s.Title}, {&v.Prio, s.Prio}, {&v.Tags, s.Tags}, {&v.Extra, s.Extra}} {
		if part.set != kept {
			*part.to = part.set
		}
	}
	return v
}

func (v value) headline() string {
	h := "h" + strconv.Itoa(v.Title)
	if v.Title >= long {
		h += padding
	}
	return h
}

func (v value) topic() string { return "T" + strconv.Itoa(v.Title) }
func (v value) body() string  { return "b" + strconv.Itoa(v.Title) }
func (v value) tag() string   { return "g" + strconv.Itoa(v.Tags) }

// noteV1 and the others are the columns that v's numbers stand for.
func (v value) noteV1(key string) repotest.NoteV1 {
	n := repotest.NoteV1{ID: key, Title: v.topic() + ": " + v.headline(), Body: new(v.body()), Priority: int16(v.Prio)}
	if v.Tags > 0 {
		n.Tags = []repotest.Tag{{Rank: 1, Name: v.tag()}, {Rank: 2, Name: v.tag()}}
	}
	return n
}

func (v value) noteV2(key string) repotest.NoteV2 {
	n := repotest.NoteV2{
		ID: key, Topic: new(v.topic()), Headline: v.headline(), Text: new(v.body()),
		Priority: int16(v.Prio),
	}
	if v.Tags > 0 {
		n.Labels = []repotest.Label{{Rank: 1, Name: v.tag()}, {Rank: 2, Name: v.tag()}}
	}
	if v.Extra > 0 {
		n.PinnedReason = new("x" + strconv.Itoa(v.Extra))
		n.Labels = append(n.Labels, repotest.Label{Name: "s" + strconv.Itoa(v.Extra), Hidden: true})
	}
	return n
}

func (v value) about() *string {
	if v.Prio < 1 || v.Prio > len(noteKeys) {
		return nil
	}
	return &noteKeys[v.Prio-1]
}

func (v value) commentV1(id int32) repotest.CommentV1 {
	return repotest.CommentV1{ID: id, NoteID: v.about(), Words: "w" + strconv.Itoa(v.Title)}
}

func (v value) commentV2(id int32) repotest.CommentV2 {
	c := repotest.CommentV2{ID: id, About: v.about(), Text: "w" + strconv.Itoa(v.Title)}
	if v.Extra > 0 {
		c.Stars = new(int16(v.Extra % 30_000))
	}
	return c
}

func text(s *string) string {
	if s == nil {
		return "NULL"
	}
	return *s
}

// The lines below are what operations answer, and what the model expects: a torn aggregate is a line that nobody
// expects.
func lineOfNoteV1(n repotest.NoteV1) string {
	return fmt.Sprintf("%s %s %d %v", n.Title, text(n.Body), n.Priority, n.Tags)
}

func lineOfNoteV2(n repotest.NoteV2) string {
	labels := slices.Clone(n.Labels)
	return fmt.Sprintf("%s/%s %s %d %v %s", text(n.Topic), n.Headline, text(n.Text), n.Priority, labels,
		text(n.PinnedReason))
}

func lineOfCommentV1(c repotest.CommentV1) string { return text(c.NoteID) + " " + c.Words }

func lineOfCommentV2(c repotest.CommentV2) string {
	stars := "-"
	if c.Stars != nil {
		stars = strconv.Itoa(int(*c.Stars))
	}
	return text(c.About) + " " + c.Text + " " + stars
}

func (v value) lineV1(entity, key string) string {
	if entity == "COMMENT" {
		return lineOfCommentV1(v.commentV1(0))
	}
	return lineOfNoteV1(v.noteV1(key))
}

func (v value) lineV2(entity, key string) string {
	if entity == "COMMENT" {
		return lineOfCommentV2(v.commentV2(0))
	}
	return lineOfNoteV2(v.noteV2(key))
}

// parse finds the value whose line in V2 is given. It fails on a line that no value has.
func parse(entity, key, line string) (value, bool) {
	var v value
	var about, stars string
	if entity == "COMMENT" {
		if _, err := fmt.Sscanf(line, "%s w%d %s", &about, &v.Title, &stars); err != nil {
			return v, false
		}
		v.Prio = slices.Index(noteKeys, about) + 1
		v.Extra, _ = strconv.Atoi(stars) // "-" for none
	} else {
		if i := strings.Index(line, "/"); i < 0 || !scan(line[1:i], &v.Title) {
			return v, false
		}
		fields := strings.Fields(line)
		if len(fields) < 3 || !scan(fields[2], &v.Prio) {
			return v, false
		}
		if i := strings.Index(line, "{1 g"); i >= 0 {
			number, _, _ := strings.Cut(line[i+4:], " ")
			scan(number, &v.Tags)
		}
		if pinned := fields[len(fields)-1]; pinned != "NULL" && !scan(pinned[1:], &v.Extra) {
			return v, false
		}
	}
	return v, v.lineV2(entity, key) == line
}

func scan(s string, to *int) bool {
	n, err := strconv.Atoi(s)
	*to = n
	return err == nil
}

// codeOf says what an error of the engine means.
func codeOf(err error) code {
	for _, known := range []struct {
		err  error
		code code
	}{
		{repo.ErrOutcomeUnknown, unknown},
		{repo.ErrUnavailable, unavailable},
		{repo.ErrNotFound, notFound},
		{repo.ErrAlreadyExists, alreadyExists},
		{repo.ErrConflict, conflict},
		{repo.ErrStaleVersion, staleVersion},
		{repo.ErrV2NotOpen, notOpen},
		{repo.ErrPhaseChanged, phaseChanged},
		{repo.ErrRunAlreadyActive, runActive},
		{repo.ErrRunEnded, runEnded},
		{repo.ErrWrongPhase, wrongPhase},
	} {
		if errors.Is(err, known.err) {
			return known.code
		}
	}
	if _, ok := errors.AsType[*repo.InputError](err); ok {
		return refused
	}
	if _, ok := errors.AsType[*repo.NotRepresentableError](err); ok {
		return refused
	}
	if _, ok := errors.AsType[*repo.ConversionError](err); ok {
		return conversionFailed
	}
	if _, ok := errors.AsType[*repo.GateClosedError](err); ok {
		return gateClosed
	}
	if errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "context deadline") {
		return unknown
	}
	return internal
}
