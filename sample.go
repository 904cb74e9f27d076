package main

import (
	"context"
	"fmt"

	"github.com/alwaysup/coexist/models"
)

// All of this package that is the sample's. Entities of your own take its place.

// sampleFlags say what sample to make.
type sampleFlags struct {
	Sample    int    `default:"1000" placeholder:"N" help:"Customers in the sample, with five times as many orders. Default: ${default}; serve takes 0 for none, and fills only a new coexist.db."`
	SampleBad int    `default:"0" placeholder:"N" help:"Customers more that no mapping can convert, to see a quarantine. Default: ${default}."`
	Seed      uint64 `default:"1" placeholder:"N" help:"The sample is the same for the same seed. Default: ${default}."`
}

// Validate is called by kong.
func (f *sampleFlags) Validate() error {
	if f.Sample < 0 || f.Sample > models.MaxSampleCustomers {
		return fmt.Errorf("--sample is %d, possible is 0 to %d", f.Sample, models.MaxSampleCustomers)
	}
	if f.SampleBad < 0 || f.SampleBad > models.MaxSampleBadCustomers {
		return fmt.Errorf("--sample-bad is %d, possible is 0 to %d", f.SampleBad, models.MaxSampleBadCustomers)
	}
	return nil
}

const ordersPerCustomer = 5

// insert inserts the sample's rows whose keys are not there, tells how many it has tried, and returns what to log of
// it.
func (f *sampleFlags) insert(ctx context.Context, db *database, done func(done, total int64)) ([]any, error) {
	orders := f.Sample * ordersPerCustomer
	total := int64(f.Sample + f.SampleBad + orders)
	if orders > 0 { // nothing is inserted where the last could not be
		if err := db.resolver.Orders.CheckV1(models.SampleOrder(f.Seed, orders-1, f.Sample)); err != nil {
			return nil, fmt.Errorf("--sample is too large for this database, its last order has no room: %w", err)
		}
	}
	inserted, err := db.resolver.Customers.GenerateV1(ctx, f.Sample,
		func(i int) models.CustomerV1 { return models.SampleCustomer(f.Seed, i) },
		func(n int64) { done(n, total) })
	if err != nil {
		return nil, fmt.Errorf("cannot insert customers: %w", err)
	}
	bad, err := db.resolver.Customers.GenerateV1(ctx, f.SampleBad,
		func(i int) models.CustomerV1 { return models.SampleBadCustomer(f.Seed, i) },
		func(n int64) { done(int64(f.Sample)+n, total) })
	if err != nil {
		return nil, fmt.Errorf("cannot insert customers: %w", err)
	}
	more, err := db.resolver.Orders.GenerateV1(ctx, orders,
		func(i int) models.OrderV1 { return models.SampleOrder(f.Seed, i, f.Sample) },
		func(n int64) { done(int64(f.Sample+f.SampleBad)+n, total) })
	if err != nil {
		return nil, fmt.Errorf("cannot insert orders: %w", err)
	}
	return []any{"customers", inserted + bad, "orders", more, "seed", f.Seed}, nil
}
