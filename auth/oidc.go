package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// OIDC says which tokens of an OpenID Connect provider are valid.
type OIDC struct {
	// Issuer is the provider's URL. It must be an https URL, or an http URL of a loopback address. CheckIssuer checks
	// that.
	Issuer string
	// Audience is what the provider calls this server. A token for another audience is not valid.
	Audience string
	// RoleClaim is the claim that names reader, writer or operator, as a list or as text. A path such as
	// realm_access.roles leads into objects.
	RoleClaim string
}

// Provider is a Verifier of the tokens that an OpenID Connect provider signs. It fetches by itself what it needs from
// the provider. It fetches the keys again when a token has an unknown key and every few minutes, so that a key that was
// withdrawn does not stay valid.
type Provider struct {
	OIDC
	logger *slog.Logger
	keys   *keysTransport

	mu       sync.Mutex
	tokens   *oidc.IDTokenVerifier // nil until the provider has answered
	since    time.Time             // when the provider last answered
	tried    time.Time             // when the provider was last asked
	maxAge   time.Duration
	retrying time.Duration
}

const (
	// providerPatience is how long a provider may take to answer.
	providerPatience = 10 * time.Second
	// maxProviderAnswer limits the provider's answers, in bytes.
	maxProviderAnswer = 1 << 20
)

// NewProvider returns a Provider, after asking the identity provider about itself. If that does not answer yet,
// NewProvider logs it, and Verify asks again.
func NewProvider(ctx context.Context, of OIDC, logger *slog.Logger) *Provider {
	v := &Provider{
		OIDC: of, logger: logger, maxAge: 10 * time.Minute, retrying: time.Second,
		keys: &keysTransport{logger: logger},
	}
	_, _ = v.verifier(ctx) // it logs an error itself
	return v
}

var errExpired = fmt.Errorf("%w any more: it has expired", ErrUnknownToken)

// Verify is part of Verifier.
func (v *Provider) Verify(ctx context.Context, text string) (Caller, error) {
	tokens, err := v.verifier(ctx)
	if err != nil {
		return Caller{}, err
	}
	token, err := tokens.Verify(ctx, text)
	if _, expired := errors.AsType[*oidc.TokenExpiredError](err); expired {
		return Caller{}, errExpired
	}
	if err != nil {
		v.logger.Debug("a token is refused", "error", err)
		if v.keys.failing() {
			return Caller{}, ErrProvider
		}
		return Caller{}, ErrUnknownToken
	}
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		return Caller{}, ErrUnknownToken
	}
	role := roleIn(claims, v.RoleClaim)
	if role == 0 {
		return Caller{}, fmt.Errorf("%w: its claim %s must name reader, writer or operator", ErrNoRole, v.RoleClaim)
	}
	return Caller{Identity: Identity{Name: actorOf(token.Subject, claims), Role: role}, Client: "subject " +
		token.Subject, Expires: token.Expiry}, nil
}

// verifier returns the verifier of tokens. If the provider does not answer, an earlier answer stays valid. It fails
// with ErrProvider if there has been no answer yet.
func (v *Provider) verifier(ctx context.Context) (*oidc.IDTokenVerifier, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	if v.tokens != nil && now.Sub(v.since) < v.maxAge || now.Sub(v.tried) < v.retrying {
		return v.known()
	}
	v.tried = now
	if v.tokens != nil { // ask in the background, so that nobody has to wait
		go func() {
			tokens := v.discover(ctx)
			v.mu.Lock()
			defer v.mu.Unlock()
			v.learn(tokens)
		}()
		return v.tokens, nil
	}
	v.learn(v.discover(ctx))
	return v.known()
}

func (v *Provider) known() (*oidc.IDTokenVerifier, error) {
	if v.tokens == nil {
		return nil, ErrProvider
	}
	return v.tokens, nil
}

func (v *Provider) learn(tokens *oidc.IDTokenVerifier) {
	if tokens != nil {
		v.tokens, v.since = tokens, time.Now()
	}
}

// discover asks the provider about itself. It logs an error, and returns nil then.
func (v *Provider) discover(ctx context.Context) *oidc.IDTokenVerifier {
	// The caller's request may end, but the answer is for all later requests too.
	ctx = context.WithoutCancel(ctx)
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, &http.Client{
		Timeout:   providerPatience,
		Transport: boundedTransport{},
	}), v.Issuer)
	if err != nil {
		v.logger.Error("the identity provider does not answer as it should", "issuer", v.Issuer, "error", err)
		return nil
	}
	return found.VerifierContext(oidc.ClientContext(ctx, &http.Client{Timeout: providerPatience, Transport: v.keys}),
		&oidc.Config{ClientID: v.Audience})
}

// fetch returns the body at a URL of the provider. It fails if the status is not 200.
func fetch(r *http.Request) ([]byte, error) {
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", r.URL, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, maxProviderAnswer))
}

// answerOf200 returns an answer with this body and the status 200.
func answerOf200(body []byte) *http.Response {
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
	}
}

// boundedTransport reads at most maxProviderAnswer bytes of each answer.
type boundedTransport struct{}

// RoundTrip is part of http.RoundTripper.
func (boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := fetch(r)
	if err != nil {
		return nil, err
	}
	return answerOf200(body), nil
}

// keysTransport asks for keys at most once a second, and otherwise repeats the last answer. Clients that send tokens
// with keys of their own must not make us send a flood of requests.
type keysTransport struct {
	mu    sync.Mutex
	asked time.Time
	body  []byte
	err   error // the error of the last request

	logger *slog.Logger
	told   string // the unusable keys that were logged last
}

// usable removes from a provider's set the keys that cannot be read, and logs them once. A single malformed key would
// otherwise make all keys useless.
func (t *keysTransport) usable(r *http.Request, body []byte) []byte {
	var set map[string]json.RawMessage
	var keys []json.RawMessage
	if json.Unmarshal(body, &set) != nil || json.Unmarshal(set["keys"], &keys) != nil {
		return body // go-oidc reads it next, and says what is wrong
	}
	var good []json.RawMessage
	var bad []string
	for i, key := range keys {
		var parsed jose.JSONWebKey
		if err := json.Unmarshal(key, &parsed); err != nil {
			bad = append(bad, fmt.Sprintf("%d: %v", i, err))
			continue
		}
		good = append(good, key)
	}
	told := strings.Join(bad, "; ")
	if told != "" && told != t.told {
		t.logger.Warn("the identity provider has keys that cannot be read, and that are left out", "url",
			r.URL.String(), "keys", told)
	}
	t.told = told
	if len(good) == len(keys) {
		return body
	}
	set["keys"], _ = json.Marshal(good) // cannot fail: each key is valid JSON
	whole, err := json.Marshal(set)
	if err != nil {
		return body
	}
	return whole
}

// RoundTrip is part of http.RoundTripper.
func (t *keysTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asked.IsZero() || time.Since(t.asked) >= time.Second {
		if t.body, t.err = fetch(r); t.err == nil {
			t.body = t.usable(r, t.body)
		}
		t.asked = time.Now()
	}
	if t.err != nil {
		return nil, t.err
	}
	return answerOf200(t.body), nil
}

// failing reports whether the last request failed.
func (t *keysTransport) failing() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err != nil
}

// roleIn returns the highest role that a claim names, or 0 if it names none. The claim is a list of words, or a text of
// words. Its name may be a path, such as realm_access.roles.
func roleIn(claims map[string]any, claim string) Role {
	value, found := claims[claim]
	if !found {
		outer, rest, isPath := strings.Cut(claim, ".")
		inside, isObject := claims[outer].(map[string]any)
		if !isPath || !isObject {
			return 0
		}
		return roleIn(inside, rest)
	}
	var words []string
	switch v := value.(type) {
	case string:
		words = strings.Fields(v)
	case []any:
		for _, element := range v {
			if word, isText := element.(string); isText {
				words = append(words, word)
			}
		}
	}
	var highest Role
	for _, word := range words {
		if role, err := ParseRole(word); err == nil {
			highest = max(highest, role)
		}
	}
	return highest
}

// actorOf returns the name under which the history keeps a caller. It holds the subject, which never changes, and the
// e-mail address or the user name, if the provider says one.
func actorOf(subject string, claims map[string]any) string {
	name, _ := claims["preferred_username"].(string)
	if email, _ := claims["email"].(string); email != "" {
		name = email
	}
	if name == "" || name == subject {
		return printable(subject)
	}
	return printable(name) + " (" + printable(subject) + ")"
}

// printable returns the text as a history can show it: without characters that cannot be printed, and cut to 100
// characters.
func printable(text string) string {
	const most = 100
	runes := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text))
	return string(runes[:min(len(runes), most)])
}

// CheckIssuer returns an error if the URL is not one over which keys can be trusted: an https URL, or an http URL of a
// loopback address.
func CheckIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	trusted := err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && IsLoopbackHost(u.Host))
	if !trusted {
		return fmt.Errorf("%.100q: it must be a URL of https, or of http on a loopback address", issuer)
	}
	return nil
}
