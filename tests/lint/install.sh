#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `make install` puts everything where it belongs, `make uninstall` takes it away again and leaves
# the administrator's files.
# shellcheck source=lib.bash
. "$(dirname "$0")/lib.bash"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
variant=()
[ "${build##*/}" != build-sanitize ] || variant=(SANITIZE=1)

target() { # install or uninstall
	make --no-print-directory "${variant[@]}" "$1" DESTDIR="$scratch" PREFIX=/opt/smtpwall >"$scratch.log" 2>&1 ||
		cat "$scratch.log"
	rm -f "$scratch.log"
}

expected() {
	printf '%s\n' 755:sbin/smtpwall 755:sbin/smtpwalld 644:lib/systemd/system/smtpwalld.service \
		644:share/man/man8/smtpwall.8 644:share/man/man8/smtpwalld.8 \
		644:share/man/man5/smtpwall.policy.5 644:share/bash-completion/completions/smtpwall
	for policy in policies/*; do echo "644:share/smtpwall/$policy"; done
	printf '644:share/smtpwall/monitoring/%s\n' smtpwall-alerts.yml smtpwall-dashboard.json
}

installs() {
	target install
	diff <(expected | sort) <(cd "$scratch/opt/smtpwall" && find . -type f -printf '%m:%P\n' | sort)
	grep -q '^ExecStart=/opt/smtpwall/sbin/smtpwalld' "$scratch/opt/smtpwall/lib/systemd/system/smtpwalld.service" ||
		echo "the unit does not start the installed daemon"
}

uninstalls() {
	: >"$scratch/etc/smtpwall/policy"
	target uninstall
	find "$scratch" -type f ! -path "$scratch/etc/smtpwall/policy"
	[ -e "$scratch/etc/smtpwall/policy" ] || echo "the policy in force is gone"
}

ok_unless "install puts every file in its place" installs
ok_unless "uninstall removes them and keeps the policy" uninstalls
finish
