#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Do the scenarios fail when what they test is not there? Each control takes one thing away, runs the
# tests that are to notice, and is content when every one of them fails, for the right reason:
#   hooks     SMTPWALL_TEST_CONTROL: links are taken off while the daemon cannot repair them (lib.bash)
#   checks    one line of a copy of the sources is changed, built, and the scenarios run on that, or
#             where no scenario can see the line at work, a test program
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

# Every test that ran failed, at least one ran, and the reason is in the output. A test that PREPARES
# what the others look at may pass.
all_failed() { # OUTPUT REASON [PREPARES]
	grep -q '^not ok' <<<"$1" && ! grep -E '^ok' <<<"$1" | grep -qvE "# skip|${3:-# skip}" &&
		! grep -q 'setup_file failed' <<<"$1" && grep -qE "$2" <<<"$1"
}

# Nothing was tried: what is here cannot run these tests.
all_skipped() { # OUTPUT [PREPARES]
	grep -q '# skip' <<<"$1" && ! grep -q '^not ok' <<<"$1" &&
		! grep -E '^ok' <<<"$1" | grep -qvE "# skip|${2:-# skip}"
}

run_control() { # NAME FILE FILTER REASON BUILD HOOKS [PREPARES]
	local output
	output=$(SW_BUILD=$5 SMTPWALL_TEST_CONTROL=$6 timeout 300 bats --tap -f "$3" "$here/$2" </dev/null 2>&1)
	if all_skipped "$output" "${7:-}"; then
		skipped "$1" "${output##*# skip }"
	elif all_failed "$output" "$4" "${7:-}"; then
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
	cp -a "$top"/tests/{net,prog,unit} "$work/tests/"
	cp -a "$build" "$work/$(basename "$build")"
}

build_copy() { # TARGET, in the build folder when it names a folder
	local name target=$1
	name=$(basename "$build")
	[[ $target != */* ]] || target=$name/$target
	set -- "$target"
	[[ $name != *-sanitize ]] || set -- SANITIZE=1 "$@"
	make -C "$work" B="$name" "$@" 2>&1
}

# What was built since `changed` is made what it was, times and all, so that nothing need be built again.
restore_copy() { # SOURCE...
	local file from name
	name=$(basename "$build")
	for file; do
		cp -p "$top/$file" "$work/$file"
	done
	while read -r file; do
		from=$build/${file#"$work/$name/"}
		if [ -e "$from" ]; then cp -p "$from" "$file"; else rm -f "$file"; fi
	done < <(find "$work/$name" -type f -newer "$work/changed")
}

# Changes SOURCES of the copy, builds TARGET from them and calls what follows when that could be done. The copy is
# as it was afterwards.
with_changes() { # NAME "SOURCE..." SED-SCRIPT TARGET COMMAND...
	is_wanted "$1" || return 0
	copy_sources
	local name=$1 sources script=$3 target=$4 output source
	read -ra sources <<<"$2"
	shift 4
	touch "$work/changed"
	for source in "${sources[@]}"; do
		sed -i "$script" "$work/$source"
		if cmp -s "$work/$source" "$top/$source"; then
			result "not ok" "$name: the line to change is not in $source any more"
			restore_copy "${sources[@]}"
			return
		fi
	done
	if output=$(build_copy "$target"); then
		"$@"
	else
		result "not ok" "$name: does not build" "$output"
	fi
	restore_copy "${sources[@]}"
}

without_check() { # NAME "SOURCE..." SED-SCRIPT FILE FILTER REASON [PREPARES]
	with_changes "$1" "$2" "$3" all run_scenarios "$1" "$4" "$5" "$6" "${7:-}"
}

run_scenarios() { # NAME FILE FILTER REASON [PREPARES]
	run_control "$1" "$2" "$3" "$4" "$work/$(basename "$build")" "" "${5:-}"
}

# The tests of a program by their names: each of them has to fail.
run_program() { # NAME PROGRAM TEST...
	local name=$1 program=$2 output test
	shift 2
	output=$(CMOCKA_MESSAGE_OUTPUT=TAP timeout 300 "$work/$(basename "$build")/$program" </dev/null 2>&1)
	for test; do
		if ! grep -qE "^not ok [0-9]+ - $test$" <<<"$output"; then
			result "not ok" "$name: $test did not notice" "$output"
			return
		fi
	done
	result ok "$name: its tests fail"
}

without_line() { # NAME SOURCE SED-SCRIPT PROGRAM TEST...
	local name=$1 source=$2 script=$3 program=$4
	shift 4
	with_changes "$name" "$source" "$script" "$program" run_program "$name" "$program" "$@"
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
without_check any-component-is-the-unit bpf/cgroup.h 's/!scratch->unit_length \&\& !sw_is_slice/!sw_is_slice/' 2-identity.bats \
	"a user's own unit cannot borrow" "$escaped"
without_check unreadable-headers-pass bpf/backstop.h 's/ && sw_any_guarded(out->policy))/ \&\& 0)/' 3-ways-around.bats \
	'a first fragment that ends before' "$escaped"
without_check port-of-the-socket-only bpf/backstop.h 's/sw_guarded(out->policy, packet->dst_port))/0)/' 3-ways-around.bats \
	'^(raw IP sockets: a SYN|destination NAT)' "$escaped"
# What packets are asked about at all.
without_check unasked-all bpf/unasked.h 's/return ports\[bit \/ 64\] >> (bit & 63) & 1;/return !!ports;/' 3-ways-around.bats \
	'^(raw IP sockets: a SYN|destination NAT)' "$escaped"
without_check unasked-to-a-neighbour bpf/unasked.h 's/ && !sw_has_left(skb, sk, st)/ \&\& skb/' 3-ways-around.bats \
	'^permission for this machine is none for a neighbour' 'left_nothing device.* failed'
without_check unasked-gate bpf/unasked.h 's/ && !SW_READ_ONCE(st->gated)//' 16-gate.bats \
	'^(each command that|anything but TLS)' 'NOT ENDED'
without_line unasked-of-one-slot daemon/load_ports.c 's/slot < 2/slot < 1/' tests/unit/test_ports either_slot_counts

# The gate. Without its packets nothing is looked at; without the server's, nobody may send a ClientHello
# behind STARTTLS; without the daemon's part the client is never told.
without_hooks gate-no-packets "egress ingress" 16-gate.bats '^(each command that|anything but TLS)' 'NOT ENDED'
without_hooks gate-no-ingress ingress 17-attacks.bats '^(response injection|malformed answers|220 before)' 'NOT ENDED'
without_check gate-not-asked bpf/backstop.h 's/if (!st->gated)/if (st)/' 16-gate.bats \
	'^(each command that|anything but TLS)' 'NOT ENDED'
without_check gate-not-told daemon/run.c 's/int error = sw_connection_close_flow(/int error = event->cookie ? 0 : sw_connection_close_flow(/' 16-gate.bats \
	'^a rule that says starttls' 'NOT ENDED'
without_check gate-shared-pages bpf/segment.h 's/return !!(BPF_CORE_READ(info, flags) & SW_SHARED_FRAG);/return !info;/' 16-gate.bats \
	'^pages that the sender' 'NOT ENDED'
without_check gate-urgent bpf/segment.h 's/side->segment.urgent = .*/side->segment.urgent = 0;/' 16-gate.bats '^urgent data' 'NOT ENDED|expected reason'
without_check gate-prefix bpf/gate_command.h 's/if (!gate->candidates)/if (0 \&\& !gate->candidates)/' 18-split.bats \
	'^after an EHLO that was offered' 'ESCAPED'
without_check gate-unanswered-hello bpf/gate_client.h 's/SW_GATE_HELLO_DONE && SW_GATE_READ(gate->server_tls)/SW_GATE_HELLO_DONE/' \
	16-gate.bats '^application data behind' 'NOT ENDED'
without_check gate-any-version bpf/gate_server.h 's/ || gate->negotiated < gate->tls_version//' 16-gate.bats \
	'^a version that is too old' 'NOT ENDED'
without_check gate-server-injects bpf/gate_server.h 's/SW_REASON_STARTTLS_INJECTION/SW_REASON_NONE/' 17-attacks.bats \
	'^(response injection, in|220 before)' 'NOT ENDED'
without_check gate-sample-stays daemon/samples.c 's/error = sw_kernel_samples_wipe(.*);/error = 0;/' 15-secrets.bats \
	"^(what was sent in clear|the password is not in the daemon's memory)" 'bpf-map' '^ok [0-9]+ what was sent in clear'
# Sessions that this machine answers.
without_check serve-gate-not-asked bpf/arrival.h 's/if (!st->gated)/if (st)/' 30-serve.bats \
	'^where TLS is required' 'status. -ne 0 .. failed'
without_check serve-drop-passes bpf/arrival.h '/^static __noinline int sw_refuse_knock/,/^}/s/return SW_SKB_DROP;/return SW_SKB_PASS;/' \
	30-serve.bats '^by where they come from' 'status. -eq 124 .. failed'
# The edge. c1 is the third interface of its router.
without_hooks edge-no-xdp xdp_3 21-edge-evasion.bats '^segments: ' "$escaped"
without_check edge-no-tc bpf/edge_tc.bpf.c 's/if (sw_served_passes(skb, policy))/if (policy)/' 21-edge-evasion.bats \
	'^segments: ' 'nothing heard'
without_check edge-resend bpf/gate_client.h 's/if (gate->seen\[place\] == c)/if (place < SW_GATE_MAX)/' 21-edge-evasion.bats \
	'^decoys' 'ESCAPED: noop-dies'
without_check edge-forged bpf/edge_tc.bpf.c 's/ || skb->ingress_ifindex == index//' 21-edge-evasion.bats \
	'^decoys' 'ESCAPED: answer-is-forged'
without_check edge-fragments bpf/edge_gates.h '/^static __noinline int sw_edge_fragment/,/^}/s/if (!sw_edge_enforces(work))/if (work)/' \
	21-edge-evasion.bats '^fragments' "$escaped"
without_check edge-malformed bpf/edge.bpf.c '/^static __noinline int sw_xdp_malformed/,/^}/s/if (!enforced)/if (!enforced || work)/' \
	21-edge-evasion.bats '^options of IP' "$escaped"
without_check edge-unknown-passes bpf/edge_gates.h 's/if (sw_edge_keeps(work)) {/if (work) {/' 21-edge-evasion.bats \
	'^segments: ' 'ESCAPED: ack-without-syn'
without_check edge-kept-for-ever bpf/edge_gates.h 's/return until && .*/return !!until;/' 23-edge-full.bats \
	'for a time' 'too late: taken 2000 reset 0'
without_check edge-no-limit bpf/edge_sources.h 's/slot->told < SW_EDGE_EVENTS/1/; s/SW_READ_ONCE(slot->told) < SW_EDGE_EVENTS/1/; s/(__u32)window < SW_EDGE_EVENTS_PER_SECOND/1/' \
	23-edge-full.bats '^a hundred thousand' '^# events: [0-9]{3,}'
without_check edge-gate-not-asked bpf/edge_gates.h 's/answer = sw_edge_client(ctx, slot);/answer = SW_GATE_PASS * sw_edge_client(ctx, slot);/' \
	20-edge.bats '^without TLS each' 'found_in_capture'
without_check edge-any-cookie bpf/edge_answer.h 's/ && sw_xdp_number(work, slot - (__u32)age) == number//' \
	24-edge-answer.bats '^a cookie is checked' 'FPA'
# What no client can bring about by itself: TCP never sends other bytes again, and loses none before the gate
# but in repair mode.
without_line gate-resend bpf/gate_client.h 's/if (gate->seen\[place\] == c)/if (place < SW_GATE_MAX)/' tests/unit/test_gate_resend \
	other_bytes_again another_command_again
without_line gate-hold bpf/gate_client.h 's/look.first > gate->read) {/look.first > SW_GATE_MAX) {/' tests/prog/test_gate \
	held_until_the_rest_came nothing_slips_past

echo "1..$n"
[ $failed -eq 0 ]
