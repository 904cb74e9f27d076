package repo_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/alwaysup/coexist/repo/repotest"
)

// The laws of the mapping in Example, as a test and as a fuzz target.
var taskLaws = repotest.Laws[TaskV1, TaskV2]{
	Mapping: TaskMapping{},
	V1: func(t *rapid.T) TaskV1 {
		return TaskV1{ID: "t1", Title: taskTitle.Draw(t, "title"), Owner: rapid.Ptr(rapid.String(),
			true).Draw(t, "owner")}
	},
	V2: func(t *rapid.T) TaskV2 {
		owner := rapid.Map(rapid.String(), func(s string) Owner { return Owner{s} })
		return TaskV2{
			ID: "t1", Topic: rapid.Ptr(taskTitle, true).Draw(t, "topic"), Headline: taskTitle.Draw(t, "headline"),
			Owners: rapid.SliceOf(owner).Draw(t, "owners"),
		}
	},
	Refines: map[string][]string{"id": {"id"}, "title": {"topic", "headline"}, "owner": {"owners"}},
}

var taskTitle = rapid.OneOf(rapid.SampledFrom([]string{"", "Home: paint", ": ", "::"}), rapid.String())

func TestTaskLaws(t *testing.T)    { taskLaws.Check(t) }
func FuzzTaskMapping(f *testing.F) { taskLaws.Fuzz(f) }
