package playground

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// serverUnderTest mounts the playground the way the server does.
func serverUnderTest(t *testing.T, h http.Handler) http.Handler {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/playground", h)
	mux.Handle("/playground/", h)
	return mux
}

func request(t *testing.T, h http.Handler, method, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, res *http.Response) []byte {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unzip(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func wantHeader(t *testing.T, res *http.Response, name, want string) {
	t.Helper()
	if got := res.Header.Get(name); got != want {
		t.Errorf("%s: got %q, want %q", name, got, want)
	}
}

func wantStatus(t *testing.T, res *http.Response, want int) {
	t.Helper()
	if res.StatusCode != want {
		t.Fatalf("status: got %d, want %d", res.StatusCode, want)
	}
}

func TestPageIsServedAndRevalidated(t *testing.T) {
	h := serverUnderTest(t, Handler())
	res := request(t, h, "GET", "/playground", "Accept-Encoding", "gzip, br")
	wantStatus(t, res, http.StatusOK)
	wantHeader(t, res, "Content-Type", "text/html; charset=utf-8")
	wantHeader(t, res, "Content-Encoding", "gzip")
	wantHeader(t, res, "Cache-Control", "no-cache")
	wantHeader(t, res, "Vary", "Accept-Encoding")
	if !bytes.Contains(unzip(t, body(t, res)), []byte(`<div id="root">`)) {
		t.Error("the page has no root element")
	}

	etag := res.Header.Get("ETag")
	for _, known := range []string{etag, "W/" + etag, `"other", ` + etag, "*"} {
		res = request(t, h, "GET", "/playground", "Accept-Encoding", "gzip", "If-None-Match", known)
		wantStatus(t, res, http.StatusNotModified)
		if len(body(t, res)) != 0 {
			t.Error("a 304 has a body")
		}
	}
	res = request(t, h, "GET", "/playground", "If-None-Match", etag)
	wantStatus(t, res, http.StatusOK)
	if res.Header.Get("ETag") == etag {
		t.Error("both encodings share a strong ETag")
	}
}

func TestSlashRedirectsToPage(t *testing.T) {
	h := serverUnderTest(t, Handler())
	res := request(t, h, "GET", "/playground/?a=b")
	wantStatus(t, res, http.StatusPermanentRedirect)
	wantHeader(t, res, "Location", "../playground?a=b")
}

// The page must run under its own policy: everything is a file of ours and nothing is inline.
func TestPageLoadsOnlyOwnFiles(t *testing.T) {
	h := serverUnderTest(t, Handler())
	page := string(body(t, request(t, h, "GET", "/playground")))
	for _, tag := range regexp.MustCompile(`<script[^>]*>[^<]*</script>`).FindAllString(page, -1) {
		if !regexp.MustCompile(`\ssrc="[^"]+"[^>]*></script>$`).MatchString(tag) {
			t.Errorf("inline script: %s", tag)
		}
	}
	if regexp.MustCompile(`(?i)<style|\son\w+=|https?://`).MatchString(page) {
		t.Errorf("inline style, inline handler or foreign address in %s", page)
	}
	links := regexp.MustCompile(`(?:src|href)="(\./[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(links) < 3 {
		t.Fatalf("expected an icon, a script and a style, found %v", links)
	}
	for _, link := range links {
		res := request(t, h, "GET", path.Join("/", link[1]))
		wantStatus(t, res, http.StatusOK)
	}
}

// Every embedded file arrives whole, in both encodings, with the same headers for GET and HEAD.
func TestEveryAsset(t *testing.T) {
	s, err := loadSite()
	if err != nil {
		t.Fatal(err)
	}
	h := serverUnderTest(t, Handler())
	for name, a := range s {
		if name == "playground.html" || !strings.HasPrefix(name, "playground/") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			plain := request(t, h, "GET", "/"+name)
			wantStatus(t, plain, http.StatusOK)
			wantHeader(t, plain, "Content-Encoding", "")
			wantHeader(t, plain, "Content-Type", contentTypes[path.Ext(name)])
			plainBody := body(t, plain)
			wantHeader(t, plain, "Content-Length", strconv.Itoa(len(plainBody)))
			if strings.Contains(name, "/assets/") {
				wantHeader(t, plain, "Cache-Control", "public, max-age=31536000, immutable")
			} else {
				wantHeader(t, plain, "Cache-Control", "no-cache")
			}

			packed := request(t, h, "GET", "/"+name, "Accept-Encoding", "gzip")
			packedBody := body(t, packed)
			wantHeader(t, packed, "Content-Length", strconv.Itoa(len(packedBody)))
			if a.gzipped {
				wantHeader(t, packed, "Content-Encoding", "gzip")
				packedBody = unzip(t, packedBody)
			}
			if !bytes.Equal(plainBody, packedBody) {
				t.Error("the two encodings hold different content")
			}

			head := request(t, h, "HEAD", "/"+name)
			wantStatus(t, head, http.StatusOK)
			if len(body(t, head)) != 0 {
				t.Error("HEAD has a body")
			}
			for field := range plain.Header {
				wantHeader(t, head, field, plain.Header.Get(field))
			}
		})
	}
}

func TestSecurityHeadersAreOnEveryAnswer(t *testing.T) {
	h := serverUnderTest(t, Handler())
	for _, c := range []struct{ method, target string }{
		{"GET", "/playground"},
		{"GET", "/playground/"},
		{"GET", "/playground/assets/none.js"},
		{"POST", "/playground"},
		{"GET", "/playground/THIRD_PARTY_LICENSES.txt"},
	} {
		res := request(t, h, c.method, c.target)
		wantHeader(t, res, "X-Content-Type-Options", "nosniff")
		wantHeader(t, res, "Referrer-Policy", "no-referrer")
		csp := res.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'self';", "frame-ancestors 'none'", "base-uri 'none';"} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s %s: policy %q lacks %q", c.method, c.target, csp, part)
			}
		}
		if strings.Contains(csp, "unsafe-eval") || strings.Contains(csp, "script-src") {
			t.Errorf("the policy loosens scripts: %q", csp)
		}
	}
}

func TestOtherMethodsAreRefused(t *testing.T) {
	h := serverUnderTest(t, Handler())
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
		res := request(t, h, method, "/playground")
		wantStatus(t, res, http.StatusMethodNotAllowed)
		wantHeader(t, res, "Allow", "GET, HEAD")
	}
}

func TestUnknownPathsAreNotFound(t *testing.T) {
	h := Handler() // without a mux, which would clean the paths
	for _, target := range []string{
		"/", "/playgroundx", "/playground/assets/", "/playground/assets/none.js", "/playground/playground.html",
		"/playground/../playground.html", "/playground/assets/../THIRD_PARTY_LICENSES.txt", "/playground.html",
	} {
		res := request(t, h, "GET", target)
		wantStatus(t, res, http.StatusNotFound)
		wantHeader(t, res, "Cache-Control", "no-store")
	}
}

func TestLicencesNameTheEditor(t *testing.T) {
	res := request(t, serverUnderTest(t, Handler()), "GET", "/playground/THIRD_PARTY_LICENSES.txt")
	text := string(body(t, res))
	for _, name := range []string{
		"graphiql ", "react ", "monaco-editor ", "graphql-ws ", "Roboto",
		"Fira Code", "Codicons",
	} {
		if !strings.Contains(text, name) {
			t.Errorf("the licences do not name %q", name)
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"gzip": true, "GZIP": true, "x-gzip": true, "br, gzip;q=0.5": true, "*": true, "gzip ; q=1.000": true,
		"": false, "br": false, "gzip;q=0": false, "gzip;q=0.0": false, "*;q=0": false, "*, gzip;q=0": false,
		"gzip;q=x": false, "gzip;q=2": false, "gzip;q=NaN": false, "notgzip": false, "identity, *;q=0.1": true,
	} {
		if got := acceptsGzip(http.Header{"Accept-Encoding": {header}}); got != want {
			t.Errorf("%q: got %v, want %v", header, got, want)
		}
	}
	if acceptsGzip(http.Header{}) {
		t.Error("a client that says nothing got gzip")
	}
}

func TestDamagedFilesAreNoticed(t *testing.T) {
	for name, content := range map[string]string{"playground.html.gz": "not gzip", "playground/assets/a.exe": "?"} {
		if _, err := newSite(fstest.MapFS{name: {Data: []byte(content)}}); err == nil ||
			!strings.Contains(err.Error(), name) {
			t.Errorf("%s: got error %v, want one that names the file", name, err)
		}
	}
}
