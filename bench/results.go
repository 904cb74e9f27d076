package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// cost is what something took.
type cost struct {
	rows           int64
	took           time.Duration
	client, server time.Duration // of processor
	allocations    int64         // of this process
	wal            int64         // bytes that the database logged
	memory         int64         // bytes
}

// row is one line of the table: something, and what it is held against.
type row struct {
	name   string
	unit   unit
	costs  []cost
	beside []beside
}

// unit is what a row shows of its costs.
type unit struct {
	name string
	of   func(cost) float64
}

var (
	perSecond = unit{"/s", cost.rate}
	millis    = unit{"ms", func(c cost) float64 { return byTime(c) / 1000 }}
	megabytes = unit{"MB", func(c cost) float64 { return float64(c.memory) / 1e6 }}
)

// beside is what a row is held against, and what the ratio of the two should reach.
type beside struct {
	name  string
	reach float64
	most  bool // the ratio should be at most reach, not at least
	of    func(cost) float64
}

// atLeast holds rates against each other.
func atLeast(name string, reach float64) beside { return beside{name, reach, false, cost.rate} }

// atMost holds costs against each other.
func atMost(name string, reach float64, of func(cost) float64) beside {
	return beside{name, reach, true, of}
}

// byTime is the time for each, in µs.
func byTime(c cost) float64 { return perRow(c.took, c.rows) }

// byProcessor is the processor time for each, of client and database, in µs.
func byProcessor(c cost) float64 { return perRow(c.client+c.server, c.rows) }

// results is the table.
type results struct{ rows []*row }

// add adds what something cost, each time that it is measured.
func (r *results) add(name string, c cost, held ...beside) { r.addIn(perSecond, name, c, held...) }

// addIn is add in a unit.
func (r *results) addIn(u unit, name string, c cost, held ...beside) {
	line := r.row(name)
	if line == nil {
		line = &row{name: name, unit: u, beside: held}
		r.rows = append(r.rows, line)
	}
	line.costs = append(line.costs, c)
	fmt.Fprintf(os.Stderr, "%s: %.1f %s\n", name, u.of(c), u.name)
}

func (r *results) row(name string) *row {
	at := slices.IndexFunc(r.rows, func(row *row) bool { return row.name == name })
	if at < 0 {
		return nil
	}
	return r.rows[at]
}

func (c cost) rate() float64 { return float64(c.rows) / c.took.Seconds() }

// median is the middle one of some numbers.
func median(of []cost, number func(cost) float64) float64 {
	numbers := make([]float64, len(of))
	for i, c := range of {
		numbers[i] = number(c)
	}
	slices.Sort(numbers)
	return numbers[len(numbers)/2]
}

func (r *results) print(out io.Writer, version string) {
	fmt.Fprintf(out, "\nPostgreSQL %s, %s, %d processors, %s\n\n", version, processor(), runtime.NumCPU(),
		runtime.Version())
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "work\t\t\tµs client or server\tµs PostgreSQL\tallocations\tB of WAL\tratio\tto\treach\t")
	for _, line := range r.rows {
		fmt.Fprintf(w, "%s\t%.1f\t%s\t", line.name, median(line.costs, line.unit.of), line.unit.name)
		for _, each := range []func(cost) float64{
			func(c cost) float64 { return perRow(c.client, c.rows) },
			func(c cost) float64 { return perRow(c.server, c.rows) },
			func(c cost) float64 { return float64(c.allocations) / float64(c.rows) },
			func(c cost) float64 { return float64(c.wal) / float64(c.rows) },
		} {
			shown := ""
			if n := median(line.costs, each); n > 0 {
				shown = fmt.Sprintf("%.1f", n)
			}
			fmt.Fprintf(w, "%s\t", shown)
		}
		lead := ""
		for _, held := range line.beside {
			if other := r.row(held.name); other != nil {
				sign := "≥"
				if held.most {
					sign = "≤"
				}
				ratio := median(line.costs, held.of) / median(other.costs, held.of)
				fmt.Fprintf(w, "%s%.2f\t%s\t%s %.2f\t\n", lead, ratio, held.name, sign, held.reach)
				lead = strings.Repeat("\t", 7)
			}
		}
		if lead == "" {
			fmt.Fprint(w, "\t\t\t\n")
		}
	}
	_ = w.Flush() // what cannot be printed cannot be reported there either
}

func perRow(d time.Duration, rows int64) float64 { return float64(d.Microseconds()) / float64(rows) }

// processor names the machine's.
func processor() string {
	info, _ := os.ReadFile("/proc/cpuinfo") // another system has none
	_, rest, _ := strings.Cut(string(info), "model name\t: ")
	name, _, _ := strings.Cut(rest, "\n")
	if name == "" {
		return runtime.GOARCH
	}
	return name
}
