package main

import (
	"context"
	"fmt"

	"github.com/alwaysup/coexist/models"
)

// This file holds everything in this package that belongs to the sample. Entities of your own take its place.

// sampleFlags say which sample to make.
type sampleFlags struct {
	Sample    int    `default:"1000" placeholder:"N" help:"How many customers the sample has. It has five times as many orders. 0 means none. serve fills only a new coexist.db. Default: ${default}."`
	SampleBad int    `default:"0" placeholder:"N" help:"How many additional customers cannot be converted, to show a quarantine. Default: ${default}."`
	Seed      uint64 `default:"1" placeholder:"N" help:"The seed of the sample: the same seed gives the same sample. Default: ${default}."`
}

// Validate checks the flags. kong calls it.
func (f *sampleFlags) Validate() error {
	if f.Sample < 0 || f.Sample > models.MaxSampleCustomers {
		return fmt.Errorf("--sample is %d, but must be from 0 to %d", f.Sample, models.MaxSampleCustomers)
	}
	if f.SampleBad < 0 || f.SampleBad > models.MaxSampleBadCustomers {
		return fmt.Errorf("--sample-bad is %d, but must be from 0 to %d", f.SampleBad, models.MaxSampleBadCustomers)
	}
	return nil
}

const ordersPerCustomer = 5

// insert inserts those rows of the sample whose keys are free. It calls done with the number of rows that it has tried
// so far and with the total. It returns the attributes for a log line.
func (f *sampleFlags) insert(ctx context.Context, db *database, done func(done, total int64)) ([]any, error) {
	orders := f.Sample * ordersPerCustomer
	total := int64(f.Sample + f.SampleBad + orders)
	if orders > 0 { // insert nothing at all if the last order does not fit
		if err := db.resolver.Orders.CheckV1(models.SampleOrder(f.Seed, orders-1, f.Sample)); err != nil {
			return nil, fmt.Errorf("--sample is too large for this database: its last order does not fit: %w", err)
		}
	}
	inserted, err := db.resolver.Customers.GenerateV1(ctx, f.Sample+f.SampleBad, func(i int) models.CustomerV1 {
		if i < f.Sample {
			return models.SampleCustomer(f.Seed, i)
		}
		return models.SampleBadCustomer(f.Seed, i-f.Sample)
	}, func(n int64) { done(n, total) })
	if err != nil {
		return nil, fmt.Errorf("cannot insert customers: %w", err)
	}
	more, err := db.resolver.Orders.GenerateV1(ctx, orders,
		func(i int) models.OrderV1 { return models.SampleOrder(f.Seed, i, f.Sample) },
		func(n int64) { done(int64(f.Sample+f.SampleBad)+n, total) })
	if err != nil {
		return nil, fmt.Errorf("cannot insert orders: %w", err)
	}
	return []any{"customers", inserted, "orders", more, "seed", f.Seed}, nil
}
