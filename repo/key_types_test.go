package repo_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/alwaysup/coexist/repo"
)

type keyedV1 struct {
	ID string `gorm:"type:uuid;primaryKey" json:"id"`
	N  int32  `gorm:"type:integer" json:"n"`
}

func (keyedV1) TableName() string { return "keyed" }

type keyedV2 struct {
	ID string `gorm:"type:uuid;primaryKey" json:"id"`
	N  int32  `gorm:"type:integer" json:"n"`
}

func (keyedV2) TableName() string { return "keyed_v2" }

// A key that its type cannot hold is a row's that is not there. The guards are uuidForm and lookUpHalves.
func TestKeysThatTheirTypeCannotHold(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		const key = "6f0e7a3e-7b1c-4b6e-9d3b-0a3c1e5f7a9b"
		b := broughtWell(t, url, functions[keyedV1, keyedV2]{
			up:   func(v keyedV1) keyedV2 { return keyedV2(v) },
			down: func(v keyedV2) keyedV1 { return keyedV1(v) },
		},
			"CREATE TABLE keyed (id uuid PRIMARY KEY, n integer NOT NULL)", "INSERT INTO keyed VALUES ('"+key+"', 1)")
		for _, spelled := range []string{key, strings.ToUpper(key), "{" + key + "}", strings.ReplaceAll(key, "-", "")} {
			if v, err := b.GetV1(t.Context(), spelled); err != nil || v.ID != key {
				t.Errorf("%s: %+v, %v", spelled, v, err)
			}
		}
		for _, bad := range []string{"x", "", key + "0", "{" + key, "\x00"} {
			wantErr(t, errOf(b.GetV1(t.Context(), bad)), repo.ErrNotFound)
			wantErr(t, errOf(b.GetV2(t.Context(), bad)), repo.ErrNotFound)
			wantErr(t, errOf(b.UpdateV2(t.Context(), bad, nil, func(*keyedV2) error { return nil })), repo.ErrNotFound)
			wantErr(t, b.Delete(t.Context(), bad, nil), repo.ErrNotFound)
		}
		found, err := b.GetManyV1(t.Context(), []string{"x", key, ""})
		if err != nil || found[1].Err != nil || !errors.Is(found[0].Err, repo.ErrNotFound) ||
			!errors.Is(found[2].Err, repo.ErrNotFound) {
			t.Errorf("%+v, %v", found, err)
		}
		for i, phase := range []repo.Phase{repo.Migrate, repo.Cutover, repo.Contract} {
			if phase != repo.Migrate {
				if phase == repo.Cutover {
					b.swept()
				}
				b.step(phase)
			}
			for j, spelled := range []string{
				"6F0E7A3E-7B1C-4B6E-9D3B-0A3C1E5F%d%d00",
				"{6f0e7a3e7b1c4b6e9d3b0a3c1e5f%d%d11}",
			} {
				v1, err := b.CreateV1(t.Context(), keyedV1{ID: fmt.Sprintf(spelled, i, 2*j)})
				v2, err2 := b.CreateV2(t.Context(), keyedV2{ID: fmt.Sprintf(spelled, i, 2*j+1)})
				if err != nil || err2 != nil || v1.ID != fmt.Sprintf("6f0e7a3e-7b1c-4b6e-9d3b-0a3c1e5f%d%d%d%d", i, 2*j,
					j, j) || v2.Value.ID != v2.Key {
					t.Errorf("%s: %+v, %+v, %v, %v", phase, v1, v2, err, err2)
				}
				wantErr(t, errOf(b.CreateV2(t.Context(), keyedV2{ID: v1.ID})), repo.ErrAlreadyExists)
			}
		}
	})
}

type addressV1 struct {
	ID string `gorm:"type:inet;primaryKey" json:"id"`
}

func (addressV1) TableName() string { return "addresses" }

type addressV2 struct {
	ID string `gorm:"type:inet;primaryKey" json:"id"`
}

func (addressV2) TableName() string { return "addresses_v2" }

// So it is with types whose form only the database knows.
func TestKeysWhoseFormTheDatabaseKnows(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		b := broughtWell(t, url, functions[addressV1,
			addressV2]{
			up:   func(v addressV1) addressV2 { return addressV2(v) },
			down: func(v addressV2) addressV1 { return addressV1(v) },
		},
			"CREATE TABLE addresses (id inet PRIMARY KEY)", "INSERT INTO addresses VALUES ('10.0.0.1'), ('10.0.0.2')")
		found, err := b.GetManyV2(t.Context(), []string{"x", "10.0.0.1", "", "10.0.0.2", "10.0.0.3"})
		if err != nil || found[1].Err != nil || found[3].Err != nil || !errors.Is(found[0].Err, repo.ErrNotFound) ||
			!errors.Is(found[4].Err, repo.ErrNotFound) {
			t.Errorf("%+v, %v", found, err)
		}
		for _, phase := range []repo.Phase{repo.Migrate, repo.Cutover, repo.Contract} {
			if phase != repo.Migrate {
				b.step(phase)
			}
			for _, key := range []string{"x", "", "10.0.0.999"} {
				_, err := b.UpdateV1(t.Context(), key, func(*addressV1) error { return nil })
				wantErr(t, err, repo.ErrNotFound)
				_, err = b.UpdateV2(t.Context(), key, nil, func(*addressV2) error { return nil })
				wantErr(t, err, repo.ErrNotFound)
				wantErr(t, b.Delete(t.Context(), key, nil), repo.ErrNotFound)
				if key != "" {
					_, err = b.CreateV1(t.Context(), addressV1{ID: key})
					wantField[*repo.InputError](t, err, "id")
					_, err = b.CreateV2(t.Context(), addressV2{ID: key})
					wantField[*repo.InputError](t, err, "id")
				}
			}
		}
	})
}

type dayV1 struct {
	ID string `gorm:"type:date;primaryKey" json:"id"`
}

func (dayV1) TableName() string { return "days" }

type dayV2 struct {
	ID string `gorm:"type:date;primaryKey" json:"id"`
}

func (dayV2) TableName() string { return "days_v2" }

// A key whose spelling a session's settings change cannot be told by it: an old program's session may have others. The
// guard is spelledBy.
func TestKeysThatSettingsSpell(t *testing.T) {
	t.Parallel()
	on(t, "postgres", func(t *testing.T, url string) {
		_, err := bring(t, url, functions[dayV1, dayV2]{
			up:   func(v dayV1) dayV2 { return dayV2(v) },
			down: func(v dayV2) dayV1 { return dayV1(v) },
		}, nil, "CREATE TABLE days (id date PRIMARY KEY)")
		if err == nil || !strings.Contains(err.Error(),
			"column id of table days is date, whose spelling follows DateStyle") ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("the error is %v", err)
		}
	})
}
