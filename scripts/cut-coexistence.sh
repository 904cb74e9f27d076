#!/usr/bin/env bash
# usage: scripts/cut-coexistence.sh DIRECTORY
# Cuts the coexistence steps out of the tree in DIRECTORY: all that stands between the comments "Coexistence begins." and "Coexistence ends."
# in its Go files. Prints what goes, file by file.
set -euo pipefail
cd "$1"
grep -rl --include='*.go' -e '// Coexistence begins\.$' -e '// Coexistence ends\.$' . | sort | while IFS= read -r file; do
	awk -v file="${file#./}" -v out="$file.cut" '
		/^[ \t]*\/\/ Coexistence begins\.$/ { if (within) wrong(); within = 1; next }
		/^[ \t]*\/\/ Coexistence ends\.$/ { if (!within) wrong(); within = 0; next }
		within { lines++; next }
		{ print > out }
		function wrong() { bad = 1; exit }
		END {
			if (bad || within) { print file ":" NR ": what begins must end, once" > "/dev/stderr"; exit 1 }
			printf "%4d lines of %s\n", lines, file
		}' "$file"
	mv "$file.cut" "$file"
done
