package repo_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

func TestMain(m *testing.M) { repotest.Main(m) }

// inPhase runs f on both databases, with notes in the phase.
func inPhase(t *testing.T, phase repo.Phase, f func(t *testing.T, b *repotest.Bench)) {
	t.Helper()
	repotest.Each(t, func(t *testing.T, url string) {
		f(t, repotest.OpenNotes(t, url, repotest.Setup{Phase: phase}))
	})
}

// eachPhase runs f on both databases, in each phase in which V1 leads.
func eachPhase(t *testing.T, f func(t *testing.T, b *repotest.Bench, phase repo.Phase)) {
	t.Helper()
	for _, phase := range []repo.Phase{repo.Expand, repo.Migrate} {
		t.Run(strings.ToLower(string(phase)), func(t *testing.T) {
			inPhase(t, phase, func(t *testing.T, b *repotest.Bench) { f(t, b, phase) })
		})
	}
}

// note is a V1 note with two tags.
func note(id, title string) repotest.NoteV1 {
	return repotest.NoteV1{
		ID: id, Title: title, Body: new("body of " + id), Priority: 3,
		Tags: []repotest.Tag{{Rank: 1, Name: "red"}, {Rank: 5, Name: "new"}},
	}
}

// insert puts notes into V1 as they were before the engine came.
func insert(t *testing.T, b *repotest.Bench, notes ...repotest.NoteV1) {
	t.Helper()
	n, err := b.Notes.InsertV1(t.Context(), notes)
	if err != nil || n != int64(len(notes)) {
		t.Fatalf("%d of %d notes are inserted: %v", n, len(notes), err)
	}
}

func getV1(t *testing.T, b *repotest.Bench, key string) repotest.NoteV1 {
	t.Helper()
	v1, err := b.Notes.GetV1(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return v1
}

func getV2(t *testing.T, b *repotest.Bench, key string) repo.Record[repotest.NoteV2] {
	t.Helper()
	record, err := b.Notes.GetV2(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func updateV1(t *testing.T, b *repotest.Bench, key string, change func(*repotest.NoteV1)) repotest.NoteV1 {
	t.Helper()
	v1, err := b.Notes.UpdateV1(t.Context(), key, func(n *repotest.NoteV1) error {
		change(n)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return v1
}

func updateV2(t *testing.T, b *repotest.Bench, key string, change func(*repotest.NoteV2)) repo.Record[repotest.NoteV2] {
	t.Helper()
	record, err := b.Notes.UpdateV2(t.Context(), key, nil, func(n *repotest.NoteV2) error {
		change(n)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func deleteNote(t *testing.T, b *repotest.Bench, key string) {
	t.Helper()
	if err := b.Notes.Delete(t.Context(), key, nil); err != nil {
		t.Fatal(err)
	}
}

// pin is what V2 knows and V1 does not.
func pin(n *repotest.NoteV2) {
	n.PinnedReason = new("keep")
	n.Labels = append(n.Labels, repotest.Label{Name: "secret", Hidden: true})
}

// wantPinned checks that it is still there.
func wantPinned(t *testing.T, n repotest.NoteV2) {
	t.Helper()
	if n.PinnedReason == nil || *n.PinnedReason != "keep" || len(n.Labels) == 0 ||
		n.Labels[len(n.Labels)-1].Name != "secret" {
		t.Errorf("what only V2 knows is lost: %+v", n)
	}
}

// agree checks that the copy, if a read finds one, says what V1 says.
func agree(t *testing.T, b *repotest.Bench, key string) repo.Record[repotest.NoteV2] {
	t.Helper()
	v1, record := getV1(t, b, key), getV2(t, b, key)
	back, err := repotest.NoteMapping{}.Downgrade(record.Value)
	if err != nil || !repo.Identical(v1, back) {
		t.Errorf("the shapes disagree (%v)\nV1 %+v\nV2 %+v", err, v1, record.Value)
	}
	return record
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("the error is %v, want %v", err, want)
	}
}

// wantField checks that an error is an E that names the field.
func wantField[E error](t *testing.T, err error, field string) {
	t.Helper()
	found, ok := errors.AsType[E](err)
	if !ok {
		t.Errorf("the error is %v (%T), want a %T", err, err, found)
		return
	}
	var at repo.FieldError
	switch e := any(found).(type) {
	case *repo.InputError:
		at = e.FieldError
	case *repo.NotRepresentableError:
		at = e.FieldError
	case *repo.ConversionError:
		at = e.FieldError
	}
	if at.Field != field {
		t.Errorf("the field at fault is %q (%v), want %q", at.Field, err, field)
	}
}

// quarantined lists the keys in quarantine.
func quarantined(t *testing.T, b *repotest.Bench) []repo.QuarantineEntry {
	t.Helper()
	page, err := b.Control.Quarantine(t.Context(), "NOTE", 100, "")
	if err != nil {
		t.Fatal(err)
	}
	return page.Entries
}

// copies counts the rows of V2's root table, fresh or not.
func copies(t *testing.T, b *repotest.Bench) int64 {
	t.Helper()
	return repotest.One[int64](t, repotest.Raw(t, b.URL), "SELECT count(*) FROM notes_v2")
}

// inHand waits until a run converts the row of a pause, and has done the batches before it: a run with one worker
// prepares a batch while it stores the last.
func inHand(t *testing.T, b *repotest.Bench, p *repotest.Pause, run repo.Run, done int64) {
	t.Helper()
	p.Wait()
	repotest.Until(t, "the batches before are stored", func() bool { return getRun(t, b, run.ID).Done == done })
}

// marks counts the marks of a key by kind.
func marks(t *testing.T, b *repotest.Bench, key, kind string) int64 {
	t.Helper()
	return repotest.One[int64](t, repotest.Raw(t, b.URL),
		"SELECT count(*) FROM coexist_note_mark WHERE key = $1 AND kind = $2", key, kind)
}
