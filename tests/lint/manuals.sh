#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Manual pages and the systemd unit, as the programs that will read them see them.
# shellcheck source=lib.bash
. "$(dirname "$0")/lib.bash"

mapfile -t pages < <(files '*.[1-8]')
unit=daemon/smtpwalld.service

page_warnings() {
	[ ${#pages[@]} -eq 0 ] && echo "no manual page found" && return
	mandoc -T lint -W warning "${pages[@]}"
}

groff_warnings() {
	local page
	for page in "${pages[@]}"; do
		MANWIDTH=80 man --warnings --local-file --encoding=UTF-8 "$page" 2>&1 >/dev/null | sed "s,^,$page: ,"
	done
}

# The unit as it will be installed, but with the program that was just built.
unit_copy() {
	local folder
	folder=$(mktemp -d)
	sed "s,/usr/sbin/smtpwalld,$build/smtpwalld," "$unit" >"$folder/smtpwalld.service"
	echo "$folder"
}

# Other units of the machine may have faults of their own.
unit_verify() {
	local folder
	folder=$(unit_copy)
	systemd-analyze verify --man=no "$folder/smtpwalld.service" 2>&1 | grep -F smtpwalld
	rm -rf "$folder"
	return 0
}

# A smaller number is better: 10 is a unit without any hardening.
unit_exposure() {
	local folder said
	folder=$(unit_copy)
	said=$(systemd-analyze security --offline=true --no-pager --threshold=25 "$folder/smtpwalld.service" 2>&1) ||
		printf '%s\n' "$said" | tail -n 60
	rm -rf "$folder"
}

ok_unless "mandoc finds nothing in the manual pages" page_warnings
ok_unless "man finds nothing in the manual pages" groff_warnings
if command -v systemd-analyze >/dev/null; then
	ok_unless "systemd accepts the unit" unit_verify
	ok_unless "the unit's exposure is at most 2.5 of 10" unit_exposure
else
	skip "systemd accepts the unit" "no systemd-analyze here"
fi
finish
