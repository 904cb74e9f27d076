// Package playground serves the GraphQL playground, a web page.
//
// The pages are built from the sources beside this file (see README.md) and embedded, so the server needs neither node
// nor the internet to show them. They are embedded compressed. A client that accepts gzip gets them as they are.
package playground

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"
	"sync"
)

//go:embed all:dist
var dist embed.FS

// contentSecurityPolicy lets a page load nothing from elsewhere and run no inline script. The editor needs inline
// styles, fonts and images in data URLs, and workers. ws: and wss: are named because older browsers do not count a
// WebSocket of the same origin as 'self'.
const contentSecurityPolicy = "default-src 'self'; " +
	"style-src 'self' 'unsafe-inline'; " +
	"img-src 'self' data:; " +
	"font-src 'self' data:; " +
	"worker-src 'self' blob:; " +
	"connect-src 'self' ws: wss:; " +
	"object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// playgroundPath is the path of the page. Everything that the page loads is below it.
const playgroundPath = "/playground"

var loadSite = sync.OnceValues(func() (site, error) {
	root, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, err
	}
	return newSite(root)
})

// Handler returns the handler of the GraphQL playground. Mount it at both "/playground" and "/playground/", without
// stripping the prefix:
//
//	/playground                            the page
//	/playground/                           redirects to it
//	/playground/assets/…                   scripts, styles, fonts; named by their content
//	/playground/THIRD_PARTY_LICENSES.txt   what the page is made of
//
// The page speaks to /graphql on the same host, over POST and WebSocket. The handler answers only GET and HEAD. Nothing
// here needs credentials: the page holds no data, and /graphql decides what it may ask for.
//
// Handler panics if the embedded files are damaged, which is a fault of the build.
func Handler() http.Handler {
	s, err := loadSite()
	if err != nil {
		panic("playground: the embedded files are damaged, rebuild them: " + err.Error())
	}
	return playground(s)
}

func playground(s site) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setSecurityHeaders(w.Header())
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "use GET", http.StatusMethodNotAllowed)
			return
		}
		if r.URL.Path == playgroundPath+"/" {
			// The target is relative, so it is also right behind a proxy that adds a prefix.
			target := "../playground"
			if r.URL.RawQuery != "" {
				target += "?" + r.URL.RawQuery
			}
			w.Header().Set("Location", target)
			w.WriteHeader(http.StatusPermanentRedirect)
			return
		}
		a, found := s[fileOf(r.URL.Path)]
		if !found {
			w.Header().Set("Cache-Control", "no-store")
			http.Error(w, "not found", http.StatusNotFound)
			return
		}
		a.serve(w, r)
	})
}

// fileOf returns the name under which a path's file is built, or "" for a path that is not ours.
func fileOf(urlPath string) string {
	if urlPath == playgroundPath {
		return "playground.html"
	}
	if strings.HasPrefix(urlPath, playgroundPath+"/") {
		return urlPath[1:]
	}
	return ""
}

func setSecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}
