#!/usr/bin/env bash
# Prints where tests should put their databases: into memory where there is room for them, else where temporary files go.
# Databases that live for a second cost a file system more than their statements do.
set -euo pipefail
memory=/dev/shm
room_kb=$((4 * 1024 * 1024))
if [ -w "$memory" ] && [ "$(df -Pk "$memory" | awk 'NR == 2 { print $4 }')" -gt "$room_kb" ] && ! grep -qE " $memory [^ ]+ [^ ]*noexec" /proc/mounts; then
	echo "$memory"
else
	echo "${TMPDIR:-/tmp}"
fi
