#!/usr/bin/env bash
# usage: scripts/serial-lists.sh FILE
# Lets the code that gqlgen has generated marshal lists by marshalList (graph/list.go), without a goroutine for each element.
set -euo pipefail
grep -q 'graphql\.MarshalSliceConcurrently(' "$1" || { echo "$1 marshals no list as gqlgen does: see whether gqlgen has another name for it." >&2; exit 1; }
sed -i.old 's/graphql\.MarshalSliceConcurrently(/marshalList(/' "$1"
rm "$1.old"
