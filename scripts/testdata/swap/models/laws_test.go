package models_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo/repotest"
)

var memoLaws = repotest.Laws[models.MemoV1, models.MemoV2]{
	Mapping: models.MemoMapping{},
	V1: func(t *rapid.T) models.MemoV1 {
		return models.MemoV1{ID: "m1", Title: text.Draw(t, "title"), Tags: maybe.Draw(t, "tags")}
	},
	V2: func(t *rapid.T) models.MemoV2 {
		return models.MemoV2{
			ID: "m1", Topic: maybe.Draw(t, "topic"), Headline: text.Draw(t, "headline"),
			PinnedFor: maybe.Draw(t, "pinnedFor"),
			Labels: rapid.SliceOf(rapid.Map(text, func(s string) models.Label { return models.Label{Name: s} })).Draw(t,
				"labels"),
		}
	},
	Refines: map[string][]string{"id": {"id"}, "title": {"topic", "headline"}, "tags": {"labels"}},
}

var (
	text  = rapid.OneOf(rapid.SampledFrom([]string{"", "Plan: buy milk", ": ", "a,b", ",", "é"}), rapid.String())
	maybe = rapid.Ptr(text, true)
)

func TestMemoLaws(t *testing.T)    { memoLaws.Check(t) }
func FuzzMemoMapping(f *testing.F) { memoLaws.Fuzz(f) }
