package server

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rs/cors"
)

// CheckOrigin returns an error unless the text is an origin, which is a scheme, a host and perhaps a port, or * for all
// origins.
func CheckOrigin(origin string) error {
	u, err := url.Parse(origin)
	whole := err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && origin == u.Scheme+"://"+
		u.Host && !strings.Contains(origin, "*")
	if origin != "*" && !whole {
		return fmt.Errorf(
			"%.100q: an origin is a scheme and a host, and a port where there is one, such as https://shop.example.org",
			origin)
	}
	return nil
}

// origins are the origins, besides the server's own, whose pages may use the server.
type origins []string

// allow reports whether a page of this origin may use a server at host. A request without an Origin header does not
// come from a page, so it is allowed.
func (o origins) allow(origin, host string) bool {
	if origin == "" || slices.Contains(o, "*") || slices.Contains(o, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

// guard refuses requests from pages of other origins, and tells browsers which origins are allowed.
func (o origins) guard(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { refuseOrigin(w) }))
	for _, origin := range o {
		if origin == "*" {
			continue
		}
		if err := protection.AddTrustedOrigin(origin); err != nil {
			panic(err) // cannot happen: Options.Validate has checked the origin
		}
	}
	guarded := protection.Handler(next)
	if slices.Contains(o, "*") {
		guarded = next // every caller needs a token, which a browser does not send by itself
	}
	if len(o) == 0 {
		return guarded
	}
	return cors.New(cors.Options{
		AllowedOrigins: o,
		AllowedMethods: []string{http.MethodGet, http.MethodPost},
		AllowedHeaders: []string{
			"Accept", "Content-Type", "Authorization", requestIDHeader,
			"apollographql-client-name", "apollographql-client-version", "x-client-name", "x-client-version",
			"apollo-require-preflight",
		},
		ExposedHeaders: []string{requestIDHeader, "Retry-After"},
		MaxAge:         600,
	}).Handler(guarded)
}

func refuseOrigin(w http.ResponseWriter) {
	refuse(w, http.StatusForbidden, CodeForbidden,
		"a page of another origin may not use this server: allow it with --cors-origin")
}
