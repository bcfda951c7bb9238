#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Do the scenarios fail when what they test is not there? Each control takes one thing away, runs the
# tests that are to notice, and is content when every one of them fails, for the right reason:
#   hooks     SMTPWALL_TEST_CONTROL: links are taken off while the daemon cannot repair them (lib.bash)
#   checks    one line of a copy of the sources is changed, built, and the scenarios run on that
# Prints TAP. Not wanted here: that a test fails because something else broke, so the output must say
# that a try got through, hung or came back with another error.
#
#   controls.sh [NAME...]
set -uo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
build=${SW_BUILD:-$top/build}
here=$top/tests/net
wanted=("$@")
n=0 failed=0
work=

finish() {
	[ -z "$work" ] || rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

result() { # ok|not ok, NAME, OUTPUT
	n=$((n + 1))
	echo "$1 $n - $2"
	if [ "$1" != ok ]; then
		failed=$((failed + 1))
		printf '%s\n' "${3:-}" | sed 's/^/# /' | head -n 40
	fi
}

skipped() { # NAME WHY
	n=$((n + 1))
	echo "ok $n - $1 # skip $2"
}

is_wanted() { # NAME
	[ ${#wanted[@]} -eq 0 ] || [[ " ${wanted[*]} " == *" $1 "* ]]
}

# Every test that ran failed, at least one ran, and the reason is in the output.
all_failed() { # OUTPUT REASON
	grep -q '^not ok' <<<"$1" && ! grep -E '^ok' <<<"$1" | grep -qv '# skip' &&
		! grep -q 'setup_file failed' <<<"$1" && grep -qE "$2" <<<"$1"
}

run_control() { # NAME FILE FILTER REASON BUILD HOOKS
	local output
	output=$(SW_BUILD=$5 SMTPWALL_TEST_CONTROL=$6 timeout 300 bats --tap -f "$3" "$here/$2" </dev/null 2>&1)
	if grep -q 'setup_file.*# skip' <<<"$output"; then
		skipped "$1" "${output##*# skip }"
	elif all_failed "$output" "$4"; then
		result ok "$1: its tests fail"
	else
		result "not ok" "$1: a test did not notice" "$output"
	fi
}

without_hooks() { # NAME HOOKS FILE FILTER REASON
	is_wanted "$1" || return 0
	run_control "$1" "$3" "$4" "$5" "$build" "$2"
}

copy_sources() {
	[ -z "$work" ] || return 0
	work=$(mktemp -d)
	mkdir "$work/tests"
	cp -a "$top"/{Makefile,bpf,daemon,ctl,policies} "$work/"
	cp -a "$top/tests/net" "$work/tests/"
	cp -a "$build" "$work/$(basename "$build")"
}

build_copy() {
	local name
	name=$(basename "$build")
	[[ $name != *-sanitize ]] || set -- SANITIZE=1
	make -C "$work" B="$name" "$@" all 2>&1
}

# The files are as they were afterwards, and newer, so that the next control builds them anew.
without_check() { # NAME "SOURCE..." SED-SCRIPT FILE FILTER REASON
	is_wanted "$1" || return 0
	copy_sources
	local sources output source
	read -ra sources <<<"$2"
	for source in "${sources[@]}"; do
		sed -i "$3" "$work/$source"
		if cmp -s "$work/$source" "$top/$source"; then
			result "not ok" "$1: the line to change is not in $source any more"
			return
		fi
	done
	if output=$(build_copy); then
		run_control "$1" "$4" "$5" "$6" "$work/$(basename "$build")" ""
	else
		result "not ok" "$1: does not build" "$output"
	fi
	for source in "${sources[@]}"; do
		cp "$top/$source" "$work/$source"
	done
}

if [ "$(id -u)" -ne 0 ]; then
	echo "1..0 # skip needs root"
	exit 0
fi

escaped='ESCAPED' hung='hung ETIMEDOUT'

# Without a connect hook alone the backstop holds: the caller hangs, and nothing arrives.
without_hooks no-connect4 connect4 3-ways-around.bats '^IPv4 and IPv6$' "$hung"
without_hooks no-connect6 connect6 3-ways-around.bats '^an IPv4 address over' "$hung"
without_hooks no-egress egress 3-ways-around.bats '^(raw IP sockets|destination NAT)' "$escaped"
without_hooks no-ipv4 "connect4 egress" 3-ways-around.bats \
	'^(IPv4 and IPv6|TCP Fast Open|io_uring|non-blocking|IP options|a socket passed|another network|setuid|a thread)' "$escaped"
without_hooks no-ipv6 "connect6 egress" 3-ways-around.bats '^(an IPv4 address over|an IPv6 dest)' "$escaped"
without_hooks no-getpeername "getpeername4 getpeername6" 4-redirect.bats 'getpeername|over an IPv6 socket' "peer .*(127.0.0.1 25|::1 2526)"

without_check other-error bpf/connect.h 's/bpf_set_retval(-SW_EACCES);//' 3-ways-around.bats \
	'^(IPv4 and IPv6|MPTCP|non-blocking connect)$' 'refused EPERM'
without_check any-mount-namespace bpf/identity.h 's/if (BPF_CORE_READ(mount, mnt_ns) == .*) {/if (mount) {/' 2-identity.bats \
	'bind mount over|/proc/PID/root' 'connected OK|ESCAPED'
without_check real-user "bpf/identity.h bpf/kernel.h" 's/\beuid\b/uid/' 2-identity.bats \
	'the effective user counts' 'expected a connection|ESCAPED'
without_check any-component-is-the-unit bpf/cgroup.h 's/!st->unit_length && !sw_is_slice/!sw_is_slice/' 2-identity.bats \
	"a user's own unit cannot borrow" "$escaped"
without_check unreadable-headers-pass bpf/backstop.h 's/ && sw_any_guarded(out->policy))/ \&\& 0)/' 3-ways-around.bats \
	'a first fragment that ends before' "$escaped"
without_check port-of-the-socket-only bpf/backstop.h 's/sw_guarded(out->policy, packet->dst_port))/0)/' 3-ways-around.bats \
	'^(raw IP sockets: a SYN|destination NAT)' "$escaped"

# The gate. Without its packets nothing is looked at; without the server's, nobody may send a ClientHello
# behind STARTTLS; without the daemon's part the client is never told.
without_hooks gate-no-packets "egress ingress" 16-gate.bats '^(each command that|anything but TLS)' 'NOT ENDED'
without_hooks gate-no-ingress ingress 17-attacks.bats '^(response injection|malformed answers|220 before)' 'NOT ENDED'
without_check gate-not-asked bpf/backstop.h 's/return st->gated ? sw_gated_egress(skb, out.sk, st) : SW_SKB_PASS;/return SW_SKB_PASS;/' 16-gate.bats \
	'^(each command that|anything but TLS)' 'NOT ENDED'
without_check gate-not-told daemon/run.c 's/int error = sw_connection_close_flow(/int error = event->cookie ? 0 : sw_connection_close_flow(/' 16-gate.bats \
	'^a rule that says starttls' 'NOT ENDED'
without_check gate-shared-pages bpf/gated.h 's/return !!(BPF_CORE_READ(info, flags) & SW_SHARED_FRAG);/return !info;/' 16-gate.bats \
	'^pages that the sender' 'NOT ENDED'
without_check gate-urgent bpf/gated.h 's/side->segment.urgent = .*/side->segment.urgent = 0;/' 16-gate.bats '^urgent data' 'NOT ENDED|expected reason'
without_check gate-prefix bpf/gate_command.h 's/if (!gate->candidates)/if (0 \&\& !gate->candidates)/' 18-split.bats \
	'^after an EHLO that was offered' 'ESCAPED'

echo "1..$n"
[ $failed -eq 0 ]
