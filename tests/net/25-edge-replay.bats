#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# shellcheck disable=SC2154 # gate.bash and edge.bash set what is read here
#
# What `replay --as edge` says of a capture is what the edge said of the same packets: on Ethernet, VLAN, QinQ
# and PPPoE, where it only records and where it enforces. Captures are taken at the customers' end of the
# wire, with everything that they sent.

load gate
load edge

setup_file() {
	local port ports=()
	[ -x "$TOOLS/talk" ] || skip "$TOOLS/talk is not built"
	edge_up
	install -m 755 "$TOOLS"/{talk,answer} "$D/"
	mkdir "$D/ends"
	for port in 465 587 2525 {2001..2007}; do
		ports+=("$FAR4" "$port" "$FAR6" "$port")
	done
	start far "$D/answer.out" "$D/answer" "$D/ends" "${ports[@]}"
	wait_for test -S "$D/ends/control"
	write_dialogues
	edge_gate_policy audit | policy
	daemon_start
}

teardown_file() {
	world_down
}

edge_gate_policy() { # audit|enforce
	gate_policy | sed "s/^mode .*/mode $1/; s/^host {/edge \"c*\" {\n    existing refuse/; /^        mode audit/d"
}

# Two of the dialogues from each address of a customer, of which an event each is told even in a flood.
play() { # LINK FAMILY
	local line=$(((${link_number[$1]} - 1) * 16)) host
	for host in {2..9}; do
		use_link "$1" "$host"
		play_dialogues $((line + 1)) $((line + 2)) '' "to $(far_at "$2")" 'way one' | talk
		line=$((line + 2))
	done
}

replayed() { # NAME LINK: by the policy in force
	smtpwall replay "$D/$1.near.pcap" --policy "$D/policy" --as edge --iface "c${link_number[$2]}" --json
}

# Events that are missing were left out in a flood, and counted as that: there were SUPPRESSED before.
compare() { # SUPPRESSED recorded|enforced CONNECTIONS EVENTS: at least
	local before=$1
	smtpwall flows --json >"$D/flows.json"
	smtpwall events --json >"$D/events.json"
	run "$top/tests/net/tools/compare_edge.py" "$2" "$D"/{flows,events,replay}.json
	echo "$output"
	[ "$status" -eq 0 ]
	# shellcheck disable=SC2086 # numbers
	set -- ${lines[-1]//[!0-9]/ } "$3" "$4"
	[ "$1" -ge "$5" ] && [ "$2" -ge "$6" ] && [ "$3" -le $(($(status_number suppressed) - before)) ]
}

@test "where the edge only records: replay says what it said, on each kind of link" {
	local link before
	before=$(status_number suppressed)
	: >"$D/replay.json"
	for link in "${links[@]}"; do
		use_link "$link"
		wire_start "audit-$link"
		play "$link" 4
		wire_end "audit-$link"
		replayed "audit-$link" "$link" >>"$D/replay.json"
	done
	compare "$before" recorded 60 40
}

@test "where it enforces: the same, over IPv6" {
	local link before
	edge_gate_policy enforce | apply >/dev/null
	before=$(status_number suppressed)
	: >"$D/replay.json"
	for link in "${links[@]}"; do
		use_link "$link"
		wire_start "enforce-$link"
		play "$link" 6
		wire_end "enforce-$link"
		replayed "enforce-$link" "$link" >>"$D/replay.json"
	done
	compare "$before" enforced 60 4
}
