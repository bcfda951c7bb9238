#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Debian's kernels for the virtual machines, unpacked to FOLDER/VERSION (boot/ and lib/modules/).
# What was fetched before is used again, so a second run needs no network; remove the folder to get
# newer ones.
#
#   kernels.sh FOLDER VERSION...     VERSION is 6.1 or 6.12; exit 1 and the reason when not to be had
set -euo pipefail

# The metapackage always depends on the newest build of its series.
metapackage() {
	case $1 in
	6.1) echo linux-image-cloud-amd64 ;;
	6.12) echo linux-image-6.12-cloud-amd64 ;;
	*) echo "no kernel $1 is known here" >&2 && return 1 ;;
	esac
}

newest() { # VERSION -> package name
	apt-cache depends "$(metapackage "$1")" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p'
}

download() { # VERSION FOLDER
	local package
	package=$(newest "$1")
	[ -n "$package" ] || { echo "apt knows no kernel $1" && return 1; }
	# apt hands the download to its own user, who may not write here; it says so and goes on as root.
	(cd "$2" && apt-get -qq -o APT::Sandbox::User=root download "$package")
}

# Called in a condition, where bash does not end at the first failure.
fetch() { # VERSION FOLDER
	local to=$2/$1 part=$2/$1.part
	[ ! -d "$to" ] || return 0
	rm -rf "$part" && mkdir -p "$part" || return 1
	# Package lists that are absent or stale name no file that exists any more.
	download "$1" "$part" || { apt-get -qq update && download "$1" "$part"; } || return 1
	dpkg -x "$part"/*.deb "$part" && rm "$part"/*.deb && mv "$part" "$to"
}

folder=$1 && shift
exec 9>"$folder/lock"
flock 9
for version; do
	if ! message=$(fetch "$version" "$folder" 2>&1); then
		printf 'kernel %s cannot be fetched: %s\n' "$version" "$(tail -n 1 <<<"$message")" >&2
		exit 1
	fi
done
