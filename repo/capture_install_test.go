package repo_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// Installing looks in the catalog first: where all is there nothing is created, so that nobody's lock is waited for.
func TestInstallLooksFirst(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		repotest.OpenNotes(t, url, repotest.Setup{})
		other := repotest.DescribeNotes(t, url, repotest.Setup{})
		for _, s := range other.Statements(func() {
			if err := other.DB.Install(t.Context()); err != nil {
				t.Error(err)
			}
		}) {
			if strings.Contains(s, "TRIGGER") || strings.Contains(s, "FUNCTION") || strings.HasPrefix(s, "DROP") {
				t.Errorf("a second installation sends %s", s)
			}
		}
	})
}

// Installing never makes an old program wait for long: the lock timeout of postgres.capture. While one keeps its
// transaction open, the triggers wait, and whoever comes after waits for a moment only. Without it the second program
// waits for ten seconds.
func TestInstallDoesNotStopOldPrograms(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	raw := repotest.Raw(t, url)
	b := repotest.DescribeNotes(t, url, repotest.Setup{})
	if err := b.DB.CreateV1Tables(t.Context()); err != nil {
		t.Fatal(err)
	}
	open, err := raw.Begin()
	if err != nil {
		t.Fatal(err)
	}
	repotest.Exec(t, open, "INSERT INTO notes (id, title, priority) VALUES ('a', 'a', 1)")
	installed := make(chan error, 1)
	go func() { installed <- b.DB.Install(t.Context()) }()
	repotest.Until(t, "the installation waits", func() bool { return waiting(t, raw) })
	if err := past(raw, "", "SET LOCAL lock_timeout = '2s'",
		"INSERT INTO notes (id, title, priority) VALUES ('b', 'b', 1)"); err != nil {
		t.Errorf("another program: %v", err)
	}
	if err := open.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-installed; err != nil {
		t.Fatal(err)
	}
	if err := b.DB.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if capture, err := b.Control.Capture(t.Context(), "NOTE"); err != nil || !capture.Enabled {
		t.Errorf("%+v, %v", capture, err)
	}
}

// Where the server's role does not own V1 it installs what it may; the gate says what is missing.
func TestInstallWithoutRightsOnV1(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	raw := repotest.Raw(t, url)
	owner := repotest.DescribeNotes(t, repotest.Pinned(url), repotest.Setup{})
	if err := owner.DB.CreateV1Tables(t.Context()); err != nil {
		t.Fatal(err)
	}
	role := repotest.NewRole(t, url)
	repotest.Exec(t, raw, "GRANT CREATE, USAGE ON SCHEMA public TO "+role,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON notes, note_tags, comments TO "+role)
	b := repotest.DescribeNotes(t, repotest.WithUser(t, url, role), repotest.Setup{Phase: repo.Migrate})
	if err := b.DB.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.DB.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if capture, err := b.Control.Capture(t.Context(), "NOTE"); err != nil || capture.Enabled {
		t.Errorf("%+v, %v", capture, err)
	}
	insert(t, b, note("a", "a"))
	clean(t, b, sweep(t, b, repo.SweepRequest{}))
	clean(t, b, verify(t, b, false))
	wantBlocker(t, closed(t, b, repo.Cutover, "CAPTURE_OFF"), repo.CaptureOff, 1, "", "capture")
	// A DBA runs the printed script.
	script, err := owner.DB.DDL(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	repotest.Exec(t, raw, script)
	if capture, err := b.Control.Capture(t.Context(), "NOTE"); err != nil || !capture.Enabled {
		t.Errorf("%+v, %v", capture, err)
	}
	repotest.Exec(t, raw, "UPDATE notes SET title = 'past us' WHERE id = 'a'")
	if r := agree(t, b, "a"); r.Value.Headline != "past us" {
		t.Errorf("%+v", r)
	}
}

// A change that nobody captured and that a reader has overlapped: the mark that SetCapture leaves, also where there is
// no copy yet. Without it the reader's copy, which lacks the change, counts as fresh for good.
func TestAReaderAcrossAGapInTheCapture(t *testing.T) {
	t.Parallel()
	for _, copied := range []bool{false, true} {
		t.Run(fmt.Sprint("copied ", copied), func(t *testing.T) {
			inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
				insert(t, b, note("a", "work: begin"), note("b", "b"))
				if copied {
					getV2(t, b, "b")
				}
				setCapture(t, b, false)
				pause := b.PauseConversion("a")
				read := make(chan error, 1)
				go func() { read <- errOf(b.Notes.GetV2(t.Context(), "a")) }()
				pause.Wait()
				repotest.Exec(t, repotest.Raw(t, b.URL), "UPDATE notes SET title = 'unseen' WHERE id = 'a'")
				setCapture(t, b, true)
				pause.Release()
				if err := <-read; err != nil {
					t.Error(err)
				}
				if r := agree(t, b, "a"); r.Value.Headline != "unseen" {
					t.Errorf("a copy that lacks a change counts as fresh: %+v", r)
				}
			})
		})
	}
}

func setCapture(t *testing.T, b *repotest.Bench, on bool) {
	t.Helper()
	if capture, err := b.Control.SetCapture(t.Context(), "NOTE", on); err != nil || capture.Enabled != on {
		t.Fatalf("%+v, %v", capture, err)
	}
}

// An old program never waits for us: while an own writer is held in its change, another program writes other rows and
// new child rows of the same one, and what it has written is in the copy afterwards.
func TestAnOldProgramDoesNotWaitForAnOwnWriter(t *testing.T) {
	t.Parallel()
	for _, phase := range []repo.Phase{repo.Expand, repo.Migrate} {
		for _, isolation := range []string{"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"} {
			t.Run(string(phase)+" "+isolation, func(t *testing.T) {
				b := repotest.OpenNotes(t, repotest.Postgres(t), repotest.Setup{Phase: phase})
				raw := repotest.Raw(t, b.URL)
				insert(t, b, note("a", "work: begin"), note("b", "b"))
				shapes := []string{"V1"}
				if phase == repo.Migrate {
					shapes = append(shapes, "V2")
				}
				for i, shape := range shapes {
					writing, goOn := make(chan struct{}), make(chan struct{})
					calls := 0
					hold := func() {
						if calls++; calls == 1 {
							close(writing)
							<-goOn
						}
					}
					wrote := make(chan error, 1)
					go func() {
						if shape == "V2" {
							wrote <- errOf(b.Notes.UpdateV2(t.Context(), "a", nil,
								func(n *repotest.NoteV2) error { hold(); pin(n); n.Headline = "V2"; return nil }))
						} else {
							wrote <- errOf(b.Notes.UpdateV1(t.Context(), "a",
								func(n *repotest.NoteV1) error { hold(); n.Title = "V1"; return nil }))
						}
					}()
					<-writing
					err := past(raw, isolation, "SET LOCAL lock_timeout = '1s'",
						"UPDATE notes SET title = 'past us' WHERE id = 'b'",
						fmt.Sprintf("INSERT INTO note_tags (note_id, rank, name) VALUES ('a', %d, 'late')", 20+i))
					if err != nil {
						t.Errorf("the old program fails: %v", err)
					}
					close(goOn)
					if err := <-wrote; err != nil {
						t.Errorf("our write fails: %v", err)
					}
					r := agree(t, b, "a")
					if n := len(getV1(t, b, "a").Tags); n != 3+i || r.Value.Headline != shape {
						t.Errorf("%d tags, %+v", n, r.Value)
					}
					agree(t, b, "b")
				}
				if n := repotest.One[int64](t, raw,
					"SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"); n > 0 {
					t.Errorf("%d dead-locks", n)
				}
			})
		}
	}
}

// An old program that asks lastval() for the key of the row it has just inserted gets it, whatever the triggers do
// after that.
func TestCaptureLeavesLastvalAlone(t *testing.T) {
	t.Parallel()
	b := repotest.OpenNotes(t, repotest.Postgres(t), repotest.Setup{Phase: repo.Migrate})
	old, err := repotest.Raw(t, b.URL).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close() //nolint:errcheck // the test is over
	for _, statement := range []string{
		"CREATE SEQUENCE old_keys START 41",
		"INSERT INTO notes (id, title, priority) VALUES ('n' || nextval('old_keys'), 'old', 1)",
		"UPDATE notes SET title = 'older'",
		"INSERT INTO note_tags (note_id, rank, name) VALUES ('n' || lastval(), 1, 'x')",
	} {
		if _, err := old.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	var last int64
	if err := old.QueryRowContext(t.Context(), "SELECT lastval()").Scan(&last); err != nil || last != 41 ||
		marks(t, b, "n41", "CHANGE") != 3 {
		t.Errorf("lastval is %d (%v), %d marks", last, err, marks(t, b, "n41", "CHANGE"))
	}
}
