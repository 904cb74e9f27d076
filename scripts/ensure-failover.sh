#!/usr/bin/env bash
# Installs Patroni, etcd and HAProxy, which make failover starts by itself, where they are missing and can be installed. Says
# nothing and does nothing where they are there.
set -euo pipefail

missing=()
command -v patroni >/dev/null || missing+=(patroni)
command -v etcd >/dev/null || missing+=(etcd-server)
command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || missing+=(haproxy)
[ ${#missing[@]} -gt 0 ] || exit 0

fail() {
	echo "${missing[*]} are missing, and $1." >&2
	echo "Install Debian's packages patroni, etcd-server and haproxy, or what your system has in their place." >&2
	exit 1
}

command -v apt-get >/dev/null || fail "there is no apt-get to install them"
root=()
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || fail "installing them needs root or sudo"
	root=(sudo)
fi
echo "Installing ${missing[*]} with apt-get, without leaving their services running."
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" python3-etcd
if command -v systemctl >/dev/null; then
	for package in "${missing[@]}"; do
		"${root[@]}" systemctl disable --now "${package%-server}" 2>/dev/null || true # there may be no systemd
	done
fi
