package database

import (
	"errors"
	"testing"
)

func TestClassifyKeepsWhatItDoesNotKnow(t *testing.T) {
	mine := errors.New("mine")
	for _, d := range []classifier{sqlite{}, postgres{}} {
		if err := d.Classify(mine); err != nil {
			t.Errorf("%T: %v", d, err)
		}
	}
}
