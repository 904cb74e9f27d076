#!/usr/bin/env bash
# usage: scripts/fuzz.sh TIME
# Fuzzes each target of each package for the time, such as 10s. An input that fails is kept in the package's testdata/fuzz:
# commit it with the fix.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:?usage: scripts/fuzz.sh TIME}

for package in $(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...); do
	# The last line that go test -list prints is not a target.
	for target in $(go test -list '^Fuzz' "$package" | sed -n '/^Fuzz/p'); do
		echo "--- $package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package"
	done
done
