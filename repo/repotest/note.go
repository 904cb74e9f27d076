package repotest

import (
	"slices"
	"strconv"
	"strings"

	"github.com/alwaysup/coexist/repo"
)

// NoteV1 is a note in the old shape: the small aggregate on which the engine is tested.
type NoteV1 struct {
	ID       string  `gorm:"type:varchar(12);primaryKey" json:"id"`
	Title    string  `gorm:"type:varchar(40)" json:"title"`
	Body     *string `gorm:"type:text" json:"body"`
	Priority int16   `gorm:"type:smallint" json:"priority"`
	Tags     []Tag   `gorm:"-" repo:"table:note_tags;key:note_id" json:"tags"`
}

// TableName is V1's.
func (NoteV1) TableName() string { return "notes" }

// Tag is a child row of a V1 note.
type Tag struct {
	Rank int16  `gorm:"type:smallint;primaryKey" json:"rank"`
	Name string `gorm:"type:varchar(20)" json:"name"`
}

// NoteV2 is a note in the new shape: its title is split, and it has a reason for being pinned and hidden labels, which
// V1 lacks.
type NoteV2 struct {
	ID           string  `gorm:"type:varchar(12);primaryKey" json:"id"`
	Topic        *string `gorm:"type:text" json:"topic"`
	Headline     string  `gorm:"type:text" json:"headline"`
	Text         *string `gorm:"type:text" json:"text"`
	Priority     int16   `gorm:"type:smallint" json:"priority"`
	PinnedReason *string `gorm:"type:text" json:"pinnedReason"`
	Labels       []Label `gorm:"-" repo:"table:notes_v2_labels" json:"labels"`
}

// TableName is V2's.
func (NoteV2) TableName() string { return "notes_v2" }

// Validate refuses a headline that is a blank.
func (n NoteV2) Validate() error {
	if n.Headline == " " {
		return repo.Faulty("headline", "must not be a blank")
	}
	return nil
}

// Label is a child row of a V2 note. One that is hidden has no place, and no rank, in V1.
type Label struct {
	Rank   int16  `gorm:"type:smallint" json:"rank"`
	Name   string `gorm:"type:text" json:"name"`
	Hidden bool   `json:"hidden"`
}

// maxPriority is the highest that V2 knows. A V1 note with a higher one cannot be converted.
const maxPriority = 9

// BadPriority is what a test sets to make a V1 note one that cannot be converted.
const BadPriority = 66

// NoteMapping converts notes. The zero value is right; the fields are for tests that want something to happen.
type NoteMapping struct {
	// Number is the version, 0 for 1.
	Number int
	// Unsplit is a bug: the title is not split, as if V2 knew no topics.
	Unsplit bool
	// Back, unless nil, is a bug: what it makes of each note that is converted back.
	Back func(*NoteV1)
	// OnConvert, unless nil, is called with the key at the start of each conversion to V2.
	OnConvert func(key string)
}

// Version is Number.
func (m NoteMapping) Version() int { return max(m.Number, 1) }

// Upgrade makes a V2 note of V1's.
func (m NoteMapping) Upgrade(v1 NoteV1) (NoteV2, error) {
	return m.derive(v1, NoteV2{}, false)
}

// Merge derives anew the parts of v2 in which v1 differs from it, and keeps the others.
func (m NoteMapping) Merge(v1 NoteV1, v2 NoteV2) (NoteV2, error) {
	return m.derive(v1, v2, true)
}

func (m NoteMapping) derive(v1 NoteV1, v2 NoteV2, keep bool) (NoteV2, error) {
	if m.OnConvert != nil {
		m.OnConvert(v1.ID)
	}
	if v1.Priority < 0 || v1.Priority > maxPriority {
		return v2, repo.Faulty("priority", "is %d, possible is 0 to %d", v1.Priority, maxPriority)
	}
	if !keep || title(v2) != v1.Title {
		v2.Topic, v2.Headline = nil, v1.Title
		if topic, headline, found := strings.Cut(v1.Title, ": "); found && !m.Unsplit {
			v2.Topic, v2.Headline = &topic, headline
		}
	}
	v2.ID, v2.Text, v2.Priority = v1.ID, v1.Body, v1.Priority
	if tags, err := tagsOf(v2.Labels); err != nil || !repo.Identical(tags, v1.Tags) {
		v2.Labels = slices.DeleteFunc(slices.Clone(v2.Labels), func(l Label) bool { return !l.Hidden })
		for i, tag := range v1.Tags {
			v2.Labels = slices.Insert(v2.Labels, i, Label{Rank: tag.Rank, Name: tag.Name})
		}
	}
	return v2, nil
}

// Downgrade keeps of v2 what V1 expresses.
func (m NoteMapping) Downgrade(v2 NoteV2) (NoteV1, error) {
	tags, err := tagsOf(v2.Labels)
	v1 := NoteV1{ID: v2.ID, Title: title(v2), Body: v2.Text, Priority: v2.Priority, Tags: tags}
	if m.Back != nil {
		m.Back(&v1)
	}
	return v1, err
}

func title(v2 NoteV2) string {
	if v2.Topic == nil {
		return v2.Headline
	}
	return *v2.Topic + ": " + v2.Headline
}

// tagsOf are the labels that V1 has, in its order.
func tagsOf(labels []Label) ([]Tag, error) {
	var tags []Tag
	for i, l := range labels {
		switch {
		case l.Hidden && l.Rank != 0:
			return nil, repo.Faulty(labelField(i, "rank"), "is %d, and a hidden label has none", l.Rank)
		case !l.Hidden && slices.ContainsFunc(tags, func(t Tag) bool { return t.Rank == l.Rank }):
			return nil, repo.Faulty(labelField(i, "rank"), "is there twice")
		case !l.Hidden:
			tags = append(tags, Tag{Rank: l.Rank, Name: l.Name})
		}
	}
	slices.SortFunc(tags, func(a, b Tag) int { return int(a.Rank) - int(b.Rank) })
	return tags, nil
}

// RemigratingNotes is a NoteMapping that repairs refined copies too: it splits the headline if that has not been
// corrected.
type RemigratingNotes struct{ NoteMapping }

// Remigrate merges, and splits what version 1 has left whole.
func (m RemigratingNotes) Remigrate(v1 NoteV1, v2 NoteV2, fromVersion int) (NoteV2, error) {
	if fromVersion == 1 && v2.Topic == nil {
		v2.Headline = ""
	}
	return m.Merge(v1, v2)
}

// CommentV1 is a comment on a note, with a key that is a number and a foreign key to notes.
type CommentV1 struct {
	ID     int32   `gorm:"type:integer;primaryKey" json:"id"`
	NoteID *string `gorm:"type:varchar(12)" json:"noteId"`
	Words  string  `gorm:"type:varchar(30)" json:"words"`
}

// TableName is V1's.
func (CommentV1) TableName() string { return "comments" }

// CommentV2 is a comment with stars, which V1 lacks.
type CommentV2 struct {
	ID    int32   `gorm:"type:integer;primaryKey" json:"id"`
	About *string `gorm:"type:varchar(12)" json:"about"`
	Text  string  `gorm:"type:text" json:"text"`
	Stars *int16  `gorm:"type:smallint" json:"stars"`
}

// TableName is V2's.
func (CommentV2) TableName() string { return "comments_v2" }

// CommentMapping converts comments.
type CommentMapping struct{}

// Version is 1.
func (CommentMapping) Version() int { return 1 }

// Upgrade makes a V2 comment of V1's.
func (m CommentMapping) Upgrade(v1 CommentV1) (CommentV2, error) { return m.Merge(v1, CommentV2{}) }

// Merge keeps the stars.
func (CommentMapping) Merge(v1 CommentV1, v2 CommentV2) (CommentV2, error) {
	return CommentV2{ID: v1.ID, About: v1.NoteID, Text: v1.Words, Stars: v2.Stars}, nil
}

// Downgrade drops the stars.
func (CommentMapping) Downgrade(v2 CommentV2) (CommentV1, error) {
	return CommentV1{ID: v2.ID, NoteID: v2.About, Words: v2.Text}, nil
}

func labelField(i int, name string) string { return "labels[" + strconv.Itoa(i) + "]." + name }
