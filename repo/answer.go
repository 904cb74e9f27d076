package repo

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/alwaysup/coexist/repo/internal/database"
	"github.com/alwaysup/coexist/repo/internal/shape"
)

// The answers of read statements, and what later decisions need of them.

// form is how an answer has its aggregates. Binary is PostgreSQL's, and cheaper. What it cannot hold is read from JSON,
// which also says what is wrong with it.
type form int

const (
	formJSON form = iota
	formBinary
)

// inForms calls read for the cheapest form of the database, and again for JSON where a value is unusual. A column of
// another type than the catalog said is unusual in every row, so nothing more is read in binary until the catalog has
// changed.
func (e *entity) inForms(read func(form) error) error {
	catalogs := e.catalogs.Load()
	if e.readsBinary() {
		err := read(formBinary)
		if !errors.Is(err, database.ErrUnusual) {
			return err
		}
		if errors.Is(err, database.ErrOtherType) {
			e.jsonUntil.Store(catalogs + 1)
		}
	}
	return read(formJSON)
}

// readsBinary reports whether anything can be read in binary.
func (e *tables) readsBinary() bool {
	return e.db.dialect.Strict() && e.jsonUntil.Load() <= e.catalogs.Load() // PostgreSQL
}

// answer is one row of a read: what one statement saw of one key.
type answer struct {
	in          *reading // nil for JSON
	ord         int64    // from the key query
	key         string
	absent      bool // the row has no key: it stands for a group without rows, for example
	extra       []byte
	v1          []byte // nil: V1 has no such row, or it was not asked for
	copy        []byte // nil: there is none, or it was not asked for
	marks       []byte
	quarantined bool
}

// storedCopy is a copy as a read returns it.
type storedCopy struct {
	Seq            int64           `json:"seq"`
	Version        int64           `json:"version"`
	MappingVersion int             `json:"mappingVersion"`
	Refined        bool            `json:"refined"`
	Origin         Origin          `json:"origin"`
	MigratedAt     string          `json:"migratedAt"`
	GoneSeen       int64           `json:"goneSeen"`
	StaleSeen      int64           `json:"staleSeen"`
	Value          json.RawMessage `json:"value"`
	migratedAt     time.Time       // MigratedAt in binary
}

// copyOf is what the engine knows about a copy, of the columns that newReading adds to its record.
func copyOf(values [][]byte) storedCopy {
	return storedCopy{
		Seq: database.Integer(values[0]), Version: database.Integer(values[1]),
		MappingVersion: int(database.Integer(values[2])), Refined: len(values[3]) == 1 && values[3][0] != 0,
		Origin: Origin(values[4]), migratedAt: database.Instant(values[5]),
		GoneSeen: database.Integer(values[6]), StaleSeen: database.Integer(values[7]),
	}
}

// seen is an answer, decoded.
type seen[V1, V2 any] struct {
	key         string
	fence       fence
	state       state
	v1          *V1
	v1Err       error // V1 has a row, but its model cannot hold it
	partial     *V1   // the part of that row that the model can hold, where the model lets every other field be nil
	faults      []FieldError
	v2          *V2
	copy        storedCopy
	quarantined bool
	// V1 must be converted although there is a copy: V1 was just written, or an older mapping made the copy
	again bool
}

// fresh reports whether the copy may answer.
func (s *seen[V1, V2]) fresh() bool {
	return !s.again && (s.state.fresh() || s.fence.leader() == sideV2 && s.v2 != nil)
}

// hasV1 reports whether V1 has the row and may answer.
func (s *seen[V1, V2]) hasV1() bool {
	return (s.v1 != nil || s.v1Err != nil) && (s.again || s.fence.leader() == sideV1)
}

// absent reports whether the side that leads has no such row.
func (s *seen[V1, V2]) absent() bool {
	if s.fence.leader() == sideV2 {
		return s.v2 == nil
	}
	return s.v1 == nil && s.v1Err == nil
}

// read runs a statement of readStatement. It fails in a phase that this version of the engine does not know.
func (e *entity) read(ctx context.Context, s database.Session, statement string,
	args ...any,
) (f fence, answers []answer, err error) {
	return e.readBy(func(scan func(database.Scanner) error) error {
		return s.Query(ctx, func(rows *sql.Rows) error { return scan(rows) }, statement, args...)
	})
}

// readIn is read for a statement of any form.
func (e *entity) readIn(ctx context.Context, s database.Session, statement reading,
	args ...any,
) (f fence, answers []answer, err error) {
	if statement.form == formJSON {
		return e.read(ctx, s, statement.text, args...)
	}
	text := statement.text
	if !statement.numbered {
		text = database.Numbered(text)
	}
	err = s.QueryBinary(ctx, e.inBinary(&statement, &f, &answers), text, args...)
	if err == nil {
		err = f.check()
	}
	return f, answers, err
}

// inBinary returns what reads the rows of an answer in binary, one after another.
func (e *entity) inBinary(statement *reading, f *fence, answers *[]answer) func(values [][]byte) error {
	first := true
	return func(values [][]byte) error {
		if first {
			first = false
			if err := e.decodeFence(values[0], f); err != nil {
				return err
			}
		}
		if values[1] != nil {
			*answers = append(*answers, answer{
				in: statement, ord: database.Integer(values[1]), key: string(values[2]), absent: values[2] == nil,
				extra: bytes.Clone(values[3]), v1: bytes.Clone(values[4]), copy: bytes.Clone(values[5]),
				marks: bytes.Clone(values[6]), quarantined: values[7][0] != 0,
			})
		}
		return nil
	}
}

// readBy is read for a statement that run sends.
func (e *entity) readBy(run func(scan func(database.Scanner) error) error) (f fence, answers []answer, err error) {
	first := true
	err = run(func(rows database.Scanner) error {
		var fenceJSON []byte
		var ord sql.NullInt64
		var key sql.NullString
		var a answer
		if err := rows.Scan(&fenceJSON, &ord, &key, &a.extra, &a.v1, &a.copy, &a.marks, &a.quarantined); err != nil {
			return err
		}
		if first {
			first = false
			if err := e.decodeFence(fenceJSON, &f); err != nil {
				return err
			}
		}
		if ord.Valid {
			a.ord, a.key, a.absent = ord.Int64, key.String, !key.Valid
			answers = append(answers, a)
		}
		return nil
	})
	if err == nil {
		err = f.check()
	}
	return f, answers, err
}

// decode turns an answer into what later decisions need.
func (r *Repository[V1, V2]) decode(f fence, a answer) (*seen[V1, V2], error) {
	s := &seen[V1, V2]{key: a.key, fence: f, quarantined: a.quarantined}
	if a.marks != nil {
		if err := json.Unmarshal(a.marks, &s.state.marks); err != nil {
			return nil, err
		}
	}
	if a.in != nil {
		if err := r.decodeBinary(s, a); err != nil {
			return nil, err
		}
	}
	if a.v1 != nil && a.in == nil {
		if s.v1, s.v1Err = shape.Decode[V1](r.v1, a.v1); s.v1Err != nil {
			s.partial, s.faults = shape.Salvage[V1](r.v1, a.v1)
		}
	}
	if a.copy != nil && a.in == nil {
		if err := json.Unmarshal(a.copy, &s.copy); err != nil {
			return nil, err
		}
		v2, err := shape.DecodeDocument[V2](s.copy.Value)
		if err != nil {
			return nil, fmt.Errorf("the copy of %s %s cannot be read: %w", r.name, a.key, err)
		}
		s.v2 = v2
	}
	if s.v2 != nil {
		s.state.hasCopy, s.state.seq, s.state.version = true, s.copy.Seq, s.copy.Version
		s.state.seen = allMarks{Gone: s.copy.GoneSeen, Stale: s.copy.StaleSeen}
	}
	// The database may accept several spellings of one key. From here on the spelling in the row counts.
	switch {
	case s.v1 != nil && f.leader() == sideV1 || s.v2 == nil && s.v1 != nil:
		s.key = r.keyOf(r.v1, s.v1)
	case s.v2 != nil:
		s.key = r.keyOf(r.v2, s.v2)
	}
	s.state.all = s.state.seen // where V2 leads, nothing makes a copy stale
	if f.leader() == sideV1 {
		s.state.all = f.AllMarks
	}
	return s, nil
}

// decodeBinary reads the aggregates of an answer in binary. It fails with ErrUnusual.
func (r *Repository[V1, V2]) decodeBinary(s *seen[V1, V2], a answer) error {
	if a.v1 != nil {
		s.v1 = new(V1)
		if _, err := a.in.v1.Read(a.v1, reflect.ValueOf(s.v1).Elem()); err != nil {
			return err
		}
	}
	if a.copy != nil {
		s.v2 = new(V2)
		values, err := a.in.v2.Read(a.copy, reflect.ValueOf(s.v2).Elem())
		if err != nil {
			return err
		}
		s.copy = copyOf(values)
	}
	return nil
}

// record is what a caller gets for a fresh copy.
func (s *seen[V1, V2]) record() Record[V2] {
	migratedAt := s.copy.migratedAt
	if migratedAt.IsZero() {
		migratedAt = parseTime(s.copy.MigratedAt)
	}
	return Record[V2]{
		Key: s.key, Value: *s.v2, Version: s.state.currentVersion(),
		Copy: Copy{
			Stored: true, Refined: s.copy.Refined, Origin: s.copy.Origin,
			MigratedAt: migratedAt, MappingVersion: s.copy.MappingVersion,
		},
	}
}
