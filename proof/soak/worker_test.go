package soak

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// workerURL makes the test binary behave as a server: it opens the database at that URL, works on runs, and does what
// comes over its standard input until that ends.
const workerURL = "COEXIST_SOAK_WORKER"

// workerPooler tells it that a proxy is on the way.
const workerPooler = "COEXIST_SOAK_WORKER_POOLER"

// serve is the whole life of a process. It returns its exit status.
func serve(url string, pooled bool, in io.Reader, out io.Writer) int {
	s, err := openServer(url, pooled)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx := context.Background()
	go func() { _ = s.control.Work(ctx) }() // until the process ends
	var mu sync.Mutex
	answers := json.NewEncoder(out)
	_ = answers.Encode(reply{})
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		go func() {
			ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
			defer cancel()
			r := s.do(ctx, c)
			r.ID = c.ID
			mu.Lock()
			defer mu.Unlock()
			_ = answers.Encode(r) // who has closed the pipe wants no answer
		}()
	}
	return 0
}

// server is one instance of the engine.
type server struct {
	notes    *repo.Repository[repotest.NoteV1, repotest.NoteV2]
	comments *repo.Repository[repotest.CommentV1, repotest.CommentV2]
	control  *repo.Control

	mu      sync.Mutex
	writing map[string]int // who is writing, by note
}

func openServer(url string, pooled bool) (*server, error) {
	ctx := context.Background()
	db, err := repo.Open(ctx, url, repo.Config{
		Pooler: pooled,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return nil, err
	}
	s := &server{control: repo.NewControl(db), writing: map[string]int{}}
	if s.notes, err = repo.New(db, repo.Definition[repotest.NoteV1, repotest.NoteV2]{
		Name:    "NOTE",
		Sorts:   map[string]repo.Sort{"BODY": {V1: "body", V2: "text"}, "PRIORITY": {V1: "priority", V2: "priority"}},
		Mapping: repotest.NoteMapping{OnConvert: s.dawdle},
	}); err != nil {
		return nil, err
	}
	if s.comments, err = repo.New(db, repo.Definition[repotest.CommentV1, repotest.CommentV2]{
		Name: "COMMENT", Mapping: repotest.CommentMapping{},
		References: []repo.Reference{{Column: "note_id", ColumnV2: "about", Table: "notes", Key: "id"}},
	}); err != nil {
		return nil, err
	}
	if empty, err := db.Empty(ctx); err != nil || empty {
		if err := errors.Join(err, db.CreateV1Tables(ctx)); err != nil {
			return nil, err
		}
	}
	return s, errors.Join(db.Install(ctx), db.Check(ctx))
}

// dawdle makes some conversions slow, so that much happens between a read of V1 and the store of what was made of it.
// It does so for long only where nobody here writes the key, and so holds locks meanwhile.
func (s *server) dawdle(key string) {
	s.mu.Lock()
	written := s.writing[key] > 0
	s.mu.Unlock()
	switch n := rand.IntN(1000); {
	case n < 25 && !written:
		time.Sleep(rand.N(1500 * time.Millisecond))
	case n < 150:
		time.Sleep(rand.N(20 * time.Millisecond))
	}
}

// writes counts who writes a key.
func (s *server) writes(key string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing[key] += n
}

func (s *server) do(ctx context.Context, c command) reply {
	switch c.Verb {
	case setPhase, startRun, cancelRun, pauseRun, resumeRun, lookAtRun, lookAtRuns, lookAtFaults,
		lookAtPhase, setCapture:
		return s.operate(ctx, c)
	}
	if c.Entity == "COMMENT" {
		return perform(ctx, c, shapes[repotest.CommentV1, repotest.CommentV2]{
			s.comments, lineOfCommentV1, lineOfCommentV2,
			func(v value, key string) repotest.CommentV1 { return v.commentV1(id(key)) },
			func(v value, key string) repotest.CommentV2 { return v.commentV2(id(key)) },
			func(to *repotest.CommentV1, from repotest.CommentV1, s set) {
				pick(s.Title, &to.Words, from.Words)
				pick(s.Prio, &to.NoteID, from.NoteID)
			},
			func(to *repotest.CommentV2, from repotest.CommentV2, s set) {
				pick(s.Title, &to.Text, from.Text)
				pick(s.Prio, &to.About, from.About)
				pick(s.Extra, &to.Stars, from.Stars)
			},
		})
	}
	if !c.Verb.reads() {
		s.writes(c.Keys[0], 1)
		defer s.writes(c.Keys[0], -1)
	}
	return perform(ctx, c, shapes[repotest.NoteV1, repotest.NoteV2]{
		s.notes, lineOfNoteV1, lineOfNoteV2, value.noteV1, value.noteV2,
		func(to *repotest.NoteV1, from repotest.NoteV1, s set) {
			pick(s.Title, &to.Title, from.Title)
			pick(s.Title, &to.Body, from.Body)
			pick(s.Prio, &to.Priority, from.Priority)
			pick(s.Tags, &to.Tags, from.Tags)
		},
		func(to *repotest.NoteV2, from repotest.NoteV2, s set) {
			pick(s.Title, &to.Topic, from.Topic)
			pick(s.Title, &to.Headline, from.Headline)
			pick(s.Title, &to.Text, from.Text)
			pick(s.Prio, &to.Priority, from.Priority)
			pick(s.Extra, &to.PinnedReason, from.PinnedReason)
			to.Labels = append(labels(to.Labels, from.Labels, s.Tags, false), labels(to.Labels, from.Labels,
				s.Extra, true)...)
		},
	})
}

func id(key string) int32 {
	n, _ := strconv.Atoi(key) // the keys of comments are numbers
	return int32(n)
}

// pick takes a field over if its part is set.
func pick[T any](part int, to *T, from T) {
	if part != kept {
		*to = from
	}
}

// labels are the hidden ones, or the others: as they are, or as they shall be.
func labels(old, wanted []repotest.Label, part int, hidden bool) []repotest.Label {
	from := wanted
	if part == kept {
		from = old
	}
	var chosen []repotest.Label
	for _, l := range from {
		if l.Hidden == hidden {
			chosen = append(chosen, l)
		}
	}
	return chosen
}

// shapes is an entity with what turns numbers into its columns, and back.
type shapes[V1, V2 any] struct {
	repository *repo.Repository[V1, V2]
	lineV1     func(V1) string
	lineV2     func(V2) string
	makeV1     func(value, string) V1
	makeV2     func(value, string) V2
	changeV1   func(to *V1, from V1, s set)
	changeV2   func(to *V2, from V2, s set)
}

func (e shapes[V1, V2]) answerV2(key string, record repo.Record[V2], err error) answer {
	if err != nil {
		return answer{Key: key, Code: codeOf(err)}
	}
	return answer{Key: key, Value: e.lineV2(record.Value), Version: record.Version, Refined: record.Copy.Refined}
}

func (e shapes[V1, V2]) answerV1(key string, v1 V1, err error) answer {
	if err != nil {
		return answer{Key: key, Code: codeOf(err)}
	}
	return answer{Key: key, Value: e.lineV1(v1)}
}

// perform does an operation of a client.
func perform[V1, V2 any](ctx context.Context, c command, e shapes[V1, V2]) reply {
	key := c.Keys[0]
	wanted := value{}.with(c.Set)
	switch c.Verb {
	case getV1:
		results, err := e.repository.GetManyV1(ctx, c.Keys)
		r := failed(err)
		for i, result := range results {
			r.Answers = append(r.Answers, e.answerV1(c.Keys[i], result.Value, result.Err))
		}
		return r
	case getV2:
		results, err := e.repository.GetManyV2(ctx, c.Keys)
		r := failed(err)
		for i, result := range results {
			r.Answers = append(r.Answers, e.answerV2(c.Keys[i], result.Value, result.Err))
		}
		return r
	case listV1:
		page, err := e.repository.ListV1(ctx, listQuery(c.List))
		r := failed(err)
		if err == nil {
			for _, item := range page.Items {
				r.Answers = append(r.Answers, e.answerV1(item.Key, item.Value, item.Err))
			}
		}
		return r
	case listV2:
		page, err := e.repository.ListV2(ctx, listQuery(c.List))
		r := failed(err)
		if err == nil {
			for _, item := range page.Items {
				r.Answers = append(r.Answers, e.answerV2(item.Key, item.Value, item.Err))
			}
		}
		return r
	case createV1:
		v1, err := e.repository.CreateV1(ctx, e.makeV1(wanted, key))
		return written(err, e.answerV1(key, v1, err))
	case createV2:
		record, err := e.repository.CreateV2(ctx, e.makeV2(wanted, key))
		return written(err, e.answerV2(key, record, err))
	case updateV1:
		v1, err := e.repository.UpdateV1(ctx, key, func(v1 *V1) error {
			e.changeV1(v1, e.makeV1(wanted, key), c.Set)
			return nil
		})
		return written(err, e.answerV1(key, v1, err))
	case updateV2:
		record, err := e.repository.UpdateV2(ctx, key, c.Expected, func(v2 *V2) error {
			e.changeV2(v2, e.makeV2(wanted, key), c.Set)
			return nil
		})
		return written(err, e.answerV2(key, record, err))
	case remove:
		return failed(e.repository.Delete(ctx, key, c.Expected))
	default:
		return reply{Code: internal, Detail: "no operation " + string(c.Verb)}
	}
}

func failed(err error) reply {
	if err == nil {
		return reply{}
	}
	return reply{Code: codeOf(err), Detail: err.Error()}
}

func written(err error, a answer) reply {
	r := failed(err)
	r.Answers = []answer{a}
	return r
}

// operate does what the operator asks for.
func (s *server) operate(ctx context.Context, c command) reply {
	var run repo.Run
	var err error
	one := func() reply {
		r := failed(err)
		r.Runs = []repo.Run{run}
		return r
	}
	switch c.Verb {
	case setPhase:
		m, err := s.control.SetPhase(ctx, repo.PhaseRequest{
			Entity: c.Entity, To: c.To, Actor: "soak", Force: c.Force,
			Reason: new("a soak"),
		})
		r := failed(err)
		r.Phase = m.Phase
		if blocked, ok := errors.AsType[*repo.BlockedError](err); ok {
			r.Code, r.Detail = conflict, blocked.Error() // nothing has changed, for sure
		}
		if closed, ok := errors.AsType[*repo.GateClosedError](err); ok {
			r.Blockers = closed.Blockers
		}
		return r
	case lookAtPhase:
		m, err := s.control.Migration(ctx, c.Entity)
		r := failed(err)
		r.Phase = m.Phase
		return r
	case startRun:
		request := repo.RunRequest{Entity: c.Entity, Actor: "soak"}
		switch c.Kind {
		case repo.Sweep:
			run, err = s.control.StartSweep(ctx, repo.SweepRequest{Entity: c.Entity, Actor: "soak"})
		case repo.Verification:
			run, err = s.control.StartVerification(ctx, repo.VerificationRequest{Entity: c.Entity, Actor: "soak"})
		case repo.Rehearsal:
			run, err = s.control.StartRehearsal(ctx, request)
		default:
			run, err = s.control.StartRestore(ctx, request)
		}
		return one()
	case cancelRun:
		run, err = s.control.CancelRun(ctx, c.Run)
		return one()
	case pauseRun:
		run, err = s.control.PauseRun(ctx, c.Run)
		return one()
	case resumeRun:
		run, err = s.control.ResumeRun(ctx, c.Run)
		return one()
	case lookAtRun:
		run, err = s.control.Run(ctx, c.Run)
		return one()
	case lookAtRuns:
		runs, err := s.control.Runs(ctx, c.Entity, "", 100)
		r := failed(err)
		r.Runs = runs
		return r
	case lookAtFaults:
		page, err := s.control.Findings(ctx, c.Run, 100, "")
		r := failed(err)
		r.Findings = page.Findings
		return r
	default:
		_, err := s.control.SetCapture(ctx, c.Entity, c.On)
		return failed(err)
	}
}

// listQuery is a query that finds all notes, in an order and by a filter of its own.
func listQuery(n int) repo.Query {
	const all = 1000
	everything := []repo.Predicate{{
		V1: repo.AnyOf(repo.AtMost("priority", all), repo.IsNull("body")),
		V2: repo.AnyOf(repo.AtMost("priority", all), repo.IsNull("text")),
	}}
	switch n {
	case 1:
		return repo.Query{Sort: "BODY"}
	case 2:
		return repo.Query{Sort: "PRIORITY", Desc: true, Where: everything}
	case 3:
		return repo.Query{Desc: true, Where: everything}
	default:
		return repo.Query{}
	}
}
