package auth

import (
	"net"
	"strings"
)

// IsLoopbackHost reports whether a Host header, with or without a port, names this machine only: localhost, a name
// below localhost, or a loopback address.
func IsLoopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	return net.ParseIP(strings.Trim(host, "[]")).IsLoopback()
}
