package repotest

import (
	"testing"

	"pgregory.net/rapid"
)

var noteLaws = Laws[NoteV1, NoteV2]{
	Mapping: NoteMapping{},
	V1: func(t *rapid.T) NoteV1 {
		n := NoteV1{
			ID: "n", Title: rapid.SampledFrom([]string{"", ": ", "a: b", "a: b: c", "x"}).Draw(t, "title"),
			Body:     rapid.Ptr(rapid.SampledFrom([]string{"", "text"}), true).Draw(t, "body"),
			Priority: rapid.Int16Range(-1, 10).Draw(t, "priority"),
		}
		for rank := range int16(3) {
			if rapid.Bool().Draw(t, "has tag") {
				n.Tags = append(n.Tags, Tag{rank, rapid.SampledFrom([]string{"", "red"}).Draw(t, "tag")})
			}
		}
		return n
	},
	V2: func(t *rapid.T) NoteV2 {
		n := NoteV2{
			ID: "n", Topic: rapid.Ptr(rapid.SampledFrom([]string{"", "a", "a: b"}), true).Draw(t, "topic"),
			Headline: rapid.SampledFrom([]string{"", "b", "b: c"}).Draw(t, "headline"),
			Text:     rapid.Ptr(rapid.Just("text"), true).Draw(t, "text"),
			Priority: rapid.Int16Range(-1, 10).Draw(t, "priority"), PinnedReason: rapid.Ptr(rapid.Just("why"),
				true).Draw(t, "reason"),
		}
		for range rapid.IntRange(0, 4).Draw(t, "labels") {
			n.Labels = append(n.Labels, Label{
				rapid.Int16Range(0, 2).Draw(t, "rank"),
				rapid.SampledFrom([]string{"", "red"}).Draw(t, "label"), rapid.Bool().Draw(t, "hidden"),
			})
		}
		return n
	},
	Refines: map[string][]string{
		"id": {"id"}, "title": {"topic", "headline"}, "body": {"text"}, "priority": {"priority"}, "tags": {"labels"},
	},
}

func TestNoteLaws(t *testing.T) { noteLaws.Check(t) }

func FuzzNoteMapping(f *testing.F) { noteLaws.Fuzz(f) }
