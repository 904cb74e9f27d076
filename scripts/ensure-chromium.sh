#!/usr/bin/env bash
# Installs Chromium, which the browser tests drive, where neither it nor Chrome is there and it can be installed. Says
# nothing and does nothing where it is.
set -euo pipefail

has_browser() {
	local name
	for name in chromium chromium-browser google-chrome google-chrome-stable; do
		command -v "$name" >/dev/null && return
	done
	[ -x "/Applications/Chromium.app/Contents/MacOS/Chromium" ] ||
		[ -x "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" ]
}

has_browser && exit

fail() {
	echo "Chromium is missing, and $1." >&2
	echo "Install the package chromium (Debian, Fedora; Homebrew as a cask) or chromium-browser (Ubuntu)." >&2
	exit 1
}

if command -v apt-get >/dev/null; then
	root=()
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || fail "installing it needs root or sudo"
		root=(sudo)
	fi
	echo "Installing Chromium with apt-get."
	"${root[@]}" apt-get update -qq
	"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium
elif command -v brew >/dev/null; then
	echo "Installing Chromium with brew."
	brew install --quiet --cask chromium
else
	fail "there is neither apt-get nor brew to install it"
fi

has_browser || fail "it could not be found after the installation"
