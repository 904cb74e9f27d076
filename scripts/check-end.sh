#!/usr/bin/env bash
# Proves that the coexistence steps can go: cuts them out of a copy, builds it, and lets it serve V2 without V1's tables. First the tests of V2
# alone, of the engine and of the API; then two databases that were migrated here, whose V1 tables are dropped: what was answered before is
# answered after.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD
TMPDIR=$(scripts/tmpdir.sh)
export TMPDIR
work=$(mktemp -d)

server=
clean() {
	[ -z "$server" ] || kill "$server" 2>/dev/null || true
	rm -rf "$work"
}
trap clean EXIT

mkdir "$work/tree"
scripts/copy-tree.sh "$work/tree"
echo "What goes:"
scripts/cut-coexistence.sh "$work/tree"
go build -trimpath -o "$work/before" .
cd "$work/tree"
go build -trimpath -o "$work/after" .
COEXIST_TEST_WITHOUT_V1=1 go test -trimpath -vet=off -count=1 -run 'TestV2Alone$' -v ./repo ./resolvers >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
grep -E '^ *(--- |ok)' "$work/log"
[ "$(grep -cE '^ *--- PASS: TestV2Alone/(sqlite|postgres) ' "$work/log")" -eq 4 ] || { echo "TestV2Alone has not run on both databases." >&2; exit 1; }
cd "$work"

# usage: answers PROGRAM URL: what it answers about V2.
answers() {
	local url= log=$work/log
	env -u DATABASE_URL COEXIST_DATABASE_URL="$2" "$1" --addr 127.0.0.1:0 2>"$log" &
	server=$!
	for _ in $(seq 300); do
		url=$(sed -n 's/.* url=\(http[^ ]*\).*/\1/p' "$log")
		[ -z "$url" ] || break
		kill -0 "$server" 2>/dev/null || { cat "$log" >&2; exit 1; }
		sleep 0.1
	done
	curl -sS --max-time 60 -H 'Content-Type: application/json' --data-binary @"$here/scripts/testdata/end/query.json" "$url/graphql"
	kill "$server"
	wait "$server" || true
	server=
}

# usage: alone URL: lets a database go all the way, drops its V1 tables, and compares what is answered before and after.
alone() {
	local url=$1
	run() { env -u DATABASE_URL COEXIST_DATABASE_URL="$url" "$work/before" "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }; }
	run seed --sample 50
	for entity in CUSTOMER ORDER; do
		run rehearse "$entity"
		run phase "$entity" MIGRATE --force --reason "a check"
		run sweep "$entity"
		run verify "$entity"
		run phase "$entity" CUTOVER --force --reason "a check"
		run verify "$entity"
	done
	for entity in ORDER CUSTOMER; do run phase "$entity" CONTRACT --force --reason "a check"; done
	answers "$work/before" "$url" >"$work/answer.before"
	grep -q '"totalCount":50' "$work/answer.before" || { cat "$work/answer.before" >&2; exit 1; }
	(cd "$here" && go run -trimpath ./scripts/testdata/end "$url")
	answers "$work/after" "$url" >"$work/answer.after"
	cmp "$work/answer.before" "$work/answer.after" || { head -c 1000 "$work/answer.after" >&2; exit 1; }
}

alone "sqlite:$work/end.db"
alone "$POSTGRES_URL"
echo "V2 is served without V1's tables and without the steps of coexistence, and answers as before."
