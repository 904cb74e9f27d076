package main

import (
	"context"
	"fmt"

	"github.com/alwaysup/coexist/models"
)

// sampleFlags say what sample to make.
type sampleFlags struct {
	Sample int `default:"1000" placeholder:"N" help:"Memos in the sample. Default: ${default}; serve takes 0 for none, and fills only a new coexist.db."`
}

// Validate is called by kong.
func (f *sampleFlags) Validate() error {
	if f.Sample < 0 {
		return fmt.Errorf("--sample is %d, but must be from 0 and more", f.Sample)
	}
	return nil
}

// insert inserts the sample's rows whose keys are not there, tells how many it has tried, and returns what to log of
// it.
func (f *sampleFlags) insert(ctx context.Context, db *database, done func(done, total int64)) ([]any, error) {
	inserted, err := db.resolver.Memos.GenerateV1(ctx, f.Sample, func(i int) models.MemoV1 {
		return models.MemoV1{ID: fmt.Sprintf("m%05d", i), Title: fmt.Sprintf("Plan: step %d", i)}
	}, func(n int64) { done(n, int64(f.Sample)) })
	return []any{"memos", inserted}, err
}
