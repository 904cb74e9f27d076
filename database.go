package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/alwaysup/coexist/repo"
	"github.com/alwaysup/coexist/resolvers"
)

// embeddedFile is the database in the working directory that is used if none is given.
const embeddedFile = "coexist.db"

// database is an open database with the sample's entities.
type database struct {
	*repo.DB
	resolver *resolvers.Resolver
	name     string // for people to read, without the password
	schema   string // of V1's tables, "" on SQLite
}

func (db *database) control() *repo.Control { return db.resolver.Control }

// opening says how a command prepares the database.
type opening int

const (
	installing opening = iota // creates what is missing, unless --no-auto-migrate is set, and checks everything
	checking                  // creates nothing, and checks everything
	connecting                // leaves the tables alone
)

// open opens the database that the command line names. It fails if there is none.
func (env *environment) open(ctx context.Context, how opening) (*database, error) {
	address, initial := env.database.given(), repo.Expand
	if address == "" {
		address, initial = "sqlite:"+embeddedFile, repo.Migrate
	}
	if path, isSQLite := strings.CutPrefix(address, "sqlite:"); isSQLite {
		if path == "" {
			return nil, errors.New("the database's URL names no file: give sqlite:PATH")
		}
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil,
				fmt.Errorf("there is no database %s: check the path, or make a sample database with `coexist seed`",
					path)
		}
	}
	return env.openAt(ctx, address, initial, how)
}

// openAt opens the database at a URL. Entities that the database does not know yet start in the phase initial.
func (env *environment) openAt(ctx context.Context, address string, initial repo.Phase,
	how opening,
) (*database, error) {
	// A patience of 0 means one try here, but ten seconds to repo.Open, where a negative one means one try.
	opened, err := repo.Open(ctx, address, repo.Config{
		Logger: env.logger, MaxConns: env.database.MaxConns,
		Schema: env.database.V1Schema, Pooler: env.database.Pooler, Patience: cmp.Or(env.database.Patience, -1),
		PhasePatience: env.database.PhaseTime,
	})
	if err != nil {
		return nil, err
	}
	db := &database{DB: opened, name: nameOf(address)}
	if !strings.HasPrefix(address, "sqlite:") {
		db.schema = env.database.V1Schema
	}
	if db.resolver, err = resolvers.New(opened, initial); err == nil && how != connecting {
		err = db.prepare(ctx, how == installing && env.database.AutoMigrate)
	}
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return db, nil
}

// prepare creates what is missing, if install is set, and checks that everything is there. It fails on an empty
// database.
func (db *database) prepare(ctx context.Context, install bool) error {
	empty, err := db.Empty(ctx)
	if err != nil {
		return err
	}
	if empty {
		return fmt.Errorf(
			"%s is empty: give the database that has your V1 tables (--database-url, --v1-schema), or fill this one with sample data by `coexist seed`", db.where())
	}
	if install {
		if err := db.Install(ctx); err != nil {
			return err
		}
	}
	return db.Check(ctx)
}

// where says for people where the server looks for V1's tables.
func (db *database) where() string {
	if db.schema == "" {
		return "the database " + db.name
	}
	return "schema " + db.schema + " of the database " + db.name
}

// nameOf returns what people need to recognise the database at a URL: its kind and its place, and nothing secret.
func nameOf(address string) string {
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok {
		return "SQLite " + path
	}
	u, err := url.Parse(address)
	if err != nil || strings.Contains(u.Host+u.Path, "@") { // of an unescaped password
		return "PostgreSQL"
	}
	return "PostgreSQL " + u.Host + u.Path
}

// fillEmbedded creates coexist.db with the sample's V1 tables and rows, unless it exists. It builds the file in a
// directory of its own first, so that coexist.db is either complete or absent.
func (c *sampleFlags) fillEmbedded(ctx context.Context, env *environment) (err error) {
	if _, err := os.Stat(embeddedFile); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	removeLeftovers(".")
	dir, err := os.MkdirTemp(".", fillPrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return fmt.Errorf("cannot make %s here: %w", embeddedFile, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, embeddedFile)
	db, err := env.openAt(ctx, "sqlite:"+file, repo.Migrate, connecting)
	if err != nil {
		return err
	}
	db.name = nameOf("sqlite:" + embeddedFile)
	if err := errors.Join(c.fill(ctx, db, env), db.Close()); err != nil {
		return fmt.Errorf("cannot fill %s: %w", embeddedFile, err)
	}
	// Unlike a rename, a link never replaces a file that another process has made in the meantime.
	if err := os.Link(file, embeddedFile); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// fillPrefix begins the name of the directory in which coexist.db is built. The process's id follows it.
const fillPrefix = ".coexist-fill-"

// removeLeftovers removes the directories that killed processes have left in dir.
func removeLeftovers(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, fillPrefix+"*")) // the pattern is sound
	for _, l := range left {
		number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(l), fillPrefix), "-")
		pid, err := strconv.Atoi(number)
		if err != nil || pid != os.Getpid() && alive(pid) {
			continue
		}
		_ = os.RemoveAll(l) // a directory that stays does no harm
	}
}

func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	return err == nil && !errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}
