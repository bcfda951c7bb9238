#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# run.sh - what `sudo make run` does once everything is built: picks the policy that fits the mail
# server of this machine, says what it will refuse, runs smtpwalld in the foreground and shows each
# refusal as it happens. Ctrl-C ends the daemon; enforcement goes on, and the last lines say how to
# take it off.
#
#     POLICY=FILE daemon/run.sh [--check] [OPTION OF smtpwalld...]
#
# With --check it ends before anything is attached. With --cgroup, --run-dir, --state-dir and --pin-dir
# it runs beside another instance.
# Exit codes: 0 ended by Ctrl-C, 1 the policy is wrong or a daemon runs already, 2 wrong usage,
# 4 the kernel or the rights of the caller do not allow it.

set -u

here=$(cd "$(dirname "$0")" && pwd) || exit 4
tree=$(dirname "$here")
build=${SW_BUILD:-$tree/build}
policies=${SW_POLICIES:-$tree/policies}
policy=${POLICY:-}
run_dir=
pin_dir=
cgroup=
check=
daemon=

die() {
	code=$1
	shift
	printf 'smtpwall: %s\n' "$@" >&2
	exit "$code"
}

usage() {
	sed -n '/^#     POLICY/,/^$/s/^# \{0,1\}//p' "$0"
}

# ---- may it run here? ----

cgroup2_root() {
	awk '{ for (i = 7; i < NF; i++) if ($i == "-" && $(i + 1) == "cgroup2" && $4 == "/") { print $5; exit } }' \
		/proc/self/mountinfo
}

kernel_is_new_enough() {
	version=$(uname -r)
	major=${version%%.*}
	minor=${version#*.}
	minor=${minor%%[!0-9]*}
	[ "$major" -gt 6 ] || { [ "$major" -eq 6 ] && [ "$minor" -ge 1 ]; }
}

check_machine() {
	[ "$(id -u)" -eq 0 ] ||
		die 4 'this attaches programs to the kernel and needs root: sudo make run'
	kernel_is_new_enough ||
		die 4 "this kernel is $(uname -r); smtpwall needs 6.1 or newer (Debian 12 has it)"
	[ -r /sys/kernel/btf/vmlinux ] ||
		die 4 'this kernel has no type information (/sys/kernel/btf/vmlinux); it must be built with CONFIG_DEBUG_INFO_BTF'
	[ -n "$cgroup" ] || cgroup=$(cgroup2_root)
	[ -n "$cgroup" ] ||
		die 4 'no cgroup2 file system is mounted: mount -t cgroup2 none /sys/fs/cgroup (systemd does this by itself)'
	[ -r "$cgroup/cgroup.procs" ] || die 4 "$cgroup is not a cgroup2 folder"
	for program in smtpwalld smtpwall; do
		[ -x "$build/$program" ] || die 4 "$build/$program is not there: run make first"
	done
	! "$build/smtpwall" ${run_dir:+--run-dir "$run_dir"} status >/dev/null 2>&1 ||
		die 1 'smtpwalld runs here already. To change its policy: smtpwall apply FILE. To end it: smtpwall stop'
}

mount_bpffs() {
	[ -z "$pin_dir" ] || return 0
	[ "$(stat -f -c %t /sys/fs/bpf 2>/dev/null)" != cafe4a11 ] || return 0
	printf 'Mounting the BPF file system at /sys/fs/bpf.\n'
	mount -t bpf bpf /sys/fs/bpf || die 4 'no BPF file system at /sys/fs/bpf, and it could not be mounted'
}

# ---- which policy? ----

# What Debian calls it, its policy, the program that delivers, the program that runs all the time,
# the name of its service.
mail_servers='Postfix|relay-postfix|/usr/lib/postfix/sbin/smtp|/usr/lib/postfix/sbin/master|postfix
Exim|relay-exim|/usr/sbin/exim4|/usr/sbin/exim4|exim4
OpenSMTPD|relay-opensmtpd|/usr/sbin/smtpd|/usr/sbin/smtpd|opensmtpd'

installed() {
	printf '%s\n' "$mail_servers" | while IFS='|' read -r name file program main service; do
		[ ! -x "$program" ] || printf '%s|%s|%s|%s|%s\n' "$name" "$file" "$program" "$main" "$service"
	done
}

# A process of a container may run a file of the same name, hence the look at its mount namespace.
is_running() {
	mine=$(readlink /proc/self/ns/mnt)
	for process in /proc/[0-9]*; do
		case $(readlink "$process/exe" 2>/dev/null) in
		"$1" | "$1 (deleted)") [ "$(readlink "$process/ns/mnt" 2>/dev/null)" != "$mine" ] || return 0 ;;
		esac
	done
	return 1
}

is_enabled() {
	for link in "/etc/systemd/system/multi-user.target.wants/$1.service" /etc/rc[2-5].d/S[0-9][0-9]"$1"; do
		[ ! -L "$link" ] || return 0
	done
	return 1
}

# The lines of $1 whose service runs or, if none does, is enabled, or all of them; and why.
narrow() {
	why='running'
	taken=$(printf '%s\n' "$1" | while IFS='|' read -r name file program main service; do
		! is_running "$main" || printf '%s|%s|%s|%s|%s\n' "$name" "$file" "$program" "$main" "$service"
	done)
	[ -z "$taken" ] || return 0
	why='enabled at boot'
	taken=$(printf '%s\n' "$1" | while IFS='|' read -r name file program main service; do
		! is_enabled "$service" || printf '%s|%s|%s|%s|%s\n' "$name" "$file" "$program" "$main" "$service"
	done)
	[ -z "$taken" ] || return 0
	why=installed
	taken=$1
}

names_of() {
	printf '%s\n' "$1" | cut -d'|' -f1 | paste -sd, | sed 's/,/, /g'
}

pick_policy() {
	found=$(installed)
	if [ -z "$found" ]; then
		printf 'No mail server is installed here (looked for Postfix, Exim and OpenSMTPD).\n'
		policy=$policies/no-mail-server.policy
		return
	fi
	if [ "$(printf '%s\n' "$found" | wc -l)" -eq 1 ]; then
		printf 'The mail server of this machine is %s.\n' "$(names_of "$found")"
		taken=$found
	else
		narrow "$found"
		printf 'Several mail servers are installed: %s. ' "$(names_of "$found")"
		if [ "$(printf '%s\n' "$taken" | wc -l)" -eq 1 ]; then
			printf '%s is taken: no other one is %s.\n' "$(names_of "$taken")" "$why"
		else
			taken=$(printf '%s\n' "$taken" | head -n 1)
			printf '%s is taken, the first of those that are %s; another choice: make run POLICY=FILE.\n' \
				"$(names_of "$taken")" "$why"
		fi
	fi
	policy=$policies/$(printf '%s\n' "$taken" | cut -d'|' -f2).policy
}

# ---- what will it do? ----

# From the canonical text: one statement a line.
explain() {
	"$build/smtpwall" fmt "$policy" | awk -v cgroup="$cgroup" '
	function named(list,    n, i, part, out) {
		n = split(list, part, /, */)
		for (i = 1; i <= n; i++)
			out = out (i > 1 ? ", " : "") part[i] (part[i] in meaning ? " (" meaning[part[i]] ")" : "")
		return out
	}
	function tell(rule,    text, from, to, who) {
		if (match(rule, /"([^"\\]|\\.)*"/) && rule ~ /^reject "/) {
			text = ": " substr(rule, RSTART, RLENGTH)
			rule = "reject" substr(rule, RSTART + RLENGTH)
		}
		if (match(rule, / to /)) {
			to = substr(rule, RSTART + 4)
			rule = substr(rule, 1, RSTART - 1)
			if (match(to, / from /)) {
				from = substr(to, RSTART + 6)
				to = substr(to, 1, RSTART - 1)
			}
		}
		if (match(rule, / from /)) {
			from = substr(rule, RSTART + 6)
			rule = substr(rule, 1, RSTART - 1)
		}
		who = from ? named(from) : to || !told++ ? "everybody" : "everybody else"
		sub(/^local$/, "this machine itself", to)
		if (to) who = who ", to " named(to)
		if (rule == "allow") what = "may connect"
		else if (rule == "audit") what = "may connect, and is recorded"
		else if (rule ~ /^require tls/) what = "may connect, if TLS comes first (" rule ")"
		else if (rule ~ /^redirect /) what = "is connected to " substr(rule, 10) " instead"
		else what = "is refused" text
		told++
		printf "    %s: %s\n", who, what
	}
	{ sub(/^[ \t]+/, ""); sub(/[ \t]+#[^"]*$/, "") }
	/^#/ || /^$/ { next }
	/^(who|net) / && !depth {
		name = $2
		sub(/^(who|net) [^ ]+ = /, "")
		listing = /\{/ && !/\}/
		meaning[name] = $0
		next
	}
	listing { meaning[name] = meaning[name] " " $0; if (/\}/) listing = 0; next }
	/^mode audit/ {
		if (depth < 2) only_recorded = depth ? host : 1
		printf "    Nothing is refused%s: what would be is recorded (mode audit).\n", depth ? " here" : ""
		next
	}
	/^mode / { next }
	/\{$/ {
		depth++
		if (depth == 1) host = /^host/
		else if (host) {
			told = 0
			sub(/ *\{$/, "")
			printf "  TCP %s, of every process in %s, containers included:\n", $0, cgroup
		}
		next
	}
	/^\}/ { depth--; next }
	host && depth == 2 { tell($0) }
	END {
		if (!only_recorded) print "\nWhoever is refused gets \"Permission denied\" at once."
		print "Other ports are not touched. Connections that are open already may finish.\n"
	}'
}

show_plan() {
	"$build/smtpwall" check "$policy" || die 1 "$policy has errors: nothing was changed"
	printf 'Policy: %s\n\nWhat it guards, the first line that fits decides:\n' "$policy"
	explain
}

# ---- run ----

# The options that the command in the farewell needs again.
# shellcheck disable=SC2317 # called by farewell, which a trap calls
again() {
	[ -z "$run_dir" ] || printf ' --run-dir %s' "$run_dir"
	[ -z "$given_cgroup" ] || printf ' --cgroup %s' "$given_cgroup"
	[ -z "$pin_dir" ] || printf ' --pin-dir %s' "$pin_dir"
}

# shellcheck disable=SC2317 # called by a trap
farewell() {
	trap '' INT TERM HUP
	[ -z "$daemon" ] || kill -TERM "$daemon" 2>/dev/null
	wait
	printf '%s\n' '' \
		'smtpwalld has ended. The policy stays in force: it lives in the kernel until the next boot.' \
		"  to take it off:       $build/smtpwalld$(again) --detach" \
		"  to run the daemon:    sudo make run, or smtpwalld(8) as a service"
	exit 0
}

# The daemon answers only when everything is attached. One that has ended and was not waited for has
# no executable any more.
wait_until_it_answers() {
	while readlink "/proc/$daemon/exe" >/dev/null 2>&1; do
		! "$build/smtpwall" ${run_dir:+--run-dir "$run_dir"} status >/dev/null 2>&1 || return 0
		sleep 0.1
	done
	return 1
}

run() {
	trap farewell INT TERM HUP
	# A session of its own: Ctrl-C in the terminal reaches this script only.
	setsid "$build/smtpwalld" "$@" --policy "$policy" --foreground &
	daemon=$!
	if ! wait_until_it_answers; then
		wait "$daemon"
		code=$?
		daemon=
		die "$code" 'smtpwalld did not start; its own words are above'
	fi
	printf 'In force: what is refused shows up here, a line each. Ctrl-C ends the daemon.\n\n'
	wait "$daemon"
	code=$?
	daemon=
	die "$code" "smtpwalld ended by itself (exit code $code). What was in force still is."
}

set_option() {
	case $1 in
	--policy) policy=$2 ;;
	--cgroup) cgroup=$2 ;;
	--run-dir) run_dir=$2 ;;
	--pin-dir) pin_dir=$2 ;;
	esac
}

expect=
for argument; do
	if [ -n "$expect" ]; then
		set_option "$expect" "$argument"
		expect=
		continue
	fi
	case $argument in
	--help | -h) usage && exit 0 ;;
	--policy=* | --cgroup=* | --run-dir=* | --pin-dir=* | --state-dir=*)
		set_option "${argument%%=*}" "${argument#*=}"
		;;
	--policy | --cgroup | --run-dir | --pin-dir | --state-dir) expect=$argument ;;
	--check) check=1 ;;
	--verbose) ;;
	*) die 2 "$argument is not an option of make run; see daemon/run.sh --help" ;;
	esac
done
[ -z "$expect" ] || die 2 "$expect needs a value"
given_cgroup=$cgroup

check_machine
[ -n "$policy" ] || pick_policy
show_plan
[ -z "$check" ] || exit 0
mount_bpffs
run "$@"
