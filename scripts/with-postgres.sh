#!/usr/bin/env bash
# usage: scripts/with-postgres.sh COMMAND...
# Starts a throwaway PostgreSQL cluster, on a Unix socket only, and runs the command with the URL of its database "postgres"
# in POSTGRES_URL. The cluster ends with the command and leaves nothing behind. Run by root it belongs to postgres or nobody.
set -euo pipefail

bin=
for dir in "$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
	/opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin /home/linuxbrew/.linuxbrew/opt/postgresql@*/bin \
	/Applications/Postgres.app/Contents/Versions/*/bin; do
	if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ]; then bin=$dir; fi
done
if [ -z "$bin" ] && initdb=$(command -v initdb); then bin=$(dirname "$(realpath "$initdb")"); fi
[ -n "$bin" ] || { echo "The server programs of PostgreSQL are missing." >&2; exit 1; }

data=$(mktemp -d /tmp/coexist-pg-XXXXXX) # a socket's path must be short
as=()
if [ "$(id -u)" -eq 0 ]; then
	user=nobody
	if id -u postgres >/dev/null 2>&1; then user=postgres; fi
	chown "$user" "$data"
	as=(setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups)
fi

pid=
clean() {
	local status=$?
	if [ -n "$pid" ]; then
		kill -QUIT "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	fi
	if [ "$status" -ne 0 ]; then
		echo "--- PostgreSQL's log" >&2
		tail -n 20 "$data/log" >&2 || true
	fi
	rm -rf "$data"
	exit "$status"
}
trap clean EXIT
trap 'exit 130' INT TERM

${as[@]+"${as[@]}"} "$bin/initdb" -D "$data/db" -U coexist --auth=trust --encoding=UTF8 --no-sync >"$data/log" 2>&1
${as[@]+"${as[@]}"} "$bin/postgres" -D "$data/db" -c listen_addresses= -c "unix_socket_directories=$data" -c fsync=off \
	-c dynamic_shared_memory_type=mmap >>"$data/log" 2>&1 &
pid=$!
for _ in $(seq 300); do
	kill -0 "$pid" 2>/dev/null || { echo "PostgreSQL has ended." >&2; exit 1; }
	[ -S "$data/.s.PGSQL.5432" ] && "$bin/pg_isready" -q -h "$data" -U coexist -d postgres && ready=1 && break
	sleep 0.1
done
[ -n "${ready:-}" ] || { echo "PostgreSQL is not ready after 30 s." >&2; exit 1; }
chmod 755 "$data"

export POSTGRES_URL="postgres://coexist@/postgres?host=$data&sslmode=disable"
"$@"
