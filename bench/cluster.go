package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// cluster is the PostgreSQL that is measured.
type cluster struct {
	url     *url.URL
	admin   *pgx.Conn
	version string
	pid     int // of the postmaster, 0 where it cannot be seen
}

func openCluster(ctx context.Context, address string) (*cluster, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	admin, err := pgx.Connect(ctx, address)
	if err != nil {
		return nil, err
	}
	c := &cluster{url: u, admin: admin}
	var data string
	err = admin.QueryRow(ctx, "SELECT current_setting('server_version'), current_setting('data_directory')").Scan(
		&c.version, &data)
	if err != nil {
		return nil, err
	}
	if lines, err := os.ReadFile(filepath.Join(data, "postmaster.pid")); err == nil {
		first, _, _ := strings.Cut(string(lines), "\n")
		c.pid, _ = strconv.Atoi(first) // 0 where it is no number
	}
	return c, nil
}

func (c *cluster) close() { _ = c.admin.Close(context.Background()) }

// database is the URL of a database.
func (c *cluster) database(name string) string {
	u := *c.url
	u.Path = "/" + name
	return u.String()
}

// create makes a database anew, as a copy of a template.
func (c *cluster) create(ctx context.Context, name, template string) error {
	for _, statement := range []string{
		"DROP DATABASE IF EXISTS " + name + " WITH (FORCE)", "CREATE DATABASE " + name + " TEMPLATE " + template,
		"CHECKPOINT",
	} {
		if _, err := c.admin.Exec(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// logged is how many bytes the database has logged so far, 0 if that is unknown.
func (c *cluster) logged() (bytes int64) {
	_ = c.admin.QueryRow(context.Background(), "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint").Scan(&bytes) // see above
	return bytes
}

// used is the processor time of the database: of the postmaster, of its processes, and of those that have ended.
func (c *cluster) used() time.Duration { return usedBy(c.pid) }

// clockTick is the unit of times in /proc.
const clockTick = time.Second / 100

// usedBy is the processor time of a process, and of its children.
func usedBy(pid int) time.Duration {
	var all time.Duration
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is sound
	for _, path := range stats {
		line, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(line), ") ")
		fields := strings.Fields(rest)
		const parent, user, system, childUser, childSystem = 1, 11, 12, 13, 14
		this, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if len(fields) <= childSystem || fields[parent] != strconv.Itoa(pid) && this != pid {
			continue
		}
		counted := []int{user, system}
		if this == pid {
			counted = append(counted, childUser, childSystem)
		}
		for _, at := range counted {
			ticks, _ := strconv.ParseInt(fields[at], 10, 64)
			all += time.Duration(ticks) * clockTick
		}
	}
	return all
}

// usedHere is the processor time of this process.
func usedHere() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
