package repo_test

import (
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// The V2 half of a write fails for a technical reason, here a right that was revoked: reads are answered, a write is in
// both shapes or in none and its client is told, a sweep fails with the reason and puts nobody in quarantine for it.
// Once the reason is gone all catches up.
func TestV2CannotBeWritten(t *testing.T) {
	t.Parallel()
	url := repotest.Postgres(t)
	raw := repotest.Raw(t, url)
	repotest.OpenNotes(t, url, repotest.Setup{Phase: repo.Migrate})
	role := repotest.NewRole(t, url)
	repotest.Exec(t, raw, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "+role,
		"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO "+role)
	b := repotest.OpenNotes(t, repotest.WithUser(t, url, role), repotest.Setup{})
	insert(t, b, note("a", "a"), note("b", "b"), note("c", "c"))
	agree(t, b, "b")
	for _, revoked := range []string{"INSERT, UPDATE ON notes_v2", "INSERT, UPDATE ON notes_v2_labels"} {
		repotest.Exec(t, raw, "REVOKE "+revoked+" FROM "+role)
		if r := getV2(t, b, "a"); r.Copy.Stored || r.Value.Headline != "a" {
			t.Errorf("a lazy read: %+v", r)
		}
		page, err := b.Notes.ListV2(t.Context(), repo.Query{First: new(10)})
		if err != nil || len(page.Items) != 3 || page.Items[0].Err != nil {
			t.Errorf("a list: %+v, %v", page, err)
		}
		if err := errOf(b.Notes.CreateV2(t.Context(), repotest.NoteV2{
			ID: "new", Headline: "new",
			Labels: []repotest.Label{{Rank: 1, Name: "x"}},
		})); err == nil {
			t.Error("a create succeeds")
		}
		if err := errOf(b.Notes.CreateV1(t.Context(), note("new", "new"))); err == nil {
			t.Error("a create through V1 succeeds")
		}
		wantErr(t, errOf(b.Notes.GetV1(t.Context(), "new")), repo.ErrNotFound)
		for _, key := range []string{"a", "b"} {
			if err := errOf(b.Notes.UpdateV1(t.Context(), key,
				func(n *repotest.NoteV1) error { n.Title = "lost"; n.Tags = n.Tags[1:]; return nil })); err == nil {
				t.Errorf("an update of %s succeeds", key)
			}
			if v1 := getV1(t, b, key); v1.Title != key || len(v1.Tags) != 2 {
				t.Errorf("half an update: %+v", v1)
			}
		}
		run := sweep(t, b, repo.SweepRequest{})
		if run.Status != repo.Failed || run.Error == nil || run.Quarantined != 0 {
			t.Errorf("the sweep is %+v", run)
		}
		if n := repotest.One[int64](t, raw, "SELECT count(*) FROM coexist_note_quarantine"); n != 0 {
			t.Errorf("%d are in quarantine", n)
		}
		repotest.Exec(t, raw, "GRANT "+revoked+" TO "+role)
	}
	if r := getV2(t, b, "a"); !r.Copy.Stored {
		t.Errorf("it is not stored now: %+v", r)
	}
	clean(t, b, sweep(t, b, repo.SweepRequest{}))
	clean(t, b, verify(t, b, false))
	addChildKeys(t, b, raw)
	step(t, b, repo.Cutover)
}
