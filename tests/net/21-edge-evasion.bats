#!/usr/bin/env bats
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Ways past the edge, in frames that no kernel would send: tools/evade.py has them, in groups. What counts is
# what a server on the Internet has, and what was on the wire to it. Where the same policy is only recorded,
# the same frames bring all of it there, so what is not found otherwise is not overlooked.
#
# shellcheck disable=SC2154 # lib.bash, edge.bash

load gate
load edge

evade=$top/tests/net/tools/evade.py

setup_file() {
	edge_up
	/usr/bin/python3 -c 'import scapy.all' 2>/dev/null || skip "no scapy for /usr/bin/python3"
	SW_HELLO=$(client_hello)
	SW_SERVER_HELLO=$(server_hello 0304)
	export SW_HELLO SW_SERVER_HELLO
	# A machine on the link that is nobody's: the kernel in near neither answers for it nor ends its connections.
	in_ns router ip neigh replace 100.64.1.66 lladdr 02:00:00:00:01:66 dev c1 nud permanent
	in_ns router ip neigh replace 2001:db8:c001::66 lladdr 02:00:00:00:01:66 dev c1 nud permanent
	# Data in a SYN is taken by every server, and without a cookie.
	in_ns far sh -c 'echo 0x602 >/proc/sys/net/ipv4/tcp_fastopen'
	triple_start
	record_start enforced
	evasion_policy enforce | policy
	daemon_start
	control
	echo 20000 >"$D/port"
}

teardown_file() {
	world_down
}

# The router takes three tags on its third link.
triple_start() {
	start router "$D/framer.triple" "$TOOLS/framer" c3 t5 02:00:00:00:03:66 qinq:100,vlan:10,vlan:20
	wait_for grep -qs '^ready' "$D/framer.triple"
	device_up router t5 100.64.5.1/24 2001:db8:c005::1/64
}

# The server, with a folder of its own: $D/NAME.
record_start() { # NAME
	mkdir "$D/$1"
	start far "$D/$1.out" "$TOOLS/record" "$D/$1" "$SW_SERVER_HELLO" 465 587
	echo "$started" >"$D/recorder"
	wait_for test -e "$D/$1/ready"
}

record_end() {
	kill "$(cat "$D/recorder")"
	wait_for dead "$(cat "$D/recorder")"
}

evasion_policy() { # enforce|audit
	cat <<-END
		mode $1
		edge "c*" {
		    existing refuse
		    port 465, 587 {
		        require tls
		    }
		}
	END
}

# Each attack of a group; the lines stay in $D/GROUP.played.
play() { # GROUP
	local first
	first=$(cat "$D/port")
	echo $((first + 100)) >"$D/port"
	in_ns near "$evade" play "$first" "$1" >"$D/$1.played" || {
		cat "$D/$1.played"
		return 1
	}
}

wire_has_end() { # NAME MARK
	# shellcheck disable=SC2016 # for the inner shell
	in_ns near bash -c 'echo "$0" >/dev/udp/192.0.2.2/9' "$2"
	grep -aqF "$2" "$D/$1/wire"
}

# Nothing of a command, nor of anything else that may not come before TLS, got to the server or near it.
nothing_escapes() { # GROUP
	play "$1"
	barrier
	wait_for wire_has_end enforced "end-of-$1"
	run "$evade" search "$D/enforced" "$1" $(($(cat "$D/port") - 100))
	[ "$status" -eq 0 ] || {
		echo "$output" | grep ESCAPED
		cat "$D/$1.played"
		return 1
	}
}

all_found() { # GROUP
	run "$evade" found "$D/recorded" "$1"
	[ "$status" -eq 0 ]
}

everything_arrives() { # GROUP
	play "$1"
	wait_for all_found "$1" || {
		echo "$output" | grep MISSED
		cat "$D/$1.played"
		return 1
	}
}

# Attack by attack: the client was told.
were_reset() { # GROUP NAME...
	local group=$1 name
	shift
	for name; do
		grep -qE "^$name [0-9]+ opened reset" "$D/$group.played" || {
			echo "NOT ENDED: $name"
			cat "$D/$group.played"
			return 1
		}
	done
}

@test "segments: single bytes, without a SYN, in the SYN, urgent, across the end of numbers" {
	nothing_escapes segments
	were_reset segments plain-4 plain-6 one-byte-each-4 one-byte-each-6 sequence-wraps-4 sequence-wraps-6
}

@test "segments that overlap, with other content" {
	nothing_escapes overlaps
	were_reset overlaps again-and-more-4 again-and-more-6 other-bytes-again-4 other-bytes-again-6
}

@test "decoys: low TTL, bad checksums, bytes behind the packet, answers that the client forged" {
	nothing_escapes decoys
}

@test "SYN, RST and FIN that are none, and the same ports again" {
	nothing_escapes restarts
}

@test "options of IP, lengths and header sizes that are wrong" {
	nothing_escapes headers
}

@test "fragments: tiny, overlapping, in any order" {
	nothing_escapes fragments
}

@test "chains of IPv6 headers, and fragments in them" {
	nothing_escapes chains
}

@test "frames with three tags, and PPPoE with its short protocol" {
	nothing_escapes frames
	were_reset frames short-protocol-4 short-protocol-6
}

@test "what could not be read was counted and told" {
	[ "$(counter malformed)" -gt 0 ]
	[ "$(counter unknown)" -gt 0 ]
	[ "$(counter condemned)" -gt 0 ]
	any_event 'e["reason"] == "malformed" and e["interface"] in ("c1", "c3")'
}

@test "all of it arrives where the policy is only recorded" {
	local group
	record_end
	record_start recorded
	evasion_policy audit | apply
	for group in segments overlaps decoys restarts headers fragments chains frames; do
		everything_arrives "$group"
	done
}
