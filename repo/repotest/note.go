package repotest

import (
	"slices"
	"strconv"
	"strings"

	"github.com/alwaysup/coexist/repo"
)

// NoteV1 is a note in the old shape. Notes are the small aggregate on which the engine is tested.
type NoteV1 struct {
	ID       string  `gorm:"type:varchar(12);primaryKey" json:"id"`
	Title    string  `gorm:"type:varchar(40)" json:"title"`
	Body     *string `gorm:"type:text" json:"body"`
	Priority int16   `gorm:"type:smallint" json:"priority"`
	Tags     []Tag   `gorm:"-" repo:"table:note_tags;key:note_id" json:"tags"`
}

// TableName returns the name of V1's table.
func (NoteV1) TableName() string { return "notes" }

// Tag is a child row of a V1 note.
type Tag struct {
	Rank int16  `gorm:"type:smallint;primaryKey" json:"rank"`
	Name string `gorm:"type:varchar(20)" json:"name"`
}

// NoteV2 is a note in the new shape. Its title is split. It has a reason for being pinned, and hidden labels, which V1
// lacks.
type NoteV2 struct {
	ID           string  `gorm:"type:varchar(12);primaryKey" json:"id"`
	Topic        *string `gorm:"type:text" json:"topic"`
	Headline     string  `gorm:"type:text" json:"headline"`
	Text         *string `gorm:"type:text" json:"text"`
	Priority     int16   `gorm:"type:smallint" json:"priority"`
	PinnedReason *string `gorm:"type:text" json:"pinnedReason"`
	Labels       []Label `gorm:"-" repo:"table:notes_v2_labels" json:"labels"`
}

// TableName returns the name of V2's table.
func (NoteV2) TableName() string { return "notes_v2" }

// Validate refuses a headline that is one blank.
func (n NoteV2) Validate() error {
	if n.Headline == " " {
		return repo.Faulty("headline", "must not be a blank")
	}
	return nil
}

// Label is a child row of a V2 note. A hidden label has no place in V1, and no rank.
type Label struct {
	Rank   int16  `gorm:"type:smallint" json:"rank"`
	Name   string `gorm:"type:text" json:"name"`
	Hidden bool   `json:"hidden"`
}

// maxPriority is the highest priority that V2 allows. A V1 note with a higher priority cannot be converted.
const maxPriority = 9

// BadPriority is a priority that keeps a V1 note from being converted.
const BadPriority = 66

// NoteMapping converts notes. The zero value is correct. The fields are for tests that need something to happen.
type NoteMapping struct {
	// Number is the version. 0 means 1.
	Number int
	// Unsplit is a bug: the mapping does not split the title, as if V2 had no topics.
	Unsplit bool
	// Back, unless nil, is a bug: it changes each note that is converted back.
	Back func(*NoteV1)
	// OnConvert, unless nil, is called with the key at the start of each conversion to V2.
	OnConvert func(key string)
}

// Version returns Number, or 1 if that is 0.
func (m NoteMapping) Version() int { return max(m.Number, 1) }

// Upgrade converts a V1 note to V2. It fails if the priority is not from 0 to 9.
func (m NoteMapping) Upgrade(v1 NoteV1) (NoteV2, error) {
	return m.derive(v1, NoteV2{}, false)
}

// Merge derives anew those parts of v2 that differ from v1, and keeps the others.
func (m NoteMapping) Merge(v1 NoteV1, v2 NoteV2) (NoteV2, error) {
	return m.derive(v1, v2, true)
}

func (m NoteMapping) derive(v1 NoteV1, v2 NoteV2, keep bool) (NoteV2, error) {
	if m.OnConvert != nil {
		m.OnConvert(v1.ID)
	}
	if v1.Priority < 0 || v1.Priority > maxPriority {
		return v2, repo.Faulty("priority", "is %d, but must be from 0 to %d", v1.Priority, maxPriority)
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

// Downgrade returns the part of v2 that V1 can express. It fails if the ranks of the labels are not valid.
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

// tagsOf returns the labels that V1 has, in V1's order. It fails if a hidden label has a rank, or if two others have
// the same rank.
func tagsOf(labels []Label) ([]Tag, error) {
	var tags []Tag
	for i, l := range labels {
		switch {
		case l.Hidden && l.Rank != 0:
			return nil, repo.Faulty(labelField(i, "rank"), "is %d, and a hidden label has none", l.Rank)
		case !l.Hidden && slices.ContainsFunc(tags, func(t Tag) bool { return t.Rank == l.Rank }):
			return nil, repo.Faulty(labelField(i, "rank"), "appears twice")
		case !l.Hidden:
			tags = append(tags, Tag{Rank: l.Rank, Name: l.Name})
		}
	}
	slices.SortFunc(tags, func(a, b Tag) int { return int(a.Rank) - int(b.Rank) })
	return tags, nil
}

// RemigratingNotes is a NoteMapping that also repairs refined copies: it splits the title of a note that version 1 has
// left whole.
type RemigratingNotes struct{ NoteMapping }

// Remigrate merges. It splits a title that version 1 has left whole.
func (m RemigratingNotes) Remigrate(v1 NoteV1, v2 NoteV2, fromVersion int) (NoteV2, error) {
	// An empty headline is not V1's title, so Merge derives both parts anew.
	if fromVersion == 1 && v2.Topic == nil {
		v2.Headline = ""
	}
	return m.Merge(v1, v2)
}

// CommentV1 is a comment on a note. Its key is a number, and it has a foreign key to notes.
type CommentV1 struct {
	ID     int32   `gorm:"type:integer;primaryKey" json:"id"`
	NoteID *string `gorm:"type:varchar(12)" json:"noteId"`
	Words  string  `gorm:"type:varchar(30)" json:"words"`
}

// TableName returns the name of V1's table.
func (CommentV1) TableName() string { return "comments" }

// CommentV2 is a comment with stars, which V1 lacks.
type CommentV2 struct {
	ID    int32   `gorm:"type:integer;primaryKey" json:"id"`
	About *string `gorm:"type:varchar(12)" json:"about"`
	Text  string  `gorm:"type:text" json:"text"`
	Stars *int16  `gorm:"type:smallint" json:"stars"`
}

// TableName returns the name of V2's table.
func (CommentV2) TableName() string { return "comments_v2" }

// CommentMapping converts comments.
type CommentMapping struct{}

// Version returns 1.
func (CommentMapping) Version() int { return 1 }

// Upgrade converts a V1 comment to V2.
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
