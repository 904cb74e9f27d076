#!/usr/bin/env bash
# usage: scripts/copy-tree.sh DIRECTORY
# Copies the tree as it is, committed or not, but for what git ignores.
set -euo pipefail
cd "$(dirname "$0")/.."
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
	[ ! -f "$file" ] || printf '%s\0' "$file"
done | tar --null -T - -cf - | tar -xf - -C "$1"
