package repo_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// Eight clients read, write, delete and create the same few notes again through both shapes while sweeps go over them.
// Each write puts one stamp into three places, one of them a child row: whoever sees two stamps has seen half a write.
func TestEightClientsOfTheSameNotesDuringASweep(t *testing.T) {
	t.Parallel()
	inPhase(t, repo.Migrate, func(t *testing.T, b *repotest.Bench) {
		keys := []string{"k000", "k050", "k099"}
		stamped := func(key, stamp string) repotest.NoteV1 {
			return repotest.NoteV1{
				ID: key, Title: "work: " + stamp, Body: &stamp, Priority: 1,
				Tags: []repotest.Tag{{Rank: 1, Name: stamp}},
			}
		}
		whole := func(n repotest.NoteV1) error {
			if want := stamped(n.ID, *n.Body); !repo.Identical(n, want) {
				return fmt.Errorf("half a write: %+v", n)
			}
			return nil
		}
		notes := rows(100)
		for i := range notes {
			notes[i] = stamped(notes[i].ID, "first")
		}
		insert(t, b, notes...)
		stopWork := work(t, b)

		var clients sync.WaitGroup
		failures := make(chan error, 8)
		var succeeded [7]atomic.Int64
		for c := range 8 {
			clients.Go(func() {
				random := rand.New(rand.NewPCG(7, uint64(c)))
				for round := range 30 {
					key, stamp := keys[random.IntN(len(keys))], fmt.Sprintf("c%d r%d", c, round)
					var err error
					allowed := repo.ErrNotFound // another client has deleted it
					does := random.IntN(7)
					switch does {
					case 0:
						var v1 repotest.NoteV1
						if v1, err = b.Notes.GetV1(t.Context(), key); err == nil {
							err = whole(v1)
						}
					case 1:
						var v2 repo.Record[repotest.NoteV2]
						if v2, err = b.Notes.GetV2(t.Context(), key); err == nil {
							var v1 repotest.NoteV1
							if v1, err = (repotest.NoteMapping{}).Downgrade(v2.Value); err == nil {
								err = whole(v1)
							}
						}
					case 2:
						_, err = b.Notes.UpdateV1(t.Context(), key, func(n *repotest.NoteV1) error {
							defer func() { *n = stamped(key, stamp) }()
							return whole(*n)
						})
					case 3:
						_, err = b.Notes.UpdateV2(t.Context(), key, nil, func(n *repotest.NoteV2) error {
							n.Headline, n.Text, n.Labels[0].Name = stamp, &stamp, stamp
							return nil
						})
					case 4:
						err = b.Notes.Delete(t.Context(), key, nil)
					default: // twice as often as it is deleted
						allowed = repo.ErrAlreadyExists
						_, err = b.Notes.CreateV1(t.Context(), stamped(key, stamp))
					}
					if err == nil {
						succeeded[does].Add(1)
					} else if !errors.Is(err, allowed) {
						failures <- fmt.Errorf("operation %d: %w", does, err)
						return
					}
				}
			})
		}
		done := make(chan struct{})
		go func() { clients.Wait(); close(done) }()
		for during := true; during; {
			run, err := b.Control.StartSweep(t.Context(), repo.SweepRequest{Entity: "NOTE"})
			if err != nil {
				t.Fatal(err)
			}
			if run = ended(t, b, run); run.Status != repo.Succeeded || run.Quarantined != 0 {
				t.Errorf("the sweep is %+v", run)
			}
			select {
			case <-done:
				during = false
			default:
			}
		}
		stopWork()
		close(failures)
		for err := range failures {
			t.Error(err)
		}
		for does := range succeeded {
			if succeeded[does].Load() == 0 {
				t.Errorf("operation %d has never succeeded", does)
			}
		}

		raw := repotest.Raw(t, b.URL)
		for what, query := range map[string]string{
			"a copy without its row":   "SELECT count(*) FROM notes_v2 c WHERE NOT EXISTS (SELECT 1 FROM notes n WHERE n.id = c.id)",
			"a label without its copy": "SELECT count(*) FROM notes_v2_labels l WHERE NOT EXISTS (SELECT 1 FROM notes_v2 c WHERE c.id = l.id)",
			"a tag without its note":   "SELECT count(*) FROM note_tags g WHERE NOT EXISTS (SELECT 1 FROM notes n WHERE n.id = g.note_id)",
			"a copy that is not fresh": "SELECT count(*) FROM notes_v2 c JOIN coexist_note_mark m ON m.key = c.id",
		} {
			if n := repotest.One[int](t, raw, query); n != 0 {
				t.Errorf("%d times %s", n, what)
			}
		}
		for _, n := range notes {
			if _, err := b.Notes.GetV1(t.Context(), n.ID); errors.Is(err, repo.ErrNotFound) {
				if _, err := b.Notes.GetV2(t.Context(), n.ID); !errors.Is(err, repo.ErrNotFound) {
					t.Errorf("%s is in V2 alone: %v", n.ID, err)
				}
				continue
			}
			before := b.Conversions(n.ID)
			r := agree(t, b, n.ID)
			if b.Conversions(n.ID) != before || !r.Copy.Stored {
				t.Errorf("%s is not migrated: %+v", n.ID, r)
			}
			v1, err := repotest.NoteMapping{}.Downgrade(r.Value)
			if err = errors.Join(err, whole(v1)); err != nil {
				t.Error(err)
			}
		}
	})
}
