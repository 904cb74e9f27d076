package repo_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/alwaysup/coexist/repo"
)

// TaskV1 is a row of the table tasks, as it always was. Its title is "Topic: headline".
type TaskV1 struct {
	ID    string  `gorm:"type:varchar(12);primaryKey" json:"id"`
	Title string  `gorm:"type:varchar(40)" json:"title"`
	Owner *string `gorm:"type:varchar(20)" json:"owner"`
}

// TableName is V1's.
func (TaskV1) TableName() string { return "tasks" }

// TaskV2 is a task in the new shape: the title is split, and there may be several owners.
type TaskV2 struct {
	ID       string  `gorm:"type:varchar(12);primaryKey" json:"id"`
	Topic    *string `gorm:"type:text" json:"topic"`
	Headline string  `gorm:"type:text" json:"headline"`
	Owners   []Owner `gorm:"-" repo:"table:tasks_v2_owners;key:task_id" json:"owners"`
}

// TableName is V2's.
func (TaskV2) TableName() string { return "tasks_v2" }

// Owner is a child row of a V2 task. V1 knows the first.
type Owner struct {
	Name string `gorm:"type:text" json:"name"`
}

// TaskMapping converts tasks.
type TaskMapping struct{}

// Version is 1.
func (TaskMapping) Version() int { return 1 }

// Upgrade makes a V2 task of V1's.
func (m TaskMapping) Upgrade(v1 TaskV1) (TaskV2, error) { return m.Merge(v1, TaskV2{}) }

// Merge makes anew what v1 says otherwise than v2, and leaves the rest.
func (m TaskMapping) Merge(v1 TaskV1, v2 TaskV2) (TaskV2, error) {
	said, err := m.Downgrade(v2)
	if err != nil {
		return v2, err
	}
	v2.ID = v1.ID
	if said.Title != v1.Title {
		v2.Topic, v2.Headline = nil, v1.Title
		if topic, headline, found := strings.Cut(v1.Title, ": "); found {
			v2.Topic, v2.Headline = &topic, headline
		}
	}
	switch {
	case repo.Identical(said.Owner, v1.Owner): // as it was
	case v1.Owner == nil:
		v2.Owners = nil // who else there was has nobody to stand behind
	default:
		v2.Owners = append([]Owner{{*v1.Owner}}, v2.Owners[min(1, len(v2.Owners)):]...)
	}
	return v2, nil
}

// Downgrade keeps of v2 what V1 expresses.
func (TaskMapping) Downgrade(v2 TaskV2) (TaskV1, error) {
	v1 := TaskV1{ID: v2.ID, Title: v2.Headline}
	if v2.Topic != nil {
		v1.Title = *v2.Topic + ": " + v2.Headline
	}
	if len(v2.Owners) > 0 {
		v1.Owner = &v2.Owners[0].Name
	}
	return v1, nil
}

// A table and its new shape, side by side.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "tasks")
	try(err)
	defer func() { try(os.RemoveAll(dir)) }()

	db, err := repo.Open(ctx, "sqlite:"+filepath.Join(dir, "tasks.db"), repo.Config{})
	try(err)
	defer func() { try(db.Close()) }()
	tasks, err := repo.New(db, repo.Definition[TaskV1, TaskV2]{Name: "TASK", Mapping: TaskMapping{}})
	try(err)
	try(db.CreateV1Tables(ctx)) // only here: you have yours
	try(db.Install(ctx))
	try(db.Check(ctx))

	// Old clients work as ever. In EXPAND, where every entity begins, V2 can be read, and nothing is stored.
	ann := "Ann"
	_, err = tasks.CreateV1(ctx, TaskV1{ID: "t1", Title: "Home: paint the door", Owner: &ann})
	try(err)
	task, err := tasks.GetV2(ctx, "t1")
	try(err)
	fmt.Println("V2 reads:", *task.Value.Topic, "/", task.Value.Headline, "/ stored:", task.Copy.Stored)

	// A rehearsal opens the gate to MIGRATE, in which a row moves as it is used.
	work, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	control := repo.NewControl(db)
	go func() { defer close(ended); try(control.Work(work)) }()
	defer func() { stop(); <-ended }()
	rehearsal, err := control.StartRehearsal(ctx, repo.RunRequest{Entity: "TASK", Actor: "example"})
	try(err)
	states, err := control.WatchRun(ctx, rehearsal.ID)
	try(err)
	for rehearsal = range states { // each change, until it has ended
	}
	fmt.Println("the rehearsal has", rehearsal.Status)
	_, err = control.SetPhase(ctx, repo.PhaseRequest{Entity: "TASK", To: repo.Migrate, Actor: "example"})
	try(err)

	// V2 adds a second owner, V1 changes the title: neither undoes the other.
	_, err = tasks.UpdateV2(ctx, "t1", nil, func(v2 *TaskV2) error {
		v2.Owners = append(v2.Owners,
			Owner{"Bob"})
		return nil
	})
	try(err)
	_, err = tasks.UpdateV1(ctx, "t1", func(v1 *TaskV1) error { v1.Title = "Home: paint the fence"; return nil })
	try(err)
	task, err = tasks.GetV2(ctx, "t1")
	try(err)
	fmt.Println("V2 reads:", *task.Value.Topic, "/", task.Value.Headline, "/", task.Value.Owners,
		"/ version:", task.Version)

	// Output:
	// V2 reads: Home / paint the door / stored: false
	// the rehearsal has SUCCEEDED
	// V2 reads: Home / paint the fence / [{Ann} {Bob}] / version: 4
}

func try(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
