package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
)

// written is how many rows each measurement of writes writes.
const written = 1000

// writes measures writes and lazy reads of single rows by one caller, beside what a program does by hand.
func (f *flags) writes(ctx context.Context, c *cluster, r *results) error {
	if !f.wants("write") {
		return nil
	}
	for range f.Runs {
		for _, measure := range []func(context.Context, *cluster, *results) error{
			f.byHand, f.writesIn(repo.Expand), f.writesIn(repo.Migrate),
		} {
			if err := c.create(ctx, "bench", "bench_seed"); err != nil {
				return err
			}
			if err := measure(ctx, c, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// keys are those of the rows that are written.
func keys() []string {
	list := make([]string, written)
	for i := range list {
		list[i] = models.SampleCustomer(1, i).CustomerID
	}
	return list
}

// each measures a step for every key.
func (c *cluster) each(do func(key string) error) (cost, error) {
	all := keys()
	return c.measure(written, func() error {
		for _, key := range all {
			if err := do(key); err != nil {
				return err
			}
		}
		return nil
	})
}

const (
	handName   = "both shapes by hand"
	expandName = "write through V1 in EXPAND"
	freshName  = "fresh read of V2"
)

// step is something that is done with each key.
type step struct {
	name string
	do   func(key string) error
	held []beside
}

// writesIn measures the engine's writes in a phase, and in MIGRATE lazy and fresh reads too.
func (f *flags) writesIn(phase repo.Phase) func(context.Context, *cluster, *results) error {
	return func(ctx context.Context, c *cluster, r *results) error {
		e, err := openEngineIn(ctx, c.database("bench"), phase)
		if err != nil {
			return err
		}
		defer e.db.Close() //nolint:errcheck // nothing is lost with it
		customers, n := e.resolver.Customers, 0
		v1 := func(key string) error {
			n++
			_, err := customers.UpdateV1(ctx, key, func(v *models.CustomerV1) error {
				v.CompanyName = fmt.Sprintf("Company %d", n)
				return nil
			})
			return err
		}
		v2 := func(key string) error {
			n++
			_, err := customers.UpdateV2(ctx, key, nil, func(v *models.CustomerV2) error {
				v.Name = fmt.Sprintf("Company %d", n)
				return nil
			})
			return err
		}
		read := func(key string) error { _, err := customers.GetV2(ctx, key); return err }
		steps := []step{{expandName, v1, nil}}
		if phase == repo.Migrate {
			steps = []step{
				{"lazy migration of a row", read, []beside{atMost(freshName, 3, byTime)}},
				{freshName, read, nil},
				{"write through V1 in MIGRATE", v1, []beside{atMost(expandName, 1.8, byProcessor)}},
				{"write through V2 in MIGRATE", v2, []beside{atMost(handName, 1, byProcessor)}},
			}
		}
		for _, s := range steps {
			took, err := c.each(s.do)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			r.add(s.name, took, s.held...)
		}
		return nil
	}
}

// byHand measures what a program does that writes both shapes without Coexist: all rows of a customer, in one
// transaction, with a statement for each table.
func (f *flags) byHand(ctx context.Context, c *cluster, r *results) error {
	url := c.database("bench")
	if err := f.engineRuns(ctx, c, url, "CUSTOMER", 1, int64(f.Rows), func(string, cost) {}); err != nil {
		return err
	}
	if err := addChildKeys(ctx, url); err != nil { // nobody would go without them
		return err
	}
	if err := execute(ctx, url, "ALTER TABLE customers DISABLE TRIGGER USER"); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	n := 0
	took, err := c.each(func(key string) error {
		n++
		return pgx.BeginFunc(ctx, conn, func(t pgx.Tx) error {
			return writeByHand(ctx, t, key, fmt.Sprintf("Company %d", n))
		})
	})
	if err != nil {
		return fmt.Errorf("%s: %w", handName, err)
	}
	r.add(handName, took)
	return nil
}

// writeByHand writes a customer anew in both shapes.
func writeByHand(ctx context.Context, t pgx.Tx, key, name string) error {
	v1 := models.CustomerV1{CustomerID: key}
	if err := t.QueryRow(ctx, `SELECT contact_name, contact_title, address, city, region, postal_code, country, phone, fax
		FROM customers WHERE customer_id = $1 FOR UPDATE`, key).Scan(&v1.ContactName, &v1.ContactTitle, &v1.Address,
		&v1.City, &v1.Region, &v1.PostalCode, &v1.Country, &v1.Phone, &v1.Fax); err != nil {
		return err
	}
	v1.CompanyName = name
	v2, err := models.CustomerMapping{}.Upgrade(v1)
	if err != nil {
		return err
	}
	exec := func(statement string, args ...any) {
		if err == nil {
			_, err = t.Exec(ctx, statement, args...)
		}
	}
	exec(`UPDATE customers SET company_name = $2, contact_name = $3, contact_title = $4, address = $5, city = $6,
		region = $7, postal_code = $8, country = $9, phone = $10, fax = $11 WHERE customer_id = $1`, key, v1.CompanyName,
		v1.ContactName, v1.ContactTitle, v1.Address, v1.City, v1.Region, v1.PostalCode, v1.Country, v1.Phone, v1.Fax)
	exec(`UPDATE customers_v2 SET name = $2, coexist_version = coexist_version + 1 WHERE customer_id = $1`, key, v2.Name)
	exec(`DELETE FROM customer_v2_contacts WHERE customer_id = $1`, key)
	exec(`DELETE FROM customer_v2_addresses WHERE customer_id = $1`, key)
	exec(`DELETE FROM customer_v2_phones WHERE customer_id = $1`, key)
	for i, r := range v2.Contacts {
		exec(`INSERT INTO customer_v2_contacts VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, key, i, r.DisplayName,
			r.GivenName, r.FamilyName, r.Title, r.Nameless, r.V2Only)
	}
	for i, r := range v2.Addresses {
		exec(`INSERT INTO customer_v2_addresses VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, key, i, r.Kind,
			r.Street, r.Locality, r.Region, r.PostalCode, r.Country, r.CountryCode, r.V2Only)
	}
	for i, r := range v2.Phones {
		exec(`INSERT INTO customer_v2_phones VALUES ($1, $2, $3, $4, $5)`, key, i, r.Kind, r.Number, r.V2Only)
	}
	return err
}
