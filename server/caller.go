package server

import (
	"errors"
	"net/http"

	"github.com/alwaysup/coexist/auth"
)

// guardCallers lets callers in who show credentials. A socket may show them later, in its connection_init.
func guardCallers(a *auth.Authenticator, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := r.Header.Get("Authorization")
		if header == "" && isSocket(r) && !a.Open() {
			next.ServeHTTP(w, r)
			return
		}
		c, err := a.Authenticate(r.Context(), header)
		if err != nil {
			refuseCaller(w, err)
			return
		}
		if a.Open() {
			c.Client = addressOf(r.RemoteAddr)
		}
		next.ServeHTTP(w, r.WithContext(auth.WithCaller(r.Context(), c)))
	})
}

// refuseCaller answers a request whose credentials are missing, not good, or cannot be looked at.
func refuseCaller(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, auth.ErrProvider):
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusServiceUnavailable, CodeUnavailable, err.Error())
		return
	case errors.Is(err, auth.ErrNoRole):
		refuse(w, http.StatusForbidden, CodeForbidden, err.Error())
		return
	}
	challenge := `Bearer realm="coexist"`
	if !errors.Is(err, auth.ErrNoCredentials) {
		challenge += `, error="invalid_token"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	refuse(w, http.StatusUnauthorized, CodeUnauthenticated, err.Error())
}

// guardHost refuses host names that are not loopback ones where everyone who reaches a loopback address is an operator:
// a page of another site may have had its own name point here.
func guardHost(open bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if open && !auth.IsLoopbackHost(r.Host) {
			refuse(w, http.StatusForbidden, CodeForbidden,
				"without credentials this server answers only to loopback names, such as 127.0.0.1 and localhost")
			return
		}
		next.ServeHTTP(w, r)
	})
}
