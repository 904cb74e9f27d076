// Package models is what migrates here: memos.
package models

import (
	"fmt"
	"strings"

	"github.com/alwaysup/coexist/repo"
)

// MemoV1 is a row of the table memos, as it always was.
type MemoV1 struct {
	ID    string  `gorm:"type:varchar(12);primaryKey" json:"id"`
	Title string  `gorm:"type:varchar(40)" json:"title"` // "Topic: headline"
	Tags  *string `gorm:"type:varchar(80)" json:"tags"`  // "one,two"
}

// TableName is V1's.
func (MemoV1) TableName() string { return "memos" }

// MemoV2 is a memo in the new shape: its title is split, its tags are rows, and it may be pinned for a reason, which V1
// lacks.
type MemoV2 struct {
	ID        string  `gorm:"type:varchar(12);primaryKey" json:"id"`
	Topic     *string `gorm:"type:text" json:"topic"`
	Headline  string  `gorm:"type:text" json:"headline"`
	PinnedFor *string `gorm:"type:text" json:"pinnedFor"`
	Labels    []Label `gorm:"-" repo:"table:memos_v2_labels;key:memo_id" json:"labels"`
}

// TableName is V2's.
func (MemoV2) TableName() string { return "memos_v2" }

// Label is a child row of a V2 memo.
type Label struct {
	Name string `gorm:"type:text" json:"name"`
}

// MemoMapping converts memos.
type MemoMapping struct{}

// Version is 1.
func (MemoMapping) Version() int { return 1 }

// Upgrade makes a V2 memo of V1's.
func (m MemoMapping) Upgrade(v1 MemoV1) (MemoV2, error) { return m.Merge(v1, MemoV2{}) }

// Merge makes anew what v1 says otherwise than v2, and leaves the rest.
func (m MemoMapping) Merge(v1 MemoV1, v2 MemoV2) (MemoV2, error) {
	v2.ID = v1.ID
	if title(v2) != v1.Title {
		v2.Topic, v2.Headline = nil, v1.Title
		if topic, headline, found := strings.Cut(v1.Title, ": "); found {
			v2.Topic, v2.Headline = &topic, headline
		}
	}
	if said, err := tags(v2); err != nil || !repo.Identical(said, v1.Tags) {
		v2.Labels = nil
		if v1.Tags != nil {
			for i, name := range strings.Split(*v1.Tags, ",") {
				if name == "" {
					return v2, repo.Faulty("tags", "tag %d is empty", i+1)
				}
				v2.Labels = append(v2.Labels, Label{name})
			}
		}
	}
	return v2, nil
}

// Downgrade keeps of v2 what V1 expresses. It fails for a label that a list with commas cannot hold.
func (MemoMapping) Downgrade(v2 MemoV2) (MemoV1, error) {
	list, err := tags(v2)
	return MemoV1{ID: v2.ID, Title: title(v2), Tags: list}, err
}

func title(v2 MemoV2) string {
	if v2.Topic == nil {
		return v2.Headline
	}
	return *v2.Topic + ": " + v2.Headline
}

func tags(v2 MemoV2) (*string, error) {
	var names []string
	for i, l := range v2.Labels {
		if l.Name == "" || strings.Contains(l.Name, ",") {
			return nil, repo.Faulty(fmt.Sprintf("labels[%d].name", i), "is empty or has a comma")
		}
		names = append(names, l.Name)
	}
	if names == nil {
		return nil, nil //nolint:nilnil // V1 says NULL where there are no tags
	}
	list := strings.Join(names, ",")
	return &list, nil
}
