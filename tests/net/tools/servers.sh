#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The mail servers of scenario 1, unpacked but not installed: as packages they exclude each other, and
# each would start. They go to a folder of root's outside the checkout, so that a new checkout without
# a network finds them. What they need of libraries is in tests/packages.
#
#   servers.sh          fetches what is missing; prints the folder, or why there is none (status 1)
set -euo pipefail

cache=${SMTPWALL_TEST_CACHE:-/var/cache/smtpwall-test}
packages=(postfix exim4-base exim4-daemon-light opensmtpd)

complete() {
	[ -x "$cache/postfix/usr/lib/postfix/sbin/smtp" ] &&
		[ -x "$cache/exim4/usr/sbin/exim4" ] &&
		[ -x "$cache/opensmtpd/usr/sbin/smtpd" ]
}

fetch() { # FOLDER
	cd "$1"
	apt-get -qq -o APT::Sandbox::User=root download "${packages[@]}" 2>&1 ||
		{ apt-get -qq update && apt-get -qq -o APT::Sandbox::User=root download "${packages[@]}"; } 2>&1
}

unpack() { # FOLDER
	local deb name
	for deb in "$1"/*.deb; do
		name=$(dpkg-deb -f "$deb" Package)
		dpkg-deb -x "$deb" "$1/tree/${name%%-*}"
	done
}

if ! complete; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	if ! message=$(fetch "$work"); then
		echo "the packages ${packages[*]} cannot be fetched: ${message//$'\n'/; }"
		exit 1
	fi
	mkdir -p "$work/tree"
	unpack "$work"
	mkdir -p "$cache"
	chmod 755 "$cache"
	# One that died half way must not count as complete: folders appear whole.
	for name in postfix exim4 opensmtpd; do
		rm -rf "${cache:?}/$name"
		cp -a "$work/tree/$name" "$cache/.$name.new"
		mv "$cache/.$name.new" "$cache/$name"
	done
fi
echo "$cache"
