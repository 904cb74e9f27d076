package server

import (
	"errors"
	"net/http"

	"github.com/alwaysup/coexist/auth"
)

// guardCallers lets in only callers with valid credentials. A socket may show them later, in its connection_init. Where
// no credentials are configured, everybody is let in, and limits count callers by their address.
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

// refuseCaller answers a request whose credentials are missing, not valid, without a role, or cannot be checked.
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

// guardHost refuses requests whose Host is not a loopback name, if open is set: then everyone who reaches the loopback
// address is an operator, and another site may have pointed its own name at this address.
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
