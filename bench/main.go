// Command bench measures what coexistence costs, side by side with what it is held against: a sweep with the
// database's own INSERT … SELECT into the same tables. It alternates the two in one run, since machines change from
// minute to minute, and prints medians and ratios. `make bench` starts a PostgreSQL for it.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/alwaysup/coexist/server"
)

// flags say what to measure.
type flags struct {
	Rows         scale          `default:"100k" placeholder:"N" help:"How many customers there are, such as 100k or 10M. There are a fifth as many orders. Default: ${default}."`
	Runs         int            `default:"3" placeholder:"N" help:"How often each thing is measured. Default: ${default}."`
	Period       time.Duration  `default:"3s" placeholder:"TIME" help:"How long a server is asked each time. Default: ${default}."`
	Only         *regexp.Regexp `help:"Measure only what this regular expression matches: sweep CUSTOMER, sweep ORDER, sqlite, read, write, foreground, memory." placeholder:"REGEXP"`
	Profile      string         `placeholder:"FILE" help:"Write a profile of this process's processor time."`
	URL          string         `name:"postgres-url" env:"POSTGRES_URL" required:"" placeholder:"URL" help:"A PostgreSQL database whose role may create databases."`
	Coexist      string         `default:"bin/coexist" placeholder:"FILE" help:"The program to measure. Default: ${default}."`
	Postgraphile string         `default:"bench/postgraphile" placeholder:"FOLDER" help:"Where PostGraphile is installed. Default: ${default}."`
}

// scale is a number of rows.
type scale int

// UnmarshalText reads a number such as 100k or 10M. kong calls it.
func (s *scale) UnmarshalText(text []byte) error {
	digits, unit := strings.TrimRight(string(text), "kM"), 1
	switch string(text[len(digits):]) {
	case "k":
		unit = 1000
	case "M":
		unit = 1_000_000
	case "":
	default:
		return fmt.Errorf("is %s, but must be a number such as 1000, 100k or 10M", text)
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1000/unit || n > 1_000_000_000/unit {
		return fmt.Errorf("is %s, but must be from 1000 to 1000M", text)
	}
	*s = scale(n * unit)
	return nil
}

// count is how many customers there are.
func (f *flags) count() int { return int(f.Rows) }

// wants reports whether something is to be measured.
func (f *flags) wants(what string) bool { return f.Only == nil || f.Only.MatchString(what) }

func main() {
	var line struct {
		Bench flags        `cmd:"" default:"withargs" help:"Measure, and print a table (the default)."`
		Plain plainCommand `cmd:"" hidden:"" help:"Serve the sample without coexistence."`
	}
	parsed := kong.Parse(&line, kong.Name("bench"), kong.Description("Measures what coexistence costs, side by side with what it is held against."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server.TuneMemory(slog.New(slog.DiscardHandler)) // as `coexist serve` does
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.FatalIfErrorf(parsed.Run())
}

// Run measures everything, and prints the table.
func (f *flags) Run(ctx context.Context) error {
	if f.Profile != "" {
		out, err := os.Create(f.Profile)
		if err == nil {
			err = pprof.StartCPUProfile(out)
		}
		if err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	database, err := openCluster(ctx, f.URL)
	if err != nil {
		return err
	}
	defer database.close()
	if err := f.seed(ctx, database, "bench_seed", f.count()); err != nil {
		return err
	}
	table := &results{}
	for _, measure := range []func(context.Context, *cluster, *results) error{
		f.sweepsOf("CUSTOMER"), f.sweepsOf("ORDER"), f.reads, f.writes, f.foreground, f.whole, f.sqlite,
	} {
		if err := measure(ctx, database, table); err != nil {
			return err
		}
	}
	table.print(os.Stdout, database.version)
	return nil
}
