package auth

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tokenLine lets a token in, which is its name and role.
func tokenLine(name, role string) string {
	return fmt.Sprintf("%s %x %s\n", name, sha256.Sum256([]byte(name+"-"+role)), role)
}

// everyRole is a file with a token of each role.
func everyRole(t *testing.T) *TokenFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(tokenLine("ann", "reader")+tokenLine("bob", "writer")+
		tokenLine("cleo", "operator")), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := OpenTokenFile(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestTokenFiles(t *testing.T) {
	hash := strings.Fields(tokenLine("x", "reader"))[1]
	for content, want := range map[string]string{
		"": "no tokens", "# nobody\n\n": "no tokens", "ann reader": "line 1", "\nann " + hash +
			" admin": "line 2: there is no role",
		"ann " + hash[1:] + " reader": "SHA-256", "ann " + strings.Repeat("g", 64) + " reader": "SHA-256", "a/b " +
			hash + " reader": "not a valid name",
		"ann " + hash + " reader\nbob " + hash + " writer": "line 2 repeats the token", "ann " + hash +
			" reader more": "line 1",
		"# all\n ann\t" + hash + "  reader \n": "", "ann " + strings.ToUpper(hash) + " operator": "",
	} {
		_, err := parseTokens([]byte(content))
		if got := fmt.Sprint(err); want == "" && err != nil || !strings.Contains(got, want) {
			t.Errorf("%q: got %s, want %s", content, got, want)
		}
	}
}

// The line that NewToken makes lets its token in.
func TestNewToken(t *testing.T) {
	token, line, err := NewToken("dan", Writer)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(path, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := OpenTokenFile(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := New(tokens).Authenticate(t.Context(), "bearer "+token); err != nil ||
		c.Identity != (Identity{"dan", Writer}) {
		t.Errorf("%+v, %v", c, err)
	}
	if _, _, err := NewToken("dan reader", Writer); err == nil {
		t.Error("a name of two words makes no line")
	}
}
