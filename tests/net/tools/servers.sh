#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Servers that tests need, unpacked but not installed: as packages they would start, and the mail servers
# exclude each other. They go to a folder of root's outside the checkout, so that a new checkout without
# a network finds them. What they need of libraries is in tests/packages.
#
#   servers.sh [prometheus]    fetches what is missing, the mail servers of scenario 1 or Prometheus;
#                              prints the folder, or why there is none (status 1)
set -euo pipefail

cache=${SMTPWALL_TEST_CACHE:-/var/cache/smtpwall-test}
if [ "${1-}" = prometheus ]; then
	packages=(prometheus)
	programs=(prometheus/usr/bin/prometheus prometheus/usr/bin/promtool)
else
	packages=(postfix exim4-base exim4-daemon-light opensmtpd)
	programs=(postfix/usr/lib/postfix/sbin/smtp exim4/usr/sbin/exim4 opensmtpd/usr/sbin/smtpd)
fi

complete() {
	local program
	for program in "${programs[@]}"; do
		[ -x "$cache/$program" ] || return 1
	done
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
	for name in "$work/tree"/*; do
		name=${name##*/}
		rm -rf "${cache:?}/$name"
		cp -a "$work/tree/$name" "$cache/.$name.new"
		mv "$cache/.$name.new" "$cache/$name"
	done
fi
echo "$cache"
