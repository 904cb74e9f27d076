package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// soaked are the databases of the soak.
var soaked = []string{"sqlite", "postgres"}

// takeOut takes each guard, or only the one that is named, out of the engine itself and soaks what is left, on all
// databases at once until there is an anomaly or the time is up, unless that is 0. It prints what was found and after
// how long, with what the model finds beside it, and whether the test that forces the guard's schedule fails, as it
// should. The engine's files stay as they are: the compiler is given others in their place.
func takeOut(out io.Writer, only string, patience time.Duration) error {
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/alwaysup/coexist/repo").Output()
	if err != nil {
		return fmt.Errorf("run this within the repository: %w", err)
	}
	engine := strings.TrimSpace(string(dir))
	work, err := os.MkdirTemp("", "coexist-guards-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // no more than a leftover
	fmt.Fprintf(out,
		"Without one guard, what the model finds and what the soak finds, for up to %v on each database:\n", patience)
	if only == "" {
		// What compiling the engine once for each guard leaves in the cache is of no use later.
		if err := os.Setenv("GOCACHE", filepath.Join(work, "cache")); err != nil {
			return err
		}
	}
	var unmissed []string
	known, taken, soakFound, testFailed := false, 0, 0, 0
	for _, g := range guardList {
		if only != "" && only != g.name {
			continue
		}
		fmt.Fprintf(out, "%s: %s\n", g.name, g.rule)
		r := withoutGuard(g)
		if r.violations == 0 {
			return fmt.Errorf("the model does not miss %s", g.name)
		}
		fmt.Fprintf(out, "  %-9s %4d steps  %s\n", "model", len(r.shortest.trace), r.rule())
		known = true
		if reason, ok := notTakenOut[g.guard]; ok {
			fmt.Fprintf(out, "  not taken out of the engine: %s\n", reason)
			continue
		}
		found, fails, err := missed(out, engine, work, g.guard, patience)
		if err != nil {
			return fmt.Errorf("without %s: %w", g.name, err)
		}
		if taken++; found {
			soakFound++
		}
		if fails {
			testFailed++
		} else {
			unmissed = append(unmissed, g.name)
		}
	}
	if !known {
		return fmt.Errorf("there is no guard %q", only)
	}
	fmt.Fprintf(out,
		"Of %d guards that were taken out of the engine, the soak finds %d, and the test of its schedule fails for %d.\n", taken, soakFound, testFailed)
	if len(unmissed) > 0 {
		return fmt.Errorf("no test misses %s", strings.Join(unmissed, ", "))
	}
	return nil
}

// missed prints what goes wrong in the engine without a guard, and reports whether the soak finds something and whether
// the guard's test fails.
func missed(out io.Writer, engine, work string, g guard, patience time.Duration) (found, fails bool, err error) {
	files, err := edited(engine, edits[g])
	if err != nil {
		return false, false, err
	}
	list, err := overlay(work, files)
	if err != nil {
		return false, false, err
	}
	if patience > 0 {
		if found, err = soakWithout(out, engine, work, list, g, patience); err != nil {
			return false, false, err
		}
	}
	folder, test := path.Split(tests[g])
	folder = filepath.Join(filepath.Dir(engine), cmp.Or(folder, "repo"))
	needed, err := trimmed(folder, test)
	if err != nil {
		return false, false, err
	}
	maps.Copy(files, needed)
	if list, err = overlay(work, files); err != nil {
		return false, false, err
	}
	fails, err = testWithout(out, folder, list, test)
	return found, fails, err
}

// soakWithout prints what the soak finds without a guard, and reports whether that is anything.
func soakWithout(out io.Writer, engine, work, list string, g guard, patience time.Duration) (missed bool, err error) {
	program := filepath.Join(work, "soak.test")
	build := exec.Command("go", "test", "-c", "-vet=off", "-overlay", list, "-o", program, ".")
	build.Dir = filepath.Join(engine, "..", "proof", "soak")
	if said, err := build.CombinedOutput(); err != nil {
		return false, fmt.Errorf("%w: %s", err, said)
	}
	type found struct {
		anomaly string
		took    time.Duration
		err     error
	}
	results := map[string]*found{}
	var soaks sync.WaitGroup
	for _, database := range soaked {
		if guardsOn(g, database) {
			f := &found{}
			results[database] = f
			soaks.Go(func() { f.anomaly, f.took, f.err = soakUntil(engine, program, database, patience) })
		}
	}
	soaks.Wait()
	for _, database := range soaked {
		f := results[database]
		switch {
		case f == nil:
			fmt.Fprintf(out, "  %-9s             it guards nothing there\n", database)
		case f.err != nil:
			return false, f.err
		case f.anomaly == "":
			fmt.Fprintf(out, "  %-9s %8.0f s  -\n", database, f.took.Seconds())
		default:
			missed = true
			fmt.Fprintf(out, "  %-9s %8.0f s  %s\n", database, f.took.Seconds(), f.anomaly)
		}
	}
	return missed, nil
}

// guardsOn reports whether a guard does anything on a database: whether some of its lines run there.
func guardsOn(g guard, database string) bool {
	if database == "sqlite" && slices.Contains(manyWriters, g) {
		return false
	}
	other := map[string]string{"sqlite": "_postgres.go", "postgres": "_sqlite.go"}[database]
	return slices.ContainsFunc(edits[g], func(e edit) bool { return !strings.HasSuffix(e.file, other) })
}

// testWithout prints whether a test fails without a guard, and of what, and reports whether it does.
func testWithout(out io.Writer, folder, list, name string) (fails bool, err error) {
	began := time.Now()
	// Without optimizations the engine and its tests, which are compiled anew, compile in half the time.
	test := exec.Command("go", "test", "-count=1", "-vet=off", "-gcflags=-N -l", "-timeout", "1m", "-overlay", list,
		"-run", "^"+name+"$", ".")
	test.Dir = folder
	said, err := test.CombinedOutput()
	if err == nil {
		fmt.Fprintf(out, "  %-9s %8.0f s  %s passes\n", "test", time.Since(began).Seconds(), name)
		return false, nil
	}
	if !strings.Contains(string(said), "--- FAIL: "+name) && !strings.Contains(string(said), "panic: test timed out") {
		return false, fmt.Errorf("%w: %s", err, said)
	}
	fmt.Fprintf(out, "  %-9s %8.0f s  %s fails: %s\n", "test", time.Since(began).Seconds(), name,
		firstFailure(string(said)))
	return true, nil
}

// overlay writes files beside the list of them that the compiler takes in place of those at their paths, and returns
// that list's name. A file without a text is taken to be absent.
func overlay(work string, files map[string]string) (list string, err error) {
	replace := map[string]string{}
	for name, text := range files {
		replace[name] = ""
		if text != "" {
			replace[name] = filepath.Join(work, filepath.Base(name))
			if err := os.WriteFile(replace[name], []byte(text), 0o600); err != nil {
				return "", err
			}
		}
	}
	content, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	list = filepath.Join(work, "overlay.json")
	return list, os.WriteFile(list, content, 0o600)
}

// edited returns the files of the engine that the edits change, by path.
func edited(engine string, all []edit) (map[string]string, error) {
	files := map[string]string{}
	for _, e := range all {
		name := filepath.Join(engine, e.file)
		text, ok := files[name]
		if !ok {
			content, err := os.ReadFile(name)
			if err != nil {
				return nil, err
			}
			text = string(content)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%s has %d times what is to be taken out: %s", e.file, n, e.old)
		}
		files[name] = strings.Replace(text, e.old, e.new, 1)
	}
	return files, nil
}

var anomalies = regexp.MustCompile(`ANOMALY: ([^\n]{1,200})`)

// soakUntil returns the first line of the first anomaly, "" where there was none, and how long it took to find.
func soakUntil(engine, program, database string,
	patience time.Duration,
) (anomaly string, took time.Duration, err error) {
	began := time.Now()
	soak := exec.Command(program, "-test.run", "TestSoak/"+database+"$", "-test.timeout",
		(patience + 10*time.Minute).String(), "-soak", patience.String(), "-seed", "1", "-histories",
		filepath.Join(filepath.Dir(program), database))
	soak.Dir = filepath.Join(engine, "..", "proof", "soak")
	said, err := soak.CombinedOutput()
	took = time.Since(began)
	if err == nil {
		return "", took, nil
	}
	if line := anomalies.FindSubmatch(said); line != nil {
		return string(line[1]), took, nil
	}
	if text := strings.TrimSpace(string(said)); strings.Contains(text, "panic: ") ||
		strings.Contains(text, "--- FAIL") {
		return firstFailure(text), took, nil
	}
	return "", took, fmt.Errorf("%w: %s", err, said)
}

var failures = regexp.MustCompile(`(?m)^.*(panic: |_test\.go:\d+: )[^\n]{1,200}`)

// firstFailure returns the first line of what a test said that tells of something wrong, or that it ran out of time.
func firstFailure(said string) string {
	return strings.TrimSpace(failures.FindString(said))
}
