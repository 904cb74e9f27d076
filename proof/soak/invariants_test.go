package soak

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/repo/repotest"
)

// quiet waits until nothing is in flight: no transaction, no run. What is left then is stuck.
func (r *round) quiet(t *testing.T, random *rand.Rand) {
	until := func(what string, holds func() bool) {
		deadline := time.Now().Add(40 * time.Second)
		for !holds() {
			if time.Now().After(deadline) {
				r.anomaly("not within 40 seconds of quiet: %s", what)
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	until("the database answers", func() bool { return r.raw.PingContext(t.Context()) == nil })
	until("no run is active", func() bool {
		for _, entity := range []string{"NOTE", "COMMENT"} {
			reply := r.ask(random, command{Verb: lookAtRuns, Entity: entity})
			if reply.Code != "" {
				return false
			}
			active := map[repo.RunKind]int{}
			for _, run := range reply.Runs {
				if run.Status == repo.Failed && (run.Error == nil || !strings.Contains(*run.Error, "phase")) {
					r.anomaly("a run has failed: %s %d of %s: %s", run.Kind, run.ID, entity, text(run.Error))
				}
				if run.Done > int64(len(keysOf(entity))) {
					r.anomaly("a run has counted rows twice: %s %d of %s: done %d of at most %d", run.Kind, run.ID,
						entity, run.Done, len(keysOf(entity)))
				}
				if run.Status == repo.Paused {
					r.ask(random, command{Verb: resumeRun, Run: run.ID})
				}
				if run.Status == repo.Running || run.Status == repo.Paused {
					active[run.Kind]++
				}
			}
			for kind, n := range active {
				if n > 1 {
					r.anomaly("%d runs are active: %s of %s", n, kind, entity)
				}
			}
			if len(active) > 0 {
				return false
			}
		}
		return true
	})
	if r.database.postgres {
		until("no transaction is open and no lock is held", func() bool {
			return r.number64(
				"SELECT count(*) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())")+
				r.number64(
					"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend'") == 0
		})
		return
	}
	until("SQLite's lock is free", func() bool {
		tx, err := r.raw.Begin() // immediate
		return err == nil && tx.Rollback() == nil
	})
	if r.number64("SELECT count(*) FROM coexist_writer WHERE token IS NOT NULL") != 0 {
		r.anomaly("the flag of SQLite's writer is left")
	}
}

func (r *round) number64(query string, args ...any) (n int64) {
	if err := r.raw.QueryRow(query, args...).Scan(&n); err != nil {
		r.anomaly("%s: %v", query, err)
	}
	return n
}

// invariants are checked when all is quiet.
func (r *round) invariants(t *testing.T, random *rand.Rand) {
	for _, entity := range []string{"NOTE", "COMMENT"} {
		phase := r.phaseOf(random, entity)
		incomplete := r.number64("SELECT CASE WHEN incomplete THEN 1 ELSE 0 END FROM coexist_entity WHERE name = $1",
			entity) == 1
		var v1, v2 map[string]string
		var err error
		if entity == "NOTE" {
			v1, v2, err = r.bothNotes(t.Context())
		} else {
			v1, v2, err = r.bothComments(t.Context())
		}
		if err != nil {
			r.anomaly("%v", err)
			continue
		}
		stale := r.staleKeys(entity)
		switch {
		case phase == repo.Expand:
			r.finalRun(t, random, entity, repo.Rehearsal, len(v1), 0)
		case phase == repo.Migrate || incomplete:
			missing := 0
			for key := range v1 {
				if _, ok := v2[key]; !ok || stale[key] {
					missing++
				}
			}
			r.finalRun(t, random, entity, repo.Sweep, len(v1), missing)
			if entity == "NOTE" {
				v1, v2, err = r.bothNotes(t.Context())
			} else {
				v1, v2, err = r.bothComments(t.Context())
			}
			if stale = r.staleKeys(entity); err != nil || len(stale) > 0 {
				r.anomaly("after a sweep copies of %s are still stale: %v (%v)", entity, stale, err)
			}
			r.agree(entity, phase, v1, v2, stale, true)
		case phase == repo.Cutover:
			for key := range v2 {
				if v1[key] == "" {
					v1[key] = "" // so that it counts below
				}
			}
			r.finalRun(t, random, entity, repo.Verification, len(v1), 0)
		}
		if phase != repo.Contract {
			r.agree(entity, phase, v1, v2, stale, phase == repo.Cutover)
		}
	}
	r.references()
}

// agree checks that each fresh copy says what V1 says, that no copy is an orphan and, if all are there, that none is
// missing.
func (r *round) agree(entity string, phase repo.Phase, v1, v2 map[string]string, stale map[string]bool, all bool) {
	for key, line := range v2 {
		switch {
		case stale[key]:
		case v1[key] == "":
			r.anomaly("%s %s has a fresh copy and no V1 row in %s: %s", entity, key, phase, line)
		case v1[key] != line:
			r.anomaly("%s %s has a fresh copy that is wrong in %s: V1 says %s, V2 says %s", entity, key,
				phase, v1[key], line)
		}
	}
	for key, line := range v1 {
		if all && v2[key] == "" {
			r.anomaly("%s %s has no copy in %s: V1 says %s", entity, key, phase, line)
		}
	}
}

// finalRun runs to its end when all is quiet: its counters must be what there is to count.
func (r *round) finalRun(t *testing.T, random *rand.Rand, entity string, kind repo.RunKind, done, migrated int) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	run, ok := r.runToEnd(ctx, random, entity, kind)
	if !ok {
		r.anomaly("a run does not succeed when all is quiet: %s of %s: %s %s", kind, entity,
			run.Status, text(run.Error))
		return
	}
	if run.Done != int64(done) || run.Migrated != int64(migrated) || run.Faults != 0 || run.Quarantined != 0 {
		r.anomaly(
			"a run when all is quiet counts wrong: %s %d of %s: done %d of %d, migrated %d of %d, faults %d, quarantined %d",
			kind, run.ID, entity, run.Done, done, run.Migrated, migrated, run.Faults, run.Quarantined)
	}
}

// staleKeys are the keys whose copy is not fresh.
func (r *round) staleKeys(entity string) map[string]bool {
	stale := map[string]bool{}
	table, marks := "notes_v2", "coexist_note_mark"
	if entity == "COMMENT" {
		table, marks = "comments_v2", "coexist_comment_mark"
	}
	for _, k := range r.texts("SELECT CAST(c.id AS text) FROM " + table + " c WHERE EXISTS (SELECT 1 FROM " + marks +
		" m WHERE m.key = c.id)" +
		" OR c.coexist_gone_seen + c.coexist_stale_seen < (SELECT count(*) FROM " + marks + " m WHERE m.key IS NULL)") {
		stale[k] = true
	}
	return stale
}

func (r *round) texts(query string, args ...any) (found []string) {
	rows, err := r.raw.Query(query, args...)
	if err != nil {
		r.anomaly("%s: %v", query, err)
		return nil
	}
	defer rows.Close() //nolint:errcheck // only read
	for rows.Next() {
		var s string
		err = errors.Join(err, rows.Scan(&s))
		found = append(found, s)
	}
	if err := errors.Join(err, rows.Err()); err != nil {
		r.anomaly("%s: %v", query, err)
	}
	return found
}

// bothNotes reads V1 and, in V1's terms, V2, past the engine.
func (r *round) bothNotes(ctx context.Context) (v1, v2 map[string]string, err error) {
	v1, v2 = map[string]string{}, map[string]string{}
	rows, err := r.raw.QueryContext(ctx, "SELECT id, title, body, priority FROM notes")
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close() //nolint:errcheck // only read
	var notes []repotest.NoteV1
	for rows.Next() {
		var n repotest.NoteV1
		if err := rows.Scan(&n.ID, &n.Title, &n.Body, &n.Priority); err != nil {
			return nil, nil, err
		}
		notes = append(notes, n)
	}
	for _, n := range notes {
		tags, err := r.raw.QueryContext(ctx, "SELECT rank, name FROM note_tags WHERE note_id = $1 ORDER BY rank", n.ID)
		if err != nil {
			return nil, nil, err
		}
		for tags.Next() {
			var tag repotest.Tag
			err = errors.Join(err, tags.Scan(&tag.Rank, &tag.Name))
			n.Tags = append(n.Tags, tag)
		}
		if err := errors.Join(err, tags.Err(), tags.Close()); err != nil {
			return nil, nil, err
		}
		v1[n.ID] = lineOfNoteV1(n)
	}
	copies, err := r.raw.QueryContext(ctx, "SELECT id, topic, headline, text, priority FROM notes_v2")
	if err != nil {
		return nil, nil, err
	}
	defer copies.Close() //nolint:errcheck // only read
	var found []repotest.NoteV2
	for copies.Next() {
		var n repotest.NoteV2
		if err := copies.Scan(&n.ID, &n.Topic, &n.Headline, &n.Text, &n.Priority); err != nil {
			return nil, nil, err
		}
		found = append(found, n)
	}
	for _, n := range found {
		labels, err := r.raw.QueryContext(ctx,
			"SELECT rank, name, hidden FROM notes_v2_labels WHERE id = $1 ORDER BY position", n.ID)
		if err != nil {
			return nil, nil, err
		}
		for labels.Next() {
			var l repotest.Label
			err = errors.Join(err, labels.Scan(&l.Rank, &l.Name, &l.Hidden))
			n.Labels = append(n.Labels, l)
		}
		if err := errors.Join(err, labels.Err(), labels.Close()); err != nil {
			return nil, nil, err
		}
		back, err := repotest.NoteMapping{}.Downgrade(n)
		if err != nil {
			return nil, nil, err
		}
		v2[n.ID] = lineOfNoteV1(back)
	}
	return v1, v2, errors.Join(rows.Err(), copies.Err())
}

func (r *round) bothComments(ctx context.Context) (v1, v2 map[string]string, err error) {
	read := func(query string) (map[string]string, error) {
		found := map[string]string{}
		rows, err := r.raw.QueryContext(ctx, query)
		if err != nil {
			return nil, err
		}
		defer rows.Close() //nolint:errcheck // only read
		for rows.Next() {
			var key string
			var c repotest.CommentV1
			if err := rows.Scan(&key, &c.NoteID, &c.Words); err != nil {
				return nil, err
			}
			found[key] = lineOfCommentV1(c)
		}
		return found, rows.Err()
	}
	v1, err = read("SELECT CAST(id AS text), note_id, words FROM comments")
	if err == nil {
		v2, err = read("SELECT CAST(id AS text), about, text FROM comments_v2")
	}
	return v1, v2, err
}

// references checks that what comments refer to, in the shape that leads, is there in the shape that leads.
func (r *round) references() {
	leading := func(entity, v1, v2 string) string {
		if slices.Contains(r.texts("SELECT phase FROM coexist_entity WHERE name = $1 AND NOT incomplete", entity),
			string(repo.Contract)) ||
			slices.Contains(r.texts("SELECT phase FROM coexist_entity WHERE name = $1 AND NOT incomplete", entity),
				string(repo.Cutover)) {
			return v2
		}
		return v1
	}
	comments, notes := leading("COMMENT", "SELECT note_id AS about FROM comments", "SELECT about FROM comments_v2"),
		leading("NOTE", "notes", "notes_v2")
	dangling := r.texts("SELECT c.about FROM (" + comments +
		") c WHERE c.about IS NOT NULL AND NOT EXISTS (SELECT 1 FROM " + notes + " n WHERE n.id = c.about)")
	for _, key := range dangling {
		if !r.excused[key] {
			r.anomaly("a comment refers to note %s, which is not there", key)
		}
	}
	for key := range r.excused {
		if !slices.Contains(dangling, key) {
			delete(r.excused, key)
		}
	}
}
