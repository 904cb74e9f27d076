package resolvers

import (
	"slices"
	"testing"

	"github.com/alwaysup/coexist/graph"
	"github.com/alwaysup/coexist/repo"
)

// The schema's enums say what the engine's constants say.
func TestEnumsAreTheEngines(t *testing.T) {
	t.Parallel()
	types := graph.NewExecutableSchema(graph.Config{}).Schema().Types
	for name, want := range map[string][]string{
		"Phase":     texts(repo.Expand, repo.Migrate, repo.Cutover, repo.Contract),
		"RunKind":   texts(repo.Sweep, repo.Rehearsal, repo.Verification, repo.Restore),
		"RunStatus": texts(repo.Running, repo.Paused, repo.Succeeded, repo.Failed, repo.Cancelled),
		"BlockerCode": texts(repo.NotRehearsed, repo.Unmigrated, repo.Stale, repo.Quarantined, repo.NotVerified,
			repo.Drift, repo.BypassWrites, repo.CaptureOff, repo.HiddenRows, repo.ReferenceOrder, repo.V1Logic,
			repo.ChildKeys, repo.V1NotRestored),
		"Origin":      texts(repo.OriginRead, repo.OriginList, repo.OriginWrite, repo.OriginSweep, repo.OriginRepair),
		"FindingKind": texts(repo.Missing, repo.StaleCopy, repo.Different, repo.Orphan),
	} {
		var got []string
		for _, value := range types[name].EnumValues {
			got = append(got, value.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s is %v, the engine has %v", name, got, want)
		}
	}
}

func texts[T ~string](values ...T) []string {
	all := make([]string, len(values))
	for i, value := range values {
		all[i] = string(value)
	}
	return all
}
