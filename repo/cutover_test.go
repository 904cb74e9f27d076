package repo_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// ledByV2 runs f on both databases in each phase in which V2 leads, with the notes given.
func ledByV2(t *testing.T, notes []repotest.NoteV1, f func(t *testing.T, b *repotest.Bench, phase repo.Phase)) {
	t.Helper()
	for _, phase := range []repo.Phase{repo.Cutover, repo.Contract} {
		t.Run(strings.ToLower(string(phase)), func(t *testing.T) {
			inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
				insert(t, b, notes...)
				advance(t, b, phase)
				f(t, b, phase)
			})
		})
	}
}

// v1Tables is all that V1's tables hold.
func v1Tables(t *testing.T, raw *sql.DB) string {
	t.Helper()
	var all []string
	for _, query := range []string{
		"SELECT id || '/' || title || '/' || coalesce(body, 'NULL') || '/' || priority FROM notes ORDER BY id",
		"SELECT note_id || '/' || rank || '/' || name FROM note_tags ORDER BY note_id, rank",
	} {
		found, err := raw.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		for found.Next() {
			var line string
			if err := found.Scan(&line); err != nil {
				t.Fatal(err)
			}
			all = append(all, line)
		}
	}
	return strings.Join(all, "\n")
}

// Another program's transaction that is in flight across the phase change, anomaly 10. The guard is LOCK TABLE in changePhase:
// without it V1 changes after V2 has become the truth, and nobody knows.
func TestABypassTransactionInFlightAcrossCutover(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
		raw := repotest.Raw(t, url)
		insert(t, b, note("a", "work: begin"), note("b", "b"))
		for i, isolation := range isolations(url) {
			clean(t, b, sweep(t, b, repo.SweepRequest{}))
			clean(t, b, verify(t, b, false))
			late, err := raw.Begin()
			if err != nil {
				t.Fatal(err)
			}
			if isolation != "" {
				repotest.Exec(t, late, "SET TRANSACTION ISOLATION LEVEL "+isolation)
			}
			title := fmt.Sprint("late ", i)
			repotest.Exec(t, late, "UPDATE notes SET title = '"+title+"' WHERE id = 'a'")
			b.Forget()
			set := make(chan error, 1)
			go func() {
				_, err := b.Control.SetPhase(t.Context(), repo.PhaseRequest{Entity: "NOTE", To: repo.Cutover, Actor: "test"})
				set <- err
			}()
			repotest.Until(t, "the phase change has met the transaction", func() bool {
				if strings.HasPrefix(url, "sqlite") {
					return slices.Contains(b.Sent(), "BEGIN IMMEDIATE")
				}
				return slices.Contains(b.Sent(), "ROLLBACK") || len(set) > 0
			})
			if m, err := b.Control.Migration(t.Context(), "NOTE"); err != nil || m.Phase != repo.Migrate {
				t.Fatalf("%s: %+v, %v: the phase has changed over a transaction in flight", isolation, m, err)
			}
			if err := late.Commit(); err != nil {
				t.Fatalf("%s: the other program fails: %v", isolation, err)
			}
			if refusal, ok := errors.AsType[*repo.GateClosedError](<-set); !ok || !strings.Contains(codes(refusal.Blockers), "BYPASS_WRITES") {
				t.Errorf("%s: %v", isolation, refusal)
			}
			if r := agree(t, b, "a"); r.Value.Headline != title {
				t.Errorf("%s: the late write is lost: %+v", isolation, r)
			}
		}
	})
}

// A transaction that began before the phase change and writes to V1 only afterwards fails, loudly, at every isolation level.
// The guard at REPEATABLE READ and above is FOR SHARE in the trigger: without it the trigger looks at the phase as it was.
func TestABypassTransactionThatWritesAfterCutover(t *testing.T) {
	t.Parallel()
	for _, isolation := range isolations("postgres") {
		t.Run(isolation, func(t *testing.T) {
			b := repotest.OpenNotes(t, repotest.Postgres(t), repotest.Setup{Phase: repo.Migrate})
			raw := repotest.Raw(t, b.URL)
			insert(t, b, note("a", "work: begin"))
			begin := func() *sql.Tx {
				late, err := raw.Begin()
				if err != nil {
					t.Fatal(err)
				}
				repotest.Exec(t, late, "SET TRANSACTION ISOLATION LEVEL "+isolation, "SELECT count(*) FROM notes")
				return late
			}
			forth := begin()
			advance(t, b, repo.Cutover)
			_, err := forth.Exec("UPDATE notes SET title = 'late' WHERE id = 'a'")
			if err == nil || isolation == "READ COMMITTED" && !strings.Contains(err.Error(), "no longer the truth") || isolation != "READ COMMITTED" && !strings.Contains(err.Error(), "40001") {
				t.Errorf("the late write: %v", err)
			}
			_ = forth.Rollback() // it has failed
			if r := agree(t, b, "a"); r.Value.Headline != "begin" {
				t.Errorf("%+v", r)
			}
			// And back: what was begun in CUTOVER is marked, or fails.
			back := begin()
			step(t, b, repo.Migrate)
			_, err = back.Exec("UPDATE notes SET title = 'later' WHERE id = 'a'")
			if err == nil {
				err = back.Commit()
			}
			if (err == nil) != (isolation == "READ COMMITTED") {
				t.Errorf("the write after the way back: %v", err)
			}
			_ = back.Rollback() // it has failed or is committed
			agree(t, b, "a")
		})
	}
}

// A transaction that does not end blocks the phase change, which names it and changes nothing, and in the meantime lets
// others write.
func TestSetPhaseNamesWhoBlocksIt(t *testing.T) {
	t.Parallel()
	b := repotest.OpenNotes(t, repotest.Postgres(t), repotest.Setup{Phase: repo.Migrate, Config: repo.Config{PhasePatience: 2 * time.Second}})
	raw := repotest.Raw(t, b.URL)
	insert(t, b, note("a", "work: begin"), note("b", "b"))
	open, err := raw.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer open.Rollback() //nolint:errcheck // the test is over
	repotest.Exec(t, open, "SET LOCAL application_name = 'payroll'", "UPDATE notes SET title = 'open' WHERE id = 'a'")
	var pid int
	if err := open.QueryRow("SELECT pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	set := make(chan error, 1)
	go func() { set <- force(t, b, "NOTE", repo.Cutover) }()
	repotest.Until(t, "the phase change has tried", func() bool { return slices.Contains(b.Sent(), "ROLLBACK") })
	updateV1(t, b, "b", func(n *repotest.NoteV1) { n.Title = "not kept waiting" })
	if err := past(raw, "", "SET LOCAL lock_timeout = '2s'", "UPDATE notes SET priority = 4 WHERE id = 'b'"); err != nil {
		t.Errorf("another program: %v", err)
	}
	err = <-set
	blocked, ok := errors.AsType[*repo.BlockedError](err)
	seesOthers := repotest.Pinned(b.URL) == b.URL // a role that is no superuser does not see what another's session does
	if !ok || !errors.Is(err, repo.ErrUnavailable) || len(blocked.By) != 1 || blocked.By[0].PID != pid || blocked.By[0].Application != "payroll" || !seesOthers && blocked.By[0].Since != nil || seesOthers && (blocked.By[0].State != "idle in transaction" || blocked.By[0].Since.IsZero()) || !strings.Contains(err.Error(), "payroll") {
		t.Errorf("SetPhase says %v", err)
	}
	if m, err := b.Control.Migration(t.Context(), "NOTE"); err != nil || m.Phase != repo.Migrate {
		t.Errorf("%+v, %v", m, err)
	}
}

// Another program's transaction overlaps a storer's, anomaly 9: the copy that is stored of the V1 row as it was before must not
// count as fresh once the other program has committed. The guard is the mark: it needs not see the copy.
func TestABypassTransactionThatOverlapsAStorer(t *testing.T) {
	t.Parallel()
	writes := map[string]string{
		"root":   "UPDATE notes SET title = 'play: on' WHERE id = 'a'",
		"child":  "INSERT INTO note_tags (note_id, rank, name) VALUES ('a', 9, 'late')",
		"delete": "DELETE FROM notes WHERE id = 'a'",
	}
	for name, write := range writes {
		t.Run(name, func(t *testing.T) {
			repotest.Each(t, func(t *testing.T, url string) {
				for _, isolation := range isolations(url) {
					for _, snapshotFirst := range []bool{false, true} {
						for _, stale := range []bool{false, true} {
							b := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
							raw := repotest.Raw(t, url)
							if _, err := b.Notes.GetV1(t.Context(), "a"); err == nil {
								deleteNote(t, b, "a")
							}
							b.SetPhase(repo.Expand)
							if _, err := b.Notes.CreateV1(t.Context(), repotest.NoteV1{ID: "a", Title: "work: begin"}); err != nil {
								t.Fatal(err)
							}
							b.SetPhase(repo.Migrate)
							if stale {
								updateV2(t, b, "a", pin)
								repotest.Exec(t, raw, "UPDATE notes SET priority = 5 WHERE id = 'a'")
							}
							other, err := raw.Begin()
							if err != nil {
								t.Fatal(err)
							}
							if isolation != "" {
								repotest.Exec(t, other, "SET TRANSACTION ISOLATION LEVEL "+isolation)
							}
							if snapshotFirst { // older than the copy
								repotest.Exec(t, other, "SELECT count(*) FROM notes")
								if isolation != "" {
									getV2(t, b, "a")
								}
							}
							repotest.Exec(t, other, write)
							getV2(t, b, "a") // stores what V1 still is for us
							if err := other.Commit(); err != nil {
								t.Fatal(err)
							}
							when := fmt.Sprintf("%s, snapshot first: %v, stale: %v", isolation, snapshotFirst, stale)
							if name == "delete" {
								if _, err := b.Notes.GetV2(t.Context(), "a"); !errors.Is(err, repo.ErrNotFound) {
									t.Fatalf("%s: a deleted note is still read: %v", when, err)
								}
								continue
							}
							r := agree(t, b, "a")
							if stale {
								wantPinned(t, r.Value)
							}
							if t.Failed() {
								t.Fatal(when)
							}
						}
					}
				}
			})
		})
	}
}

func TestV1TablesWhereV2Leads(t *testing.T) {
	ledByV2(t, []repotest.NoteV1{note("a", "work: begin"), note("b", "b"), note("c", "c")}, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		raw := repotest.Raw(t, b.URL)
		before := v1Tables(t, raw)
		updateV1(t, b, "a", func(n *repotest.NoteV1) {
			n.Title, n.Tags = "play: on", []repotest.Tag{{Rank: 9, Name: "z"}, {Rank: 1, Name: "y"}}
		})
		updateV2(t, b, "b", func(n *repotest.NoteV2) { pin(n); n.Text, n.Labels[0].Name = nil, "changed" })
		deleteNote(t, b, "c")
		if _, err := b.Notes.CreateV1(t.Context(), note("d", "new: one")); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Notes.CreateV2(t.Context(), repotest.NoteV2{ID: "e", Headline: "two", Labels: []repotest.Label{{Rank: 4, Name: "x"}, {Name: "secret", Hidden: true}}}); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"a", "b", "d", "e"} {
			agree(t, b, key)
		}
		if v1 := getV1(t, b, "a"); v1.Title != "play: on" || len(v1.Tags) != 2 || v1.Tags[0].Rank != 1 {
			t.Errorf("%+v", v1)
		}
		after := v1Tables(t, raw)
		if phase == repo.Contract {
			if after != before {
				t.Errorf("V1 is written in CONTRACT:\n%s", after)
			}
			return
		}
		want := "a/play: on/body of a/3\nb/b/NULL/3\nd/new: one/body of d/3\ne/two/NULL/0\na/1/y\na/9/z\nb/1/changed\nb/5/new\nd/1/red\nd/5/new\ne/4/x"
		if after != want {
			t.Errorf("V1 holds\n%s\nwant\n%s", after, want)
		}
		clean(t, b, verify(t, b, false))
	})
}

func TestRefusalsWhereV2Leads(t *testing.T) {
	ledByV2(t, []repotest.NoteV1{note("a", "work: begin")}, func(t *testing.T, b *repotest.Bench, phase repo.Phase) {
		ctx := t.Context()
		before := agree(t, b, "a")
		bad := note("bad", "bad")
		bad.Priority = repotest.BadPriority
		wantField[*repo.ConversionError](t, errOf(b.Notes.CreateV1(ctx, bad)), "priority")
		wantField[*repo.ConversionError](t, errOf(b.Notes.UpdateV1(ctx, "a", func(n *repotest.NoteV1) error { n.Priority = repotest.BadPriority; return nil })), "priority")
		wantField[*repo.InputError](t, errOf(b.Notes.UpdateV1(ctx, "a", func(n *repotest.NoteV1) error { n.Title = strings.Repeat("x", 41); return nil })), "title")
		wantField[*repo.InputError](t, errOf(b.Notes.UpdateV1(ctx, "a", func(n *repotest.NoteV1) error { n.ID = "b"; return nil })), "id")
		wantField[*repo.InputError](t, errOf(b.Notes.UpdateV2(ctx, "a", nil, func(n *repotest.NoteV2) error { n.ID = "b"; return nil })), "id")
		wantField[*repo.InputError](t, errOf(b.Notes.UpdateV2(ctx, "a", nil, func(n *repotest.NoteV2) error { n.Headline = " "; return nil })), "headline")
		wantErr(t, errOf(b.Notes.CreateV1(ctx, note("a", "again"))), repo.ErrAlreadyExists)
		wantErr(t, errOf(b.Notes.CreateV2(ctx, repotest.NoteV2{ID: "a", Headline: "again"})), repo.ErrAlreadyExists)
		wantErr(t, errOf(b.Notes.UpdateV1(ctx, "none", func(*repotest.NoteV1) error { return nil })), repo.ErrNotFound)
		wantErr(t, errOf(b.Notes.UpdateV2(ctx, "none", nil, func(*repotest.NoteV2) error { return nil })), repo.ErrNotFound)
		wantErr(t, b.Notes.Delete(ctx, "none", nil), repo.ErrNotFound)
		wrong := before.Version + 1
		wantErr(t, errOf(b.Notes.UpdateV2(ctx, "a", &wrong, func(n *repotest.NoteV2) error { n.Headline = "x"; return nil })), repo.ErrStaleVersion)
		wantErr(t, b.Notes.Delete(ctx, "a", &wrong), repo.ErrStaleVersion)
		_, err := b.Notes.InsertV1(ctx, []repotest.NoteV1{note("seed", "x")})
		wantField[*repo.InputError](t, err, "")
		for i := range 2 {
			statements := b.Statements(func() {
				updateV1(t, b, "a", func(*repotest.NoteV1) {})
				updateV2(t, b, "a", func(*repotest.NoteV2) {})
			})
			if i > 0 && slices.ContainsFunc(statements, writes) {
				t.Errorf("updates that change nothing write: %v", statements)
			}
		}
		if after := agree(t, b, "a"); !repo.Identical(before, after) {
			t.Errorf("what was refused has left a trace: %+v, %+v", before, after)
		}
		long := func(n *repotest.NoteV2) error { n.Topic, n.Headline = nil, strings.Repeat("ä", 60); return nil }
		twice := func(n *repotest.NoteV2) error { n.Labels[1].Rank = n.Labels[0].Rank; return nil }
		if phase == repo.Cutover {
			wantField[*repo.NotRepresentableError](t, errOf(b.Notes.UpdateV2(ctx, "a", nil, long)), "headline")
			wantField[*repo.NotRepresentableError](t, errOf(b.Notes.UpdateV2(ctx, "a", nil, twice)), "labels[1].rank")
			wantField[*repo.NotRepresentableError](t, errOf(b.Notes.CreateV2(ctx, repotest.NoteV2{ID: "new", Headline: "x", Priority: 10})), "priority")
			return
		}
		// In CONTRACT V2 takes what V1 has no place for; V1 clients are told so, and nobody else is.
		if err := errOf(b.Notes.UpdateV2(ctx, "a", nil, long)); err != nil {
			t.Fatal(err)
		}
		if v1 := getV1(t, b, "a"); v1.Title != strings.Repeat("ä", 60) {
			t.Errorf("%+v", v1)
		}
		updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Priority = 7 }) // what was too long before is no fault of this client's
		if r := getV2(t, b, "a"); r.Value.Priority != 7 || r.Value.Headline != strings.Repeat("ä", 60) {
			t.Errorf("%+v", r)
		}
		if _, err := b.Notes.CreateV1(ctx, note("b", "b")); err != nil {
			t.Fatal(err)
		}
		if err := errOf(b.Notes.UpdateV2(ctx, "a", nil, twice)); err != nil {
			t.Fatal(err)
		}
		wantField[*repo.NotRepresentableError](t, errOf(b.Notes.GetV1(ctx, "a")), "labels[1].rank")
		wantField[*repo.NotRepresentableError](t, errOf(b.Notes.UpdateV1(ctx, "a", func(n *repotest.NoteV1) error { n.Title = "x"; return nil })), "labels[1].rank")
		page, err := b.Notes.ListV1(ctx, repo.Query{})
		if err != nil || len(page.Items) != 2 || page.Items[1].Err != nil {
			t.Fatalf("%+v, %v", page, err)
		}
		wantField[*repo.NotRepresentableError](t, page.Items[0].Err, "labels[1].rank")
		deleteNote(t, b, "a")
	})
}

// Half a dual write, anomaly 5: whichever half the database refuses, the other is not written. The guard is the one transaction.
func TestHalfADualWrite(t *testing.T) {
	t.Parallel()
	refuse := func(t *testing.T, b *repotest.Bench, table, column string) {
		t.Helper()
		raw := repotest.Raw(t, b.URL)
		if strings.HasPrefix(b.URL, "postgres") {
			repotest.Exec(t, raw, fmt.Sprintf("ALTER TABLE %s ADD CHECK (%s <> 'poison')", table, column))
			return
		}
		for _, event := range []string{"INSERT", "UPDATE"} {
			repotest.Exec(t, raw, fmt.Sprintf("CREATE TRIGGER poison_%s_%s BEFORE %s ON %s WHEN NEW.%s = 'poison' BEGIN SELECT RAISE(ABORT, 'poison'); END", table, event, event, table, column))
		}
	}
	for table, column := range map[string]string{"notes": "title", "note_tags": "name", "notes_v2": "headline", "notes_v2_labels": "name"} {
		for _, phase := range []repo.Phase{repo.Migrate, repo.Cutover} {
			t.Run(table+" "+string(phase), func(t *testing.T) {
				inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
					ctx := t.Context()
					insert(t, b, note("a", "work: begin"))
					updateV2(t, b, "a", pin)
					advance(t, b, phase)
					refuse(t, b, table, column)
					before, whole := agree(t, b, "a"), v1Tables(t, repotest.Raw(t, b.URL))
					poisonV1 := func(n *repotest.NoteV1) {
						n.Priority = 8
						if column == "name" {
							n.Tags = append(n.Tags, repotest.Tag{Rank: 9, Name: "poison"})
						} else {
							n.Title = "poison"
						}
					}
					poisonV2 := func(n *repotest.NoteV2) {
						n.Priority = 8
						if column == "name" {
							n.Labels = append(n.Labels, repotest.Label{Rank: 9, Name: "poison"})
						} else {
							n.Topic, n.Headline = nil, "poison"
						}
					}
					newV1, newV2 := note("new1", "x"), repotest.NoteV2{ID: "new2", Headline: "x"}
					poisonV1(&newV1)
					poisonV2(&newV2)
					for i, err := range []error{
						errOf(b.Notes.UpdateV1(ctx, "a", func(n *repotest.NoteV1) error { poisonV1(n); return nil })),
						errOf(b.Notes.UpdateV2(ctx, "a", nil, func(n *repotest.NoteV2) error { poisonV2(n); return nil })),
						errOf(b.Notes.CreateV1(ctx, newV1)), errOf(b.Notes.CreateV2(ctx, newV2)),
					} {
						if err == nil {
							t.Errorf("write %d is not refused", i)
						}
					}
					if after := agree(t, b, "a"); !repo.Identical(before, after) || v1Tables(t, repotest.Raw(t, b.URL)) != whole || copies(t, b) != 1 {
						t.Errorf("half a write is left: %+v, %+v", before, after)
					}
					for _, key := range []string{"new1", "new2"} {
						wantErr(t, errOf(b.Notes.GetV1(ctx, key)), repo.ErrNotFound)
						wantErr(t, errOf(b.Notes.GetV2(ctx, key)), repo.ErrNotFound)
					}
				})
			})
		}
	}
}

// An instance that lags behind, and guesses at a phase that is over, is right all the same: readLed reads again, and begin
// gives up the locks of the wrong side.
func TestAnInstanceThatLagsBehind(t *testing.T) {
	t.Parallel()
	operations := map[string]func(t *testing.T, lagging *repotest.Bench, key string){
		"GetV1": func(t *testing.T, lagging *repotest.Bench, key string) { getV1(t, lagging, key) },
		"GetV2": func(t *testing.T, lagging *repotest.Bench, key string) { getV2(t, lagging, key) },
		"lists": func(t *testing.T, lagging *repotest.Bench, key string) {
			for shape, list := range shapes(t, lagging) {
				page, err := list(repo.Query{First: new(100), Sort: "PRIORITY"})
				if err != nil || !slices.Contains(page.keys, key) {
					t.Errorf("%s: %+v, %v", shape, page, err)
				}
			}
		},
		"UpdateV1": func(t *testing.T, lagging *repotest.Bench, key string) {
			updateV1(t, lagging, key, func(n *repotest.NoteV1) { n.Title += "!" })
		},
		"UpdateV2": func(t *testing.T, lagging *repotest.Bench, key string) {
			updateV2(t, lagging, key, func(n *repotest.NoteV2) { n.Headline += "!"; pin(n) })
		},
		"Delete and create": func(t *testing.T, lagging *repotest.Bench, key string) {
			deleteNote(t, lagging, key)
			if _, err := lagging.Notes.CreateV1(t.Context(), note(key, "again")); err != nil {
				t.Error(err)
			}
		},
		"Create and delete": func(t *testing.T, lagging *repotest.Bench, key string) {
			if _, err := lagging.Notes.CreateV2(t.Context(), repotest.NoteV2{ID: key + "x", Headline: "x"}); err != nil {
				t.Error(err)
			}
			deleteNote(t, lagging, key+"x")
		},
	}
	repotest.Each(t, func(t *testing.T, url string) {
		b := repotest.OpenNotes(t, url, repotest.Setup{})
		insert(t, b, note("a", "work: begin"))
		lagging := map[string]*repotest.Bench{}
		for name := range operations {
			lagging[name] = repotest.OpenNotes(t, url, repotest.Setup{Config: repo.Config{MaxConns: 2}})
			getV1(t, lagging[name], "a") // its guess
		}
		advance(t, b, repo.Migrate)
		check := func(phase repo.Phase) {
			t.Helper()
			for name, do := range operations {
				do(t, lagging[name], "a")
				agree(t, b, "a")
				if t.Failed() {
					t.Fatalf("%s in %s", name, phase)
				}
			}
		}
		check(repo.Migrate)
		for _, to := range []repo.Phase{repo.Cutover, repo.Contract} {
			advance(t, b, to)
			check(to)
		}
		clean(t, b, restore(t, b, "NOTE"))
		check("RESTORE")
		for _, to := range []repo.Phase{repo.Cutover, repo.Migrate} {
			step(t, b, to)
			check(to)
		}
		clean(t, b, verify(t, b, false))
	})
}

// From CUTOVER on an instance with an older mapping reads, in CONTRACT through V2 alone, and writes nothing that it would have to convert.
func TestAnOlderMappingWhereV2Leads(t *testing.T) {
	t.Parallel()
	for _, phase := range []repo.Phase{repo.Cutover, repo.Contract} {
		t.Run(strings.ToLower(string(phase)), func(t *testing.T) {
			repotest.Each(t, func(t *testing.T, url string) {
				ctx := t.Context()
				old := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
				insert(t, old, note("a", "work: begin"), note("b", "b"))
				advance(t, old, phase)
				b := repotest.OpenNotes(t, url, repotest.Setup{Mapping: repotest.NoteMapping{Number: 2}})
				if r := getV2(t, old, "a"); r.Value.Headline != "begin" {
					t.Errorf("%+v", r)
				}
				if phase == repo.Cutover { // in CONTRACT V1's row is history
					agree(t, old, "a")
				}
				wantErr(t, errOf(old.Notes.UpdateV1(ctx, "a", func(n *repotest.NoteV1) error { n.Title = "x"; return nil })), repo.ErrUnavailable)
				wantErr(t, errOf(old.Notes.UpdateV2(ctx, "a", nil, func(n *repotest.NoteV2) error { n.Headline = "x"; return nil })), repo.ErrUnavailable)
				wantErr(t, errOf(old.Notes.CreateV1(ctx, note("c", "c"))), repo.ErrUnavailable)
				wantErr(t, errOf(old.Notes.CreateV2(ctx, repotest.NoteV2{ID: "c", Headline: "c"})), repo.ErrUnavailable)
				deleteNote(t, old, "b")
				// A copy that nobody has refined is what the newest mapping makes of V1, from the next write on. One that was
				// refined through V2 may still hold what the older one got wrong: it is known by its version.
				updateV1(t, b, "a", func(n *repotest.NoteV1) { n.Title = "play: on" })
				if r := agree(t, b, "a"); r.Copy.MappingVersion != 2 || r.Copy.Refined {
					t.Errorf("%+v", r.Copy)
				}
			})
		})
	}
}

// What an older mapping got wrong is still in a copy that a V2 client refines: the copy keeps the older version.
func TestARefinedCopyKeepsItsMappingVersionInCutover(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		old := repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate, Mapping: repotest.NoteMapping{Unsplit: true}})
		insert(t, old, note("a", "work: begin"))
		advance(t, old, repo.Cutover)
		b := repotest.OpenNotes(t, url, repotest.Setup{Mapping: repotest.NoteMapping{Number: 2}, Remigrates: true})
		updateV2(t, b, "a", pin)
		if r := agree(t, b, "a"); r.Copy.MappingVersion != 1 || r.Value.Topic != nil {
			t.Errorf("%+v, %+v", r.Copy, r.Value)
		}
		step(t, b, repo.Migrate)
		if run := sweep(t, b, repo.SweepRequest{OlderThanMappingVersion: 2}); run.Migrated != 1 {
			t.Errorf("%+v", run)
		}
		r := agree(t, b, "a")
		wantPinned(t, r.Value)
		if r.Value.Topic == nil || r.Copy.MappingVersion != 2 {
			t.Errorf("the bug is not repaired: %+v, %+v", r.Copy, r.Value)
		}
	})
}

// Writers through both shapes, on two instances, while the phase goes to CUTOVER and back: nothing is lost.
func TestCutoverUnderLoad(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		other := repotest.OpenNotes(t, b.URL, repotest.Setup{})
		insert(t, b, note("a", ""), note("b", "b"))
		updateV2(t, b, "a", pin)
		const rounds = 20
		var clients sync.WaitGroup
		clients.Go(func() {
			for range rounds {
				if _, err := b.Notes.UpdateV1(t.Context(), "a", func(n *repotest.NoteV1) error { n.Title += "x"; return nil }); err != nil {
					t.Error(err)
				}
			}
		})
		clients.Go(func() {
			for range rounds {
				if _, err := other.Notes.UpdateV2(t.Context(), "a", nil, func(n *repotest.NoteV2) error { n.Headline += "x"; return nil }); err != nil {
					t.Error(err)
				}
			}
		})
		clients.Go(func() {
			for range rounds {
				if err := errOf(other.Notes.CreateV1(t.Context(), note("c", "c"))); err != nil {
					t.Error(err)
				}
				if err := b.Notes.Delete(t.Context(), "c", nil); err != nil {
					t.Error(err)
				}
			}
		})
		clients.Go(func() {
			last, version := 0, int64(0)
			for range rounds {
				r, err := other.Notes.GetV2(t.Context(), "a")
				if err != nil || len(r.Value.Headline) < last || r.Version < version || r.Value.PinnedReason == nil {
					t.Errorf("after %d x, version %d: %+v, %v", last, version, r, err)
				}
				last, version = len(r.Value.Headline), r.Version
				v1, err := b.Notes.GetV1(t.Context(), "a")
				if err != nil || len(v1.Title) < last {
					t.Errorf("after %d x: %+v, %v", last, v1, err)
				}
				last = len(v1.Title)
			}
		})
		for i := range 6 {
			if err := force(t, b, "NOTE", []repo.Phase{repo.Cutover, repo.Migrate}[i%2]); err != nil {
				t.Error(err)
			}
		}
		clients.Wait()
		r := agree(t, b, "a")
		wantPinned(t, r.Value)
		if len(r.Value.Headline) != 2*rounds || r.Version != 2*rounds+2 {
			t.Errorf("%d updates were made, the note has %d and version %d", 2*rounds, len(r.Value.Headline), r.Version)
		}
		advance(t, b, repo.Cutover)
	})
}

// Where V2 leads, progress counts V2: what V1 still holds of rows that are deleted in CONTRACT is history.
func TestProgressWhereV2Leads(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		insert(t, b, note("a", "a"), note("b", "b"))
		clean(t, b, sweep(t, b, repo.SweepRequest{}))
		b.SetPhase(repo.Cutover)
		if _, err := b.Control.SetPhase(t.Context(), repo.PhaseRequest{Entity: "COMMENT", To: repo.Cutover, Actor: "test", Force: true, Reason: new("a test")}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Control.SetPhase(t.Context(), repo.PhaseRequest{Entity: "COMMENT", To: repo.Contract, Actor: "test", Force: true, Reason: new("a test")}); err != nil {
			t.Fatal(err)
		}
		b.SetPhase(repo.Contract)
		if err := b.Notes.Delete(t.Context(), "b", nil); err != nil {
			t.Fatal(err)
		}
		for _, exact := range []bool{true, false} {
			p, err := b.Control.Progress(t.Context(), "NOTE", exact)
			if err != nil || p.Total != 1 || p.Migrated != 1 || p.Remaining+p.Stale+p.Quarantined != 0 || p.Fraction() != 1 || p.ByOrigin[0].Count != 1 {
				t.Errorf("%+v, %v", p, err)
			}
		}
	})
}
