#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Installs the packages of tests/packages that this machine lacks, and says which. With all of them
# there it needs neither root nor a network. Never removes a package.
#
#   packages.sh [build]      build: only what building needs
set -euo pipefail

list=$(dirname "$0")/packages

wanted() { # PART, or nothing for all
	awk -v part="${1-}" '
		/^\[/ { here = $1; next }
		/^[a-z0-9]/ && (part == "" || here == "[" part "]") { print $1 }' "$list"
}

missing() {
	comm -23 <(wanted "$@" | sort -u) \
		<(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort -u)
}

mapfile -t packages < <(missing "$@")
[ ${#packages[@]} -gt 0 ] || exit 0

echo "installing from Debian: ${packages[*]}"
if [ "$(id -u)" -ne 0 ]; then
	echo "packages.sh: this needs root" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# A machine without package lists, or with old ones, knows no package or asks for files that are gone.
install=(apt-get -qq -y --no-install-recommends --no-remove -o Dpkg::Use-Pty=0 install "${packages[@]}")
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! "${install[@]}" >"$log" 2>&1 && ! { apt-get -qq update && "${install[@]}"; } >"$log" 2>&1; then
	cat "$log" >&2
	exit 1
fi
