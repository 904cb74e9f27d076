package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/alwaysup/coexist/resolvers"
)

// tokenHash is what a file keeps of a token. Tokens are long and random, so a fast hash without salt will do.
type tokenHash [sha256.Size]byte

// tokenFile is a verifier of the tokens that a file lists. It sees by itself when the file changes.
type tokenFile struct {
	path   string
	logger *slog.Logger

	mu      sync.Mutex
	looked  time.Time   // when the file was last looked at
	seen    os.FileInfo // as it was then
	callers map[tokenHash]resolvers.Identity
}

// tokenCheck is how often the file is looked at, at most.
const tokenCheck = time.Second

// openTokenFile fails where the file cannot be read, or holds no token or something else.
func openTokenFile(path string, logger *slog.Logger) (*tokenFile, error) {
	f := &tokenFile{path: path, logger: logger}
	return f, f.load()
}

// verify is part of verifier.
func (f *tokenFile) verify(_ context.Context, token string) (caller, error) {
	hash := tokenHash(sha256.Sum256([]byte(token)))
	identity, found := f.lookUp(hash)
	if !found {
		return caller{}, errUnknownToken
	}
	return caller{Identity: identity, client: "token " + identity.Name, revoked: func() bool {
		now, found := f.lookUp(hash)
		return !found || now != identity
	}}, nil
}

// lookUp returns the identity behind a token. Where the file has become unreadable, the tokens that it had stay good.
func (f *tokenFile) lookUp(hash tokenHash) (resolvers.Identity, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.looked) >= tokenCheck {
		if err := f.load(); err != nil {
			f.logger.Error("the tokens stay as they were", "error", err)
		}
	}
	identity, found := f.callers[hash]
	return identity, found
}

// load reads the file if it has changed. The caller holds the mutex.
func (f *tokenFile) load() error {
	f.looked = time.Now()
	now, err := os.Stat(f.path)
	if err != nil {
		return fmt.Errorf("cannot read the tokens: %w", err)
	}
	if f.seen != nil && os.SameFile(f.seen, now) && f.seen.ModTime().Equal(now.ModTime()) && f.seen.Size() == now.Size() {
		return nil
	}
	content, err := os.ReadFile(f.path)
	if err != nil {
		return fmt.Errorf("cannot read the tokens: %w", err)
	}
	f.seen = now // also if it makes no sense: it is told once
	callers, err := parseTokens(content)
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	if f.callers != nil {
		f.logger.Info("the tokens have changed", "tokens", len(callers))
	}
	f.callers = callers
	return nil
}

var tokenName = regexp.MustCompile(`^[\w.@+-]{1,64}$`)

// parseTokens reads lines of a name, the SHA-256 of a token in hexadecimal, and a role. Empty lines and those that begin
// with # say nothing. A name may have several tokens, so that one can follow another.
func parseTokens(content []byte) (map[tokenHash]resolvers.Identity, error) {
	callers := map[tokenHash]resolvers.Identity{}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for n := 1; lines.Scan(); n++ {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) != 3 {
			return nil, fmt.Errorf("line %d is not a name, a SHA-256 and a role: coexist token makes such a line", n)
		}
		hash, err := hex.DecodeString(fields[1])
		if err != nil || len(hash) != sha256.Size {
			return nil, fmt.Errorf("line %d: the second word is not a SHA-256 in hexadecimal: coexist token makes such a line", n)
		}
		role, err := resolvers.ParseRole(fields[2])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if !tokenName.MatchString(fields[0]) {
			return nil, fmt.Errorf("line %d: %.70q is no name: use up to 64 letters, digits and . _ @ + -", n, fields[0])
		}
		if _, taken := callers[tokenHash(hash)]; taken {
			return nil, fmt.Errorf("line %d has the token of a line before it", n)
		}
		callers[tokenHash(hash)] = resolvers.Identity{Name: fields[0], Role: role}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(callers) == 0 {
		return nil, errors.New("there are no tokens in it: coexist token makes a line")
	}
	return callers, nil
}

// tokenCommand is `coexist token`.
type tokenCommand struct {
	Name string `arg:"" help:"Who it is for: kept as the actor of phase changes and runs."`
	Role string `arg:"" enum:"reader,writer,operator" help:"What it allows: reader reads rows, writer writes them too, operator sees and changes migrations too."`
}

// Run makes a token. Its line for --tokens-file goes to standard output, the token itself, which is kept nowhere, to standard error.
func (c *tokenCommand) Run(_ context.Context, env *environment) error {
	if !tokenName.MatchString(c.Name) {
		return fmt.Errorf("%.70q is no name: use up to 64 letters, digits and . _ @ + -", c.Name)
	}
	token := "coexist_" + rand.Text()
	hash := sha256.Sum256([]byte(token))
	fmt.Fprintf(env.stderr, "The token of %s, which is shown only here: %s\n", c.Name, token)
	_, err := fmt.Fprintf(env.stdout, "%s %s %s\n", c.Name, hex.EncodeToString(hash[:]), c.Role)
	return err
}
