package auth

import "testing"

func TestLoopbackHosts(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "localhost:8080": true, "LOCALHOST.": true, "x.localhost:1": true, "127.0.0.1:8080": true,
		"127.9.9.9": true, "[::1]:8080": true, "[::1]": true,
		"": false, "evil.example": false, "evil.example:8080": false, "10.0.0.1": false,
		"localhost.evil.example": false, "127.0.0.1.evil.example": false,
	} {
		if got := IsLoopbackHost(host); got != want {
			t.Errorf("%q: got %v", host, got)
		}
	}
}

func TestRolesHaveNames(t *testing.T) {
	for _, role := range []Role{Reader, Writer, Operator} {
		if got, err := ParseRole(role.String()); got != role || err != nil {
			t.Errorf("%s: %v, %v", role, got, err)
		}
	}
	if got, err := ParseRole("none"); err == nil {
		t.Errorf("none: %v", got)
	}
}
