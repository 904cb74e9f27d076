package auth

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
)

// tokenHash is what a file holds of a token. Tokens are long and random, so a fast hash without salt is enough.
type tokenHash [sha256.Size]byte

// TokenFile is a Verifier of the tokens that a file lists. It notices by itself when the file changes: a token that
// comes more than a second after the last check makes it look at the file again.
type TokenFile struct {
	path   string
	logger *slog.Logger

	mu      sync.Mutex
	looked  time.Time   // when the file was last checked
	seen    os.FileInfo // the file that was last read
	callers map[tokenHash]Identity
}

// tokenCheck is the least time between two checks of the file.
const tokenCheck = time.Second

// OpenTokenFile reads a file of lines, each with a name, the SHA-256 of a token in hexadecimal, and a role. It ignores
// empty lines and lines that begin with #. It fails if the file cannot be read, if a line has another form, or if there
// is no token. If the file becomes unreadable later, its tokens stay valid, and the logger logs that. A nil logger
// means slog.Default().
func OpenTokenFile(path string, logger *slog.Logger) (*TokenFile, error) {
	if logger == nil {
		logger = slog.Default()
	}
	f := &TokenFile{path: path, logger: logger}
	return f, f.load()
}

// Verify is part of Verifier.
func (f *TokenFile) Verify(_ context.Context, token string) (Caller, error) {
	hash := tokenHash(sha256.Sum256([]byte(token)))
	identity, found := f.lookUp(hash)
	if !found {
		return Caller{}, ErrUnknownToken
	}
	return Caller{Identity: identity, Client: "token " + identity.Name, Revoked: func() bool {
		now, found := f.lookUp(hash)
		return !found || now != identity
	}}, nil
}

// lookUp returns the identity to which a token belongs, and false if there is none. If the file has become unreadable,
// the tokens that it had stay valid.
func (f *TokenFile) lookUp(hash tokenHash) (Identity, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.looked) >= tokenCheck {
		if err := f.load(); err != nil {
			f.logger.Error("cannot reload the tokens: the old ones stay valid", "error", err)
		}
	}
	identity, found := f.callers[hash]
	return identity, found
}

// load reads the file if it has changed. The caller holds the mutex.
func (f *TokenFile) load() error {
	f.looked = time.Now()
	now, err := os.Stat(f.path)
	if err != nil {
		return fmt.Errorf("cannot read the tokens: %w", err)
	}
	if f.seen != nil && os.SameFile(f.seen, now) && f.seen.ModTime().Equal(now.ModTime()) &&
		f.seen.Size() == now.Size() {
		return nil
	}
	content, err := os.ReadFile(f.path)
	if err != nil {
		return fmt.Errorf("cannot read the tokens: %w", err)
	}
	f.seen = now // even if it is not valid, so that the error is logged only once
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

// parseTokens reads lines of a name, the SHA-256 of a token in hexadecimal, and a role. It ignores empty lines and
// lines that begin with #. A name may have several tokens, so that a new one can replace an old one.
func parseTokens(content []byte) (map[tokenHash]Identity, error) {
	callers := map[tokenHash]Identity{}
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
			return nil,
				fmt.Errorf("line %d: the second word is not a SHA-256 in hexadecimal: coexist token makes such a line",
					n)
		}
		role, err := ParseRole(fields[2])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if !tokenName.MatchString(fields[0]) {
			return nil, fmt.Errorf("line %d: %.70q is not a valid name: use up to 64 letters, digits and . _ @ + -", n,
				fields[0])
		}
		if _, taken := callers[tokenHash(hash)]; taken {
			return nil, fmt.Errorf("line %d repeats the token of an earlier line", n)
		}
		callers[tokenHash(hash)] = Identity{Name: fields[0], Role: role}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(callers) == 0 {
		return nil, errors.New("there are no tokens in it: run coexist token to make one")
	}
	return callers, nil
}

// NewToken makes a token for a name and a role. It also returns the line that makes a TokenFile accept the token. The
// token itself is stored nowhere. NewToken fails if the name cannot stand in a line.
func NewToken(name string, role Role) (token, line string, err error) {
	if !tokenName.MatchString(name) {
		return "", "", fmt.Errorf("%.70q is not a valid name: use up to 64 letters, digits and . _ @ + -", name)
	}
	token = "coexist_" + rand.Text()
	hash := sha256.Sum256([]byte(token))
	return token, name + " " + hex.EncodeToString(hash[:]) + " " + role.String(), nil
}
