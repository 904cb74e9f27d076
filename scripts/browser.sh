#!/usr/bin/env bash
# usage: scripts/browser.sh SERVER
# Starts the server on a free port and a new sample database, runs the browser tests against it, and stops it.
set -euo pipefail
server=$(realpath "${1:?usage: scripts/browser.sh SERVER}")
cd "$(dirname "$0")/../playground"

work=$(mktemp -d)
pid=
clean() {
	local status=$?
	if [ -n "$pid" ]; then
		kill "$pid" 2>/dev/null || true
		wait "$pid" || true
	fi
	if [ "$status" -ne 0 ]; then
		echo "--- the server's log" >&2
		tail -n 50 "$work/log" >&2 || true
	fi
	rm -rf "$work"
	exit "$status"
}
trap clean EXIT

port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })')
url=http://127.0.0.1:$port

# Without a database of its own the server makes coexist.db where it stands, and fills it with sample data.
(
	cd "$work"
	unset DATABASE_URL COEXIST_DATABASE_URL
	COEXIST_ADDR=127.0.0.1:$port exec "$server" serve
) >"$work/log" 2>&1 &
pid=$!

for _ in $(seq 300); do
	kill -0 "$pid" 2>/dev/null || { echo "The server has ended." >&2; exit 1; }
	curl -fs -o /dev/null --max-time 5 "$url/readyz" && ready=1 && break
	sleep 0.1
done
[ -n "${ready:-}" ] || { echo "The server is not ready after 30 s." >&2; exit 1; }

# The pages are tested where most happens: customers in MIGRATE. Nothing was rehearsed, hence the force.
graphql() {
	local answer
	answer=$(curl -sS --max-time 30 -H 'Content-Type: application/json' -d "{\"query\": \"$1\"}" "$url/graphql")
	echo "$answer"
	[[ $answer != *'"errors"'* ]] || { echo "$1 was refused: $answer" >&2; return 1; }
}
if [[ $(graphql '{ migration(entity: CUSTOMER) { phase } }') != *MIGRATE* ]]; then
	graphql 'mutation { setPhase(input: {entity: CUSTOMER, to: MIGRATE, force: true, reason: \"browser tests\"}) { migration { phase } } }'
fi

for browser in chromium chromium-browser google-chrome google-chrome-stable \
	"/Applications/Chromium.app/Contents/MacOS/Chromium" "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
	CHROMIUM=${CHROMIUM:-$(command -v "$browser" || true)}
done
export CHROMIUM SCREENSHOTS=${SCREENSHOTS:-$PWD/../bin/screenshots}
mkdir -p "$SCREENSHOTS"
node e2e/playground.mjs "$url"
