package repotest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "github.com/mattn/go-sqlite3"    // the driver "sqlite3"

	"github.com/alwaysup/coexist/repo"
)

// Setup says how OpenNotes sets up an instance. The zero Setup is an instance in the phase EXPAND whose mapping is
// correct.
type Setup struct {
	// Mapping is the mapping of notes. OpenNotes overwrites its OnConvert: use Bench.PauseConversion.
	Mapping NoteMapping
	// Remigrates gives the mapping its method Remigrate.
	Remigrates bool
	// Phase is the phase in which notes and comments start, in a database that does not know them.
	Phase repo.Phase
	// Config is the configuration of the DB. OpenNotes overwrites its OnStatement and Logger.
	Config repo.Config
	// Sorts are the sorts that notes have in addition to BODY and PRIORITY.
	Sorts map[string]repo.Sort
}

// Bench is an instance of the engine with notes and comments. It has the tools to watch the instance, and to force the
// order in which things happen.
type Bench struct {
	DB       *repo.DB
	Notes    *repo.Repository[NoteV1, NoteV2]
	Comments *repo.Repository[CommentV1, CommentV2]
	Control  *repo.Control
	URL      string

	t           testing.TB
	mu          sync.Mutex
	pauses      map[string]*Pause
	conversions map[string]int
	statements  []string
	before      map[string]func()
}

// WithoutV1 reports whether the tests run on an engine without the steps of coexistence, so that there are no V1
// tables: see scripts/check-end.sh.
func WithoutV1() bool { return os.Getenv("COEXIST_TEST_WITHOUT_V1") != "" }

// OpenNotes opens the database at url. It creates the V1 tables if the database is empty. Then it installs what the
// engine needs, and checks everything. It closes the instance with the test.
func OpenNotes(t testing.TB, url string, s Setup) *Bench {
	t.Helper()
	b := DescribeNotes(t, url, s)
	empty, err := b.DB.Empty(t.Context())
	if err == nil && empty && !WithoutV1() {
		err = b.DB.CreateV1Tables(t.Context())
	}
	if err == nil {
		err = b.DB.Install(t.Context())
	}
	if err == nil {
		err = b.DB.Check(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// DescribeNotes does what OpenNotes does, but sends none of its statements: it only describes the entities.
func DescribeNotes(t testing.TB, url string, s Setup) *Bench {
	t.Helper()
	b := &Bench{URL: url, t: t, pauses: map[string]*Pause{}, conversions: map[string]int{}, before: map[string]func(){}}
	s.Config.OnStatement = b.onStatement
	s.Config.Logger = slog.New(slog.DiscardHandler)
	way, pooled := EnginesURL(t, url)
	s.Config.Pooler = s.Config.Pooler || pooled
	var err error
	if b.DB, err = repo.Open(t.Context(), way, s.Config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	sorts := map[string]repo.Sort{"BODY": {V1: "body", V2: "text"}, "PRIORITY": {V1: "priority", V2: "priority"}}
	for name, sort := range s.Sorts {
		sorts[name] = sort
	}
	s.Mapping.OnConvert = b.onConvert
	var mapping repo.Mapping[NoteV1, NoteV2] = s.Mapping
	if s.Remigrates {
		mapping = RemigratingNotes{s.Mapping}
	}
	b.Notes, err = repo.New(b.DB, repo.Definition[NoteV1, NoteV2]{
		Name: "NOTE", Mapping: mapping, InitialPhase: s.Phase, Sorts: sorts,
		NewKey: func(serial int64) string { return fmt.Sprintf("N%d", serial) },
	})
	if err == nil {
		b.Comments, err = repo.New(b.DB, repo.Definition[CommentV1, CommentV2]{
			Name: "COMMENT", Mapping: CommentMapping{}, InitialPhase: s.Phase,
			References: []repo.Reference{{Column: "note_id", ColumnV2: "about", Table: "notes", Key: "id"}},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	b.Control = repo.NewControl(b.DB)
	return b
}

// Close closes the instance, as a process does when it ends. It may be called twice.
func (b *Bench) Close() { _ = b.DB.Close() }

// SetPhase moves notes to a phase, by force, or ends the test.
func (b *Bench) SetPhase(to repo.Phase) {
	b.t.Helper()
	if _, err := b.Control.SetPhase(b.t.Context(), repo.PhaseRequest{
		Entity: "NOTE", To: to, Actor: "test", Force: true,
		Reason: new("a test"),
	}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *Bench) onStatement(statement string) {
	b.mu.Lock()
	b.statements = append(b.statements, statement)
	var due []func()
	for text, do := range b.before {
		if strings.Contains(statement, text) {
			due = append(due, do)
			delete(b.before, text)
		}
	}
	b.mu.Unlock()
	for _, do := range due {
		do()
	}
}

// Before calls do once, just before the instance sends the next statement that contains the text. If several statements
// go out in one round trip, do is called before any of them is sent.
func (b *Bench) Before(text string, do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.before[text] = do
}

// Forget forgets the statements that were sent so far.
func (b *Bench) Forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.statements = nil
}

// Sent returns the SQL that the instance has sent since Forget.
func (b *Bench) Sent() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.statements)
}

// Statements returns the SQL that the instance sends while do runs.
func (b *Bench) Statements(do func()) []string {
	b.Forget()
	do()
	return b.Sent()
}

// Until polls until holds returns true. It ends the test if that takes more than 90 seconds.
func Until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	if err := await(func() (bool, error) { return holds(), nil }); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// Conversions returns how often a note has been converted to V2 so far.
func (b *Bench) Conversions(key string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conversions[key]
}

// Pause is a conversion that waits to be released.
type Pause struct {
	reached, released chan struct{}
	once              sync.Once
}

// PauseConversion stops the next conversion of the note, wherever it happens: between the read of V1 and the store of
// the copy. Later conversions are not stopped. The conversion continues with Release, or when the test ends.
func (b *Bench) PauseConversion(key string) *Pause {
	p := &Pause{reached: make(chan struct{}), released: make(chan struct{})}
	b.mu.Lock()
	b.pauses[key] = p
	b.mu.Unlock()
	b.t.Cleanup(p.Release)
	return p
}

// Wait returns once the conversion has stopped.
func (p *Pause) Wait() { <-p.reached }

// Release lets the conversion continue. It may be called more than once.
func (p *Pause) Release() { p.once.Do(func() { close(p.released) }) }

func (b *Bench) onConvert(key string) {
	b.mu.Lock()
	b.conversions[key]++
	p := b.pauses[key]
	delete(b.pauses, key)
	b.mu.Unlock()
	if p != nil {
		close(p.reached)
		<-p.released
	}
}

// Raw connects to a database as a program does that knows nothing of the engine. An argument is $1 in a statement on
// both databases, and may be "?" on SQLite.
func Raw(t testing.TB, url string) *sql.DB {
	t.Helper()
	driver, source := "pgx", Pinned(url)
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, source = "sqlite3", "file:"+path+"?_foreign_keys=on&_busy_timeout=10000&_txlock=immediate"
	}
	raw, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	return raw
}

// Exec runs statements, or ends the test.
func Exec(t testing.TB, raw interface {
	Exec(query string, args ...any) (sql.Result, error)
}, statements ...string,
) {
	t.Helper()
	for _, s := range statements {
		if _, err := raw.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// Repeat runs a statement again and again, as another program does, and ignores its failures. It returns once the
// statement has succeeded. stop ends it and returns how often the statement succeeded, which is at least once.
func Repeat(t testing.TB, raw *sql.DB, statement string) (stop func() int) {
	t.Helper()
	var succeeded atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var program sync.WaitGroup
	program.Go(func() {
		for ctx.Err() == nil {
			if _, err := raw.ExecContext(t.Context(), statement); err == nil {
				succeeded.Add(1)
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
	stop = func() int {
		cancel()
		program.Wait()
		return int(succeeded.Load())
	}
	t.Cleanup(func() { stop() })
	Until(t, statement, func() bool { return succeeded.Load() > 0 })
	return stop
}

// One returns the one value that a query selects, or ends the test. It returns the zero value for NULL and if there is
// no row.
func One[T any](t testing.TB, raw *sql.DB, query string, args ...any) T {
	t.Helper()
	var value sql.Null[T]
	if err := raw.QueryRow(query, args...).Scan(&value); err != nil && !errors.Is(err, sql.ErrNoRows) {
		t.Fatalf("%s: %v", query, err)
	}
	return value.V
}
