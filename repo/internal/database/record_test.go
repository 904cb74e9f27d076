package database

import (
	"errors"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/alwaysup/coexist/repo/internal/shape"
)

type shelfRow struct {
	ID    int64     `gorm:"type:bigint;primaryKey" json:"id"`
	Label *string   `gorm:"type:text" json:"label"`
	Books []bookRow `gorm:"-" repo:"table:books" json:"books"`
}

type bookRow struct {
	Title string `gorm:"type:text" json:"title"`
}

// Bytes that are no record are unusual, and nothing worse: no panic, and no memory for what they only claim to hold.
func TestABrokenRecord(t *testing.T) {
	table, err := shape.Parse(&shelfRow{})
	if err != nil {
		t.Fatal(err)
	}
	record := RecordOf(postgres{}, table, "t")
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.SliceOfN(rapid.ByteRange(0, 30), 0, 60).Draw(t, "value")
		var row shelfRow
		if _, err := record.Read(value, reflect.ValueOf(&row).Elem()); err != nil && !errors.Is(err, ErrUnusual) {
			t.Fatal(err)
		}
	})
}

func TestNumbered(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT 1":                    "SELECT 1",
		"a = ? AND b = ?":             "a = $1 AND b = $2",
		`"paid?" = ? AND x = 'a?''?'`: `"paid?" = $1 AND x = 'a?''?'`,
		`"a""?" = ?`:                  `"a""?" = $1`,
		"'?' || ?":                    "'?' || $1",
		`"open ?`:                     `"open ?`,
	} {
		if got := Numbered(query); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}
