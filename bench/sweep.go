package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/alwaysup/coexist/models"
	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/resolvers"
)

// engine is an open database with the sample's entities.
type engine struct {
	db       *repo.DB
	resolver *resolvers.Resolver
	control  *repo.Control
}

func openEngine(ctx context.Context, url string) (*engine, error) {
	return openEngineIn(ctx, url, repo.Migrate)
}

func openEngineIn(ctx context.Context, url string, phase repo.Phase) (*engine, error) {
	db, err := repo.Open(ctx, url, repo.Config{})
	if err != nil {
		return nil, err
	}
	control := repo.NewControl(db)
	resolver, err := resolvers.New(db, phase)
	if err == nil {
		err = db.Install(ctx)
	}
	if err == nil {
		err = db.Check(ctx)
	}
	return &engine{db, resolver, control}, err
}

// seed makes a template of a database that is measured.
func (f *flags) seed(ctx context.Context, c *cluster, name string, customers int) error {
	if err := c.create(ctx, name, "template0"); err != nil {
		return err
	}
	orders := 0
	if f.wants("sweep ORDER") {
		orders = customers / ordersPart
	}
	if err := seed(ctx, c.database(name), customers, orders); err != nil {
		return err
	}
	return execute(ctx, c.database(name), "VACUUM ANALYZE")
}

// seed fills a database with V1's customers and orders, and V2's empty tables.
func seed(ctx context.Context, url string, customers, orders int) error {
	db, err := repo.Open(ctx, url, repo.Config{})
	if err != nil {
		return err
	}
	resolver, err := resolvers.New(db, repo.Migrate)
	if err == nil {
		err = db.CreateV1Tables(ctx)
	}
	isSQLite := strings.HasPrefix(url, "sqlite:")
	if err == nil && !isSQLite {
		err = copyCustomers(ctx, url, customers) // they may be many, and no trigger minds yet
	}
	if err == nil {
		err = errors.Join(db.Install(ctx), db.Check(ctx))
	}
	if err == nil && isSQLite {
		_, err = resolver.Customers.GenerateV1(ctx, customers,
			func(i int) models.CustomerV1 { return models.SampleCustomer(1, i) }, func(int64) {})
	}
	if err == nil {
		_, err = resolver.Orders.GenerateV1(ctx, orders,
			func(i int) models.OrderV1 { return models.SampleOrder(1, i, customers) }, func(int64) {})
	}
	return errors.Join(err, db.Close())
}

// copyCustomers fills V1's table of customers by COPY.
func copyCustomers(ctx context.Context, url string, customers int) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	next := 0
	_, err = conn.CopyFrom(ctx, pgx.Identifier{"customers"}, []string{
		"customer_id", "company_name", "contact_name", "contact_title", "address", "city", "region", "postal_code",
		"country", "phone", "fax",
	}, pgx.CopyFromFunc(func() ([]any, error) {
		if next == customers {
			return nil, nil
		}
		c := models.SampleCustomer(1, next)
		next++
		return []any{
			c.CustomerID, c.CompanyName, c.ContactName, c.ContactTitle, c.Address, c.City, c.Region, c.PostalCode,
			c.Country, c.Phone, c.Fax,
		}, nil
	}))
	return err
}

// addChildKeys adds the foreign keys of V2's child tables, as the step to CUTOVER does.
func addChildKeys(ctx context.Context, url string) error {
	e, err := openEngine(ctx, url)
	if err != nil {
		return err
	}
	script, err := e.db.ChildKeyDDL(ctx)
	return errors.Join(err, execute(ctx, url, script), e.db.Close())
}

// ordersPart says that there is one order for so many customers.
const ordersPart = 5

func execute(ctx context.Context, url string, statements ...string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%.100s: %w", statement, err)
		}
	}
	return nil
}

// measure says what something costs.
func (c *cluster) measure(rows int64, do func() error) (cost, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	logged := c.logged()
	client, server, began := usedHere(), c.used(), time.Now()
	err := do()
	took := cost{rows: rows, took: time.Since(began), client: usedHere() - client, server: c.used() - server}
	took.wal = c.logged() - logged
	runtime.ReadMemStats(&after)
	took.allocations = int64(after.Mallocs - before.Mallocs) //nolint:gosec // far from its end
	return took, err
}

// sweepsOf measures sweeps and verifications of an entity, and INSERT … SELECT beside them.
func (f *flags) sweepsOf(entity string) func(context.Context, *cluster, *results) error {
	return func(ctx context.Context, c *cluster, r *results) error {
		if !f.wants("sweep " + entity) {
			return nil
		}
		for range f.Runs {
			if err := f.sweeps(ctx, c, entity, r); err != nil {
				return err
			}
		}
		return nil
	}
}

func (f *flags) sweeps(ctx context.Context, c *cluster, entity string, r *results) error {
	rows, reach := int64(f.Rows), []float64{1.5, 2.2}
	if entity == "ORDER" {
		rows, reach = rows/ordersPart, []float64{1, 1.5}
	}
	url, yardstick := c.database("bench"), "INSERT … SELECT of "+entity
	for _, keyed := range []bool{true, false} {
		if err := c.create(ctx, "bench", "bench_seed"); err != nil {
			return err
		}
		name := yardstick
		if !keyed {
			name += ", without child keys"
		} else if err := addChildKeys(ctx, url); err != nil {
			return err
		}
		plain, err := c.measure(rows, func() error { return execute(ctx, url, insertSelect[entity]...) })
		if err != nil {
			return err
		}
		r.add(name, plain)
	}
	for i, name := range []string{"sweep of " + entity, "sweep of " + entity + ", 2 workers"} {
		if err := c.create(ctx, "bench", "bench_seed"); err != nil {
			return err
		}
		if err := f.engineRuns(ctx, c, url, entity, i+1, rows, func(what string, took cost) {
			switch {
			case what == "sweep":
				r.add(name, took, atLeast(yardstick, reach[i]))
			case i > 0:
			case what == "again":
				r.add("sweep of fresh rows of "+entity, took, atLeast(name, 10))
			default:
				r.add("verification of "+entity, took, atLeast(name, 3))
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// migrated makes a database whose customers have all moved to V2.
func (f *flags) migrated(ctx context.Context, c *cluster) error {
	if err := c.create(ctx, "bench", "bench_seed"); err != nil {
		return err
	}
	url := c.database("bench")
	if err := f.engineRuns(ctx, c, url, "CUSTOMER", 2, int64(f.Rows), func(string, cost) {}); err != nil {
		return err
	}
	return addChildKeys(ctx, url)
}

func (f *flags) engineRuns(ctx context.Context, c *cluster, url, entity string, workers int, rows int64,
	add func(string, cost),
) error {
	e, err := openEngine(ctx, url)
	if err != nil {
		return err
	}
	defer e.db.Close() //nolint:errcheck // nothing is lost with it
	working, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = e.control.Work(working) // what goes wrong fails the run too
	}()
	defer func() {
		stop()
		<-done
	}()
	sweep := func() (repo.Run, error) {
		return e.control.StartSweep(ctx, repo.SweepRequest{Entity: entity, Workers: workers, Actor: "bench"})
	}
	verify := func() (repo.Run, error) {
		return e.control.StartVerification(ctx,
			repo.VerificationRequest{Entity: entity, Workers: workers, Actor: "bench"})
	}
	for _, run := range []struct {
		name  string
		start func() (repo.Run, error)
	}{{"sweep", sweep}, {"again", sweep}, {"verification", verify}} {
		var ended repo.Run
		took, err := c.measure(rows, func() error {
			started, err := run.start()
			if err != nil {
				return err
			}
			states, err := e.control.WatchRun(ctx, started.ID)
			if err != nil {
				return err
			}
			for ended = range states {
			}
			return nil
		})
		if err != nil {
			return err
		}
		if ended.Status != repo.Succeeded || ended.Faults > 0 || ended.Quarantined > 0 || ended.Done != rows {
			return fmt.Errorf("%s: %+v", run.name, ended)
		}
		add(run.name, took)
	}
	return nil
}
