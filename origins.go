package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/rs/cors"
)

// originFlags say which web pages of other origins may use the server.
type originFlags struct {
	CORSOrigin []string `name:"cors-origin" placeholder:"ORIGIN" sep:"," help:"Origins whose pages may use the server, such as https://shop.example.org, separated by commas; * for all, which needs credentials. Default: none but the server's own."`
}

// Validate is called by kong.
func (f *originFlags) Validate() error {
	for _, origin := range f.CORSOrigin {
		u, err := url.Parse(origin)
		whole := err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && origin == u.Scheme+"://"+u.Host && !strings.Contains(origin, "*")
		if origin != "*" && !whole {
			return fmt.Errorf("--cors-origin has %.100q: an origin is a scheme and a host, and a port where there is one, such as https://shop.example.org", origin)
		}
	}
	return nil
}

// origins are the origins, besides the server's own, whose pages may use it.
type origins []string

// origins returns those of the flags. It fails where every page would be an operator.
func (f *originFlags) origins(auth *authenticator) (origins, error) {
	if auth.open() && slices.Contains(f.CORSOrigin, "*") {
		return nil, errors.New("refusing --cors-origin=* without credentials, since every page in a browser here would be an operator: name the origins, or give --tokens-file or --oidc-issuer")
	}
	return f.CORSOrigin, nil
}

// allow reports whether a page of an origin may use a server at host. What sends no origin is no page.
func (o origins) allow(origin, host string) bool {
	if origin == "" || slices.Contains(o, "*") || slices.Contains(o, origin) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

// guard refuses what pages of other origins send, and tells browsers about those that may.
func (o origins) guard(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { refuseOrigin(w) }))
	for _, origin := range o {
		if origin == "*" {
			continue
		}
		if err := protection.AddTrustedOrigin(origin); err != nil {
			panic(err) // the flags were validated
		}
	}
	guarded := protection.Handler(next)
	if slices.Contains(o, "*") {
		guarded = next // whoever asks needs a token, which a page does not have by itself
	}
	if len(o) == 0 {
		return guarded
	}
	return cors.New(cors.Options{
		AllowedOrigins: o,
		AllowedMethods: []string{http.MethodGet, http.MethodPost},
		AllowedHeaders: []string{
			"Accept", "Content-Type", "Authorization", requestIDHeader,
			"apollographql-client-name", "apollographql-client-version", "x-client-name", "x-client-version", "apollo-require-preflight",
		},
		ExposedHeaders: []string{requestIDHeader, "Retry-After"},
		MaxAge:         600,
	}).Handler(guarded)
}

func refuseOrigin(w http.ResponseWriter) {
	refuse(w, http.StatusForbidden, codeForbidden, "a page of another origin may not use this server: --cors-origin lets it")
}
