#!/usr/bin/env bash
# Installs the server programs of PostgreSQL (initdb, postgres) and PgBouncer, which the tests start by themselves, where they are
# missing and can be installed. Says nothing and does nothing where they are there.
set -euo pipefail

# Where repo/repotest looks for them.
has_programs() {
	local initdb dir
	for dir in \
		"$(initdb=$(command -v initdb) && dirname "$(realpath "$initdb")")" \
		"$(pg_config --bindir 2>/dev/null)" \
		/usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
		/opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin /home/linuxbrew/.linuxbrew/opt/postgresql@*/bin \
		/Applications/Postgres.app/Contents/Versions/*/bin; do
		[ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && return
	done
	return 1
}

has_pooler() {
	command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ]
}

has_programs && has_pooler && exit

fail() {
	echo "The server programs of PostgreSQL, or PgBouncer, are missing, and $1." >&2
	echo "Install the packages postgresql (Debian, Ubuntu), postgresql-server (Fedora) or postgresql@17 (Homebrew), and pgbouncer." >&2
	exit 1
}

if command -v apt-get >/dev/null; then
	root=()
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || fail "installing them needs root or sudo"
		root=(sudo)
	fi
	echo "Installing PostgreSQL's server programs and PgBouncer with apt-get, without creating or starting a cluster."
	# Debian's package would otherwise make a cluster and start it at once.
	conf=/etc/postgresql-common/createcluster.conf
	if [ ! -e "$conf" ]; then
		"${root[@]}" mkdir -p "$(dirname "$conf")"
		echo "create_main_cluster = false" | "${root[@]}" tee "$conf" >/dev/null
	fi
	"${root[@]}" apt-get update -qq
	# A configuration that was there before the package stays.
	"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		-o Dpkg::Options::=--force-confold postgresql pgbouncer
elif command -v brew >/dev/null; then
	echo "Installing PostgreSQL's server programs and PgBouncer with brew. It starts no server."
	brew install --quiet postgresql@17 pgbouncer
else
	fail "there is neither apt-get nor brew to install them"
fi

has_programs && has_pooler || fail "they could not be found after the installation"
