package repo

import (
	"errors"
	"math"
	"testing"
	"time"
)

func TestNextBatchSize(t *testing.T) {
	for _, c := range []struct {
		size int
		took time.Duration
		want int
	}{
		{100, 0, 200},
		{100, batchTarget/2 - 1, 200},
		{100, batchTarget / 2, 100},
		{100, batchTarget, 100},
		{100, batchTarget + 1, 50},
		{1, time.Minute, 1},
		{maxBatch, 0, maxBatch},
		{maxBatch - 1, 0, maxBatch},
	} {
		if got := nextBatchSize(c.size, c.took); got != c.want {
			t.Errorf("a batch of %d that took %v is followed by one of %d, want %d", c.size, c.took, got, c.want)
		}
	}
}

func TestBackOff(t *testing.T) {
	for try := 1; try < 100; try++ {
		if d := backOff(try); d < 2*time.Millisecond || d > 500*time.Millisecond {
			t.Errorf("after %d tries: %v", try, d)
		}
	}
}

func TestLimitsOf(t *testing.T) {
	for sqlType, want := range map[string]limits{
		"smallint":               {min: -1 << 15, max: 1<<15 - 1, ranged: true},
		"INTEGER":                {min: -1 << 31, max: 1<<31 - 1, ranged: true},
		"bigint":                 {min: math.MinInt64, max: math.MaxInt64, ranged: true},
		"varchar(40)":            {runes: 40},
		"character varying(40)":  {runes: 40},
		"character(5)":           {runes: 5},
		"bpchar":                 {},
		"varchar":                {},
		"text":                   {},
		"numeric(10,2)":          {},
		"timestamp(3) with zone": {},
	} {
		if got := limitsOf(sqlType); got != want {
			t.Errorf("%s: %+v, want %+v", sqlType, got, want)
		}
	}
}

func TestClassifyKeepsWhatItDoesNotKnow(t *testing.T) {
	mine := errors.New("mine")
	for _, d := range []dialect{sqlite{}, postgres{}} {
		if err := d.classify(mine); err != nil {
			t.Errorf("%T: %v", d, err)
		}
	}
}

func TestIdentical(t *testing.T) {
	type value struct {
		P *string
		F float64
		S []int
	}
	empty := ""
	for name, c := range map[string]struct {
		a, b value
		want bool
	}{
		"NULL and empty":          {value{}, value{P: &empty}, false},
		"two pointers":            {value{P: new("")}, value{P: &empty}, true},
		"0 and -0":                {value{}, value{F: math.Copysign(0, -1)}, false},
		"NaN":                     {value{F: math.NaN()}, value{F: math.NaN()}, true},
		"nil and empty slice":     {value{}, value{S: []int{}}, true},
		"slices of unequal order": {value{S: []int{1, 2}}, value{S: []int{2, 1}}, false},
	} {
		if Identical(c.a, c.b) != c.want {
			t.Errorf("%s: want %v", name, c.want)
		}
	}
}
