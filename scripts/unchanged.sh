#!/usr/bin/env bash
# usage: scripts/unchanged.sh COMMAND...
# Runs the command and fails if it changed, added or removed a file that git does not ignore: what is generated has to be
# committed as it is generated. Changes that were there before do not matter.
set -euo pipefail
cd "$(dirname "$0")/.."

state() {
	# A file that is tracked but gone has no hash.
	git ls-files -z --cached --others --exclude-standard | sort -zu | while IFS= read -r -d '' file; do
		[ ! -f "$file" ] || printf '%s %s\n' "$(git hash-object --no-filters -- "$file")" "$file"
	done
}

before=$(state)
"$@"
if ! difference=$(diff <(echo "$before") <(state)); then
	echo "$* has changed these files; commit them:" >&2
	echo "$difference" | sed -n 's/^[<>] [0-9a-f]* /  /p' | sort -u >&2
	exit 1
fi
