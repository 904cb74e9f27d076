package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
)

func main() {
	family := flag.String("family", "", "only the scenarios of this family, with all guards")
	without := flag.String("without", "", "only without this guard, with the shortest trace that is found")
	engine := flag.Bool("engine", false,
		"take guards out of the engine itself, and run the test of each one's schedule")
	soak := flag.Duration("soak", 0, "with -engine: before the test soak each database for so long, such as 1m")
	flag.Parse()
	var ok bool
	switch {
	case *engine:
		err := takeOut(os.Stdout, *without, *soak)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		ok = err == nil
	case *family != "":
		ok = whole(os.Stdout, func(s *scenario) bool { return s.family == *family })
	case *without != "":
		ok = one(os.Stdout, *without)
	default:
		ok = whole(os.Stdout, func(*scenario) bool { return true })
		ok = removals(os.Stdout) && ok
	}
	if !ok {
		os.Exit(1)
	}
}

// whole explores scenarios with all guards, and prints a line for each family.
func whole(out io.Writer, wanted func(*scenario) bool) bool {
	began := time.Now()
	families, list := []string{}, map[string][]scenario{}
	for _, s := range scenarios() {
		if !wanted(&s) {
			continue
		}
		if list[s.family] == nil {
			families = append(families, s.family)
		}
		list[s.family] = append(list[s.family], s)
	}
	fmt.Fprintf(out, "With all guards:\n  %-20s %9s %11s %10s\n", "family", "scenarios", "worlds", "violations")
	var total result
	for _, family := range families {
		r := exploreAll(list[family], noGuard)
		fmt.Fprintf(out, "  %-20s %9d %11d %10d\n", family, r.scenarios, r.worlds, r.violations)
		total.add(r)
	}
	fmt.Fprintf(out, "  %-20s %9d %11d %10d  in %.0f s\n", "all", total.scenarios, total.worlds, total.violations,
		time.Since(began).Seconds())
	if total.violations > 0 {
		total.print(out)
	}
	return total.violations == 0
}

// removals takes out each guard in turn. It fails where that is not noticed.
func removals(out io.Writer) bool {
	began := time.Now()
	fmt.Fprintf(out, "\nWithout one guard, what is violated first, and after how many steps:\n")
	caught := 0
	for _, g := range guardList {
		r := withoutGuard(g)
		if r.violations == 0 {
			fmt.Fprintf(out, "  %-30s NOT NOTICED in %d scenarios\n", g.name, r.scenarios)
			continue
		}
		caught++
		fmt.Fprintf(out, "  %-30s %-52s %2d\n", g.name, r.rule(), len(r.shortest.trace))
	}
	fmt.Fprintf(out, "  %d of %d guards are missed when they are not there, in %.0f s\n", caught, len(guardList),
		time.Since(began).Seconds())
	return caught == len(guardList)
}

// one prints the shortest violation without a guard.
func one(out io.Writer, name string) bool {
	for _, g := range guardList {
		if g.name == name {
			r := withoutGuard(g)
			fmt.Fprintf(out, "%s (%s): %s\n", g.name, g.where, g.rule)
			r.print(out)
			return r.violations > 0
		}
	}
	fmt.Fprintf(out, "there is no guard %q\n", name)
	return false
}

func workers() int { return max(1, min(2, runtime.GOMAXPROCS(0))) }
