package repo_test

import (
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// inPlace is a mapping that changes the lists of its arguments in place.
type inPlace struct{ repotest.NoteMapping }

// Merge takes the names of the labels from V1's tags.
func (m inPlace) Merge(v1 repotest.NoteV1, v2 repotest.NoteV2) (repotest.NoteV2, error) {
	for i := range min(len(v1.Tags), len(v2.Labels)) {
		v2.Labels[i].Name = v1.Tags[i].Name
	}
	return m.NoteMapping.Merge(v1, v2)
}

// A mapping may change what it gets in place. The copy that was read is then still known, so that the lists that differ
// from it are written. The guard is in guarded.Merge.
func TestAMappingThatChangesItsArgument(t *testing.T) {
	t.Parallel()
	repotest.Each(t, func(t *testing.T, url string) {
		notes := broughtWell[repotest.NoteV1, repotest.NoteV2](t, url, inPlace{},
			"CREATE TABLE notes (id varchar(12) NOT NULL PRIMARY KEY, title varchar(40) NOT NULL, body text, priority smallint NOT NULL)",
			"CREATE TABLE note_tags (note_id varchar(12) NOT NULL REFERENCES notes (id), rank smallint NOT NULL, name varchar(20) NOT NULL, PRIMARY KEY (note_id, rank))",
			"INSERT INTO notes VALUES ('a', 'work: begin', 'body', 3)", "INSERT INTO note_tags VALUES ('a', 1, 'red'), ('a', 2, 'new')")
		if _, err := notes.UpdateV2(t.Context(), "a", nil, func(n *repotest.NoteV2) error {
			pin(n)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for phase, name := range map[repo.Phase]string{repo.Migrate: "blue", repo.Cutover: "green"} {
			notes.step(phase)
			if _, err := notes.UpdateV1(t.Context(), "a", func(n *repotest.NoteV1) error {
				n.Tags[0].Name = name
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			record, err := notes.GetV2(t.Context(), "a")
			if err != nil || !record.Copy.Stored || record.Value.Labels[0].Name != name {
				t.Errorf("in %s the copy is %+v, %v", phase, record, err)
			}
			wantPinned(t, record.Value)
		}
	})
}
