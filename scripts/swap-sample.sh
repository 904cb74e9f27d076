#!/usr/bin/env bash
# Proves that the sample can be deleted and another entity put in its place: does so in a copy, with the memos of
# scripts/testdata/swap, then generates, builds, vets, holds the mapping against its laws, and starts the server. What it
# deletes and what it puts there is all that an entity of your own needs.
set -euo pipefail
cd "$(dirname "$0")/.."
swap=$PWD/scripts/testdata/swap
copy=$(mktemp -d)

server=
clean() {
	[ -z "$server" ] || kill "$server" 2>/dev/null || true
	rm -rf "$copy"
}
trap clean EXIT

scripts/copy-tree.sh "$copy"
cd "$copy"

# The sample goes: its models, its resolvers, its wiring, its block of the schema, and the tests of all that.
rm -r models bench
rm sample.go resolvers/sample.go resolvers/customer*.go resolvers/order*.go
rm -f ./*_test.go resolvers/*_test.go
for file in schema.graphqls gqlgen.yml; do
	grep -q -- '--- the sample domain' $file || { echo "$file has no line that begins the sample." >&2; exit 1; }
	sed -i.old '/--- the sample domain/,$d' $file
	cat "$swap/$file" >>$file
done

# Another entity comes.
cp -r "$swap/models" .
cp "$swap"/resolvers/*.go resolvers
cp "$swap/sample.go" .

go generate ./...
go build -trimpath -o memos .
go vet -trimpath . ./graph ./models ./resolvers
go test -trimpath ./models

env -u DATABASE_URL -u COEXIST_DATABASE_URL ./memos --addr 127.0.0.1:0 --sample 3 2>log &
server=$!
for _ in $(seq 300); do
	url=$(sed -n 's/.* url=\(http[^ ]*\).*/\1/p' log)
	[ -z "$url" ] || break
	kill -0 "$server" 2>/dev/null || { cat log >&2; exit 1; }
	sleep 0.1
done
ask() {
	local answer
	answer=$(curl -sS --max-time 30 -H 'Content-Type: application/json' -d "{\"query\": \"$1\"}" "$url/graphql" | sed 's/,"extensions":{"cost":.*/}/')
	[ "$answer" == "$2" ] || { printf '%s\nis answered\n%s\nand should be\n%s\n' "$1" "$answer" "$2" >&2; exit 1; }
}
ask '{ memoV2(memoId: \"m00001\") { topic headline copy { origin } } }' \
	'{"data":{"memoV2":{"topic":"Plan","headline":"step 1","copy":{"origin":"READ"}}}}'
ask '{ memosV2(first: 2) { totalCount nodes { memoId copy { origin } } } }' \
	'{"data":{"memosV2":{"totalCount":3,"nodes":[{"memoId":"m00000","copy":{"origin":"LIST"}},{"memoId":"m00001","copy":{"origin":"READ"}}]}}}'
ask 'mutation { updateMemoV2(input: {memoId: \"m00001\", labels: [\"a\", \"b\"], pinnedFor: \"now\"}) { labels version } }' \
	'{"data":{"updateMemoV2":{"labels":["a","b"],"version":2}}}'
ask '{ memoV1(memoId: \"m00001\") { title tags } node(id: \"TWVtb1YyOm0wMDAwMQ==\") { id } }' \
	'{"data":{"memoV1":{"title":"Plan: step 1","tags":"a,b"},"node":{"id":"TWVtb1YyOm0wMDAwMQ=="}}}'
echo "The sample is gone, and memos are served in its place."
